"""What Crusoe would take and a traveller would wonder about: the warnings of ``problems``.

Variants of a card are alternatives, so cards are compared option by option: what clashes with some of them only says
with which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from itineraries import airports
from itineraries.document import (
    AccommodationCard,
    AccommodationOption,
    Card,
    CarRideCard,
    CarRideOption,
    ExperienceOption,
    FlightCard,
    FlightOption,
    Leg,
    Option,
    Point,
    Trip,
)
from itineraries.errors import Problem
from itineraries.schedule import flight_duration, layover, local_moment, read_date

SHORT_LAYOVER = 40 * 60
LONG_LAYOVER = 24 * 60 * 60
# Each with each: a trip that has more is nobody's, and would take minutes.
MAX_COMPARED = 50

_HOTEL_TEXTS = ("image", "description", "address", "latitude", "longitude")
_PAGE = re.compile(r"\.(html?|php|aspx?|jsp)$", re.IGNORECASE)
# A place stands behind a preposition and begins with a capital: "Things to do in Berlin", "Llegada a Málaga".
_PLACE = re.compile(r"\b(?:in|to|from|near|en|a|de|desde|hacia|hasta) ((?:[^\W\d_a-zß-ÿ][\w'’-]+ ?)+)")


def warnings_in(trip: Trip) -> Iterator[Problem]:
    """Every warning: those of each card in their order, then those between cards."""
    dynamic = trip.price is not None and trip.price.type == "dynamic"
    days = _trip_days(trip)
    places = _trip_places(trip)
    for index, card in enumerate(trip.segments):
        path = f"segments[{index}]"
        yield from _milestone_warnings(f"{path}.milestone", card.milestone, places)
        for number, option in enumerate(card.options):
            inside = f"{path}.options[{number}]"
            if dynamic and option.price is None:
                yield _warning(f"{inside}.price", "no_price", _("No price tag will be shown."))
            yield from _option_warnings(inside, option)
            yield from _date_warnings(inside, option, days)
    yield from _ride_warnings(trip.segments)
    yield from _stay_warnings(trip.segments)


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
        if (flight_duration(leg) or 0) < 0:
            yield _backwards(f"{inside}.pointB.time")
        for name, point in (("pointA", leg.point_a), ("pointB", leg.point_b)):
            yield from _airport_warnings(f"{inside}.{name}", point)


def _connection_warnings(path: str, previous: Leg, leg: Leg) -> Iterator[Problem]:
    reached, left = _code(previous.point_b), _code(leg.point_a)
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
    code = _code(point)
    airport = airports.by_code(code)
    if code and airport is None:
        message = _("No airport has the code %(code)s; its time zone is not known.") % {"code": code[:20]}
        yield _warning(f"{path}.code", "airport_unknown", message)
    moment = local_moment(point)
    if airport is not None and moment is not None and not _exists(moment.replace(tzinfo=airport.zone)):
        yield _warning(
            f"{path}.time", "no_such_time", _("This time does not exist: the clocks are changed in that hour.")
        )


def _hotel_warnings(path: str, option: AccommodationOption) -> Iterator[Problem]:
    if not option.booking_id and not option.tripadvisor_id:
        return
    own = [name for name in _HOTEL_TEXTS if getattr(option, name) not in (None, "")]
    blank = [name for name in _HOTEL_TEXTS if name not in own]
    name = "bookingId" if option.booking_id else "tripadvisorId"
    partner = {"partner": "Booking.com" if option.booking_id else "TripAdvisor"}
    if own:
        message = _("Own texts may be replaced by those of %(partner)s: %(names)s.")
        yield _warning(f"{path}.{name}", "may_be_replaced", message % {**partner, "names": ", ".join(own)})
    if blank and option.booking_id:
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
        day = _day(text)
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


def _milestone_warnings(path: str, milestone: str | None, places: str) -> Iterator[Problem]:
    for found in _PLACE.finditer(milestone or ""):
        city = found[1].strip()
        if airports.folded(city) in airports.city_names() and airports.folded(city) not in places:
            message = _("%(city)s is not a place of this trip.") % {"city": city}
            yield _warning(path, "other_city", message)


def _trip_places(trip: Trip) -> str:
    """Every text of the trip in which its places are named, folded."""
    return airports.folded("\n".join(text for text in _place_texts(trip) if text))


def _place_texts(trip: Trip) -> Iterator[str | None]:
    yield from (trip.title, trip.subtitle)
    for card in trip.segments:
        for option in card.options:
            yield option.title
            if isinstance(option, AccommodationOption):
                yield option.address
            for point in _points(option):
                yield point.name
                if airport := airports.by_code(_code(point)):
                    yield from (airport.city, airport.name)


def _points(option: Option) -> Iterator[Point]:
    ends: Iterable[Point | None] = ()
    if isinstance(option, FlightOption):
        ends = [point for leg in option.flight_segments for point in (leg.point_a, leg.point_b)]
    elif isinstance(option, CarRideOption):
        ends = [option.point_a, option.point_b]
    yield from (point for point in ends if point is not None)


def _trip_days(trip: Trip) -> tuple[date | None, date | None]:
    interval = trip.date_interval
    return (_day(interval.from_), _day(interval.to)) if interval else (None, None)


# --- Between cards -----------------------------------------------------------------------------------------------


def _ride_warnings(cards: list[Card]) -> Iterator[Problem]:
    """A ride is compared with the last flight before it; both times are those of the place where they meet."""
    landings: list[datetime | None] = []
    for index, card in enumerate(cards):
        if isinstance(card, FlightCard):
            landings = [_landing(option) for option in card.options[:MAX_COMPARED]]
        if not isinstance(card, CarRideCard):
            continue
        for number, ride in enumerate(card.options):
            start = local_moment(ride.point_a)
            late = [start is not None and landing is not None and start < landing for landing in landings]
            if any(late):
                message = _with_options(_("This ride leaves before the flight lands."), late)
                yield _warning(f"segments[{index}].options[{number}].pointA.time", "before_landing", message)


def _stay_warnings(cards: list[Card]) -> Iterator[Problem]:
    """Each stay is compared with the stays before it."""
    earlier: list[list[tuple[date, date] | None]] = []
    for index, card in enumerate(cards):
        if not isinstance(card, AccommodationCard):
            continue
        stays = [_nights(option) for option in card.options[:MAX_COMPARED]]
        for number, stay in enumerate(stays):
            for others in earlier[:MAX_COMPARED]:
                clashes = [_overlap(stay, other) for other in others]
                if any(clashes):
                    message = _with_options(_("This stay overlaps with an earlier one."), clashes)
                    path = f"segments[{index}].options[{number}].dateInterval.from"
                    yield _warning(path, "overlap", message)
        earlier.append(stays)


def _landing(option: FlightOption) -> datetime | None:
    return local_moment(option.flight_segments[-1].point_b) if option.flight_segments else None


def _nights(option: AccommodationOption) -> tuple[date, date] | None:
    interval = option.date_interval
    start, end = (_day(interval.from_), _day(interval.to)) if interval else (None, None)
    return (start, end) if start is not None and end is not None else None


def _overlap(one: tuple[date, date] | None, other: tuple[date, date] | None) -> bool:
    return one is not None and other is not None and one[0] < other[1] and other[0] < one[1]


def _with_options(message: str, clashes: list[bool]) -> str:
    """Names the options that it is about, where it is not about all of them."""
    if all(clashes):
        return message
    numbers = ", ".join(str(number) for number, clash in enumerate(clashes, 1) if clash)
    return f"{message} {_('It does so with option %(numbers)s.') % {'numbers': numbers}}"


# --- Small words -------------------------------------------------------------------------------------------------


def _exists(moment: datetime) -> bool:
    try:
        back = moment.astimezone(UTC).astimezone(moment.tzinfo)
    except OverflowError:  # within hours of the first or the last day that there is
        return True
    return back.replace(tzinfo=None) == moment.replace(tzinfo=None)


def _code(point: Point | None) -> str:
    return point.code.strip().upper() if point is not None and point.code else ""


def _day(text: str | None) -> date | None:
    try:
        return read_date(text) if text else None
    except ValueError:
        return None


def _backwards(path: str) -> Problem:
    return _warning(path, "backwards", _("The arrival is before the departure, as the local times stand."))


def _warning(path: str, code: str, message: str) -> Problem:
    return Problem(path, "warning", code, message)
