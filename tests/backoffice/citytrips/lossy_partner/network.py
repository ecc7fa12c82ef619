"""Messages, and the connections that lose them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from backoffice.citytrips import messages
from tests.backoffice.citytrips.lossy_partner.clock import Order

if TYPE_CHECKING:
    from tests.backoffice.citytrips.lossy_partner.worker import Worker
    from tests.backoffice.citytrips.lossy_partner.world import World


class Kind(StrEnum):
    AUTHENTICATE = "authenticate"
    FULL = "full"
    INCREMENTAL = "incremental"
    REPLY = "reply"
    PING = "ping"


class Fate(StrEnum):
    UNDER_WAY = "under way"
    TAKEN = "taken"
    NOT_TAKEN = "not taken"


@dataclass(slots=True, eq=False)
class Frame:
    """A message; ``gone`` are the vehicles that a full leaves out, ``told`` whether the worker heard that it wasn't taken."""

    kind: Kind
    number: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)
    gone: Mapping[str, int] = field(default_factory=dict)
    reply: int = 0
    fate: Fate = Fate.UNDER_WAY
    told: bool = False


class Pong(NamedTuple):
    number: int


class Connection:
    """Two queues, in order. ``open`` is how the partner sees it; the worker may believe in it a while longer."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self.worker = worker
        self.open = True
        self.authenticated = False
        self.frames: list[Frame] = []
        self.ponged = 0
        self._down_at = 0.0

    def send(self, frame: Frame, seconds: float = 0.0) -> None:
        """From the worker to the partner; its last byte leaves after so many seconds."""
        if frame.kind is not Kind.PING:
            self.frames.append(frame)
        world = self._world
        # In order over all connections, as far as the partner is concerned.
        world.sent_until = max(world.sent_until, world.clock.now + seconds + world.delay(world.latency))
        world.clock.at(world.sent_until, world.partner.arrive, self, frame, order=Order.ARRIVAL)

    def answer(self, message: messages.Inbound | Pong, about: Frame | None = None) -> None:
        """From the partner to the worker; ``about`` is the message that was not taken."""
        if self.open:
            self._down_at = max(self._down_at, self._world.clock.now + self._world.delay(self._world.latency))
            self._world.clock.at(self._down_at, self._arrive, message, about, order=Order.ARRIVAL)

    def _arrive(self, message: messages.Inbound | Pong, about: Frame | None) -> None:
        if not self.open:
            return
        if about is not None:
            about.told = True
        if isinstance(message, Pong):
            self.ponged = max(self.ponged, message.number)  # the worker reads it even if it stands still now
        self.worker.arrive(self, message)

    def close(self) -> None:
        """The worker has gone; what it sent before still arrives, or some of it."""
        self._world.clock.at(self._world.sent_until, self._close, order=Order.ARRIVAL)

    def _close(self) -> None:
        self.open = False

    def break_off(self, noticed_after: float, code: int = 1006) -> None:
        """It is over at once for the partner, and after so many seconds for the worker."""
        if not self.open:
            return
        self.open = False
        if noticed_after:
            # Nothing tells the worker in time that these were not taken, and their pong has arrived.
            for frame in self.frames:
                if frame.fate is not Fate.TAKEN and not frame.told and 0 < frame.number <= self.ponged:
                    self._world.partner.lose_silently(frame)
        self._world.clock.at(
            self._world.clock.now + noticed_after, self.worker.connection_lost, self, code, order=Order.ARRIVAL
        )
