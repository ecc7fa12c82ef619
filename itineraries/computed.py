"""The values of a card that its places and times give: durations, layovers, stops. Pure.

A person may store another value. A stored value that is what its card gives *follows*: it is brought up to date with
the card. One that differs is an override, and stays until a person asks for the computed one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from itineraries import editing, schedule
from itineraries.document import Card, CarRideOption, FlightOption, Option, Trip, export
from itineraries.editing import ABSENT


@dataclass(frozen=True)
class Computed:
    """``key`` names the option or the leg; ``value`` is None where the card does not say enough."""

    key: str
    path: str
    stored: int | float | None
    value: int | float | None


def values(option: Option) -> Iterator[Computed]:
    """Every value of the option and its legs that can be computed. Durations are in seconds."""
    if isinstance(option, FlightOption):
        totals = schedule.totals(option)
        yield Computed(option.key, "duration", option.duration, _possible(totals.duration))
        yield Computed(option.key, "stops", option.stops, totals.stops)
        yield Computed(option.key, "layovers", option.layovers, totals.layovers)
        for leg, times in zip(option.flight_segments, totals.legs, strict=True):
            yield Computed(leg.key, "duration", leg.duration, _possible(times.duration))
            yield Computed(leg.key, "layoverTime", leg.layover_time, _possible(times.layover))
    elif isinstance(option, CarRideOption):
        # A ride has no airports to tell zones by; both ends are taken to keep the same time.
        start, end = schedule.local_moment(option.point_a), schedule.local_moment(option.point_b)
        taken = None if start is None or end is None else round((end - start).total_seconds())
        yield Computed(option.key, "duration", option.duration, _possible(taken))


def overrides(option: Option) -> list[Computed]:
    """The stored values that are not what the card gives."""
    return [one for one in values(option) if None not in (one.stored, one.value) and one.stored != one.value]


def follow(before: Trip, after: Trip, card_key: str, typed: Collection[tuple[str, str]] = ()) -> Trip:
    """Brings the card's computed values up to date after an edit of it.

    Missing ones are filled in where the edit touched what they come from; ``typed`` are the keys and paths of values
    that a person gave in the same edit, which stay.
    """
    old_options = {option.key: option for option in _options(before, card_key)}
    trip = after
    for option in _options(after, card_key):
        old = old_options.get(option.key)
        if old is not None and export(old) == export(option):
            continue
        was = {(one.key, one.path): one for one in values(old)} if old is not None else {}
        touched = old is None or _sources(old) != _sources(option)
        for one in values(option):
            if (one.key, one.path) in typed:
                continue
            earlier = was.get((one.key, one.path))
            emptied = one.stored is None and earlier is not None and earlier.stored is not None
            followed = earlier is not None and earlier.stored is not None and earlier.stored == earlier.value
            if (one.stored is None and (touched or emptied)) or (one.stored is not None and followed):
                trip = _write(trip, card_key, option, one)
    return trip


def recompute(trip: Trip, card_key: str, option_key: str) -> Trip:
    """Replaces the option's overrides, and fills in what is missing."""
    for option in _options(trip, card_key):
        if option.key == option_key:
            for one in values(option):
                if one.value is not None:
                    trip = _write(trip, card_key, option, one)
    return trip


def card_of(trip: Trip, card_key: str) -> Card | None:
    return next((card for card in trip.segments if card.key == card_key), None)


def _options(trip: Trip, card_key: str) -> list[Option]:
    card = card_of(trip, card_key)
    return [*card.options] if card is not None else []


def _sources(option: Option) -> Any:
    """What computed values come from; a change of anything else fills nothing in."""
    if isinstance(option, FlightOption):
        return [(leg.key, _point(leg.point_a), _point(leg.point_b), leg.stops) for leg in option.flight_segments]
    if isinstance(option, CarRideOption):
        return _point(option.point_a), _point(option.point_b)
    return None


def _point(point: Any) -> Any:
    return None if point is None else (point.code, point.date, point.time)


def _possible(seconds: int | float | None) -> int | float | None:
    """An arrival before its departure gives no duration: it is a problem of its own."""
    return seconds if seconds is not None and seconds >= 0 else None


def _write(trip: Trip, card_key: str, option: Option, one: Computed) -> Trip:
    if one.stored == one.value:
        return trip
    change = {one.path: ABSENT if one.value is None else one.value}
    if one.key == option.key:
        return editing.option_update(trip, card_key, option.key, change)
    return editing.leg_update(trip, card_key, option.key, one.key, change)
