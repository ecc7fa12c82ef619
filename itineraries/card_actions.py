"""What the buttons of a card do, beyond saving it, and how a removal is undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core import signing
from django.utils.translation import gettext as _

from itineraries import computed, editing
from itineraries.document import FlightOption, Json, Leg, Option, Trip
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
            return editing.card_move(trip, card_key, max(_position(trip, card_key) - 1, 0))
        case "down", ():
            return editing.card_move(trip, card_key, _position(trip, card_key) + 1)
        case "duplicate", ():
            return editing.card_duplicate(trip, card_key)[0]
        case "remove", ():
            return editing.card_remove(trip, card_key)
        case "option_add", ():
            return new_option(trip, card_key)
        case "option_duplicate", (option,):
            return editing.option_duplicate(trip, card_key, option)[0]
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
            keys = [one.key for one in _legs(trip, card_key, option)]
            to = _index(keys, leg) + (1 if action == "leg_down" else -1)
            return editing.leg_move(trip, card_key, option, leg, max(to, 0))
    raise NoSuchAction(action)


def new_card(trip: Trip, kind: Any, after: str) -> tuple[Trip, str]:
    """A new card behind the one with that key (an empty one: as the first), a flight's leg with no stops."""
    at = _position(trip, after) + 1 if after else 0
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


def _position(trip: Trip, card_key: str) -> int:
    for index, card in enumerate(trip.segments):
        if card.key == card_key:
            return index
    raise editing.Gone(card_key)


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


def removal(itinerary_id: UUID, trip: Trip, card_key: str, action: str, *names: str) -> Removed | None:
    """What the action is about to take out of the trip, to be put back by :func:`put_back`."""
    at = _position(trip, card_key)
    card = trip.segments[at]
    label: str
    match action, names:
        case "remove", ():
            part, label = card.data, str(KIND_LABELS[card.type])
        case "option_remove", (option,):
            options = [*card.options]
            at = _index([one.key for one in options], option)
            part, label = options[at].data, _("Option %(number)d") % {"number": at + 1}
        case "leg_remove", (option, leg):
            legs = _legs(trip, card_key, option)
            at = _index([one.key for one in legs], leg)
            part, label = legs[at].data, legs[at].code or _("Leg %(number)d") % {"number": at + 1}
        case _:
            return None
    what = {"trip": str(itinerary_id), "card": card_key, "option": names[:1], "at": at, "part": part}
    return Removed(signing.dumps({**what, "kind": action, "label": label}, salt=_UNDO_SALT, compress=True), label)


def _index(keys: list[str], key: str) -> int:
    if key not in keys:
        raise editing.Gone(key)
    return keys.index(key)


def removed_before(token: str) -> Removed | None:
    """A removal that the page still offers to undo; None for a token that was tampered with."""
    try:
        return Removed(token, str(signing.loads(token, salt=_UNDO_SALT)["label"]))
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
    if what["kind"] == "remove":
        return editing.card_insert(trip, what["part"], what["at"]), card_key
    if what["kind"] == "option_remove":
        return editing.option_insert(trip, card_key, what["part"], what["at"]), card_key
    after = editing.leg_insert(trip, card_key, what["option"][0], what["part"], what["at"])
    return computed.follow(trip, after, card_key), card_key
