"""What the pages of an import show: its rows beside the fleet, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from fleet import imports, staging
from fleet.comparing import COMPARED
from fleet.merging import is_mass_withdrawal
from fleet.models import ImportProblem, ImportRun, ImportState, Outcome, StagedVehicle, Vehicle, VehicleChange
from fleet.sources.records import VehicleRecord
from fleet.vocabulary import Origin, State
from fleet.wording import FieldChange, change_words

ROWS: Final = 50
TONES: Final = {
    ImportState.READING: "info",
    ImportState.READY: "warn",
    ImportState.APPLYING: "info",
    ImportState.APPLIED: "ok",
    ImportState.FAILED: "bad",
    ImportState.DISCARDED: "",
}
_DEVICE: Final = frozenset({"latitude", "longitude", "battery"})


@dataclass(frozen=True)
class Tab:
    """One kind of row with how many there are."""

    name: str
    label: Any
    count: int
    is_current: bool


@dataclass(frozen=True)
class ShownRow:
    """A row as the page shows it. `line` is None for what is in no source; `changes` says old → new."""

    id: str
    line: int | None
    plate: str = ""
    is_known: bool = False
    changes: Sequence[FieldChange] = ()
    problems: Sequence[ImportProblem] = ()


class _Counted(Paginator):  # type: ignore[type-arg]
    """Pages of rows that were counted already."""

    def __init__(self, rows: QuerySet[Any], count: int) -> None:
        super().__init__(rows, ROWS)
        self._count = count

    @cached_property
    def count(self) -> int:
        return self._count


class RunPage:
    """One import as its page shows it."""

    def __init__(self, run: ImportRun, tab: str = "", page: str = "") -> None:
        self.run = run
        self.is_applied = run.state == ImportState.APPLIED
        self.is_ready = run.state == ImportState.READY
        self.interrupted = imports.is_interrupted(run)
        self.is_under_way = run.state in (ImportState.READING, ImportState.APPLYING) and not self.interrupted
        self._tab = tab
        self._page = page

    @property
    def is_discarded(self) -> bool:
        return self.run.state == ImportState.DISCARDED

    @property
    def is_stuck(self) -> bool:
        """Whether it could not be read, or not to its end."""
        return self.run.state == ImportState.FAILED or (self.interrupted and self.run.state == ImportState.READING)

    @property
    def can_apply(self) -> bool:
        return self.is_ready or (self.interrupted and self.run.state == ImportState.APPLYING)

    @cached_property
    def undone(self) -> int:
        """How many of its changes were taken back."""
        return VehicleChange.objects.filter(undoes__run=self.run).values("undoes").distinct().count()

    @property
    def can_undo(self) -> bool:
        return self.is_applied and self.undone < self.run.added + self.run.changed + self.run.retired

    @property
    def tone(self) -> str:
        return TONES[ImportState(self.run.state)]

    @property
    def rate(self) -> int:
        """Rows a second while it is read."""
        seconds = (self.run.seen_at - self.run.created_at).total_seconds()
        return round(self.run.rows / seconds) if seconds > 0 else 0

    @property
    def is_feed(self) -> bool:
        return self.run.format == "gbfs"

    @property
    def headings(self) -> list[tuple[str, str]]:
        return [(heading, column) for heading, column in self.run.found.get("headings", [])]

    @property
    def facts(self) -> list[tuple[str, str]]:
        return [(label, value) for label, value in self.run.found.get("facts", [])]

    @cached_property
    def in_scope(self) -> int:
        return int(staging.in_scope(self.run).count())

    @property
    def is_mass_withdrawal(self) -> bool:
        return is_mass_withdrawal(self.run.missing, self.in_scope)

    @cached_property
    def tabs(self) -> list[Tab]:
        run = self.run
        counts: list[tuple[str, Any, int]] = [("changed", _("Changed"), run.changed), ("added", _("Added"), run.added)]
        if self.is_applied:
            counts.append(("retired", _("Retired"), run.retired))
        else:
            counts += [
                ("unchanged", _("Unchanged"), run.unchanged),
                ("missing", pgettext_lazy("rows of a source", "Missing"), run.missing),
            ]
        counts.append(("rejected", _("Rejected"), run.rejected))
        names = [name for name, _label, _count in counts]
        first = next((name for name, _label, count in counts if count), names[0])
        if run.rejected and not self.is_applied:
            first = "rejected"  # what there is to mend before it is applied
        current = self._tab if self._tab in names else first
        return [Tab(name, label, count, name == current) for name, label, count in counts]

    @cached_property
    def tab(self) -> Tab:
        return next(tab for tab in self.tabs if tab.is_current)

    @cached_property
    def page(self) -> Any:
        """The page of rows under the current tab; its `object_list` holds ShownRow."""
        rows, show = self._rows()
        page = _Counted(rows, self.tab.count).get_page(self._page)
        page.object_list = show(list(page.object_list))
        return page

    def _rows(self) -> tuple[QuerySet[Any], Any]:
        name = self.tab.name
        if name == "rejected":
            staged = (
                ImportProblem.objects.filter(run=self.run).order_by("line").values_list("line", flat=True).distinct()
            )
            return staged, self._rejected
        if self.is_applied:
            # The merge adds, changes and retires in this order.
            changes = VehicleChange.objects.filter(run=self.run, origin=Origin.IMPORT).select_related("vehicle")
            known = changes.filter(added=False).order_by("id")
            match name:
                case "added":
                    return changes.filter(added=True).order_by("id"), self._recorded
                case "retired":
                    return known[self.run.changed :], self._recorded
                case _:
                    return known[: self.run.changed], self._recorded
        if name == "missing":
            return staging.missing(self.run).order_by("pk"), self._missing
        return StagedVehicle.objects.filter(run=self.run, outcome=Outcome(name)).order_by("id"), self._staged

    def _staged(self, rows: list[StagedVehicle]) -> list[ShownRow]:
        known = Vehicle.objects.in_bulk([row.vehicle_id for row in rows])
        return [self._beside(row, known.get(row.vehicle_id)) for row in rows]

    def _beside(self, row: StagedVehicle, known: Vehicle | None) -> ShownRow:
        changes = change_words(staged_changes(row, known)) if self.tab.name != "unchanged" else []
        plate = row.plate or (known.plate if known else "")
        return ShownRow(row.vehicle_id, row.line, plate, known is not None, changes)

    def _missing(self, vehicles: list[Vehicle]) -> list[ShownRow]:
        retired = [{"state": (vehicle.state, State.REMOVED.value)} for vehicle in vehicles]
        return [
            ShownRow(vehicle.pk, None, vehicle.plate, True, change_words(values))
            for vehicle, values in zip(vehicles, retired, strict=True)
        ]

    def _recorded(self, changes: list[VehicleChange]) -> list[ShownRow]:
        return [
            ShownRow(change.vehicle_id, None, change.vehicle.plate, True, change_words(change.values))
            for change in changes
        ]

    def _rejected(self, lines: list[int]) -> list[ShownRow]:
        problems = ImportProblem.objects.filter(run=self.run, line__in=lines).order_by("line", "id")
        found: dict[int, list[ImportProblem]] = {line: [] for line in lines}
        for problem in problems:
            found[problem.line].append(problem)
        return [ShownRow(told[0].vehicle_id, line, problems=told) for line, told in found.items() if told]


def staged_changes(row: StagedVehicle, known: Vehicle | None) -> dict[str, tuple[Any, Any]]:
    """By field, old and new, of what a row would change; `comparing` says the same in SQL."""
    told = VehicleRecord(row.line, row.vehicle_id, row.given).names
    if known is None:
        found = {name: (None, getattr(row, name)) for name in sorted(told)}
        found.setdefault("state", (None, State.AVAILABLE.value))
        return {name: pair for name, pair in found.items() if pair[1] not in (None, "")}
    heard_later = row.last_signal_at and known.last_signal_at and row.last_signal_at < known.last_signal_at
    changes: dict[str, tuple[Any, Any]] = {}
    for name in COMPARED:
        if name not in told or (name in _DEVICE and heard_later):
            continue
        old, new = getattr(known, name), getattr(row, name)
        if old != new:
            changes[name] = (old, new)
    if "state" not in told and known.state == State.REMOVED:
        changes["state"] = (known.state, State.AVAILABLE.value)
    return changes
