"""A feed that is read every five minutes, as a fleet of scooters publishes it: 850 vehicles, of which few change."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest

from fleet import imports
from fleet.models import ImportRun, Vehicle, VehicleChange
from fleet.staging import drop
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db

SCOOTERS, SNAPSHOTS, CHANGED, COME_AND_GO = 850, 77, 49, 3


class Feed:
    """A system's vehicles, snapshot by snapshot; what has happened to them is kept for comparison."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.number = 0
        self.now = 1_760_000_000
        self.vehicles: dict[str, dict[str, Any]] = {}
        for _scooter in range(SCOOTERS):
            self.appear()

    def appear(self) -> None:
        self.number += 1
        id = f"s-{self.number:05d}"
        self.vehicles[id] = {
            "bike_id": id,
            "lat": 40.4 + self.chance.random() / 10,
            "lon": -3.7 + self.chance.random() / 10,
            "is_reserved": self.chance.choice([0, 1, False]),
            "is_disabled": 0,
            "current_fuel_percent": round(self.chance.random(), 2),
            "last_reported": self.now - 30,
        }
        if self.chance.random() < 0.1:
            del self.vehicles[id]["current_fuel_percent"]

    def step(self) -> set[str]:
        """Five minutes: some move, some appear, some vanish; the ids that changed."""
        self.now += 300
        gone = self.chance.sample(sorted(self.vehicles), COME_AND_GO)
        for id in gone:
            del self.vehicles[id]
        changed = set(self.chance.sample(sorted(self.vehicles), CHANGED))
        for id in changed:
            self.vehicles[id] |= {"lat": 40.4 + self.chance.random() / 10, "last_reported": self.now - 5}
        for _new in range(COME_AND_GO):
            self.appear()
        return changed

    def content(self) -> bytes:
        document = {
            "last_updated": self.now,
            "ttl": 300,
            "version": "2.3",
            "data": {"bikes": list(self.vehicles.values())},
        }
        return json.dumps(document).encode()


def imported(content: bytes, *, retire: bool = True, force: bool = False) -> ImportRun:
    run = imports.import_create(
        source="feed", format="gbfs", country="Spain", city="Madrid", upload=io.BytesIO(content)
    )
    imports.import_read(run=run)
    imports.import_apply(run=run, retire_missing=retire, force=force)
    run.refresh_from_db()
    return run


@pytest.mark.timeout(600)
def test_a_working_day_of_snapshots() -> None:
    """Of 77 snapshots each writes down what changed and nothing else, and the fleet is as the feed says at the end."""
    feed = Feed(seed=3)
    assert imported(feed.content()).added == SCOOTERS
    for _snapshot in range(SNAPSHOTS):
        before = VehicleChange.objects.count()
        feed.step()
        run = imported(feed.content())
        assert (run.added, run.changed, run.retired, run.rejected) == (COME_AND_GO, CHANGED, COME_AND_GO, 0)
        assert run.unchanged == SCOOTERS - CHANGED - COME_AND_GO
        assert VehicleChange.objects.count() == before + CHANGED + 2 * COME_AND_GO
    fleet = {vehicle.pk: vehicle for vehicle in Vehicle.objects.exclude(state="removed")}
    assert fleet.keys() == feed.vehicles.keys()
    for id, told in feed.vehicles.items():
        assert (fleet[id].latitude, fleet[id].longitude) == (told["lat"], told["lon"])
        assert fleet[id].last_signal_at.timestamp() == told["last_reported"]  # type: ignore[union-attr]
        known = told.get("current_fuel_percent")
        assert fleet[id].battery == (None if known is None else int(round(known * 100, 6)))
        assert fleet[id].state == ("reserved" if told["is_reserved"] else "available")


def test_ids_that_rotate_are_told() -> None:
    """A feed that gives every vehicle another id at each reading is told, and is not let retire the fleet."""
    feed = Feed(seed=4)
    imported(feed.content())
    rotated = Feed(seed=5)
    rotated.vehicles = {f"r-{id}": {**one, "bike_id": f"r-{id}"} for id, one in feed.vehicles.items()}
    run = imports.import_create(source="feed", upload=io.BytesIO(rotated.content()))
    imports.import_read(run=run)
    assert any("ids rotate" in warning for warning in run.warnings)
    with pytest.raises(Exception, match="more than a fifth"):
        imports.import_apply(run=run, retire_missing=True)
    drop(run)
    same = imports.import_create(source="feed", upload=io.BytesIO(feed.content()))
    imports.import_read(run=same)
    assert not any("ids rotate" in warning for warning in same.warnings)


def test_stray_and_broken_vehicles_stop_nobody() -> None:
    """Among good vehicles the stray and the broken ones are rejected each with its reason, and are not missing."""
    feed = Feed(seed=6)
    imported(feed.content())
    ids = sorted(feed.vehicles)
    feed.vehicles[ids[0]] |= {"lat": 52.52, "lon": 13.40}
    feed.vehicles[ids[1]] |= {"lat": 0, "lon": 0}
    feed.vehicles[ids[2]] |= {"current_fuel_percent": 85}
    feed.vehicles[ids[3]] |= {"is_disabled": None}
    feed.vehicles[ids[4]] |= {"last_reported": feed.now * 1000}
    run = imported(feed.content())
    assert (run.rejected, run.retired, run.unchanged) == (5, 0, SCOOTERS - 5)
    assert run.problems.values("line").distinct().count() == 5
    assert Vehicle.objects.exclude(state="removed").count() == SCOOTERS


def test_plates_on_several_vehicles_are_told() -> None:
    """A plate that two vehicles would have is a warning, and no reason to reject either."""
    make("1", plate="1234 BCD")
    make("2", plate="9999 ZZZ", state="removed")
    text = b"id,plate\n3,1234 bcd\n4,5555 AAA\n5,5555 AAA\n6,9999 ZZZ\n"
    run = imports.import_create(source="x", upload=io.BytesIO(text))
    imports.import_read(run=run)
    assert run.rejected == 0
    assert run.warnings == ["2 plates would stand on several vehicles: 1234 BCD, 5555 AAA."]
