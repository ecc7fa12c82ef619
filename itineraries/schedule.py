"""Dates, local times, zones and durations of a trip, in the spellings of Crusoe's specification."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo

from itineraries import airports
from itineraries.document import FlightOption, Leg, Point

_DATE = re.compile(r"(\d{2})\.(\d{2})\.(\d{4})", re.ASCII)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?: ?([AaPp])[Mm])?", re.ASCII)


def read_date(text: str) -> date:
    """``19.05.2016``; raises ValueError."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError("not a date of the form DD.MM.YYYY")
    day, month, year = map(int, found.groups())
    return date(year, month, day)


def write_date(day: date) -> str:
    return f"{day.day:02}.{day.month:02}.{day.year:04}"


def read_time(text: str) -> time:
    """``13:45 PM`` and ``09:15 AM`` as in the samples, ``10:20`` as in the prose; raises ValueError.

    Hours are of 24 even with AM or PM; only where both cannot be true at once is it a 12-hour time: ``01:45 PM`` is
    13:45, ``12:30 AM`` is 00:30.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("not a time of the form HH:mm A")
    hour, minute, half = int(found[1]), int(found[2]), (found[3] or "").upper()
    if half == "A" and hour > 12:
        raise ValueError("an hour after noon is not AM")
    if half == "P" and hour < 12:
        if hour == 0:
            raise ValueError("midnight is not PM")
        hour += 12
    elif half == "A" and hour == 12:
        hour = 0
    return time(hour, minute)


def write_time(moment: time) -> str:
    """``13:45 PM``: 24 hours, with the half of the day."""
    return f"{moment.hour:02}:{moment.minute:02} {'AM' if moment.hour < 12 else 'PM'}"


def local_moment(point: Point | None) -> datetime | None:
    """The point's date and time as they stand on a clock there, naive; None where one is missing or not readable."""
    if point is None or not point.date or not point.time:
        return None
    try:
        return datetime.combine(read_date(point.date), read_time(point.time))
    except ValueError:
        return None


def moment(point: Point | None) -> datetime | None:
    """The point's time as an instant, by the zone of its airport; None where something is missing."""
    local = local_moment(point)
    zone = _zone(point)
    return local.replace(tzinfo=zone) if local is not None and zone is not None else None


def seconds_between(start: Point | None, end: Point | None) -> int | None:
    """From one point to the other, in seconds; None where it cannot be told.

    Without zones it can be told for two points at the same airport only.
    """
    first, last = moment(start), moment(end)
    if first is not None and last is not None:
        # As instants: within one zone Python would subtract what the clocks show.
        return round(last.timestamp() - first.timestamp())
    begin, finish = local_moment(start), local_moment(end)
    if begin is None or finish is None or start is None or end is None:
        return None
    if start.code and end.code and start.code.strip().upper() == end.code.strip().upper():
        return round((finish - begin).total_seconds())
    return None


def flight_duration(leg: Leg) -> int | None:
    """Seconds from take-off to landing; negative where the arrival is before the departure."""
    return seconds_between(leg.point_a, leg.point_b)


def layover(previous: Leg, following: Leg) -> int | None:
    """Seconds on the ground between two legs."""
    return seconds_between(previous.point_b, following.point_a)


@dataclass(frozen=True)
class LegTimes:
    """``layover`` is the time on the ground before this leg; None for the first."""

    key: str
    duration: int | None
    layover: int | None


@dataclass(frozen=True)
class FlightTotals:
    """What a flight's legs come to, in seconds and counts; None where a leg does not say enough."""

    duration: int | None
    stops: int | float | None
    layovers: int | None
    legs: tuple[LegTimes, ...]


def totals(option: FlightOption) -> FlightTotals:
    """Durations with layovers, as the specification's sample counts them: 19200 = 9000 + 3000 + 7200."""
    legs = option.flight_segments
    times = tuple(
        LegTimes(leg.key, flight_duration(leg), layover(legs[index - 1], leg) if index else None)
        for index, leg in enumerate(legs)
    )
    stops = [leg.stops for leg in legs]
    return FlightTotals(
        duration=seconds_between(legs[0].point_a, legs[-1].point_b) if legs else None,
        stops=sum(stop for stop in stops if stop is not None) if legs and None not in stops else None,
        layovers=len(legs) - 1 if legs else None,
        legs=times,
    )


def _zone(point: Point | None) -> tzinfo | None:
    airport = airports.by_code(point.code) if point is not None and point.code else None
    return airport.zone if airport else None
