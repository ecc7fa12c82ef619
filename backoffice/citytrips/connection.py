"""The WebSocket to CityTrips: opening, sending, confirming, watching over and closing it, and when to try again.

The library's own reconnecting loop is not used: it starts over with its pauses at each handshake, and reconnects
thousands of times a second to a server that accepts and closes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

from django.conf import settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from backoffice.citytrips import journal
from backoffice.citytrips.errors import ConnectionFailed, ConnectionLost

MAX_INBOUND: Final = 12 * 1024 * 1024
"""Bytes of one inbound message; a larger one closes the connection with 1009."""
OPEN_TIME: Final = 10.0
CLOSE_TIME: Final = 1.0
SLOWEST: Final = 50_000
"""Bytes a second below which an uplink counts as dead rather than slow."""

# The library's debug output shows whole messages, and with them the API key; whatever the rest logs, this stays quiet.
_frames = logging.getLogger("backoffice.citytrips.frames")
_frames.setLevel(logging.INFO)


class _Connect(connect):
    """Follows no redirect: the API key is for the host that was configured."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Connection:
    """One open connection. Reading is for one task, writing for one other."""

    def __init__(self, socket: ClientConnection, *, ping_timeout: float) -> None:
        self._socket = socket
        self._ping_timeout = ping_timeout
        self.written = 0
        """Characters or bytes so far."""
        self._confirmed = 0
        self._reading_since: float | None = time.monotonic()  # None from a message on until the next is waited for

    async def send(self, text: str | bytes) -> None:
        """Write one text message; bytes are UTF-8.

        :raises ConnectionLost: the connection has ended.
        """
        self.written += len(text)
        try:
            await self._socket.send(text, text=True)
        except ConnectionClosed as closed:
            raise _lost(closed) from None

    async def send_parts(self, parts: AsyncIterator[bytes]) -> None:
        """Write one text message in fragments as its parts come, so that it never stands in memory whole.

        Pings go in between, other messages wait. An error of ``parts`` is raised, and ends the connection: half a message
        cannot be taken back.

        :raises ConnectionLost: the connection has ended.
        """

        async def counted() -> AsyncIterator[bytes]:
            async for part in parts:
                self.written += len(part)
                yield part

        try:
            await self._socket.send(counted(), text=True)
        except ConnectionClosed as closed:
            raise _lost(closed) from None

    async def receive(self) -> str | bytes:
        """The next message.

        :raises ConnectionLost: the connection has ended.
        """
        self._reading_since = time.monotonic()
        try:
            message = await self._socket.recv()
        except ConnectionClosed as closed:
            raise _lost(closed) from None
        self._reading_since = None
        return message

    async def confirm(self) -> None:
        """Ping and wait for the pong: the frames sent before have arrived.

        The wait grows with what is unconfirmed, so that a large message over a slow uplink isn't cut off and begun again
        for ever.

        :raises ConnectionLost: no pong in time (the connection is closed then), or the connection has ended.
        """
        written = self.written
        patience = self._ping_timeout + (written - self._confirmed) / SLOWEST
        pong: asyncio.Future[float] | None = None
        try:
            pong = await self._ping(patience)
            while True:
                done, _waiting = await asyncio.wait([pong], timeout=patience)
                # A pong lies behind the messages that came before it. While we don't read them its absence says nothing.
                if done or (patience := self._unread_for(patience)) <= 0:
                    break
            if not done:
                raise TimeoutError
            pong.result()
        except ConnectionClosed as closed:
            raise _lost(closed) from None
        except TimeoutError:
            _abort(self._socket)
            # A peer may say why it closes, and go on reading for longer than we wait.
            if (frame := self._socket.protocol.close_rcvd) is not None:
                raise _closed("CityTrips", frame.code, frame.reason) from None
            raise ConnectionLost("no answer to a ping") from None
        finally:
            if pong is not None:
                pong.cancel()
        self._confirmed = max(self._confirmed, written)

    async def _ping(self, patience: float) -> asyncio.Future[float]:
        """Send a ping; what ends with its pong."""
        async with asyncio.timeout(patience):
            return asyncio.ensure_future(await self._socket.ping())

    def _unread_for(self, patience: float) -> float:
        """Seconds for which a pong may still lie unread; 0 once a message was waited for all through ``patience``."""
        if self._reading_since is None:
            return patience
        return patience - (time.monotonic() - self._reading_since)

    async def keep_alive(self, interval: float) -> None:
        """Ping every ``interval`` seconds until the connection ends, which this notices in interval + timeout."""
        while True:
            await asyncio.sleep(interval)
            await self.confirm()

    async def close(self, reason: str = "") -> None:
        """Close in good order, or break off where that takes longer than a second."""
        await _close(self._socket, reason)


