"""A CityTrips that measures: it takes what arrives as fast as the socket gives it, and looks into it when asked.

A program of its own (``python -m tests.bench.partner``) that imports nothing of the project. It prints the port of its
control channel: one JSON object a line, ``{"do": …, "line": …}``, answered by one JSON value a line. A *line* is one
operator: a port of its own, the sockets that came to it, and what it holds. Times are those of the machine's monotonic
clock, which all processes share.

What arrives is kept as it came, masked, and read only when somebody asks what the line holds, so that reading does not
slow the sender that is being measured. Three ways to be worse than that are variables of a line:

* ``rate``: bytes a second that are read, 0 for as fast as they come;
* ``delay``: seconds until a message is acted on. The frames are read and pings answered at once; when the socket ends
  before, the message is dropped, as by a program whose handler dies with its connection;
* ``greeting``: "answer", "close" (each connection is accepted and closed) or "refuse" (HTTP 503).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from websockets.speedups import apply_mask

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_ESTABLISHED: Final = 1  # the first byte of Linux's TCP_INFO
_TEXT, _CLOSE, _PING = 1, 8, 9


@dataclass(slots=True)
class Message:
    """One message as it came. ``began`` and ``ended`` are the times of its first and last byte."""

    socket: Socket
    frames: list[tuple[bytes, bytes]]
    began: float
    ended: float = 0.0
    size: int = 0

    def text(self) -> bytes:
        return b"".join(apply_mask(data, mask) for mask, data in self.frames)

    def command(self) -> str:
        """Read from the first hundred bytes, which is where every sender puts it."""
        mask, data = self.frames[0]
        found = re.search(rb'"command" *: *"([^"]*)"', apply_mask(data[:100], mask))
        return found.group(1).decode() if found else ""


@dataclass(slots=True)
class Facts:
    """What is remembered of one socket."""

    accepted: float
    authenticated: float | None = None
    ended: float | None = None


@dataclass(slots=True)
class Line:
    name: str
    port: int = 0
    rate: float = 0.0
    delay: float = 0.0
    greeting: str = "answer"
    keep_arrivals: bool = False
    server: asyncio.Server | None = None
    sockets: list[Socket] = field(default_factory=list)
    facts: list[Facts] = field(default_factory=list)
    vehicles: dict[str, Any] = field(default_factory=dict)
    waiting: deque[Message] = field(default_factory=deque)
    received: list[dict[str, Any]] = field(default_factory=list)
    arrivals: list[list[Any]] = field(default_factory=list)
    dropped: int = 0

    def read(self, now: float) -> None:
        """Act on what has waited long enough; drop what was not acted on when its socket ended."""
        while self.waiting:
            message = self.waiting[0]
            due, ended = message.ended + self.delay, message.socket.facts.ended
            if ended is not None and ended < due:
                self.dropped += 1
            elif due > now:
                return
            else:
                self._hold(message)
            self.waiting.popleft()

    def _hold(self, message: Message) -> None:
        root = orjson.loads(message.text())
        command, payload = root["command"], root["payload"]
        if command == "s_vehicle/full":
            self.vehicles = {}
        elif command != "s_vehicle/incremental":
            return
        for vehicle in payload:
            self.vehicles[vehicle["id"]] = vehicle
            if self.keep_arrivals and command == "s_vehicle/incremental":
                self.arrivals.append([vehicle["id"], vehicle["location"]["latitude"], message.ended])


class Socket(asyncio.Protocol):
    """One connection: the handshake, then frames."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._buffer = bytearray()
        self._open = False
        self._message: Message | None = None
        self.silent = False
        self.facts = Facts(time.monotonic())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self._line.sockets.append(self)
        self._line.facts.append(self.facts)

    def connection_lost(self, error: Exception | None) -> None:
        self.facts.ended = self.facts.ended or time.monotonic()
        if self in self._line.sockets:
            self._line.sockets.remove(self)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self._line.rate:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(len(data) / self._line.rate, self._read_on)
        self._buffer += data
        if not self._open:
            self._shake_hands()
        if self._open:
            while self._frame(now):
                pass

    def _read_on(self) -> None:
        if not self.silent and not self.transport.is_closing():
            self.transport.resume_reading()

    def _shake_hands(self) -> None:
        head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not end:
            return
        if self._line.greeting == "refuse":
            self.transport.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.transport.close()
            return
        key = re.search(rb"(?im)^sec-websocket-key: *(\S+)", head)
        answer = base64.b64encode(hashlib.sha1(key.group(1) + _GUID, usedforsecurity=False).digest()) if key else b""
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + answer + b"\r\n\r\n"
        )
        self._open = True
        del self._buffer[: len(self._buffer) - len(rest)]
        if self._line.greeting == "close":
            self._write(_CLOSE, struct.pack("!H", 1001))
            self.transport.close()

    def _frame(self, now: float) -> bool:
        """Take one whole frame out of the buffer; whether there was one."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        length, start = buffer[1] & 0x7F, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if len(buffer) < 2 + size:
                return False
            length, start = int.from_bytes(buffer[2 : 2 + size]), 2 + size
        opcode, final = buffer[0] & 0x0F, bool(buffer[0] & 0x80)
        if opcode < _CLOSE and self._message is None:
            self._message = Message(self, [], now)
        if len(buffer) < start + 4 + length:
            return False
        mask, data = bytes(buffer[start : start + 4]), bytes(buffer[start + 4 : start + 4 + length])
        del buffer[: start + 4 + length]
        if opcode < _CLOSE:
            assert self._message is not None
            self._message.frames.append((mask, data))
            self._message.size += length
            if final:
                message, self._message = self._message, None
                message.ended = now
                self._take(message)
        elif opcode == _PING and not self.silent:
            self._write(10, apply_mask(data, mask))
        elif opcode == _CLOSE:
            self.facts.ended = now
            self._write(_CLOSE, apply_mask(data, mask)[:2])
            self.transport.close()
        return True

    def _take(self, message: Message) -> None:
        command = message.command()
        facts = {"began": message.began, "ended": message.ended, "size": message.size, "frames": len(message.frames)}
        self._line.received.append({"command": command, **facts})
        if command == "s_ext/authenticate":
            self.facts.authenticated = message.ended
            self.say("s_ext/auth_succesful", None)
        else:
            self._line.waiting.append(message)

    def say(self, command: str, payload: object) -> None:
        self._write(_TEXT, orjson.dumps({"command": command, "payload": payload}))

    def _write(self, opcode: int, data: bytes) -> None:
        size = len(data)
        length = bytes([size]) if size < 126 else b"\x7e" + struct.pack("!H", size)
        if size > 0xFFFF:
            length = b"\x7f" + struct.pack("!Q", size)
        self.transport.write(bytes([0x80 | opcode]) + length + data)

    def reset(self) -> None:
        """End with a reset: whatever is unread or unsent is lost."""
        self.facts.ended = self.facts.ended or time.monotonic()
        with contextlib.suppress(OSError):
            raw = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def fall_silent(self) -> float:
        """Neither read nor write from now on, without closing; the time at which the other side gave up."""
        self.silent = True
        self.transport.pause_reading()
        raw = self.transport.get_extra_info("socket")
        while raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED:
            await asyncio.sleep(0.02)
        gave_up = time.monotonic()
        self.reset()
        return gave_up


class Program:
    """The lines and the control channel."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while text := await reader.readline():
            request = orjson.loads(text)
            answer = await getattr(self, "do_" + request.pop("do"))(request.pop("line"), **request)
            writer.write(orjson.dumps(answer) + b"\n")
            await writer.drain()
        writer.close()

    async def do_open(self, name: str, **variables: Any) -> int:
        """Make a line and listen for it; the port."""
        self._lines[name] = Line(name, **variables)
        return await self.do_listen(name)

    async def do_listen(self, name: str) -> int:
        line = self._lines[name]
        if line.server is None:
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if line.rate:
                # Otherwise the kernel would read some megabytes ahead of us.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            raw.bind(("127.0.0.1", line.port))
            line.port = raw.getsockname()[1]
            line.server = await asyncio.get_running_loop().create_server(lambda: Socket(line), sock=raw)
        return line.port

    async def do_leave(self, name: str) -> float:
        """Be gone: reset every socket, and refuse to be connected to; the time."""
        line = self._lines[name]
        if line.server is not None:
            line.server.close()
            line.server = None
        return await self.do_reset(name)

    async def do_reset(self, name: str) -> float:
        for one in list(self._lines[name].sockets):
            one.reset()
        return time.monotonic()

    async def do_vary(self, name: str, **variables: Any) -> None:
        for variable, value in variables.items():
            setattr(self._lines[name], variable, value)

    async def do_say(self, name: str, command: str, payload: object) -> float:
        at = time.monotonic()
        for one in self._lines[name].sockets:
            if one.facts.authenticated is not None:
                one.say(command, payload)
        return at

    async def do_say_raw(self, name: str, text: str) -> None:
        """Text that need not be a message."""
        for one in self._lines[name].sockets:
            one._write(_TEXT, text.encode())

    async def do_fall_silent(self, name: str) -> list[float]:
        """Leave the newest socket half open; when it was, and when the other side gave up."""
        began = time.monotonic()
        return [began, await self._lines[name].sockets[-1].fall_silent()]

    async def do_holds(self, name: str) -> dict[str, Any]:
        line = self._lines[name]
        line.read(time.monotonic())
        return line.vehicles

    async def do_counts(self, name: str) -> dict[str, int]:
        """How many vehicles are held, and how many messages were dropped unread."""
        line = self._lines[name]
        line.read(time.monotonic())
        return {"held": len(line.vehicles), "dropped": line.dropped, "waiting": len(line.waiting)}

    async def do_arrivals(self, name: str) -> list[list[Any]]:
        line = self._lines[name]
        line.read(time.monotonic())
        return line.arrivals

    async def do_received(self, name: str) -> list[dict[str, Any]]:
        return self._lines[name].received

    async def do_sockets(self, name: str) -> list[list[float | None]]:
        """Of each socket: when it was accepted, authenticated and ended."""
        return [[one.accepted, one.authenticated, one.ended] for one in self._lines[name].facts]

    async def do_forget(self, name: str) -> None:
        """Drop what was received, to free its memory."""
        line = self._lines[name]
        line.waiting.clear()
        line.received.clear()
        line.vehicles = {}


async def main() -> None:
    program = Program()
    server = await asyncio.start_server(program.control, "127.0.0.1", 0, limit=2**26)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # The harness holds our standard input: when it dies, however it dies, so do we.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
