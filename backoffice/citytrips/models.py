"""Who holds the line to CityTrips, where it stands, what went over it, and what people ask of it."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from backoffice.citytrips.exchange import State
from backoffice.citytrips.journal import Direction, Outcome
from backoffice.citytrips.wording import in_words

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
_DIRECTIONS = [(Direction.IN.value, _("Received")), (Direction.OUT.value, _("Sent"))]
OUTCOME_LABELS = {
    Outcome.RECEIVED: _("Received"),
    Outcome.HANDLED: _("Handled"),
    Outcome.ANSWERED: _("Answered"),
    Outcome.UNKNOWN: _("Unknown command"),
    Outcome.UNREADABLE: _("Unreadable"),
    Outcome.FAILED: _("Failed"),
    Outcome.SENT: _("Sent"),
    Outcome.SETTLED: _("Settled"),
    Outcome.VOID: _("Void"),
    Outcome.OBJECTED: _("Objected"),
}
_OUTCOMES = [(outcome.value, label) for outcome, label in OUTCOME_LABELS.items()]


class Lease(models.Model):
    """The right to act for the line; one row. Whoever renews ``counter`` under its own ``token`` holds it.

    ``renewed_at``, by the database's clock, is for people: no decision hangs on a wall clock.
    """

    name = models.CharField(max_length=32, primary_key=True)
    holder = models.CharField(max_length=200, blank=True)
    token = models.UUIDField()
    counter = models.BigIntegerField(default=0)
    renewed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.holder or self.name


class WorkerPresence(models.Model):
    """A worker that lives, or lived until a while ago: whether it holds the line or stands by."""

    class State(models.TextChoices):
        HOLDER = "holder", _("Holds the line")
        STANDBY = "standby", _("Stands by")

    name = models.CharField(_("worker"), max_length=200, primary_key=True)  # host:pid
    state = models.CharField(_("state"), max_length=10, choices=State.choices)
    seen_at = models.DateTimeField(_("seen"))

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class LinkState(models.Model):
    """Where the line stands now; one row.

    ``attempts`` counts the connections opened since the line was last live. While ``fulls_blocked_at`` is set, CityTrips
    has closed the line over a full of ``fulls_blocked_vehicles`` vehicles, and none of that size is sent;
    ``fulls_blocked_settings`` is a fingerprint of the settings of then.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    state = models.CharField(_("state"), max_length=20, choices=_STATES, default=State.WAITING.value)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    since = models.DateTimeField(_("since"))
    last_full_at = models.DateTimeField(_("last full"), null=True, blank=True)
    last_incremental_at = models.DateTimeField(_("last incremental"), null=True, blank=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    fulls_blocked_at = models.DateTimeField(_("full lists blocked since"), null=True, blank=True)
    fulls_blocked_vehicles = models.PositiveIntegerField(_("vehicles in the list refused"), null=True, blank=True)
    fulls_blocked_settings = models.CharField(max_length=64, blank=True, editable=False)

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

    @property
    def reason_in_words(self) -> str:
        return in_words(self.reason)


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

    @property
    def detail_in_words(self) -> str:
        return in_words(self.detail)


class Pause(models.Model):
    """Staff hold back what is sent of the fleet: of one city, or, where ``country`` and ``city`` are empty, of all.

    Open until ``resumed_at``; the history is kept.
    """

    country = models.CharField(_("country"), max_length=60, blank=True)
    city = models.CharField(_("city"), max_length=80, blank=True)
    reason = models.CharField(_("reason"), max_length=300)
    paused_at = models.DateTimeField(_("paused"), default=timezone.now)
    paused_by = models.ForeignKey(
        "users.User", on_delete=models.SET_NULL, null=True, related_name="+", verbose_name=_("paused by")
    )
    resumed_at = models.DateTimeField(_("resumed"), null=True, blank=True)
    resumed_by = models.ForeignKey(
        "users.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("resumed by")
    )

    class Meta:
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [("pause_sending", "Can pause and resume what is sent to CityTrips")]
        constraints = [
            models.UniqueConstraint(
                name="pause_one_open", fields=["country", "city"], condition=models.Q(resumed_at__isnull=True)
            ),
            models.CheckConstraint(name="pause_reason", condition=~models.Q(reason="")),
            models.CheckConstraint(
                name="pause_place",
                condition=models.Q(country="", city="") | (~models.Q(country="") & ~models.Q(city="")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.city}, {self.country}" if self.city else gettext("Everything")

    @property
    def of_all(self) -> bool:
        return not self.city


class PausedVehicle(models.Model):
    """What CityTrips is to go on holding of a vehicle while its city is paused: the row as it was when the pause began.

    It counts only while the vehicle is in that city, and goes once CityTrips was told something else of the vehicle.
    """

    vehicle = models.OneToOneField("fleet.Vehicle", on_delete=models.CASCADE, primary_key=True, related_name="+")
    pause = models.ForeignKey(Pause, on_delete=models.CASCADE, related_name="vehicles")
    version = models.BigIntegerField()
    battery = models.PositiveSmallIntegerField()
    plate = models.CharField(max_length=16)
    latitude = models.FloatField()
    longitude = models.FloatField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.vehicle_id)


class Reply(models.Model):
    """A message that we owe CityTrips: sent, and sent again, until it has settled or been objected to twice."""

    class State(models.TextChoices):
        DUE = "due", _("To be sent")
        SENT = "sent", _("Sent")
        SETTLED = "settled", _("Settled")
        OBJECTED = "objected", _("Objected")

    command = models.CharField(_("command"), max_length=80)
    payload = models.JSONField(_("payload"), encoder=DjangoJSONEncoder)
    about = models.ForeignKey(
        "users.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("about")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    sent_count = models.PositiveIntegerField(_("times sent"), default=0)
    last_sent_at = models.DateTimeField(_("last sent"), null=True, blank=True)
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)
    objected_at = models.DateTimeField(_("objected"), null=True, blank=True)

    class Meta:
        verbose_name = _("reply")
        verbose_name_plural = _("replies")
        ordering = ["-id"]
        indexes = [
            models.Index(
                name="reply_due",
                fields=["id"],
                condition=models.Q(settled_at__isnull=True, objected_at__isnull=True),
            ),
            models.Index(name="reply_settled", fields=["settled_at"], condition=models.Q(settled_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.command} {self.pk}"

    @property
    def state(self) -> State:
        """Where it stands."""
        if self.settled_at:
            return self.State.SETTLED
        if self.objected_at:
            return self.State.OBJECTED
        return self.State.SENT if self.sent_count else self.State.DUE


class JournalEntry(models.Model):
    """A message that arrived or was sent: its command, its size and what came of it, and no personal datum.

    ``body`` holds what :func:`backoffice.citytrips.journal.body` lets through; ``size`` is in characters.
    """

    ref = models.UUIDField(_("reference"), unique=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField(_("time"), default=timezone.now, db_index=True)
    direction = models.CharField(_("direction"), max_length=3, choices=_DIRECTIONS)
    command = models.CharField(_("command"), max_length=80)
    size = models.PositiveIntegerField(_("size"), default=0)
    outcome = models.CharField(_("outcome"), max_length=10, choices=_OUTCOMES)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    body = models.JSONField(_("content"), default=dict, blank=True)
    account = models.ForeignKey(
        "users.User",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        verbose_name=_("account"),
    )
    sync_request = models.ForeignKey(
        SyncRequest,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="entries",
        db_index=False,
        verbose_name=_("request to send"),
    )
    reply = models.ForeignKey(
        Reply,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="entries",
        db_index=False,
        verbose_name=_("reply"),
    )

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ["-id"]
        # Written at every send, so what few rows have is indexed for those only.
        indexes = [
            models.Index(name="journal_command", fields=["command", "id"]),
            models.Index(name="journal_outcome", fields=["outcome", "id"]),
            models.Index(name="journal_reason", fields=["id"], condition=~models.Q(reason="")),
            models.Index(name="journal_account", fields=["account"], condition=models.Q(account__isnull=False)),
            models.Index(name="journal_sync", fields=["sync_request"], condition=models.Q(sync_request__isnull=False)),
            models.Index(name="journal_reply", fields=["reply"], condition=models.Q(reply__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.command} {self.pk}"

    @property
    def reason_in_words(self) -> str:
        return in_words(self.reason)


class Alert(models.Model):
    """Something about the line that a person is to look at: open until somebody says it is done, or it passes."""

    class Kind(models.TextChoices):
        INBOUND_TOO_LARGE = "inbound_too_large", _("Message too large")
        FULLS_BLOCKED = "fulls_blocked", _("Full lists blocked")
        FULL_OBJECTED = "full_objected", _("Full list not accepted")
        USER_REFUSED = "user_refused", _("Account refused")
        REPLY_OBJECTED = "reply_objected", _("Reply not accepted")
        UNKNOWN_COMMAND = "unknown_command", _("Unknown command")
        LINE_DOWN = "line_down", _("Line down for long")

    kind = models.CharField(_("what"), max_length=30, choices=Kind.choices)
    detail = models.CharField(_("detail"), max_length=300, blank=True)
    count = models.PositiveIntegerField(_("times"), default=1)
    first_at = models.DateTimeField(_("first"))
    last_at = models.DateTimeField(_("last"))
    resolved_at = models.DateTimeField(_("done"), null=True, blank=True)
    resolved_by = models.ForeignKey(
        "users.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("done by")
    )

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ["-last_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                name="alert_one_open", fields=["kind", "detail"], condition=models.Q(resolved_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return str(self.get_kind_display())
