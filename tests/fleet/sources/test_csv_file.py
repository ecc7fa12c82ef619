"""CSV files as operators write them."""

from __future__ import annotations

import io
import tracemalloc
from dataclasses import dataclass, field

import pytest

from fleet.errors import UnreadableSource
from fleet.sources.csv_file import CsvReading
from fleet.sources.records import RejectedRow, RowProblem, VehicleRecord

HEAD = "id,battery,plate,country,city,latitude,longitude,state\n"
ROW = "ES-1,85,1234 bcd,Spain,Madrid,40.4168,-3.7038,available\n"


@dataclass
class Source:
    records: list[VehicleRecord] = field(default_factory=list)
    problems: list[RowProblem] = field(default_factory=list)
    named: set[str] = field(default_factory=set)


def read_csv(content: bytes, **options: object) -> Source:
    source = Source()
    for row in CsvReading(io.BytesIO(content), **options).rows():  # type: ignore[arg-type]
        source.named.add(row.id)
        if isinstance(row, RejectedRow):
            source.problems += row.problems
        else:
            source.records.append(row)
    return source


def only(text: str | bytes, **options: str) -> VehicleRecord:
    content = text.encode() if isinstance(text, str) else text
    source = read_csv(content, **options)
    assert source.problems == []
    (record,) = source.records
    return record


def reasons(row: str, head: str = HEAD) -> list[tuple[int, str, str]]:
    source = read_csv((head + row).encode())
    assert source.records == []
    return [(problem.line, problem.column, problem.reason) for problem in source.problems]


def test_the_plain_file() -> None:
    """The documented headings are read into one record."""
    record = only(HEAD + ROW)
    assert (record.id, record.line, record.battery, record.plate) == ("ES-1", 2, 85, "1234 BCD")
    assert (record.country, record.city, record.latitude, record.longitude) == ("Spain", "Madrid", 40.4168, -3.7038)
    assert record.state == "available"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_encodings(encoding: str) -> None:
    """The encoding is found out, accents included."""
    text = "id;matrícula;país;ciudad\r\nES-1;1234 BCD;España;Cáceres\r\n"
    record = only(text.encode(encoding))
    assert (record.plate, record.country, record.city) == ("1234 BCD", "Spain", "Cáceres")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(separator: str) -> None:
    """Any usual separator is found out."""
    assert only((HEAD + ROW).replace(",", separator)).battery == 85


def test_a_comma_in_the_headings_does_not_mislead() -> None:
    """The separator is the one by which the headings make sense, not the most frequent sign."""
    assert only('Id;"Notes, remarks, and, so, on";Plate\nES-1;a,b;1234\n').plate == "1234"


def test_excel_says_its_separator() -> None:
    """The `sep=;` line of a spreadsheet is passed over, and lines are still counted from the file's first."""
    assert only("sep=;\r\nid;plate\r\nES-1;1234\r\n").line == 3


def test_decimal_commas() -> None:
    """Decimal commas are numbers, in a file with semicolons or in quotes."""
    first = only("id;lat;lon;país\nES-1;40,4168;-3,7038;ES\n")
    second = only('id,lat,lon,country\nES-1,"40,4168","-3,7038",ESP\n')
    assert (first.latitude, first.longitude) == (second.latitude, second.longitude) == (40.4168, -3.7038)


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("Vehicle ID", "id"),
        ("numberPlate", "plate"),
        ("license_plate", "plate"),
        ("Patente", "plate"),
        ("energy_level", "battery"),
        ("fuelLevel", "battery"),
        ("Battery (%)", "battery"),
        ("Batería", "battery"),
        ("lng", "longitude"),
        ("Latitud", "latitude"),
        ("Estado", "state"),
    ],
)
def test_headings_as_operators_spell_them(heading: str, field: str) -> None:
    """Usual spellings of a heading are understood."""
    cells = {"id": "7", "plate": "X1", "battery": "44", "latitude": "1.5", "longitude": "2.5", "state": "available"}
    others = {name: cell for name, cell in cells.items() if name != field}
    record = only(",".join([heading, *others]) + "\n" + ",".join([cells[field], *others.values()]) + "\n")
    assert str(getattr(record, field)) == cells[field]


@pytest.mark.parametrize(
    ("cell", "separator"),
    [("40.4168, -3.7038", ";"), ("40.4168,-3.7038", ";"), ("(40.4168 -3.7038)", ","), ("40,4168; -3,7038", "\t")],
)
def test_a_position_in_one_cell(cell: str, separator: str) -> None:
    """`geoCoordinate` and its like hold both numbers."""
    record = only(f"id{separator}geoCoordinate\n7{separator}{cell}\n")
    assert (record.latitude, record.longitude) == (40.4168, -3.7038)


