"""The typed tree of a trip: Crusoe's own JSON, read, checked for what can be kept, and given back unchanged.

A tree is made by :func:`parse` or :func:`load` and never changed in place (``editing`` makes the next one). Each node
reads the properties that Crusoe's specification names; ``node.data`` is the JSON object itself, with every property,
known or not, as it came. What is stored and exported is that JSON, so nothing can be lost on the way.

Names that begin with ``_`` are ours: ``_key`` tells cards, options and legs apart, ``_version`` counts a card's changes
(on the trip: those of its own properties), ``_order_version`` those of the order of the cards, ``_changed`` says who made
the last one and when. They are refused on the way in and stripped on the way out.

Drafts are kept however incomplete: every property may be missing or null. Types and ranges are not negotiable.
"""

from __future__ import annotations

import copy
import math
import re
import uuid
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

from django.utils.translation import gettext as _
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from itineraries.errors import DocumentError, Problem
from itineraries.json_values import MAX_BYTES, MAX_PROBLEMS, as_bytes, check_values, is_exact, joined, read, too_large

KINDS = ("flight", "accommodation", "carRide", "experience")
Kind: TypeAlias = Literal["flight", "accommodation", "carRide", "experience"]
Json: TypeAlias = dict[str, Any]
# Every integer up to here is a double.
_EXACT = 2**53

__all__ = ["KINDS", "Card", "DocumentError", "Option", "Problem", "Trip", "export", "load", "parse", "read", "store"]


# --- The tree ----------------------------------------------------------------------------------------------------


def _number(value: object) -> int | float:
    # bool is an int to Python; to JSON it is not.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PydanticCustomError("number_type", "not a number")
    return value


def _between(least: float, most: float) -> PlainValidator:
    def check(value: object) -> int | float:
        number = _number(value)
        if not least <= number <= most:
            raise PydanticCustomError("range", "out of range", {"least": least, "most": most})
        return number

    return PlainValidator(check)


def _empty_for_null(value: object) -> object:
    return [] if value is None else value


Amount: TypeAlias = Annotated[int | float, _between(0, math.inf)]
Seconds: TypeAlias = Annotated[int | float, _between(0, math.inf)]
Count: TypeAlias = Annotated[int | float, _between(0, math.inf)]
Latitude: TypeAlias = Annotated[int | float, _between(-90, 90)]
Longitude: TypeAlias = Annotated[int | float, _between(-180, 180)]


