"""Telling open pages that something has changed.

Only a hint: it names what changed, and the page asks for it with its own login and its own permissions. A page asks by
itself now and then as well, so a hint that gets lost costs seconds. Hence it never blocks or breaks the commit that it
follows: pages of this process are told directly (the in-memory layer does not wake a receiver from another thread),
those of others through the channel layer, by a thread of its own that sends many at once as one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import Any, Final

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.db import transaction

from backoffice.channel_layer import receive

GROUP: Final = "backoffice.hints"
SEND_EVERY: Final = 0.25
"""Seconds between two messages of a process to the others; what comes meanwhile is gathered."""
JOIN_EVERY: Final = 3600.0
"""Seconds after which a listener joins the group again; the layer forgets its members after a day."""

logger = logging.getLogger(__name__)


class Topic(StrEnum):
    """What may have changed."""

    LINE = "line"
    ALERTS = "alerts"
    TRAFFIC = "traffic"
    FLEET = "fleet"
    ITINERARIES = "itineraries"


Hear = Callable[[frozenset[str]], None]

_process: Final = uuid.uuid4().hex
_local: set[Hear] = set()
_waiting: set[str] = set()
_asked = threading.Event()
_starting = threading.Lock()
_sender: threading.Thread | None = None


def changed(*topics: Topic) -> None:
    """Tell every open page, now, from whatever thread."""
    _tell(frozenset(topics))
    if not isinstance(get_channel_layer(), InMemoryChannelLayer):
        with _starting:
            _waiting.update(topics)
            _start_sender()
        _asked.set()


def changed_on_commit(*topics: Topic) -> None:
    """Tell every open page once the transaction has been committed, if there is one."""

    def tell() -> None:  # no partial: Django names what failed by an attribute that a partial lacks
        changed(*topics)

    transaction.on_commit(tell, robust=True)


def fleet_changed(**_signal: Any) -> None:
    """The receiver of the fleet's own hint."""
    changed(Topic.FLEET)


def publications_changed(**_signal: Any) -> None:
    """The receiver of the itineraries' own hint."""
    changed(Topic.ITINERARIES)


def register(hear: Hear) -> None:
    """From now on call ``hear`` with what changed, from whatever thread."""
    _local.add(hear)


def unregister(hear: Hear) -> None:
    _local.discard(hear)


def _tell(topics: frozenset[str]) -> None:
    for hear in list(_local):
        try:
            hear(topics)
        except RuntimeError as wrong:  # its event loop has been closed meanwhile
            logger.info("An open page was not told (%s)", type(wrong).__name__)


# --- To other processes and from them ----------------------------------------------------------------------------


def _start_sender() -> None:
    global _sender
    if _sender is None or not _sender.is_alive():
        _sender = threading.Thread(target=_send_for_ever, name="backoffice-hints", daemon=True)
        _sender.start()


def _send_for_ever() -> None:
    while _asked.wait():
        _asked.clear()
        with _starting:
            topics = sorted(_waiting)
            _waiting.clear()
        message = {"type": "backoffice.hint", "process": _process, "topics": topics}
        try:
            async_to_sync(get_channel_layer().group_send)(GROUP, message)
        except Exception as wrong:  # a hint: whatever keeps it from arriving, pages ask by themselves
            logger.info("Pages of other processes were not told (%s)", type(wrong).__name__)
        time.sleep(SEND_EVERY)


@contextlib.asynccontextmanager
async def heard_here() -> AsyncIterator[None]:
    """While at least one such block runs on this event loop, what other processes say is passed on in this one."""
    loop = asyncio.get_running_loop()
    if isinstance(get_channel_layer(), InMemoryChannelLayer):
        yield
        return
    listener = _listeners.setdefault(loop, _Listener())
    listener.enter()
    try:
        yield
    finally:
        if listener.leave():
            del _listeners[loop]


class _Listener:
    """One task for all the pages of an event loop, so that a layer that is away costs one of them and no page."""

    def __init__(self) -> None:
        self._users = 0
        self._task: asyncio.Task[None] | None = None

    def enter(self) -> None:
        self._users += 1
        if self._task is None:
            self._task = asyncio.create_task(self._listen_for_ever())

    def leave(self) -> bool:
        """Whether that was the last one."""
        self._users -= 1
        if self._users or self._task is None:
            return False
        self._task.cancel()
        return True

    async def _listen_for_ever(self) -> None:
        pause = 1.0
        while self._users:
            try:
                await self._listen()
            except Exception as wrong:
                # A cancellation that falls together with an error of the layer comes out as that error.
                if not self._users or _is_cancelled():
                    return
                kind = type(wrong).__name__
                logger.info("The channel layer does not answer (%s); pages of this process ask by themselves", kind)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 10.0)
            else:
                pause = 1.0

    async def _listen(self) -> None:
        """Join, and pass on what is said, until it is time to join again."""
        layer = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(GROUP, channel)
        try:
            async with asyncio.timeout(JOIN_EVERY):
                while True:
                    message = await receive(layer, channel)
                    if message.get("process") != _process:
                        _tell(frozenset(message.get("topics", ())))
        except TimeoutError:
            pass
        finally:
            with contextlib.suppress(Exception):
                await layer.group_discard(GROUP, channel)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


_listeners: dict[asyncio.AbstractEventLoop, _Listener] = {}
