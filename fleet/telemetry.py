"""What devices report: many small signals at once, of which the good ones count though others fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext

from fleet.countries import position_problem
from fleet.models import CLOCK_TOLERANCE, EARLIEST_SIGNAL, FleetRules, Vehicle, moment_problem
from fleet.selectors import fleet_rules
from fleet.services import announce, is_silent

MOST_SIGNALS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Signal:
    """One report of one vehicle. `values` holds battery (per cent), state, and latitude with longitude, as told.

    `index` is its place in the batch; `at` the device's own time, None for now.
    """

    index: int
    id: str
    values: Mapping[str, object]
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SignalProblem:
    """Why a signal was not applied, by field."""

    index: int
    id: str
    errors: Mapping[str, Sequence[str]]


@dataclass(slots=True)
class Received:
    """What became of a batch. A stale signal is older than what is known of its vehicle, and changes nothing."""

    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    problems: list[SignalProblem] = field(default_factory=list)


@dataclass(slots=True)
class _Known:
    """What is known of a vehicle and can be told anew; `values` by the names of the columns."""

    country: str
    values: dict[str, Any]
    heard_at: datetime | None
    before: dict[str, Any]
    heard: bool = False


_TOLD: Final = ("battery", "latitude", "longitude", "state")


def telemetry_receive(*, signals: Sequence[Signal]) -> Received:
    """Apply a batch of signals in the order of their times, in one transaction.

    Vehicles are locked by id, so that two batches at once wait for each other instead of locking each other out. Rows
    and statements are bare ones: models and their fields take several times as long as the database.
    """
    received = Received()
    with transaction.atomic():
        now, rules = timezone.now(), fleet_rules()
        vehicles = _locked({signal.id for signal in signals})
        latest = now + CLOCK_TOLERANCE
        in_time = sorted([(signal.at or now, place, signal) for place, signal in enumerate(signals)])
        for at, _place, signal in in_time:
            vehicle = vehicles.get(signal.id)
            problem = _problem(signal, vehicle, at, now, latest)
            if problem or vehicle is None:
                received.problems.append(SignalProblem(signal.index, signal.id, problem))
            elif vehicle.heard_at is not None and at < vehicle.heard_at:
                received.stale += 1
            elif _apply(vehicle, signal, at):
                received.updated += 1
            else:
                received.unchanged += 1
        heard = {id: vehicle for id, vehicle in vehicles.items() if vehicle.heard}
        if heard:
            _write(heard, rules, now)
            announce()
    return received


def _locked(ids: Iterable[str]) -> dict[str, _Known]:
    rows = (
        Vehicle.objects.select_for_update()
        .filter(pk__in=sorted(ids))
        .order_by("pk")
        .values_list("pk", "country", "last_signal_at", *_TOLD)
    )
    vehicles = {}
    for id, country, heard_at, *told in rows:
        values: dict[str, Any] = dict(zip(_TOLD, told, strict=True))
        vehicles[id] = _Known(country, values, heard_at, values)
    return vehicles


def _problem(
    signal: Signal, vehicle: _Known | None, at: datetime, now: datetime, latest: datetime
) -> dict[str, list[str]]:
    if vehicle is None:
        return {"id": [gettext("There is no vehicle with this id.")]}
    if not EARLIEST_SIGNAL <= at <= latest:
        return {"at": [moment_problem(at, now) or ""]}
    latitude, longitude = signal.values.get("latitude"), signal.values.get("longitude")
    if isinstance(latitude, float) and isinstance(longitude, float):
        reason = position_problem(vehicle.country, latitude, longitude)
        if reason:
            return {"location": [reason]}
    return {}


def _apply(vehicle: _Known, signal: Signal, at: datetime) -> bool:
    """Take what the signal tells; whether anything but the time of the signal differs."""
    told = {**vehicle.values, **signal.values}
    differs = told != vehicle.values
    vehicle.values, vehicle.heard_at, vehicle.heard = told, at, True
    return differs


def _write(heard: Mapping[str, _Known], rules: FleetRules, now: datetime) -> None:
    """One prepared statement for each of the two sorts of rows; a vehicle that is as it was keeps its `updated_at`."""
    adapt = connection.ops.adapt_datetimefield_value
    moment = adapt(now)
    changed: list[tuple[Any, ...]] = []
    quiet: list[tuple[Any, ...]] = []
    for id, vehicle in heard.items():
        silent = is_silent(vehicle.heard_at, rules, now)
        if vehicle.values == vehicle.before:
            quiet.append((adapt(vehicle.heard_at), silent, id))
        else:
            changed.append((*vehicle.values.values(), adapt(vehicle.heard_at), silent, moment, id))
    with connection.cursor() as cursor:
        if quiet:
            cursor.executemany("UPDATE fleet_vehicle SET last_signal_at = %s, silent = %s WHERE id = %s", quiet)
        if changed:
            cursor.executemany(
                "UPDATE fleet_vehicle SET battery = %s, latitude = %s, longitude = %s, state = %s, "
                "last_signal_at = %s, silent = %s, updated_at = %s WHERE id = %s",
                changed,
            )