class Node(BaseModel):
    """A JSON object of the document; ``data`` is that object, which nobody may change."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", alias_generator=to_camel)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_data(cls, data: Any, handler: ModelWrapValidatorHandler[Node]) -> Node:
        node = handler(data)
        # Beside the fields: a private attribute of pydantic's takes as long to set as a node to validate.
        node.__dict__["_data"] = data
        return node

    @property
    def data(self) -> Json:
        data: Json = self.__dict__["_data"]
        return data


class Change(Node):
    """Who made the last change of a part (a user's primary key as text, or empty) and when (ISO 8601)."""

    by: str = ""
    at: str = ""


class DateInterval(Node):
    """Dates are text of the form ``DD.MM.YYYY``, kept as they came; ``schedule.read_date`` reads them."""

    from_: str | None = Field(default=None, alias="from")
    to: str | None = None


class Milestones(Node):
    start: str | None = None
    end: str | None = None


class TripPrice(Node):
    currency: Literal["RON", "USD", "EUR"] | None = None
    type: Literal["dynamic", "fixed"] | None = None
    fixed_price_amount: Amount | None = None


class OptionPrice(Node):
    current_amount: Amount | None = None
    discounted: bool | None = None
    before_amount: Amount | None = None


class Point(Node):
    """Where and when, in local time; ``code`` (an IATA code) is for flights only."""

    name: str | None = None
    code: str | None = None
    date: str | None = None
    time: str | None = None


class Leg(Node):
    """One flight of a connection: an item of ``flightSegments``. Durations are in seconds."""

    key: str = Field(alias="_key")
    code: str | None = None
    service_info: str | None = None
    duration: Seconds | None = None
    stops: Count | None = None
    point_a: Point | None = None
    point_b: Point | None = None
    layover_time: Seconds | None = None


class Option(Node):
    """One of the variants of a card that the traveller chooses from."""

    key: str = Field(alias="_key")
    title: str | None = None
    price: OptionPrice | None = None
    info: str | None = None


class FlightOption(Option):
    duration: Seconds | None = None
    stops: Count | None = None
    layovers: Count | None = None
    flight_segments: Annotated[list[Leg], BeforeValidator(_empty_for_null)] = []


class AccommodationOption(Option):
    date_interval: DateInterval | None = None
    image: str | None = None
    description: str | None = None
    address: str | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    booking_id: str | None = None
    tripadvisor_id: str | None = None


class CarRideOption(Option):
    service_info: str | None = None
    duration: Seconds | None = None
    point_a: Point | None = None
    point_b: Point | None = None


class ExperienceOption(Option):
    image: str | None = None
    description: str | None = None


class CardBase(Node):
    key: str = Field(alias="_key")
    version: int = Field(alias="_version")
    changed: Change | None = Field(default=None, alias="_changed")
    milestone: str | None = None


class FlightCard(CardBase):
    type: Literal["flight"]
    options: Annotated[list[FlightOption], BeforeValidator(_empty_for_null)] = []


class AccommodationCard(CardBase):
    type: Literal["accommodation"]
    options: Annotated[list[AccommodationOption], BeforeValidator(_empty_for_null)] = []


class CarRideCard(CardBase):
    type: Literal["carRide"]
    options: Annotated[list[CarRideOption], BeforeValidator(_empty_for_null)] = []


class ExperienceCard(CardBase):
    type: Literal["experience"]
    options: Annotated[list[ExperienceOption], BeforeValidator(_empty_for_null)] = []


Card: TypeAlias = FlightCard | AccommodationCard | CarRideCard | ExperienceCard


class Trip(Node):
    """The whole itinerary ("Main itinerary properties" of the specification)."""

    version: int = Field(alias="_version")
    order_version: int = Field(alias="_order_version")
    changed: Change | None = Field(default=None, alias="_changed")
    order_changed: Change | None = Field(default=None, alias="_order_changed")
    title: str | None = None
    subtitle: str | None = None
    date_interval: DateInterval | None = None
    intro_text: str | None = None
    milestones: Milestones | None = None
    price: TripPrice | None = None
    segments: Annotated[list[Annotated[Card, Field(discriminator="type")]], BeforeValidator(_empty_for_null)] = []

    def part_version(self, part: str) -> int | None:
        """The version of "trip", "order" or the card with that key; None where there is no such card."""
        if part == "trip":
            return self.version
        if part == "order":
            return self.order_version
        return next((card.version for card in self.segments if card.key == part), None)

    def part_change(self, part: str) -> Change | None:
        if part == "trip":
            return self.changed
        if part == "order":
            return self.order_changed
        return next((card.changed for card in self.segments if card.key == part), None)


# --- In and out --------------------------------------------------------------------------------------------------


def parse(data: object) -> Trip:
    """A document from outside, in Crusoe's own JSON, to a tree with keys and versions of its own.

    Raises DocumentError with a path for each thing that cannot be kept.
    """
    check_values(data)
    if not isinstance(data, dict):
        raise DocumentError([Problem("", "error", "type", _("The document must be an object."))])
    check_size(data)
    keyed = copy.deepcopy(data)
    keyed["_version"] = keyed["_order_version"] = 1
    for card in _objects(keyed, "segments"):
        give_keys(card, set())
    return _validated(keyed)


def load(data: Json) -> Trip:
    """What :func:`store` gave, to a tree."""
    return _validated(_plain(data))


def store(trip: Trip) -> Json:
    """The tree as JSON, with the names that are ours."""
    return copy.deepcopy(trip.data)


def export(trip: Trip | Node) -> Json:
    """Exactly what is sent to Crusoe: the document as it came or was edited, without the names that are ours."""
    stripped: Json = _stripped(trip.data)
    return stripped


def new_key() -> str:
    return uuid.uuid4().hex[:12]


def give_keys(card: Json, taken: set[str]) -> None:
    """Gives a card, its options and legs their keys; those that they have and nobody else has are kept."""
    card.setdefault("_version", 1)
    for part in _keyed_parts(card):
        key = part.get("_key")
        if not isinstance(key, str) or not re.fullmatch(r"[0-9a-f]{12}", key) or key in taken:
            part["_key"] = key = new_key()
        taken.add(key)


def keys_of(data: Json) -> set[str]:
    """Every key of a stored document, or of a part of one."""
    cards = _objects(data, "segments") if "segments" in data else [data]
    return {part["_key"] for card in cards for part in _keyed_parts(card) if "_key" in part}


def check_size(data: Json) -> None:
    if len(as_bytes(_stripped(data))) > MAX_BYTES:
        raise DocumentError([too_large()])


# --- Between JSON and nodes --------------------------------------------------------------------------------------


def _objects(parent: Json, name: str) -> Iterator[Json]:
    items = parent.get(name)
    if isinstance(items, list):
        yield from (item for item in items if isinstance(item, dict))


def _keyed_parts(card: Json) -> Iterator[Json]:
    yield card
    for option in _objects(card, "options"):
        yield option
        # Only flights have legs; elsewhere a property of that name is a stranger's and stays as it is.
        if card.get("type") == "flight":
            yield from _objects(option, "flightSegments")


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: item if type(item) is str else _stripped(item) for name, item in value.items() if name[:1] != "_"}
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    """A copy; PostgreSQL writes 1e+23 out as digits, which are no double: those become the float they were."""
    # Types are asked for by identity, since this goes over every value of each document that is looked at.
    kind = type(value)
    if kind is dict:
        return {name: item if type(item) is str else _plain(item) for name, item in value.items()}
    if kind is list:
        return [_plain(item) for item in value]
    if kind is int and not -_EXACT <= value <= _EXACT and not is_exact(value):
        return float(value)
    return value