@asynccontextmanager
async def open_connection(url: str, *, ping_timeout: float) -> AsyncIterator[Connection]:
    """Connect, and close on the way out. TLS is verified; redirects and proxies are not followed.

    :raises ConnectionFailed: with the reason in words.
    """
    try:
        socket = await _Connect(
            url,
            proxy=None,
            compression=None,
            open_timeout=OPEN_TIME,
            close_timeout=CLOSE_TIME,
            ping_interval=None,  # keep_alive does it, with a time-out that knows what is under way
            max_size=MAX_INBOUND,
            logger=_frames,
        )
    except InvalidStatus as wrong:
        status = wrong.response.status_code
        reason = (
            f"redirected with HTTP {status}; redirects are not followed" if 300 <= status < 400 else f"HTTP {status}"
        )
        raise ConnectionFailed(reason) from None
    except (InvalidHandshake, InvalidURI) as wrong:
        raise ConnectionFailed(f"no WebSocket handshake ({type(wrong).__name__})") from None
    except TimeoutError:
        raise ConnectionFailed(f"no answer within {OPEN_TIME:g} s") from None
    except (OSError, EOFError) as wrong:
        raise ConnectionFailed(getattr(wrong, "strerror", None) or str(wrong) or type(wrong).__name__) from None
    try:
        yield Connection(socket, ping_timeout=ping_timeout)
    finally:
        await _close(socket)


async def _close(socket: ClientConnection, reason: str = "") -> None:
    try:
        # The library waits without a limit where the peer no longer reads what was written before.
        async with asyncio.timeout(CLOSE_TIME):
            # The reason of a close frame has room for 123 bytes.
            await socket.close(reason=reason.encode()[:123].decode(errors="ignore"))
    except TimeoutError:
        pass
    finally:
        _abort(socket)


def _abort(socket: ClientConnection) -> None:
    """Break off, and throw away what was not sent: the system would go on sending it for minutes, beside the next one."""
    with suppress(OSError):
        socket.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    socket.transport.abort()


def _lost(closed: ConnectionClosed) -> ConnectionLost:
    frame = closed.rcvd or closed.sent
    if frame is None:
        return ConnectionLost("the connection broke")
    ours = frame is not closed.rcvd or closed.rcvd_then_sent is False
    return _closed("we" if ours else "CityTrips", frame.code, frame.reason)


def _closed(who: str, code: int, reason: str) -> ConnectionLost:
    return ConnectionLost(f"{who} closed with {code} {without_secrets(reason)}".rstrip(), code, ours=who == "we")


def without_secrets(reason: str) -> str:
    """What CityTrips says, without what it should not have repeated to us."""
    return journal.clean_reason(reason, (settings.CITYTRIPS_API_KEY, settings.CITYTRIPS_CLIENT_ID))


# --- When to try again -------------------------------------------------------------------------------------------


class Gate:
    """At most ``limit`` passages within any ``period`` seconds."""

    def __init__(self, limit: int, period: float) -> None:
        self._limit = limit
        self._period = period
        self._passages: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Seconds until a passage is free; 0 where one is."""
        while self._passages and now - self._passages[0] >= self._period:
            self._passages.popleft()
        if len(self._passages) < self._limit:
            return 0.0
        return self._passages[0] + self._period - now

    def enter(self, now: float) -> None:
        """Count one passage."""
        self._passages.append(now)


class Backoff:
    """Pauses between connections: full jitter under a ceiling that doubles from one second.

    A connection that does not come about caps at 10 s, so that we are soon back; one that was accepted and then closed at
    60 s. Only a minute of being live starts it over: a server that accepts and closes would reset it each time. On top,
    a gate lets ten connections a minute pass, whatever the jitter says.
    """

    FIRST: Final = 1.0
    FAILED_CEILING: Final = 10.0
    CLOSED_CEILING: Final = 60.0
    STEADY: Final = 60.0

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, jitter: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._attempts = 0
        self._gate = Gate(10, 60)

    def accepted(self) -> None:
        """A connection has been accepted. Only these pass the gate: one that failed must not hold the next one up."""
        self._gate.enter(self._clock())

    def pause(self, *, accepted: bool, live_for: float = 0.0) -> float:
        """Seconds to wait now that a connection has failed, or has ended after ``live_for`` seconds of being live."""
        if live_for >= self.STEADY:
            self._attempts = 0
        ceiling = self.CLOSED_CEILING if accepted else self.FAILED_CEILING
        ceiling = min(ceiling, self.FIRST * 2 ** min(self._attempts, 16))
        self._attempts += 1
        return max(self._jitter(0, ceiling), self.soonest())

    def soonest(self) -> float:
        """Seconds until the gate lets another connection pass, whatever the pause."""
        return self._gate.wait(self._clock())
