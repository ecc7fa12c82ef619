"""The desk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backoffice.citytrips import services
from backoffice.citytrips.lease import NAME
from backoffice.citytrips.models import Alert, Lease, LinkChange, LinkState
from backoffice.desk import greeting
from itineraries.models import Itinerary, Publication
from itineraries.services import itinerary_create
from tests.fleet.factories import make
from users.models import User
from users.services import user_create

CREDENTIALS = {"CITYTRIPS_CLIENT_ID": "operator", "CITYTRIPS_API_KEY": "a key", "CRUSOE_API_KEY": "a key"}


@pytest.fixture
def ana(db: None) -> User:
    return user_create(username="ana", email="ana@example.org", first_name="Ana", is_staff=True, is_superuser=True)


@pytest.fixture
def credentials() -> Iterator[None]:
    with override_settings(**CREDENTIALS):
        yield


@pytest.fixture
def worker(db: None) -> None:
    """Somebody holds the line."""
    Lease.objects.update_or_create(
        name=NAME, defaults={"holder": "here", "token": "0" * 32, "renewed_at": timezone.now()}
    )


@pytest.fixture
def desk(client: Client, ana: User, credentials: None, worker: None) -> Any:
    """The desk's page, as Ana sees it."""
    client.force_login(ana)
    return lambda: client.get("/").content.decode()


def attempt(itinerary: Itinerary, state: str) -> Publication:
    return Publication.objects.create(
        itinerary=itinerary,
        number=1,
        state=state,
        document={},
        fingerprint=itinerary.fingerprint,
        started_at=timezone.now(),
        ended_at=timezone.now(),
    )


# --- Who sees the desk ---


@pytest.mark.django_db
def test_visitors_are_sent_to_the_login(client: Client) -> None:
    """Whoever is not logged in is asked to, and comes back to the desk."""
    answer = client.get("/")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/login/?next=/"


@pytest.mark.django_db
def test_customers_are_sent_to_their_account(client: Client) -> None:
    """People who are not staff have an account page, and no desk."""
    client.force_login(user_create(username="carla", email="carla@example.org"))
    answer = client.get("/")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/account/"


@pytest.mark.django_db
def test_staff_see_only_the_parts_they_may(client: Client, credentials: None) -> None:
    """A part of the desk is shown to those who may see what it is about, and to nobody else."""
    marta = user_create(username="marta", email="marta@example.org", is_staff=True)
    client.force_login(marta)
    page = client.get("/").content.decode()
    assert "no permissions so far" in page
    assert "Low battery" not in page
    marta.user_permissions.add(Permission.objects.get(codename="view_vehicle"))
    page = client.get("/").content.decode()
    assert "Low battery" in page
    assert "Line to CityTrips" not in page
    assert "Itineraries changed last" not in page


# --- What it says ---


@pytest.mark.parametrize(
    ("hour", "words"),
    [
        (4, "Good evening, Ana"),
        (5, "Good morning, Ana"),
        (11, "Good morning, Ana"),
        (12, "Good afternoon, Ana"),
        (19, "Good evening, Ana"),
    ],
)
def test_the_greeting_goes_by_the_local_hour(monkeypatch: pytest.MonkeyPatch, hour: int, words: str) -> None:
    """Whoever reads it is greeted by the hour in their own time zone, and by first name."""
    # UTC+14: where the local hour differs from the server's most.
    moment = datetime(2026, 11, 21, hour, 30, tzinfo=UTC) - timedelta(hours=14)
    monkeypatch.setattr(timezone, "now", lambda: moment)
    with timezone.override("Pacific/Kiritimati"):
        assert greeting(User(username="ana", first_name="Ana")) == words


def test_who_has_no_first_name_is_greeted_by_user_name() -> None:
    """The greeting never ends in nothing."""
    assert greeting(User(username="marta")).endswith(", marta")


