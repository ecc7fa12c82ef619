"""Itineraries, and the attempts to publish them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from itineraries.errors import Problem
from itineraries.reasons import Reason, refusal_problems


class ItineraryState(models.TextChoices):
    DRAFT = "draft", _("Draft")
    READY = "ready", _("Ready")
    SENDING = "sending", _("Sending")
    PUBLISHED = "published", _("Published")
    CHANGED = "changed", _("Changed")
    UNKNOWN = "unknown", _("Outcome unknown")
    REJECTED = "rejected", _("Rejected")
    NOT_SENT = "not_sent", _("Not sent")


class PublicationState(models.TextChoices):
    SENDING = "sending", _("Sending")
    PUBLISHED = "published", _("Published")
    UNKNOWN = "unknown", _("Outcome unknown")
    REJECTED = "rejected", _("Rejected")
    NOT_SENT = "not_sent", _("Not sent")


# An attempt that keeps others from starting: one under way, or one of which nobody knows or has said what became of it.
ACTIVE = Q(state=PublicationState.SENDING) | Q(state=PublicationState.UNKNOWN, resolved_at=None)


def longest_attempt() -> timedelta:
    """After this long an attempt that is still ``sending`` was interrupted; the margin is for the database's part."""
    return timedelta(seconds=settings.CRUSOE_TIMEOUT + 5)


class ItineraryQuerySet(models.QuerySet["Itinerary"]):
    def with_state(self) -> ItineraryQuerySet:
        """Annotates ``current_state`` and ``published_url``, without which each row's would be asked for by itself.

        The state is, in this order: that of the active attempt; ``rejected`` or ``not_sent`` if that befell the present
        document; ``published`` or ``changed`` if the trip was ever published; ``draft`` with errors, else ``ready``.
        """
        attempts = Publication.objects.filter(itinerary=OuterRef("pk")).order_by("-number")
        published = attempts.filter(state=PublicationState.PUBLISHED)
        interrupted = timezone.now() - longest_attempt()
        return self.annotate(
            last_state=Subquery(attempts.values("state")[:1]),
            last_fingerprint=Subquery(attempts.values("fingerprint")[:1]),
            published_fingerprint=Subquery(published.values("fingerprint")[:1]),
            published_url=Subquery(published.values("url")[:1]),
        ).annotate(
            current_state=Case(
                When(
                    Exists(attempts.filter(state=PublicationState.SENDING, started_at__gt=interrupted)),
                    then=Value(ItineraryState.SENDING),
                ),
                When(Exists(attempts.filter(ACTIVE)), then=Value(ItineraryState.UNKNOWN)),
                When(
                    last_state__in=[PublicationState.REJECTED, PublicationState.NOT_SENT],
                    last_fingerprint=F("fingerprint"),
                    then=F("last_state"),
                ),
                When(published_fingerprint=F("fingerprint"), then=Value(ItineraryState.PUBLISHED)),
                When(published_fingerprint__isnull=False, then=Value(ItineraryState.CHANGED)),
                When(error_count__gt=0, then=Value(ItineraryState.DRAFT)),
                default=Value(ItineraryState.READY),
                output_field=models.CharField(),
            )
        )


