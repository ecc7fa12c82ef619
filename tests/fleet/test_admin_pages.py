"""What staff do with the list and with a vehicle's own pages."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from fleet import services
from fleet.filters import FILTERS, vehicles_filtered
from fleet.models import FleetRules, RulesChange, SavedFilter, Vehicle, VehicleChange
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db

LIST = reverse("admin:fleet_vehicle_changelist")
CHANGES = reverse("admin:fleet_vehiclechange_changelist")
RULES = reverse("admin:fleet_fleetrules_change", args=[1])
SAVE_FILTER = reverse("admin:fleet_vehicle_filter_save")
BACKEND = "users.backends.UsernameOrEmailBackend"


def signed_in(name: str, *permissions: str) -> Client:
    user = get_user_model().objects.create_user(name, f"{name}@example.org", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user, BACKEND)
    return client


@pytest.fixture
def client() -> Client:
    return signed_in("ana", "view_vehicle", "change_vehicle", "add_vehicle", "view_fleetrules", "change_fleetrules")


@pytest.fixture
def viewer() -> Client:
    return signed_in("eva", "view_vehicle")


def state_url(vehicle: str = "ES-1") -> str:
    return reverse("admin:fleet_vehicle_state", args=[vehicle])


def undo_url(change: VehicleChange) -> str:
    return reverse("admin:fleet_vehicle_undo", args=[change.vehicle_id, change.pk])


def told(client: Client, answer) -> str:
    """The messages that the next page shows."""
    page = client.get(answer["Location"], follow=True) if answer.status_code == 302 else answer
    return " ".join(str(message) for message in page.context["messages"])


# --- The list ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        *(f"{one.name}={value}" for one in FILTERS if one.words is None for value, _label in one.choices()),
        "city=Madrid",
        "city=-",
        "country=Chile&city=Santiago",
        "state=available&state=reserved",
        "state=nonsense",
        "q=ES-1",
        "q=1234+bcd",
        "q=%2C",
        "q=cd&charge=low",
        "city=Nowhere&o=1",
    ],
)
def test_the_list_shows_what_its_address_says(client: Client, query: str) -> None:
    """The list shows exactly the vehicles that the same parameters name on the map and in an export."""
    make("ES-1")
    make("ES-2", battery=3, state="reserved", city="")
    make("CL-1", country="Chile", city="Santiago", latitude=-33.4, longitude=-70.6, plate="BB CL 23", battery=None)
    make("CL-2", country="", city="", latitude=None, longitude=None, plate="", state="removed")
    answer = client.get(f"{LIST}?{query}")
    assert answer.status_code == 200
    shown = {vehicle.pk for vehicle in answer.context["cl"].result_list}
    assert shown == set(vehicles_filtered(answer.wsgi_request.GET).values_list("pk", flat=True))


def test_active_filters_are_chips_that_take_themselves_away(client: Client) -> None:
    """Each value that is set is shown in words, with the address without it."""
    make()
    query = "q=1234&state=available&state=reserved&city=Madrid&charge=enough&p=1"
    answer = client.get(f"{LIST}?{query}")
    chips = [(chip.label, chip.value) for chip in answer.context["active_filters"]]
    assert chips == [
        ("search", "1234"),
        ("state", "Available"),
        ("state", "Reserved"),
        ("battery", "Enough"),
        ("city", "Madrid"),
    ]
    assert answer.context["active_filters"][1].without == "?q=1234&state=reserved&charge=enough&city=Madrid"
    for chip in answer.context["active_filters"]:
        assert client.get(LIST + chip.without).status_code == 200
        assert escape(chip.without) in answer.content.decode()


@pytest.mark.parametrize(
    "query",
    [
        "p=99999999999999999999999",
        "p=-1",
        "p=x",
        "o=99.-99",
        "o=x",
        "q=%00",
        "q=%F0%9F%9A%97",
        "q=" + "x" * 5000,
        "q=" + "%2C".join("abc" for _ in range(300)),
        "state=%ED%A0%80",
        "city=%27%22%3E%3Cscript%3E",
        "plate=duplicate&plate=-&plate=x",
        "silent=yes&silent=never&silent=zzz",
        "all=&_popup=1",
        "e=1",
        "charge=99999-9999999",
        "&".join(f"state={i}" for i in range(500)),
    ],
)
def test_a_hostile_address_is_no_error_of_ours(client: Client, query: str) -> None:
    """Whatever stands in the address, the list answers, or leads back to itself."""
    make()
    answer = client.get(f"{LIST}?{query}")
    assert answer.status_code in (200, 302, 400)
    assert b"<script>" not in answer.content.replace(b"<script>\n", b"")


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def test_query_counts_of_pages(client: Client) -> None:
    """A page takes the same few queries, however much there is to show."""
    make("few")
    make("many")
    for number in range(130):
        services.vehicle_update(vehicle=Vehicle(pk="many"), values={"battery": number % 100}, origin="person")
    services.vehicle_update(vehicle=Vehicle(pk="few"), values={"battery": 99}, origin="person")
    for page, most in (("change", 12), ("history", 9), ("state", 6)):
        urls = [reverse(f"admin:fleet_vehicle_{page}", args=[vehicle]) for vehicle in ("few", "many")]
        queries(client, urls[0])
        assert queries(client, urls[0]) == queries(client, urls[1]) <= most, page
    few = queries(client, f"{CHANGES}?q=few")
    assert few == queries(client, f"{CHANGES}?q=many") <= 14
    SavedFilter.objects.bulk_create(
        SavedFilter(name=f"{n}", query="state=available", owner=get_user_model().objects.get()) for n in range(20)
    )
    listed = queries(client, f"{LIST}?state=available&city=Madrid&q=few")
    assert listed == queries(client, f"{LIST}?state=available&city=Madrid&q=m") <= 12


def test_a_plate_twice_is_pointed_out(client: Client) -> None:
    """The list and the form say that another vehicle has the same plate; it is no error, and removed ones do not count."""
    make("1", plate="SAME")
    make("2", plate="SAME")
    make("3", plate="GONE")
    make("4", plate="GONE", state="removed")
    assert client.get(LIST).content.decode().count("Another vehicle has the same plate") == 2
    page = client.get(reverse("admin:fleet_vehicle_change", args=["1"])).content.decode()
    assert "Another vehicle has the same plate:" in page
    assert reverse("admin:fleet_vehicle_change", args=["2"]) in page
    assert "same plate" not in client.get(reverse("admin:fleet_vehicle_change", args=["3"])).content.decode()


def test_buttons_lead_to_the_same_vehicles(client: Client, viewer: Client) -> None:
    """Map and export take the filters of the list along; who may only look is not offered to import."""
    tools = {tool.label: tool.url for tool in client.get(f"{LIST}?state=available&o=1&p=1").context["tools"]}
    assert tools["Map"].endswith("/fleet/map/?state=available")
    assert tools["Export"].endswith("?state=available")
    assert "Import" in tools
    assert "Import" not in [tool.label for tool in viewer.get(LIST).context["tools"]]


# --- Filters kept under names ------------------------------------------------------------------------------------


def test_a_filter_is_kept_shown_and_dropped(client: Client, viewer: Client) -> None:
    """A person's filter is kept in one spelling, replaced under its name, and its owner's to delete; shared, all see it."""
    make()
    sent = {"name": " Empty ", "query": "charge=low&junk=1&p=3&state=available&csrfmiddlewaretoken=x"}
    answer = client.post(SAVE_FILTER, sent)
    assert answer["Location"] == f"{LIST}?state=available&charge=low"
    kept = SavedFilter.objects.get()
    assert (kept.name, kept.query, kept.shared) == ("Empty", "state=available&charge=low", False)
    assert "Empty" not in viewer.get(LIST).content.decode()
    client.post(SAVE_FILTER, {"name": "Empty", "query": "charge=unknown", "shared": "on"})
    kept.refresh_from_db()
    assert (kept.query, kept.shared) == ("charge=unknown", True)
    assert 'href="?charge=unknown"' in viewer.get(LIST).content.decode()
    delete = reverse("admin:fleet_vehicle_filter_delete", args=[kept.pk])
    assert viewer.post(delete).status_code == 404
    assert client.get(delete).status_code == 405
    assert client.post(delete).status_code == 302
    assert not SavedFilter.objects.exists()


@pytest.mark.parametrize(
    "sent",
    [
        {"name": "", "query": "state=available"},
        {"name": "x" * 61, "query": "state=available"},
        {"name": "a\0b", "query": "state=available"},
        {"name": "x", "query": ""},
        {"name": "x", "query": "junk=1"},
        {"name": "x", "query": "state=\0"},
        {"name": "x", "query": "state=%00"},
        {"name": "x", "query": "city=" + "y" * 3000},
        {"name": "x", "query": "&".join(f"city={n}" for n in range(5000))},
        {},
    ],
    ids=lambda sent: str(sent)[:40],
)
def test_a_filter_that_cannot_be_kept(client: Client, sent: dict[str, str]) -> None:
    """It is said, and nothing is kept."""
    answer = client.post(SAVE_FILTER, sent)
    assert answer.status_code == 302
    assert not SavedFilter.objects.exists()
    assert "was not kept" in told(client, answer)


# --- The state by itself -----------------------------------------------------------------------------------------


def test_the_state_changes_in_the_list(client: Client) -> None:
    """The menu's request changes the vehicle with its history, and answers with what its row shows now."""
    make()
    sent = {"state": "reserved", "seen": "available"}
    answer = client.post(state_url(), sent, headers={"Accept": "application/json"})
    assert answer.status_code == 200
    row = json.loads(answer.content)
    assert 'data-state="reserved"' in row["state"]
    assert "Not offered" in row["citytrips"]
    entry = VehicleChange.objects.get(added=False)
    assert (entry.values, entry.by.username, entry.origin) == ({"state": ["available", "reserved"]}, "ana", "person")
    assert undo_url(entry) in row["message"]


