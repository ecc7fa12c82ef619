"""Vehicles from a CSV file, as operators' own programs and spreadsheets write it.

Headings are `id,battery,plate,country,city,latitude,longitude,state` or a spelling of `spellings`; columns with other
headings are passed over. Encoding (UTF-8, UTF-16 with a byte order mark, else Windows-1252), separator (comma,
semicolon, tab, bar) and the decimal sign are found out from the file itself.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext

from fleet.countries import country_named, position_problem
from fleet.errors import UnreadableSource
from fleet.sources.records import RowProblem, Source, VehicleRecord
from fleet.sources.spellings import NO, YES, bare, heading_named, kind_named, state_named
from fleet.vocabulary import ID_PATTERN, UNREACHABLE_IDS, State, has_controls, plate_spelled

SEPARATORS = ",;\t|"
LARGEST = 64 * 1024 * 1024
_LENGTHS = {"plate": 16, "vin": 32, "model": 80, "city": 80}
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)")
_FRACTION = re.compile(r"0?[.,]\d*[1-9]\d*")


class _Refused(Exception):
    """A cell that cannot be read; its text is the reason."""


def read_csv(content: bytes, *, country: str = "", city: str = "") -> Source:
    """Read a file; `country` and `city` are for the rows that name none.

    A bad row is reported in `problems`, with every reason. Raises UnreadableSource where there is no heading row with
    an id, or the file is no text.
    """
    rows = list(_rows(_text(content)))
    if not rows:
        raise UnreadableSource(gettext("The file is empty: its first line has to hold the headings."))
    headings = rows[0][1]
    columns = [heading_named(heading) for heading in headings]
    _check_headings(headings, columns)
    reader = _Reader(headings, columns, country, city)
    reader.find_fractions(rows[1:])
    for line, cells in rows[1:]:
        reader.read(line, cells)
    return reader.source


def _text(content: bytes) -> str:
    if len(content) > LARGEST:
        raise UnreadableSource(gettext("The file is larger than 64 MiB."))
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig"), (b"", "cp1252")):
        if content.startswith(mark):
            try:
                text = content.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    else:
        text = content.decode("latin-1")
    if "\x00" in text:
        raise UnreadableSource(gettext("The file is no text: it holds NUL characters. Save it as CSV."))
    return text


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line it begins in."""
    skipped = 0
    if re.match(r"sep=.\r?\n", text):  # Excel's own first line
        skipped, text = 1, text.split("\n", 1)[1]
    # With a last line break in any case, so that a quote still open at the end shows.
    reader = csv.reader(io.StringIO(text + "\n", newline=""), delimiter=_separator(text))
    line = 1 + skipped
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UnreadableSource(
                gettext("Line %(line)s cannot be read: %(reason)s.") % {"line": line, "reason": error}
            ) from None
        if cells is None:
            return
        if any("\n" in cell or "\r" in cell for cell in cells):
            raise UnreadableSource(
                gettext(
                    "Line %(line)s opens a quote that it does not close. A value may not hold a line break, since one "
                    "forgotten quote would swallow the rows after it."
                )
                % {"line": line}
            )
        if any(cell.strip() for cell in cells):
            yield line, [cell.strip() for cell in cells]
        line = reader.line_num + 1 + skipped


def _separator(text: str) -> str:
    """The separator by which the headings make the most sense."""
    first = next((line for line in text.splitlines() if line.strip()), "")

    def known(separator: str) -> int:
        try:
            row = next(csv.reader([first], delimiter=separator), [])
        except csv.Error:  # which reading the row tells with its line
            return 0
        return sum(1 for cell in row if heading_named(cell))

    return max(SEPARATORS, key=lambda separator: (known(separator), first.count(separator)))


