"""The server: what it does with a connection, a message and a fault."""

from __future__ import annotations

import asyncio
import socket
import ssl as tls
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, Self

from backoffice.sandbox import citytrips_contract as contract
from backoffice.sandbox import websocket
from backoffice.sandbox.faulty_server.peer import Peer
from backoffice.sandbox.faulty_server.script import Rule, Script
from backoffice.sandbox.faulty_server.truth import Answer, Truth
from backoffice.sandbox.websocket import Control, Message, Opcode, ProtocolError

CHUNK = 256 * 1024
SMALL = 64 * 1024
"""Characters up to which the payload of a message is kept with its event."""

AT_ONCE = frozenset(
    {"reset", "close", "stall", "resume", "forget", "error", "ask", "user", "garbage", "oversize", "say", "say_raw"}
)

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