def test_an_empty_desk_says_what_to_do(desk: Any) -> None:
    """With no vehicles and no itineraries, the desk says how to get some."""
    page = desk()
    assert "manage.py import_fleet" in page
    assert "manage.py load_demo" in page
    assert 'href="/admin/fleet/vehicle/add/"' in page
    assert "Make one" in page
    assert "To do first" not in page


def test_what_is_not_set_up_is_named_first(client: Client, ana: User) -> None:
    """Missing credentials are named, each with its variable."""
    client.force_login(ana)
    with override_settings(CITYTRIPS_CLIENT_ID="operator", CITYTRIPS_API_KEY="", CRUSOE_API_KEY=""):
        page = client.get("/").content.decode()
    assert "Set these variables and start again: CITYTRIPS_API_KEY" in page
    assert "Set this variable and start again: CRUSOE_API_KEY" in page


def test_a_missing_worker_is_said_first(client: Client, ana: User, credentials: None) -> None:
    """With nobody on the line no change reaches CityTrips; the desk says so, and by which command to mend it."""
    client.force_login(ana)
    with override_settings(REDIS_URL=""):
        assert "no worker is running. Start one by manage.py serve" in client.get("/").content.decode()
    with override_settings(REDIS_URL="redis://127.0.0.1:6379/0"):
        assert "Start one by manage.py runworker citytrips" in client.get("/").content.decode()


def test_a_refused_key_of_crusoe_is_said_first(desk: Any, ana: User) -> None:
    """What Crusoe said of the key stands on the desk until an attempt gets further."""
    itinerary = itinerary_create(user=ana, document={"title": "Andes"})
    refused = attempt(itinerary, "rejected")
    Publication.objects.filter(pk=refused.pk).update(http_status=401, reason={"code": "key_unknown"})
    assert "nothing can be published. It says: Crusoe does not know the API key" in desk()
    Publication.objects.filter(pk=refused.pk).update(http_status=400)
    assert "It says: Crusoe does not know" not in desk()


def test_a_task_offers_only_what_the_person_may_do(client: Client, ana: User, credentials: None) -> None:
    """Who may only look is not told to resolve, correct or try again."""
    for title, state in (("Andes", "unknown"), ("Berlin", "rejected"), ("Sydney", "not_sent")):
        attempt(itinerary_create(user=ana, document={"title": title}), state)
    marta = user_create(username="marta", email="marta@example.org", is_staff=True)
    marta.user_permissions.add(Permission.objects.get(codename="view_itinerary"))
    client.force_login(marta)
    page = client.get("/").content.decode()
    assert page.count(">Open<span") == 3
    assert not any(f">{action}<span" in page for action in ("Resolve", "Correct", "Try again"))
    client.force_login(ana)
    page = client.get("/").content.decode()
    assert all(f">{action}<span" in page for action in ("Resolve", "Correct", "Try again"))


def test_the_figures_are_those_of_the_fleet(desk: Any) -> None:
    """Offered of all, and what keeps the others back."""
    make("ES-1")
    make("ES-2", battery=6, plate="4821 KLM")
    make("ES-3", state="on_trip")
    page = " ".join(desk().split())
    assert '<div class="num"> 1 <span class="mut">of 3</span>' in page
    assert "<span>Battery too low 1 ·</span> <span>On trip 1</span>" in page
    assert 'class="strong" href="/admin/fleet/vehicle/ES-2/change/">4821 KLM</a>' in page
    assert "6 %" in page


def test_alerts_wait_on_the_desk_until_they_are_done(client: Client, desk: Any, ana: User) -> None:
    """With what is the matter, how often, and a button; at most five of them, then the way to the others."""
    for _time in range(3):
        services.alert_raise(kind=Alert.Kind.USER_REFUSED, detail="two accounts")
    page = desk()
    assert "registered a person whom we refused: two accounts (3 times)" in page
    alert = Alert.objects.get()
    assert client.post(f"/admin/citytrips/alert/{alert.pk}/done/", {"from": "desk"}).headers["Location"] == "/"
    assert "two accounts" not in desk()
    for number in range(6):
        services.alert_raise(kind=Alert.Kind.USER_REFUSED, detail=f"account {number}")
    page = desk()
    assert page.count("desk-done-") == 5
    assert "has more alerts" in page


