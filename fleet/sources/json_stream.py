"""A JSON object read member by member, the elements of some of its lists one by one: what is held is one element.

The standard library reads a document as a whole, which for a feed of 64 MiB takes several hundred. No I/O but reading
the file; no Django but its translation.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO, Final

from django.utils.translation import gettext

from fleet.errors import UnreadableSource

_CHUNK: Final = 256 * 1024
_LARGEST_VALUE: Final = 16 * 1024 * 1024
_BLANK = re.compile(r"[ \t\n\r]*")


class JsonStream:
    """An object's members. `lists` names, by path, the lists whose elements come one by one, and `objects` what is
    gone into for them.

    >>> JsonStream(file, objects={("data",)}, lists={("data", "bikes")}).events()
    """

    def __init__(
        self, file: BinaryIO, *, objects: Collection[tuple[str, ...]], lists: Collection[tuple[str, ...]]
    ) -> None:
        self._file = file
        self._objects = objects
        self._lists = lists
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._at = 0
        self._lines_before = 0
        self._ended = False

    def events(self) -> Iterator[tuple[tuple[str, ...], int | None, Any]]:
        """(path, None, value) for each member, and (path, number, element) for those of the lists, from 0."""
        try:
            yield from self._members(())
            if self._next():
                raise self._wrong(gettext("something follows the end"))
        except UnicodeDecodeError:
            raise UnreadableSource(gettext("The file is not in UTF-8, as JSON has to be.")) from None
        except RecursionError:
            raise UnreadableSource(gettext("The JSON is nested too deeply.")) from None

    def _members(self, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int | None, Any]]:
        self._expect("{")
        if self._next() == "}":
            self._at += 1
            return
        while True:
            if self._next() != '"':
                raise self._wrong(gettext("a name in quotes is expected"))
            here = (*path, self._value())
            self._expect(":")
            sign = self._next()
            if here in self._objects and sign == "{":
                yield from self._members(here)
            elif here in self._lists and sign == "[":
                yield from self._elements(here)
            else:
                yield here, None, self._value()
            if self._ends("}"):
                return

    def _elements(self, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int | None, Any]]:
        yield path, None, None
        self._at += 1
        if self._next() == "]":
            self._at += 1
            return
        number = 0
        while True:
            yield path, number, self._value()
            number += 1
            if self._ends("]"):
                return

    def _ends(self, sign: str) -> bool:
        found = self._next()
        if found not in (sign, ","):
            raise self._wrong(gettext("a comma or %(sign)s is expected") % {"sign": sign})
        self._at += 1
        return found == sign

    def _expect(self, sign: str) -> None:
        if self._next() != sign:
            raise self._wrong(gettext("%(sign)s is expected") % {"sign": sign})
        self._at += 1

    def _next(self) -> str:
        """The next sign that is not blank; empty at the end."""
        while True:
            blank = _BLANK.match(self._buffer, self._at)
            self._at = blank.end() if blank else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._fill():
                return ""

    def _value(self) -> Any:
        self._next()
        wanted = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if not self._fill(wanted):
                    self._at = min(error.pos, len(self._buffer))
                    raise self._wrong(error.msg) from None
            except ValueError as error:  # a number of thousands of digits
                raise self._wrong(str(error)) from None
            else:
                # A number may go on behind the end of what was read so far.
                if end < len(self._buffer) or not self._fill(wanted):
                    self._at = end
                    return value
            wanted *= 2  # so that a large value is not begun anew for each piece
            if len(self._buffer) - self._at > _LARGEST_VALUE:
                raise self._wrong(gettext("a single value is larger than 16 MiB"))

    def _fill(self, wanted: int = _CHUNK) -> bool:
        """Read on, and forget what is behind; False at the end."""
        if self._ended:
            return False
        self._lines_before += self._buffer.count("\n", 0, self._at)
        chunk = self._file.read(wanted)
        self._ended = not chunk
        self._buffer = self._buffer[self._at :] + self._decode(chunk, not chunk)
        self._at = 0
        return bool(chunk)

    def _wrong(self, what: str) -> UnreadableSource:
        line = 1 + self._lines_before + self._buffer.count("\n", 0, self._at)
        if not self._next():
            what = gettext("it ends too early")
        return UnreadableSource(
            gettext("This is no JSON that can be read: in line %(line)s %(what)s.") % {"line": line, "what": what}
        )
