"""What Crusoe would take and a traveller would wonder about: the warnings of ``problems``.

Those of one option stand here, those between cards in ``between_cards`` and ``nights``, those of labels in ``milestones``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from urllib.parse import urlsplit

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from itineraries import airports, between_cards, milestones, nights, prices
from itineraries.document import (
    AccommodationOption,
    CarRideOption,
    ExperienceOption,
    FlightOption,
    Leg,
    Option,
    Point,
    Trip,
)
from itineraries.errors import Problem
from itineraries.schedule import (
    clock_change,
    code_of,
    day_or_none,
    flight_duration,
    interval_days,
    layover,
    local_moment,
)
from itineraries.wording import amount_in_words

SHORT_LAYOVER = 40 * 60
LONG_LAYOVER = 24 * 60 * 60
# Of the sum of the cards: how far a price of the whole trip may be from it without a word.
FAR = Decimal("0.25")
# No two places on earth differ by more than this on their clocks.
_MOST_BEHIND = -26 * 60 * 60

_HOTEL_TEXTS = {
    "image": gettext_lazy("picture"),
    "description": gettext_lazy("description"),
    "address": gettext_lazy("address"),
    "latitude": gettext_lazy("latitude"),
    "longitude": gettext_lazy("longitude"),
}
_PAGE = re.compile(r"\.(html?|php|aspx?|jsp)$", re.IGNORECASE)


def warnings_in(trip: Trip) -> Iterator[Problem]:
    """Every warning: those of the trip, of each card in their order, then those between cards."""
    dynamic = trip.price is not None and trip.price.type == "dynamic"
    days = interval_days(trip.date_interval)
    yield from _price_warnings(trip)
    yield from milestones.warnings_in(trip)
    for index, card in enumerate(trip.segments):
        path = f"segments[{index}]"
        for number, option in enumerate(card.options):
            inside = f"{path}.options[{number}]"
            if dynamic and option.price is None:
                yield _warning(f"{inside}.price", "no_price", _("No price tag will be shown."))
            yield from _option_warnings(inside, option)
            yield from _date_warnings(inside, option, days)
    yield from between_cards.warnings_in(trip)
    yield from nights.warnings_in(trip)


# --- One option --------------------------------------------------------------------------------------------------


def _option_warnings(path: str, option: Option) -> Iterator[Problem]:
    match option:
        case FlightOption():
            yield from _flight_warnings(path, option.flight_segments)
        case AccommodationOption():
            yield from _hotel_warnings(path, option)
            yield from _image_warnings(f"{path}.image", option.image)
        case ExperienceOption():
            yield from _image_warnings(f"{path}.image", option.image)
        case CarRideOption():
            start, end = local_moment(option.point_a), local_moment(option.point_b)
            if start is not None and end is not None and end < start:
                yield _backwards(f"{path}.pointB.time")


def _flight_warnings(path: str, legs: list[Leg]) -> Iterator[Problem]:
    for index, leg in enumerate(legs):
        inside = f"{path}.flightSegments[{index}]"
        if index:
            yield from _connection_warnings(inside, legs[index - 1], leg)
        if _is_backwards(leg):
            yield _backwards(f"{inside}.pointB.time")
        for name, point in (("pointA", leg.point_a), ("pointB", leg.point_b)):
            yield from _airport_warnings(f"{inside}.{name}", point)


def _connection_warnings(path: str, previous: Leg, leg: Leg) -> Iterator[Problem]:
    reached, left = code_of(previous.point_b), code_of(leg.point_a)
    if reached and left and reached != left:
        message = _("The flight before arrives at %(reached)s, and this one leaves from %(left)s.")
        yield _warning(f"{path}.pointA.code", "airport_change", message % {"reached": reached, "left": left})
    seconds = layover(previous, leg)
    if seconds is None:
        seconds = None if leg.layover_time is None else round(leg.layover_time)
    if seconds is None:
        return
    minutes = {"minutes": seconds // 60}
    if seconds < 0:
        yield _warning(f"{path}.pointA.time", "backwards", _("This flight leaves before the one before it lands."))
    elif seconds < SHORT_LAYOVER:
        message = _("Only %(minutes)d minutes to change flights.") % minutes
        yield _warning(f"{path}.layoverTime", "short_layover", message)
    elif seconds > LONG_LAYOVER:
        yield _warning(f"{path}.layoverTime", "long_layover", _("More than a day between two flights."))


def _airport_warnings(path: str, point: Point | None) -> Iterator[Problem]:
    code = code_of(point)
    airport = airports.by_code(code)
    if code and airport is None:
        message = _("No airport has the code %(code)s; its time zone is not known.") % {"code": code[:20]}
        yield _warning(f"{path}.code", "airport_unknown", message)
    change = clock_change(point)
    if change == "skipped":
        message = _("This time does not exist: the clocks are changed in that hour.")
        yield _warning(f"{path}.time", "no_such_time", message)
    elif change == "repeated":
        message = _("This time comes twice: the clocks are changed in that hour.")
        yield _warning(f"{path}.time", "time_twice", message)


def _is_backwards(leg: Leg) -> bool:
    taken = flight_duration(leg)
    if taken is not None:
        return taken < 0
    # Without zones it can be told only of what no zones could explain.
    start, end = local_moment(leg.point_a), local_moment(leg.point_b)
    return start is not None and end is not None and (end - start).total_seconds() < _MOST_BEHIND


def _hotel_warnings(path: str, option: AccommodationOption) -> Iterator[Problem]:
    booking, tripadvisor = ((one or "").strip() for one in (option.booking_id, option.tripadvisor_id))
    if not booking and not tripadvisor:
        return
    own = [str(words) for name, words in _HOTEL_TEXTS.items() if getattr(option, name) not in (None, "")]
    blank = [str(words) for words in _HOTEL_TEXTS.values() if str(words) not in own]
    name = "bookingId" if booking else "tripadvisorId"
    partner = {"partner": "Booking.com" if booking else "TripAdvisor"}
    if own:
        message = _("Own texts may be replaced by those of %(partner)s: %(names)s.")
        yield _warning(f"{path}.{name}", "may_be_replaced", message % {**partner, "names": ", ".join(own)})
    if blank and booking:
        message = _("What is left out stays blank if the hotel is not found on %(partner)s: %(names)s.")
        yield _warning(f"{path}.{name}", "may_stay_blank", message % {**partner, "names": ", ".join(blank)})


def _image_warnings(path: str, address: str | None) -> Iterator[Problem]:
    if not address or not address.strip():
        return
    try:
        parts = urlsplit(address.strip())
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        yield _warning(path, "no_address", _("Not an address that begins with http:// or https://."))
    elif "/wiki/" in parts.path or parts.fragment.startswith("/media/") or _PAGE.search(parts.path):
        yield _warning(path, "web_page", _("This looks like the address of a web page, not of an image."))


# --- Against the trip --------------------------------------------------------------------------------------------


def _date_warnings(path: str, option: Option, days: tuple[date | None, date | None]) -> Iterator[Problem]:
    first, last = days
    for name, text in _dates(option):
        day = day_or_none(text)
        if day is not None and ((first and day < first) or (last and day > last)):
            yield _warning(f"{path}.{name}", "outside_trip", _("This is outside the dates of the trip."))


def _dates(option: Option) -> Iterator[tuple[str, str | None]]:
    """The dates of an option with their paths in it."""
    match option:
        case FlightOption():
            for index, leg in enumerate(option.flight_segments):
                inside = f"flightSegments[{index}]"
                yield f"{inside}.pointA.date", leg.point_a.date if leg.point_a else None
                yield f"{inside}.pointB.date", leg.point_b.date if leg.point_b else None
        case CarRideOption():
            yield "pointA.date", option.point_a.date if option.point_a else None
            yield "pointB.date", option.point_b.date if option.point_b else None
        case AccommodationOption() if option.date_interval is not None:
            yield "dateInterval.from", option.date_interval.from_
            yield "dateInterval.to", option.date_interval.to


# --- Money -------------------------------------------------------------------------------------------------------


def _price_warnings(trip: Trip) -> Iterator[Problem]:
    """A fixed price is compared with what the cards come to, where they say."""
    price, total = trip.price, prices.total(trip)
    if price is None or price.type != "fixed" or price.fixed_price_amount is None or total is None:
        return
    fixed = prices.exact(price.fixed_price_amount)
    if fixed < total.least * (1 - FAR) or (total.is_complete and fixed > total.most * (1 + FAR)):
        amounts = [amount_in_words(amount) for amount in dict.fromkeys((total.least, total.most))]
        message = _("The cards come to %(total)s %(currency)s, which is far from the price of the whole trip.")
        shown = {"total": "–".join(amounts), "currency": price.currency or ""}
        yield _warning("price.fixedPriceAmount", "far_price", message % shown)


# --- Small words -------------------------------------------------------------------------------------------------


def _backwards(path: str) -> Problem:
    return _warning(path, "backwards", _("The arrival is before the departure, as the local times stand."))


def _warning(path: str, code: str, message: str) -> Problem:
    return Problem(path, "warning", code, message)
