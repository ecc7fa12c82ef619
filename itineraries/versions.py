"""Versions of a trip: what was published under which number, compared, and made the draft again.

Restoring is an edit like any other: keys that the draft still has are kept, so whoever edits such a card is told that it
changed. The draft that it replaces is set aside whole, and can be put back in the same way.
"""

from __future__ import annotations

import copy
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from itineraries import editing, services
from itineraries.document import Json, Trip, give_keys, load, store
from itineraries.models import Itinerary, Publication, SetAside
from itineraries.outline import keyed

# Replaced drafts that are kept of a trip; older ones go.
KEPT = 20


def published_version(publication: Publication) -> Json:
    """What was sent, with the keys that its parts had."""
    return keyed(publication.document, publication.outline)


def restore(*, itinerary_id: UUID, number: int, user: Any, expected_version: int) -> Itinerary:
    """Makes the draft what was sent under that number, and sets the present one aside.

    Raises StaleEdit where the draft is not the expected one any more, Itinerary.DoesNotExist, Publication.DoesNotExist.
    """
    publication = Publication.objects.get(itinerary_id=itinerary_id, number=number)
    return _replace(itinerary_id, user, published_version(publication), expected_version)


def put_back(*, itinerary_id: UUID, set_aside_id: int, user: Any, expected_version: int) -> Itinerary:
    """Undoes a restoration: the draft that was set aside takes the place of the present one, which is set aside too.

    Raises StaleEdit, Itinerary.DoesNotExist, SetAside.DoesNotExist.
    """
    draft = SetAside.objects.get(itinerary_id=itinerary_id, pk=set_aside_id)
    return _replace(itinerary_id, user, draft.document, expected_version)


def _replace(itinerary_id: UUID, user: Any, version: Json, expected_version: int) -> Itinerary:
    with transaction.atomic():
        present = Itinerary.objects.select_for_update().get(pk=itinerary_id)
        services.check_version(present, expected_version)
        saved = services.itinerary_edit(
            itinerary_id=itinerary_id, user=user, edit=lambda trip: laid_over(trip, version)
        )
        if saved.version != present.version:
            present.set_aside.create(document=present.document, at=timezone.now(), by=user)
            kept = list(present.set_aside.values_list("pk", flat=True)[:KEPT])
            present.set_aside.exclude(pk__in=kept).delete()
    return saved


def laid_over(present: Trip, version: Json) -> Trip:
    """The version's document as the next edit of the present tree; the same tree where it says the same."""
    data: Json = _with_keys_only(version)
    own = {name: value for name, value in data.items() if name != "segments"}
    changed_own = not editing.same(own, _own(present.data))
    cards = {card.key: card.data for card in present.segments}
    for card in data.get("segments") or []:
        known = cards.get(card.get("_key", ""))
        if known is None or known["type"] != card["type"]:
            # A card that is gone from the draft may still be open somewhere, at a version of its own.
            _without_keys(card)
        elif editing.same(_with_keys_only(known), card):
            card |= {name: value for name, value in known.items() if name in ("_version", "_changed")}
        else:
            card["_version"] = known["_version"] + 1
    taken: set[str] = set()
    for card in data.get("segments") or []:
        give_keys(card, taken)
    order = [card["_key"] for card in data.get("segments") or []]
    changed_order = order != [card.key for card in present.segments] or not isinstance(
        data.get("segments"), type(present.data.get("segments"))
    )
    data["_version"] = present.version + changed_own
    data["_order_version"] = present.order_version + changed_order
    for name, changed in (("_changed", changed_own), ("_order_changed", changed_order)):
        if not changed and name in present.data:
            data[name] = copy.deepcopy(present.data[name])
    return present if editing.same(data, store(present)) else load(data)


def _own(data: Json) -> Json:
    return {name: value for name, value in _with_keys_only(data).items() if name != "segments"}


def _with_keys_only(value: Any) -> Any:
    """A copy without the names that are ours, but for the keys."""
    if isinstance(value, dict):
        return {
            name: _with_keys_only(item) for name, item in value.items() if name == "_key" or not name.startswith("_")
        }
    return [_with_keys_only(item) for item in value] if isinstance(value, list) else value


def _without_keys(value: Any) -> None:
    if isinstance(value, dict):
        value.pop("_key", None)
        for item in value.values():
            _without_keys(item)
    elif isinstance(value, list):
        for item in value:
            _without_keys(item)
