"""Writes down what changed of the vehicles, by whom and from where, in the transaction of the change itself.

What devices report is not kept here: it comes many times a minute, and telemetry has its own last signal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeAlias
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.utils import timezone

from fleet.models import ImportRun, Vehicle, VehicleChange
from fleet.vocabulary import Origin
from fleet.wording import moment_read

# Whoever is at the page or behind the token; nobody, where a program acts by itself.
Author: TypeAlias = AbstractBaseUser | AnonymousUser | None
Json: TypeAlias = str | int | float | None

# What a person, an import or a program may tell of a vehicle. `silent` follows from the last signal and the rules.
RECORDED = (
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
    "last_signal_at",
    "note",
)
SLICE = 5_000
# As long as one asks what was done at this time last year.
CHANGES_KEPT = timedelta(days=400)


@dataclass(frozen=True)
class Entry:
    """One change to be written down: by field, the value before and the value now, as `as_json` gives them."""

    vehicle: str
    values: Mapping[str, tuple[Json, Json]]
    added: bool = False
    undoes: int | None = None


def as_json(value: object) -> Json:
    """A value of a vehicle as the history keeps it: times in ISO 8601, UTC; what JSON cannot say as null."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, int | float):
        return value
    return str(value)


def from_json(name: str, value: Json) -> Any:
    """A value out of the history, as the vehicle's field has it."""
    return moment_read(value) if name == "last_signal_at" and value else value


def values_of(vehicle: Vehicle) -> dict[str, Json]:
    """What the history keeps of a vehicle, as it is."""
    return {name: as_json(getattr(vehicle, name)) for name in RECORDED}


def difference(before: Mapping[str, Json], after: Mapping[str, Json]) -> dict[str, tuple[Json, Json]]:
    """By field, old and new, of what differs."""
    return {name: (before[name], value) for name, value in after.items() if before[name] != value}


def addition(vehicle: Vehicle) -> Entry:
    """The entry of a vehicle that is new: all that is known of it."""
    known = {name: (None, value) for name, value in values_of(vehicle).items() if value not in (None, "")}
    return Entry(vehicle.pk, known, added=True)


def changes_record(
    *,
    entries: Iterable[Entry],
    by: Author = None,
    origin: str = Origin.API,
    run: ImportRun | None = None,
    batch: UUID | None = None,
    at: datetime | None = None,
) -> int:
    """Write entries down, within the caller's transaction; those without a value are left out. Returns how many.

    Prepared statements in slices: a bulk action writes a hundred thousand of them.
    """
    columns = ("at", "by_id", "origin", "run_id", "batch")
    told = (at or timezone.now(), author_id(by), str(Origin(origin)), run.pk if run else None, batch)
    rest = [
        VehicleChange._meta.get_field(name.removesuffix("_id")).get_db_prep_value(value, connection)  # type: ignore[union-attr]
        for name, value in zip(columns, told, strict=True)
    ]
    written = 0
    remaining = (entry for entry in entries if entry.values)
    with connection.cursor() as cursor:
        while part := list(islice(remaining, SLICE)):
            rows = [(one.vehicle, json.dumps(one.values), one.added, one.undoes, *rest) for one in part]
            cursor.executemany(_INSERT, rows)
            written += len(part)
    return written


_INSERT = """
    INSERT INTO fleet_vehiclechange ("vehicle_id", "values", "added", "undoes_id", "at", "by_id", "origin", "run_id", "batch")
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


def author_id(by: Author) -> Any:
    """The key of a person; None for nobody, and for somebody who is not logged in."""
    return by.pk if by is not None else None


def changes_prune(*, before: datetime) -> int:
    """Drop what is older, a slice at a time so that nobody waits; returns how many there were."""
    dropped = 0
    while True:
        ids = list(VehicleChange.objects.filter(at__lt=before).order_by("at").values_list("pk", flat=True)[:SLICE])
        if not ids:
            return dropped
        # Its rows refer to each other by `undoes` alone, which a deletion empties.
        dropped += VehicleChange.objects.filter(pk__in=ids).delete()[0]
