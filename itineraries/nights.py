"""The warning about a night without a bed.

A night counts where the traveller is at four in the morning: in a stay, on the way, or still or again at home. Of the
choices of options, those leave a night without a bed in which no card's option covers it: of each card any option that
does not. So it is enough to know for each night which options cover it, and no choice is ever enumerated.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from itineraries.between_cards import MAX_OPTIONS, Numbered, flight_home, nights
from itineraries.document import AccommodationCard, AccommodationOption, CarRideCard, FlightCard, Option, Trip
from itineraries.errors import Problem
from itineraries.schedule import destination, interval_days, local_moment, origin
from itineraries.wording import day_in_words, with_options

_ASLEEP = timedelta(hours=4, minutes=1)
# A night that hangs on the choice in more cards than these is told without naming the options.
_MAX_CARDS = 6

# For each card that covers a night with some of its options, the numbers of the others, counted from 1.
Choice = tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class _Gap:
    """Nights from ``first`` to before ``end`` that have no bed with that choice."""

    first: date
    end: date
    choice: Choice


def warnings_in(trip: Trip) -> Iterator[Problem]:
    cards = [Numbered(at, card) for at, card in enumerate(trip.segments)]
    stays = [
        (taken, f"segments[{one.at}].options[{number}].dateInterval")
        for one in cards
        if isinstance(one.card, AccommodationCard)
        for number, option in enumerate(one.card.options[:MAX_OPTIONS])
        if (taken := nights(option)) is not None
    ]
    span = _span(trip, [taken for taken, _path in stays])
    if span is None or not cards:
        return
    place = _Place(stays)
    for gap in _gaps(_covered(cards), {one.at: len(one.options) for one in cards}, *span):
        yield Problem(place.of(gap, trip), "warning", "no_bed", _message(gap))


def _span(trip: Trip, stays: list[tuple[date, date]]) -> tuple[date, date] | None:
    """The nights of the trip; where it has no dates, those from the first stay to the last."""
    first, last = interval_days(trip.date_interval)
    if first is None and stays:
        first = min(start for start, _end in stays)
    if last is None and stays:
        last = max(end for _start, end in stays)
    return (first, last) if first is not None and last is not None and first < last else None


def _message(gap: _Gap) -> str:
    count = (gap.end - gap.first).days
    last = gap.end - timedelta(days=1)
    message = ngettext(
        "There is no bed for the night of %(first)s.",
        "There is no bed for %(count)d nights, from %(first)s to %(last)s.",
        count,
    ) % {"count": count, "first": day_in_words(gap.first), "last": day_in_words(last)}
    if len(gap.choice) > _MAX_CARDS:
        return f"{message} {_('This is so with some choices of options only.')}"
    return with_options(message, [(at + 1, numbers) for at, numbers in gap.choice])


# --- What covers which nights ------------------------------------------------------------------------------------

_Covered = tuple[int, int, date, date]


def _covered(cards: list[Numbered]) -> Iterator[_Covered]:
    """Card, option, and the nights from one day to before another that the option covers."""
    moving = [one for one in cards if isinstance(one.card, (FlightCard, CarRideCard))]
    stays = [one.at for one in cards if isinstance(one.card, AccommodationCard)]
    leaving = moving[0].at if moving and (not stays or moving[0].at < stays[0]) else None
    returning = _returning(moving, stays, flight_home(cards))
    for at, card in cards:
        for number, option in enumerate(card.options[:MAX_OPTIONS]):
            if isinstance(option, AccommodationOption):
                start, end = interval_days(option.date_interval)
                # Of a stay without dates it cannot be told what it leaves open.
                if start is None or end is None:
                    start, end = start or date.min, end or date.max
                if start < end:
                    yield at, number, start, end
            elif isinstance(card, (FlightCard, CarRideCard)):
                yield from _on_the_way(at, number, option, leaving == at, returning == at)


def _returning(moving: list[Numbered], stays: list[int], home: Numbered | None) -> int | None:
    """The card that ends the trip: a ride may follow the flight home, and without flights a ride does it."""
    flies = any(isinstance(one.card, FlightCard) for one in moving)
    if moving and stays and moving[-1].at > stays[-1] and (home is not None or not flies):
        return moving[-1].at
    return home.at if home is not None else None


def _on_the_way(at: int, number: int, option: Option, leaving: bool, returning: bool) -> Iterator[_Covered]:
    start, end = _night(local_moment(origin(option))), _night(local_moment(destination(option)))
    if leaving:
        yield at, number, date.min, start or date.max
    if returning:
        yield at, number, end or date.min, date.max
    if start is not None and end is not None and start < end:
        yield at, number, start, end


def _night(moment: datetime | None) -> date | None:
    """The first night whose small hours are not before that moment."""
    try:
        return (moment - _ASLEEP).date() if moment is not None else None
    except OverflowError:  # the first day that there is
        return None


def _gaps(covered: Iterator[_Covered], options: dict[int, int], first: date, end: date) -> Iterator[_Gap]:
    """The gaps of the span, in order; neighbours with the same choice are one."""
    changes: dict[date, list[tuple[int, int, int]]] = {first: [], end: []}
    for at, number, start, stop in covered:
        start, stop = max(start, first), min(stop, end)
        if start < stop:
            changes.setdefault(start, []).append((at, number, 1))
            changes.setdefault(stop, []).append((at, number, -1))
    covering: dict[int, Counter[int]] = {}
    whole = 0
    open_gap: _Gap | None = None
    days = sorted(changes)
    for day, until in pairwise(days):
        for at, number, step in changes[day]:
            counts = covering.setdefault(at, Counter())
            whole -= len(counts) == options[at]
            counts[number] += step
            if not counts[number]:
                del counts[number]
            whole += len(counts) == options[at]
            if not counts:
                del covering[at]
        if whole:
            if open_gap is not None:
                yield open_gap
            open_gap = None
            continue
        choice = _choice(covering, options)
        if open_gap is not None and open_gap.choice == choice:
            open_gap = _Gap(open_gap.first, until, choice)
            continue
        if open_gap is not None:
            yield open_gap
        open_gap = _Gap(day, until, choice)
    if open_gap is not None:
        yield open_gap


def _choice(covering: dict[int, Counter[int]], options: dict[int, int]) -> Choice:
    # One more than is named tells that there are too many.
    some = sorted(covering)[: _MAX_CARDS + 1]
    return tuple((at, tuple(number + 1 for number in range(options[at]) if number not in covering[at])) for at in some)


class _Place:
    """Where a gap can be mended: the check-out before it, else the check-in after it, else the trip's dates."""

    def __init__(self, stays: list[tuple[tuple[date, date], str]]) -> None:
        self._ends = sorted((end, path) for (_start, end), path in stays)
        self._starts = sorted((start, path) for (start, _end), path in stays)

    def of(self, gap: _Gap, trip: Trip) -> str:
        for at, numbers in gap.choice:
            card = trip.segments[at]
            if isinstance(card, AccommodationCard):
                taken = nights(card.options[numbers[0] - 1])
                end = "from" if taken is not None and taken[0] >= gap.end else "to"
                return f"segments[{at}].options[{numbers[0] - 1}].dateInterval.{end}"
        if before := bisect_right(self._ends, gap.first, key=lambda one: one[0]):
            return f"{self._ends[before - 1][1]}.to"
        after = bisect_left(self._starts, gap.end, key=lambda one: one[0])
        return f"{self._starts[after][1]}.from" if after < len(self._starts) else "dateInterval"