def _check_headings(headings: list[str], columns: list[str | None]) -> None:
    if "id" not in columns:
        raise UnreadableSource(
            gettext("The first line holds no heading for the vehicle's id. It reads: %(headings)s")
            % {"headings": ", ".join(headings)[:200]}
        )
    twice = [column for column, number in Counter(filter(None, columns)).items() if number > 1]
    if twice:
        same = [heading for heading, column in zip(headings, columns, strict=True) if column == twice[0]]
        raise UnreadableSource(
            gettext("Several columns mean the same: %(headings)s. Keep one of them.") % {"headings": ", ".join(same)}
        )


class _Reader:
    """Reads the rows under one row of headings into `source`."""

    def __init__(self, headings: list[str], columns: list[str | None], country: str, city: str) -> None:
        self.headings = headings
        self.places = {column: place for place, column in enumerate(columns) if column}
        self.country = country
        self.city = city
        self.battery_in_fractions = False
        self.lines: dict[str, int] = {}
        self.source = Source()

    def find_fractions(self, rows: list[tuple[int, list[str]]]) -> None:
        """Whether the battery column counts from 0 to 1: then a 1 in it is not one per cent."""
        place = self.places.get("battery")
        if place is not None:
            self.battery_in_fractions = any(
                len(cells) > place and _FRACTION.fullmatch(cells[place].rstrip("% ")) for _line, cells in rows
            )

    def read(self, line: int, cells: list[str]) -> None:
        """Read one row, into a record or into problems."""
        if len(cells) > len(self.headings) and any(cells[len(self.headings) :]):
            self.source.problems.append(
                RowProblem(
                    line,
                    "",
                    gettext(
                        "The row has %(cells)s cells under %(headings)s headings; a comma inside a value needs quotes."
                    )
                    % {"cells": len(cells), "headings": len(self.headings)},
                )
            )
            self.source.named.add(cells[self.places["id"]])
            return
        cells = cells + [""] * (len(self.headings) - len(cells))
        values: dict[str, object] = {}
        problems: list[RowProblem] = []
        for column, place in self.places.items():
            try:
                values.update(self._values(column, cells[place], line))
            except _Refused as refused:
                problems.append(RowProblem(line, self.headings[place], str(refused)))
        self._fill(values)
        if not problems and (reason := _misplaced(values)):
            place = self.places.get("longitude", self.places.get("position", self.places.get("latitude", 0)))
            problems.append(RowProblem(line, self.headings[place], reason))
        id = cells[self.places["id"]]
        if id:
            self.source.named.add(id)
        if problems:
            self.source.problems += problems
            return
        given = frozenset(values) - {"id"}
        self.source.records.append(VehicleRecord(line=line, given=given, **values))  # type: ignore[arg-type]

    def _fill(self, values: dict[str, object]) -> None:
        """Country and city for a row that names none."""
        if self.country and not values.get("country"):
            values["country"] = self.country
        if self.city and not values.get("city"):
            values["city"] = self.city

    def _values(self, column: str, cell: str, line: int) -> dict[str, object]:
        """What a cell says, by field; raises _Refused."""
        match column:
            case "id":
                return {"id": self._id(cell, line)}
            case "plate":
                return {"plate": _text_of("plate", plate_spelled(cell))}
            case "vin" | "model" | "city":
                return {column: _text_of(column, cell)}
            case "country":
                return {"country": _country(cell)}
            case "latitude":
                return {"latitude": _coordinate(cell, 90)}
            case "longitude":
                return {"longitude": _coordinate(cell, 180)}
            case "position":
                return _position(cell)
            case "battery":
                return {"battery": self._battery(cell)}
            case "state":
                return _state(cell)
            case "kind":
                return _kind(cell)
            case _:
                return {} if "state" in self.places else _free(cell)

    def _id(self, cell: str, line: int) -> str:
        if not cell:
            raise _Refused(gettext("It is empty."))
        if not re.fullmatch(ID_PATTERN, cell):
            raise _Refused(
                gettext("“%(value)s” is not an id: 1 to 64 letters, digits or . _ : -") % {"value": cell[:80]}
            )
        if cell in UNREACHABLE_IDS:
            raise _Refused(gettext("This id cannot be used: an address that ends in it means something else."))
        if cell in self.lines:
            raise _Refused(
                gettext("“%(value)s” stands in line %(line)s already.") % {"value": cell, "line": self.lines[cell]}
            )
        self.lines[cell] = line
        return cell

    def _battery(self, cell: str) -> int | None:
        if not cell:
            return None
        number = _number(cell.rstrip("% "))
        if 0 < number < 1 or (self.battery_in_fractions and number == 1):
            raise _Refused(
                gettext("“%(value)s” looks like a fraction: the battery is given in per cent, 0 to 100.")
                % {"value": cell}
            )
        if not 0 <= number <= 100:
            raise _Refused(gettext("“%(value)s” is not between 0 and 100 per cent.") % {"value": cell})
        return math.floor(number)  # 19.9 is not yet 20


