"""The socket itself: what is refused, what is confirmed, and at what pace it is opened again."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from backoffice.citytrips import connection as connection_module
from backoffice.citytrips.connection import Backoff, Connection, Gate, open_connection
from backoffice.citytrips.errors import ConnectionFailed, ConnectionLost

Handler = Callable[[ServerConnection], Coroutine[Any, Any, None]]


def port_of(server: Any) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


def talk(handler: Handler, work: Callable[[Connection], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """Run ``work`` on a connection to a server that runs ``handler``."""

    async def both() -> Any:
        async with (
            serve(handler, "127.0.0.1", 0, **options) as server,
            open_connection(f"ws://127.0.0.1:{port_of(server)}/", ping_timeout=0.5) as connection,
        ):
            return await work(connection)

    return asyncio.run(both())


async def swallow(peer: ServerConnection) -> None:
    async for _message in peer:
        pass


def test_a_redirect_is_not_followed() -> None:
    """A redirect ends the attempt, and nothing reaches its target."""
    reached: list[str] = []

    async def attempt() -> None:
        async def target(peer: ServerConnection) -> None:
            reached.append(await peer.recv())  # type: ignore[arg-type]

        async with serve(target, "127.0.0.1", 0) as elsewhere:

            def redirect(peer: ServerConnection, _request: Any) -> Any:
                answer = peer.respond(HTTPStatus.TEMPORARY_REDIRECT, "")
                answer.headers["Location"] = f"ws://127.0.0.1:{port_of(elsewhere)}/"
                return answer

            async with (
                serve(swallow, "127.0.0.1", 0, process_request=redirect) as server,
                open_connection(f"ws://127.0.0.1:{port_of(server)}/", ping_timeout=1) as connection,
            ):
                await connection.send("the key")

    with pytest.raises(ConnectionFailed, match="HTTP 307; redirects are not followed"):
        asyncio.run(attempt())
    assert reached == []


def test_a_port_where_nobody_listens() -> None:
    """A connection that does not come about says why."""

    async def attempt() -> None:
        async with open_connection("ws://127.0.0.1:1/", ping_timeout=1):
            pass

    with pytest.raises(ConnectionFailed):
        asyncio.run(attempt())


def test_a_pong_confirms() -> None:
    """confirm() returns once the peer has received everything before it."""

    async def work(connection: Connection) -> None:
        await connection.send("x" * 100_000)
        await connection.confirm()

    talk(swallow, work)


def test_a_peer_that_answers_no_ping_is_lost() -> None:
    """Without a pong in time the connection ends by itself."""

    async def stall(peer: ServerConnection) -> None:
        peer.transport.pause_reading()
        await asyncio.sleep(3)
        peer.transport.abort()

    async def work(connection: Connection) -> None:
        await asyncio.sleep(0.1)
        await connection.keep_alive(0.1)

    with pytest.raises(ConnectionLost, match="no answer to a ping"):
        talk(stall, work)


def ends_with(work: Callable[[Connection], Coroutine[Any, Any, Any]]) -> str:
    """How a peer that reads nothing for a while finds the connection ended when it reads on."""
    found: list[str] = []

    async def read_late() -> None:
        stalled, done = asyncio.Event(), asyncio.Event()

        async def stall(peer: ServerConnection) -> None:
            peer.transport.pause_reading()
            stalled.set()
            await done.wait()
            try:
                while await asyncio.to_thread(_read, peer.transport.get_extra_info("socket")):
                    pass
                found.append("all of it")
            except ConnectionResetError:
                found.append("reset")
            peer.transport.abort()

        async with serve(stall, "127.0.0.1", 0) as server:
            try:
                async with open_connection(f"ws://127.0.0.1:{port_of(server)}/", ping_timeout=0.5) as connection:
                    await stalled.wait()
                    await work(connection)
            except ConnectionLost:
                pass
            done.set()
            while not found:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(read_late(), 20))
    return found[0]


def _read(line: Any) -> bytes:
    select.select([line.fileno()], [], [], 5)
    return os.read(line.fileno(), 1 << 20)


async def write_without_end(connection: Connection) -> None:
    """Write until nothing more fits into what lies between, and stop in the midst of a message."""

    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 700_000

    writing = asyncio.create_task(connection.send_parts(parts()))
    await asyncio.sleep(0.5)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


def test_closing_takes_no_longer_though_nothing_is_read() -> None:
    """A peer that reads nothing of a large message does not keep us: after a second the connection is broken off."""
    taken: list[float] = []

    async def work(connection: Connection) -> None:
        await write_without_end(connection)
        began = time.monotonic()
        await connection.close("enough")
        taken.append(time.monotonic() - began)

    assert ends_with(work) == "reset"
    assert taken[0] < 3


def test_control_closing_as_the_library_does() -> None:
    """It waits without a limit until what was written before has been read."""

    async def work(connection: Connection) -> None:
        await write_without_end(connection)
        closing = asyncio.create_task(connection._socket.close())
        _done, pending = await asyncio.wait([closing], timeout=3)
        assert pending
        closing.cancel()

    ends_with(work)


def test_what_was_not_sent_is_thrown_away() -> None:
    """Where no pong comes, nothing of this connection reaches CityTrips after the next one's full."""

    async def work(connection: Connection) -> None:
        await connection.send(b"x" * 20_000)
        await connection.confirm()

    assert ends_with(work) == "reset"


