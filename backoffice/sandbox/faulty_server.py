"""CityTrips with faults, for tests, benchmarks and fault schedules: it does to the line what a partner or a network may do,
and keeps the truth of what reached it.

In a program's own event loop::

    async with FaultyServer() as partner:
        ...connect to partner.url...
        partner.script.read_rate = 400_000
        partner.add_rule(command="s_vehicle/full", drops=True, then={"do": "forget"})
        partner.reset()
        partner.truth.vehicles

In a process of its own::

    python -m backoffice.sandbox.faulty_server [--port N] [--control N] [--receive-buffer BYTES]

It prints one line of JSON, ``{"url": "ws://127.0.0.1:N/v1", "port": N, "control": N or null}``, and then answers each line of
JSON on its standard input with one line of JSON on its standard output. With ``--control N`` (0: any free port) it answers
the same lines on that port of 127.0.0.1, to any number of connections, and standard input may be closed; without it, the
end of standard input ends the program. A request names what to ``do``; a bare word means ``{"do": word}``. Each answer
holds ``"ok"``: true, or false with ``"error"``. All times are ``time.monotonic()``, which processes of one machine share.

Questions:

``{"do": "state"}``
    ``at``, ``held`` (number of vehicles), ``open``, ``authenticated`` (sockets now), ``most_authenticated`` (ever at once),
    ``connections`` (accepted), ``authentications``, ``messages`` ({command: count}), ``dropped`` (messages thrown away),
    ``bytes``, ``pings``, ``replies`` (number), ``script``, ``rules`` (number), and ``vehicles`` ({id: vehicle}) unless
    ``"vehicles": false``.
``{"do": "arrivals"}``
    ``arrivals``: ``[id, battery, at]`` for each vehicle of each message since the last time this was asked, in order. The first
    time it is empty: from then on arrivals are kept.
``{"do": "events", "after": 0}``
    ``events`` with a ``number`` above ``after``: ``{number, at, connection, kind, command, size, vehicles, began, fragments,
    note}``. ``kind`` is connected, authenticated, rejected, message, dropped, objected, unreadable or closed; ``began``
    is when a message's first byte was read and ``at`` when its last was; ``note`` says why. The last 100,000 are kept.
``{"do": "replies"}``
    ``replies``: ``{at, connection, command, payload}`` for each ``s_user/new`` and ``s_ext/error`` that was received.

Lasting faults, by ``{"do": "fault", NAME: VALUE, …}``; ``{"do": "calm"}`` takes all back, with the rules and stalls: the names
are the fields of :class:`Script`.

Rules, by ``{"do": "rule", …}`` with the fields of :class:`Rule`: what happens as the n-th message arrives.

Faults at once, which take effect on every open connection, and answer with ``reached``, how many these are:

=====================================================  =============================================================
``reset``                                              break off with RST
``close`` (``code`` 1000, ``reason``)                  close politely
``stall``, ``resume``                                  neither read, write nor end; and go on
``forget`` (``tell`` true)                             forget the authentication, and say ``must_authenticate``
``error`` (``reason``)                                 send ``s_ext/error``
``ask`` (``times`` 1)                                  send ``s_vehicle/full_request`` so many times
``user`` (``times`` 1, ``number``, ``images`` 0,       send ``s_user/new`` so many times: the person ``number``, or a new
``fields`` {})                                         one each time; with images of so many bytes; with other fields
``garbage`` (``kind``, ``times`` 1)                    send what is no message: one of ``GARBAGE``
``oversize`` (``size`` 12 MiB + 1)                     send one message of so many bytes
``say`` (``command``, ``payload``)                     send any message
``say_raw`` (``text``)                                 send any text
=====================================================  =============================================================

``{"do": "down"}`` stops listening and resets every connection, ``{"do": "up"}`` listens again on the same port;
``{"do": "clear"}`` empties events, arrivals, replies and counts, but not the vehicles; ``{"do": "quit"}`` ends the program.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import ssl as tls
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from backoffice.sandbox import citytrips_contract as contract
from backoffice.sandbox import websocket
from backoffice.sandbox.websocket import Control, Message, Opcode, ProtocolError

CHUNK = 256 * 1024
CLOSE_TIME = 2.0
"""Seconds that a client has to answer a close."""
SMALL = 64 * 1024
"""Characters up to which the payload of a message is kept with its event."""

GARBAGE: dict[str, str | bytes] = {
    "invalid": '{"command": "s_vehicle/full_request", "payload"',
    "empty": "",
    "array": "[1, 2, 3]",
    "binary": b"\x00\xff\x00",
    "nan": '{"command": "s_vehicle/full_request", "payload": {"reason": NaN}}',
    "deep": '{"command": "s_test/deep", "payload": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "no_command": '{"payload": {"reason": "no command"}}',
    "odd_command": '{"command": {"s_ext": "error"}, "payload": null}',
    "unknown_command": '{"command": "s_booking/new", "payload": {"vehicle": "ES-1"}}',
    "wrong_payload": '{"command": "s_ext/error", "payload": [["reason"]]}',
    "surrogate": '{"command": "s_test/\\ud800", "payload": {"reason": "\\udfff"}}',
}


# --- What it is told to do ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Script:
    """The faults that last until they are taken back."""

    connect: Literal["answer", "refuse", "redirect", "silence", "reset", "close"] = "answer"
    """What a connection meets: an answer; an HTTP ``status``; a redirect to ``redirect_to``; nothing at all; an RST before
    the handshake; or a close with ``close_code`` right after it."""
    status: int = 503
    redirect_to: str = ""
    close_code: int = 1000
    authentication: Literal["accept", "refuse", "ignore"] = "accept"
    """The answer to ``s_ext/authenticate``. A client id or key other than these two is refused in any case."""
    client_id: str = ""
    api_key: str = ""
    asks_for_full: bool = True
    """Whether a ``full_request`` follows each authentication."""
    read_rate: int | None = None
    """Bytes read a second; None: as they come."""
    limit: int | None = None
    """Bytes of a message above which the connection is closed with 1009, once the header has told."""
    lingers: bool = False
    """Whether the connection stays open for a while after that, as some servers leave it."""
    pongs: Literal["send", "withhold"] = "send"
    drops: bool = False
    """Whether vehicles are thrown away when they arrive, though pings are still answered."""
    reset_after: int | None = None
    """Bytes of one connection after which it is broken off with RST."""


@dataclass(slots=True)
class Rule:
    """What happens as a message arrives: the first ``skip`` that fit pass, and the next ``times`` are caught (0: all)."""

    command: str = ""
    """Of this command; empty: a full or an incremental."""
    vehicle: str = ""
    """Only if it carries the vehicle of this id."""
    skip: int = 0
    times: int = 1
    drops: bool = False
    """Whether the message is thrown away instead of being acted on."""
    then: dict[str, Any] = field(default_factory=dict)
    """A fault at once, as in the control, on this connection: ``{"do": "error", "reason": "no"}``."""
    seen: int = 0

    def catches(self, command: str, payload: object) -> bool:
        """Whether it is this message's turn; counts it."""
        if command != self.command if self.command else command not in (contract.FULL, contract.INCREMENTAL):
            return False
        if self.vehicle and not (isinstance(payload, list) and any(_id(row) == self.vehicle for row in payload)):
            return False
        self.seen += 1
        return self.seen > self.skip and not (self.times and self.seen > self.skip + self.times)