@pytest.mark.parametrize(
    ("cell", "battery"), [("85%", 85), ("85 %", 85), ("19.9", 19), ("100,0", 100), ("0", 0), ("1", 1), ("", None)]
)
def test_batteries(cell: str, battery: int | None) -> None:
    """A battery is a whole number of per cent, and never rounded up."""
    assert only(f"id;battery\n7;{cell}\n").battery == battery


def test_columns_that_are_not_there_are_not_given() -> None:
    """What a file has no column for is left alone; an empty cell says that nothing is known."""
    record = only("id,battery,colour\n7,,red\n")
    assert record.names == {"battery"}
    assert record.battery is None


def test_free_or_not() -> None:
    """A yes-or-no column stands for the state."""
    source = read_csv(b"id,freeForRental\n1,true\n2,0\n3,\n")
    assert [record.state for record in source.records] == ["available", "non_operational", ""]


def test_country_and_city_of_the_whole_file() -> None:
    """The options fill what a row leaves out, and nothing else."""
    source = read_csv(b"id,country,city\n1,,\n2,Chile,Santiago\n", country="Spain", city="Madrid")
    assert [(record.country, record.city) for record in source.records] == [("Spain", "Madrid"), ("Chile", "Santiago")]


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [
        (ROW.replace("85", "0.85"), "battery", "looks like a fraction"),
        (ROW.replace("85", "850"), "battery", "not between 0 and 100"),
        (ROW.replace("85", "-1"), "battery", "not between 0 and 100"),
        (ROW.replace("85", "full"), "battery", "not a number"),
        (ROW.replace("85", "nan"), "battery", "not a number"),
        (ROW.replace("85", "1e1"), "battery", "not a number"),
        (ROW.replace("40.4168,-3.7038", "0,0"), "longitude", "Atlantic"),
        (ROW.replace("40.4168,-3.7038", "-3.7038,40.4168"), "longitude", "may be swapped"),
        (ROW.replace("40.4168", "48.85"), "longitude", "is not in Spain"),
        (ROW.replace("40.4168", "404168"), "latitude", "does not lie between"),
        (ROW.replace("40.4168", ""), "longitude", "both a latitude and a longitude"),
        (ROW.replace("Spain", "Spian"), "country", "not a country"),
        (ROW.replace("available", "sleeping"), "state", "there are: available, reserved"),
        (ROW.replace("ES-1", ""), "id", "empty"),
        (ROW.replace("ES-1", "ES 1"), "id", "not an id"),
        (ROW.replace("1234 bcd", "X" * 17), "plate", "longer than 16"),
        (ROW.replace("40.4168", "40,4168"), "", "9 cells under 8 headings"),
    ],
)
def test_rejected_rows_say_why(row: str, column: str, words: str) -> None:
    """A bad cell rejects its row, with the line, the column and a reason."""
    ((line, told, reason),) = reasons(row)
    assert (line, told) == (2, column)
    assert words in reason


def test_every_reason_of_a_row() -> None:
    """All that is wrong with a row is told at once, and good rows are read all the same."""
    source = read_csv((HEAD + "ES-2,850,X,Spian,M,1,1,asleep\n" + ROW).encode())
    assert [problem.column for problem in source.problems] == ["battery", "country", "state"]
    assert [record.id for record in source.records] == ["ES-1"]
    assert source.named == {"ES-1", "ES-2"}


def test_a_column_of_fractions() -> None:
    """Where the column counts from 0 to 1, a 1 in it is not taken for one per cent."""
    source = read_csv(b"id,battery\n1,0.5\n2,1\n3,1.0\n4,0\n")
    assert [record.id for record in source.records] == ["4"]


def test_lines_are_counted_in_the_file() -> None:
    """Blank lines do not shift the lines that are told."""
    source = read_csv(b'id,battery,city\n\n1,5,"Las Rozas"\n\n2,500,x\n')
    assert [(record.id, record.line) for record in source.records] == [("1", 3)]
    assert source.problems[0].line == 5


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"plate,battery\n1,2\n", b"\x89PNG\x00\x01\x02", b"id,id\n1,2\n", b"id,lat,latitude\n1,2,3\n"],
)
def test_files_that_cannot_be_read(content: bytes) -> None:
    """A file without an id among its headings, or no CSV at all, is refused as a whole."""
    with pytest.raises(UnreadableSource):
        read_csv(content)


def test_an_endless_quote_is_refused() -> None:
    """A cell beyond the reader's limit is an error that names its line."""
    with pytest.raises(UnreadableSource, match="Line 2"):
        read_csv(b'id,plate\n1,"' + b"x\n" * 200_000)


