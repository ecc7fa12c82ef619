"""CityTrips' requests for accounts, and what became of them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from users.models.terms import TermsVersion


class Outcome(models.TextChoices):
    """What became of a request for an account."""

    CREATED = "created", _("New account")
    LINKED = "linked", _("Linked to a person")
    KNOWN = "known", _("Known already")
    REFUSED = "refused", _("Refused")


class Obstacle(models.TextChoices):
    """Why a request was refused."""

    NONE = "", "–"
    STAFF = "staff", _("The person is staff, and staff are never linked.")
    BLOCKED = "blocked", _("The person's account is blocked.")
    ERASED = "erased", _("The person's data were erased at their wish.")
    TWO_PEOPLE = "two_people", _("The e-mail address and the national id name two people.")


class Review(models.TextChoices):
    """Whether people have to look at something."""

    NOTHING = "nothing", _("Nothing to do")
    OPEN = "open", _("To be looked at")
    DONE = "done", _("Dealt with")


class CityTripsApplication(models.Model):
    """A request for an account as it came from CityTrips, with what became of it; the refused ones too.

    The same request with the same outcome is one row, which counts. ``sent`` holds its properties by the names of CityTrips'
    specification, never the password; ``flags`` are texts ``property:code`` for what was odd about it. ``user`` is whose
    account it is, or who stands in the way, and ``other_user`` the second person where it names two.
    """

    digest = models.CharField(max_length=64, unique=True, editable=False)
    received_at = models.DateTimeField(_("received"), db_index=True)
    last_at = models.DateTimeField(_("received last"))
    times = models.PositiveIntegerField(_("times"), default=1)
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome)
    obstacle = models.CharField(_("reason"), max_length=16, choices=Obstacle, blank=True)
    flags = models.JSONField(_("odd values"), default=list)
    sent = models.JSONField(_("what CityTrips sent"), default=dict)
    email = models.EmailField(_("e-mail address"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        related_name="citytrips_applications",
        verbose_name=_("person"),
    )
    other_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("the other person"),
    )
    terms_version = models.ForeignKey(
        TermsVersion, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("terms accepted")
    )
    review = models.CharField(_("review"), max_length=8, choices=Review, default=Review.NOTHING)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("looked at by"),
    )
    reviewed_at = models.DateTimeField(_("looked at"), null=True)

    class Meta:
        verbose_name = _("CityTrips request")
        verbose_name_plural = _("CityTrips requests")
        ordering = ["-last_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="users_citytripsapplication_outcome",
                condition=models.Q(outcome__in=["created", "linked", "known"], obstacle="", user__isnull=False)
                | (models.Q(outcome="refused") & ~models.Q(obstacle="")),
            ),
            models.CheckConstraint(
                name="users_citytripsapplication_review",
                condition=models.Q(review__in=["nothing", "open"], reviewed_at=None)
                | models.Q(review="done", reviewed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        moment = date_format(timezone.localtime(self.received_at), "SHORT_DATETIME_FORMAT")
        return gettext("Request of %(moment)s") % {"moment": moment}
