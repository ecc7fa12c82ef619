"""What the buttons of a card do, beyond saving it, and how a removal is undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core import signing
from django.utils.translation import gettext as _

from itineraries import computed, editing, edits
from itineraries.document import FlightOption, Json, Leg, Option, Trip
from itineraries.edits import Edit
from itineraries.forms import KIND_LABELS

_UNDO_SALT = "itineraries.undo"


class NoSuchAction(Exception):
    """A button or a token that none of our pages has."""


def card_action(trip: Trip, card_key: str, action: str, *names: str) -> Trip:
    """The edit behind a button of the card; raises Gone, or NoSuchAction."""
    match action, names:
        case "save", ():
            return trip
        case "up", ():
            return editing.card_move(trip, card_key, max(edits.position(trip, card_key) - 1, 0))
        case "down", ():
            return editing.card_move(trip, card_key, edits.position(trip, card_key) + 1)
        case "duplicate", ():
            return editing.card_duplicate(trip, card_key)[0]
        case "remove", ():
            return editing.card_remove(trip, card_key)
        case "option_add", ():
            return new_option(trip, card_key)
        case "option_duplicate", (option,):
            return editing.option_duplicate(trip, card_key, option)[0]
        case (("option_up" | "option_down"), (option,)):
            to = edits.position(trip, card_key, option) + (1 if action == "option_down" else -1)
            return editing.option_move(trip, card_key, option, max(to, 0))
        case "option_remove", (option,):
            return editing.option_remove(trip, card_key, option)
        case "recompute", (option,):
            return computed.recompute(trip, card_key, option)
    after = _leg_action(trip, card_key, action, *names)
    return computed.follow(trip, after, card_key)


def _leg_action(trip: Trip, card_key: str, action: str, *names: str) -> Trip:
    match action, names:
        case "leg_add", (option,):
            return new_leg(trip, card_key, option)
        case "leg_remove", (option, leg):
            return editing.leg_remove(trip, card_key, option, leg)
        case (("leg_up" | "leg_down"), (option, leg)):
            to = edits.position(trip, card_key, option, leg) + (1 if action == "leg_down" else -1)
            return editing.leg_move(trip, card_key, option, leg, max(to, 0))
    raise NoSuchAction(action)


def new_card(trip: Trip, kind: Any, after: str) -> tuple[Trip, str]:
    """A new card behind the one with that key (an empty one: as the first), a flight's leg with no stops."""
    at = edits.position(trip, after) + 1 if after else 0
    trip, key = editing.card_add(trip, kind, at)
    return _without_stops(trip, key), key


def last_card(trip: Trip, kind: Any, made: list[str]) -> Trip:
    """A new card behind all others; its key is added to ``made``."""
    trip, key = new_card(trip, kind, trip.segments[-1].key if trip.segments else "")
    made.append(key)
    return trip


def new_option(trip: Trip, card_key: str) -> Trip:
    trip, _key = editing.option_add(trip, card_key)
    return _without_stops(trip, card_key)


def new_leg(trip: Trip, card_key: str, option_key: str) -> Trip:
    """A leg that starts where the one before it ends."""
    values: Json = {"stops": 0}
    if (legs := _legs(trip, card_key, option_key)) and legs[-1].point_b is not None:
        last = legs[-1].point_b
        values |= {
            f"pointA.{name}": value
            for name, value in (("code", last.code), ("name", last.name), ("date", last.date))
            if value
        }
    return editing.leg_add(trip, card_key, option_key, values=values)[0]


def _without_stops(trip: Trip, card_key: str) -> Trip:
    """Most flights have none: the new legs of a card that say nothing get a 0."""
    before = trip
    for option in _options(trip, card_key):
        for leg in option.flight_segments if isinstance(option, FlightOption) else []:
            if leg.data.keys() == {"_key"}:
                trip = editing.leg_update(trip, card_key, option.key, leg.key, {"stops": 0})
    return computed.follow(before, trip, card_key)


def _options(trip: Trip, card_key: str) -> list[Option]:
    card = computed.card_of(trip, card_key)
    if card is None:
        raise editing.Gone(card_key)
    return [*card.options]


def _legs(trip: Trip, card_key: str, option_key: str) -> list[Leg]:
    for option in _options(trip, card_key):
        if option.key == option_key:
            return list(option.flight_segments) if isinstance(option, FlightOption) else []
    raise editing.Gone(option_key)


# --- Undo --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Removed:
    """A part that was taken out, signed, so that a POST can put it back as long as the page is open."""

    token: str
    label: str


_REMOVALS = {"remove": 0, "option_remove": 1, "leg_remove": 2}


def removal(itinerary_id: UUID, trip: Trip, card_key: str, action: str, *names: str) -> Removed | None:
    """What the action is about to take out of the trip, to be put back by :func:`put_back`."""
    if _REMOVALS.get(action) != len(names):
        return None
    undo = edits.perform(trip, edits.removal(card_key, *names)).inverse
    if undo is None:
        raise NoSuchAction(action)
    what = {"trip": str(itinerary_id), "card": card_key, "undo": undo.as_json()}
    return Removed(signing.dumps(what, salt=_UNDO_SALT, compress=True), _label(undo))


def _label(undo: Edit) -> str:
    number = {"number": undo.arguments["at"] + 1}
    if undo.name == "card_insert":
        return str(KIND_LABELS[undo.arguments["card"]["type"]])
    if undo.name == "option_insert":
        return _("Option %(number)d") % number
    return undo.arguments["leg"].get("code") or _("Leg %(number)d") % number


def removed_before(token: str) -> Removed | None:
    """A removal that the page still offers to undo; None for a token that was tampered with."""
    try:
        return Removed(token, _label(Edit.from_json(signing.loads(token, salt=_UNDO_SALT)["undo"])))
    except signing.BadSignature:
        return None


def put_back(itinerary_id: UUID, trip: Trip, token: str) -> tuple[Trip, str]:
    """The inverse of a removal, and the key of the card it belongs to; raises Gone, or NoSuchAction for a wrong token."""
    try:
        what = signing.loads(token, salt=_UNDO_SALT)
    except signing.BadSignature:
        raise NoSuchAction("not a token of ours") from None
    if what["trip"] != str(itinerary_id):
        raise NoSuchAction("a token of another trip")
    card_key: str = what["card"]
    undo = Edit.from_json(what["undo"])
    after = edits.perform(trip, undo).trip
    return (computed.follow(trip, after, card_key) if undo.name == "leg_insert" else after), card_key
