"""Vehicles from a CSV file, as operators' own programs and spreadsheets write it, read as a stream.

Headings are `id,battery,plate,country,city,latitude,longitude,state` or a spelling of `spellings`, or mapped by hand;
columns with other headings are passed over. Encoding (UTF-8, UTF-16 with a byte order mark, else Windows-1252),
separator (comma, semicolon, tab, bar) and the decimal sign are found out from the file itself. The file is read two or
three times and never held: once for its encoding, once for its batteries where there are some, and once for its rows.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Final

from django.utils.translation import gettext

from fleet.countries import position_problem
from fleet.errors import UnreadableSource
from fleet.sources import cells
from fleet.sources.cells import Refused, Values
from fleet.sources.records import Found, RejectedRow, Row, RowProblem, VehicleRecord, bit
from fleet.sources.spellings import COLUMNS, heading_named

SEPARATORS: Final = ",;\t|"
MOST_HEADINGS: Final = 500
_LONGEST_LINE: Final = 1_000_000
_CHUNK: Final = 1024 * 1024
_FRACTION = re.compile(r"0?[.,]\d*[1-9]\d*")
_POSITION: Final = bit("latitude") | bit("longitude")


class CsvReading:
    """A file that is open: a seekable file of bytes, at its beginning.

    `columns` maps headings by hand (to a column of `spellings.COLUMNS`, or to nothing at all), before any spelling;
    `country` and `city` are for the rows that name none. Raises UnreadableSource where there is no heading row with an
    id, or the file is no text.
    """

    def __init__(
        self, file: BinaryIO, *, columns: Mapping[str, str] | None = None, country: str = "", city: str = ""
    ) -> None:
        self._file = file
        self._encoding, self._size = _encoding(file)
        first, self._skipped = self._first_line()
        self._separator = _separator(first)
        self._headings = self._read_headings()
        by_hand = columns or {}
        self._columns = [by_hand.get(heading, heading_named(heading) or "") for heading in self._headings]
        self.found = Found(
            format="csv",
            headings=list(zip(self._headings, self._columns, strict=True)),
            facts=[
                (gettext("Encoding"), _ENCODINGS[self._encoding]),
                (gettext("Separator"), {"\t": gettext("tab"), ",": ",", ";": ";", "|": "|"}[self._separator]),
            ],
            country=country,
        )
        self._check_headings()
        self._country = country
        self._city = city

    @property
    def size(self) -> int:
        return self._size

    @property
    def position(self) -> int:
        return self._file.tell()

    def rows(self) -> Iterator[Row]:
        """Every row under the headings; a bad one with each of its reasons."""
        reader = _RowReader(self._headings, self._columns, self._country, self._city, self._battery_in_fractions())
        rows = self._split()
        next(rows)
        return (reader.read(line, cells) for line, cells in rows)

    # --- Text ----------------------------------------------------------------------------------------------------

    def _text(self) -> io.TextIOWrapper:
        self._file.seek(0)
        return io.TextIOWrapper(_Kept(self._file), self._encoding, newline="")

    def _first_line(self) -> tuple[str, int]:
        """The first line that is not blank, and how many of Excel's own lie before it (`sep=;`)."""
        skipped = 0
        for number, line in enumerate(_lines(self._text())):
            if number == 0 and re.fullmatch(r"sep=.\s*", line):
                skipped = 1
            elif line.strip():
                return line, skipped
        raise UnreadableSource(gettext("The file is empty: its first line has to hold the headings."))

    def _split(self) -> Iterator[tuple[int, list[str]]]:
        """The rows that are not blank, headings included, each with the line it stands in."""
        lines = _lines(self._text())
        for _line in range(self._skipped):
            next(lines)
        reader = csv.reader(lines, delimiter=self._separator)
        line = self._skipped
        while True:
            line += 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise UnreadableSource(
                    gettext("Line %(line)s cannot be read: %(reason)s.") % {"line": line, "reason": error}
                ) from None
            if row is None:
                return
            if reader.line_num + self._skipped != line:
                raise UnreadableSource(
                    gettext(
                        "Line %(line)s opens a quote that it does not close. A value may not hold a line break, since "
                        "one forgotten quote would swallow the rows after it."
                    )
                    % {"line": line}
                )
            row = [cell.strip() for cell in row]
            if any(row):
                yield line, row

    # --- Headings ------------------------------------------------------------------------------------------------

    def _read_headings(self) -> list[str]:
        _line, headings = next(self._split())
        if len(headings) > MOST_HEADINGS:
            raise UnreadableSource(
                gettext("The first line holds more than %(most)s headings.") % {"most": MOST_HEADINGS}
            )
        return headings

    def _check_headings(self) -> None:
        if "id" not in self._columns:
            raise UnreadableSource(
                gettext("The first line holds no heading for the vehicle's id. It reads: %(headings)s")
                % {"headings": ", ".join(self._headings)[:200]},
                self.found,
            )
        twice = [column for column, number in Counter(filter(None, self._columns)).items() if number > 1]
        if twice:
            same = [heading for heading, column in self.found.headings if column == twice[0]]
            raise UnreadableSource(
                gettext("Several columns mean the same: %(headings)s. Keep one of them.")
                % {"headings": ", ".join(same)},
                self.found,
            )

    def _battery_in_fractions(self) -> bool:
        """Whether the battery column counts from 0 to 1: then a 1 in it is not one per cent."""
        if "battery" not in self._columns:
            return False
        place = self._columns.index("battery")
        rows = self._split()
        next(rows)
        return any(len(row) > place and _FRACTION.fullmatch(row[place].rstrip("% ")) for _line, row in rows)


