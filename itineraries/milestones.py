"""Warnings about the labels before the cards: one that names another weekday, or another city, than its card's.

Only what can be recognized is judged: weekdays in the languages of trips that are sold here, and cities that have an
airport, behind a preposition and with a capital ("Things to do in Berlin", "Llegada a Málaga").
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import cache

from babel import Locale
from django.utils.translation import gettext as _

from itineraries import airports
from itineraries.document import AccommodationOption, Card, FlightOption, Option, Trip
from itineraries.errors import Problem
from itineraries.schedule import day_or_none, interval_days, points
from itineraries.wording import day_in_words, weekday_in_words, with_options

_LANGUAGES = ("en", "es", "ca", "pt", "fr", "it", "de", "ro")
# José Martí is an airport, and Romanian's Tuesday without its cedilla.
_NO_WEEKDAYS = {"marti"}
_PLACE = re.compile(r"\b(?:in|to|from|near|at|en|a|al|de|desde|hacia|hasta) ((?:[^\W\d_a-zß-ÿ][\w'’-]+ ?)+)")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


def warnings_in(trip: Trip) -> Iterator[Problem]:
    if not any(card.milestone for card in trip.segments):
        return
    places = _Places(trip)
    span = interval_days(trip.date_interval)
    for index, card in enumerate(trip.segments):
        if card.milestone:
            path = f"segments[{index}].milestone"
            yield from _city_warnings(path, index, card.milestone, places)
            yield from _weekday_warnings(path, index, card, places, span)


# --- Cities ------------------------------------------------------------------------------------------------------


class _Places:
    """Where the trip goes, as folded text: all of it, and what lies around each card."""

    def __init__(self, trip: Trip) -> None:
        self._own = [_folded_lines(_card_texts(card)) for card in trip.segments]
        self._moves = [
            [index for index, card in enumerate(trip.segments) if card.type == kind] for kind in ("flight", "carRide")
        ]
        self.cards = "\n".join(self._own)
        self.all = "\n".join([_folded_lines([trip.title, trip.subtitle]), self.cards])

    def around(self, at: int) -> str | None:
        """What is named at the card, at the flight and the ride that brought the traveller there, and at those that take
        him away; None where no flight among them tells which cities these are.
        """
        near = {at}
        for moves in self._moves:
            place = bisect_left(moves, at)
            near.update(moves[max(place - 1, 0) : place], [one for one in moves[place : place + 2] if one > at][:1])
        if not near.intersection(self._moves[0]):
            return None
        return "\n".join(self._own[index] for index in sorted(near))


def _city_warnings(path: str, at: int, milestone: str, places: _Places) -> Iterator[Problem]:
    for found in _PLACE.finditer(milestone):
        city = found[1].strip()
        folded = airports.folded(city)
        if folded not in airports.city_names():
            continue
        if _names(places.cards, folded):
            around = places.around(at)
            if around is not None and not _names(around, folded):
                message = _("%(city)s is another place of this trip than that of this card.")
                yield Problem(path, "warning", "wrong_city", message % {"city": city})
        elif not _names(places.all, folded):
            message = _("%(city)s is not a place of this trip.")
            yield Problem(path, "warning", "other_city", message % {"city": city})


def _names(text: str, city: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(city)}(?!\w)", text) is not None


def _card_texts(card: Card) -> Iterator[str | None]:
    for option in card.options:
        yield option.title
        if isinstance(option, AccommodationOption):
            yield option.address
        for point in points(option):
            yield point.name
            if airport := airports.by_code(point.code or ""):
                yield from (airport.city, airport.name)


def _folded_lines(texts: Iterator[str | None] | Sequence[str | None]) -> str:
    return "\n".join(airports.folded(text) for text in dict.fromkeys(texts) if text)


# --- Weekdays ----------------------------------------------------------------------------------------------------


def _weekday_warnings(
    path: str, at: int, card: Card, places: _Places, span: tuple[date | None, date | None]
) -> Iterator[Problem]:
    for word in _WORD.findall(card.milestone or ""):
        folded = airports.folded(word)
        weekday = _weekdays().get(folded)
        # Santo Domingo and Friday Harbor are places.
        if weekday is None or _names(places.all, folded):
            continue
        days = [_days(option, span) for option in card.options]
        wrong = [bool(known) and weekday not in {day.weekday() for day in known} for known in days]
        if any(wrong):
            message = _("The label names %(word)s, and this card is on another day.") % {"word": word}
            if all(wrong) and len({day for known in days for day in known}) == 1:
                (day,) = {day for known in days for day in known}
                message = _("The label names %(word)s, and %(day)s is a %(weekday)s.") % {
                    "word": word,
                    "day": day_in_words(day),
                    "weekday": weekday_in_words(day),
                }
            numbers = [number for number, one in enumerate(wrong, 1) if one]
            yield Problem(
                path, "warning", "other_weekday", with_options(message, [] if all(wrong) else [(at + 1, numbers)])
            )


def _days(option: Option, span: tuple[date | None, date | None]) -> list[date]:
    """The days that a label before the card may mean; none where they are not known."""
    if isinstance(option, AccommodationOption):
        found: Sequence[date | None] = interval_days(option.date_interval)
    else:
        found = [day_or_none(point.date) for point in points(option)]
    days = [day for day in found if day is not None]
    if days or isinstance(option, (AccommodationOption, FlightOption)) or points(option):
        return days
    # An experience has no date of its own: any day of the trip will do, where that is not every weekday.
    first, last = span
    if first is None or last is None or not timedelta(0) <= last - first < timedelta(days=6):
        return []
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


@cache
def _weekdays() -> dict[str, int]:
    """Folded names of weekdays, and those days counted from Monday."""
    named = {
        airports.folded(name): number
        for language in _LANGUAGES
        for number, name in Locale.parse(language).days["format"]["wide"].items()
    }
    return {name: number for name, number in named.items() if name not in _NO_WEEKDAYS}
