"""Telling the worker that there may be something to send.

Only a hint: the worker looks every second anyway. So it never blocks or breaks the commit that it follows: a thread of
its own sends it, many at once go as one, and a failure is forgotten.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer

CHANNEL: Final = "citytrips"
WAKE: Final = {"type": "citytrips.wake"}

logger = logging.getLogger(__name__)

# The workers of this process. The in-memory layer does not wake a receiver from another thread; these calls do.
_local: set[Callable[[], None]] = set()
_asked = threading.Event()
_starting = threading.Lock()
_sender: threading.Thread | None = None


def register(wake: Callable[[], None]) -> None:
    """From now on call ``wake``, from whatever thread, when there may be something to send."""
    _local.add(wake)


def unregister(wake: Callable[[], None]) -> None:
    _local.discard(wake)


def wake_worker(**_signal: Any) -> None:
    """Wake this process's worker, and those of others through the channel layer. Also serves as a signal's receiver."""
    for wake in list(_local):
        wake()
    if not isinstance(get_channel_layer(), InMemoryChannelLayer):
        _start_sender()
        _asked.set()


def _start_sender() -> None:
    global _sender
    with _starting:
        if _sender is None or not _sender.is_alive():
            _sender = threading.Thread(target=_send_for_ever, name="citytrips-wakeup", daemon=True)
            _sender.start()


def _send_for_ever() -> None:
    while _asked.wait():
        _asked.clear()
        try:
            async_to_sync(get_channel_layer().send)(CHANNEL, WAKE)
        except Exception as wrong:  # a hint: whatever keeps it from arriving, the worker looks by itself
            logger.info("The worker was not woken through the channel layer (%s)", type(wrong).__name__)
