"""The page that the simulated Crusoe makes of an accepted document: what is said on it, apart from how it looks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.utils.formats import date_format, number_format
from django.utils.translation import gettext, gettext_lazy, ngettext

_KINDS = {
    "flight": gettext_lazy("Flight"),
    "accommodation": gettext_lazy("Stay"),
    "carRide": gettext_lazy("Car ride"),
    "experience": gettext_lazy("Experience"),
}


@dataclass(frozen=True, slots=True)
class Price:
    """In words; ``amount`` is what a choice adds to the total."""

    now: str
    before: str | None
    amount: float


@dataclass(frozen=True, slots=True)
class Place:
    name: str
    code: str
    date: str
    time: str


@dataclass(frozen=True, slots=True)
class Leg:
    code: str
    service: str
    duration: str
    stops: str
    start: Place
    end: Place
    layover: str | None


@dataclass(frozen=True, slots=True)
class Option:
    """One variant of a card; what its kind has no word for is empty."""

    title: str
    info: str
    price: Price | None
    facts: list[str]
    legs: list[Leg]
    dates: str
    address: str
    position: str
    description: str
    image: str
    references: list[str]


@dataclass(frozen=True, slots=True)
class Card:
    kind: str
    label: str
    milestone: str
    options: list[Option]


@dataclass(frozen=True, slots=True)
class TripPage:
    title: str
    subtitle: str
    dates: str
    intro: str
    start: str
    end: str
    cards: list[Card]
    total: str
    total_note: str
    # What a total is written in where choices make it; empty where the price is fixed or there is nothing to choose.
    currency: str


def trip_page(document: dict[str, Any]) -> TripPage:
    """The whole trip in words; ``document`` is one that ``crusoe_contract`` accepted."""
    currency = document["price"]["currency"]
    milestones = document.get("milestones") or {}
    total, note = _total(document)
    return TripPage(
        title=document["title"],
        subtitle=document.get("subtitle") or "",
        dates=_interval(document["dateInterval"]),
        intro=document.get("introText") or "",
        start=milestones.get("start") or gettext("Start"),
        end=milestones.get("end") or gettext("End"),
        cards=[
            Card(
                kind=card["type"],
                label=str(_KINDS[card["type"]]),
                milestone=card.get("milestone") or "",
                options=[_option(card["type"], option, currency) for option in card["options"]],
            )
            for card in document["segments"]
        ],
        total=total,
        total_note=note,
        currency=currency if document["price"]["type"] == "dynamic" and _has_choices(document) else "",
    )


def _has_choices(document: dict[str, Any]) -> bool:
    return any(len(card["options"]) > 1 for card in document["segments"])


def _option(kind: str, option: dict[str, Any], currency: str) -> Option:
    legs = [_leg(leg) for leg in option.get("flightSegments") or []] if kind == "flight" else []
    facts: list[str] = []
    if kind == "flight":
        facts = [duration_text(option["duration"]), _layovers(option["layovers"]), _stops(option["stops"])]
    elif kind == "carRide":
        legs = [
            Leg(
                code="",
                service=option.get("serviceInfo") or "",
                duration=duration_text(option["duration"]),
                stops="",
                start=_place(option["pointA"]),
                end=_place(option["pointB"]),
                layover=None,
            )
        ]
    references = []
    if option.get("bookingId"):
        references.append(gettext("Booking.com hotel %(id)s") % {"id": option["bookingId"]})
    if option.get("tripadvisorId"):
        references.append(gettext("Tripadvisor %(id)s") % {"id": option["tripadvisorId"]})
    position = ""
    if option.get("latitude") is not None and option.get("longitude") is not None:
        position = f"{option['latitude']}, {option['longitude']}"
    return Option(
        title=option.get("title") or "",
        info=option.get("info") or "",
        price=_price(option.get("price"), currency),
        facts=[fact for fact in facts if fact],
        legs=legs,
        dates=_interval(option["dateInterval"]) if kind == "accommodation" else "",
        address=option.get("address") or "",
        position=position,
        description=option.get("description") or "",
        image=option.get("image") or "",
        references=references,
    )


def _leg(leg: dict[str, Any]) -> Leg:
    layover = leg.get("layoverTime")
    return Leg(
        code=leg["code"],
        service=leg.get("serviceInfo") or "",
        duration=duration_text(leg["duration"]),
        stops=_stops(leg["stops"]),
        start=_place(leg["pointA"]),
        end=_place(leg["pointB"]),
        layover=None if layover is None else duration_text(layover),
    )


def _place(place: dict[str, Any]) -> Place:
    return Place(place["name"], place.get("code") or "", _day(place["date"]), place["time"].split(" ")[0])


def _price(price: dict[str, Any] | None, currency: str) -> Price | None:
    if not price or price.get("currentAmount") is None:
        return None
    before = price.get("beforeAmount") if price.get("discounted") else None
    amount = price["currentAmount"]
    return Price(money(amount, currency), None if before is None else money(before, currency), amount)


def _total(document: dict[str, Any]) -> tuple[str, str]:
    """The price of the whole trip, and what it counts: the fixed one, or the sum over the cards' options."""
    price = document["price"]
    if price["type"] == "fixed":
        return money(price["fixedPriceAmount"], price["currency"]), gettext("for the whole trip")
    least = most = 0.0
    for card in document["segments"]:
        amounts = [(option.get("price") or {}).get("currentAmount") or 0 for option in card["options"]] or [0]
        least += min(amounts)
        most += max(amounts)
    if least == most:
        return money(least, price["currency"]), gettext("for everything on this page")
    span = gettext("%(least)s to %(most)s") % {
        "least": money(least, price["currency"]),
        "most": money(most, price["currency"]),
    }
    return span, gettext("depending on the options you choose")


def money(amount: float, currency: str) -> str:
    """An amount as the reader writes it, without idle decimals: ``1,250 EUR``, ``13.50 EUR``."""
    whole = amount == int(amount)
    return f"{number_format(amount, decimal_pos=0 if whole else 2, force_grouping=True)} {currency}"


def duration_text(seconds: float) -> str:
    """A length of time: ``5 h 20 min``."""
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if not hours:
        return gettext("%(minutes)s min") % {"minutes": rest}
    if not rest:
        return gettext("%(hours)s h") % {"hours": hours}
    return gettext("%(hours)s h %(minutes)s min") % {"hours": hours, "minutes": rest}


def _layovers(count: float) -> str:
    if not count:
        return gettext("no layover")
    return ngettext("%(count)s layover", "%(count)s layovers", math.ceil(count)) % {"count": count}


def _stops(count: float) -> str:
    return ngettext("%(count)s stop", "%(count)s stops", math.ceil(count)) % {"count": count} if count else ""


def _read_day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%d.%m.%Y").date()  # noqa: DTZ007 (a calendar day has no zone)
    except ValueError:
        return None


def _day(text: str) -> str:
    day = _read_day(text)
    return date_format(day, "j F Y") if day else text


def _interval(interval: dict[str, Any]) -> str:
    start, end = _read_day(interval["from"]), _read_day(interval["to"])
    if start and end and (start.year, start.month) == (end.year, end.month):
        return f"{start.day} – {date_format(end, 'j F Y')}"
    return f"{_day(interval['from'])} – {_day(interval['to'])}"
