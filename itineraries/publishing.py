"""Publishing: claim, commit, call, record.

An attempt is a row that is committed as ``sending``, with the exact document, before anything is sent, and the call is
made outside of any transaction. A database constraint lets an itinerary have one active attempt; who asks again after
that one has ended is refused too, unless he names it, so a double click, two people or a replayed request make one POST.
What cannot be told stays ``unknown``, and active, until a person resolves it: publishing makes a new address each time,
so nothing that may have arrived is sent again by itself.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from itineraries import problems
from itineraries.crusoe import client
from itineraries.crusoe.answers import Verdict, judge
from itineraries.crusoe.client import Access
from itineraries.crusoe.errors import CrusoeError, NothingSent
from itineraries.crusoe.placing import place
from itineraries.document import Json, export, load, parse
from itineraries.errors import (
    AlreadyPublished,
    AttemptUnderWay,
    DemoStaysHere,
    DocumentError,
    NotConfigured,
    NothingToResolve,
    NotPublishable,
    Overtaken,
    Problem,
)
from itineraries.events import publications_changed
from itineraries.models import ACTIVE, Itinerary, Publication, PublicationState, longest_attempt
from itineraries.outline import outline
from itineraries.reasons import Reason, Refusal

logger = logging.getLogger(__name__)

SANDBOX_PATH = "/sandbox/crusoe/api"
MAX_URL = 2000
MAX_SAID = 500


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt; its texts hold none of our credentials."""

    state: PublicationState
    reason: Reason = field(default_factory=Reason)
    url: str = ""
    http_status: int | None = None
    answer: str = ""
    refusals: Sequence[Refusal] = field(default_factory=list)


@dataclass(frozen=True)
class Probe:
    """Whether Crusoe answers and knows the key; ``detail`` in words."""

    ok: bool
    detail: str


def publish(*, itinerary_id: UUID, user: Any, after: int | None = None) -> Publication:
    """Sends the present document to Crusoe and returns the attempt, in whatever state it ended.

    ``after`` is the number of the latest attempt that the caller knows of, 0 for none: where there is a later one, it is
    Overtaken. Without it, a document that is published exactly so is refused as AlreadyPublished.
    Raises NotPublishable (DemoStaysHere), NotConfigured, AttemptUnderWay, NotAgain or Itinerary.DoesNotExist, all before
    anything is sent. Must not be called inside a transaction.
    """
    sweep(itinerary_id=itinerary_id)
    access = client.access_from_settings()
    attempt = _claim(itinerary_id, user, access, after)
    started = time.monotonic()
    try:
        outcome = _send(attempt.document, access)
    except Exception:
        logger.exception("Publication %s failed in a way that nobody foresaw", attempt.pk)
        outcome = Outcome(PublicationState.UNKNOWN, Reason("own_failure"))
    _record(attempt, outcome)
    logger.info(
        "Itinerary %s, publication %s: %s (HTTP %s) after %.1f s",
        itinerary_id,
        attempt.number,
        attempt.state,
        attempt.http_status or "–",
        time.monotonic() - started,
    )
    return attempt


def resolve(*, itinerary_id: UUID, user: Any, url: str | None = None, retry: bool = False) -> Publication:
    """Ends an attempt of unknown outcome: the trip is at ``url``, or it is not there and may be sent again.

    ``retry`` sends nothing by itself. Raises NothingToResolve, DocumentError for an address that is none,
    Itinerary.DoesNotExist.
    """
    sweep(itinerary_id=itinerary_id)
    if bool(url) == retry:
        raise ValueError("either the address, or retry")
    if url:
        _check_address(url)
    with transaction.atomic():
        itinerary = Itinerary.objects.select_for_update().only("pk").get(pk=itinerary_id)
        attempt = itinerary.publications.filter(state=PublicationState.UNKNOWN, resolved_at=None).first()
        if attempt is None:
            raise NothingToResolve
        attempt.resolved_at = timezone.now()
        attempt.resolved_by = user
        if url:
            attempt.state = PublicationState.PUBLISHED
            attempt.url = url
        attempt.save(update_fields=["resolved_at", "resolved_by", "state", "url"])
        _announce()
    return attempt


def sweep(*, itinerary_id: UUID | None = None) -> int:
    """Attempts whose process died while they were ``sending`` become ``unknown``; how many they were.

    Each is given the time that the longest attempt can take, so another process's running one is left alone.
    """
    interrupted = Publication.objects.filter(
        state=PublicationState.SENDING, started_at__lte=timezone.now() - longest_attempt()
    )
    if itinerary_id is not None:
        interrupted = interrupted.filter(itinerary_id=itinerary_id)
    reason = Reason("interrupted").as_json()
    count = interrupted.update(state=PublicationState.UNKNOWN, ended_at=timezone.now(), reason=reason)
    if count:
        _announce()
        logger.warning("%s interrupted publications are now of unknown outcome", count)
    return count


def probe() -> Probe:
    """Sends an empty document, which a good key has refused with 400 and a bad one with 401; makes no trip."""
    if missing := configuration_problem():
        return Probe(False, missing)
    access = client.access_from_settings()
    try:
        answer = client.create_itinerary({}, access)
    except CrusoeError as error:
        return Probe(False, str(error.reason))
    verdict = judge(answer, web_app=access.web_app)
    if verdict.state == "rejected" and verdict.validation_errors:
        return Probe(True, _("Crusoe answers and knows the API key."))
    if verdict.state == "published":
        return Probe(True, _("Crusoe answers; it even took an empty trip."))
    return Probe(False, str(_reason(verdict, access)))


