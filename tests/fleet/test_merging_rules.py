"""What the statements of a merge find and what the rules say are one definition."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from fleet import imports, staging
from fleet.comparing import COMPARED
from fleet.countries import position_problem
from fleet.import_pages import staged_changes
from fleet.models import ImportRun, ImportState, Outcome, StagedVehicle, Vehicle, VehicleChange
from fleet.sources.records import Found, VehicleRecord, bits
from fleet.vocabulary import Origin

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Rows:
    """Records as though they had been read."""

    def __init__(self, records: list[VehicleRecord]) -> None:
        self.found = Found("csv")
        self.size = self.position = 0
        self._records = records

    def rows(self) -> Iterator[VehicleRecord]:
        return iter(self._records)


def test_sql_and_python_agree() -> None:
    """What the statements find changed, hindered and written is what the rules say, for many rows of every sort."""
    chance = random.Random(7)
    places = [(40.4, -3.7, "Spain"), (-33.45, -70.66, "Chile"), (0.0, 0.0, ""), (48.8, 2.3, "France"), (None, None, "")]
    moments = [None, NOON, NOON + timedelta(seconds=1, microseconds=500_000), NOON - timedelta(days=1)]

    def values() -> dict[str, object]:
        latitude, longitude, country = chance.choice(places)
        return {
            "plate": chance.choice(["", "A 1", "B'2"]),
            "vin": chance.choice(["", "V"]),
            "kind": chance.choice(["car", "bicycle"]),
            "model": chance.choice(["", "Zoe"]),
            "country": chance.choice([country, "Spain", "Chile", ""]),
            "city": chance.choice(["", "Madrid", "%s"]),
            "latitude": latitude,
            "longitude": longitude,
            "battery": chance.choice([None, 0, 50]),
            "state": chance.choice(["available", "removed", "on_trip"]),
            "last_signal_at": chance.choice(moments),
        }

    known: dict[str, Vehicle] = {}
    records = []
    for number in range(400):
        id = f"V{number:03d}"
        if chance.random() < 0.8:
            told = values()
            if told["country"] != "France" and position_problem(told["country"], told["latitude"], told["longitude"]):
                told |= {"latitude": None, "longitude": None}
            known[id] = Vehicle(id=id, is_demo=chance.random() < 0.1, **told)
        told = values()
        names = [name for name in told if chance.random() < 0.5]
        names = [name for name in names if name != "last_signal_at" or told[name] is not None]
        records.append(VehicleRecord(number + 2, id, bits(names), **{name: told[name] for name in names}))
    Vehicle.objects.bulk_create(known.values())
    run = ImportRun.objects.create(source="x")
    staging.stage(run, Rows(records))
    ImportRun.objects.filter(pk=run.pk).update(state=ImportState.READY)
    hindered, expected = set(), {}
    for row in StagedVehicle.objects.filter(run=run):
        vehicle = known.get(row.vehicle_id)
        if vehicle is None:
            row_place = position_problem(row.country, row.latitude, row.longitude)
            if row_place:  # which a reader would have refused
                StagedVehicle.objects.filter(pk=row.pk).update(latitude=None, longitude=None)
            continue
        changes = staged_changes(row, vehicle)
        after = {name: getattr(vehicle, name) for name in COMPARED} | {
            name: new for name, (_old, new) in changes.items()
        }
        told = {"country", "latitude", "longitude"} & VehicleRecord(0, "", row.given).names
        if vehicle.is_demo or (told and position_problem(after["country"], after["latitude"], after["longitude"])):
            hindered.add(row.vehicle_id)
        else:
            expected[row.vehicle_id] = changes
    staging.classify(run)
    outcomes = dict(StagedVehicle.objects.filter(run=run).values_list("vehicle_id", "outcome"))
    assert {id for id, outcome in outcomes.items() if outcome == Outcome.REJECTED} == hindered
    assert {id for id, outcome in outcomes.items() if outcome == Outcome.CHANGED} == {
        id for id, changes in expected.items() if changes
    }
    assert {id for id, outcome in outcomes.items() if outcome == Outcome.ADDED} == outcomes.keys() - known.keys()
    imports.import_apply(run=run)
    written = VehicleChange.objects.filter(run=run, added=False, origin=Origin.IMPORT)
    assert {change.vehicle_id: {name: tuple(pair) for name, pair in change.values.items()} for change in written} == {
        id: changes for id, changes in expected.items() if changes
    }
    for id, vehicle in Vehicle.objects.in_bulk(list(known)).items():
        before = known[id]
        changes = expected.get(id, {})
        for name in COMPARED:
            assert getattr(vehicle, name) == changes.get(name, (None, getattr(before, name)))[1], (id, name)
