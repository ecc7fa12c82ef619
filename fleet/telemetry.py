"""What devices report: many small signals at once, of which the good ones count though others fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext

from fleet.countries import position_problem
from fleet.models import FleetRules, Vehicle, moment_problem
from fleet.selectors import fleet_rules
from fleet.services import announce, is_silent

MOST_SIGNALS = 5_000


@dataclass(frozen=True)
class Signal:
    """One report of one vehicle. `values` holds battery (per cent), state, and latitude with longitude, as told.

    `index` is its place in the batch; `at` the device's own time, None for now.
    """

    index: int
    id: str
    values: Mapping[str, object]
    at: datetime | None = None


@dataclass(frozen=True)
class SignalProblem:
    """Why a signal was not applied, by field."""

    index: int
    id: str
    errors: Mapping[str, Sequence[str]]


@dataclass
class Received:
    """What became of a batch. A stale signal is older than what is known of its vehicle, and changes nothing."""

    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    problems: list[SignalProblem] = field(default_factory=list)


def telemetry_receive(*, signals: Sequence[Signal]) -> Received:
    """Apply a batch of signals in their order, in one transaction."""
    received = Received()
    changed: dict[str, Vehicle] = {}
    heard: dict[str, Vehicle] = {}
    with transaction.atomic():
        now, rules = timezone.now(), fleet_rules()
        ids = sorted({signal.id for signal in signals})
        vehicles = {row.pk: row for row in Vehicle.objects.select_for_update().filter(pk__in=ids).order_by("pk")}
        for signal in signals:
            at = signal.at or now
            vehicle = vehicles.get(signal.id)
            problem = _problem(signal, vehicle, at, now)
            if problem or vehicle is None:
                received.problems.append(SignalProblem(signal.index, signal.id, problem))
                continue
            if vehicle.last_signal_at is not None and at < vehicle.last_signal_at:
                received.stale += 1
                continue
            heard[vehicle.pk] = vehicle
            if _apply(vehicle, signal, at, rules, now):
                changed[vehicle.pk] = vehicle
                received.updated += 1
            else:
                received.unchanged += 1
        _write(heard.values(), changed, now)
        if heard:
            announce()
    return received


def _problem(signal: Signal, vehicle: Vehicle | None, at: datetime, now: datetime) -> dict[str, list[str]]:
    if vehicle is None:
        return {"id": [gettext("There is no vehicle with this id.")]}
    unlikely = moment_problem(at, now)
    if unlikely:
        return {"at": [unlikely]}
    latitude, longitude = signal.values.get("latitude"), signal.values.get("longitude")
    if isinstance(latitude, float) and isinstance(longitude, float):
        reason = position_problem(vehicle.country, latitude, longitude)
        if reason:
            return {"location": [reason]}
    return {}


def _apply(vehicle: Vehicle, signal: Signal, at: datetime, rules: FleetRules, now: datetime) -> bool:
    """Set what the signal tells; whether anything but the time of the signal differs."""
    differs = any(getattr(vehicle, name) != value for name, value in signal.values.items())
    for name, value in signal.values.items():
        setattr(vehicle, name, value)
    vehicle.last_signal_at = at
    vehicle.silent = is_silent(at, rules, now)
    return differs


def _write(heard: Iterable[Vehicle], changed: Mapping[str, Vehicle], now: datetime) -> None:
    """One prepared statement for each of the two sorts of rows: many times as fast as bulk_update."""
    adapt = connection.ops.adapt_datetimefield_value
    silences = [(adapt(row.last_signal_at), row.silent, row.pk) for row in heard if row.pk not in changed]
    rows = [
        (
            row.battery,
            row.latitude,
            row.longitude,
            row.state,
            adapt(row.last_signal_at),
            row.silent,
            adapt(now),
            row.pk,
        )
        for row in changed.values()
    ]
    with connection.cursor() as cursor:
        if silences:
            cursor.executemany("UPDATE fleet_vehicle SET last_signal_at = %s, silent = %s WHERE id = %s", silences)
        if rows:
            cursor.executemany(
                "UPDATE fleet_vehicle SET battery = %s, latitude = %s, longitude = %s, state = %s, "
                "last_signal_at = %s, silent = %s, updated_at = %s WHERE id = %s",
                rows,
            )
