"""The services that write vehicles."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fleet import events, services
from fleet.errors import StaleVehicle
from fleet.models import FleetRules, Vehicle
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def heard() -> Iterator[list[object]]:
    told: list[object] = []

    def receive(sender: object, **kwargs: object) -> None:
        told.append(sender)

    events.vehicles_changed.connect(receive)
    yield told
    events.vehicles_changed.disconnect(receive)


def pending() -> list[str]:
    return sorted(Vehicle.objects.pending().values_list("id", flat=True))


def settle_all() -> None:
    services.vehicles_settle(versions=dict(Vehicle.objects.values_list("id", "version")), listed=True)


def test_create_spells_as_we_keep() -> None:
    """Plates are in capitals with single spaces, countries in English, texts without spaces around."""
    vehicle = make(plate=" 1234  bcd ", country="españa", city=" Madrid ")
    assert (vehicle.plate, vehicle.country, vehicle.city) == ("1234 BCD", "Spain", "Madrid")
    assert (vehicle.version, vehicle.settled_version, vehicle.listed) == (1, 0, False)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"id": "a b"}, "id"),
        ({"battery": 101}, "battery"),
        ({"latitude": 91.0}, "latitude"),
        ({"latitude": None}, "latitude"),
        ({"latitude": 0.0, "longitude": 0.0}, "longitude"),
        ({"latitude": float("nan")}, "longitude"),
        ({"country": "Chile"}, "longitude"),
        ({"state": "asleep"}, "state"),
        ({"plate": "a\x00b"}, "plate"),
    ],
    ids=str,
)
def test_create_refuses(values: dict[str, object], field: str) -> None:
    """A bad value is refused under its field's name."""
    with pytest.raises(ValidationError) as caught:
        make(**values)
    assert field in caught.value.message_dict


def test_create_twice() -> None:
    """An id that exists is refused, and the vehicle stays as it is."""
    make(battery=50)
    with pytest.raises(ValidationError), transaction.atomic():
        make(battery=60)
    assert Vehicle.objects.get().battery == 50


def test_update_writes_what_differs() -> None:
    """An update of the same values writes nothing; another one returns the vehicle as it is now."""
    vehicle = make()
    with CaptureQueriesContext(connection) as queries:
        services.vehicle_update(vehicle=vehicle, values={"battery": 80, "plate": "1234 bcd"})
    assert not [query for query in queries if query["sql"].startswith("UPDATE")]
    changed = services.vehicle_update(vehicle=vehicle, values={"battery": 79})
    assert (changed.battery, changed.version) == (79, 2)


def test_update_keeps_what_others_wrote() -> None:
    """A stale copy handed to the service takes nothing back."""
    stale = make()
    Vehicle.objects.update(city="Toledo", listed=True)
    services.vehicle_update(vehicle=stale, values={"battery": 5})
    assert Vehicle.objects.values_list("city", "battery", "listed").get() == ("Toledo", 5, True)


def test_update_of_a_stale_copy_can_be_refused() -> None:
    """Who names the state that a change was made from, learns that it has passed."""
    vehicle = make()
    services.vehicle_update(vehicle=vehicle, values={"battery": 5}, expected_updated_at=vehicle.updated_at)
    with pytest.raises(StaleVehicle):
        services.vehicle_update(vehicle=vehicle, values={"battery": 6}, expected_updated_at=vehicle.updated_at)


def test_update_takes_known_names_only() -> None:
    """The numbers of the line cannot be written by an update."""
    with pytest.raises(TypeError, match="version"):
        services.vehicle_update(vehicle=make(), values={"version": 5})


def test_set_state() -> None:
    """Many vehicles change state at once; those that have it are not counted, nor pending."""
    make("1")
    make("2", state="reserved")
    settle_all()
    assert services.vehicles_set_state(ids=["1", "2", "3"], state="reserved").changed == 1
    assert pending() == ["1"]
    with pytest.raises(ValidationError):
        services.vehicles_set_state(ids=["1"], state="asleep")


def test_resend() -> None:
    """A vehicle that is to be sent again is pending, though nothing of it changed."""
    make()
    settle_all()
    assert services.vehicles_resend(ids=["ES-1"]).changed == 1
    assert pending() == ["ES-1"]


@pytest.mark.django_db(transaction=True)
def test_listeners_are_told_after_the_commit(heard: list[object]) -> None:
    """The hint goes out after the commit, and not at all where nothing was written or all was taken back."""
    with transaction.atomic():
        vehicle = make()
        assert heard == []
    assert heard == [Vehicle]
    services.vehicle_update(vehicle=vehicle, values={"battery": 80})
    with transaction.atomic():
        services.vehicles_set_state(ids=["ES-1"], state="reserved")
        transaction.set_rollback(True)
    assert heard == [Vehicle]


