"""Vehicles in the admin: the list, the form, and two people at one vehicle."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from fleet.models import FleetRules, Vehicle, VehicleChange
from fleet.services import vehicle_update, vehicles_settle
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db

LIST = reverse("admin:fleet_vehicle_changelist")
ADD = reverse("admin:fleet_vehicle_add")
BACKEND = "users.backends.UsernameOrEmailBackend"


def page(id: str = "ES-1") -> str:
    return reverse("admin:fleet_vehicle_change", args=[id])


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ana", "ana@example.org", "x"), BACKEND)
    return client


def typed(**values: object) -> dict[str, object]:
    return {
        "plate": "1234 BCD",
        "state": "available",
        "battery": "80",
        "last_signal_at_0": "",
        "last_signal_at_1": "",
        "country": "Spain",
        "city": "Madrid",
        "latitude": "40.4168",
        "longitude": "-3.7038",
        "kind": "car",
        "model": "",
        "vin": "",
        "note": "",
        **values,
    }


def listed(client: Client, **asked: object) -> list[str]:
    answer = client.get(LIST, asked)
    assert answer.status_code == 200
    return [vehicle.pk for vehicle in answer.context["cl"].result_list]


def test_query_count_of_the_list(client: Client) -> None:
    """The list takes the same few queries, however many vehicles it shows."""

    def queries(number: int) -> int:
        for index in range(number):
            make(f"{number}-{index}", battery=index, plate="" if index % 2 else f"{index} X")
        with CaptureQueriesContext(connection) as captured:
            answer = client.get(LIST)
        assert len(answer.context["cl"].result_list) >= number
        return len(captured)

    queries(1)  # what the first request of a process asks besides
    assert queries(2) == queries(40) <= 12


def test_the_list_says_why(client: Client) -> None:
    """A withheld vehicle shows its reasons in words beside its status."""
    make(battery=12)
    body = client.get(LIST).content.decode()
    assert "Withheld" in body
    assert "battery 12 % is below 20 %" in body


def test_search(client: Client) -> None:
    """Vehicles are found by plate with or without spaces, by id and by VIN."""
    make("ES-1", plate="4821 KLM", vin="VIN123")
    make("ES-2", plate="9999 ZZZ")
    for words in ("4821 klm", "4821KLM", "es-1", "vin123"):
        assert listed(client, q=words) == ["ES-1"]
    assert client.get(LIST, {"q": "nothing\x00"}).status_code < 500


def test_filters(client: Client) -> None:
    """The list narrows by state, by CityTrips' status and by battery."""
    make("1")
    make("2", battery=3)
    make("3", battery=None)
    make("4", state="reserved")
    vehicles_settle(versions={"1": 1}, listed=True)
    assert listed(client, citytrips="settled") == ["1"]
    assert listed(client, citytrips="withheld") == ["2", "3"]
    assert listed(client, charge="low") == ["2"]
    assert listed(client, charge="unknown") == ["3"]
    assert listed(client, charge="enough", state="reserved") == ["4"]


def test_add(client: Client) -> None:
    """A vehicle that is typed in is spelled as we keep it, and gets its place in the history."""
    answer = client.post(ADD, typed(id="ES-9", plate=" 77 ab ", country="españa"))
    assert answer.status_code == 302, answer.context["errors"]
    vehicle = Vehicle.objects.get()
    assert (vehicle.plate, vehicle.country, vehicle.version) == ("77 AB", "Spain", 1)
    entry = VehicleChange.objects.get()
    assert (entry.added, entry.origin, entry.by.username) == (True, "person", "ana")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"id": "a b"}, "id"),
        ({"id": "ES-1"}, "id"),
        ({"battery": "101"}, "battery"),
        ({"latitude": ""}, "latitude"),
        ({"latitude": "0", "longitude": "0"}, "longitude"),
        ({"latitude": "nan"}, "latitude"),
        ({"latitude": "-33.4", "longitude": "-70.6"}, "longitude"),
        ({"state": "asleep"}, "state"),
        ({"last_signal_at_0": "tomorrow", "last_signal_at_1": "x"}, "last_signal_at"),
    ],
    ids=str,
)
def test_add_refuses(client: Client, values: dict[str, str], field: str) -> None:
    """A bad value stays on the page with its error at its field."""
    make("ES-1")
    answer = client.post(ADD, typed(**{"id": "ES-9", **values}))
    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
    assert Vehicle.objects.count() == 1


def test_change_writes_what_was_typed_over(client: Client) -> None:
    """What others changed while the form was open stays, and the change is pending and in the history."""
    make()
    vehicles_settle(versions={"ES-1": 1}, listed=True)
    client.get(page())
    Vehicle.objects.update(settled_version=1, city="Madrid")
    answer = client.post(page(), typed(battery="44"))
    assert answer.status_code == 302
    vehicle = Vehicle.objects.get()
    assert (vehicle.battery, vehicle.version, vehicle.settled_version, vehicle.listed) == (44, 2, 1, True)
    entry = VehicleChange.objects.get(added=False)
    assert (entry.values, entry.origin, entry.by.username) == ({"battery": [80, 44]}, "person", "ana")


