"""Brings what a source told of vehicles into the fleet, in one short transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext

from fleet.countries import position_problem
from fleet.errors import TooManyRetired
from fleet.models import FleetRules, Vehicle
from fleet.selectors import fleet_rules
from fleet.services import announce, is_silent
from fleet.sources.records import RowProblem, Source, VehicleRecord
from fleet.vocabulary import State

# Read of each vehicle to tell what a record would change.
COMPARED = (
    "plate",
    "vin",
    "kind",
    "model",
    "country",
    "city",
    "latitude",
    "longitude",
    "battery",
    "state",
)
SLICE = 5_000
LARGEST_PART_RETIRED = 5  # one in five


@dataclass(frozen=True)
class Retirement:
    """What to do with vehicles that a source does not name: of which country and city (empty: any), and by force."""

    country: str = ""
    city: str = ""
    force: bool = False


@dataclass
class Merged:
    """What became of the records, by id; `problems` are the rows that only the fleet's own data refused."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    problems: list[RowProblem] = field(default_factory=list)


def vehicles_merge(*, source: Source, retirement: Retirement | None = None, dry_run: bool = False) -> Merged:
    """Add and change vehicles as a source tells, all or nothing, and say what became of each record.

    A new vehicle without a state is available, and so is one that had been removed and is named again. With
    `retirement`, vehicles that the source does not name become `removed`; TooManyRetired is raised, and nothing
    changes, where that takes more than a fifth of them. Demo vehicles are neither changed nor retired.
    """
    merged = Merged()
    with transaction.atomic():
        rules = fleet_rules()
        now = timezone.now()
        changes: defaultdict[frozenset[str], list[Vehicle]] = defaultdict(list)
        additions: list[Vehicle] = []
        for record, known in _beside_known(source.records):
            vehicle, changed = _applied(record, known, rules, now)
            problem = _refusal(record, vehicle, known)
            if problem:
                merged.problems.append(problem)
            elif known is None:
                merged.added.append(record.id)
                additions.append(vehicle)
            elif changed:
                merged.changed.append(record.id)
                changes[changed].append(vehicle)
            else:
                merged.unchanged.append(record.id)
        if retirement is not None:
            merged.retired = _missing(source.named, retirement)
        if not dry_run:
            _write(additions, changes, merged.retired, now)
            if merged.added or merged.changed or merged.retired:
                announce()
    return merged


def _beside_known(records: Sequence[VehicleRecord]) -> Iterator[tuple[VehicleRecord, Vehicle | None]]:
    for start in range(0, len(records), SLICE):
        part = records[start : start + SLICE]
        known = Vehicle.objects.only("id", *COMPARED, "is_demo").in_bulk([record.id for record in part])
        for record in part:
            yield record, known.get(record.id)


def _applied(
    record: VehicleRecord, known: Vehicle | None, rules: FleetRules, now: datetime
) -> tuple[Vehicle, frozenset[str]]:
    """The vehicle as it is to be, and the names of the fields that differ from the known one."""
    values = {name: getattr(record, name) for name in record.given}
    if "state" not in values and (known is None or known.state == State.REMOVED):
        values["state"] = State.AVAILABLE.value
    vehicle = Vehicle(id=record.id)
    for name in COMPARED if known is not None else ():
        setattr(vehicle, name, getattr(known, name))
    changed = frozenset(name for name, value in values.items() if getattr(vehicle, name) != value)
    for name in changed:
        setattr(vehicle, name, values[name])
    if known is None:
        vehicle.silent = is_silent(None, rules, now)
    return vehicle, changed


def _refusal(record: VehicleRecord, vehicle: Vehicle, known: Vehicle | None) -> RowProblem | None:
    if known is not None and known.is_demo:
        return RowProblem(
            record.line, "id", gettext("A demo vehicle has this id; remove the demo data (load_demo --remove) first.")
        )
    if record.given & {"country", "latitude", "longitude"}:
        # The file may tell one half, the fleet know the other.
        reason = position_problem(vehicle.country, vehicle.latitude, vehicle.longitude)
        if reason:
            return RowProblem(record.line, "", reason)
    return None


def _missing(named: AbstractSet[str], retirement: Retirement) -> list[str]:
    fleet = Vehicle.objects.filter(is_demo=False).exclude(state=State.REMOVED)
    if retirement.country:
        fleet = fleet.filter(country=retirement.country)
    if retirement.city:
        fleet = fleet.filter(city__iexact=retirement.city)
    ids = list(fleet.order_by("id").values_list("id", flat=True))
    missing = [id for id in ids if id not in named]
    if len(missing) * LARGEST_PART_RETIRED > len(ids) and not retirement.force:
        raise TooManyRetired(
            gettext("This would retire %(retired)s of %(total)s vehicles, more than a fifth; nothing was changed.")
            % {"retired": len(missing), "total": len(ids)},
            len(missing),
            len(ids),
        )
    return missing


def _write(
    additions: list[Vehicle], changes: Mapping[frozenset[str], list[Vehicle]], retired: list[str], now: datetime
) -> None:
    """Prepared statements: bulk_create takes many times as long here, for the columns with a database default.

    By id, so that two imports at once wait for each other instead of locking each other out.
    """
    moment = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        if additions:
            cursor.executemany(_INSERT, [_row(vehicle, moment) for vehicle in sorted(additions, key=_id)])
        for fields, vehicles in changes.items():
            names = sorted(fields)
            settings = ", ".join(f"{name} = %s" for name in names)
            statement = f"UPDATE fleet_vehicle SET {settings}, updated_at = %s WHERE id = %s"  # noqa: S608 (our names)
            cursor.executemany(
                statement,
                [
                    (*(getattr(vehicle, name) for name in names), moment, vehicle.pk)
                    for vehicle in sorted(vehicles, key=_id)
                ],
            )
    for start in range(0, len(retired), SLICE):
        Vehicle.objects.filter(pk__in=retired[start : start + SLICE]).update(state=State.REMOVED, updated_at=now)


# A vehicle that somebody else adds meanwhile is changed by this and not in its way.
_INSERT = f"""
    INSERT INTO fleet_vehicle (id, {", ".join(COMPARED)}, silent, note, is_demo, created_at, updated_at)
    VALUES ({", ".join(["%s"] * (len(COMPARED) + 6))})
    ON CONFLICT (id) DO UPDATE SET
      {", ".join(f"{name} = EXCLUDED.{name}" for name in COMPARED)}, updated_at = EXCLUDED.updated_at
"""  # noqa: S608 (made of our own names)


def _row(vehicle: Vehicle, moment: object) -> tuple[Any, ...]:
    values = (getattr(vehicle, name) for name in COMPARED)
    return (vehicle.pk, *values, vehicle.silent, "", False, moment, moment)


def _id(vehicle: Vehicle) -> str:
    return vehicle.pk
