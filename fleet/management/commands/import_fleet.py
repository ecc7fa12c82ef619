"""``manage.py import_fleet``: vehicles from a file or an address into the fleet."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from fleet import imports, locks, staging
from fleet.countries import country_named
from fleet.errors import ImportUnderWay, NotApplicable, TooManyRetired, UnreadableSource
from fleet.merging import is_mass_withdrawal
from fleet.models import ImportRun, ImportState, Vehicle
from fleet.sources.fetch import is_address, shown_address
from fleet.sources.opening import FORMATS

ROWS_REJECTED: Final = 1
NOTHING_READ: Final = 2
STANDARD_INPUT: Final = "-"
_EVERY: Final = 0.2


class Command(BaseCommand):
    help = (
        "Reads vehicles from a CSV file or a GBFS feed (free_bike_status, vehicle_status, or the gbfs.json that leads "
        "there). Headings of CSV: id,battery,plate,country,city,latitude,longitude,state, or usual spellings of them. A "
        "column that is not there leaves known vehicles as they are; an empty cell says that the value is not known. New "
        "vehicles without a state are available. Ends with 0; 1 if rows were rejected; 2 if nothing could be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="a file, an http(s) address, or - for standard input")
        parser.add_argument("--format", choices=FORMATS, default="", help="found out when not given")
        parser.add_argument("--country", default="", help="for rows that name none, and what --retire-missing looks at")
        parser.add_argument("--city", default="", help="for rows that name none, and what --retire-missing looks at")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        parser.add_argument(
            "--retire-missing", action="store_true", help="vehicles that the source does not name become `removed`"
        )
        parser.add_argument("--force", action="store_true", help="retire even more than a fifth of the vehicles")

    def handle(self, *args: Any, **options: Any) -> None:
        source: str = options["source"]
        self._shown = shown_address(source) if is_address(source) else source
        country = self._country(options["country"])
        city = self._city(options["city"].strip())
        try:
            with locks.held(locks.name_of_source(source)):
                rejected = self._import(source, country, city, options)
        except (UnreadableSource, ImportUnderWay) as error:
            raise CommandError(f"{self._shown}: {error}", returncode=NOTHING_READ) from None
        except TooManyRetired as error:
            raise CommandError(f"{error} Give --force if that is meant.", returncode=ROWS_REJECTED) from None
        except NotApplicable as error:
            raise CommandError(f"{self._shown}: {error}", returncode=ROWS_REJECTED) from None
        if rejected:
            raise SystemExit(ROWS_REJECTED)

    def _import(self, source: str, country: str, city: str, options: dict[str, Any]) -> int:
        """Read, and apply unless it is a dry run; how many rows were rejected."""
        retire = options["retire_missing"]
        run = imports.import_create(
            source=source, format=options["format"], country=country, city=city, retire_missing=retire
        )
        bar = _Bar(run, self.stderr) if sys.stderr.isatty() else None
        try:
            self._read(run, source, bar)
            if bar:
                bar.clear()
            if options["dry_run"]:
                run.retired = self._would_retire(run, options["force"]) if retire else 0
            else:
                imports.import_apply(run=run, retire_missing=retire, force=options["force"])
            self._report(run)
        except BaseException:
            self._discard(run)
            raise
        counts = (
            f"added {run.added}, changed {run.changed}, unchanged {run.unchanged}, "
            f"retired {run.retired}, rejected {run.rejected}"
        )
        self.stdout.write(f"{counts} (dry run: nothing was written)" if options["dry_run"] else counts)
        if options["dry_run"]:
            self._discard(run)
        return run.rejected

    def _read(self, run: ImportRun, source: str, bar: _Bar | None) -> None:
        if source != STANDARD_INPUT:
            imports.import_read(run=run, source=source, keep=False, progress=bar)
            return
        # A stream that cannot be read twice, and a file has to be: for its encoding before its rows.
        with tempfile.NamedTemporaryFile() as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
            imports.import_read(run=run, source=file.name, keep=False, progress=bar)

    def _discard(self, run: ImportRun) -> None:
        """Leave nothing behind, but the word of what failed."""
        run.refresh_from_db()
        if run.state in (ImportState.READING, ImportState.READY):
            imports.import_discard(run=run)

    def _would_retire(self, run: ImportRun, force: bool) -> int:
        total = staging.in_scope(run).count()
        if is_mass_withdrawal(run.missing, total) and not force:
            raise TooManyRetired(
                f"This would retire {run.missing} of {total} vehicles, more than a fifth; nothing was changed.",
                run.missing,
                total,
            )
        return run.missing

    def _country(self, text: str) -> str:
        country = country_named(text) or "" if text else ""
        if text and not country:
            raise CommandError(f"--country: {text!r} is not a country that we know.", returncode=NOTHING_READ)
        return country

    def _city(self, city: str) -> str:
        try:
            Vehicle(id="x", city=city).full_clean(validate_unique=False, validate_constraints=False)
        except ValidationError as error:
            raise CommandError(f"--city: {' '.join(error.messages)}", returncode=NOTHING_READ) from None
        return city

    def _report(self, run: ImportRun) -> None:
        for problem in staging.problems_by_line(run):
            column = f", {problem.column}" if problem.column else ""
            self.stderr.write(f"line {problem.line}{column}: {problem.reason}")
        for warning in run.warnings:
            self.stderr.write(f"warning: {warning}")


class _Bar:
    """One line on the terminal that tells how far it is, and how fast."""

    def __init__(self, run: ImportRun, out: Any) -> None:
        self._run = run
        self._out = out
        self._began = self._told = time.monotonic()

    def __call__(self, position: int, size: int) -> None:
        now = time.monotonic()
        if now - self._told < _EVERY:
            return
        self._told = now
        done = f"{100 * position // size:3d} %" if size else f"{position // 1024} KiB"
        rate = self._run.rows / max(now - self._began, 0.001)
        self._out.write(f"\r\x1b[K{done}  {self._run.rows:,} rows  {rate:,.0f} rows/s", ending="")
        self._out.flush()

    def clear(self) -> None:
        self._out.write("\r\x1b[K", ending="")
        self._out.flush()
