"""Adding, changing and removing vehicles one by one; each change is written down beside it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict, Unpack

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from fleet import events
from fleet.countries import country_named
from fleet.errors import StaleVehicle
from fleet.history import Author, Entry, addition, changes_record, difference, values_of
from fleet.models import FleetRules, Vehicle
from fleet.selectors import fleet_rules
from fleet.vocabulary import Origin, plate_spelled


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


def vehicle_create(
    *,
    id: str,
    is_demo: bool = False,
    by: Author = None,
    origin: str = Origin.API,
    **values: Unpack[VehicleValues],
) -> Vehicle:
    """A new vehicle, by this person or program. Raises Django's ValidationError, also for an id that exists.

    That a demo vehicle was made up is not written down; what is done with it is.
    """
    vehicle = Vehicle(id=id, is_demo=is_demo)
    _assign(vehicle, values)
    vehicle.silent = is_silent(vehicle.last_signal_at, fleet_rules(), timezone.now())
    vehicle.full_clean(validate_constraints=False)
    with transaction.atomic():
        vehicle.save(force_insert=True)
        if not is_demo:
            changes_record(entries=[addition(vehicle)], by=by, origin=origin, at=vehicle.created_at)
        announce()
    vehicle.refresh_from_db()
    return vehicle


def vehicle_update(
    *,
    vehicle: Vehicle,
    values: Mapping[str, object],
    expected_updated_at: datetime | None = None,
    by: Author = None,
    origin: str = Origin.API,
    undoes: int | None = None,
) -> Vehicle:
    """Change a vehicle and return it as it is now; nothing is written when the values are those it has.

    `values` takes the names of `VehicleValues`; `undoes` is the key of the change that this one takes back. Raises
    Django's ValidationError with the fields' errors, and StaleVehicle when `expected_updated_at` is given and the vehicle
    has been updated since.
    """
    with transaction.atomic():
        row = Vehicle.objects.select_for_update().get(pk=vehicle.pk)
        if expected_updated_at is not None and row.updated_at != expected_updated_at:
            raise StaleVehicle(gettext("The vehicle was changed by somebody else in the meantime."))
        before = values_of(row)
        changed = _assign(row, values)
        if not changed:
            return row
        silent = is_silent(row.last_signal_at, fleet_rules(), timezone.now())
        if silent != row.silent:
            row.silent = silent
            changed.append("silent")
        row.full_clean(validate_unique=False, validate_constraints=False)
        row.save(update_fields=[*changed, "updated_at"])
        entry = Entry(row.pk, difference(before, values_of(row)), undoes=undoes)
        changes_record(entries=[entry], by=by, origin=origin, at=row.updated_at)
        announce()
    row.refresh_from_db()
    return row


def demo_vehicles_remove() -> int:
    """Delete the invented vehicles, and nothing else; returns how many there were."""
    with transaction.atomic():
        removed, _by_model = Vehicle.objects.filter(is_demo=True).delete()
        if removed:
            announce()
    return removed
