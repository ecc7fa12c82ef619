"""Everything that writes an itinerary."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from itineraries import editing, problems
from itineraries.document import Json, Trip, export, load, parse, store
from itineraries.errors import AttemptUnderWay, Gone, StaleEdit
from itineraries.models import ACTIVE, Itinerary
from itineraries.schedule import read_date


@dataclass(frozen=True)
class Expected:
    """The version that an edit was made on; ``part`` is "trip", "order" or a card's key."""

    part: str
    version: int


def itinerary_create(*, user: Any, document: object | None = None, is_demo: bool = False) -> Itinerary:
    """A new draft, blank or with a document from outside; raises DocumentError."""
    trip = parse({} if document is None else document)
    itinerary = Itinerary(is_demo=is_demo, created_by=user)
    return _saved(itinerary, trip, user)


def itinerary_edit(
    *, itinerary_id: UUID, user: Any, edit: Callable[[Trip], Trip], expected: Expected | None = None
) -> Itinerary:
    """Applies an edit of ``editing`` to the present document, while nobody else can.

    Raises StaleEdit where the expected part has changed, Gone where what is edited was removed, DocumentError where
    the result could not be kept, Itinerary.DoesNotExist. An edit that changes nothing saves nothing.
    """
    with transaction.atomic():
        itinerary = _locked(itinerary_id)
        before = load(itinerary.document)
        if expected is not None:
            _check_expected(before, expected)
        after = edit(before)
        if after is before or editing.same(store(after), store(before)):
            return itinerary
        itinerary.version += 1
        return _saved(itinerary, after, user, before)


def itinerary_replace(
    *, itinerary_id: UUID, user: Any, document: object, expected_version: int | None = None
) -> Itinerary:
    """Puts another document in place of the present one; the versions of its parts go on counting.

    Raises DocumentError, StaleEdit where ``expected_version`` is not the present one, Itinerary.DoesNotExist.
    """
    fresh = parse(document)
    with transaction.atomic():
        itinerary = _locked(itinerary_id)
        check_version(itinerary, expected_version)
        before = load(itinerary.document)
        if editing.same(export(fresh), export(before)):
            return itinerary
        data = store(fresh)
        data["_version"] = before.version + 1
        data["_order_version"] = before.order_version + 1
        itinerary.version += 1
        return _saved(itinerary, load(data), user, before)


def itinerary_delete(*, itinerary_id: UUID, user: Any, expected_version: int | None = None) -> None:
    """Deletes the itinerary and the record of its publications; what Crusoe shows stays there.

    Raises AttemptUnderWay while an attempt is active, StaleEdit, Itinerary.DoesNotExist.
    """
    with transaction.atomic():
        itinerary = _locked(itinerary_id)
        check_version(itinerary, expected_version)
        if active := itinerary.publications.filter(ACTIVE).first():
            raise AttemptUnderWay(active)
        itinerary.delete()


def fingerprint(document: Json) -> str:
    """The same for equal documents, whatever the order of their properties."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _locked(itinerary_id: UUID) -> Itinerary:
    return Itinerary.objects.select_for_update().get(pk=itinerary_id)


def _saved(itinerary: Itinerary, trip: Trip, user: Any, before: Trip | None = None) -> Itinerary:
    now = timezone.now()
    if before is not None:
        trip = _signed(before, trip, user, now)
    found = problems.find(trip)
    interval = trip.date_interval
    itinerary.document = store(trip)
    itinerary.fingerprint = fingerprint(export(trip))
    itinerary.title = (trip.title or "")[:255]
    itinerary.starts_on = _day(interval.from_ if interval else None)
    itinerary.ends_on = _day(interval.to if interval else None)
    itinerary.error_count = sum(problem.level == "error" for problem in found)
    itinerary.warning_count = len(found) - itinerary.error_count
    itinerary.updated_by = user
    itinerary.updated_at = now
    itinerary.save()
    return itinerary


def _day(text: str | None) -> date | None:
    try:
        return read_date(text) if text else None
    except ValueError:
        return None


def _signed(before: Trip, after: Trip, user: Any, now: datetime) -> Trip:
    """Writes beside each part whose version has changed who changed it and when."""
    data = store(after)
    change = {"by": str(user.pk) if user is not None else "", "at": now.isoformat()}
    if after.version != before.version:
        data["_changed"] = change
    if after.order_version != before.order_version:
        data["_order_changed"] = change
    for card in data.get("segments") or []:
        if card["_version"] != before.part_version(card["_key"]):
            card["_changed"] = change
    return load(data)


def _check_expected(trip: Trip, expected: Expected) -> None:
    present = trip.part_version(expected.part)
    if present is None:
        raise Gone(expected.part)
    if present == expected.version:
        return
    change = trip.part_change(expected.part)
    when = parse_datetime(change.at) if change and change.at else None
    raise StaleEdit(expected.part, present, who=_name(change.by if change else ""), when=when)


def check_version(itinerary: Itinerary, expected: int | None) -> None:
    """Raises StaleEdit unless the locked row has that version; None stands for any."""
    if expected is not None and expected != itinerary.version:
        when: datetime = itinerary.updated_at
        who = _name(str(itinerary.updated_by_id or ""))
        raise StaleEdit("itinerary", itinerary.version, who=who, when=when)


def _name(user_id: str) -> str:
    user = get_user_model()._default_manager.filter(pk=user_id).first() if user_id else None
    return (user.get_full_name() or user.get_username()) if isinstance(user, AbstractUser) else ""
