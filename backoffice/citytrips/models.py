"""Who holds the line to CityTrips, where it stands, and what people ask of it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from backoffice.citytrips.session import State

STATE_LABELS = {
    State.UNCONFIGURED: _("Not configured"),
    State.WAITING: _("Waiting"),
    State.CONNECTING: _("Connecting"),
    State.AUTHENTICATING: _("Authenticating"),
    State.LIVE: _("Live"),
    State.REFUSED: _("Refused"),
    State.STANDBY: _("Standing by"),
}
_STATES = [(state.value, label) for state, label in STATE_LABELS.items()]


class Lease(models.Model):
    """The right to act for the line; one row. Whoever renews ``counter`` under its own ``token`` holds it.

    ``renewed_at`` is for people: no decision hangs on a wall clock.
    """

    name = models.CharField(max_length=32, primary_key=True)
    holder = models.CharField(max_length=200, blank=True)
    token = models.UUIDField()
    counter = models.BigIntegerField(default=0)
    renewed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.holder or self.name


class LinkState(models.Model):
    """Where the line stands now; one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    state = models.CharField(_("state"), max_length=20, choices=_STATES, default=State.WAITING.value)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    since = models.DateTimeField(_("since"))
    last_full_at = models.DateTimeField(_("last full"), null=True, blank=True)
    last_incremental_at = models.DateTimeField(_("last incremental"), null=True, blank=True)

    class Meta:
        verbose_name = _("line to CityTrips")
        verbose_name_plural = _("line to CityTrips")
        constraints = [models.CheckConstraint(name="linkstate_single", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return str(self.get_state_display())


class LinkChange(models.Model):
    """One change of the line's state; the last :data:`KEPT` are kept."""

    KEPT: ClassVar[int] = 2000

    link = models.ForeignKey(LinkState, on_delete=models.CASCADE, related_name="changes", editable=False)
    state = models.CharField(_("state"), max_length=20, choices=_STATES)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    at = models.DateTimeField(_("time"))

    class Meta:
        verbose_name = _("change of the line")
        verbose_name_plural = _("changes of the line")
        ordering = ["-id"]

    def __str__(self) -> str:
        return str(self.get_state_display())


class SyncRequest(models.Model):
    """Somebody asks the holder of the line to send now. Open until ``ended_at``, and void after ``expires_at``."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting for the worker")
        RUNNING = "running", _("Under way")
        SETTLED = "settled", _("Settled")
        REFUSED = "refused", _("Refused")
        EXPIRED = "expired", _("Timed out")

    full = models.BooleanField(_("full"), default=False)
    state = models.CharField(_("state"), max_length=20, choices=State.choices, default=State.WAITING)
    detail = models.CharField(_("detail"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("request to send")
        verbose_name_plural = _("requests to send")
        ordering = ["-id"]
        indexes = [models.Index(name="syncrequest_open", fields=["id"], condition=models.Q(ended_at__isnull=True))]

    def __str__(self) -> str:
        return str(self.get_state_display())