def configuration_problem() -> str:
    """What is missing before anything can be published, in words; empty where nothing is."""
    return "" if settings.CRUSOE_API_KEY else _("No API key for Crusoe is set: set CRUSOE_API_KEY.")


def is_sandbox(url: str) -> bool:
    """Whether an API address is that of this site's own simulator."""
    if not settings.SANDBOX:
        return False
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == (urlsplit(settings.SITE_URL).hostname or "").lower()
    return here and parts.path.rstrip("/") == SANDBOX_PATH


def _claim(itinerary_id: UUID, user: Any, access: Access, after: int | None) -> Publication:
    # durable: the row must be there for others to see before anything is sent.
    with transaction.atomic(durable=True):
        itinerary = Itinerary.objects.select_for_update().get(pk=itinerary_id)
        if active := itinerary.publications.filter(ACTIVE).first():
            raise AttemptUnderWay(active)
        _announce()
        # Only now: an attempt that ended before the look above is seen by those that follow it.
        last = _refuse_repetition(itinerary, after)
        if itinerary.is_demo and not is_sandbox(access.url):
            raise DemoStaysHere
        trip = load(itinerary.document)
        if errors := problems.errors_in(trip):
            raise NotPublishable(errors)
        if missing := configuration_problem():
            raise NotConfigured(missing)
        try:
            with transaction.atomic():
                return Publication.objects.create(
                    itinerary=itinerary,
                    number=last + 1,
                    document=export(trip),
                    outline=outline(trip),
                    fingerprint=itinerary.fingerprint,
                    started_at=timezone.now(),
                    by=user,
                )
        except IntegrityError:
            raise AttemptUnderWay from None


def _refuse_repetition(itinerary: Itinerary, after: int | None) -> int:
    """The number of the latest attempt, 0 for none; raises NotAgain for a request that may be an earlier one's echo."""
    attempts = itinerary.publications.defer("document", "answer").order_by("-number")
    latest = attempts.first()
    published = attempts.filter(state=PublicationState.PUBLISHED).first()
    url = published.url if published else ""
    number = latest.number if latest else 0
    if after is None and published and published.fingerprint == itinerary.fingerprint:
        raise AlreadyPublished(latest, url)
    if after is not None and after != number:
        raise Overtaken(latest, url)
    return number


def _send(document: Json, access: Access) -> Outcome:
    try:
        answer = client.create_itinerary(document, access)
    except NothingSent as error:
        return Outcome(PublicationState.NOT_SENT, error.reason)
    except CrusoeError as error:
        return Outcome(PublicationState.UNKNOWN, error.reason)
    verdict = judge(answer, web_app=access.web_app)
    # Read into a tree only where there is something to place: that takes as long as everything else together.
    errors = verdict.validation_errors
    return Outcome(
        PublicationState(verdict.state),
        reason=_reason(verdict, access),
        url=_storable(access, verdict.url, least=12)[:MAX_URL],
        http_status=answer.status,
        answer=_storable(access, answer.body.decode("utf-8", "replace")),
        refusals=place(parse(document), errors, partial(_storable, access)) if errors else [],
    )


def _reason(verdict: Verdict, access: Access) -> Reason:
    return replace(verdict.reason, said=_storable(access, verdict.reason.said)[:MAX_SAID])


def _storable(access: Access, text: str, *, least: int = 1) -> str:
    """A text of Crusoe's without our credentials, and without the signs that a database refuses.

    Never asked about our own words: of those, a short key would leave little.
    """
    return access.redacted(text, least=least).replace("\0", "").encode("utf-8", "replace").decode()


def _record(attempt: Publication, outcome: Outcome) -> None:
    """Writes the outcome, unless a person has meanwhile said what became of the attempt."""
    attempt.state = outcome.state
    attempt.reason = outcome.reason.as_json()
    attempt.url = outcome.url
    attempt.http_status = outcome.http_status
    attempt.answer = outcome.answer
    attempt.problems = [refusal.as_json() for refusal in outcome.refusals]
    attempt.ended_at = timezone.now()
    written = ("state", "reason", "url", "http_status", "answer", "problems", "ended_at")
    # A sweep may have taken a process that was only asleep for dead; knowing is better than not.
    waiting = Publication.objects.filter(Q(pk=attempt.pk) & ACTIVE)
    if waiting.update(**{name: getattr(attempt, name) for name in written}):
        _announce()
    else:
        attempt.refresh_from_db()
        logger.warning("Publication %s ended %s after it was resolved", attempt.pk, outcome.state)


def _announce() -> None:
    """Tell whoever listens, once the transaction is committed, that something became of an attempt."""

    def tell() -> None:  # no partial: Django names what failed by an attribute that a partial lacks
        publications_changed.send_robust(sender=Publication)

    transaction.on_commit(tell, robust=True)


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and len(url) <= MAX_URL
    except ValueError:
        fine = False
    if not fine or any(sign.isspace() or not sign.isprintable() for sign in url):
        raise DocumentError([Problem("url", "error", "url", _("Not an address that begins with http:// or https://."))])
