"""Edits of a trip: tree → tree, never in place.

Cards, options and legs are named by their keys; a key that is not there raises :class:`Gone`. ``values`` are given in
Crusoe's own names, dotted where they are nested (``price.currentAmount``); :data:`ABSENT` removes a property, and an
object that this leaves empty. Properties that an edit does not name stay as they are. A value of the wrong type or
range raises DocumentError with its path in the trip.

An edit that changes nothing returns the same tree. Otherwise what it touched has a higher version: the trip's own
properties, the order (adding, moving and removing cards), or a card (all that is inside it).

The inverse of each edit is another one, which ``edits`` finds: ``…_remove`` and ``…_insert``, ``…_move`` back, ``…_update``
with what :func:`values_before` gave. What is removed last leaves an empty list, or what :data:`Leaving` says, so that the
tree comes back as it was.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

from django.utils.translation import gettext as _

from itineraries.document import (
    KINDS,
    Json,
    Kind,
    Trip,
    check_size,
    give_keys,
    keys_of,
    load,
    new_key,
    store,
)
from itineraries.errors import DocumentError, Gone, Problem, Stale
from itineraries.json_values import check_values

__all__ = ["ABSENT", "Gone", "Stale"]


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
# What stands in place of a list from which the last item was removed.
Leaving: TypeAlias = Literal["empty", "null", "absent"]


def check_version(trip: Trip, part: str, version: int) -> None:
    """Raises Stale unless ``part`` ("trip", "order" or a card's key) has that version; Gone where there is none."""
    present = trip.part_version(part)
    if present is None:
        raise Gone(part)
    if present != version:
        raise Stale(part, present)


def values_of(data: Json, names: Iterable[str]) -> dict[str, Any]:
    """What the dotted ``names`` hold in a node's ``data``; ABSENT for those that are not there."""
    found: dict[str, Any] = {}
    for name in names:
        value: Any = data
        for step in name.split("."):
            value = value[step] if isinstance(value, dict) and step in value else ABSENT
        found[name] = copy.deepcopy(value) if value is not ABSENT else value
    return found


def values_before(data: Json, names: Iterable[str]) -> dict[str, Any]:
    """What an update of ``names`` is undone by: their values, or, where the update makes or empties an object on the way
    to one, what stands in the place of that object.
    """
    found: dict[str, Any] = {}
    for name in names:
        steps = name.split(".")
        depth = 0
        value: Any = data
        while depth < len(steps) and isinstance(value, dict) and (value or not depth):
            value = value.get(steps[depth], ABSENT)
            depth += 1
        found[".".join(steps[:depth])] = copy.deepcopy(value) if value is not ABSENT else value
    # What a shorter name brings back holds the longer one.
    return {name: value for name, value in found.items() if not any(name.startswith(f"{other}.") for other in found)}


# --- The trip ----------------------------------------------------------------------------------------------------


def trip_update(trip: Trip, values: Mapping[str, Any]) -> Trip:
    """Changes the trip's own properties."""

    def change(data: Json) -> None:
        _set_values(data, values, fixed={"segments"})

    return _edited(trip, "_version", change)


# --- Cards -------------------------------------------------------------------------------------------------------


def card_add(trip: Trip, kind: Kind, at: int, values: Mapping[str, Any] | None = None) -> tuple[Trip, str]:
    """A new card with one option (and a flight's with one leg) before the card that is at ``at``; its key."""
    if kind not in KINDS:
        raise ValueError(f"no kind of card: {kind!r}")
    card: Json = {"type": kind, "options": [_new_option(kind)]}
    give_keys(card, keys_of(trip.data))
    _set_values(card, values or {}, fixed={"type", "options"})
    return _inserted(trip, card, at)


def card_update(trip: Trip, card_key: str, values: Mapping[str, Any]) -> Trip:
    """Changes the card's own properties, such as ``milestone``."""

    def change(card: Json) -> None:
        _set_values(card, values, fixed={"type", "options"})

    return _edited_card(trip, card_key, change)


def card_move(trip: Trip, card_key: str, to: int) -> Trip:
    """Moves the card so that it is at ``to`` afterwards."""

    def change(data: Json) -> None:
        _move(_items(data, "segments"), card_key, to)

    return _edited(trip, "_order_version", change)


def card_duplicate(trip: Trip, card_key: str) -> tuple[Trip, str]:
    """A copy right behind the card, with keys of its own; its key."""
    cards = store(trip).get("segments") or []
    at = _position(cards, card_key)
    return _inserted(trip, _twin(cards[at]), at + 1)


def card_remove(trip: Trip, card_key: str, leaving: Leaving = "empty") -> Trip:
    def change(data: Json) -> None:
        _take_out(data, "segments", card_key, leaving)

    return _edited(trip, "_order_version", change)


def card_insert(trip: Trip, card: Json, at: int) -> Trip:
    """Puts a removed card back, with the keys and the version it had; one that is there already stays as it is."""
    check_values(card, ours=True)
    if card.get("_key") in {present.key for present in trip.segments}:
        return trip
    card = copy.deepcopy(card)
    give_keys(card, keys_of(trip.data))
    return _inserted(trip, card, at)[0]


# --- Options -----------------------------------------------------------------------------------------------------


def option_add(
    trip: Trip, card_key: str, at: int | None = None, values: Mapping[str, Any] | None = None
) -> tuple[Trip, str]:
    """A new option before the one at ``at``, or as the last; its key."""
    key = new_key()

    def change(card: Json) -> None:
        option = _new_option(card["type"]) | {"_key": key}
        _set_values(option, values or {}, fixed={"flightSegments"})
        options = _items(card, "options")
        options.insert(len(options) if at is None else at, option)

    return _edited_card(trip, card_key, change), key


def option_update(trip: Trip, card_key: str, option_key: str, values: Mapping[str, Any]) -> Trip:
    """Changes the option's own properties; a flight's legs have edits of their own."""

    def change(card: Json) -> None:
        fixed = {"flightSegments"} if card["type"] == "flight" else set()
        _set_values(_find(_items(card, "options"), option_key), values, fixed=fixed)

    return _edited_card(trip, card_key, change)


def option_move(trip: Trip, card_key: str, option_key: str, to: int) -> Trip:
    def change(card: Json) -> None:
        _move(_items(card, "options"), option_key, to)

    return _edited_card(trip, card_key, change)


def option_duplicate(trip: Trip, card_key: str, option_key: str) -> tuple[Trip, str]:
    """A copy right behind the option, with keys of its own; its key."""
    made: list[str] = []

    def change(card: Json) -> None:
        options = _items(card, "options")
        at = _position(options, option_key)
        twin = _twin({"type": card["type"], "options": [options[at]]})["options"][0]
        made.append(twin["_key"])
        options.insert(at + 1, twin)

    return _edited_card(trip, card_key, change), made[0]


def option_remove(trip: Trip, card_key: str, option_key: str, leaving: Leaving = "empty") -> Trip:
    def change(card: Json) -> None:
        _take_out(card, "options", option_key, leaving)

    return _edited_card(trip, card_key, change)


def option_insert(trip: Trip, card_key: str, option: Json, at: int) -> Trip:
    """Puts a removed option back, with the keys it had; one that is there already stays as it is."""
    check_values(option, ours=True)

    def change(card: Json) -> None:
        options = _items(card, "options")
        if option.get("_key") not in {present["_key"] for present in options}:
            shell = {"type": card["type"], "options": [copy.deepcopy(option)]}
            give_keys(shell, keys_of(trip.data))
            options.insert(at, shell["options"][0])

    return _edited_card(trip, card_key, change)


# --- Legs of a flight --------------------------------------------------------------------------------------------


def leg_add(
    trip: Trip, card_key: str, option_key: str, at: int | None = None, values: Mapping[str, Any] | None = None
) -> tuple[Trip, str]:
    """A new leg before the one at ``at``, or as the last; its key."""
    key = new_key()

    def change(legs: list[Json]) -> None:
        leg: Json = {"_key": key}
        _set_values(leg, values or {})
        legs.insert(len(legs) if at is None else at, leg)

    return _edited_legs(trip, card_key, option_key, change), key


def leg_update(trip: Trip, card_key: str, option_key: str, leg_key: str, values: Mapping[str, Any]) -> Trip:
    def change(legs: list[Json]) -> None:
        _set_values(_find(legs, leg_key), values)

    return _edited_legs(trip, card_key, option_key, change)


def leg_move(trip: Trip, card_key: str, option_key: str, leg_key: str, to: int) -> Trip:
    def change(legs: list[Json]) -> None:
        _move(legs, leg_key, to)

    return _edited_legs(trip, card_key, option_key, change)


def leg_remove(trip: Trip, card_key: str, option_key: str, leg_key: str, leaving: Leaving = "empty") -> Trip:
    def change(option: Json) -> None:
        _take_out(option, "flightSegments", leg_key, leaving)

    return _edited_flight(trip, card_key, option_key, change)


def leg_insert(trip: Trip, card_key: str, option_key: str, leg: Json, at: int) -> Trip:
    """Puts a removed leg back, with the key it had; one that is there already stays as it is."""
    check_values(leg, ours=True)

    def change(legs: list[Json]) -> None:
        if leg.get("_key") not in {present["_key"] for present in legs}:
            shell: Json = {"type": "flight", "options": [{"flightSegments": [copy.deepcopy(leg)]}]}
            give_keys(shell, keys_of(trip.data))
            legs.insert(at, shell["options"][0]["flightSegments"][0])

    return _edited_legs(trip, card_key, option_key, change)


# --- What the edits are made of ----------------------------------------------------------------------------------


def _edited(trip: Trip, version: str, change: Callable[[Json], None]) -> Trip:
    data = store(trip)
    change(data)
    if same(data, trip.data):
        return trip
    data[version] += 1
    check_size(data)
    return load(data)


def _edited_card(trip: Trip, card_key: str, change: Callable[[Json], None]) -> Trip:
    data = store(trip)
    card = _find(_items(data, "segments"), card_key)
    change(card)
    if same(data, trip.data):
        return trip
    card["_version"] += 1
    check_size(data)
    return load(data)


def _edited_flight(trip: Trip, card_key: str, option_key: str, change: Callable[[Json], None]) -> Trip:
    def change_card(card: Json) -> None:
        if card["type"] != "flight":
            raise ValueError("only flights have legs")
        change(_find(_items(card, "options"), option_key))

    return _edited_card(trip, card_key, change_card)


def _edited_legs(trip: Trip, card_key: str, option_key: str, change: Callable[[list[Json]], None]) -> Trip:
    return _edited_flight(trip, card_key, option_key, lambda option: change(_items(option, "flightSegments")))


def _inserted(trip: Trip, card: Json, at: int) -> tuple[Trip, str]:
    def change(data: Json) -> None:
        _items(data, "segments").insert(at, card)

    return _edited(trip, "_order_version", change), card["_key"]


def _new_option(kind: str) -> Json:
    option: Json = {"_key": new_key()}
    if kind == "flight":
        option["flightSegments"] = [{"_key": new_key()}]
    return option


def _twin(card: Json) -> Json:
    """A copy whose keys are all new: those of the original count as taken."""
    twin = copy.deepcopy(card)
    twin["_version"] = 1
    give_keys(twin, keys_of(card))
    return twin


def _items(parent: Json, name: str) -> list[Json]:
    """The list of that name, made where it is missing or null."""
    if parent.get(name) is None:
        parent[name] = []
    items: list[Json] = parent[name]
    return items


def _take_out(parent: Json, name: str, key: str, leaving: Leaving) -> None:
    items = _items(parent, name)
    del items[_position(items, key)]
    if not items and leaving == "null":
        parent[name] = None
    elif not items and leaving == "absent":
        del parent[name]


def _position(items: list[Json], key: str) -> int:
    for index, item in enumerate(items):
        if item["_key"] == key:
            return index
    raise Gone(key)


def _find(items: list[Json], key: str) -> Json:
    return items[_position(items, key)]


def _move(items: list[Json], key: str, to: int) -> None:
    item = items.pop(_position(items, key))
    items.insert(max(to, 0), item)


def _set_values(target: Json, values: Mapping[str, Any], *, fixed: Iterable[str] = ()) -> None:
    check_values({name: value for name, value in values.items() if value is not ABSENT})
    for name, value in values.items():
        steps = name.split(".")
        if steps[0] in fixed:
            raise ValueError(f"{name} cannot be set like this")
        if value is ABSENT:
            _remove(target, steps)
        else:
            _put(target, steps, copy.deepcopy(value))


def _put(target: Json, steps: list[str], value: Any) -> None:
    for depth, step in enumerate(steps[:-1], 1):
        if target.get(step) is None:
            target[step] = {}
        target = target[step]
        if not isinstance(target, dict):
            raise DocumentError([Problem(".".join(steps[:depth]), "error", "type", _("Must be an object."))])
    target[steps[-1]] = value


def _remove(target: Json, steps: list[str]) -> None:
    step, *deeper = steps
    if deeper:
        inner = target.get(step)
        if not isinstance(inner, dict) or deeper[0] not in inner:
            return
        _remove(inner, deeper)
        if inner:
            return
    target.pop(step, None)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: unlike in Python, 1, 1.0 and true all differ."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
