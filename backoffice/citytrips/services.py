"""What is written about the line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from backoffice import hints
from backoffice.citytrips import wakeup
from backoffice.citytrips.exchange import State
from backoffice.citytrips.journal import JournalRecord, Outcome
from backoffice.citytrips.lease import end_with_silence, is_holder
from backoffice.citytrips.models import (
    Alert,
    JournalEntry,
    LinkChange,
    LinkState,
    Reply,
    SyncRequest,
    WorkerPresence,
)
from backoffice.hints import Topic
from users.models import User

BATCH: Final = 5000
"""Rows that are dropped at once, so that nobody waits long for a lock."""
PRESENCE_KEPT: Final = timedelta(days=1)
ALERTS_KEPT: Final = 50
"""Different open alerts of a kind: what a peer may name as it likes must not bury the rest."""
OTHERS: Final = "…"


# --- Where the line stands ---------------------------------------------------------------------------------------


def link_change(*, state: State, reason: str, at: datetime, attempts: int = 0, token: UUID | None = None) -> None:
    """Record that the line is in another state, or in the same one for another reason.

    ``attempts`` are the connections opened since it was last live. With ``token``, whose hold of the lease it was in: once
    that is over the change belongs to the history alone.
    """
    reason = reason[:500]
    with transaction.atomic():
        end_with_silence()
        now = {"state": state, "reason": reason, "since": at, "attempts": attempts}
        if token is None or is_holder(token):
            LinkState.objects.update_or_create(id=1, defaults=now)
        else:
            LinkState.objects.get_or_create(id=1, defaults=now)
        change = LinkChange.objects.create(link_id=1, state=state, reason=reason, at=at)
        LinkChange.objects.filter(pk__lte=change.pk - LinkChange.KEPT).delete()
        hints.changed_on_commit(Topic.LINE)


def link_settled(*, full: bool) -> None:
    """Record that a full or an incremental has settled now; that fulls were objected to is over then."""
    LinkState.objects.filter(id=1).update(**{"last_full_at" if full else "last_incremental_at": timezone.now()})
    if full:
        alerts_pass(kind=Alert.Kind.FULL_OBJECTED)
    hints.changed_on_commit(Topic.TRAFFIC)


def fulls_block(*, vehicles: int, settings_key: str) -> None:
    """CityTrips closed the line over a full of so many vehicles: none of that size is sent until this is lifted.

    ``settings_key`` is a fingerprint of the settings by which it was made.
    """
    now = timezone.now()
    blocked = {
        "fulls_blocked_at": now,
        "fulls_blocked_vehicles": vehicles,
        "fulls_blocked_settings": settings_key[:64],
    }
    with transaction.atomic():
        LinkState.objects.update_or_create(id=1, defaults=blocked, create_defaults={**blocked, "since": now})
        alert_raise(kind=Alert.Kind.FULLS_BLOCKED)
        hints.changed_on_commit(Topic.LINE)


def fulls_unblock() -> None:
    """Fulls of any size may be sent again; the alert over it is done."""
    with transaction.atomic():
        LinkState.objects.filter(id=1).update(
            fulls_blocked_at=None, fulls_blocked_vehicles=None, fulls_blocked_settings=""
        )
        Alert.objects.filter(kind=Alert.Kind.FULLS_BLOCKED, resolved_at=None).update(resolved_at=timezone.now())
        hints.changed_on_commit(Topic.LINE, Topic.ALERTS)


def presence(*, name: str, state: WorkerPresence.State | str) -> None:
    """A worker lives, and holds the line or stands by; those not seen for a day are forgotten."""
    now = timezone.now()
    seen = {"state": state, "seen_at": now}
    if not WorkerPresence.objects.filter(pk=name[:200]).update(**seen):
        WorkerPresence.objects.update_or_create(pk=name[:200], defaults=seen)
        WorkerPresence.objects.filter(seen_at__lt=now - PRESENCE_KEPT).delete()


def presence_end(*, name: str) -> None:
    """A worker gives the line up, and may be gone."""
    WorkerPresence.objects.filter(pk=name[:200]).delete()


# --- What people ask of it ---------------------------------------------------------------------------------------


def sync_request_create(*, full: bool, seconds: float) -> SyncRequest:
    """Ask the holder to send now; void after so many seconds by the database's clock, the one that both know."""
    request = SyncRequest.objects.create(full=full, expires_at=Now() + timedelta(seconds=seconds))
    request.refresh_from_db(fields=["expires_at"])
    hints.changed_on_commit(Topic.LINE)
    return request


def sync_request_start(*, request_id: int, detail: str) -> None:
    """The holder has taken a request up."""
    SyncRequest.objects.filter(pk=request_id, ended_at=None).update(
        state=SyncRequest.State.RUNNING, detail=detail[:500]
    )
    hints.changed_on_commit(Topic.LINE)


def sync_request_end(*, request_id: int, state: SyncRequest.State, detail: str = "") -> None:
    """A request is answered; one that has ended already stays as it is."""
    SyncRequest.objects.filter(pk=request_id, ended_at=None).update(
        state=state, detail=detail[:500], ended_at=timezone.now()
    )
    hints.changed_on_commit(Topic.LINE)


# --- Replies -----------------------------------------------------------------------------------------------------


def reply_create(*, command: str, payload: Any, about_id: int | None = None) -> Reply:
    """Owe CityTrips a message, sent once the caller's transaction has been committed and again until it settles."""
    reply = Reply.objects.create(command=command[:80], payload=payload, about_id=about_id)
    transaction.on_commit(wakeup.wake_worker)
    return reply