def _misplaced(values: dict[str, object]) -> str | None:
    """What is wrong with the position as far as the row tells; the fleet may know the country that it leaves out."""
    latitude, longitude = values.get("latitude"), values.get("longitude")
    return position_problem(
        str(values.get("country", "")),
        latitude if isinstance(latitude, float) else None,
        longitude if isinstance(longitude, float) else None,
    )


def _number(cell: str) -> float:
    if not _NUMBER.fullmatch(cell) or len(cell) > 40:
        raise _Refused(gettext("“%(value)s” is not a number.") % {"value": cell[:80]})
    return float(cell.replace(",", "."))


def _coordinate(cell: str, limit: int) -> float | None:
    if not cell:
        return None
    number = _number(cell)
    if not -limit <= number <= limit:
        words = {"value": cell, "limit": limit}
        raise _Refused(gettext("“%(value)s” does not lie between -%(limit)s and %(limit)s degrees.") % words)
    return number


def _position(cell: str) -> dict[str, object]:
    """One cell with both: `40.4168, -3.7038`, or `40,4168; -3,7038`."""
    if not cell:
        return {"latitude": None, "longitude": None}
    parts = re.split(r"\s*;\s*|\s*,\s+|\s+", cell.strip("()[] "))
    if len(parts) == 1:
        parts = cell.strip("()[] ").split(",")
    if len(parts) != 2:
        raise _Refused(gettext("“%(value)s” is not a latitude and a longitude.") % {"value": cell[:80]})
    return {"latitude": _coordinate(parts[0], 90), "longitude": _coordinate(parts[1], 180)}


def _text_of(column: str, cell: str) -> str:
    if len(cell) > _LENGTHS[column]:
        words = {"value": cell[:80], "limit": _LENGTHS[column]}
        raise _Refused(gettext("“%(value)s” is longer than %(limit)s characters.") % words)
    if has_controls(cell):
        raise _Refused(gettext("Control characters are not allowed."))
    return cell


def _country(cell: str) -> str:
    if not cell:
        return ""
    name = country_named(cell)
    if name is None:
        raise _Refused(gettext("“%(value)s” is not a country that we know.") % {"value": cell[:80]})
    return name


def _state(cell: str) -> dict[str, object]:
    if not cell:
        return {}
    state = state_named(cell)
    if state is None:
        words = {"value": cell[:80], "states": ", ".join(State.values)}
        raise _Refused(gettext("“%(value)s” is not a state; there are: %(states)s.") % words)
    return {"state": state.value}


def _kind(cell: str) -> dict[str, object]:
    if not cell:
        return {}
    kind = kind_named(cell)
    if kind is None:
        raise _Refused(gettext("“%(value)s” is not a kind of vehicle.") % {"value": cell[:80]})
    return {"kind": kind.value}


def _free(cell: str) -> dict[str, object]:
    """A column that says whether the vehicle can be rented."""
    word = bare(cell)
    if not word:
        return {}
    if word not in YES | NO:
        raise _Refused(gettext("“%(value)s” is neither yes nor no.") % {"value": cell[:80]})
    return {"state": (State.AVAILABLE if word in YES else State.NON_OPERATIONAL).value}
