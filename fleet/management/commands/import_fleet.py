"""``manage.py import_fleet``: vehicles from a file into the fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from fleet.countries import country_named
from fleet.errors import TooManyRetired, UnreadableSource
from fleet.merging import Retirement, vehicles_merge
from fleet.models import Vehicle
from fleet.sources.csv_file import LARGEST, read_csv
from fleet.sources.records import RowProblem

ROWS_REJECTED = 1
NOTHING_READ = 2


class Command(BaseCommand):
    help = (
        "Reads vehicles from a CSV file (other formats and web addresses are not read). Headings: "
        "id,battery,plate,country,city,latitude,longitude,state, or usual spellings of them. A column that is not "
        "there leaves known vehicles as they are; an empty cell says that the value is not known. New vehicles without "
        "a state are available. Ends with 0; 1 if rows were rejected; 2 if nothing could be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="the CSV file")
        parser.add_argument("--format", choices=["csv"], default="csv", help="only csv is read")
        parser.add_argument("--country", default="", help="for rows that name none, and what --retire-missing looks at")
        parser.add_argument("--city", default="", help="for rows that name none, and what --retire-missing looks at")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        parser.add_argument(
            "--retire-missing", action="store_true", help="vehicles that the file does not name become `removed`"
        )
        parser.add_argument("--force", action="store_true", help="retire even more than a fifth of the vehicles")

    def handle(self, *args: Any, **options: Any) -> None:
        country = ""
        if options["country"]:
            country = country_named(options["country"]) or ""
            if not country:
                raise CommandError(f"--country: {options['country']!r} is not a country that we know.", returncode=2)
        city = self._city(options["city"].strip())
        try:
            source = read_csv(self._content(options["source"]), country=country, city=city)
            merged = vehicles_merge(
                source=source,
                retirement=Retirement(country, city, options["force"]) if options["retire_missing"] else None,
                dry_run=options["dry_run"],
            )
        except UnreadableSource as error:
            raise CommandError(f"{options['source']}: {error}", returncode=NOTHING_READ) from None
        except TooManyRetired as error:
            raise CommandError(f"{error} Give --force if that is meant.", returncode=ROWS_REJECTED) from None
        problems = sorted(source.problems + merged.problems, key=lambda problem: problem.line)
        self._report(problems)
        counts = (
            f"added {len(merged.added)}, changed {len(merged.changed)}, unchanged {len(merged.unchanged)}, "
            f"retired {len(merged.retired)}, rejected {len({problem.line for problem in problems})}"
        )
        self.stdout.write(f"{counts} (dry run: nothing was written)" if options["dry_run"] else counts)
        if problems:
            raise SystemExit(ROWS_REJECTED)

    def _city(self, city: str) -> str:
        try:
            Vehicle(id="x", city=city).full_clean(validate_unique=False, validate_constraints=False)
        except ValidationError as error:
            raise CommandError(f"--city: {' '.join(error.messages)}", returncode=NOTHING_READ) from None
        return city

    def _content(self, source: str) -> bytes:
        if "://" in source:
            raise UnreadableSource("only files are read; download it first.")
        path = Path(source)
        try:
            if path.exists() and not path.is_file():
                raise UnreadableSource("it is no plain file.")
            with path.open("rb") as file:
                content = file.read(LARGEST + 1)  # whatever size the file claims to have
            if len(content) > LARGEST:
                raise UnreadableSource("the file is larger than 64 MiB.")
            return content
        except ValueError:  # NUL in the name
            raise UnreadableSource("this cannot be the name of a file.") from None
        except OSError as error:
            raise UnreadableSource(f"{error.strerror or error}.") from None

    def _report(self, problems: list[RowProblem]) -> None:
        for problem in problems:
            column = f", {problem.column}" if problem.column else ""
            self.stderr.write(f"line {problem.line}{column}: {problem.reason}")