def test_blocked_fulls_are_lifted_where_they_are_explained(desk: Any) -> None:
    """Their alert leads to the line, and ends with the block rather than by saying so."""
    services.fulls_block(vehicles=9, settings_key="")
    page = desk()
    assert "closed the line over a full list" in page
    assert "desk-done-" not in page
    services.fulls_unblock()
    assert "closed the line over a full list" not in desk()


def test_who_only_looks_on_cannot_say_done(client: Client, db: None, credentials: None) -> None:
    """Alerts are for whoever may see them; saying that they are done is for those who look after the fleet."""
    viewer = user_create(username="vera", email="vera@example.org", is_staff=True)
    viewer.user_permissions.add(*Permission.objects.filter(codename__in=["view_alert", "view_linkstate"]))
    services.alert_raise(kind=Alert.Kind.INBOUND_TOO_LARGE)
    client.force_login(viewer)
    page = client.get("/").content.decode()
    assert "sent a message that was too large to be read" in page
    assert "desk-done-" not in page


def test_objections_of_citytrips_come_first(desk: Any) -> None:
    """A vehicle that CityTrips objected to as it is now is a task, with a way to the vehicle."""
    vehicle = make("ES-1")
    type(vehicle).objects.filter(pk="ES-1").update(objected_version=vehicle.version or 1)
    page = desk()
    assert "objects to 1 vehicle as it was sent" in page
    assert 'href="/admin/fleet/vehicle/?citytrips=objected"' in page


@pytest.mark.parametrize(
    ("state", "words", "action"),
    [
        ("unknown", "may or may not have reached Crusoe at", "Resolve"),
        ("rejected", "was not accepted by Crusoe", "Correct"),
        ("not_sent", "did not get as far as Crusoe", "Try again"),
    ],
)
def test_a_publication_in_trouble_is_a_task(desk: Any, ana: User, state: str, words: str, action: str) -> None:
    """An attempt whose outcome needs a person is on the desk, with a way to the itinerary."""
    itinerary = itinerary_create(user=ana, document={"title": "Andes in ten days"})
    attempt(itinerary, state)
    page = desk()
    assert "To do first" in page
    assert words in page
    assert f'class="btn" href="/itineraries/{itinerary.pk}/">{action}' in page


def test_a_refused_key_is_no_mistake_of_the_itinerary(desk: Any, ana: User) -> None:
    """What Crusoe refused for the key has nothing to correct; it can only be tried again."""
    refused = attempt(itinerary_create(user=ana, document={"title": "Lisbon"}), "rejected")
    Publication.objects.filter(pk=refused.pk).update(http_status=401)
    page = desk()
    assert "Crusoe did not accept our credentials" in page
    assert ">Try again<span" in page
    assert ">Correct<span" not in page


def test_nothing_is_called_offered_while_the_line_is_not_live(desk: Any) -> None:
    """CityTrips offers vehicles only over a live line; else the figure is what would be offered."""
    make("ES-1")
    link = LinkState.objects.create(id=1, state="refused", reason="bad key", since=timezone.now())
    page = desk()
    assert "Would be offered on CityTrips" in page
    assert "None is offered there now" in page
    LinkState.objects.filter(pk=link.pk).update(state="live")
    page = desk()
    assert "Offered on CityTrips" in page
    assert "None is offered there now" not in page


def test_removed_vehicles_are_said_not_to_count(desk: Any) -> None:
    """The total is without removed vehicles, and the desk says how many those are."""
    make("ES-1")
    assert "not counted" not in desk()
    make("ES-2", state="removed")
    page = " ".join(desk().split())
    assert '<span class="mut">of 1</span>' in page
    assert "1 removed vehicle is not counted" in page


