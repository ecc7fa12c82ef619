"""The keys of a trip's cards, options and legs, apart from the document, and put back into it. Pure.

What is published holds none of our names, yet a comparison of two versions needs to know which card is which.
"""

from __future__ import annotations

import copy
from typing import Any, TypeAlias

from itineraries.document import Json, Trip

# For each card its key and, for each of its options, that one's key and those of its legs.
Outline: TypeAlias = list[Any]


def outline(trip: Trip) -> Outline:
    """The keys, as JSON: ``[[card, [[option, [leg, …]], …]], …]``."""
    return [
        [
            card.key,
            [[option.key, [leg.key for leg in getattr(option, "flight_segments", [])]] for option in card.options],
        ]
        for card in trip.segments
    ]


def keyed(document: Json, keys: Outline) -> Json:
    """The document with the keys at their parts; without any where they do not fit it."""
    copied = copy.deepcopy(document)
    cards = copied.get("segments") or []
    if [len(options) for _card, options in keys] != [len(card.get("options") or []) for card in cards]:
        return copied
    for card, (card_key, options) in zip(cards, keys, strict=True):
        card["_key"] = card_key
        for option, (option_key, legs) in zip(card.get("options") or [], options, strict=True):
            option["_key"] = option_key
            if card["type"] == "flight":
                for leg, leg_key in zip(option.get("flightSegments") or [], legs, strict=False):
                    leg["_key"] = leg_key
    return copied
