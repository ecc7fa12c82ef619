"""Dates, local times, zones and durations of a trip, in the spellings of Crusoe's specification."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Literal

from itineraries import airports
from itineraries.document import CarRideOption, DateInterval, FlightOption, Leg, Option, Point

_DATE = re.compile(r"(\d{2})\.(\d{2})\.(\d{4})", re.ASCII)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?: ?([AaPp])[Mm])?", re.ASCII)


def read_date(text: str) -> date:
    """``19.05.2016``; raises ValueError."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError("not a date of the form DD.MM.YYYY")
    day, month, year = map(int, found.groups())
    return date(year, month, day)


@lru_cache(4096)
def day_or_none(text: str | None) -> date | None:
    """The same; None for what is missing or cannot be read."""
    try:
        return read_date(text) if text else None
    except ValueError:
        return None


def interval_days(interval: DateInterval | None) -> tuple[date | None, date | None]:
    """Its first and its last day, each None where it is missing or cannot be read."""
    return (day_or_none(interval.from_), day_or_none(interval.to)) if interval is not None else (None, None)


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


@lru_cache(4096)
def time_or_none(text: str | None) -> time | None:
    """The same; None for what is missing or cannot be read."""
    try:
        return read_time(text) if text else None
    except ValueError:
        return None


def write_time(moment: time) -> str:
    """``13:45 PM``: 24 hours, with the half of the day."""
    return f"{moment.hour:02}:{moment.minute:02} {'AM' if moment.hour < 12 else 'PM'}"


def local_moment(point: Point | None) -> datetime | None:
    """The point's date and time as they stand on a clock there, naive; None where one is missing or not readable."""
    return _local(point.date, point.time) if point is not None else None


def moment(point: Point | None) -> datetime | None:
    """The point's time as an instant, by the zone of its airport; None where something is missing."""
    return _moment(point.date, point.time, point.code) if point is not None and point.code else None


def clock_change(point: Point | None) -> Literal["skipped", "repeated"] | None:
    """Whether the clock of the point's airport never shows the point's time that day, or shows it twice."""
    return _clock_change(point.date, point.time, point.code) if point is not None and point.code else None


# A trip has few moments and many points, and each is asked for again and again.


@lru_cache(4096)
def _local(date: str | None, time: str | None) -> datetime | None:
    day, clock = day_or_none(date), time_or_none(time)
    return datetime.combine(day, clock) if day is not None and clock is not None else None


@lru_cache(4096)
def _moment(date: str | None, time: str | None, code: str) -> datetime | None:
    local, airport = _local(date, time), airports.by_code(code)
    return local.replace(tzinfo=airport.zone) if local is not None and airport is not None else None


@lru_cache(4096)
def _clock_change(date: str | None, time: str | None, code: str) -> Literal["skipped", "repeated"] | None:
    start = _moment(date, time, code)
    if start is None or _offset(start) == _offset(start.replace(fold=1)):
        return None
    try:
        back = start.astimezone(UTC).astimezone(start.tzinfo)
    except OverflowError:  # within hours of the first or the last day that there is
        return None
    return "repeated" if back.replace(tzinfo=None, fold=0) == start.replace(tzinfo=None) else "skipped"


def seconds_between(start: Point | None, end: Point | None) -> int | None:
    """From one point to the other, in seconds; None where it cannot be told.

    Without zones it can be told for two points at the same airport only. Of a time that a clock shows twice, the first
    is meant, unless only the second one makes the end follow the start.
    """
    first, last = moment(start), moment(end)
    if first is not None and last is not None:
        # As instants: within one zone Python would subtract what the clocks show.
        seconds = round(last.timestamp() - first.timestamp())
        if seconds < 0 and _offset(last) != _offset(later := last.replace(fold=1)):
            seconds = max(seconds, round(later.timestamp() - first.timestamp()))
        return seconds
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


# --- An option as a whole ----------------------------------------------------------------------------------------


def points(option: Option) -> Sequence[Point]:
    """Where a flight or a ride goes, in order; none for what stays in its place."""
    ends: Sequence[Point | None] = ()
    if isinstance(option, FlightOption):
        ends = [point for leg in option.flight_segments for point in (leg.point_a, leg.point_b)]
    elif isinstance(option, CarRideOption):
        ends = [option.point_a, option.point_b]
    return [point for point in ends if point is not None]


def origin(option: Option) -> Point | None:
    """Where a flight or a ride starts."""
    if isinstance(option, FlightOption):
        return option.flight_segments[0].point_a if option.flight_segments else None
    return option.point_a if isinstance(option, CarRideOption) else None


def destination(option: Option) -> Point | None:
    """Where a flight or a ride ends."""
    if isinstance(option, FlightOption):
        return option.flight_segments[-1].point_b if option.flight_segments else None
    return option.point_b if isinstance(option, CarRideOption) else None


def code_of(point: Point | None) -> str:
    """The point's airport code in capitals; empty where there is none."""
    return point.code.strip().upper() if point is not None and point.code else ""


def _offset(moment: datetime) -> float | None:
    offset = moment.utcoffset()
    return None if offset is None else offset.total_seconds()
