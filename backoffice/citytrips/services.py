"""What is written about the line."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from backoffice.citytrips.models import LinkChange, LinkState, SyncRequest
from backoffice.citytrips.session import State


def link_change(*, state: State, reason: str, at: datetime) -> None:
    """Record that the line is in another state, or in the same one for another reason."""
    reason = reason[:500]
    with transaction.atomic():
        LinkState.objects.update_or_create(id=1, defaults={"state": state, "reason": reason, "since": at})
        change = LinkChange.objects.create(link_id=1, state=state, reason=reason, at=at)
        LinkChange.objects.filter(pk__lte=change.pk - LinkChange.KEPT).delete()


def link_settled(*, full: bool) -> None:
    """Record that a full or an incremental has settled now."""
    LinkState.objects.filter(id=1).update(**{"last_full_at" if full else "last_incremental_at": timezone.now()})


def sync_request_create(*, full: bool, seconds: float) -> SyncRequest:
    """Ask the holder to send now; void after so many seconds."""
    return SyncRequest.objects.create(full=full, expires_at=timezone.now() + timedelta(seconds=seconds))


def sync_request_start(*, request_id: int, detail: str) -> None:
    """The holder has taken a request up."""
    SyncRequest.objects.filter(pk=request_id, ended_at=None).update(
        state=SyncRequest.State.RUNNING, detail=detail[:500]
    )


def sync_request_end(*, request_id: int, state: SyncRequest.State, detail: str = "") -> None:
    """A request is answered; one that has ended already stays as it is."""
    SyncRequest.objects.filter(pk=request_id, ended_at=None).update(
        state=state, detail=detail[:500], ended_at=timezone.now()
    )
