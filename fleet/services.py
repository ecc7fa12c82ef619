"""The one place that writes vehicles.

Each service tells `events.vehicles_changed` after the commit; what CityTrips must hear follows from the database's
triggers, not from that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TypedDict, Unpack

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext

from fleet import events
from fleet.countries import country_named
from fleet.errors import StaleVehicle
from fleet.models import FleetRules, Vehicle
from fleet.selectors import fleet_rules
from fleet.vocabulary import State, plate_spelled


class VehicleValues(TypedDict, total=False):
    """What may be told of a vehicle. What is left out stays as it is; None means not known."""

    plate: str
    vin: str
    kind: str
    model: str
    country: str
    city: str
    latitude: float | None
    longitude: float | None
    battery: int | None
    state: str
    last_signal_at: datetime | None
    note: str


VALUES = frozenset(VehicleValues.__annotations__)


def announce() -> None:
    """Tell whoever listens, once the transaction is committed, that vehicles changed."""
    transaction.on_commit(lambda: events.vehicles_changed.send_robust(sender=Vehicle), robust=True)


def is_silent(last_signal_at: datetime | None, rules: FleetRules, now: datetime) -> bool:
    """Whether a vehicle has been silent for longer than the rules allow."""
    if rules.silence is None:
        return False
    return last_signal_at is None or last_signal_at < now - rules.silence


def _assign(vehicle: Vehicle, values: Mapping[str, object]) -> list[str]:
    """Set the values, spelled as we keep them, and return the names of those that changed."""
    unknown = set(values) - VALUES
    if unknown:
        raise TypeError(f"not values of a vehicle: {', '.join(sorted(unknown))}")
    changed = []
    for name, value in values.items():
        if isinstance(value, str):
            if name == "plate":
                value = plate_spelled(value)
            elif name == "country":
                value = country_named(value) or value.strip()
            else:
                value = value.strip()
        if getattr(vehicle, name) != value:
            setattr(vehicle, name, value)
            changed.append(name)
    return changed


def vehicle_create(*, id: str, is_demo: bool = False, **values: Unpack[VehicleValues]) -> Vehicle:
    """A new vehicle. Raises Django's ValidationError, also for an id that exists."""
    vehicle = Vehicle(id=id, is_demo=is_demo)
    _assign(vehicle, values)
    vehicle.silent = is_silent(vehicle.last_signal_at, fleet_rules(), timezone.now())
    vehicle.full_clean(validate_constraints=False)
    with transaction.atomic():
        vehicle.save(force_insert=True)
        announce()
    vehicle.refresh_from_db()
    return vehicle


def vehicle_update(
    *, vehicle: Vehicle, values: Mapping[str, object], expected_updated_at: datetime | None = None
) -> Vehicle:
    """Change a vehicle and return it as it is now; nothing is written when the values are those it has.

    `values` takes the names of `VehicleValues`. Raises Django's ValidationError with the fields' errors, and
    StaleVehicle when `expected_updated_at` is given and the vehicle has been updated since.
    """
    with transaction.atomic():
        row = Vehicle.objects.select_for_update().get(pk=vehicle.pk)
        if expected_updated_at is not None and row.updated_at != expected_updated_at:
            raise StaleVehicle(gettext("The vehicle was changed by somebody else in the meantime."))
        changed = _assign(row, values)
        if not changed:
            return row
        silent = is_silent(row.last_signal_at, fleet_rules(), timezone.now())
        if silent != row.silent:
            row.silent = silent
            changed.append("silent")
        row.full_clean(validate_unique=False, validate_constraints=False)
        row.save(update_fields=[*changed, "updated_at"])
        announce()
    row.refresh_from_db()
    return row


def vehicles_set_state(*, ids: Collection[str], state: str) -> int:
    """Report the same state for many vehicles; returns how many changed."""
    if state not in State.values:
        raise ValidationError({"state": gettext("This is not a state of MDS 2.0.")})
    with transaction.atomic():
        changed = (
            Vehicle.objects.filter(pk__in=list(ids)).exclude(state=state).update(state=state, updated_at=timezone.now())
        )
        if changed:
            announce()
    return changed


