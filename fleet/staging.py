"""Rows of a source on their way into the fleet: read in a stream, staged in slices, and compared with the fleet.

Every slice is a short transaction of its own, so that neither a large file nor a slow one keeps anybody waiting, and
what is held in memory is one slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from fleet.comparing import compared, hindrances
from fleet.countries import position_problem
from fleet.errors import NotApplicable
from fleet.models import ImportProblem, ImportRun, ImportState, Outcome, StagedVehicle, Vehicle
from fleet.sources.records import FIELDS, Progress, Reading, RejectedRow, Row, VehicleRecord
from fleet.vocabulary import State

SLICE: Final = 5_000
_STAGED: Final = ("run_id", "line", "vehicle_id", "outcome", "given", *FIELDS)
_PROBLEM: Final = ("run_id", "line", "vehicle_id", "column", "reason")
_NOTHING: Final = VehicleRecord(0, "", 0)[3:]
_FEW: Final = 20  # fewer vehicles than this say nothing about ids that change
_NEARLY_ALL: Final = 0.8
_EXAMPLES: Final = 5


def stage(run: ImportRun, reading: Reading, progress: Progress | None = None) -> None:
    """Read a source to its end into the staging tables; raises UnreadableSource, and NotApplicable once discarded."""
    rows = iter(reading.rows())
    run.size = reading.size
    while part := list(islice(rows, SLICE)):
        run.rows += len(part)
        run.position = reading.position
        run.seen_at = timezone.now()
        with transaction.atomic():
            going_on = ImportRun.objects.filter(pk=run.pk, state=ImportState.READING).update(
                rows=run.rows, position=run.position, size=run.size, seen_at=run.seen_at
            )
            if not going_on:
                raise NotApplicable(gettext("The import was discarded."))
            _insert(run.pk, part)
        if progress:
            progress(run.position, run.size)
    run.found = reading.found.as_json()
    _refuse_repeated(run)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # it knows nothing of rows that are this new, and plans for a handful
            cursor.execute("ANALYZE fleet_stagedvehicle")


def _insert(run_id: int, part: list[Row]) -> None:
    rows = [
        (run_id, row.line, row.id[:64], Outcome.REJECTED.value, 0, *_NOTHING)
        if isinstance(row, RejectedRow)
        else (run_id, row.line, row.id, "", row.given, *row[3:-1], _moment(row))
        for row in part
    ]
    _write("fleet_stagedvehicle", _STAGED, rows)
    problems = [
        (run_id, problem.line, row.id[:64].replace("\x00", ""), problem.column[:200], problem.reason)
        for row in part
        if isinstance(row, RejectedRow)
        for problem in row.problems
    ]
    if problems:
        _write("fleet_importproblem", _PROBLEM, problems)


def _moment(row: VehicleRecord) -> Any:
    return connection.ops.adapt_datetimefield_value(row.last_signal_at) if row.last_signal_at else None


def _write(table: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """The fastest way that each database has."""
    names = ", ".join(f'"{name}"' for name in columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)  # noqa: S608 (our names)


def _refuse_repeated(run: ImportRun) -> None:
    """Of the rows that name the same vehicle all but the first are rejected: which one is right, nobody can tell."""
    repeated = (
        StagedVehicle.objects.filter(run=run)
        .exclude(vehicle_id="")
        .values("vehicle_id")
        .annotate(rows=Count("id"), first=Min("line"))
        .filter(rows__gt=1)
        .order_by("vehicle_id")
    )
    heading = _heading_of_id(run)
    for part in _slices(repeated.values_list("vehicle_id", "first").iterator(SLICE)):
        first = dict(part)
        rows = (
            StagedVehicle.objects.filter(run=run, vehicle_id__in=list(first))
            .exclude(outcome=Outcome.REJECTED)
            .values_list("id", "line", "vehicle_id")
        )
        found = [(id, line, vehicle) for id, line, vehicle in rows if line != first[vehicle]]
        _reject(
            run,
            [id for id, _line, _vehicle in found],
            [
                (
                    line,
                    vehicle,
                    heading,
                    gettext("“%(value)s” stands in line %(line)s already.")
                    % {"value": vehicle, "line": first[vehicle]},
                )
                for _id, line, vehicle in found
            ],
        )


def _heading_of_id(run: ImportRun) -> str:
    return next((heading for heading, column in run.found.get("headings", []) if column == "id"), "id")


def _slices(rows: Iterator[Any], size: int = 500) -> Iterator[list[Any]]:
    while part := list(islice(rows, size)):
        yield part


def _reject(run: ImportRun, ids: list[int], problems: list[tuple[int, str, str, str]]) -> None:
    with transaction.atomic():
        StagedVehicle.objects.filter(pk__in=ids).update(outcome=Outcome.REJECTED)
        _write("fleet_importproblem", _PROBLEM, [(run.pk, *problem) for problem in problems])


# --- Beside the fleet --------------------------------------------------------------------------------------------


def refuse_hindered(run: ImportRun) -> int:
    """Reject what only the fleet's own data refuses: a demo vehicle, or half a position that the other half belies."""
    hindered = 0
    while part := _hindered(run):
        known = Vehicle.objects.in_bulk([row.vehicle_id for row in part])
        problems = [(row.line, row.vehicle_id, "", _hindrance(row, known[row.vehicle_id])) for row in part]
        _reject(run, [row.pk for row in part], problems)
        hindered += len(part)
    if hindered:
        run.rejected += hindered
        ImportRun.objects.filter(pk=run.pk).update(rejected=F("rejected") + hindered)
    return hindered