def test_saving_without_a_change(client: Client) -> None:
    """Saving an untouched form tells CityTrips nothing."""
    make()
    assert client.post(page(), typed()).status_code == 302
    assert Vehicle.objects.get().version == 1


def test_the_id_is_fixed(client: Client) -> None:
    """The id of a vehicle cannot be typed over, and a page for an id that is not there says so."""
    make()
    client.post(page(), typed(id="ES-2"))
    assert Vehicle.objects.get().pk == "ES-1"
    assert client.get(page("ES-404")).status_code == 302


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ({}, "CityTrips has not got it yet"),
        ({"listed": True}, "CityTrips has an earlier state"),
        ({"settled_version": 1}, "CityTrips has the vehicle as it is now"),
        ({"objected_version": 1}, "CityTrips objected"),
        ({"state": "reserved", "listed": True}, "about to be withdrawn"),
    ],
    ids=str,
)
def test_the_form_says_what_citytrips_has(client: Client, prepare: dict[str, object], words: str) -> None:
    """The page tells in words where the vehicle stands with CityTrips."""
    make()
    Vehicle.objects.update(**prepare)
    assert words in client.get(page()).content.decode()


def test_bulk_state(client: Client) -> None:
    """Many vehicles change state at once, and each has it in its history."""
    for id in ("1", "2", "3"):
        make(id)
    client.post(LIST, {"action": "set_reserved", "_selected_action": ["1", "2"]})
    assert list(Vehicle.objects.values_list("state", flat=True)) == ["reserved", "reserved", "available"]
    entries = VehicleChange.objects.filter(added=False)
    assert sorted(entries.values_list("vehicle", flat=True)) == ["1", "2"]
    assert all(entry.values == {"state": ["available", "reserved"]} for entry in entries)


def test_bulk_resend(client: Client) -> None:
    """Vehicles can be sent again by hand."""
    make()
    vehicles_settle(versions={"ES-1": 1}, listed=True)
    client.post(LIST, {"action": "resend", "_selected_action": ["ES-1"]})
    assert Vehicle.objects.pending().exists()


def test_nothing_is_deleted(client: Client) -> None:
    """There is no way to delete a vehicle here."""
    make()
    assert client.post(reverse("admin:fleet_vehicle_delete", args=["ES-1"]), {"post": "yes"}).status_code == 403
    client.post(LIST, {"action": "delete_selected", "_selected_action": ["ES-1"], "post": "yes"})
    assert Vehicle.objects.exists()


