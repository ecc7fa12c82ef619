"""What the simulated Crusoe accepts: the published specification of ``POST /itinerary/create``, read by itself.

Nothing of the project is imported: a misreading that sender and simulator shared would cancel itself out.
Where the text is silent (ranges, the order of dates) nothing is refused.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import Any

_DATE = re.compile(r"\d{2}\.\d{2}\.\d{4}")
_TIME = re.compile(r"\d{1,2}:\d{2}( (AM|PM))?")

CURRENCIES = ("RON", "USD", "EUR")
PRICE_TYPES = ("dynamic", "fixed")
CARD_TYPES = ("flight", "accommodation", "carRide", "experience")


@dataclass(frozen=True, slots=True)
class Violation:
    """One entry of ``data.validationErrors``: the property's name, the violated validation, and what was sent."""

    name: str
    type: str
    value: Any

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "type": self.type, "value": self.value}


def _is_number(value: object) -> bool:
    """A JSON number that double precision holds; Python's parser also lets NaN, infinities and longer ones in."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


@dataclass(slots=True)
class _Reading:
    violations: list[Violation] = field(default_factory=list)

    def refuse(self, name: str, kind: str, value: Any) -> None:
        self.violations.append(Violation(name, kind, value))

    def _given(self, holder: dict[str, Any], name: str, required: bool) -> bool:
        if holder.get(name) in (None, ""):
            if required:
                self.refuse(name, "required", holder.get(name))
            return False
        return True

    def text(self, holder: dict[str, Any], name: str, *, required: bool = False) -> None:
        if self._given(holder, name, required) and not isinstance(holder[name], str):
            self.refuse(name, "string", holder[name])

    def number(self, holder: dict[str, Any], name: str, *, required: bool = False) -> None:
        if self._given(holder, name, required) and not _is_number(holder[name]):
            self.refuse(name, "number", holder[name])

    def flag(self, holder: dict[str, Any], name: str) -> None:
        if self._given(holder, name, False) and not isinstance(holder[name], bool):
            self.refuse(name, "boolean", holder[name])

    def one_of(self, holder: dict[str, Any], name: str, values: tuple[str, ...]) -> None:
        if self._given(holder, name, True) and holder[name] not in values:
            self.refuse(name, "enum", holder[name])

    def formatted(self, holder: dict[str, Any], name: str, pattern: re.Pattern[str]) -> None:
        if self._given(holder, name, True) and not (isinstance(holder[name], str) and pattern.fullmatch(holder[name])):
            self.refuse(name, "format", holder[name])

    def object(self, holder: dict[str, Any], name: str, *, required: bool = False) -> dict[str, Any] | None:
        if not self._given(holder, name, required):
            return None
        if not isinstance(holder[name], dict):
            self.refuse(name, "object", holder[name])
            return None
        value: dict[str, Any] = holder[name]
        return value

    def objects(self, holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
        if not self._given(holder, name, True):
            return []
        if not isinstance(holder[name], list):
            self.refuse(name, "array", holder[name])
            return []
        for item in holder[name]:
            if not isinstance(item, dict):
                self.refuse(name, "object", item)
        return [item for item in holder[name] if isinstance(item, dict)]

    def interval(self, holder: dict[str, Any]) -> None:
        if (interval := self.object(holder, "dateInterval", required=True)) is not None:
            self.formatted(interval, "from", _DATE)
            self.formatted(interval, "to", _DATE)

    def place(self, holder: dict[str, Any], name: str, *, airport: bool) -> None:
        if (place := self.object(holder, name, required=True)) is not None:
            self.text(place, "name", required=True)
            if airport:
                self.text(place, "code", required=True)
            self.formatted(place, "date", _DATE)
            self.formatted(place, "time", _TIME)

    # --- the cards ---

    def card(self, card: dict[str, Any], *, first: bool, dynamic: bool) -> None:
        self.one_of(card, "type", CARD_TYPES)
        self.text(card, "milestone", required=not first)
        for option in self.objects(card, "options"):
            self.option_basics(option, dynamic=dynamic)
            if card.get("type") == "flight":
                self.flight(option)
            elif card.get("type") == "accommodation":
                self.accommodation(option)
            elif card.get("type") == "carRide":
                self.car_ride(option)
            elif card.get("type") == "experience":
                self.text(option, "image", required=True)
                self.text(option, "description", required=True)

    def option_basics(self, option: dict[str, Any], *, dynamic: bool) -> None:
        self.text(option, "title")
        self.text(option, "info")
        # "If omitted, no price tag will be shown on the card", and the published experience has none.
        if (price := self.object(option, "price")) is not None:
            self.number(price, "currentAmount", required=dynamic)
            self.flag(price, "discounted")
            self.number(price, "beforeAmount", required=price.get("discounted") is True)

    def flight(self, option: dict[str, Any]) -> None:
        for name in ("duration", "stops", "layovers"):
            self.number(option, name, required=True)
        for index, leg in enumerate(self.objects(option, "flightSegments")):
            self.text(leg, "code", required=True)
            self.text(leg, "serviceInfo")
            self.number(leg, "duration", required=True)
            self.number(leg, "stops", required=True)
            self.place(leg, "pointA", airport=True)
            self.place(leg, "pointB", airport=True)
            self.number(leg, "layoverTime", required=index > 0)

    def accommodation(self, option: dict[str, Any]) -> None:
        self.interval(option)
        self.text(option, "bookingId")
        self.text(option, "tripadvisorId")
        required = not option.get("bookingId")
        for name in ("image", "description", "address"):
            self.text(option, name, required=required)
        for name in ("latitude", "longitude"):
            self.number(option, name, required=required)

    def car_ride(self, option: dict[str, Any]) -> None:
        self.text(option, "serviceInfo")
        self.number(option, "duration", required=True)
        self.place(option, "pointA", airport=False)
        self.place(option, "pointB", airport=False)


def violations(document: object) -> list[Violation]:
    """Everything in a received document that the specification does not allow; empty when it is accepted."""
    reading = _Reading()
    if not isinstance(document, dict):
        return [Violation("itinerary", "object", document)]
    reading.text(document, "title", required=True)
    reading.text(document, "subtitle")
    reading.interval(document)
    reading.text(document, "introText")
    if (milestones := reading.object(document, "milestones")) is not None:
        reading.text(milestones, "start")
        reading.text(milestones, "end")
    dynamic = False
    if (price := reading.object(document, "price", required=True)) is not None:
        reading.one_of(price, "currency", CURRENCIES)
        reading.one_of(price, "type", PRICE_TYPES)
        reading.number(price, "fixedPriceAmount", required=price.get("type") == "fixed")
        dynamic = price.get("type") == "dynamic"
    for index, card in enumerate(reading.objects(document, "segments")):
        reading.card(card, first=index == 0, dynamic=dynamic)
    return reading.violations
