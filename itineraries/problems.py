"""What keeps a trip from being published (errors), and what would look odd to a traveller (warnings).

One set of rules for the forms, the API, the command and the publish button. The errors are those of Crusoe's contract
("Segments" of its specification); the warnings are in ``consistency``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from django.utils.translation import gettext as _

from itineraries import consistency
from itineraries.document import (
    AccommodationOption,
    Card,
    CarRideOption,
    DateInterval,
    ExperienceOption,
    FlightOption,
    Leg,
    Option,
    OptionPrice,
    Point,
    Trip,
)
from itineraries.errors import Level, Problem
from itineraries.schedule import day_or_none, interval_days, time_or_none

__all__ = ["Level", "Problem", "errors_in", "find"]

# A document can hold a hundred thousand mistakes; nobody mends more than these at a time.
MAX_OF_A_KIND = 1000
_CARD = re.compile(r"segments\[(\d+)\]")
# What Booking.com's data stands in for.
_HOTEL_TEXTS = ("image", "description", "address", "latitude", "longitude")


def find(trip: Trip) -> list[Problem]:
    """The problems of the trip, errors first, each group in the order of the cards; a thousand of each at most."""
    warnings = list(islice(consistency.warnings_in(trip), MAX_OF_A_KIND))
    return [*errors_in(trip), *sorted(warnings, key=_card)]


def _card(problem: Problem) -> int:
    """The index of the card that it is about; what is about the trip comes before them."""
    found = _CARD.match(problem.path)
    return int(found[1]) if found else -1


def errors_in(trip: Trip) -> list[Problem]:
    """What Crusoe's contract would refuse."""
    return list(islice(_trip_errors(trip), MAX_OF_A_KIND))


def _trip_errors(trip: Trip) -> Iterator[Problem]:
    yield from _required("title", trip.title)
    yield from _interval_errors("dateInterval", trip.date_interval)
    price = trip.price
    yield from _required("price.currency", price.currency if price else None)
    yield from _required("price.type", price.type if price else None)
    if price is not None and price.type == "fixed" and price.fixed_price_amount is None:
        yield _error("price.fixedPriceAmount", "required", _("A trip with a fixed price needs the amount."))
    if not trip.segments:
        yield _error(
            "segments", "required", _("The trip has no cards yet: add a flight, a stay, a ride or an experience.")
        )
    for index, card in enumerate(trip.segments):
        path = f"segments[{index}]"
        if index:
            message = _("A label is required before every card but the first.")
            yield from _required(f"{path}.milestone", card.milestone, message)
        yield from _card_errors(path, card, dynamic=price is not None and price.type == "dynamic")


def _card_errors(path: str, card: Card, *, dynamic: bool) -> Iterator[Problem]:
    if not card.options:
        yield _error(f"{path}.options", "required", _("A card needs at least one option."))
    for index, option in enumerate(card.options):
        inside = f"{path}.options[{index}]"
        yield from _price_errors(f"{inside}.price", option.price, dynamic=dynamic)
        yield from _option_errors(inside, option)


def _option_errors(path: str, option: Option) -> Iterator[Problem]:
    match option:
        case FlightOption():
            yield from _flight_errors(path, option)
        case AccommodationOption():
            yield from _interval_errors(f"{path}.dateInterval", option.date_interval)
            if not (option.booking_id or "").strip():
                for name in _HOTEL_TEXTS:
                    message = _("This is required unless a Booking.com id is given.")
                    yield from _required(f"{path}.{name}", getattr(option, name), message)
        case CarRideOption():
            yield from _required(f"{path}.duration", option.duration)
            yield from _point_errors(f"{path}.pointA", option.point_a)
            yield from _point_errors(f"{path}.pointB", option.point_b)
        case ExperienceOption():
            yield from _required(f"{path}.image", option.image)
            yield from _required(f"{path}.description", option.description)


def _price_errors(path: str, price: OptionPrice | None, *, dynamic: bool) -> Iterator[Problem]:
    if price is None:
        return
    if dynamic and price.current_amount is None:
        message = _("A price of a trip that is priced by card needs its amount.")
        yield _error(f"{path}.currentAmount", "required", message)
    if not price.discounted:
        return
    if price.before_amount is None:
        yield _error(f"{path}.beforeAmount", "required", _("A discounted price needs the price before."))
    elif price.current_amount is not None and price.before_amount <= price.current_amount:
        message = _("The price before a discount must be above the present one.")
        yield _error(f"{path}.beforeAmount", "discount", message)


def _flight_errors(path: str, option: FlightOption) -> Iterator[Problem]:
    yield from _required(f"{path}.duration", option.duration)
    yield from _required(f"{path}.stops", option.stops)
    yield from _required(f"{path}.layovers", option.layovers)
    if not option.flight_segments:
        yield _error(f"{path}.flightSegments", "required", _("A flight needs at least one leg."))
    for index, leg in enumerate(option.flight_segments):
        yield from _leg_errors(f"{path}.flightSegments[{index}]", leg, first=index == 0)


def _leg_errors(path: str, leg: Leg, *, first: bool) -> Iterator[Problem]:
    yield from _required(f"{path}.code", leg.code)
    yield from _required(f"{path}.duration", leg.duration)
    yield from _required(f"{path}.stops", leg.stops)
    yield from _point_errors(f"{path}.pointA", leg.point_a, with_code=True)
    yield from _point_errors(f"{path}.pointB", leg.point_b, with_code=True)
    if not first and leg.layover_time is None:
        message = _("The layover is required on every leg but the first.")
        yield _error(f"{path}.layoverTime", "required", message)


def _point_errors(path: str, point: Point | None, *, with_code: bool = False) -> Iterator[Problem]:
    yield from _required(f"{path}.name", point.name if point else None)
    if with_code:
        yield from _required(f"{path}.code", point.code if point else None)
    yield from _date_errors(f"{path}.date", point.date if point else None)
    yield from _required(f"{path}.time", point.time if point else None)
    if point is not None and point.time and time_or_none(point.time) is None:
        yield _error(f"{path}.time", "time", _("Not a time of the form HH:mm A, such as 13:45 PM."))


def _interval_errors(path: str, interval: DateInterval | None) -> Iterator[Problem]:
    start = interval.from_ if interval else None
    end = interval.to if interval else None
    yield from _date_errors(f"{path}.from", start)
    yield from _date_errors(f"{path}.to", end)
    first, last = interval_days(interval)
    if first is not None and last is not None and last < first:
        yield _error(f"{path}.to", "order", _("The end is before the beginning."))


def _date_errors(path: str, text: str | None) -> Iterator[Problem]:
    yield from _required(path, text)
    if text and day_or_none(text) is None:
        yield _error(path, "date", _("Not a date of the form DD.MM.YYYY, such as 19.05.2016."))


def _required(path: str, value: object, message: str = "") -> Iterator[Problem]:
    if value is None or (isinstance(value, str) and not value.strip()):
        yield _error(path, "required", message or _("This is required."))


def _error(path: str, code: str, message: str) -> Problem:
    return Problem(path, "error", code, message)
