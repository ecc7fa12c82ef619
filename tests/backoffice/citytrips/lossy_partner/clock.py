"""Simulated time: functions are called when they fall due."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import IntEnum
from typing import Any


class Order(IntEnum):
    """What comes first of what falls due together, such as all that waited for a worker that stood still.

    A writer whose last byte has left is awake before its event loop asks the socket for what came meanwhile.
    """

    WRITTEN = 0
    ARRIVAL = 1
    REST = 2


class Clock:
    """Calls functions at their times."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._due: list[tuple[float, int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, time: float, call: Callable[..., None], *arguments: Any, order: Order = Order.REST) -> None:
        self._count += 1
        heapq.heappush(self._due, (max(time, self.now), order, self._count, call, arguments))

    def run_until(self, time: float) -> None:
        while self._due and self._due[0][0] <= time:
            self.run_next()
        self.now = time

    def run_next(self) -> None:
        self.now, _, _, call, arguments = heapq.heappop(self._due)
        self.steps += 1
        call(*arguments)