def test_viewers_change_nothing() -> None:
    """Who may only look gets no actions and no way to write."""
    user = get_user_model().objects.create_user("eva", "eva@example.org", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_vehicle"))
    client = Client()
    client.force_login(user, BACKEND)
    make()
    assert client.get(page()).status_code == 200
    assert client.post(page(), typed(battery="1")).status_code == 403
    client.post(LIST, {"action": "retire", "apply": "1", "_selected_action": ["ES-1"]})
    assert Vehicle.objects.values_list("battery", "state").get() == (80, "available")


def test_rules(client: Client) -> None:
    """The rules are one page; saving them makes the vehicles pending for which they decide."""
    make(battery=25)
    vehicles_settle(versions={"ES-1": 1}, listed=True)
    answer = client.get(reverse("admin:fleet_fleetrules_changelist"), follow=True)
    assert answer.status_code == 200
    answer = client.post(answer.redirect_chain[-1][0], {"minimum_battery": "30", "silence_limit": ""})
    assert answer.status_code == 302
    assert FleetRules.objects.get().minimum_battery == 30
    assert Vehicle.objects.pending().exists()
    assert Vehicle.objects.get().citytrips_status == "withheld"


# --- Two people, one vehicle -------------------------------------------------------------------------------------


def opened(client: Client, id: str = "ES-1") -> dict[str, object]:
    """What a browser would send of the vehicle's page as it is now, with nothing typed."""
    form = client.get(page(id)).context["adminform"].form
    sent: dict[str, object] = {}
    for bound in form:
        value = bound.value()
        parts = bound.field.widget.decompress(value) if hasattr(bound.field.widget, "decompress") else None
        if parts is None:
            sent[bound.html_name] = "" if value is None else value
        else:
            for number, part in enumerate(parts):
                shown = part.replace(microsecond=0) if isinstance(part, time) else part
                sent[f"{bound.html_name}_{number}"] = shown or ""
    return sent


def test_an_old_page_writes_only_what_was_typed(client: Client) -> None:
    """What others changed since the page was opened stays, whatever the page still shows of it."""
    make(note="one\ntwo", last_signal_at=timezone.now() - timedelta(hours=1))
    sent = opened(client)
    vehicle_update(vehicle=Vehicle.objects.get(), values={"battery": 11, "state": "non_operational", "latitude": 40.5})
    assert client.post(page(), {**sent, "model": "Zoe"}).status_code == 302
    vehicle = Vehicle.objects.get()
    assert (vehicle.model, vehicle.battery, vehicle.state, vehicle.latitude) == ("Zoe", 11, "non_operational", 40.5)
    assert VehicleChange.objects.filter(origin="person").get().values == {"model": ["", "Zoe"]}


def test_an_untouched_old_page_changes_nothing(client: Client) -> None:
    """Saving a page on which nothing was typed writes nothing, though the vehicle is another by now."""
    make(note="one\ntwo", last_signal_at=timezone.now() - timedelta(hours=1))
    sent = opened(client)
    vehicle_update(
        vehicle=Vehicle.objects.get(), values={"plate": "9", "note": "three", "last_signal_at": timezone.now()}
    )
    before = Vehicle.objects.values().get()
    assert client.post(page(), {**sent, "note": "one\r\ntwo"}).status_code == 302
    assert Vehicle.objects.values().get() == before


@pytest.mark.parametrize(
    ("values", "typing", "field", "words"),
    [
        ({"battery": 11}, {"battery": "44"}, "battery", "it is now “11”"),
        ({"battery": None}, {"battery": "44"}, "battery", "it is now empty"),
        ({"state": "missing"}, {"state": "reserved"}, "state", "it is now “Missing”"),
        ({"latitude": 40.5}, {"longitude": "-3.6"}, "longitude", "it is now “40.5, -3.7038”"),
        (
            {"last_signal_at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC)},
            {"last_signal_at_0": "2026-01-01", "last_signal_at_1": "00:00:00"},
            "last_signal_at",
            "2 January 2026, 03:04",
        ),
    ],
    ids=str,
)
def test_the_same_field_typed_by_two(
    client: Client, values: dict[str, object], typing: dict[str, str], field: str, words: str
) -> None:
    """Who comes second is told at the field, keeps what was typed, and may save again to mean it."""
    make()
    sent = {**opened(client), **typing, "note": "mine"}
    vehicle_update(vehicle=Vehicle.objects.get(), values=values)
    before = Vehicle.objects.values().get()
    answer = client.post(page(), sent)
    assert answer.status_code == 200
    form = answer.context["adminform"].form
    assert list(form.errors) == [field]
    assert words in form.errors[field][0]
    assert Vehicle.objects.values().get() == before
    assert form["note"].value() == "mine"
    assert form["shown"].as_hidden() in answer.content.decode()
    assert client.post(page(), {**sent, "shown": form["shown"].value()}).status_code == 302
    after = Vehicle.objects.values().get()
    assert after["note"] == "mine"
    assert after[field] != before[field]


def test_the_same_value_typed_by_two(client: Client) -> None:
    """Two who mean the same do not disagree."""
    make()
    sent = opened(client)
    vehicle_update(vehicle=Vehicle.objects.get(), values={"battery": 44})
    assert client.post(page(), {**sent, "battery": "44"}).status_code == 302


def test_what_is_typed_survives_another_error(client: Client) -> None:
    """What was typed counts as typed after a page was refused for something else."""
    make()
    sent = {**opened(client), "last_signal_at_0": "2026-01-01", "last_signal_at_1": "00:00:00", "battery": "101"}
    form = client.post(page(), sent).context["adminform"].form
    assert client.post(page(), {**sent, "battery": "9", "shown": form["shown"].value()}).status_code == 302
    assert Vehicle.objects.get().last_signal_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("shown", ["", "{", "[]", "1", '{"last_signal_at": 5, "battery": {}}', "[" * 50_000, "\x00"])
def test_a_page_that_does_not_say_what_it_showed(client: Client, shown: str) -> None:
    """A form without its own record, or with nonsense in it, is compared with the vehicle as it is."""
    make()
    assert client.post(page(), typed(battery="44", shown=shown)).status_code == 302
    assert Vehicle.objects.values_list("battery", "version").get() == (44, 2)


@pytest.mark.parametrize(
    ("day", "hour"), [("0001-01-01", "00:00:00"), ("9999-12-31", "23:59:59"), ("2090-01-01", "00:00:00")]
)
@pytest.mark.parametrize("zone", ["UTC", "America/Santiago", "Pacific/Auckland"])
def test_a_last_signal_that_cannot_be(client: Client, day: str, hour: str, zone: str) -> None:
    """A time before the fleet, or of the future, stays on the page with its error, in every time zone."""
    get_user_model().objects.update(time_zone=zone)
    make()
    answer = client.post(page(), typed(last_signal_at_0=day, last_signal_at_1=hour))
    assert answer.status_code == 200
    assert list(answer.context["adminform"].form.errors) == ["last_signal_at"]