def _hindered(run: ImportRun) -> list[StagedVehicle]:
    statement, parameters = hindrances(run.pk, 500)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        ids = [id for (id,) in cursor.fetchall()]
    return list(StagedVehicle.objects.filter(pk__in=ids).order_by("line"))


def _hindrance(row: StagedVehicle, known: Vehicle) -> str:
    if known.is_demo:
        return gettext("A demo vehicle has this id; remove the demo data (load_demo --remove) first.")
    told = VehicleRecord(row.line, row.vehicle_id, row.given).names
    country, latitude, longitude = (
        getattr(row if name in told else known, name) for name in ("country", "latitude", "longitude")
    )
    return position_problem(country, latitude, longitude) or gettext("Its position does not fit its country.")


def classify(run: ImportRun) -> None:
    """Say of each staged row what it would do to the fleet as it is now, and count."""
    refuse_hindered(run)
    ends = StagedVehicle.objects.filter(run=run).aggregate(first=Min("id"), last=Max("id"))
    start, last = ends["first"], ends["last"]
    while start is not None and start <= last:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(*compared(run.pk, start, start + SLICE * 2))
            ImportRun.objects.filter(pk=run.pk).update(seen_at=timezone.now())
        start += SLICE * 2
    tallies = dict(StagedVehicle.objects.filter(run=run).order_by().values_list("outcome").annotate(Count("id")))
    run.added = tallies.get(Outcome.ADDED, 0)
    run.changed = tallies.get(Outcome.CHANGED, 0)
    run.unchanged = tallies.get(Outcome.UNCHANGED, 0)
    run.rejected = tallies.get(Outcome.REJECTED, 0)
    run.missing = missing(run).count()
    run.warnings = [*run.found.get("warnings", []), *_rotating(run), *_same_plates(run)]
    run.save(update_fields=["added", "changed", "unchanged", "rejected", "missing", "warnings", "found", "rows"])


def in_scope(run: ImportRun) -> Any:
    """The vehicles that the source speaks for: of its country and city, in use, and no invented ones."""
    fleet = Vehicle.objects.filter(is_demo=False).exclude(state=State.REMOVED)
    if run.country:
        fleet = fleet.filter(country=run.country)
    if run.city:
        fleet = fleet.filter(city__iexact=run.city)
    return fleet


