"""Filters of the list that staff keep under a name."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

LONGEST_QUERY = 2000


class SavedFilter(models.Model):
    """The query of an address of the list, under a name of its owner's; a shared one is seen by all staff."""

    name = models.CharField(_("name"), max_length=60)
    query = models.CharField(_("query"), max_length=LONGEST_QUERY)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("owner")
    )
    shared = models.BooleanField(_("shared with everybody"), default=False)

    class Meta:
        verbose_name = _("saved filter")
        verbose_name_plural = _("saved filters")
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                name="savedfilter_name",
                fields=["owner", "name"],
                violation_error_message=_("You have a filter of this name already."),
            )
        ]

    def __str__(self) -> str:
        return self.name