def test_control_leaving_it_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system goes on sending it, minutes later as well."""
    monkeypatch.setattr(connection_module, "_abort", lambda socket: socket.transport.abort())

    async def work(connection: Connection) -> None:
        await connection.send(b"x" * 20_000)
        await connection.confirm()

    assert ends_with(work) == "all of it"


def test_what_ended_a_connection_is_told() -> None:
    """The peer's close code and reason come with the error."""

    async def leave(peer: ServerConnection) -> None:
        await peer.close(1013, "too busy")

    async def work(connection: Connection) -> None:
        await connection.receive()

    with pytest.raises(ConnectionLost, match="CityTrips closed with 1013 too busy") as lost:
        talk(leave, work)
    assert lost.value.code == 1013


def test_a_message_over_the_limit_closes_with_1009() -> None:
    """An inbound message above 12 MiB is refused instead of filling the memory."""

    async def shout(peer: ServerConnection) -> None:
        await peer.send("x" * (12 * 1024 * 1024 + 1))
        await peer.wait_closed()

    async def work(connection: Connection) -> None:
        await connection.receive()

    with pytest.raises(ConnectionLost) as lost:
        talk(shout, work)
    assert lost.value.code == 1009


def test_the_key_is_not_in_any_log(caplog: pytest.LogCaptureFixture) -> None:
    """Even where everything logs at its most talkative, what is sent stays out of the log."""
    loggers = [logging.getLogger(name) for name in ("", "websockets", "websockets.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        talk(swallow, lambda connection: connection.send("a key that nobody may read"), logger=logging.getLogger("x.y"))
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    ours = [record for record in caplog.records if record.name != "x.y"]
    assert not any("nobody may read" in record.getMessage() for record in ours)


def test_the_gate_lets_ten_a_minute_pass() -> None:
    """The eleventh waits until a minute after the first."""
    gate = Gate(10, 60)
    for second in range(10):
        assert gate.wait(second) == 0
        gate.enter(second)
    assert gate.wait(10) == 50
    assert gate.wait(60) == 0


def test_pauses_grow_to_their_ceilings() -> None:
    """Failed attempts come back within 10 s, accepted and closed ones within 60 s, and jitter covers the whole range."""
    ceilings: list[float] = []

    def most(_low: float, high: float) -> float:
        ceilings.append(high)
        return high

    backoff = Backoff(clock=lambda: 0, jitter=most)
    for _ in range(6):
        backoff.pause(accepted=False)
    assert ceilings == [1, 2, 4, 8, 10, 10]
    assert backoff.pause(accepted=True) == 60
    assert backoff.pause(accepted=True, live_for=59) == 60
    assert backoff.pause(accepted=True, live_for=60) == 1


def test_accept_and_close_for_ever_is_ten_a_minute() -> None:
    """Whatever the jitter says, the gate holds."""
    now = 0.0
    backoff = Backoff(clock=lambda: now, jitter=lambda _low, _high: 0.0)
    connections = 0
    while now < 600:
        backoff.accepted()
        connections += 1
        now += backoff.pause(accepted=True)
    assert connections <= 101
