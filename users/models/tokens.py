"""The tokens of people's programs."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Scope(models.TextChoices):
    """What a token may be used for; the rights of its person bound it as well."""

    ALL = "all", _("Everything the person may do")
    FLEET = "fleet", _("The fleet, with its telemetry")
    TELEMETRY = "telemetry", _("Telemetry of vehicles only")
    ITINERARIES = "itineraries", _("Itineraries")


class ApiToken(models.Model):
    """A program's key to the REST API on a person's behalf. The token itself is shown once and never stored.

    ``digest`` is the SHA-256 of the token, in hexadecimal; a plain hash is enough for 256 random bits. ``hint`` is the
    token's beginning, by which its holder recognises it. ``last_used_at`` is at most a minute late.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens", verbose_name=_("person")
    )
    name = models.CharField(_("name"), max_length=100, help_text=_("What uses it, such as “telemetry gateway”."))
    scope = models.CharField(_("scope"), max_length=16, choices=Scope, default=Scope.ALL)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(_("begins with"), max_length=16, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, editable=False)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="users_apitoken_scope", condition=models.Q(scope__in=["all", "fleet", "telemetry", "itineraries"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and not self.is_expired
