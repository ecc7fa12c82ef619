"""Fulls: what is read and carried, and whether CityTrips takes any."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from backoffice.citytrips import bridge, fulls, services
from fleet.models import Vehicle
from fleet.services import vehicle_update
from tests.backoffice.citytrips.faults import row
from tests.backoffice.citytrips.reading import read_full
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


def test_a_vehicle_in_the_partners_shape(settings, token) -> None:
    """A full holds each vehicle offered with the specification's properties and nothing else."""
    make("ES-1")
    make("ES-2", state="on_trip")
    batch = read_full(token)
    assert json.loads(batch.text) == {
        "command": "s_vehicle/full",
        "payload": [
            {
                "id": "ES-1",
                "battery": 80,
                "plate": "1234 BCD",
                "country": "Spain",
                "city": "Madrid",
                "location": {"latitude": 40.4168, "longitude": -3.7038},
            }
        ],
    }
    assert batch.versions == {"ES-1": 1}
    assert batch.absent == {"ES-2": 1}


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("decimal", (40.4168, -3.7038)), ("integer", (40, -4)), ("microdegrees", (40416800, -3703800))],
)
def test_coordinates_go_in_the_unit_of_the_setting(
    settings, unit: str, expected: tuple[float, float], token: uuid.UUID
) -> None:
    """CITYTRIPS_COORDINATES decides between degrees, whole degrees and millionths."""
    settings.CITYTRIPS_COORDINATES = unit
    make("ES-1")
    location = json.loads(read_full(token).text)["payload"][0]["location"]
    assert (location["latitude"], location["longitude"]) == expected
    assert isinstance(location["latitude"], type(expected[0]))


def test_a_full_settles_what_it_left_out(token: uuid.UUID) -> None:
    """After a full, a vehicle that it did not carry is no longer listed; one that came back meanwhile is."""
    for vehicle in ("ES-1", "ES-2"):
        make(vehicle)
        bridge.settle(token, {vehicle: 1}, {})
        vehicle_update(vehicle=row(vehicle), values={"state": "reserved"})
    batch = read_full(token)
    assert batch.absent == {"ES-1": 2, "ES-2": 2}
    vehicle_update(vehicle=row("ES-2"), values={"state": "available"})
    bridge.settle(token, batch.versions, batch.absent)
    assert (row("ES-1").listed, row("ES-1").settled_version) == (False, 2)
    assert (row("ES-2").listed, row("ES-2").settled_version) == (True, 2)
    assert bridge.Changes(token).look().offered == {"ES-2": 3}


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
def test_a_full_is_the_same_in_parts_of_any_size(monkeypatch: pytest.MonkeyPatch, page: int, token: uuid.UUID) -> None:
    """However many vehicles are read at a time, the parts together are one message with every vehicle offered once."""
    monkeypatch.setattr(bridge, "PAGE", page)
    for number in range(5):
        make(f"ES-{number}", state="on_trip" if number == 2 else "available")
    whole = read_full(token)
    assert [vehicle["id"] for vehicle in json.loads(whole.text)["payload"]] == ["ES-0", "ES-1", "ES-3", "ES-4"]
    assert (whole.count, whole.absent) == (4, {"ES-2": 1})
    assert Vehicle.objects.filter(listed=True).count() == 4


def test_an_empty_fleet_is_an_empty_full(token: uuid.UUID) -> None:
    """With nothing to offer a full says just that."""
    assert json.loads(read_full(token).text) == {"command": "s_vehicle/full", "payload": []}


def test_what_changes_while_a_full_is_read_stays_pending(monkeypatch: pytest.MonkeyPatch, token: uuid.UUID) -> None:
    """A vehicle counts as it was when its row was read; a later change, departure or return is another version."""
    monkeypatch.setattr(bridge, "PAGE", 2)
    for number in range(4):
        make(f"ES-{number}", state="on_trip" if number == 1 else "available")
    bridge.settle(token, {f"ES-{number}": 1 for number in range(4)}, {})
    reader = fulls.FullReader(token)
    parts = [reader.read()]
    vehicle_update(vehicle=row("ES-0"), values={"state": "on_trip"})
    vehicle_update(vehicle=row("ES-1"), values={"state": "available"})
    vehicle_update(vehicle=row("ES-3"), values={"battery": 41})
    while part := reader.read():
        parts.append(part)
    assert [vehicle["id"] for vehicle in json.loads(b"".join(parts))["payload"]] == ["ES-0", "ES-2", "ES-3"]
    bridge.settle(token, reader.versions, reader.absent)
    pending = bridge.Changes(token).look()
    assert (pending.offered, pending.leaving) == ({"ES-1": 2}, {"ES-0": 2})


def test_what_leaves_between_reading_and_sending_is_withdrawn(
    monkeypatch: pytest.MonkeyPatch, token: uuid.UUID
) -> None:
    """A vehicle that a full carries, though it stopped being offered a moment ago, shows as held and leaves by the next."""
    make("ES-1")
    sort = fulls.FullReader._sort

    def late(reader: fulls.FullReader, *read: Any) -> Any:
        vehicle_update(vehicle=row("ES-1"), values={"state": "on_trip"})
        return sort(reader, *read)

    monkeypatch.setattr(fulls.FullReader, "_sort", late)
    whole = read_full(token)
    assert b"ES-1" in whole.text
    assert bridge.Changes(token).look().leaving == {"ES-1": 2}


def test_a_full_notes_only_what_was_pending(token: uuid.UUID) -> None:
    """What the worker remembers of a full grows with the changes, not with the fleet."""
    for number in range(5):
        make(f"ES-{number}")
    bridge.settle(token, {f"ES-{number}": 1 for number in range(5)}, {})
    vehicle_update(vehicle=row("ES-3"), values={"battery": 41})
    whole = read_full(token)
    assert (whole.count, whole.versions, whole.absent) == (5, {"ES-3": 2}, {})


def test_blocked_fulls_are_allowed_by_a_smaller_fleet_other_settings_or_staff(settings) -> None:
    """What CityTrips found too large isn't sent again until it may fit."""
    assert not fulls.are_blocked()
    make("ES-1")
    make("ES-2")
    assert fulls.block() == 2
    assert fulls.are_blocked()
    vehicle_update(vehicle=row("ES-2"), values={"state": "on_trip"})
    assert fulls.are_blocked(recount=False)
    assert not fulls.are_blocked()

    fulls.block()
    settings.CITYTRIPS_COORDINATES = "integer"
    assert not fulls.are_blocked()

    fulls.block()
    services.fulls_unblock()
    assert not fulls.are_blocked()


def test_a_full_can_leave_out_what_was_objected_to(token: uuid.UUID) -> None:
    """Left out, a vehicle neither counts as held nor as gone; changed or taken meanwhile, it is carried."""
    for vehicle in ("ES-1", "ES-2", "ES-3", "ES-4"):
        make(vehicle)
    bridge.object_to(token, {"ES-1": 1, "ES-2": 1, "ES-3": 1})
    vehicle_update(vehicle=row("ES-2"), values={"battery": 41})
    bridge.settle(token, {"ES-3": 1}, {})
    reader = fulls.FullReader(token, leave_out_objected=True)
    text = b"".join(iter(reader.read, None))
    assert [vehicle["id"] for vehicle in json.loads(text)["payload"]] == ["ES-2", "ES-3", "ES-4"]
    assert (reader.versions, reader.absent, reader.left_out) == ({"ES-2": 2, "ES-4": 1}, {}, ["ES-1"])
