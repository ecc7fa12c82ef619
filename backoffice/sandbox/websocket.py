"""The server's side of RFC 6455, without I/O: bytes go in, messages and control frames come out.

Written by itself, so that the line's own library is not tested against itself, and so that it can be told to do what a
well-behaved server never would. No extension is offered.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
HEAD_LIMIT = 16 * 1024
"""Bytes of a request's head."""


class Opcode(IntEnum):
    """Section 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class ProtocolError(Exception):
    """The peer broke the protocol, or a limit; ``code`` is the close code to answer with (section 7.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message. ``began`` is when its first frame's header was read, in seconds of the reader's clock."""

    data: str | bytes
    began: float
    fragments: int


@dataclass(frozen=True, slots=True)
class Control:
    """A ping, pong or close frame."""

    opcode: Opcode
    data: bytes

    @property
    def close(self) -> tuple[int, str]:
        """The code and reason of a close frame; 1005 where it has none."""
        if len(self.data) < 2:
            return 1005, ""
        return int.from_bytes(self.data[:2], "big"), self.data[2:].decode(errors="replace")


# --- The handshake, section 4.2 ----------------------------------------------------------------------------------


def accept(head: bytes) -> bytes:
    """The answer to a request to open, given everything up to its empty line.

    :raises ProtocolError: it is no such request; the reason is for the body of an HTTP 400.
    """
    request, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if not request.startswith("GET ") or headers.get("upgrade", "").lower() != "websocket":
        raise ProtocolError(1002, "not a request for a WebSocket")
    key = headers.get("sec-websocket-key", "")
    if headers.get("sec-websocket-version") != "13" or not key:
        raise ProtocolError(1002, "Sec-WebSocket-Key and version 13 are needed")
    digest = hashlib.sha1(key.encode() + _GUID).digest()  # noqa: S324  # section 1.3 asks for it
    return http(101, Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Accept=base64.b64encode(digest).decode())


def http(status: int, body: str = "", **headers: str) -> bytes:
    """An HTTP answer; underscores in the headers' names stand for hyphens."""
    if status != 101:
        headers |= {"Content_Length": str(len(body.encode())), "Connection": "close"}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status} -", *lines, "", body]).encode()


# --- Frames, section 5 -------------------------------------------------------------------------------------------


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    """One unmasked frame, as a server sends it."""
    first = opcode | (0x80 if fin else 0)
    if len(data) < 126:
        return struct.pack(">BB", first, len(data)) + data
    if len(data) < 1 << 16:
        return struct.pack(">BBH", first, 126, len(data)) + data
    return struct.pack(">BBQ", first, 127, len(data)) + data


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; 1005, which never stands on the wire, is one without a code."""
    return frame(Opcode.CLOSE, b"" if code == 1005 else struct.pack(">H", code) + reason.encode()[:123])


def masked(data: bytes, key: bytes) -> bytes:
    """``data`` under the mask ``key``, or without it: the two are the same."""
    size = len(data)
    mask = key * (size // 4) + key[: size % 4]
    return (int.from_bytes(data, "little") ^ int.from_bytes(mask, "little")).to_bytes(size, "little")


@dataclass(frozen=True, slots=True)
class _Header:
    opcode: Opcode
    fin: bool
    size: int
    key: bytes


class Reader:
    """Takes a client's bytes as they come. ``limit`` is in bytes of a message; None is no limit."""

    def __init__(self, limit: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._buffer = bytearray()
        self._header: _Header | None = None
        self._kind: Opcode | None = None  # of the message whose fragments are arriving
        self._parts: list[bytes] = []
        self._size = 0
        self._began = 0.0

    def receive(self, data: bytes) -> Iterator[Message | Control]:
        """What is complete now that ``data`` has arrived, in order; to be taken to the end.

        :raises ProtocolError: nothing after this can be read. A message over the limit is told by its header, before
            its body has arrived.
        """
        self._buffer += data
        while (header := self._header or self._read_header()) and len(self._buffer) >= header.size:
            body = masked(bytes(memoryview(self._buffer)[: header.size]), header.key)
            del self._buffer[: header.size]
            self._header = None
            if header.opcode >= Opcode.CLOSE:
                yield Control(header.opcode, body)
                continue
            self._parts.append(body)
            if header.fin:
                yield self._message()

    def _read_header(self) -> _Header | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        size = second & 0x7F
        start = 2 + {126: 2, 127: 8}.get(size, 0)
        if len(buffer) < start + 4:
            return None
        if size >= 126:
            size = int.from_bytes(buffer[2:start], "big")
        self._check(first, second, size)
        self._header = _Header(Opcode(first & 0x0F), bool(first & 0x80), size, bytes(buffer[start : start + 4]))
        del buffer[: start + 4]
        return self._header

    def _check(self, first: int, second: int, size: int) -> None:
        opcode = first & 0x0F
        if first & 0x70 or opcode not in Opcode.__members__.values():
            raise ProtocolError(1002, "a reserved bit or opcode")
        if not second & 0x80:
            raise ProtocolError(1002, "a client's frames are masked")
        if opcode >= Opcode.CLOSE:
            if size > 125 or not first & 0x80:
                raise ProtocolError(1002, "a control frame is whole and short")
            return
        if (opcode == Opcode.CONTINUATION) != (self._kind is not None):
            raise ProtocolError(1002, "a fragment out of order")
        if self._kind is None:
            self._kind, self._size, self._began = Opcode(opcode), 0, self._clock()
        self._size += size
        if self.limit is not None and self._size > self.limit:
            raise ProtocolError(1009, f"over {self.limit} bytes")

    def _message(self) -> Message:
        data, kind, fragments = b"".join(self._parts), self._kind, len(self._parts)
        self._kind, self._parts = None, []
        if kind is Opcode.BINARY:
            return Message(data, self._began, fragments)
        try:
            return Message(data.decode(), self._began, fragments)
        except UnicodeDecodeError:
            raise ProtocolError(1007, "text that is no UTF-8") from None
