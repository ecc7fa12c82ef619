"""The words that vehicles are described in, and what an operator's own id looks like."""

from __future__ import annotations

import unicodedata

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

ID_PATTERN = r"[A-Za-z0-9._:-]{1,64}"
# Addresses: the first two are relative ones, and the third is where devices report.
UNREACHABLE_IDS = frozenset({".", "..", "telemetry"})


class State(models.TextChoices):
    """The vehicle states of MDS 2.0, as reported."""

    AVAILABLE = "available", _("Available")
    RESERVED = "reserved", _("Reserved")
    ON_TRIP = "on_trip", _("On trip")
    NON_OPERATIONAL = "non_operational", _("Out of service")
    NON_CONTACTABLE = "non_contactable", _("No contact")
    MISSING = "missing", _("Missing")
    ELSEWHERE = "elsewhere", _("Elsewhere")
    REMOVED = "removed", _("Removed")


class Kind(models.TextChoices):
    """The vehicle types of MDS 2.0 that are rented out."""

    CAR = "car", _("Car")
    MOPED = "moped", _("Moped")
    SCOOTER_SEATED = "scooter_seated", _("Seated scooter")
    SCOOTER_STANDING = "scooter_standing", _("Kick scooter")
    MOTORCYCLE = "motorcycle", _("Motorcycle")
    BICYCLE = "bicycle", _("Bicycle")
    CARGO_BICYCLE = "cargo_bicycle", _("Cargo bicycle")
    TRUCK = "truck", _("Van or truck")
    OTHER = "other", _("Other")


class Origin(models.TextChoices):
    """Where a change of a vehicle comes from."""

    PERSON = "person", _("By hand")
    IMPORT = "import", pgettext_lazy("where a change comes from", "Import")
    API = "api", _("API")
    UNDO = "undo", _("Undo")


class CityTripsStatus(models.TextChoices):
    """Where a vehicle stands with CityTrips."""

    PENDING = "pending", _("Pending")
    SETTLED = "settled", _("Settled")
    OBJECTED = "objected", _("Objected")
    WITHHELD = "withheld", _("Withheld")
    NOT_OFFERED = "not_offered", _("Not offered")


def plate_spelled(plate: str) -> str:
    """A plate as it is kept: capitals, and single spaces."""
    return " ".join(plate.upper().split())


def has_controls(text: str, allowed: str = "") -> bool:
    """Whether a text holds control characters, which no page shows, beside the allowed ones."""
    return any(unicodedata.category(sign) == "Cc" and sign not in allowed for sign in text)
