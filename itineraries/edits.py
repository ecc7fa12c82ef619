"""Edits of ``editing`` as data: named, with arguments that are JSON, and each performed together with its inverse.

So an edit can wait in a page, be undone later, and be undone after others that do not touch the same part.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from itineraries import editing
from itineraries.document import FlightOption, Json, Trip
from itineraries.editing import ABSENT, Leaving
from itineraries.errors import Gone


class NoSuchEdit(ValueError):
    """A name or arguments that no edit has."""


@dataclass(frozen=True)
class Edit:
    """``name`` is that of a function of ``editing``, ``arguments`` are its own but the trip.

    Values that an update removes are listed by name in ``absent``: JSON has no word for them.
    """

    name: str
    arguments: Json = field(default_factory=dict)

    def as_json(self) -> list[Any]:
        return [self.name, self.arguments]

    @classmethod
    def from_json(cls, data: Any) -> Edit:
        name, arguments = data
        return cls(name, arguments)


class Performed(NamedTuple):
    """The tree after an edit, the edit that takes it back (None where nothing changed), and the key of what was made."""

    trip: Trip
    inverse: Edit | None
    key: str = ""


def perform(trip: Trip, edit: Edit) -> Performed:
    """Raises Gone, DocumentError, or NoSuchEdit."""
    if edit.name not in _EDITS:
        raise NoSuchEdit(edit.name)
    function, inverse_of = _EDITS[edit.name]
    arguments = _with_absent(edit.arguments)
    try:
        inspect.signature(function).bind(trip, **arguments)
    except TypeError as error:
        raise NoSuchEdit(str(error)) from None
    done = function(trip, **arguments)
    after, key = done if isinstance(done, tuple) else (done, "")
    return Performed(after, None if after is trip else inverse_of(trip, edit.arguments, key), key)


def removal(*keys: str) -> Edit:
    """The edit that removes a card, an option of it, or a leg of that."""
    names = ("card_key", "option_key", "leg_key")[: len(keys)]
    return Edit(("card_remove", "option_remove", "leg_remove")[len(keys) - 1], dict(zip(names, keys, strict=True)))


def position(trip: Trip, *keys: str) -> int:
    """Where among its like the card, the option or the leg stands; raises Gone."""
    items = _items(trip, *keys[:-1])
    found = next((at for at, item in enumerate(items) if item["_key"] == keys[-1]), None)
    if found is None:
        raise Gone(keys[-1])
    return found


# --- Inverses ----------------------------------------------------------------------------------------------------

_PARTS = {"card": ("card_key",), "option": ("card_key", "option_key"), "leg": ("card_key", "option_key", "leg_key")}


def _with_absent(arguments: Json) -> Json:
    """The arguments as the function takes them."""
    given = dict(arguments)
    if "absent" in given:
        given["values"] = {**given.get("values", {}), **dict.fromkeys(given.pop("absent"), ABSENT)}
    return given


def _keys(arguments: Mapping[str, Any], part: str) -> list[str]:
    return [arguments[name] for name in _PARTS[part] if name in arguments]


def _undo_update(part: str) -> Callable[[Trip, Json, str], Edit]:
    def inverse(trip: Trip, arguments: Json, _key: str) -> Edit:
        data = trip.data if part == "trip" else _node(trip, *_keys(arguments, part))
        before = editing.values_before(data, _with_absent(arguments)["values"])
        there = {name: value for name, value in before.items() if value is not ABSENT}
        absent = [name for name, value in before.items() if value is ABSENT]
        kept = {name: value for name, value in arguments.items() if name not in ("values", "absent")}
        return Edit(f"{part}_update", {**kept, "values": there, "absent": absent})

    return inverse


def _undo_move(part: str) -> Callable[[Trip, Json, str], Edit]:
    def inverse(trip: Trip, arguments: Json, _key: str) -> Edit:
        return Edit(f"{part}_move", {**arguments, "to": position(trip, *_keys(arguments, part))})

    return inverse


def _undo_making(part: str) -> Callable[[Trip, Json, str], Edit]:
    """Of an addition, a duplicate, or something put back: the removal, which leaves what was there before the first."""

    def inverse(trip: Trip, arguments: Json, key: str) -> Edit:
        keys = [*_keys(arguments, part)[: len(_PARTS[part]) - 1], key or arguments[part]["_key"]]
        undo = removal(*keys)
        return Edit(undo.name, {**undo.arguments, "leaving": _leaving(trip, *keys[:-1])})

    return inverse


def _undo_removal(part: str) -> Callable[[Trip, Json, str], Edit]:
    def inverse(trip: Trip, arguments: Json, _key: str) -> Edit:
        keys = _keys(arguments, part)
        outer = {name: arguments[name] for name in _PARTS[part][:-1]}
        return Edit(f"{part}_insert", {**outer, part: _node(trip, *keys), "at": position(trip, *keys)})

    return inverse


def _leaving(trip: Trip, *keys: str) -> Leaving:
    parent = _node(trip, *keys) if keys else trip.data
    name = ("segments", "options", "flightSegments")[len(keys)]
    return "absent" if name not in parent else "null" if parent[name] is None else "empty"


def _items(trip: Trip, *keys: str) -> list[Json]:
    """The cards; the options of a card; the legs of an option."""
    if not keys:
        return [card.data for card in trip.segments]
    card = next((one for one in trip.segments if one.key == keys[0]), None)
    if card is None:
        raise Gone(keys[0])
    if len(keys) == 1:
        return [option.data for option in card.options]
    option = next((one for one in card.options if one.key == keys[1]), None)
    if option is None:
        raise Gone(keys[1])
    return [leg.data for leg in option.flight_segments] if isinstance(option, FlightOption) else []


def _node(trip: Trip, *keys: str) -> Json:
    return _items(trip, *keys[:-1])[position(trip, *keys)]


def _made_trip(function: Callable[..., Trip], part: str) -> Callable[..., tuple[Trip, str]]:
    """For what is put back under the key that it had, unless somebody else has that by now."""

    def put_back(trip: Trip, **arguments: Any) -> tuple[Trip, str]:
        after = function(trip, **arguments)
        if after is trip:
            return after, ""
        siblings = _items(after, *_keys(arguments, part)[: len(_PARTS[part]) - 1])
        at = min(max(arguments["at"], 0), len(siblings) - 1)
        return after, siblings[at]["_key"]

    return put_back


_EDITS: dict[str, tuple[Callable[..., Any], Callable[[Trip, Json, str], Edit]]] = {
    "trip_update": (editing.trip_update, _undo_update("trip")),
    "card_add": (editing.card_add, _undo_making("card")),
    "card_update": (editing.card_update, _undo_update("card")),
    "card_move": (editing.card_move, _undo_move("card")),
    "card_duplicate": (editing.card_duplicate, _undo_making("card")),
    "card_remove": (editing.card_remove, _undo_removal("card")),
    "card_insert": (_made_trip(editing.card_insert, "card"), _undo_making("card")),
    "option_add": (editing.option_add, _undo_making("option")),
    "option_update": (editing.option_update, _undo_update("option")),
    "option_move": (editing.option_move, _undo_move("option")),
    "option_duplicate": (editing.option_duplicate, _undo_making("option")),
    "option_remove": (editing.option_remove, _undo_removal("option")),
    "option_insert": (_made_trip(editing.option_insert, "option"), _undo_making("option")),
    "leg_add": (editing.leg_add, _undo_making("leg")),
    "leg_update": (editing.leg_update, _undo_update("leg")),
    "leg_move": (editing.leg_move, _undo_move("leg")),
    "leg_remove": (editing.leg_remove, _undo_removal("leg")),
    "leg_insert": (_made_trip(editing.leg_insert, "leg"), _undo_making("leg")),
}
