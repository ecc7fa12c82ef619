"""CityTrips' people, what it sent about them, and who was erased."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from users.models.fields import NationalIdField
from users.models.terms import TermsVersion


class Origin(models.TextChoices):
    """How a person came to be one of CityTrips'."""

    CREATED = "created", _("CityTrips brought them")
    LINKED = "linked", _("They were here before")


class CityTripsAccount(models.Model):
    """A person on whose behalf CityTrips may act, and what it sent about them, beside what the operator holds.

    ``email_key`` and ``national_id`` are CityTrips' own, and unique: with them, and with one row a person, the database
    sees to it that the same request made twice at once ends in one account.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="citytrips_account", verbose_name=_("person")
    )
    origin = models.CharField(_("origin"), max_length=8, choices=Origin)
    linked_at = models.DateTimeField(_("CityTrips user since"))
    email = models.EmailField(_("e-mail address at CityTrips"))
    email_key = models.CharField(max_length=320, unique=True, editable=False)
    first_name = models.CharField(_("first name"), max_length=150, blank=True)
    last_name = models.CharField(_("last name"), max_length=150, blank=True)
    national_id = NationalIdField(_("national id"))
    phone = models.CharField(_("phone"), max_length=20, blank=True)
    birth_date = models.DateField(_("birth date"), null=True, blank=True)
    address = models.CharField(_("address"), max_length=300, blank=True)
    zip_code = models.CharField(_("postal code"), max_length=20, blank=True)
    city = models.CharField(_("city"), max_length=100, blank=True)
    country = models.CharField(_("country"), max_length=100, blank=True)
    licence_number = models.CharField(_("driving licence"), max_length=64, blank=True)
    licence_expires_on = models.DateField(_("licence expires on"), null=True, blank=True)
    terms_accepted_at = models.DateTimeField(_("terms accepted at"))
    terms_version = models.ForeignKey(
        TermsVersion, on_delete=models.PROTECT, null=True, blank=True, verbose_name=_("terms accepted")
    )
    terms_url = models.URLField(_("address of the terms"), max_length=500)

    class Meta:
        verbose_name = _("CityTrips account")
        verbose_name_plural = _("CityTrips accounts")
        ordering = ["-linked_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="users_citytripsaccount_origin", condition=models.Q(origin__in=["created", "linked"])
            ),
            models.CheckConstraint(name="users_citytripsaccount_email_key", condition=~models.Q(email_key="")),
        ]

    def __str__(self) -> str:
        return gettext("CityTrips account %(number)s") % {"number": self.pk}


class ErasedIdentity(models.Model):
    """That the data of somebody with this e-mail address or national id were erased: a keyed digest, and nothing else.

    By it a request for a person who wished to be gone is known without keeping who that was.
    """

    digest = models.CharField(max_length=64, unique=True)
    erased_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.digest[:8]