def _validated(data: Json) -> Trip:
    try:
        return Trip.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True, include_input=False)
        raise DocumentError([_type_problem(detail) for detail in details[:MAX_PROBLEMS]]) from None


def _type_problem(detail: ErrorDetails) -> Problem:
    path = ""
    parents: tuple[int | str, ...] = ()
    for step in detail["loc"]:
        # Behind the index of a card pydantic names the kind it took; a path has no such step.
        if not (len(parents) == 2 and parents[0] == "segments" and step in KINDS):
            path = f"{path}[{step}]" if isinstance(step, int) else joined(path, step)
        parents += (step,)
    context = detail.get("ctx", {})
    match detail["type"]:
        case "string_type":
            return Problem(path, "error", "type", _("Must be text."))
        case "bool_type":
            return Problem(path, "error", "type", _("Must be true or false."))
        case "number_type":
            return Problem(path, "error", "type", _("Must be a number."))
        case "list_type":
            return Problem(path, "error", "type", _("Must be a list."))
        case "union_tag_not_found" | "union_tag_invalid":
            message = _("Must be one of %(choices)s.") % {"choices": ", ".join(KINDS)}
            return Problem(joined(path, "type"), "error", "choice", message)
        case "literal_error":
            choices = re.findall(r"'([^']+)'", str(context.get("expected", "")))
            message = _("Must be one of %(choices)s.") % {"choices": ", ".join(choices)}
            return Problem(path, "error", "choice", message)
        case "range" if context["most"] == math.inf:
            return Problem(path, "error", "range", _("Must be 0 or more."))
        case "range":
            message = _("Must be from %(least)g to %(most)g.") % context
            return Problem(path, "error", "range", message)
        case _:
            return Problem(path, "error", "type", _("Must be an object."))