def missing(run: ImportRun) -> Any:
    """Those of them that no row names, not even a rejected one."""
    # Not by a list of ids: PostgreSQL gives one up that does not fit its memory, and then looks at each for each.
    return in_scope(run).filter(~Exists(StagedVehicle.objects.filter(run=run, vehicle_id=OuterRef("pk"))))


def _rotating(run: ImportRun) -> list[str]:
    """GBFS feeds give each vehicle another id after each trip, or all of them now and then ("bike_id", "vehicle_id")."""
    if run.format != "gbfs":
        return []
    known = in_scope(run).count()
    good = run.rows - run.rejected
    if min(known, good) < _FEW or run.added < good * _NEARLY_ALL or run.missing < known * _NEARLY_ALL:
        return []
    return [
        gettext(
            "Nearly all ids are new (%(added)s of %(rows)s), and nearly all vehicles of the fleet are missing (%(missing)s "
            "of %(known)s). If this is the same fleet as before, its ids rotate: they are not the operator's own, and "
            "importing them makes a new fleet each time. Use a source with lasting ids."
        )
        % {"added": run.added, "rows": good, "missing": run.missing, "known": known}
    ]


def _same_plates(run: ImportRun) -> list[str]:
    """Plates that two vehicles would have afterwards: no reason to reject a row, but to look."""
    if not StagedVehicle.objects.filter(run=run).exclude(plate="").exclude(outcome=Outcome.REJECTED).exists():
        return []
    with connection.cursor() as cursor:
        cursor.execute(_SAME_PLATES, [run.pk, run.pk])
        plates = [plate for (plate,) in cursor.fetchall()]
    if not plates:
        return []
    words = ngettext(
        "%(count)s plate would stand on several vehicles: %(plates)s.",
        "%(count)s plates would stand on several vehicles: %(plates)s.",
        len(plates),
    )
    shown = ", ".join(plates[:_EXAMPLES]) + ("…" if len(plates) > _EXAMPLES else "")
    return [words % {"count": len(plates) if len(plates) < 1000 else "1000+", "plates": shown}]


# The vehicles with the same plates come first, and by the index of plates. Left to itself, PostgreSQL begins with those that
# the source does not name, takes them for none, and compares each of 100,000 with each of 100,000 where ids rotate.
_SAME_PLATES: Final = """
    WITH staged AS (
      SELECT vehicle_id AS id, plate FROM fleet_stagedvehicle
      WHERE run_id = %s AND outcome <> 'rejected' AND plate <> ''
    ), same AS MATERIALIZED (
      SELECT known.plate, known.id FROM (SELECT DISTINCT plate FROM staged) given
      JOIN fleet_vehicle known ON known.plate = given.plate WHERE known.state <> 'removed'
    )
    SELECT plate FROM (
      SELECT plate, id FROM staged
      UNION ALL
      SELECT plate, id FROM same
      WHERE NOT EXISTS (
        SELECT 1 FROM fleet_stagedvehicle own WHERE own.run_id = %s AND own.vehicle_id = same.id AND own.plate <> ''
      )
    ) every
    GROUP BY plate HAVING count(*) > 1 ORDER BY plate LIMIT 1000
"""


def drop(run: ImportRun, *, problems: bool = False) -> None:
    """Delete what is staged of a run, a slice at a time so that nobody waits; with `problems`, those as well."""
    for model in (StagedVehicle, ImportProblem) if problems else (StagedVehicle,):
        rows = model.objects.filter(run=run)
        while ids := list(rows.order_by("pk").values_list("pk", flat=True)[: SLICE * 2]):
            rows.filter(pk__gte=ids[0], pk__lte=ids[-1]).delete()


def problems_by_line(run: ImportRun, limit: int | None = None) -> Iterator[ImportProblem]:
    """Why rows were rejected, in the order of the source."""
    found = ImportProblem.objects.filter(Q(run=run)).order_by("line", "id")
    return (found if limit is None else found[:limit]).iterator(SLICE)
