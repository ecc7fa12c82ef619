"""Receiving from the channel layer."""

from __future__ import annotations

import asyncio
from typing import Any


async def receive(layer: Any, channel: str) -> Any:
    """The next message of a channel.

    In a task of its own: the layer was seen to swallow a cancellation that came with a late answer of Redis, and to listen
    on for ever. So it is not waited for.
    """
    receiving = asyncio.ensure_future(layer.receive(channel))
    try:
        await asyncio.wait([receiving])
    finally:
        receiving.cancel()
    return receiving.result()