@pytest.mark.parametrize(
    "text",
    [
        'id,city\nES-1,Madrid\nES-3,"Madrid\nES-4,Sevilla\nES-5,Vigo\n',
        'id,city\nES-1,Madrid\nES-3,"Madrid\nES-4,"Sevilla"\nES-5,Vigo\n',
        'id,city\nES-1,Madrid\nES-3,"Madrid\r\n',
        'id,city\nES-1,Madrid\nES-3,"Madrid',
        'id,city\nES-1,Madrid\nES-3,"Madrid""\n',
        'id,remarks\nES-1,x\nES-3,"one\ntwo"\n',
    ],
    ids=repr,
)
def test_an_unclosed_quote(text: str) -> None:
    """A quote that runs over the end of its line swallows no rows: the file is refused, with the line."""
    with pytest.raises(UnreadableSource, match="Line 3 "):
        read_csv(text.encode())


def test_quotes_within_a_line() -> None:
    """Quotes that close in their line are read as they are meant, at the end of the file too."""
    assert only('id,city\nES-1,"Ma,""d"" rid"').city == 'Ma,"d" rid'


@pytest.mark.parametrize("quote", ["", '"'])
def test_an_endless_first_line(quote: str) -> None:
    """A cell longer than can be read is refused, in the headings as anywhere."""
    with pytest.raises(UnreadableSource, match="Line 1 "):
        read_csv(f"{quote}{'x' * 140_000},id\n1,2\n".encode())


@pytest.mark.parametrize(
    ("head", "row"),
    [("id,city\n", "ES-2,Ma\adrid\n"), ("id,plate\n", "ES-2,1\x1b2\n"), ("id\n", "telemetry\n"), ("id\n", "..\n")],
    ids=repr,
)
def test_what_a_vehicle_cannot_be_called(head: str, row: str) -> None:
    """Control characters, and ids that no address can hold, reject their row."""
    assert [line for line, _column, _reason in reasons(row, head)] == [2]


def test_headings_are_mapped_by_hand() -> None:
    """A mapping by hand goes before the spellings, and may pass a column over."""
    columns = {"Nr": "id", "Ladung": "battery", "battery": ""}
    source = read_csv(b"Nr,Ladung,battery,plate\n7,55,66,X1\n", columns=columns)
    assert [(record.id, record.battery, record.plate) for record in source.records] == [("7", 55, "X1")]


def test_what_was_found_is_told() -> None:
    """Encoding, separator and what each heading was taken for are told, also where there is no id among them."""
    reading = CsvReading(io.BytesIO("id;matrícula;color\n1;2;3\n".encode("cp1252")))
    assert reading.found.headings == [("id", "id"), ("matrícula", "plate"), ("color", "")]
    assert [value for _label, value in reading.found.facts] == ["Windows-1252", ";"]
    with pytest.raises(UnreadableSource) as error:
        CsvReading(io.BytesIO(b"Nr,plate\n1,2\n"))
    assert error.value.found.headings == [("Nr", ""), ("plate", "plate")]


def test_last_signals_have_an_offset() -> None:
    """A time with its offset is read; one without could be any zone's."""
    record = only("id,last_seen\n1,2026-03-01T12:00:00+01:00\n")
    assert record.last_signal_at is not None
    assert record.last_signal_at.isoformat() == "2026-03-01T12:00:00+01:00"
    ((_line, column, reason),) = reasons("1,2026-03-01 12:00:00\n", "id,last_seen\n")
    assert column == "last_seen"
    assert "offset" in reason


def test_what_was_neutralised_comes_back() -> None:
    """The quote before what a spreadsheet would run is not part of the value; a quote of the value's own stays."""
    record = only("id,city\n'-5,'=SUM(A1)\n")
    assert (record.id, record.city) == ("-5", "=SUM(A1)")
    assert only("id,city\n1,'s-Hertogenbosch\n").city == "'s-Hertogenbosch"


class Endless(io.RawIOBase):
    """A file of so many rows that are made as they are read."""

    def __init__(self, rows: int) -> None:
        self._rows, self._row, self._rest = rows, -1, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        assert (offset, whence) == (0, 0)
        self._row, self._rest = -1, b""
        return 0

    def tell(self) -> int:
        return 0

    def read(self, size: int = -1) -> bytes:
        parts = [self._rest]
        length = len(self._rest)
        while length < size and self._row < self._rows:
            row = HEAD.encode() if self._row < 0 else ROW.replace("ES-1", f"ES-{self._row}").encode()
            self._row += 1
            parts.append(row)
            length += len(row)
        text = b"".join(parts)
        self._rest = text[size:]
        return text[:size]


def test_a_large_file_is_not_held() -> None:
    """Twenty times the rows take no more memory: the file is read as a stream."""

    def peak(rows: int) -> int:
        tracemalloc.start()
        count = sum(1 for _row in CsvReading(Endless(rows)).rows())  # type: ignore[arg-type]
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == rows
        return found

    peak(100)  # what is read in once and kept: names of countries, say
    assert peak(40_000) < peak(2_000) + 6 * 1024 * 1024
