"""A worker's coroutines: generators that say what they wait for."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from backoffice.citytrips.errors import LeaseLost
from tests.backoffice.citytrips.lossy_partner.clock import Order
from tests.backoffice.citytrips.lossy_partner.errors import LineEnded

if TYPE_CHECKING:
    from tests.backoffice.citytrips.lossy_partner.worker import Worker


class Job(NamedTuple):
    """Work for a worker's database thread; it is done even if nobody waits for it any more."""

    work: Callable[[], Any]


class Wait(NamedTuple):
    """Until the worker is woken, at most so many seconds."""

    seconds: float


class Receive:
    """Until the next message arrives."""


class Drain(NamedTuple):
    """Until the last byte of a message has left, which takes so many seconds."""

    seconds: float


Step = Generator[Any, Any, Any]


class Task:
    """A coroutine of a worker; while the worker is stopped, it stands still."""

    def __init__(self, worker: Worker, steps: Step) -> None:
        self._worker = worker
        self._steps = steps
        self._waits = 0
        self._order = Order.REST
        self.alive = True
        self.receiving = False

    def start(self) -> None:
        self.go_on(self._waits, None, None)

    def cancel(self) -> None:
        self.alive = False
        self._steps.close()

    def go_on(self, waited: int, value: Any, wrong: Exception | None) -> None:
        """After wait number ``waited``; an earlier one is over already."""
        if not self.alive or waited != self._waits:
            return
        world = self._worker.world
        if world.clock.now < self._worker.stopped_until:
            world.clock.at(self._worker.stopped_until, self.go_on, waited, value, wrong, order=self._order)
            return
        self._waits += 1
        self.receiving = False
        try:
            request = self._steps.throw(wrong) if wrong else self._steps.send(value)
        except StopIteration:
            self.alive = False
            return
        except (LineEnded, LeaseLost) as ended:
            self.alive = False
            self._worker.ended(ended)
            return
        self._order = Order.WRITTEN if isinstance(request, Drain) else Order.REST
        if isinstance(request, Job):
            world.database_job(self._worker, request.work, self)
        elif isinstance(request, Wait):
            self._worker.waiting = self
            world.clock.at(world.clock.now + request.seconds, self.go_on, self._waits, False, None)
        elif isinstance(request, Drain):
            world.clock.at(world.clock.now + request.seconds, self.go_on, self._waits, None, None, order=self._order)
        elif isinstance(request, Receive):
            self.receiving = True
        else:
            world.clock.at(world.clock.now + request, self.go_on, self._waits, None, None)

    def resume(self, value: Any, wrong: Exception | None = None) -> None:
        self.go_on(self._waits, value, wrong)

    @property
    def waited(self) -> int:
        return self._waits
