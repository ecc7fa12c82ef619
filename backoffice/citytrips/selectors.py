"""What is asked of the line."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from backoffice.citytrips import bridge, pauses
from backoffice.citytrips.exchange import State
from backoffice.citytrips.lease import NAME
from backoffice.citytrips.models import (
    STATE_LABELS,
    Alert,
    JournalEntry,
    Lease,
    LinkChange,
    LinkState,
    Pause,
    Reply,
    SyncRequest,
    WorkerPresence,
)
from backoffice.citytrips.wording import in_words
from users.models import User

PRESENT: Final = timedelta(seconds=30)
"""A worker that was not seen for so long counts as gone."""
PEOPLE_SEARCHED: Final = 200
"""So many accounts are looked for when a search names people."""
COMMANDS_SHOWN: Final = 50
"""So many different commands of the journal are offered to choose from."""


@dataclass(frozen=True)
class FullsBlocked:
    """CityTrips closed the line over a full of so many ``vehicles``, so none of that size is sent.

    ``leaving`` counts those that it still shows though they are no longer offered, which only a full can mend.
    """

    since: datetime
    vehicles: int
    leaving: int


@dataclass(frozen=True)
class PauseNow:
    """A pause under way, and how many vehicles wait because of it."""

    pause: Pause
    waiting: int


@dataclass(frozen=True)
class LinkSummary:
    """The line at a glance.

    ``pending`` counts the vehicles that CityTrips is still to hear of, without those that a pause holds back,
    ``oldest_pending_age`` says how long the first of them has waited, ``history`` holds the last ten changes of state, the
    newest first. ``attempts`` are the connections opened since the line was last live; ``holder`` is empty where nobody
    holds it.
    """

    state: State
    label: str
    since: datetime | None
    reason: str
    worker_alive: bool
    pending: int
    oldest_pending_age: timedelta | None
    last_full_at: datetime | None
    last_incremental_at: datetime | None
    history: Sequence[LinkChange]
    attempts: int
    holder: str
    standbys: Sequence[str]
    fulls_blocked: FullsBlocked | None
    pauses: Sequence[PauseNow]


def missing_credentials() -> list[str]:
    """The variables that must be set before a connection is opened."""
    return [name for name in ("CITYTRIPS_CLIENT_ID", "CITYTRIPS_API_KEY") if not getattr(settings, name)]


def link_summary() -> LinkSummary:
    """The line at a glance, in six queries; in one more while something is paused, and while fulls are blocked."""
    now = timezone.now()
    link = LinkState.objects.filter(id=1).first()
    # By the database's clock, by which the lease is renewed: that of the worker's machine may be another than ours.
    renewed = Q(renewed_at__gt=Now() - timedelta(seconds=settings.CITYTRIPS_LEASE))
    lease = Lease.objects.filter(renewed, name=NAME).exclude(holder="").first()
    state, reason = (State(link.state), link.reason) if link else (State.WAITING, "")
    since = None
    if missing := missing_credentials():
        state, reason = State.UNCONFIGURED, "Not set: " + ", ".join(missing)
    elif not lease:
        state, reason = State.WAITING, "No worker is running."
        if link and link.state == State.STANDBY:  # how the last one ended
            since = link.since
    open_pauses = list(pauses_open().select_related("paused_by"))
    backlog = bridge.backlog(open_pauses)
    holder = lease.holder if lease else ""
    present = WorkerPresence.objects.filter(seen_at__gte=now - PRESENT).order_by("name")
    return LinkSummary(
        state=state,
        label=str(STATE_LABELS[state]),
        since=link.since if link and state == link.state else since,
        reason=in_words(reason),
        worker_alive=bool(lease),
        pending=backlog.count,
        oldest_pending_age=now - backlog.oldest if backlog.oldest else None,
        last_full_at=link.last_full_at if link else None,
        last_incremental_at=link.last_incremental_at if link else None,
        history=list(LinkChange.objects.all()[:10]),
        attempts=link.attempts if link else 0,
        holder=holder,
        standbys=[name for name in present.values_list("name", flat=True) if name != holder],
        fulls_blocked=_fulls_blocked(link),
        pauses=_pauses_now(open_pauses, backlog),
    )


def pauses_now() -> list[PauseNow]:
    """What is paused, in one query; in three while something is."""
    open_pauses = list(pauses_open().select_related("paused_by"))
    return _pauses_now(open_pauses, bridge.backlog(open_pauses)) if open_pauses else []


def _pauses_now(open_pauses: Sequence[Pause], backlog: bridge.Backlog) -> list[PauseNow]:
    # Where everything is paused, its vehicles are counted once.
    return [PauseNow(pause, backlog.paused.get((pause.country, pause.city), 0)) for pause in open_pauses]


def pauses_open() -> QuerySet[Pause]:
    """The pauses under way, the one of everything first."""
    return pauses.pauses_open()


def pauses_last(number: int) -> list[Pause]:
    """The last pauses, ended or not, the newest first."""
    return list(Pause.objects.select_related("paused_by", "resumed_by")[:number])


def _fulls_blocked(link: LinkState | None) -> FullsBlocked | None:
    if link is None or link.fulls_blocked_at is None:
        return None
    return FullsBlocked(link.fulls_blocked_at, link.fulls_blocked_vehicles or 0, bridge.deliverable().leaving().count())


def link_state() -> State:
    """Where the line stands, as its holder wrote it down."""
    state = LinkState.objects.filter(id=1).values_list("state", flat=True).first()
    return State(state) if state else State.WAITING


def alerts_open() -> QuerySet[Alert]:
    """What nobody has seen to yet, the latest first."""
    return Alert.objects.filter(resolved_at=None)


def journal_commands() -> list[str]:
    """The different commands in the journal, in their order; read from the index, one step for each of them."""
    table = connection.ops.quote_name(JournalEntry._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE step(command) AS (SELECT min(command) FROM {table} UNION ALL "  # noqa: S608  our table
            f"SELECT (SELECT min(command) FROM {table} WHERE command > step.command) FROM step "
            "WHERE step.command IS NOT NULL) SELECT command FROM step WHERE command IS NOT NULL LIMIT %s",
            [COMMANDS_SHOWN],
        )
        return [command for (command,) in cursor.fetchall()]


def sync_requests_open() -> QuerySet[SyncRequest]:
    """The requests that somebody still waits for, by the database's clock."""
    return SyncRequest.objects.filter(ended_at=None, expires_at__gt=Now()).order_by("id")