def vehicles_resend(*, ids: Collection[str]) -> int:
    """Make vehicles pending as though they had changed, so that CityTrips is told of them again."""
    with transaction.atomic():
        touched = Vehicle.objects.filter(pk__in=list(ids)).update(touched=F("touched") + 1)
        if touched:
            announce()
    return touched


def demo_vehicles_remove() -> int:
    """Delete the invented vehicles, and nothing else; returns how many there were."""
    with transaction.atomic():
        removed, _by_model = Vehicle.objects.filter(is_demo=True).delete()
        if removed:
            announce()
    return removed


# --- The line to CityTrips ---------------------------------------------------------------------------------------


def vehicles_list(*, ids: Collection[str]) -> int:
    """Note, before a send leaves, that CityTrips may from now on hold these vehicles; returns how many were new."""
    written = 0
    wanted = sorted(ids)
    with transaction.atomic():
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            written += Vehicle.objects.filter(pk__in=part, listed=False).update(listed=True)
    return written


def vehicles_settle(*, versions: Mapping[str, int], listed: bool) -> None:
    """Note that a send which carried (`listed`), or as a full left out, these versions of vehicles has settled.

    `settled_version` only grows, and only to a version that the row has reached: the number of a vehicle that was
    deleted and made anew says nothing about it. A full that left a vehicle out unlists it only if the vehicle is
    still as it was then; a later send may have carried it.
    """
    if listed:
        listing, differs = "%s", "NOT listed"
    else:
        listing, differs = "CASE WHEN version = %s THEN FALSE ELSE listed END", "listed"
    statement = f"""
        UPDATE fleet_vehicle SET
          settled_version = CASE WHEN settled_version < %s THEN %s ELSE settled_version END,
          listed = {listing}
        WHERE id = %s AND version >= %s AND (settled_version < %s OR {differs})
    """  # noqa: S608 (made of the two constants above)
    # In one order, so that two such statements never wait for each other.
    rows = [
        (version, version, True if listed else version, id, version, version)
        for id, version in sorted(versions.items())
    ]
    if not rows:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(statement, rows)


def vehicles_object(*, versions: Mapping[str, int]) -> None:
    """Note that CityTrips objected to these versions; they show as objected until they change or settle."""
    rows = [(version, id, version) for id, version in sorted(versions.items())]
    if not rows:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany("UPDATE fleet_vehicle SET objected_version = %s WHERE id = %s AND version = %s", rows)


# --- The rules ---------------------------------------------------------------------------------------------------


def rules_update(*, minimum_battery: int, silence_limit: int | None) -> FleetRules:
    """Change the rules (per cent, minutes), and make the vehicles pending for which that decides anew."""
    rules = FleetRules(id=1, minimum_battery=minimum_battery, silence_limit=silence_limit)
    rules.full_clean(validate_unique=False, validate_constraints=False)
    with transaction.atomic():
        before = FleetRules.objects.select_for_update().filter(id=1).first() or FleetRules()
        FleetRules.objects.update_or_create(
            id=1, defaults={"minimum_battery": minimum_battery, "silence_limit": silence_limit}
        )
        low, high = sorted((before.minimum_battery, minimum_battery))
        Vehicle.objects.filter(state=State.AVAILABLE, battery__gte=low, battery__lt=high).update(
            touched=F("touched") + 1
        )
        announce()
        silence_update(now=timezone.now())
    return rules


def silence_update(*, now: datetime) -> int:
    """Mark the vehicles that fell silent and unmark those that were heard again; returns how many changed.

    Silence comes with time alone, so somebody has to look: whoever holds the line calls this every few seconds.
    """
    limit = fleet_rules().silence
    quiet = Q(pk__in=[]) if limit is None else Q(last_signal_at__isnull=True) | Q(last_signal_at__lt=now - limit)
    fallen = Vehicle.objects.filter(quiet, silent=False).exclude(state=State.REMOVED)
    returned = Vehicle.objects.filter(~quiet, silent=True)
    # Asked before anything is locked, since there is seldom anything to do.
    if not (fallen.exists() or returned.exists()):
        return 0
    with transaction.atomic():
        changed = fallen.update(silent=True) + returned.update(silent=False)
        if changed:
            announce()
    return changed
