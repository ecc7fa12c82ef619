"""Snapshots of the fleet that are held for its map, since a person who drags a map asks several times a second."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from django.db import connection

from fleet.mapping import Snapshot, snapshot_of
from fleet.models import VehicleQuerySet

KEPT: Final = 16
"""Snapshots that are held, one for each way of filtering."""
CHEAP = 0.1
"""Seconds: a snapshot that took less is made anew each time it is asked for."""
SHARE: Final = 0.1
"""The part of its time that the server spends at most on making one snapshot again and again."""
OLDEST: Final = 60.0
"""Seconds after which a snapshot is too old to be shown while a new one is made."""

logger = logging.getLogger(__name__)


class Snapshots:
    """The snapshots of this process, by how their vehicles were filtered.

    A fleet that is counted in no time is counted each time. Another one is counted in the background while the last
    snapshot is shown, which says that it is not the newest (``is_newest``); only one that nobody has asked for of late
    is waited for.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, Snapshot] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, vehicles: Callable[[], VehicleQuerySet]) -> tuple[Snapshot, bool]:
        """The snapshot, and whether it is as new as one is made."""
        with self._lock:
            held = self._held.get(key)
            making = self._making.setdefault(key, threading.Lock())
        if held and held.cost >= CHEAP:
            if held.age < held.cost / SHARE:
                return held, True
            if held.age < OLDEST:
                if making.acquire(blocking=False):
                    threading.Thread(target=self._remake, args=(key, vehicles, making), daemon=True).start()
                return held, False
        with making:  # whoever has waited for another takes what that one made
            newest = self._held.get(key)
            if newest and newest is not held and newest.cost >= CHEAP:
                return newest, True
            return self._make(key, vehicles), True

    def forget(self) -> None:
        with self._lock:
            self._held.clear()

    def _make(self, key: Hashable, vehicles: Callable[[], VehicleQuerySet]) -> Snapshot:
        made = snapshot_of(vehicles())
        with self._lock:
            self._held[key] = made
            self._held.move_to_end(key)
            while len(self._held) > KEPT:
                gone, _snapshot = self._held.popitem(last=False)
                self._making.pop(gone, None)
        return made

    def _remake(self, key: Hashable, vehicles: Callable[[], VehicleQuerySet], making: threading.Lock) -> None:
        try:
            self._make(key, vehicles)
        except Exception:  # the last one is shown until it is too old; then whoever asks is told
            logger.warning("The fleet could not be counted for the map", exc_info=True)
        finally:
            connection.close()
            making.release()


snapshots = Snapshots()