# --- The line to CityTrips ---------------------------------------------------------------------------------------


def test_settle() -> None:
    """What was sent is settled; what changed since stays pending."""
    make("1")
    make("2")
    Vehicle.objects.filter(pk="2").update(battery=5)
    services.vehicles_settle(versions={"1": 1, "2": 1}, listed=True)
    assert pending() == ["2"]
    assert Vehicle.objects.filter(listed=True).count() == 2


def test_settle_goes_forward_only() -> None:
    """A late settlement of an older send takes nothing back, and a number not reached yet settles nothing."""
    make()
    Vehicle.objects.update(battery=5)
    services.vehicles_settle(versions={"ES-1": 2}, listed=True)
    services.vehicles_settle(versions={"ES-1": 1}, listed=True)
    assert Vehicle.objects.get().settled_version == 2
    Vehicle.objects.update(battery=6)
    services.vehicles_settle(versions={"ES-1": 9}, listed=True)
    assert pending() == ["ES-1"]


def test_settle_of_vehicles_that_are_gone() -> None:
    """Ids that no longer exist are passed over."""
    services.vehicles_settle(versions={"ES-404": 1}, listed=True)
    services.vehicles_settle(versions={}, listed=True)


def test_a_full_without_a_vehicle_unlists_it() -> None:
    """A full that left a vehicle out unlists it, unless the vehicle has changed since and may have been sent."""
    make("1", state="reserved")
    make("2", state="reserved")
    assert services.vehicles_list(ids=["1", "2"]) == 2
    assert services.vehicles_list(ids=["1", "2"]) == 0
    Vehicle.objects.filter(pk="2").update(state="available")
    services.vehicles_settle(versions={"1": 1, "2": 1}, listed=False)
    assert list(Vehicle.objects.filter(listed=True).values_list("pk", flat=True)) == ["2"]
    assert pending() == ["2"]


@pytest.mark.parametrize("number", [3, 1200])
def test_settling_many(number: int) -> None:
    """Listing and settling take few statements, whatever the versions are."""
    Vehicle.objects.bulk_create([Vehicle(id=f"V{index:05}") for index in range(number)])
    ids = list(Vehicle.objects.values_list("id", flat=True))
    services.vehicles_list(ids=ids)
    with CaptureQueriesContext(connection) as queries:
        services.vehicles_settle(versions=dict.fromkeys(ids, 1), listed=True)
    assert len([query for query in queries if query["sql"].startswith("UPDATE")]) == 1
    assert pending() == []


# --- The rules ---------------------------------------------------------------------------------------------------


def test_a_new_minimum_makes_those_pending_for_which_it_decides() -> None:
    """Only available vehicles between the old and the new minimum are sent again, either way."""
    for battery in (10, 20, 29, 30):
        make(f"V{battery}", battery=battery)
    make("V25", battery=25, state="reserved")
    settle_all()
    services.rules_update(minimum_battery=30, silence_limit=None)
    assert pending() == ["V20", "V29"]
    settle_all()
    services.rules_update(minimum_battery=20, silence_limit=None)
    assert pending() == ["V20", "V29"]
    settle_all()
    services.rules_update(minimum_battery=20, silence_limit=None)
    assert pending() == []


def test_rules_refuse() -> None:
    """Rules out of range are refused under their names."""
    for values in ({"minimum_battery": 101, "silence_limit": None}, {"minimum_battery": 20, "silence_limit": 0}):
        with pytest.raises(ValidationError):
            services.rules_update(**values)
    assert not FleetRules.objects.exists()


def test_silence() -> None:
    """A vehicle falls silent with time, is withheld and pending for it, and comes back when it is heard."""
    now = timezone.now()
    make("1", last_signal_at=now)
    make("2", last_signal_at=now - timedelta(minutes=9))
    make("3")
    settle_all()
    services.rules_update(minimum_battery=20, silence_limit=10)
    assert pending() == ["3"]
    services.silence_update(now=now + timedelta(minutes=2))
    assert pending() == ["2", "3"]
    assert list(Vehicle.objects.offered().values_list("pk", flat=True)) == ["1"]
    services.vehicle_update(vehicle=Vehicle.objects.get(pk="2"), values={"last_signal_at": now})
    assert not Vehicle.objects.get(pk="2").silent
    services.rules_update(minimum_battery=20, silence_limit=None)
    assert Vehicle.objects.offered().count() == 3
