"""Dates that arrive as timestamps of an unknown unit. Pure: the day it is comes in as an argument."""

from __future__ import annotations

import math
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"seconds": 1, "milliseconds": 1000}
_NO_SECONDS = 10**10  # the year 2286

Plausible = Callable[[date, date], bool]
"""Whether a date can be meant, given today's."""


def years_between(earlier: date, later: date) -> int:
    """Whole years, as a birthday counts them."""
    return later.year - earlier.year - ((later.month, later.day) < (earlier.month, earlier.day))


def birth_is_plausible(birth: date, today: date) -> bool:
    return 14 <= years_between(birth, today) <= 120


def expiry_is_plausible(expiry: date, today: date) -> bool:
    """Within sixty years, to either side: a licence may have expired."""
    return abs(expiry.year - today.year) <= 60


@dataclass(frozen=True, slots=True)
class Asked:
    """A timestamp as it arrived, and what it may mean."""

    number: float
    plausible: Plausible


def date_of(number: float, unit: str, zones: Sequence[str]) -> date | None:
    """The date that a timestamp names; None for an instant that no calendar has.

    It is the UTC date, unless a day begins at that very instant in one of ``zones``: then it is that day. A day begins at
    one o'clock where the clocks went forward at midnight.
    """
    if not math.isfinite(number):
        return None
    try:
        instant = _EPOCH + timedelta(seconds=number / _PER_SECOND[unit])
        just_before = instant - timedelta(seconds=1)
        if instant.date() != just_before.date():
            return instant.date()
        for name in zones:
            zone = zoneinfo.ZoneInfo(name)
            day = instant.astimezone(zone).date()
            if instant.microsecond == 0 and day != just_before.astimezone(zone).date():
                return day
    except (OverflowError, ValueError):
        return None
    return instant.date()


def dates_of(asked: Mapping[str, Asked], *, unit: str, zones: Sequence[str], today: date) -> dict[str, date | None]:
    """The dates of one message by name, all in one unit; None for each that cannot be meant.

    ``unit`` is ``seconds``, ``milliseconds`` or ``auto``: then seconds, unless milliseconds make sense of more of them.
    """
    if unit != "auto":
        return _reading(asked, unit, zones, today)
    in_seconds = _reading(asked, "seconds", zones, today)
    in_milliseconds = _reading(asked, "milliseconds", zones, today)
    # Read as milliseconds, any number of seconds of our time lies in January 1970, and some people were born then. So
    # one of them has to be too large for seconds; else an impossible date would become a wrong one.
    is_told = any(
        found is not None and abs(asked[name].number) > _NO_SECONDS for name, found in in_milliseconds.items()
    )
    return in_milliseconds if is_told and _made_out(in_milliseconds) > _made_out(in_seconds) else in_seconds


def _reading(asked: Mapping[str, Asked], unit: str, zones: Sequence[str], today: date) -> dict[str, date | None]:
    reading: dict[str, date | None] = {}
    for name, wanted in asked.items():
        found = date_of(wanted.number, unit, zones)
        reading[name] = found if found is not None and wanted.plausible(found, today) else None
    return reading


def _made_out(reading: Mapping[str, date | None]) -> int:
    return sum(found is not None for found in reading.values())
