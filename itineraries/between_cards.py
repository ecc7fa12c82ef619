"""Warnings about cards that do not fit together, judged for each choice of options.

The variants of a card are alternatives, so a clash can be there with some of them only, and says with which. Nothing is
ever enumerated: cards are compared in pairs, and the choices that leave a night without a bed are, of each card, any of
the options that do not cover it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from itineraries import airports
from itineraries.document import AccommodationCard, AccommodationOption, Card, CarRideCard, FlightCard, Option, Trip
from itineraries.errors import Problem
from itineraries.schedule import code_of, destination, interval_days, local_moment, moment, origin
from itineraries.wording import day_in_words, with_options

# Each with each: a trip that has more is nobody's, and would take minutes.
MAX_COMPARED = 200_000
MAX_OPTIONS = 50


class Numbered(NamedTuple):
    """A card and its place in the trip."""

    at: int
    card: Card

    @property
    def options(self) -> Sequence[Option]:
        return self.card.options[:MAX_OPTIONS]


def warnings_in(trip: Trip) -> Iterator[Problem]:
    cards = [Numbered(at, card) for at, card in enumerate(trip.segments)]
    yield from _ride_warnings(cards)
    yield from _flight_warnings(cards)
    yield from _stay_warnings(cards)
    yield from _check_out_warnings(cards)


def _clashes(
    card: Numbered,
    other: Numbered,
    test: Callable[[Any, Any], bool],
    found: Callable[[int, str], Problem],
    message: str,
) -> Iterator[Problem]:
    """A warning at each option of the card that clashes with some of the other's, or with all of them."""
    for number, option in enumerate(card.options):
        clashing = [index for index, another in enumerate(other.options, 1) if test(option, another)]
        if clashing:
            choices = [] if len(clashing) == len(other.options) else [(other.at + 1, clashing)]
            yield found(number, with_options(message, choices))


def _warning(card: Numbered, code: str, inside: str) -> Callable[[int, str], Problem]:
    return lambda number, message: Problem(f"segments[{card.at}].options[{number}].{inside}", "warning", code, message)


# --- Rides and flights -------------------------------------------------------------------------------------------


def _ride_warnings(cards: list[Numbered]) -> Iterator[Problem]:
    """A ride is compared with the flights around it; both times are those of the place where they meet."""
    before: Numbered | None = None
    rides: list[Numbered] = []
    for one in cards:
        if isinstance(one.card, CarRideCard):
            rides.append(one)
            if before is not None:
                message = _("This ride leaves before the flight lands.")
                yield from _clashes(
                    one, before, _leaves_too_early, _warning(one, "before_landing", "pointA.time"), message
                )
        elif isinstance(one.card, FlightCard):
            for ride in rides[-1:]:
                message = _("This ride arrives after the flight has left.")
                yield from _clashes(
                    ride, one, _arrives_too_late, _warning(ride, "after_take_off", "pointB.time"), message
                )
            before, rides = one, []


def _flight_warnings(cards: list[Numbered]) -> Iterator[Problem]:
    """Each flight is compared with the one before it."""
    before: Numbered | None = None
    ridden = False
    for one in cards:
        ridden = ridden or isinstance(one.card, CarRideCard)
        if not isinstance(one.card, FlightCard):
            continue
        if before is not None:
            message = _("This flight leaves before that of card %(card)d lands.") % {"card": before.at + 1}
            found = _warning(one, "before_landing", "flightSegments[0].pointA.time")
            yield from _clashes(one, before, _takes_off_too_early, found, message)
            if not ridden:
                message = _("This flight leaves from another city than that of card %(card)d reaches.")
                found = _warning(one, "airport_change", "flightSegments[0].pointA.code")
                yield from _clashes(one, before, _leaves_from_elsewhere, found, message % {"card": before.at + 1})
        before, ridden = one, False


def _leaves_too_early(ride: Option, flight: Option) -> bool:
    start, landing = local_moment(origin(ride)), local_moment(destination(flight))
    return start is not None and landing is not None and start < landing


