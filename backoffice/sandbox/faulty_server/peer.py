"""One connection of an operator."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from backoffice.sandbox import websocket
from backoffice.sandbox.websocket import Opcode

CLOSE_TIME = 2.0
"""Seconds that a client has to answer a close."""


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
        self._transport = cast(asyncio.Transport, writer.transport)  # a socket's, which reads as well

    def write(self, data: bytes) -> None:
        """Send bytes; a connection that is stalled or gone swallows them."""
        if self.running.is_set() and not self._transport.is_closing():
            self._writer.write(data)

    def say(self, text: str) -> None:
        self.write(websocket.frame(Opcode.TEXT, text.encode(errors="surrogatepass")))

    def reset(self) -> None:
        """Break off with RST."""
        if not self._transport.is_closing():
            raw = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.end()

    def end(self) -> None:
        self.closing = True
        self.running.set()
        self._transport.abort()

    def close(self, code: int, reason: str) -> None:
        """Close politely, and end when the client has answered or :data:`CLOSE_TIME` has passed."""
        self.write(websocket.close_frame(code, reason))
        self.closing = True
        asyncio.get_running_loop().call_later(CLOSE_TIME, self.end)

    def hear_no_more(self, *, lingers: bool) -> None:
        """Throw away unread what still comes, so that the client gets to see the close; say that nothing follows it, or not."""
        self.deaf = True
        if not lingers and self._writer.can_write_eof() and not self._transport.is_closing():
            self._writer.write_eof()

    def stall(self) -> None:
        self.running.clear()
        self._transport.pause_reading()

    def resume(self) -> None:
        self.running.set()
        if not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def connected(self) -> bool:
        """Whether the client's end is still there: a stalled connection does not see it go by reading."""
        if self._transport.is_closing():
            return False
        raw = self._writer.get_extra_info("socket")
        return bool(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED)


_ESTABLISHED = 1