def replies_sent(*, ids: Collection[int]) -> None:
    """These have been written to the line."""
    Reply.objects.filter(pk__in=ids).update(sent_count=F("sent_count") + 1, last_sent_at=timezone.now())


def replies_settle(*, ids: Collection[int]) -> None:
    """Nothing spoke against these: they are done."""
    Reply.objects.filter(pk__in=ids, settled_at=None).update(settled_at=timezone.now(), objected_at=None)


def replies_object(*, ids: Collection[int]) -> None:
    """CityTrips objected to these again: they are left alone until staff send them again."""
    objected = Reply.objects.filter(pk__in=ids, settled_at=None, objected_at=None)
    with transaction.atomic():
        if objected.update(objected_at=timezone.now()):
            alert_raise(kind=Alert.Kind.REPLY_OBJECTED)


def reply_resend(*, reply_id: int) -> bool:
    """Staff want it sent again, wherever it stands; whether there is such a reply."""
    found = Reply.objects.filter(pk=reply_id).update(settled_at=None, objected_at=None)
    transaction.on_commit(wakeup.wake_worker)
    return bool(found)


# --- Alerts ------------------------------------------------------------------------------------------------------


def alert_raise(*, kind: Alert.Kind | str, detail: str = "") -> None:
    """Put something before staff; what is open already is counted once more. ``detail`` holds no personal datum.

    Beyond :data:`ALERTS_KEPT` different ones of a kind the others count together, under :data:`OTHERS`.
    """
    now, detail = timezone.now(), detail[:300]
    of_kind = Alert.objects.filter(kind=kind, resolved_at=None)
    if not of_kind.filter(detail=detail).exists() and of_kind.count() >= ALERTS_KEPT:
        detail = OTHERS
    open_one = of_kind.filter(detail=detail)
    for _attempt in range(2):
        if open_one.update(count=F("count") + 1, last_at=now):
            break
        try:
            with transaction.atomic():
                Alert.objects.create(kind=kind, detail=detail, first_at=now, last_at=now)
            break
        except IntegrityError:
            continue  # another process raised it in between
    hints.changed_on_commit(Topic.ALERTS)


def alerts_pass(*, kind: Alert.Kind) -> None:
    """What these were about is over."""
    if Alert.objects.filter(kind=kind, resolved_at=None).update(resolved_at=timezone.now()):
        hints.changed_on_commit(Topic.ALERTS)


def alert_resolve(*, alert: Alert, actor: User) -> None:
    """A person has seen to it; one that is done already keeps its name and time."""
    Alert.objects.filter(pk=alert.pk, resolved_at=None).update(resolved_at=timezone.now(), resolved_by=actor)
    hints.changed_on_commit(Topic.ALERTS)


# --- The journal -------------------------------------------------------------------------------------------------


def journal_add(*, entries: Sequence[JournalRecord]) -> None:
    """Write messages into the journal, in one insert; one that stands there already is passed over.

    What a message was about may have been deleted meanwhile: then it stands there without it.
    """
    rows = [
        JournalEntry(
            ref=entry.ref,
            at=entry.at,
            direction=entry.direction,
            command=entry.command[:80],
            size=entry.size,
            outcome=entry.outcome,
            reason=entry.reason[:500],
            body=dict(entry.body),
            account_id=entry.account_id,
            sync_request_id=entry.sync_request_id,
            reply_id=entry.reply_id,
        )
        for entry in entries
    ]
    try:
        JournalEntry.objects.bulk_create(rows, ignore_conflicts=True)
    except IntegrityError:
        _forget_the_deleted(rows)
        JournalEntry.objects.bulk_create(rows, ignore_conflicts=True)


def _forget_the_deleted(rows: Sequence[JournalEntry]) -> None:
    models_of: dict[str, type[models.Model]] = {"account_id": User, "sync_request_id": SyncRequest, "reply_id": Reply}
    for name, model in models_of.items():
        named = {getattr(row, name) for row in rows} - {None}
        missing = named - set(model._base_manager.filter(pk__in=named).values_list("pk", flat=True))
        for row in rows:
            if getattr(row, name) in missing:
                setattr(row, name, None)


def journal_outcome(*, refs: Collection[UUID], outcome: Outcome, reason: str = "") -> None:
    """What came of messages that stand in the journal."""
    news: dict[str, str] = {"outcome": outcome}
    if reason:
        news["reason"] = reason[:500]
    JournalEntry.objects.filter(ref__in=refs).update(**news)


def journal_prune(*, before: datetime) -> int:
    """Drop what is older: messages, and requests, alerts and replies that ended before; how many rows.

    What is still open stays, however old.
    """
    ended = Q(ended_at__lt=before) | Q(ended_at=None, expires_at__lt=before)
    return (
        _drop(JournalEntry.objects.filter(at__lt=before))
        + _drop(SyncRequest.objects.filter(ended))
        + _drop(Alert.objects.filter(resolved_at__lt=before))
        + _drop(Reply.objects.filter(settled_at__lt=before))
    )


def _drop(rows: models.QuerySet[Any]) -> int:
    """Batch by batch, each in a transaction of its own."""
    dropped = 0
    while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        dropped += len(ids)
        for start in range(0, len(ids), 500):  # SQLite takes no long lists
            rows.model._default_manager.filter(pk__in=ids[start : start + 500]).delete()
    return dropped