class Itinerary(models.Model):
    """A trip: its document, and the few columns that lists sort and filter by, written in the same save.

    Written by ``services`` only.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    document = models.JSONField(_("document"), help_text=_("Crusoe's own JSON, with our keys and versions in it."))
    # Raised by each save; the ETag of the API.
    version = models.PositiveIntegerField(_("version"), default=1)
    # SHA-256 of what would be sent: tells whether a publication shows the present document.
    fingerprint = models.CharField(max_length=64, editable=False)
    title = models.CharField(_("title"), max_length=255, blank=True)
    starts_on = models.DateField(_("starts on"), null=True, blank=True)
    ends_on = models.DateField(_("ends on"), null=True, blank=True)
    error_count = models.PositiveIntegerField(_("errors"), default=0)
    warning_count = models.PositiveIntegerField(_("warnings"), default=0)
    is_demo = models.BooleanField(_("demonstration"), default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("created by"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("changed by"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed at"))

    objects = ItineraryQuerySet.as_manager()

    class Meta:
        verbose_name = _("itinerary")
        verbose_name_plural = _("itineraries")
        ordering = ["-updated_at", "id"]
        permissions = [("publish_itinerary", "Can publish itinerary")]
        indexes = [
            models.Index(fields=["-updated_at"], name="itinerary_updated"),
            models.Index(fields=["-created_at"], name="itinerary_created"),
        ]

    def __str__(self) -> str:
        return self.title or str(_("Untitled trip"))

    @property
    def state(self) -> str:
        """One of ItineraryState, as of now; asks the database unless the row came by ``with_state()``."""
        annotated: str | None = self.__dict__.get("current_state")
        return annotated or str(Itinerary.objects.with_state().only("pk").get(pk=self.pk).__dict__["current_state"])

    @property
    def state_label(self) -> str:
        return str(ItineraryState(self.state).label)


class Publication(models.Model):
    """An attempt to publish: committed as ``sending``, with the exact document, before anything is sent."""

    itinerary = models.ForeignKey(
        Itinerary, on_delete=models.CASCADE, related_name="publications", verbose_name=_("itinerary")
    )
    number = models.PositiveIntegerField(_("number"))
    state = models.CharField(
        _("state"), max_length=16, choices=PublicationState.choices, default=PublicationState.SENDING
    )
    document = models.JSONField(_("document"), help_text=_("Exactly what was sent."))
    # The keys that its cards, options and legs had, so that a comparison tells a moved part from another one.
    outline = models.JSONField(default=list, blank=True, editable=False)
    fingerprint = models.CharField(max_length=64, editable=False)
    url = models.TextField(_("address"), blank=True)
    http_status = models.PositiveSmallIntegerField(_("HTTP status"), null=True, blank=True)
    answer = models.TextField(_("answer"), blank=True, help_text=_("As it came, without our credentials."))
    # What reasons.Reason.as_json gives: a code and its arguments, no words of one language.
    reason = models.JSONField(_("reason"), default=dict, blank=True)
    # What reasons.Refusal.as_json gives, for each place that Crusoe's errors may mean.
    problems = models.JSONField(_("problems"), default=list, blank=True)
    started_at = models.DateTimeField(_("started at"))
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("by"), null=True, on_delete=models.SET_NULL, related_name="+"
    )
    # When and by whom it was said what became of an attempt of unknown outcome.
    resolved_at = models.DateTimeField(_("resolved at"), null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("resolved by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    class Meta:
        verbose_name = _("publication")
        verbose_name_plural = _("publications")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["itinerary", "number"], name="publication_number"),
            models.UniqueConstraint(fields=["itinerary"], condition=ACTIVE, name="publication_one_active"),
            models.CheckConstraint(condition=Q(state__in=PublicationState.values), name="publication_state_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.number} – {self.get_state_display()}"

    @property
    def detail(self) -> str:
        """What happened, in the reader's language; empty where there is nothing to say."""
        return str(Reason.from_json(self.reason))

    @property
    def refusals(self) -> list[Problem]:
        """What Crusoe refused, in the reader's language."""
        return refusal_problems(self.problems)

    @property
    def is_active(self) -> bool:
        return self.state == PublicationState.SENDING or (
            self.state == PublicationState.UNKNOWN and self.resolved_at is None
        )

    @property
    def state_label(self) -> str:
        """The state in words; of an attempt whose outcome a person has denied, that it did not arrive."""
        if self.state == PublicationState.UNKNOWN and self.resolved_at is not None:
            return str(_("Did not arrive"))
        return str(self.get_state_display())

    @property
    def is_link(self) -> bool:
        """Whether the address may be shown as a link; anything but http(s) is shown as text."""
        try:
            parts: Any = urlsplit(self.url)
            return parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            return False


class SetAside(models.Model):
    """A draft that restoring a version has replaced: kept whole, so that the restoration can be undone."""

    itinerary = models.ForeignKey(
        Itinerary, on_delete=models.CASCADE, related_name="set_aside", verbose_name=_("itinerary")
    )
    document = models.JSONField(_("document"), help_text=_("Crusoe's own JSON, with our keys and versions in it."))
    at = models.DateTimeField(_("at"))
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("by"), null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        verbose_name = _("replaced draft")
        verbose_name_plural = _("replaced drafts")
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.itinerary_id}, {self.at:%Y-%m-%d %H:%M}"
