"""Brings what is staged of a source into the fleet: a few set-wise statements in one short transaction.

What is compared is the fleet as it is at that moment, never as it was in a preview, so nobody else may write vehicles
meanwhile. SQLite sees to that by itself; PostgreSQL is asked for the table (EXCLUSIVE: readers go on), at once and as a
whole, so that nothing waits for the merge while the merge waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext

from fleet.comparing import COMPARED, addition, differs, distinct, is_heard, is_hindered, new, staged_beside_fleet
from fleet.errors import NotApplicable, TooManyRetired
from fleet.history import Author, author_id
from fleet.models import FleetRules, ImportRun, ImportState, Outcome, StagedVehicle, lock_vehicles
from fleet.selectors import fleet_rules
from fleet.services import announce
from fleet.sources.records import FIELDS, bit
from fleet.staging import in_scope, missing
from fleet.vocabulary import Origin, State

LARGEST_PART_RETIRED: Final = 5  # one in five
_PATIENCE: Final = "10s"  # for whoever writes vehicles at the moment; whoever comes later waits behind the merge
_FLOATS: Final = frozenset({"latitude", "longitude"})


@dataclass(frozen=True, slots=True)
class Merged:
    """How many vehicles were added, changed and retired; `heard` ones differ in nothing but a later signal."""

    added: int = 0
    changed: int = 0
    heard: int = 0
    retired: int = 0


def merge(run: ImportRun, *, by: Author = None, retire_missing: bool = False, force: bool = False) -> Merged:
    """Add, change and retire vehicles as what is staged says, all or nothing, and note in the run that it was applied.

    Raises NotApplicable where the run is not ready or what was staged of it is gone, and TooManyRetired where more than
    a fifth of the fleet would be retired, unless by force; nothing changes then.
    """
    with transaction.atomic():
        held = _claimed(run)
        merging = _Merging(held, by)
        if retire_missing:
            _check_retirement(run, force)
        merged = Merged(
            added=merging.add(),
            changed=merging.change(),
            heard=merging.hear(),
            retired=merging.retire() if retire_missing else 0,
        )
        good = held.rows - held.rejected
        unchanged = max(good - merged.added - merged.changed, 0)
        ImportRun.objects.filter(pk=run.pk).update(
            state=ImportState.APPLIED,
            applied_at=merging.now,
            added=merged.added,
            changed=merged.changed,
            unchanged=unchanged,
            retired=merged.retired,
            retire_missing=retire_missing,
        )
        if merged != Merged():
            announce()
    run.refresh_from_db()
    return merged


def _claimed(run: ImportRun) -> ImportRun:
    """The run, held; and on PostgreSQL the vehicles as well."""
    held = ImportRun.objects.select_for_update().get(pk=run.pk)
    if held.state not in (ImportState.READY, ImportState.APPLYING):
        raise NotApplicable(gettext("The import was applied or discarded already."))
    if StagedVehicle.objects.filter(run=run).count() != held.rows:
        raise NotApplicable(gettext("What was read for this import is not there any more; read it again."))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        try:
            lock_vehicles()
        except OperationalError:
            raise NotApplicable(
                gettext("Others were writing vehicles all the time. Nothing was changed; apply it again.")
            ) from None
    return held


def _check_retirement(run: ImportRun, force: bool) -> None:
    total, gone = in_scope(run).count(), missing(run).count()
    if is_mass_withdrawal(gone, total) and not force:
        raise TooManyRetired(
            gettext("This would retire %(retired)s of %(total)s vehicles, more than a fifth; nothing was changed.")
            % {"retired": gone, "total": total},
            gone,
            total,
        )


def is_mass_withdrawal(retired: int, total: int) -> bool:
    """Whether so many of so many are more than an empty or broken feed may take away without being told to."""
    return retired * LARGEST_PART_RETIRED > total


class _Merging:
    """The statements of one merge. Only fields that some row tells are written: each more costs its indexes."""

    def __init__(self, run: ImportRun, by: Author) -> None:
        self.now = timezone.now()
        self._run = run
        self._by = author_id(by)
        self._rules = fleet_rules()
        masks = StagedVehicle.objects.filter(run=run).order_by().values_list("given", flat=True).distinct()
        told = 0
        for mask in masks:
            told |= mask
        # Also the state: a removed vehicle that is named again is available.
        self._names = [name for name in COMPARED if told & bit(name) or name == "state"]
        self._tells_signals = bool(told & bit("last_signal_at"))

    def add(self) -> int:
        """New vehicles, with what they are added with."""
        rows = (
            f"fleet_stagedvehicle s WHERE s.run_id = %s AND s.outcome <> '{Outcome.REJECTED.value}' "  # noqa: S608
            "AND NOT EXISTS (SELECT 1 FROM fleet_vehicle v WHERE v.id = s.vehicle_id)"
        )
        pairs = [_Pair(name, "", addition(name)) for name in FIELDS]
        self._write_history(f"SELECT s.vehicle_id, {_document(pairs)}", f"FROM {rows}", [self._run.pk], added=True)
        silent, parameters = _silent("s.last_signal_at", self._rules, self.now)
        moment = _adapted(self.now)
        return _execute(
            f"""
            INSERT INTO fleet_vehicle (id, {", ".join(FIELDS)}, silent, note, is_demo, created_at, updated_at)
            SELECT s.vehicle_id, {", ".join(map(addition, FIELDS))}, {silent}, '', FALSE, {_moment()}, {_moment()}
            FROM {rows} ORDER BY s.vehicle_id
            """,  # noqa: S608
            [*parameters, moment, moment, self._run.pk],
        )

    def change(self) -> int:
        """Known vehicles that differ from what their row tells."""
        rows = f"{staged_beside_fleet()} AND {differs(self._names)} AND NOT {is_hindered()}"
        pairs = [_Pair(name, f"v.{name}", new(name)) for name in self._names]
        written = self._write_history(f"SELECT v.id, {_document(pairs)}", f"FROM {rows}", [self._run.pk])
        if written:
            self._update([*self._names, "updated_at"], f"{differs(self._names)} AND NOT {is_hindered()}")
        return written

    def hear(self) -> int:
        """Known vehicles of which nothing is new but that they were heard: as with telemetry, no history and no update."""
        return self._update([], f"{is_heard()} AND NOT {is_hindered()}") if self._tells_signals else 0

    def retire(self) -> int:
        """Vehicles that no row names."""
        ids, parameters = missing(self._run).order_by().values("pk").query.sql_with_params()
        pairs = [_Pair("state", "v.state", f"'{State.REMOVED.value}'")]
        rows = f"fleet_vehicle v WHERE v.id IN ({ids})"
        written = self._write_history(f"SELECT v.id, {_document(pairs)}", f"FROM {rows}", list(parameters))
        if written:
            _execute(
                f"UPDATE fleet_vehicle SET state = '{State.REMOVED.value}', updated_at = %s WHERE id IN ({ids})",  # noqa: S608
                [_adapted(self.now), *parameters],
            )
        return written

    def _update(self, names: Sequence[str], condition: str) -> int:
        settings, parameters = [], []
        for name in names:
            if name == "updated_at":
                settings.append(f"updated_at = {_moment()}")
                parameters.append(_adapted(self.now))
            else:
                settings.append(f"{name} = {new(name)}")
        if self._tells_signals:
            signal = f"CASE WHEN {is_heard()} THEN s.last_signal_at ELSE v.last_signal_at END"
            silent, more = _silent(f"({signal})", self._rules, self.now)
            settings += [f"last_signal_at = {signal}", f"silent = {silent}"]
            parameters += more
        return _execute(
            f"""
            UPDATE fleet_vehicle AS v SET {", ".join(settings)} FROM fleet_stagedvehicle s
            WHERE s.vehicle_id = v.id AND s.run_id = %s AND s.outcome <> '{Outcome.REJECTED.value}' AND {condition}
            """,  # noqa: S608
            [*parameters, self._run.pk],
        )

    def _write_history(self, columns: str, rows: str, parameters: list[Any], *, added: bool = False) -> int:
        statement = f"""
            INSERT INTO fleet_vehiclechange (vehicle_id, "values", at, by_id, origin, run_id, added)
            {columns}, {_moment()}, {_person()}, '{Origin.IMPORT.value}', {self._run.pk}, {"TRUE" if added else "FALSE"}
            {rows}
        """
        return _execute(statement, [_adapted(self.now), self._by, *parameters])


def _execute(statement: str, parameters: Iterable[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))
        return int(cursor.rowcount)


def _adapted(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)


def _moment() -> str:
    """The placeholder of a time; PostgreSQL must be told its type where it stands among what is selected."""
    return "%s" if connection.vendor == "sqlite" else "%s::timestamptz"


def _person() -> str:
    return "%s" if connection.vendor == "sqlite" else "%s::bigint"


def _silent(signal: str, rules: FleetRules, now: datetime) -> tuple[str, list[Any]]:
    """`services.is_silent` as SQL."""
    if rules.silence is None:
        return "FALSE", []
    return f"COALESCE({signal} < {_moment()}, TRUE)", [_adapted(now - rules.silence)]


# --- History, as the database writes it --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pair:
    """A field with its old and new value as expressions; an empty `old` where there was none."""

    name: str
    old: str
    new: str

    @property
    def differs(self) -> str:
        if self.old:
            return distinct(f"({self.new})", self.old)
        if self.name in _FLOATS or self.name in ("battery", "last_signal_at"):
            return f"({self.new}) IS NOT NULL"
        return f"({self.new}) <> ''"


def _document(pairs: Sequence[_Pair]) -> str:
    """`{field: [old, new]}` of the fields that differ, as `VehicleChange.values` keeps it."""
    if connection.vendor == "postgresql":
        members = ", ".join(
            f"'{pair.name}', CASE WHEN {pair.differs} THEN "
            f"jsonb_build_array({_json(pair.name, pair.old)}, {_json(pair.name, pair.new)}) END"
            for pair in pairs
        )
        return f"jsonb_strip_nulls(jsonb_build_object({members}))"  # of members, not of what stands in a list
    members = " || ".join(
        f"""CASE WHEN {pair.differs} THEN ', "{pair.name}": [' || {_json(pair.name, pair.old)} """
        f"""|| ', ' || {_json(pair.name, pair.new)} || ']' ELSE '' END"""
        for pair in pairs
    )
    return f"'{{' || substr({members}, 3) || '}}'"


def _json(name: str, value: str) -> str:
    """One value as JSON has it. SQLite's own functions would cut a number to 15 digits."""
    if connection.vendor == "postgresql":
        if not value:
            return "NULL"
        if name == "last_signal_at":
            return f"""to_char(({value}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""
        return f"({value})"
    if not value:
        return "'null'"
    if name in _FLOATS:
        return f"CASE WHEN ({value}) IS NULL THEN 'null' ELSE printf('%%!.17g', {value}) END"
    if name == "last_signal_at":
        return f"""CASE WHEN ({value}) IS NULL THEN 'null' ELSE '"' || replace({value}, ' ', 'T') || '+00:00"' END"""
    return f"json_quote({value})"
