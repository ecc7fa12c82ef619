"""What is written down of each change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backoffice.citytrips import bridge
from fleet import services
from fleet.history import changes_prune, from_json
from fleet.models import RulesChange, Vehicle, VehicleChange
from fleet.telemetry import Signal, telemetry_receive
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def ana() -> object:
    return get_user_model().objects.create_user(username="ana")


def told(vehicle: str = "ES-1") -> list[tuple[str, dict[str, list[object]]]]:
    """The entries of a vehicle, the oldest first, without that of its making."""
    rows = VehicleChange.objects.filter(vehicle_id=vehicle, added=False).order_by("id")
    return [(row.origin, row.values) for row in rows]


def test_an_addition_holds_all_that_is_known(ana: object) -> None:
    """A new vehicle's entry says who added it and what with; what is not known stays out."""
    signal = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
    vehicle = services.vehicle_create(id="A", plate="x 1", last_signal_at=signal, by=ana, origin="person")
    row = VehicleChange.objects.get()
    assert (row.vehicle_id, row.by, row.origin, row.added, row.at) == ("A", ana, "person", True, vehicle.created_at)
    assert row.values == {
        "plate": [None, "X 1"],
        "kind": [None, "car"],
        "state": [None, "available"],
        "last_signal_at": [None, "2026-11-01T12:00:00.123456+00:00"],
    }
    assert from_json("last_signal_at", row.values["last_signal_at"][1]) == signal


def test_an_update_holds_old_and_new_of_what_differs(ana: object) -> None:
    """Only what really changed is written down, as it is kept; nothing where nothing changed."""
    vehicle = make()
    services.vehicle_update(vehicle=vehicle, values={"battery": 80, "plate": "1234 bcd "}, by=ana, origin="person")
    assert told() == []
    values = {"battery": 15, "latitude": None, "longitude": None, "city": "Madrid"}
    services.vehicle_update(vehicle=vehicle, values=values, by=ana, origin="person")
    assert told() == [
        ("person", {"battery": [80, 15], "latitude": [40.4168, None], "longitude": [-3.7038, None]}),
    ]
    services.vehicle_update(vehicle=vehicle, values={"note": 'ñ "q" \''})
    assert told()[1:] == [("api", {"note": ["", 'ñ "q" \'']})]


def test_a_refused_update_leaves_no_trace() -> None:
    """What is not changed is not written down either."""
    vehicle = make()
    with pytest.raises(Exception, match="Atlantic"):
        services.vehicle_update(vehicle=vehicle, values={"latitude": 0.0, "longitude": 0.0, "battery": 4})
    assert told() == []


def test_devices_and_the_line_write_no_history() -> None:
    """Telemetry, silence, and what the line notes leave no entries."""
    make()
    telemetry_receive(signals=[Signal(0, "ES-1", {"battery": 7}, None)])
    services.vehicles_list(ids=["ES-1"])
    services.vehicles_settle(versions={"ES-1": 1}, listed=True)
    services.vehicles_resend(ids=["ES-1"])
    services.rules_update(minimum_battery=50, silence_limit=1)
    services.silence_update(now=timezone.now() + timedelta(hours=1))
    assert told() == []


def test_many_at_once_share_a_batch(ana: object) -> None:
    """A bulk action writes each vehicle's own old state, and names the skipped ones with the reason."""
    make("1")
    make("2", state="on_trip")
    make("3", state="reserved")
    make("4", state="removed", plate="GONE")
    outcome = services.vehicles_set_state(ids=["1", "2", "3", "4", "nobody"], state="reserved", by=ana, origin="person")
    assert outcome.changed == 2
    assert [(one.id, one.name, one.code) for one in outcome.skipped] == [
        ("3", "1234 BCD", "same"),
        ("4", "GONE", "removed"),
    ]
    rows = list(VehicleChange.objects.filter(batch=outcome.batch).order_by("vehicle_id"))
    assert [(row.vehicle_id, row.values, row.by, row.origin) for row in rows] == [
        ("1", {"state": ["available", "reserved"]}, ana, "person"),
        ("2", {"state": ["on_trip", "reserved"]}, ana, "person"),
    ]
    again = services.vehicles_set_state(ids=["1", "2"], state="reserved")
    assert (again.changed, again.batch, len(again.skipped)) == (0, None, 2)


def test_moving_many() -> None:
    """A move takes city and country; who stands elsewhere, is there already or is removed stays and is named."""
    make("1")
    make("2", city="Valencia")
    make("3", latitude=None, longitude=None)
    make("4", state="removed")
    make("5", country="Chile", latitude=-33.4, longitude=-70.6, city="Santiago")
    outcome = services.vehicles_move(ids=list("12345"), city=" Valencia ")
    assert (outcome.changed, [(one.id, one.code) for one in outcome.skipped]) == (3, [("2", "same"), ("4", "removed")])
    assert told("5") == [("api", {"city": ["Santiago", "Valencia"]})]
    outcome = services.vehicles_move(ids=list("12345"), city="Santiago", country="cl")
    assert outcome.changed == 2
    assert [(one.id, one.code, one.reason) for one in outcome.skipped] == [
        ("1", "position", "its position is not in Chile"),
        ("2", "position", "its position is not in Chile"),
        ("4", "removed", "removed"),
    ]
    assert told("3")[1] == ("api", {"city": ["Valencia", "Santiago"], "country": ["Spain", "Chile"]})
    for place in ({"city": " "}, {"city": "x" * 81}, {"city": "a\x00"}, {"city": "A", "country": "\x01"}):
        with pytest.raises(Exception, match=r"place|which city"):
            services.vehicles_move(ids=["1"], **place)


def test_a_bulk_action_is_set_wise() -> None:
    """A thousand vehicles take as many queries as ten."""

    def queries(number: int, state: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert services.vehicles_set_state(ids=[f"Q{i}" for i in range(number)], state=state).changed == number
        return len(captured)

    Vehicle.objects.bulk_create(Vehicle(id=f"Q{i}") for i in range(1000))
    assert queries(10, "reserved") == queries(1000, "on_trip")
    assert VehicleChange.objects.count() == 1010


def test_rules_are_written_down(ana: object) -> None:
    """A change of the rules is kept with who made it; saving the same is none."""
    services.rules_update(minimum_battery=20, silence_limit=None, by=ana)
    services.rules_update(minimum_battery=35, silence_limit=None, by=ana)
    services.rules_update(minimum_battery=35, silence_limit=60)
    assert [(row.by, row.values) for row in RulesChange.objects.all()] == [
        (None, {"silence_limit": [None, 60]}),
        (ana, {"minimum_battery": [20, 35]}),
    ]


def test_pruning_takes_the_old_only() -> None:
    """What is older than asked for goes, the rest stays, and the vehicles anyway."""
    make()
    services.vehicle_update(vehicle=Vehicle.objects.get(), values={"battery": 5})
    VehicleChange.objects.filter(added=True).update(at=timezone.now() - timedelta(days=500))
    assert bridge.history_prune() == 1  # what the worker does every hour
    assert told() == [("api", {"battery": [80, 5]})]
    assert changes_prune(before=timezone.now() - timedelta(days=400)) == 0
