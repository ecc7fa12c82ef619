"""Takes changes of vehicles back, each as a change of its own: nothing is ever struck from the history.

A field goes back to its old value only if it still has the value that the change gave it: what somebody else, an
import or a device has told since is newer, and stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext

from fleet.countries import position_problem
from fleet.errors import NotUndoable
from fleet.history import RECORDED, Author, Entry, Json, as_json, changes_record, from_json
from fleet.models import FleetRules, ImportRun, Vehicle, VehicleChange
from fleet.selectors import fleet_rules
from fleet.services import BulkOutcome, Skipped, announce, is_silent, vehicle_update
from fleet.vocabulary import Origin, State
from fleet.wording import fields_listed

POSITION = ("latitude", "longitude")
# Each in a transaction of its own, so that other writers get their turn.
SLICE = 2_000


@dataclass(frozen=True)
class Plan:
    """What undoing a change would do to its vehicle as it is now: by field, the value now and the one it goes back to.

    `contested` are the fields that were changed since, with the value now and the one the change had given.
    """

    restored: Mapping[str, tuple[Json, Json]]
    contested: Mapping[str, tuple[Json, Json]]

    @property
    def values(self) -> dict[str, Any]:
        """The old values, as a vehicle's fields have them."""
        return {name: from_json(name, back) for name, (_now, back) in self.restored.items()}


def change_plan(change: VehicleChange, vehicle: Vehicle) -> Plan:
    """What undoing a change would do. A vehicle that was added goes out of the fleet; it is never deleted."""
    if change.added:
        state = vehicle.state
        return Plan({} if state == State.REMOVED else {"state": (state, State.REMOVED.value)}, {})
    restored, contested = {}, {}
    for name, (old, new) in change.values.items():
        if name not in RECORDED:
            continue
        now = getattr(vehicle, name)
        if now == from_json(name, new):
            restored[name] = (as_json(now), old)
        elif now != from_json(name, old):
            contested[name] = (as_json(now), new)
    if contested.keys() & set(POSITION):  # half a position is none
        for name in POSITION:
            if name in restored:
                contested[name] = (restored[name][0], change.values[name][1])
                del restored[name]
    return Plan(restored, contested)


def change_undo(*, change: VehicleChange, by: Author, partly: bool = False) -> Vehicle:
    """Set the fields of a change back to their old values, as a new entry; returns the vehicle as it is now.

    Raises NotUndoable when a field was changed since (`partly` then sets back the others), or nothing is left to set
    back, and Django's ValidationError where the vehicle would then not be a valid one. Nothing is changed in each case.
    """
    with transaction.atomic():
        vehicle = Vehicle.objects.select_for_update().get(pk=change.vehicle_id)
        plan = change_plan(change, vehicle)
        if plan.contested and not partly:
            names = list(plan.contested)
            raise NotUndoable(gettext("Changed since: %(fields)s.") % {"fields": fields_listed(names)}, names)
        if not plan.restored:
            raise NotUndoable(gettext("There is nothing left to undo."), list(plan.contested))
        return vehicle_update(vehicle=vehicle, values=plan.values, by=by, origin=Origin.UNDO, undoes=change.pk)


@dataclass
class BulkUndo(BulkOutcome):
    """What became of many undone changes. `kept` are vehicles of which some fields were changed since, and stay."""

    kept: list[Skipped] = field(default_factory=list)


def undo_run(*, run: ImportRun, by: Author) -> BulkUndo:
    """Take a whole import back."""
    return _undo_all(VehicleChange.objects.filter(run=run).exclude(origin=Origin.UNDO), by)


def undo_batch(*, batch: UUID, by: Author) -> BulkUndo:
    """Take back what one action did to many vehicles."""
    return _undo_all(VehicleChange.objects.filter(batch=batch), by)


def _undo_all(changes: Any, by: Author) -> BulkUndo:
    """Slice by slice: one that was interrupted may be asked for again, and goes on where it was."""
    outcome = BulkUndo(batch=uuid4())
    rules, last = fleet_rules(), None
    while True:
        part = changes.order_by("-pk") if last is None else changes.filter(pk__lt=last).order_by("-pk")
        with transaction.atomic():
            rows = list(part[:SLICE])
            if not rows:
                break
            _undo_slice(rows, outcome, by, rules)
        last = rows[-1].pk
    if not outcome.changed:
        outcome.batch = None
    return outcome


def _undo_slice(changes: Sequence[VehicleChange], outcome: BulkUndo, by: Author, rules: FleetRules) -> None:
    now = timezone.now()
    ids = {change.vehicle_id for change in changes}
    rows = Vehicle.objects.select_for_update().defer("note", "created_at").filter(pk__in=ids).order_by("pk")
    if any("note" in change.values for change in changes):
        rows = rows.defer(None)
    vehicles = {vehicle.pk: vehicle for vehicle in rows}
    groups: defaultdict[tuple[str, ...], list[Vehicle]] = defaultdict(list)
    entries = []
    for change in changes:
        vehicle = vehicles[change.vehicle_id]
        plan = change_plan(change, vehicle)
        name = vehicle.plate or vehicle.pk
        if not plan.restored:
            code, reason = _why_not(plan)
            outcome.skipped.append(Skipped(vehicle.pk, name, code, reason))
            continue
        problem = _problem(vehicle, plan)
        if problem:
            outcome.skipped.append(Skipped(vehicle.pk, name, "invalid", problem))
            continue
        if plan.contested:
            outcome.kept.append(Skipped(vehicle.pk, name, *_why_not(plan)))
        for field_name, value in plan.values.items():
            setattr(vehicle, field_name, value)
        vehicle.silent = is_silent(vehicle.last_signal_at, rules, now)
        groups[tuple(sorted(plan.restored))].append(vehicle)
        entries.append(Entry(vehicle.pk, plan.restored, undoes=change.pk))
    for names, members in groups.items():
        _write(names, members, now)
    outcome.changed += changes_record(entries=entries, by=by, origin=Origin.UNDO, batch=outcome.batch, at=now)
    if entries:
        announce()


def _why_not(plan: Plan) -> tuple[str, str]:
    if plan.contested:
        return "changed", gettext("changed since: %(fields)s") % {"fields": fields_listed(list(plan.contested))}
    return "same", gettext("already so")


def _problem(vehicle: Vehicle, plan: Plan) -> str | None:
    """Why the vehicle would not be a valid one; a single old value was valid, together with newer ones it may not be."""
    values = plan.values
    if not values.keys() & {"country", *POSITION}:
        return None  # whatever else may be wrong with it, this does not bring about
    return position_problem(
        values.get("country", vehicle.country),
        values.get("latitude", vehicle.latitude),
        values.get("longitude", vehicle.longitude),
    )


def _write(names: Sequence[str], vehicles: Sequence[Vehicle], now: datetime) -> None:
    """One prepared statement for the vehicles of which the same fields go back."""
    columns = [*names, "silent", "updated_at"]
    fields = [Vehicle._meta.get_field(name) for name in columns]
    rows = []
    for vehicle in sorted(vehicles, key=lambda one: one.pk):
        vehicle.updated_at = now
        values = (one.get_db_prep_save(getattr(vehicle, one.name), connection) for one in fields)  # type: ignore[union-attr]
        rows.append((*values, vehicle.pk))
    assignments = ", ".join(f"{name} = %s" for name in columns)
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE fleet_vehicle SET {assignments} WHERE id = %s", rows)  # noqa: S608 (our names)