def test_a_state_that_somebody_else_changed_meanwhile(client: Client) -> None:
    """Who saw another state is told, and the row shows the present one."""
    make(state="missing")
    sent = {"state": "reserved", "seen": "available"}
    answer = client.post(state_url(), sent, headers={"Accept": "application/json"})
    assert answer.status_code == 409
    row = json.loads(answer.content)
    assert 'data-state="missing"' in row["state"]
    assert "Missing" in row["message"]
    assert Vehicle.objects.get().state == "missing"
    page = client.post(state_url(), sent)
    assert page.status_code == 409
    assert "Somebody else changed this" in page.content.decode()


def test_the_state_has_a_page_of_its_own(client: Client) -> None:
    """Without a script the chip leads to a form that does the same."""
    make()
    assert f'href="{state_url()}"' in client.get(LIST).content.decode()
    assert client.get(state_url()).status_code == 200
    answer = client.post(state_url(), {"state": "elsewhere", "seen": "available"})
    assert answer["Location"] == reverse("admin:fleet_vehicle_change", args=["ES-1"])
    assert Vehicle.objects.get().state == "elsewhere"
    for bad in ({}, {"state": "asleep"}, {"state": "\0"}, {"state": "reserved", "seen": "x"}):
        assert client.post(state_url(), bad).status_code == 409
        assert client.post(state_url(), bad, headers={"Accept": "application/json"}).status_code == 409
    assert client.post(state_url(), {"state": "elsewhere"}).status_code == 302  # nothing to do
    assert VehicleChange.objects.filter(added=False).count() == 1
    assert client.get(state_url("nobody")).status_code == 404