def test_the_drafts_are_a_way_to_them(desk: Any, ana: User) -> None:
    """The number of drafts with errors leads to the list of drafts."""
    itinerary_create(user=ana, document={"title": "Andes"})
    assert 'href="/itineraries/?state=draft">1 draft has errors</a>' in " ".join(desk().split())


def test_a_published_itinerary_is_counted_and_no_task(desk: Any, ana: User) -> None:
    """What was published in the last seven days is counted once, however often it was published."""
    itinerary = itinerary_create(user=ana, document={"title": "Andes in ten days"})
    attempt(itinerary, "published")
    page = " ".join(desk().split())
    assert "To do first" not in page
    assert 'Itineraries published in seven days</span> <div class="num">1</div>' in page
    Publication.objects.update(ended_at=timezone.now() - timedelta(days=8))
    assert 'Itineraries published in seven days</span> <div class="num">0</div>' in " ".join(desk().split())


def test_the_line_shows_since_when_it_is_live(desk: Any) -> None:
    """The chip names the line's state, and the card its last changes."""
    since = timezone.now() - timedelta(hours=3)
    link = LinkState.objects.create(id=1, state="live", since=since)
    LinkChange.objects.create(link=link, state="waiting", reason="closed by CityTrips (1001)", at=since)
    page = desk()
    assert "CityTrips live for 3" in page
    assert "closed by CityTrips (1001)" in page
    Lease.objects.all().delete()
    page = desk()
    assert "No worker is running." in page
    assert "CityTrips live" not in page


def test_an_open_desk_follows_the_line(client: Client, desk: Any) -> None:
    """What an open desk fetches is its changing part alone, with the state of the line as it is by then."""
    link = LinkState.objects.create(id=1, state="live", since=timezone.now())
    assert 'data-live-state="live"' in desk()
    LinkState.objects.filter(pk=link.pk).update(state="refused", reason="bad key")
    part = client.get("/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert 'data-live-state="refused"' in part
    assert "It says: bad key" in part
    assert 'id="desk-chip" class="chip bad" hx-swap-oob="true"' in part


@pytest.mark.django_db
def test_an_open_desk_whose_session_has_ended_loads_again(client: Client) -> None:
    """The login is never put into a part of the page."""
    answer = client.get("/", headers={"HX-Request": "true"})
    assert answer.headers["HX-Refresh"] == "true"
    assert not answer.content


def test_titles_are_text(desk: Any, ana: User) -> None:
    """A title that looks like markup is shown as it was typed."""
    attempt(itinerary_create(user=ana, document={"title": "<script>alert(1)</script>"}), "rejected")
    page = desk()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_the_desk_takes_the_same_queries_whatever_there_is(client: Client, ana: User, credentials: None) -> None:
    """The number of queries does not grow with the fleet or with the itineraries."""
    client.force_login(ana)
    client.get("/")
    counts = []
    for size in (1, 12):
        for number in range(size):
            make(f"ES-{size}-{number}", battery=5)
            services.alert_raise(kind=Alert.Kind.USER_REFUSED, detail=f"{size}-{number}")
            attempt(itinerary_create(user=ana, document={"title": f"Trip {number}"}), "unknown")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get("/")
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert counts[0] <= 19


def test_the_desk_speaks_the_persons_language(client: Client, ana: User, credentials: None) -> None:
    """The page says in which language it is."""
    ana.language = "es"
    ana.save()
    client.force_login(ana)
    assert '<html lang="es">' in client.get("/").content.decode()


@pytest.mark.django_db
def test_the_desk_is_only_read(client: Client) -> None:
    """It answers HEAD, and refuses to be posted to."""
    assert client.head("/").status_code < 400
    assert client.post("/").status_code == 405
