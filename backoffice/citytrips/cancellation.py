"""Cancellations that must not be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def apart(work: Coroutine[Any, Any, Result]) -> Result:
    """Do ``work`` in a task of its own; its result, or what it raised.

    A task group whose child fails while its parent is cancelled raises the child's error alone, and where that error is
    caught the cancelled task goes on for ever (seen with Python 3.11). Here the two are told apart: a cancellation of ours
    ends the work, and is raised.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, or asyncio reports it as forgotten; the cancellation goes before it
        raise
    return task.result()


def heed_cancellation() -> None:
    """End the current task if it has been cancelled, for a library may turn the cancellation into an error of its own.

    Not for a task with a task group in it: such a group may leave the mark of a cancellation behind.

    :raises asyncio.CancelledError: it has.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
