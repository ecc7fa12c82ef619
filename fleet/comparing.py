"""What staged rows would change of the fleet, as SQL: one definition for the preview and for the merge.

The rules that it spells out:

* a field that a row does not tell stays as it is;
* a removed vehicle that is named again without a state is available, as a new one is;
* a row whose last signal is older than the vehicle's tells nothing of its position and battery, and no signal is ever
  set back: telemetry was there first;
* a demo vehicle is left alone, and so is one whose country or position the row tells so that the two do not fit.

`s` is the staged row, `v` the vehicle. Every name and number here is our own; values travel as parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.db import connection

from fleet.countries import BOXES
from fleet.models import Outcome
from fleet.sources.records import FIELDS, bit, bits
from fleet.vocabulary import Kind, State

# What an import compares, and writes down where it differs; the last signal is telemetry's matter and is only kept up.
COMPARED: Final = tuple(name for name in FIELDS if name != "last_signal_at")
_REPORTED_BY_DEVICE: Final = frozenset({"latitude", "longitude", "battery"})
_PLACED: Final = bits(["country", "latitude", "longitude"])

Statement = tuple[str, list[Any]]


def told(name: str) -> str:
    """Whether the row tells a field."""
    return f"s.given & {bit(name)} <> 0"


def distinct(left: str, right: str) -> str:
    """Whether two values differ, where null is a value like any other."""
    return f"{left} IS NOT {right}" if connection.vendor == "sqlite" else f"{left} IS DISTINCT FROM {right}"


_IS_FRESH: Final = "(s.last_signal_at IS NULL OR v.last_signal_at IS NULL OR s.last_signal_at >= v.last_signal_at)"


def new(name: str) -> str:
    """The value that a known vehicle is to have."""
    condition = told(name)
    if name in _REPORTED_BY_DEVICE:
        condition += f" AND {_IS_FRESH}"
    if name == "state":
        return (
            f"CASE WHEN {condition} THEN s.state WHEN v.state = '{State.REMOVED.value}' "
            f"THEN '{State.AVAILABLE.value}' ELSE v.state END"
        )
    return f"CASE WHEN {condition} THEN s.{name} ELSE v.{name} END"


def addition(name: str) -> str:
    """The value that a new vehicle is to have."""
    if name == "state":
        return f"CASE WHEN s.state = '' THEN '{State.AVAILABLE.value}' ELSE s.state END"
    if name == "kind":
        return f"CASE WHEN s.kind = '' THEN '{Kind.CAR.value}' ELSE s.kind END"
    return f"s.{name}"


def differs(names: Iterable[str] = COMPARED) -> str:
    """Whether the row changes anything that is written down, of these fields."""
    parts = []
    for name in names:
        different = distinct(f"s.{name}", f"v.{name}")
        fresh = f" AND {_IS_FRESH}" if name in _REPORTED_BY_DEVICE else ""
        parts.append(f"({told(name)}{fresh} AND {different})")
    parts.append(f"(s.given & {bit('state')} = 0 AND v.state = '{State.REMOVED.value}')")
    return "(" + " OR ".join(parts) + ")"


def is_heard() -> str:
    """Whether the row tells a later signal than the fleet knows."""
    return (
        f"({told('last_signal_at')} AND s.last_signal_at IS NOT NULL "
        "AND (v.last_signal_at IS NULL OR s.last_signal_at > v.last_signal_at))"
    )


def is_hindered() -> str:
    """Whether the vehicle as it is forbids the row; never null, since it is also asked in the negative."""
    return f"(v.is_demo OR (s.given & {_PLACED} <> 0 AND COALESCE({_misplaced()}, FALSE)))"


def _misplaced() -> str:
    """`countries.position_problem`, of the position and country that the vehicle would have."""
    latitude, longitude, country = new("latitude"), new("longitude"), new("country")
    boxes = " ".join(
        f"WHEN '{name}' THEN NOT ("
        + " OR ".join(
            f"({latitude} BETWEEN {box.south} AND {box.north} AND {longitude} BETWEEN {box.west} AND {box.east})"
            for box in places
        )
        + ")"
        for name, places in BOXES.items()
    )
    return f"""(
        ({latitude}) IS NULL AND ({longitude}) IS NOT NULL OR ({latitude}) IS NOT NULL AND ({longitude}) IS NULL
        OR ({latitude}) = 0 AND ({longitude}) = 0
        OR ({latitude}) IS NOT NULL AND ({longitude}) IS NOT NULL
          AND CASE ({country}) {boxes} ELSE FALSE END
    )"""


def staged_beside_fleet() -> str:
    """The rows of a run (its one parameter) that are good, beside the vehicles that they name."""
    return (
        "fleet_stagedvehicle s JOIN fleet_vehicle v ON v.id = s.vehicle_id "
        f"WHERE s.run_id = %s AND s.outcome <> '{Outcome.REJECTED.value}'"
    )


def hindrances(run: int, limit: int) -> Statement:
    """The keys of the first staged rows that the vehicle forbids."""
    return f"SELECT s.id FROM {staged_beside_fleet()} AND {is_hindered()} ORDER BY s.id LIMIT %s", [run, limit]  # noqa: S608


def compared(run: int, start: int, end: int) -> Statement:
    """Write into the staged rows from one key up to another what each would do."""
    statement = f"""
        UPDATE fleet_stagedvehicle SET outcome = COALESCE(
          (SELECT CASE WHEN {differs()} THEN '{Outcome.CHANGED.value}' ELSE '{Outcome.UNCHANGED.value}' END
           FROM fleet_stagedvehicle s JOIN fleet_vehicle v ON v.id = s.vehicle_id
           WHERE s.id = fleet_stagedvehicle.id),
          '{Outcome.ADDED.value}')
        WHERE run_id = %s AND id >= %s AND id < %s AND outcome <> '{Outcome.REJECTED.value}'
    """  # noqa: S608
    return statement, [run, start, end]
