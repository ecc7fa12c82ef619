"""Calls from other threads into an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVarTuple

Arguments = TypeVarTuple("Arguments")


def call_from_thread(
    loop: asyncio.AbstractEventLoop, call: Callable[[*Arguments], object], *arguments: *Arguments
) -> None:
    """Have the loop call this soon. Once it has ended nobody is left to tell, and nothing happens.

    A commit or a renewal that outlives the loop by a moment would else fail over a mere hint.
    """
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise
