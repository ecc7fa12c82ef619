"""What changed of the vehicles and of the rules for offering them, by whom and from where."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleet.models.imports import ImportRun
from fleet.models.vehicles import Vehicle
from fleet.vocabulary import Origin


class VehicleChange(models.Model):
    """One change of one vehicle by a person, an import or a program. What devices report is not kept here.

    `values` maps the names of the fields that changed to `[old, new]`, each as JSON has it (times in ISO 8601, UTC; null
    where not known). A vehicle's `added` entry holds what it was added with, and null as every old value. `undoes` names
    the entry that this one took back.
    """

    vehicle = models.ForeignKey(
        Vehicle, on_delete=models.CASCADE, related_name="changes", verbose_name=_("vehicle"), db_index=False
    )
    at = models.DateTimeField(_("time"), default=timezone.now)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("by"),
    )
    origin = models.CharField(_("from"), max_length=16, choices=Origin.choices, default=Origin.PERSON)
    run = models.ForeignKey(
        ImportRun, on_delete=models.SET_NULL, null=True, blank=True, related_name="changes", verbose_name=_("import")
    )
    undoes = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="undone_by", verbose_name=_("undoes")
    )
    batch = models.UUIDField(
        _("batch"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("Shared by what one action did to many vehicles, so that it can be undone as one."),
    )
    added = models.BooleanField(_("added"), default=False)
    values = models.JSONField(_("values"), default=dict)

    class Meta:
        verbose_name = _("change of a vehicle")
        verbose_name_plural = _("changes of vehicles")
        ordering = ["-id"]
        indexes = [
            models.Index(name="vehiclechange_vehicle", fields=["vehicle", "-id"]),
            models.Index(name="vehiclechange_at", fields=["at"]),
            models.Index(name="vehiclechange_batch", fields=["batch", "id"], condition=models.Q(batch__isnull=False)),
        ]
        constraints = [
            models.CheckConstraint(
                name="vehiclechange_origin", condition=models.Q(origin__in=[value for value, _label in Origin.choices])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.vehicle_id}: {', '.join(self.values)}"


class RulesChange(models.Model):
    """One change of the rules of the fleet; `values` maps the names of the fields that changed to `[old, new]`."""

    at = models.DateTimeField(_("time"), default=timezone.now)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("by"),
    )
    values = models.JSONField(_("values"), default=dict)

    class Meta:
        verbose_name = _("change of the rules")
        verbose_name_plural = _("changes of the rules")
        ordering = ["-id"]

    def __str__(self) -> str:
        return ", ".join(self.values)
