"""Pausing what is sent, and resuming it, by the pages."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone

from backoffice.citytrips import pauses, services
from backoffice.citytrips.exchange import State
from backoffice.citytrips.models import Pause
from tests.fleet.factories import make
from users.models import User
from users.services import user_create

pytestmark = pytest.mark.django_db

BEGIN = "/admin/citytrips/pause/begin/"
BANNER = "What CityTrips shows of Madrid, Spain is not updated."


def login(client: Client, name: str, *, groups: tuple[str, ...] = ()) -> User:
    person = user_create(username=name, email=f"{name}@example.com", is_staff=True)
    person.groups.add(*Group.objects.filter(name__in=groups))
    client.force_login(person, backend="users.backends.UsernameOrEmailBackend")
    return person


@pytest.fixture
def ana(client: Client) -> User:
    """Somebody of the fleet."""
    services.link_change(state=State.LIVE, reason="", at=timezone.now())
    make("ES-1")
    make("CL-1", country="Chile", city="Santiago", latitude=-33.4, longitude=-70.6)
    return login(client, "ana", groups=("Fleet",))


def pause(client: Client, **values: str) -> str:
    data = {"place": "Spain/Madrid", "reason": "road works", "confirmed": "1", **values}
    return client.post(BEGIN, data, follow=True).content.decode()


def test_a_pause_is_asked_for_confirmed_and_shown_everywhere(client: Client, ana: User) -> None:
    """Chosen with a reason, it is asked whether it is meant; then desk, list and line say it, with who, why and how many."""
    assert "Santiago, Chile (1 vehicle)" in client.get(BEGIN).content.decode()
    asked = client.post(BEGIN, {"place": "Spain/Madrid", "reason": "road\nworks"}).content.decode()
    assert "Pause Madrid, Spain?" in asked
    assert not Pause.objects.exists()
    assert BANNER in pause(client)
    made = Pause.objects.get()
    assert (made.country, made.city, made.reason, made.paused_by) == ("Spain", "Madrid", "road works", ana)
    for page in ("/", "/admin/fleet/vehicle/", "/admin/citytrips/linkstate/1/change/"):
        shown = client.get(page).content.decode()
        assert BANNER in shown, page
        assert "by ana: road works" in shown, page
        assert "1 vehicle waits because of the pause." in shown, page


def test_it_is_resumed_and_kept_in_the_history(client: Client, ana: User) -> None:
    """Whoever resumes is asked first; the banner goes, and who did both stays on the line's page and in the list."""
    pause(client)
    url = f"/admin/citytrips/pause/{Pause.objects.get().pk}/end/"
    assert "road works" in client.get(url).content.decode()
    assert Pause.objects.filter(resumed_at=None).exists()
    ben = login(client, "ben", groups=("Fleet",))
    assert "What waited is sent now." in client.post(url, follow=True).content.decode()
    ended = Pause.objects.get()
    assert (ended.resumed_by, ended.paused_by) == (ben, ana)
    assert BANNER not in client.get("/").content.decode()
    for page in ("/admin/citytrips/linkstate/1/change/", "/admin/citytrips/pause/"):
        shown = client.get(page).content.decode()
        assert "road works" in shown
        assert "ben" in shown
    assert "This was resumed already." in client.post(url, follow=True).content.decode()


def test_everything_can_be_paused_beside_a_city(client: Client, ana: User) -> None:
    """Each is said, and the vehicles that wait are counted once."""
    pause(client)
    shown = pause(client, place="everything")
    assert BANNER in shown
    assert "Nothing of the vehicles is sent to CityTrips." in shown
    assert "2 vehicles wait because of the pause." in shown


def test_what_is_paused_already_stays_one_pause(client: Client, ana: User) -> None:
    """The second is told so."""
    pause(client)
    assert "This is paused already." in pause(client, reason="again")
    assert Pause.objects.get().reason == "road works"


@pytest.mark.parametrize(
    "wrong",
    [{"reason": ""}, {"reason": "  "}, {"reason": "a\0b"}, {"reason": "a\x1bb"}, {"reason": "x" * 301}, {"place": ""},
     {"place": "Spain/Nowhere"}, {"place": "/"}],
)  # fmt: skip
def test_bad_input_is_said_and_pauses_nothing(client: Client, ana: User, wrong: dict[str, str]) -> None:
    """No reason, one that cannot be shown, or a place where no vehicle is."""
    answer = client.post(BEGIN, {"place": "Spain/Madrid", "reason": "road works", "confirmed": "1", **wrong})
    assert answer.status_code == 200
    assert "err" in answer.content.decode()
    assert not Pause.objects.exists()


def test_who_may_not_sees_the_banner_and_no_way_to_act(client: Client, ana: User) -> None:
    """Looking on is enough to know of it; pausing and resuming are a permission of their own."""
    pause(client)
    made = Pause.objects.get()
    login(client, "vera", groups=("Viewer",))
    for page in ("/", "/admin/fleet/vehicle/", "/admin/citytrips/linkstate/1/change/"):
        shown = client.get(page).content.decode()
        assert BANNER in shown, page
        assert "/end/" not in shown, page
        assert BEGIN not in shown, page
    assert client.get("/admin/citytrips/pause/").status_code == 200
    for url in (BEGIN, f"/admin/citytrips/pause/{made.pk}/end/"):
        assert client.get(url).status_code == 403
        assert client.post(url, {"place": "everything", "reason": "x", "confirmed": "1"}).status_code == 403
    made.refresh_from_db()
    assert made.resumed_at is None
    assert Pause.objects.count() == 1


def test_the_permission_alone_is_enough(client: Client, ana: User) -> None:
    """Somebody outside the group may be given it."""
    carl = login(client, "carl")
    carl.user_permissions.add(
        *Permission.objects.filter(codename__in=("pause_sending", "view_linkstate", "view_pause"))
    )
    pause(client)
    assert pauses.pauses_open().get().paused_by == carl