# --- What it knows -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; ``payload`` is kept of small messages, and never of an authentication."""

    number: int
    at: float
    connection: int
    kind: str
    command: str = ""
    size: int = 0
    vehicles: int = 0
    began: float = 0.0
    fragments: int = 0
    note: str = ""
    payload: object = None

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "payload"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the operator said of a user."""

    at: float
    connection: int
    command: str
    payload: Any


@dataclass(slots=True)
class Truth:
    """What reached the partner, and what it holds."""

    vehicles: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=100_000))
    replies: list[Answer] = field(default_factory=list)
    arrivals: list[tuple[str, int, float]] | None = None
    messages: Counter[str] = field(default_factory=Counter)
    number: int = 0
    connections: int = 0
    authentications: int = 0
    most_authenticated: int = 0
    dropped: int = 0
    bytes: int = 0
    pings: int = 0

    def add(self, connection: int, kind: str, **more: Any) -> None:
        self.number += 1
        self.events.append(Event(self.number, more.pop("at", None) or time.monotonic(), connection, kind, **more))

    def of(self, kind: str, command: str = "") -> list[Event]:
        """The events of a kind, and of a command where one is named."""
        return [
            event for event in list(self.events) if event.kind == kind and (event.command == command or not command)
        ]

    def received(self, command: str) -> list[Any]:
        """The payloads of the messages of a command, in order; None for large ones."""
        return [event.payload for event in self.of("message", command)]

    def clear(self) -> None:
        """Forget all but the vehicles."""
        self.events.clear()
        self.replies.clear()
        self.messages.clear()
        self.arrivals = None
        self.connections = self.authentications = self.most_authenticated = self.dropped = self.bytes = self.pings = 0


# --- One connection ----------------------------------------------------------------------------------------------


class Peer:
    """One operator's connection."""

    def __init__(self, number: int, writer: asyncio.StreamWriter, limit: int | None) -> None:
        self.number = number
        self.reader = websocket.Reader(limit)
        self.authenticated = False
        self.open = False
        self.closing = False
        self.deaf = False
        self.running = asyncio.Event()
        self.running.set()
        self._writer = writer

    def write(self, data: bytes) -> None:
        """Send bytes; a connection that is stalled or gone swallows them."""
        if self.running.is_set() and not self._writer.transport.is_closing():
            self._writer.write(data)

    def say(self, text: str) -> None:
        self.write(websocket.frame(Opcode.TEXT, text.encode(errors="surrogatepass")))

    def reset(self) -> None:
        """Break off with RST."""
        if not self._writer.transport.is_closing():
            raw = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.end()

    def end(self) -> None:
        self.closing = True
        self.running.set()
        self._writer.transport.abort()

    def close(self, code: int, reason: str) -> None:
        """Close politely, and end when the client has answered or :data:`CLOSE_TIME` has passed."""
        self.write(websocket.close_frame(code, reason))
        self.closing = True
        asyncio.get_running_loop().call_later(CLOSE_TIME, self.end)

    def hear_no_more(self, *, lingers: bool) -> None:
        """Throw away unread what still comes, so that the client gets to see the close; say that nothing follows it, or not."""
        self.deaf = True
        if not lingers and self._writer.can_write_eof() and not self._writer.transport.is_closing():
            self._writer.write_eof()

    def stall(self) -> None:
        self.running.clear()
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport has it

    def resume(self) -> None:
        self.running.set()
        if not self._writer.transport.is_closing():
            self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    @property
    def connected(self) -> bool:
        """Whether the client's end is still there: a stalled connection does not see it go by reading."""
        if self._writer.transport.is_closing():
            return False
        raw = self._writer.get_extra_info("socket")
        return bool(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED)