def test_who_may_only_look_changes_nothing(viewer: Client) -> None:
    """No menu, no undo, no actions, and none of their addresses."""
    make()
    services.vehicle_update(vehicle=Vehicle(pk="ES-1"), values={"battery": 3})
    outcome = services.vehicles_set_state(ids=["ES-1"], state="reserved")
    entry = VehicleChange.objects.first()
    assert state_url() not in viewer.get(LIST).content.decode()
    history = viewer.get(reverse("admin:fleet_vehicle_history", args=["ES-1"]))
    assert history.status_code == 200
    assert undo_url(entry) not in history.content.decode()
    batch = reverse("admin:fleet_vehiclechange_undo_batch", args=[outcome.batch])
    for url in (state_url(), undo_url(entry), batch):
        assert viewer.get(url).status_code == 403
        assert viewer.post(url, {"state": "missing"}).status_code == 403
    assert Vehicle.objects.get().state == "reserved"
    assert viewer.get(CHANGES).status_code == 200
    stranger = signed_in("bob", "view_user")
    for url in (CHANGES, reverse("admin:fleet_vehicle_history", args=["ES-1"]), LIST):
        assert stranger.get(url).status_code == 403
    assert stranger.post(SAVE_FILTER, {"name": "x", "query": "state=available"}).status_code == 403


# --- Many at once ------------------------------------------------------------------------------------------------


def acted(client: Client, action: str, *ids: str, query: str = "", **more: str):
    return client.post(f"{LIST}{query}", {"action": action, "_selected_action": ids, "index": "0", **more})