def _arrives_too_late(ride: Option, flight: Option) -> bool:
    arrival, departure = local_moment(destination(ride)), local_moment(origin(flight))
    return arrival is not None and departure is not None and arrival > departure


def _takes_off_too_early(flight: Option, earlier: Option) -> bool:
    start, landing = moment(origin(flight)), moment(destination(earlier))
    return start is not None and landing is not None and start.timestamp() < landing.timestamp()


def _leaves_from_elsewhere(flight: Option, earlier: Option) -> bool:
    left, reached = code_of(origin(flight)), code_of(destination(earlier))
    here, there = airports.by_code(left), airports.by_code(reached)
    return left != reached and here is not None and there is not None and here.city != there.city


# --- Stays -------------------------------------------------------------------------------------------------------


def nights(option: AccommodationOption) -> tuple[date, date] | None:
    """The first night and the day of the check-out; None where they are missing, reversed or not readable."""
    start, end = interval_days(option.date_interval)
    return (start, end) if start is not None and end is not None and start <= end else None


def _stay_warnings(cards: list[Numbered]) -> Iterator[Problem]:
    """Each stay is compared with those before it, the nearest first."""
    stays: list[tuple[Numbered, tuple[date, date]]] = []
    compared = 0
    for one in cards:
        if not isinstance(one.card, AccommodationCard):
            continue
        known = [taken for option in one.card.options[:MAX_OPTIONS] if (taken := nights(option)) is not None]
        if not known:
            continue
        hull = min(start for start, _end in known), max(end for _start, end in known)
        for other, others in reversed(stays):
            if (compared := compared + 1) > MAX_COMPARED:
                return
            if _overlap(hull, others):
                compared += len(one.options) * len(other.options)
                message = _("This stay overlaps with that of card %(card)d.") % {"card": other.at + 1}
                found = _warning(one, "overlap", "dateInterval.from")
                yield from _clashes(one, other, _stays_overlap, found, message)
        stays.append((one, hull))


def _stays_overlap(stay: AccommodationOption, other: AccommodationOption) -> bool:
    one, another = nights(stay), nights(other)
    return one is not None and another is not None and _overlap(one, another)


def _overlap(one: tuple[date, date], other: tuple[date, date]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _check_out_warnings(cards: list[Numbered]) -> Iterator[Problem]:
    """The stays before the flight home are compared with it."""
    home = flight_home(cards)
    if home is None:
        return
    departures = {day for option in home.options if (day := _departure_day(option)) is not None}
    if not departures:
        return
    message = _("The check-out is after the flight home has left, on %(day)s.") % {"day": day_in_words(min(departures))}
    if len(departures) > 1:
        message = _("The check-out is after the flight home has left.")
    for one in cards[: home.at]:
        if isinstance(one.card, AccommodationCard):
            found = _warning(one, "after_flight_home", "dateInterval.to")
            yield from _clashes(one, home, _checks_out_too_late, found, message)


def _checks_out_too_late(stay: AccommodationOption, flight: Option) -> bool:
    taken, day = nights(stay), _departure_day(flight)
    return taken is not None and day is not None and taken[1] > day


def _departure_day(flight: Option) -> date | None:
    start: datetime | None = local_moment(origin(flight))
    return start.date() if start is not None else None


def flight_home(cards: Sequence[Numbered]) -> Numbered | None:
    """The last flight, where it ends the trip: it lands where the first one began, or no stay follows it and it does not
    land in another country than that.
    """
    flights = [one for one in cards if isinstance(one.card, FlightCard)]
    stays = [one.at for one in cards if isinstance(one.card, AccommodationCard)]
    if not flights:
        return None
    first, last = flights[0], flights[-1]
    starts = {code_of(origin(option)) for option in first.options} - {""}
    ends = {code_of(destination(option)) for option in last.options} - {""}
    if last is not first and starts & ends:
        return last
    if not stays or stays[-1] > last.at:
        return None
    return last if last is first or not starts or not ends or _countries(starts) & _countries(ends) else None


def _countries(codes: set[str]) -> set[str]:
    return {airport.country if (airport := airports.by_code(code)) else "" for code in codes}