def last_sync_request() -> SyncRequest | None:
    """The latest request; one that nobody answered in time is shown as timed out."""
    last = SyncRequest.objects.first()
    if last and last.ended_at is None and last.expires_at <= timezone.now():
        last.state = SyncRequest.State.EXPIRED
    return last


def journal_search(*, entries: QuerySet[JournalEntry], words: str, people: bool) -> QuerySet[JournalEntry]:
    """Those that a reference, a command, a reason or, where ``people`` may be found, an account match.

    Each part of it is found by an index: commands are few, and most messages have neither a reason nor an account.
    """
    words = words.strip()
    if not words:
        return entries
    with contextlib.suppress(ValueError):
        return entries.filter(ref=uuid.UUID(words))
    commands = [command for command in journal_commands() if words.casefold() in command]
    found = Q(command__in=commands) | Q(~Q(reason=""), reason__icontains=words)
    if people:
        named = User.objects.filter(
            Q(username__icontains=words) | Q(email__icontains=words) | Q(first_name__icontains=words)
            | Q(last_name__icontains=words)
        )  # fmt: skip
        found |= Q(account__isnull=False, account__in=list(named.values_list("pk", flat=True)[:PEOPLE_SEARCHED]))
    return entries.filter(found)


def replies_in(*, replies: QuerySet[Reply], state: Reply.State) -> QuerySet[Reply]:
    """Those that stand where :attr:`Reply.state` says."""
    due = Q(settled_at=None, objected_at=None)
    return replies.filter(
        {
            Reply.State.SETTLED: Q(settled_at__isnull=False),
            Reply.State.OBJECTED: Q(settled_at=None, objected_at__isnull=False),
            Reply.State.SENT: due & Q(sent_count__gt=0),
            Reply.State.DUE: due & Q(sent_count=0),
        }[state]
    )