class _Kept(io.BufferedIOBase):
    """A file of bytes that stays open when the text over it is dropped."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    name = ""  # which a wrapper of text may ask for

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._file.read(-1 if size is None else size)

    def read1(self, size: int = -1, /) -> bytes:
        return self._file.read(_CHUNK if size < 0 else size)


_ENCODINGS: Final = {
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "cp1252": "Windows-1252",
    "latin-1": "Latin-1",
}


def _encoding(file: BinaryIO) -> tuple[str, int]:
    """The encoding of a file, and its size in bytes."""
    file.seek(0)
    encoding, candidates = "", ["utf-8-sig", "cp1252"]
    decoders: list[codecs.IncrementalDecoder] = []
    size = 0
    while chunk := file.read(_CHUNK):
        if not size:
            if chunk.startswith((b"\xff\xfe", b"\xfe\xff")):
                candidates = ["utf-16"]
            decoders = [codecs.getincrementaldecoder(name)() for name in candidates]
        size += len(chunk)
        decoders = [decoder for decoder in decoders if _decodes(decoder, chunk)]
    decoders = [decoder for decoder in decoders if _decodes(decoder, b"", final=True)]
    known = {codecs.getincrementaldecoder(name): name for name in candidates}
    encoding = next((known[type(decoder)] for decoder in decoders), "latin-1") if size else "utf-8-sig"
    return encoding, size


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    try:
        text = decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    if "\x00" in text:
        raise UnreadableSource(gettext("The file is no text: it holds NUL characters. Save it as CSV."))
    return True


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines with their ends, and a blank one at the end, so that a quote still open there shows."""
    number = 1
    while line := text.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise UnreadableSource(
                gettext("Line %(line)s is too long to be one of a table of vehicles.") % {"line": number}
            )
        yield line
        number += 1
    yield "\n"


def _separator(first: str) -> str:
    """The separator by which the headings make the most sense."""

    def known(separator: str) -> int:
        try:
            row = next(csv.reader([first], delimiter=separator), [])
        except csv.Error:  # which reading the row tells with its line
            return 0
        return sum(1 for cell in row if heading_named(cell))

    return max(SEPARATORS, key=lambda separator: (known(separator), first.count(separator)))


class _RowReader:
    """Reads the rows under one row of headings."""

    def __init__(
        self, headings: list[str], columns: list[str], country: str, city: str, battery_in_fractions: bool
    ) -> None:
        self._headings = headings
        self._country = country
        self._city = city
        self._id = columns.index("id")
        readers: dict[str, Callable[[str], Values]] = dict(cells.READERS)
        if battery_in_fractions:
            readers["battery"] = cells.battery_among_fractions
        self._readers = [
            (place, readers[column])
            for place, column in enumerate(columns)
            # A column that says whether a vehicle is free counts where none says its state.
            if column in readers and not (column == "free" and "state" in columns)
        ]
        self._longitude = next((columns.index(name) for name in COLUMNS_OF_POSITION if name in columns), 0)

    def read(self, line: int, row: list[str]) -> Row:
        width = len(self._headings)
        if len(row) != width:
            if len(row) > width and any(row[width:]):
                return self._too_wide(line, row)
            row += [""] * (width - len(row))
        problems: list[RowProblem] = []
        id = cells.restored(row[self._id])
        try:
            cells.check_id(id)
        except Refused as refused:
            problems.append(RowProblem(line, self._headings[self._id], str(refused)))
        given = 0
        values: dict[str, object] = {}
        for place, reader in self._readers:
            try:
                told = reader(row[place])
            except Refused as refused:
                problems.append(RowProblem(line, self._headings[place], str(refused)))
            else:
                given |= told[0]
                values.update(told[1])
        if self._country and not values.get("country"):
            values["country"] = self._country
            given |= bit("country")
        if self._city and not values.get("city"):
            values["city"] = self._city
            given |= bit("city")
        if not problems and given & _POSITION:
            latitude, longitude = values.get("latitude"), values.get("longitude")
            reason = position_problem(
                str(values.get("country", "")),
                latitude if isinstance(latitude, float) else None,
                longitude if isinstance(longitude, float) else None,
            )
            if reason:
                problems.append(RowProblem(line, self._headings[self._longitude], reason))
        if problems:
            return RejectedRow(line, id, tuple(problems))
        return VehicleRecord(line, id, given, **values)  # type: ignore[arg-type]

    def _too_wide(self, line: int, row: list[str]) -> RejectedRow:
        words = {"cells": len(row), "headings": len(self._headings)}
        reason = gettext(
            "The row has %(cells)s cells under %(headings)s headings; a comma inside a value needs quotes."
        )
        return RejectedRow(line, row[self._id], (RowProblem(line, "", reason % words),))


COLUMNS_OF_POSITION: Final = ("longitude", "position", "latitude")
assert set(cells.READERS) | {"id"} == set(COLUMNS)  # noqa: S101 (two tables that belong together)
