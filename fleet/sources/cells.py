"""What a cell of a table says of a vehicle: a column's text in, values by field out, or the reason why not. Pure.

Each reader takes the text of a cell without the blanks around it and returns the bits of the fields it tells
(`records.bit`) with their values; what is wrong with it is raised as Refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware, now
from django.utils.translation import gettext

from fleet.countries import country_named
from fleet.models import moment_problem
from fleet.sources.records import bit
from fleet.sources.spellings import NO, YES, bare, kind_named, state_named
from fleet.vocabulary import ID_PATTERN, UNREACHABLE_IDS, State, has_controls, plate_spelled

# The bits of what is told, and the values.
Values = tuple[int, Mapping[str, object]]

LENGTHS: Final = {"plate": 16, "vin": 32, "model": 80, "city": 80}
NOTHING: Final[Values] = (0, {})
_ID = re.compile(ID_PATTERN)
_LONGEST_NUMBER: Final = 400  # the smallest there is, written out
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)")
# What a spreadsheet would take for a formula (OWASP, "CSV Injection"); a quote before it makes it text.
RUN_BY_SPREADSHEETS: Final = ("=", "+", "-", "@", "\t", "\r")


class Refused(Exception):
    """A cell that cannot be read; its text is the reason."""


def neutralised(text: str) -> str:
    """Text that no spreadsheet runs; `restored` gives it back as it was."""
    return f"'{text}" if text.startswith((*RUN_BY_SPREADSHEETS, "'")) else text


def restored(text: str) -> str:
    """A cell without the quote that `neutralised` put before it."""
    if text.startswith("'") and text[1:2] in {*RUN_BY_SPREADSHEETS, "'"}:
        return text[1:]
    return text


def check_id(text: str) -> None:
    """Raises Refused for what is no id."""
    if _ID.fullmatch(text) and text not in UNREACHABLE_IDS:
        return
    if not text:
        raise Refused(gettext("It is empty."))
    if text in UNREACHABLE_IDS:
        raise Refused(gettext("This id cannot be used: an address that ends in it means something else."))
    raise Refused(gettext("“%(value)s” is not an id: 1 to 64 letters, digits or . _ : -") % {"value": text[:80]})


def text_of(column: str, text: str) -> str:
    """Text that fits its column and shows on a page."""
    if len(text) > LENGTHS[column]:
        words = {"value": text[:80], "limit": LENGTHS[column]}
        raise Refused(gettext("“%(value)s” is longer than %(limit)s characters.") % words)
    if not text.isprintable() and has_controls(text):
        raise Refused(gettext("Control characters are not allowed."))
    return text


def number(text: str) -> float:
    """A number with a point or a comma; no exponents, signs of thousands or words."""
    if not _NUMBER.fullmatch(text) or len(text) > _LONGEST_NUMBER:
        raise Refused(gettext("“%(value)s” is not a number.") % {"value": text[:80]})
    return float(text.replace(",", "."))


def degrees(text: str, limit: int) -> float | None:
    """A latitude (limit 90) or longitude (180); None for an empty text."""
    if not text:
        return None
    found = number(text)
    if not -limit <= found <= limit:
        words = {"value": text, "limit": limit}
        raise Refused(gettext("“%(value)s” does not lie between -%(limit)s and %(limit)s degrees.") % words)
    return found


_PLATE, _LATITUDE, _LONGITUDE, _BATTERY = bit("plate"), bit("latitude"), bit("longitude"), bit("battery")


def _plate(cell: str) -> Values:
    return _PLATE, {"plate": text_of("plate", plate_spelled(restored(cell)))}


def _text(column: str) -> Callable[[str], Values]:
    @lru_cache(maxsize=4096)
    def read(cell: str) -> Values:
        return bit(column), {column: text_of(column, restored(cell))}

    return read


@lru_cache(maxsize=4096)
def _country(cell: str) -> Values:
    if not cell:
        return bit("country"), {"country": ""}
    name = country_named(cell)
    if name is None:
        raise Refused(gettext("“%(value)s” is not a country that we know.") % {"value": cell[:80]})
    return bit("country"), {"country": name}


def _latitude(cell: str) -> Values:
    return _LATITUDE, {"latitude": degrees(cell, 90)}


def _longitude(cell: str) -> Values:
    return _LONGITUDE, {"longitude": degrees(cell, 180)}


def _position(cell: str) -> Values:
    """One cell with both: `40.4168, -3.7038`, or `40,4168; -3,7038`."""
    both = _LATITUDE | _LONGITUDE
    if not cell:
        return both, {"latitude": None, "longitude": None}
    parts = re.split(r"\s*;\s*|\s*,\s+|\s+", cell.strip("()[] "))
    if len(parts) == 1:
        parts = cell.strip("()[] ").split(",")
    if len(parts) != 2:
        raise Refused(gettext("“%(value)s” is not a latitude and a longitude.") % {"value": cell[:80]})
    return both, {"latitude": degrees(parts[0], 90), "longitude": degrees(parts[1], 180)}


def _battery(cell: str) -> Values:
    if not cell:
        return _BATTERY, {"battery": None}
    found = number(cell.rstrip("% "))
    if 0 < found < 1:
        raise _fraction(cell)
    if not 0 <= found <= 100:
        raise Refused(gettext("“%(value)s” is not between 0 and 100 per cent.") % {"value": cell})
    return _BATTERY, {"battery": math.floor(found)}  # 19.9 is not yet 20


def battery_among_fractions(cell: str) -> Values:
    """A battery in a column that counts from 0 to 1 elsewhere: a 1 in it may mean anything."""
    told = _battery(cell)
    if told[1]["battery"] == 1:
        raise _fraction(cell)
    return told


def _fraction(cell: str) -> Refused:
    return Refused(
        gettext("“%(value)s” looks like a fraction: the battery is given in per cent, 0 to 100.") % {"value": cell}
    )


@lru_cache(maxsize=1024)
def _state(cell: str) -> Values:
    if not cell:
        return NOTHING
    state = state_named(cell)
    if state is None:
        words = {"value": cell[:80], "states": ", ".join(State.values)}
        raise Refused(gettext("“%(value)s” is not a state; there are: %(states)s.") % words)
    return bit("state"), {"state": state.value}


@lru_cache(maxsize=1024)
def _kind(cell: str) -> Values:
    if not cell:
        return NOTHING
    kind = kind_named(cell)
    if kind is None:
        raise Refused(gettext("“%(value)s” is not a kind of vehicle.") % {"value": cell[:80]})
    return bit("kind"), {"kind": kind.value}


def _free(cell: str) -> Values:
    """A column that says whether the vehicle can be rented."""
    word = bare(cell)
    if not word:
        return NOTHING
    if word not in YES | NO:
        raise Refused(gettext("“%(value)s” is neither yes nor no.") % {"value": cell[:80]})
    return bit("state"), {"state": (State.AVAILABLE if word in YES else State.NON_OPERATIONAL).value}


def _last_signal(cell: str) -> Values:
    """A time in ISO 8601 with its offset; one without could be any zone's."""
    if not cell:
        return NOTHING
    try:
        moment = parse_datetime(cell)
    except ValueError:
        moment = None
    if moment is None or not is_aware(moment):
        raise Refused(
            gettext("“%(value)s” is not a time with its offset, such as 2026-03-01T12:00:00+01:00.")
            % {"value": cell[:80]}
        )
    unlikely = moment_problem(moment, now())
    if unlikely:
        raise Refused(unlikely)
    return bit("last_signal_at"), {"last_signal_at": moment}


READERS: Final[Mapping[str, Callable[[str], Values]]] = {
    "plate": _plate,
    "vin": _text("vin"),
    "model": _text("model"),
    "country": _country,
    "city": _text("city"),
    "latitude": _latitude,
    "longitude": _longitude,
    "position": _position,
    "battery": _battery,
    "state": _state,
    "kind": _kind,
    "free": _free,
    "last_signal_at": _last_signal,
}
