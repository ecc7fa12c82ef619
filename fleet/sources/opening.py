"""A source, whatever it is, made ready to be read: a file or an address, a table or a feed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, cast

from django.utils.translation import gettext

from fleet.errors import UnreadableSource
from fleet.sources import gbfs
from fleet.sources.csv_file import CsvReading
from fleet.sources.fetch import Limits, fetch, is_address
from fleet.sources.records import Progress, Reading

LARGEST_FILE: Final = 1024 * 1024 * 1024
FORMATS: Final = ("csv", "gbfs")


@dataclass(frozen=True, slots=True)
class Options:
    """How to read: the format (empty: found out), what rows that name none are in, and headings mapped by hand."""

    format: str = ""
    country: str = ""
    city: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


def open_file(path: Path, name: str = "") -> BinaryIO:
    """A file on this machine; raises UnreadableSource for what is none, without waiting at a pipe."""
    try:
        if path.exists() and not path.is_file():
            raise UnreadableSource(gettext("It is no plain file."))
        file = path.open("rb")
    except ValueError:  # NUL in the name
        raise UnreadableSource(gettext("This cannot be the name of a file.")) from None
    except OSError as error:
        raise UnreadableSource(f"{error.strerror or error}.") from None
    if file.seek(0, 2) > LARGEST_FILE:
        file.close()
        raise UnreadableSource(gettext("The file is larger than %(size)s MiB.") % {"size": LARGEST_FILE // 2**20})
    file.seek(0)
    return file


def download(url: str, limits: Limits, progress: Progress | None = None) -> tuple[BinaryIO, str]:
    """An address in a temporary file that goes when it is closed, and where it came from in the end."""
    file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 (whoever asked closes it)
    try:
        came_from = fetch(url, file, limits=limits, progress=progress)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file, came_from


def open_source(
    source: str | BinaryIO, options: Options, stack: ExitStack, progress: Progress | None = None, *, base: str = ""
) -> Reading:
    """A source ready to be read: an address, the name of a file, or a seekable file; `stack` closes what is opened.

    `base` is the address that a file came from, for what it leads to. Raises UnreadableSource.
    """
    if isinstance(source, str):
        if is_address(source):
            file, base = download(source, options.limits, progress)
        else:
            file = open_file(Path(source))
        stack.enter_context(file)
    else:
        file = source
    kind = options.format or guessed_format(file)
    if kind == "csv":
        return CsvReading(file, columns=options.columns, country=options.country, city=options.city)

    def open_feed(url: str) -> BinaryIO:
        feed, _came_from = download(url, options.limits, progress)
        return stack.enter_context(feed)

    vehicles, system = gbfs.follow(file, base, open_feed)
    return gbfs.GbfsReading(vehicles, system, country=options.country, city=options.city)


def guessed_format(file: BinaryIO) -> str:
    """A feed begins with a brace; a table with a heading."""
    file.seek(0)
    start = file.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip()
    file.seek(0)
    if start[:1] == b"[":
        raise UnreadableSource(gettext("This is JSON, but no GBFS: a feed is an object with data in it."))
    if start[:1] == b"<":
        raise UnreadableSource(gettext("This is a page or XML. CSV and GBFS (JSON) are read."))
    if start[:4] == b"PK\x03\x04":
        raise UnreadableSource(gettext("This is a spreadsheet or an archive. Save the table as CSV."))
    return "gbfs" if start[:1] == b"{" else "csv"