_ESTABLISHED = 1


# --- The server --------------------------------------------------------------------------------------------------


class FaultyServer:
    """The partner. Everything is called on its event loop; ``truth`` may be read from any thread.

    ``receive_buffer`` makes the kernel's buffer for what is not yet read small, so that slow reading is felt at once.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        script: Script | None = None,
        receive_buffer: int | None = None,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        self.port = port
        self.script = script or Script()
        self.truth = Truth()
        self.rules: list[Rule] = []
        self.peers: list[Peer] = []
        self._receive_buffer = receive_buffer
        self._ssl = ssl
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'wss' if self._ssl else 'ws'}://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.down()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def up(self) -> None:
        """Listen, on the same port as before."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._server = await asyncio.start_server(self._accept, sock=listening, ssl=self._ssl, limit=CHUNK)

    def down(self) -> None:
        """Stop listening, and reset every connection."""
        if self._server is not None:
            self._server.close()
        for peer in list(self.peers):
            peer.reset()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.truth.connections += 1
        peer = Peer(self.truth.connections, writer, self.script.limit)
        self.truth.add(peer.number, "connected", note=self.script.connect)
        self.peers.append(peer)
        note = ""
        try:
            if await self._open(peer, reader, writer):
                note = await self._read(peer, reader)
        except (OSError, EOFError, ValueError) as broken:
            note = type(broken).__name__
        finally:
            peer.authenticated = False
            self.peers.remove(peer)
            peer.end()
            self.truth.add(peer.number, "closed", note=note)

    async def _open(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """The handshake; whether a conversation follows."""
        script = self.script
        if script.connect == "reset":
            peer.reset()
            return False
        head = await reader.readuntil(b"\r\n\r\n")
        try:
            answer = websocket.accept(head)
        except ProtocolError as wrong:
            answer = websocket.http(400, wrong.reason)
        match script.connect:
            case "refuse":
                answer = websocket.http(script.status)
            case "redirect":
                answer = websocket.http(307, Location=script.redirect_to)
            case "silence":
                await reader.read()
                return False
        peer.write(answer)
        if not answer.startswith(b"HTTP/1.1 101"):
            await writer.drain()
            writer.close()
            await reader.read()
            return False
        peer.open = True
        if script.connect == "close":
            peer.close(script.close_code, "")
        return True

    async def _read(self, peer: Peer, reader: asyncio.StreamReader) -> str:
        """Read until the end; what the end was."""
        taken = 0
        free_at = time.monotonic()
        while True:
            rate = self.script.read_rate
            data = await reader.read(CHUNK if rate is None else max(1024, rate // 20))
            await peer.running.wait()
            if not data:
                return "ended without a close"
            taken += len(data)
            self.truth.bytes += len(data)
            if self.script.reset_after is not None and taken > self.script.reset_after:
                peer.reset()
                return "reset by the script"
            if not peer.deaf and (end := self._take(peer, data)) is not None:
                return end
            if rate:
                free_at = max(free_at, time.monotonic() - 0.1) + len(data) / rate
                await asyncio.sleep(free_at - time.monotonic())

    def _take(self, peer: Peer, data: bytes) -> str | None:
        """Act on what has arrived; what the end was, where it holds a close frame."""
        try:
            for one in peer.reader.receive(data):
                if isinstance(one, Message):
                    if not peer.closing:
                        self._message(peer, one)
                elif one.opcode is Opcode.CLOSE:
                    if not peer.closing:
                        peer.write(websocket.close_frame(*one.close))
                    return " ".join(map(str, one.close)).strip()
                else:
                    self._control(peer, one)
        except ProtocolError as wrong:
            self.truth.add(peer.number, "unreadable", note=f"{wrong.code} {wrong.reason}")
            peer.close(wrong.code, wrong.reason)
            peer.hear_no_more(lingers=self.script.lingers)
        return None

    def _control(self, peer: Peer, control: Control) -> None:
        if control.opcode is Opcode.PING:
            self.truth.pings += 1
            if self.script.pongs == "send":
                peer.write(websocket.frame(Opcode.PONG, control.data))

    # --- The protocol ---

    def _message(self, peer: Peer, message: Message) -> None:
        at = time.monotonic()
        about: dict[str, Any] = {
            "at": at, "size": len(message.data), "began": message.began, "fragments": message.fragments,
        }  # fmt: skip
        try:
            command, payload = contract.parse(message.data)
        except ValueError as wrong:
            self.truth.add(peer.number, "unreadable", note=str(wrong), **about)
            self.error(str(wrong), to=[peer])
            return
        about |= {"command": command, "vehicles": len(payload) if isinstance(payload, list) else 0}
        if command != contract.AUTHENTICATE and len(message.data) <= SMALL:
            about["payload"] = payload
        self.truth.messages[command] += 1
        caught = [rule for rule in self.rules if rule.catches(command, payload)]
        if any(rule.drops for rule in caught) or (self.script.drops and isinstance(payload, list)):
            self.truth.dropped += 1
            self.truth.add(peer.number, "dropped", **about)
        else:
            self._act(peer, command, payload, about)
        for rule in caught:
            if rule.then:
                self.at_once(rule.then, to=[peer])

    def _act(self, peer: Peer, command: str, payload: object, about: dict[str, Any]) -> None:
        if command == contract.AUTHENTICATE:
            self._authenticate(peer, payload, about)
            return
        if not peer.authenticated:
            self.truth.add(peer.number, "objected", note="not authenticated", **about)
            peer.say(contract.message("s_ext/must_authenticate", {"reason": "authenticate first"}))
            return
        if command in (contract.FULL, contract.INCREMENTAL):
            if problem := contract.vehicles_problem(payload):
                self.truth.add(peer.number, "objected", note=problem, **about)
                self.error(problem, to=[peer])
                return
            self._hold(command, payload, about["at"])
        elif command in (contract.USER, contract.ERROR):
            self.truth.replies.append(Answer(about["at"], peer.number, command, payload))
        self.truth.add(peer.number, "message", **about)

    def _authenticate(self, peer: Peer, payload: Any, about: dict[str, Any]) -> None:
        script = self.script
        if script.authentication == "ignore":
            self.truth.add(peer.number, "dropped", **about)
            return
        good = contract.has_credentials(payload) and all(
            not wanted or payload[name] == wanted
            for name, wanted in (("clientId", script.client_id), ("apiKey", script.api_key))
        )
        if not good or script.authentication == "refuse":
            self.truth.add(peer.number, "rejected", **about)
            peer.say(contract.message("s_ext/auth_error", {"reason": "the key is refused"}))
            return
        peer.authenticated = True
        self.truth.authentications += 1
        self.truth.most_authenticated = max(self.truth.most_authenticated, self.authenticated)
        self.truth.add(peer.number, "authenticated", **about)
        peer.say(contract.message("s_ext/auth_succesful", None))
        if script.asks_for_full:
            self.ask(to=[peer])

    def _hold(self, command: str, payload: Any, at: float) -> None:
        new = {row["id"]: row for row in payload}
        self.truth.vehicles = new if command == contract.FULL else self.truth.vehicles | new
        if self.truth.arrivals is not None:
            self.truth.arrivals += [(row["id"], row["battery"], at) for row in payload]

    @property
    def authenticated(self) -> int:
        """How many sockets are authenticated now and have a client at their other end."""
        return sum(peer.authenticated and peer.connected for peer in self.peers)

    # --- Faults at once: each answers how many connections it reached ---

    def at_once(self, action: dict[str, Any], *, to: list[Peer] | None = None) -> int:
        """Do what a line of the control asks for.

        :raises ValueError: there is no such fault, or it doesn't take this.
        """
        more = dict(action)
        name = more.pop("do", "")
        if name not in AT_ONCE:
            raise ValueError(f"no fault is called {name!r}")
        try:
            reached: int = getattr(self, name)(**more, to=to)
        except (TypeError, KeyError) as wrong:
            raise ValueError(str(wrong)) from None
        return reached

    def _each(self, to: list[Peer] | None, act: Callable[[Peer], object]) -> int:
        peers = [peer for peer in (self.peers if to is None else to) if peer.open and not peer.closing]
        for peer in peers:
            act(peer)
        return len(peers)

    def reset(self, *, to: list[Peer] | None = None) -> int:
        return self._each(to, Peer.reset)

    def close(self, code: int = 1000, reason: str = "", *, to: list[Peer] | None = None) -> int:
        return self._each(to, lambda peer: peer.close(code, reason))

    def stall(self, *, to: list[Peer] | None = None) -> int:
        return self._each(to, Peer.stall)

    def resume(self, *, to: list[Peer] | None = None) -> int:
        return self._each(to, Peer.resume)

    def forget(self, tell: bool = True, *, to: list[Peer] | None = None) -> int:
        """Forget who is authenticated; vehicles are then answered with ``must_authenticate``, if it isn't sent at once."""

        def act(peer: Peer) -> None:
            peer.authenticated = False
            if tell:
                peer.say(contract.message("s_ext/must_authenticate", {"reason": "the session is lost"}))

        return self._each(to, act)

    def say_raw(self, text: str | bytes, times: int = 1, *, to: list[Peer] | None = None) -> int:
        if isinstance(text, bytes):
            data = websocket.frame(Opcode.BINARY, text)
        else:
            data = websocket.frame(Opcode.TEXT, text.encode(errors="surrogatepass"))
        return self._each(to, lambda peer: peer.write(data * times))

    def say(self, command: str, payload: object = None, times: int = 1, *, to: list[Peer] | None = None) -> int:
        return self.say_raw(contract.message(command, payload), times, to=to)

    def error(self, reason: str = "an error", *, to: list[Peer] | None = None) -> int:
        return self.say(contract.ERROR, {"reason": reason}, to=to)

    def ask(self, times: int = 1, *, to: list[Peer] | None = None) -> int:
        return self.say("s_vehicle/full_request", {"reason": "asked for"}, times, to=to)

    def user(
        self,
        times: int = 1,
        number: int | None = None,
        images: int = 0,
        fields: dict[str, Any] | None = None,
        *,
        to: list[Peer] | None = None,
    ) -> int:
        """Ask for a user, as :func:`citytrips_contract.new_user` makes one."""
        pictures = {name: contract.picture(images, seed) for seed, name in enumerate(contract.IMAGES) if images}
        reached = 0
        for _ in range(times):
            reached = self.say(contract.USER, contract.new_user(number, **pictures, **(fields or {})), to=to)
        return reached

    def garbage(self, kind: str = "invalid", times: int = 1, *, to: list[Peer] | None = None) -> int:
        return self.say_raw(GARBAGE[kind], times, to=to)

    def oversize(self, size: int = 12 * 1024 * 1024 + 1, *, to: list[Peer] | None = None) -> int:
        text = contract.message("s_test/large", "")
        return self.say_raw(text[:-2] + "x" * (size - len(text)) + text[-2:], to=to)

    # --- Lasting faults ---

    def fault(self, **faults: Any) -> None:
        """Set fields of the script.

        :raises ValueError: there is no such field.
        """
        known = {one.name for one in fields(Script)}
        if unknown := faults.keys() - known:
            raise ValueError(f"no field of the script: {', '.join(sorted(unknown))}")
        for name, value in faults.items():
            setattr(self.script, name, value)
        for peer in self.peers:
            peer.reader.limit = self.script.limit

    def add_rule(self, **rule: Any) -> Rule:
        made = Rule(**rule)
        self.rules.append(made)
        return made

    def calm(self) -> None:
        """Take back the script, the rules and the stalls."""
        self.fault(**asdict(Script()))
        self.rules.clear()
        self.resume()

    def state(self) -> dict[str, Any]:
        """The counts, for the control."""
        truth = self.truth
        return {
            "at": time.monotonic(),
            "held": len(truth.vehicles),
            "open": sum(peer.open for peer in self.peers),
            "authenticated": self.authenticated,
            "most_authenticated": truth.most_authenticated,
            "connections": truth.connections,
            "authentications": truth.authentications,
            "messages": dict(truth.messages),
            "dropped": truth.dropped,
            "bytes": truth.bytes,
            "pings": truth.pings,
            "replies": len(truth.replies),
            "script": asdict(self.script),
            "rules": len(self.rules),
        }


AT_ONCE = frozenset(
    {"reset", "close", "stall", "resume", "forget", "error", "ask", "user", "garbage", "oversize", "say", "say_raw"}
)


# --- The control -------------------------------------------------------------------------------------------------


class Remote:
    """Lines of JSON that say what to do, and lines that answer."""

    def __init__(self, server: FaultyServer) -> None:
        self.server = server
        self.quit = asyncio.Event()

    async def answer(self, line: str) -> str:
        try:
            request = json.loads(line) if line.lstrip().startswith("{") else {"do": line.strip()}
            answer = {"ok": True, **await self._do(request)}
        except (ValueError, TypeError, OSError) as wrong:
            answer = {"ok": False, "error": str(wrong)}
        return json.dumps(answer, ensure_ascii=False)

    async def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        server, truth = self.server, self.server.truth
        more = dict(request)
        match more.pop("do", None):
            case "state":
                held = {"vehicles": truth.vehicles} if more.get("vehicles", True) else {}
                return server.state() | held
            case "arrivals":
                arrivals, truth.arrivals = truth.arrivals, []
                return {"arrivals": arrivals or []}
            case "events":
                after = more.get("after", 0)
                return {"events": [event.as_json() for event in truth.events if event.number > after]}
            case "replies":
                return {"replies": [asdict(reply) for reply in truth.replies]}
            case "fault":
                server.fault(**more)
            case "rule":
                server.add_rule(**more)
            case "calm":
                server.calm()
            case "clear":
                truth.clear()
            case "down":
                server.down()
            case "up":
                await server.up()
            case "quit":
                self.quit.set()
            case _:
                return {"reached": server.at_once(request)}
        return {}

    async def talk(self, reader: asyncio.StreamReader, write: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        """Answer every line until the end."""
        while line := await reader.readline():
            if line.strip():
                await write(await self.answer(line.decode()) + "\n")


async def _main(options: argparse.Namespace) -> None:
    async with FaultyServer(port=options.port, receive_buffer=options.receive_buffer) as server:
        remote = Remote(server)

        async def controlled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async def write(text: str) -> None:
                writer.write(text.encode())
                await writer.drain()

            with contextlib.suppress(OSError):
                await remote.talk(reader, write)
            writer.close()

        control = None
        if options.control is not None:
            control = await asyncio.start_server(controlled, "127.0.0.1", options.control)
        port = control.sockets[0].getsockname()[1] if control else None
        await _print(json.dumps({"url": server.url, "port": server.port, "control": port}) + "\n")
        stdin = asyncio.StreamReader(limit=64 * 1024 * 1024)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
        talking = asyncio.create_task(remote.talk(stdin, _print))
        if control is None:
            talking.add_done_callback(lambda _task: remote.quit.set())
        await remote.quit.wait()
        talking.cancel()
        if control is not None:
            control.close()


async def _print(text: str) -> None:
    """Not on the event loop: whoever reads may be slow, and a large answer fills the pipe."""
    await asyncio.to_thread(lambda: (sys.stdout.write(text), sys.stdout.flush()))


def _id(row: object) -> object:
    return row.get("id") if isinstance(row, dict) else None


def main() -> None:
    parser = argparse.ArgumentParser(description="A simulated CityTrips with faults; see the module's documentation.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control", type=int)
    parser.add_argument("--receive-buffer", type=int)
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
