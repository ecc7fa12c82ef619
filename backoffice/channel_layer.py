"""Receiving from the channel layer."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_INSIST_EVERY: Final = 0.5
"""Seconds between two cancellations of one receiver."""

_ending: set[asyncio.Task[None]] = set()


async def receive(layer: Any, channel: str) -> Any:
    """The next message of a channel.

    In a task of its own: the layer was seen to swallow a cancellation that came with an answer of Redis (Python 3.11's
    ``asyncio.wait_for``, in which the client writes, does so), and to listen on for ever. So it is not waited for, and
    cancelled until it heeds it: it would take the messages of whoever listens next.
    """
    receiving = asyncio.ensure_future(layer.receive(channel))
    try:
        await asyncio.wait([receiving])
    finally:
        if not receiving.done():
            ending = asyncio.ensure_future(_end(receiving))
            _ending.add(ending)
            ending.add_done_callback(_ending.discard)
    return receiving.result()


async def _end(receiving: asyncio.Future[Any]) -> None:
    """Cancel until it has ended, though we are cancelled as well: the event loop ends no sooner than the receiver."""
    while not receiving.done():
        receiving.cancel()
        try:
            await asyncio.wait([receiving], timeout=_INSIST_EVERY)
        except asyncio.CancelledError:
            continue