def test_an_action_names_the_skipped_and_offers_to_undo(client: Client) -> None:
    """What was done, who was left out and why, and the way back, which is followed."""
    make("1")
    make("2", state="reserved", plate="HAD IT")
    make("3", state="removed", plate="GONE")
    message = told(client, acted(client, "set_reserved", "1", "2", "3"))
    assert "1 vehicle changed: Reserved." in message
    assert "1 already so (HAD IT)" in message
    assert "1 removed (GONE)" in message
    batch = VehicleChange.objects.get(batch__isnull=False).batch
    url = reverse("admin:fleet_vehiclechange_undo_batch", args=[batch])
    assert f'href="{url}"' in message
    assert "Undo this action?" in client.get(url).content.decode()
    answer = client.post(url)
    assert "1 vehicle undone." in told(client, answer)
    assert Vehicle.objects.get(pk="1").state == "available"
    assert client.get(reverse("admin:fleet_vehiclechange_undo_batch", args=[uuid4()])).status_code == 404


def test_an_action_on_all_of_a_filter_is_set_wise(client: Client) -> None:
    """All that a filter shows are changed, beyond the page, in as many queries however many there are."""

    def cost(number: int, state: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            answer = acted(client, f"set_{state}", "A0", query=f"?city=C{number}", select_across="1")
        assert f"{number} vehicles changed" in told(client, answer)
        return len(captured)

    for number in (60, 300):
        Vehicle.objects.bulk_create(Vehicle(id=f"{number}-{i}", city=f"C{number}") for i in range(number))
    Vehicle.objects.create(id="A0", city="other")
    cost(60, "missing")
    assert cost(60, "reserved") == cost(300, "reserved")
    assert Vehicle.objects.filter(state="reserved").count() == 360
    assert Vehicle.objects.get(pk="A0").state == "available"


def test_moving_asks_where(client: Client) -> None:
    """The page names the vehicles, takes the city, says what cannot be, and moves."""
    for number in range(7):
        make(f"V{number}", plate=f"P{number}")
    ids = [f"V{number}" for number in range(7)]
    page = acted(client, "move", *ids)
    assert page.status_code == 200
    assert "7 vehicles are to move" in page.content.decode()
    assert "and 2 more" in " ".join(page.content.decode().split())
    page = client.post(LIST, {"action": "move", "_selected_action": ids, "apply": "1", "city": " "})
    assert page.context["form"].errors
    page = client.post(LIST, {"action": "move", "_selected_action": ids, "apply": "1", "city": "a\x01"})
    assert page.context["form"].errors
    sent = {"action": "move", "_selected_action": ids, "apply": "1", "city": "Toledo", "country": ""}
    assert "7 vehicles moved: Toledo." in told(client, client.post(LIST, sent))
    sent |= {"country": "Chile", "city": "Santiago"}
    message = told(client, client.post(LIST, sent))
    assert "7 its position is not in Chile (P0, P1, P2, P3, P4 …)" in message
    assert "Undo" not in message
    assert set(Vehicle.objects.values_list("city", "country")) == {("Toledo", "Spain")}


def test_retiring_asks_first(client: Client) -> None:
    """The page says how many; if they have become others meanwhile, it asks again."""
    for number in range(3):
        make(f"V{number}", city="Old")
    page = acted(client, "retire", "V0", query="?city=Old", select_across="1")
    assert "Retire 3 vehicles" in page.content.decode()
    assert Vehicle.objects.filter(state="removed").count() == 0
    make("V3", city="Old")
    sent = {"action": "retire", "_selected_action": ["V0"], "select_across": "1", "apply": "3"}
    page = client.post(f"{LIST}?city=Old", sent)
    assert "Retire 4 vehicles" in page.content.decode()
    assert Vehicle.objects.filter(state="removed").count() == 0
    answer = client.post(f"{LIST}?city=Old", {**sent, "apply": "4"})
    assert "4 vehicles retired." in told(client, answer)
    assert Vehicle.objects.filter(state="removed").count() == 4


def test_sending_again_leaves_out_what_is_not_sent(client: Client, settings) -> None:
    """Only what CityTrips holds or is to hold is sent again; the others are named with the reason."""
    settings.SANDBOX = False
    make("1")
    make("2", battery=3, plate="LOW")
    make("3", state="on_trip", plate="AWAY")
    make("4", state="removed", plate="GONE")
    make("5", state="on_trip")
    services.vehicle_create(id="6", is_demo=True, plate="DEMO")
    Vehicle.objects.filter(pk="5").update(listed=True)
    message = told(client, acted(client, "resend", *"123456"))
    assert "2 vehicles are pending again." in message
    for words in (
        "1 withheld, so not sent (LOW)",
        "1 not offered, so not sent (AWAY)",
        "1 removed (GONE)",
        "1 demo, never sent (DEMO)",
    ):
        assert words in message


# --- History and undo --------------------------------------------------------------------------------------------


def test_history_tells_and_undoes(client: Client) -> None:
    """Who, from where, old and new in words; undo shows what it will do, and does it once."""
    make()
    sent = {"state": "non_operational", "seen": "available"}
    client.post(state_url(), sent)
    entry = VehicleChange.objects.get(added=False)
    url = reverse("admin:fleet_vehicle_history", args=["ES-1"])
    page = client.get(url).content.decode()
    for words in ("Out of service", "By hand", "API", "Added", undo_url(entry)):
        assert words in page
    page = client.get(undo_url(entry)).content.decode()
    assert "Undoing it sets" in page
    answer = client.post(undo_url(entry))
    assert answer["Location"] == url
    assert Vehicle.objects.get().state == "available"
    page = client.get(url).content.decode()
    assert "undone" in page
    assert undo_url(entry) not in page
    again = client.post(undo_url(entry))
    assert again.status_code == 409
    assert "nothing left to undo" in again.content.decode()


def test_undo_keeps_what_is_newer(client: Client) -> None:
    """What was changed since is shown and stays; the rest is undone when that is said."""
    make()
    services.vehicle_update(vehicle=Vehicle(pk="ES-1"), values={"battery": 30, "city": "Toledo"})
    entry = VehicleChange.objects.first()
    services.vehicle_update(vehicle=Vehicle(pk="ES-1"), values={"battery": 29})
    page = client.get(undo_url(entry)).content.decode()
    assert "Changed since" in page
    assert "Undo the rest" in page
    refused = client.post(undo_url(entry))
    assert refused.status_code == 409
    assert "Changed since: battery." in refused.content.decode()
    client.post(undo_url(entry), {"partly": "1"})
    assert Vehicle.objects.values_list("battery", "city").get() == (29, "Madrid")


def test_undo_of_what_would_be_invalid(client: Client) -> None:
    """The reason is said, and nothing changes."""
    make()
    services.vehicle_update(
        vehicle=Vehicle(pk="ES-1"), values={"country": "France", "latitude": None, "longitude": None}
    )
    entry = VehicleChange.objects.first()
    services.vehicle_update(vehicle=Vehicle(pk="ES-1"), values={"latitude": 48.8, "longitude": 2.3})
    answer = client.post(undo_url(entry), {"partly": "1"})
    assert answer.status_code == 409
    assert "not be a valid one" in answer.content.decode()
    assert Vehicle.objects.get().country == "France"


def test_undo_is_of_this_vehicle_only(client: Client) -> None:
    """Another vehicle's change has no page here, and neither has one that is not there."""
    make("A")
    make("B")
    entry = VehicleChange.objects.get(vehicle="A")
    for url in (
        reverse("admin:fleet_vehicle_undo", args=["B", entry.pk]),
        reverse("admin:fleet_vehicle_undo", args=["A", 10**9]),
        reverse("admin:fleet_vehicle_undo", args=["C", entry.pk]),
    ):
        assert client.get(url).status_code == 404
        assert client.post(url).status_code == 404


def test_history_pages(client: Client) -> None:
    """A long history comes in pages; a page that is not there is the nearest one."""
    make()
    for number in range(60):
        services.vehicle_update(vehicle=Vehicle(pk="ES-1"), values={"battery": number})
    url = reverse("admin:fleet_vehicle_history", args=["ES-1"])
    assert len(client.get(url).context["entries"]) == 50
    assert len(client.get(f"{url}?p=2").context["entries"]) == 11
    for page in ("999", "-1", "x", "9" * 30):
        assert client.get(f"{url}?p={page}").status_code == 200


def test_texts_are_shown_as_texts(client: Client) -> None:
    """What somebody typed is never markup, wherever it is shown."""
    bad = "<b>x</b><script>alert(1)</script>"
    make("ES-1", note=bad, city=bad[:80], model="{{ 1 }}{% x %}", plate="<I>")
    services.vehicles_set_state(ids=["ES-1"], state="missing")
    SavedFilter.objects.create(name=bad, query=f"q={bad}", owner=get_user_model().objects.get())
    batch = VehicleChange.objects.first().batch
    message = told(client, acted(client, "set_missing", "ES-1"))
    assert "&lt;I&gt;" in message
    for url in (
        LIST,
        f"{LIST}?city={bad}&q={bad}",
        CHANGES,
        reverse("admin:fleet_vehicle_change", args=["ES-1"]),
        reverse("admin:fleet_vehicle_history", args=["ES-1"]),
        undo_url(VehicleChange.objects.first()),
        reverse("admin:fleet_vehiclechange_undo_batch", args=[batch]),
        state_url(),
    ):
        assert "<script>alert" not in client.get(url).content.decode(), url


def test_all_changes_in_one_list(client: Client) -> None:
    """The fleet's changes narrow by where they came from, by whom, by field and by vehicle, and cannot be edited."""
    make("A", plate="PLATE")
    make("B")
    client.post(state_url("A"), {"state": "missing"})
    services.vehicle_update(vehicle=Vehicle(pk="B"), values={"battery": 3})
    ana = get_user_model().objects.get(username="ana")

    def found(query: str) -> list[str]:
        answer = client.get(f"{CHANGES}?{query}")
        assert answer.status_code == 200, query
        return sorted(row.vehicle_id for row in answer.context["cl"].result_list)

    assert found("") == ["A", "A", "B", "B"]
    assert found("origin__exact=person") == ["A"]
    assert found(f"by={ana.pk}") == ["A"]
    assert found("by=-") == ["A", "B", "B"]
    assert found("field=battery") == ["B"]
    assert found("field=added") == ["A", "B"]
    assert found("field=nonsense") == []
    assert found("q=plat") == ["A", "A"]
    assert found("q=b") == ["B", "B"]
    entry = VehicleChange.objects.first()
    page = client.get(reverse("admin:fleet_vehiclechange_change", args=[entry.pk]))
    assert page["Location"] == reverse("admin:fleet_vehicle_history", args=["B"])
    assert client.post(reverse("admin:fleet_vehiclechange_delete", args=[entry.pk]), {"post": "yes"}).status_code == 403
    for bad in ("by=x", "by=" + "9" * 30, "by=%F0%9F%9A%97", "at__year=x"):
        assert client.get(f"{CHANGES}?{bad}").status_code in (200, 302, 400)


# --- The rules ---------------------------------------------------------------------------------------------------


def test_rules_that_keep_many_back_ask_first(client: Client) -> None:
    """More than a few vehicles withheld: how many is said, and done when saved again, with the same values only."""
    FleetRules.objects.create(id=1)
    for number in range(8):
        make(f"V{number}", battery=40)
    sent = {"minimum_battery": "50", "silence_limit": "", "confirmed": ""}
    page = client.post(RULES, sent)
    assert page.status_code == 200
    assert "8 vehicles are withheld. Save again" in page.content.decode()
    assert FleetRules.objects.get().minimum_battery == 20
    confirmed = page.context["adminform"].form["confirmed"].value()
    page = client.post(RULES, {**sent, "minimum_battery": "60", "confirmed": confirmed})
    assert page.status_code == 200
    answer = client.post(RULES, {**sent, "confirmed": confirmed})
    assert answer.status_code == 302
    assert "8 vehicles are withheld" in told(client, answer)
    assert FleetRules.objects.get().minimum_battery == 50
    change = RulesChange.objects.get()
    assert (change.by.username, change.values) == ("ana", {"minimum_battery": [20, 50]})
    page = client.get(RULES).content.decode()
    assert "20 %" in page
    assert "50 %" in page
    answer = client.post(RULES, {"minimum_battery": "10", "silence_limit": "", "confirmed": ""})
    assert answer.status_code == 302  # what only offers more is simply done
    assert "8 more are offered" in told(client, answer)


def test_a_vehicle_at_a_glance(client: Client) -> None:
    """Its page begins with whether it is offered, in words, where it is, and what was done with it lately."""
    make(battery=12)
    for number in range(7):
        services.vehicle_update(vehicle=Vehicle(pk="ES-1"), values={"note": str(number)})
    answer = client.get(reverse("admin:fleet_vehicle_change", args=["ES-1"]))
    assert "Withheld: battery 12 % is below 20 %" in answer.content.decode()
    assert len(answer.context["changes"]) == 5
    assert "40.41680, -3.70380" in answer.content.decode()
