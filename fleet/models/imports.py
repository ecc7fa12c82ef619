"""Imports: what was read of a source, waits to be looked at, and was applied."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class ImportState(models.TextChoices):
    """How far an import has come."""

    READING = "reading", _("Reading")
    READY = "ready", _("Ready to apply")
    APPLYING = "applying", _("Applying")
    APPLIED = "applied", _("Applied")
    FAILED = "failed", _("Could not be read")
    DISCARDED = "discarded", _("Discarded")


class Outcome(models.TextChoices):
    """What a staged row does, or would do, to the fleet."""

    READ = "", _("Read")
    ADDED = "added", _("Added")
    CHANGED = "changed", _("Changed")
    UNCHANGED = "unchanged", _("Unchanged")
    REJECTED = "rejected", _("Rejected")


class ImportRun(models.Model):
    """One reading of one source; the vehicles that it names wait in a staging table until it is applied.

    `columns` maps headings to columns where somebody did so by hand; `found` is what the source said of itself, as
    JSON that `fleet.sources.records.Found` describes; `warnings` are sentences. `size` and `position` count bytes, for
    the progress; `size` is 0 where it is not known. `missing` counts the vehicles that the source does not name,
    `retired` those that were therefore retired.
    """

    created_at = models.DateTimeField(_("started"), default=timezone.now)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("by"),
    )
    source = models.CharField(
        _("source"), max_length=500, help_text=_("The file's name or the address, without a password.")
    )
    state = models.CharField(_("state"), max_length=16, choices=ImportState.choices, default=ImportState.READING)
    format = models.CharField(_("format"), max_length=16, blank=True)
    country = models.CharField(_("country"), max_length=60, blank=True)
    city = models.CharField(_("city"), max_length=80, blank=True)
    retire_missing = models.BooleanField(_("retire the missing"), default=False)
    columns = models.JSONField(_("columns"), default=dict, blank=True)
    found = models.JSONField(_("found"), default=dict, blank=True)
    warnings = models.JSONField(_("warnings"), default=list, blank=True)
    failure = models.TextField(_("failure"), blank=True)
    size = models.BigIntegerField(_("size"), default=0)
    position = models.BigIntegerField(_("position"), default=0)
    rows = models.BigIntegerField(_("rows"), default=0)
    added = models.BigIntegerField(_("added"), default=0)
    changed = models.BigIntegerField(_("changed"), default=0)
    unchanged = models.BigIntegerField(_("unchanged"), default=0)
    missing = models.BigIntegerField(_("missing"), default=0)
    retired = models.BigIntegerField(_("retired"), default=0)
    rejected = models.BigIntegerField(_("rejected"), default=0)
    seen_at = models.DateTimeField(_("last progress"), default=timezone.now)
    read_at = models.DateTimeField(_("read"), null=True, blank=True)
    applied_at = models.DateTimeField(_("applied"), null=True, blank=True)

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="importrun_state", condition=models.Q(state__in=[value for value, _label in ImportState.choices])
            ),
        ]

    def __str__(self) -> str:
        return self.source


class StagedVehicle(models.Model):
    """A row of a source, beside the fleet until it is merged; the rejected ones too, since they are not missing.

    `given` has the bit of each field that the row tells (`fleet.sources.records.bit`); the others mean nothing. There
    is no constraint to the run: a million rows would each be checked for it, and they go with their run anyway.
    """

    run = models.ForeignKey(
        ImportRun, on_delete=models.CASCADE, related_name="staged", db_constraint=False, db_index=False
    )
    line = models.BigIntegerField()
    vehicle_id = models.CharField(max_length=64)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.READ, blank=True)
    given = models.IntegerField(default=0)
    plate = models.CharField(max_length=16, blank=True)
    vin = models.CharField(max_length=32, blank=True)
    kind = models.CharField(max_length=32, blank=True)
    model = models.CharField(max_length=80, blank=True)
    country = models.CharField(max_length=60, blank=True)
    city = models.CharField(max_length=80, blank=True)
    latitude = models.FloatField(null=True)
    longitude = models.FloatField(null=True)
    battery = models.SmallIntegerField(null=True)
    state = models.CharField(max_length=20, blank=True)
    last_signal_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("staged vehicle")
        verbose_name_plural = _("staged vehicles")
        default_permissions = ()  # whoever may import may see them
        ordering = ["id"]
        indexes = [models.Index(name="stagedvehicle_vehicle", fields=["run", "vehicle_id"])]

    def __str__(self) -> str:
        return self.vehicle_id


class ImportProblem(models.Model):
    """Why a row was rejected; a row may have several. `column` is the heading, or the path in a feed."""

    run = models.ForeignKey(
        ImportRun, on_delete=models.CASCADE, related_name="problems", db_constraint=False, db_index=False
    )
    line = models.BigIntegerField(_("line"))
    vehicle_id = models.CharField(_("vehicle"), max_length=64, blank=True)
    column = models.CharField(_("column"), max_length=200, blank=True)
    reason = models.TextField(_("reason"))

    class Meta:
        verbose_name = _("problem of an import")
        verbose_name_plural = _("problems of imports")
        default_permissions = ()  # whoever may import may see them
        ordering = ["line", "id"]
        indexes = [models.Index(name="importproblem_run", fields=["run", "line", "id"])]

    def __str__(self) -> str:
        return self.reason
