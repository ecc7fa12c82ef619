"""The protocol with CityTrips, without I/O: messages and the time go in, effects come out.

A session lives as long as its worker and goes through many connections. Times are seconds of any clock that never goes
back; the caller passes them in. What happens to a vehicle's change, at version *v*:

1. *pending*: the caller reports it to :meth:`Session.next_send`, which asks for a full or an incremental;
2. *in flight*: :meth:`Session.begin` and :meth:`Session.written`; it isn't asked for again at this version;
3. *confirmed*: :meth:`Session.confirm`, called when the pong to a ping that followed the message has arrived. The frames
   have arrived then; that the peer's program has acted on them is not known;
4. *settled*: ``settle`` seconds later, if nothing spoke against it. :class:`Settle` asks for it to be written down.

An error, a request to authenticate again or the end of the connection in between voids what is in flight, so that it is
asked for again. Delivery is at least once, and converges: a full follows every authentication.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from backoffice.citytrips import messages


class State(StrEnum):
    """Where the line stands. The session itself knows the three in the middle; the worker adds the others."""

    UNCONFIGURED = "unconfigured"
    WAITING = "waiting"
    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    LIVE = "live"
    REFUSED = "refused"
    STANDBY = "standby"


ANSWER_TIME: Final = 10.0
"""Seconds that CityTrips has to answer ``s_ext/authenticate``."""
REMOVAL_GAP: Final = 30.0
"""Seconds between two fulls that are sent only because vehicles left."""
UNREADABLE_PER_MINUTE: Final = 100
"""Messages a minute that cannot be read, beyond which the connection is closed."""
AUTHENTICATIONS_PER_MINUTE: Final = 20
"""Requests to authenticate a minute, beyond which the connection is closed."""
OBJECTIONS: Final = 2
"""So many objections to the same version of a vehicle, and it's left alone until it changes or a full passes."""


# --- What the caller is asked to do ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Send ``s_ext/authenticate`` now."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The line's state is another one now."""

    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; the next one is the caller's business."""

    reason: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Settle:
    """Write down that CityTrips has what send ``number`` carried, then call :meth:`Session.settled`.

    ``versions`` are the vehicles it carried; ``absent`` those that a full left out, and CityTrips therefore dropped. One
    that a later send brought back has a higher version by then, and counts as held.
    """

    number: int
    full: bool
    versions: Mapping[str, int]
    absent: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Object:
    """CityTrips objected repeatedly to these versions; they are not sent again as they are."""

    versions: Mapping[str, int]
    reason: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """A command that is no part of this protocol, for its handler."""

    message: messages.OtherCommand


Effect = Authenticate | Changed | Close | Settle | Object | Deliver


# --- What the caller knows and gets ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pending:
    """The versions, by vehicle, that CityTrips has not seen: of those offered, and of those it holds but should not."""

    offered: Mapping[str, int] = field(default_factory=dict)
    leaving: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Full:
    """Collect every vehicle offered and send them."""


@dataclass(frozen=True, slots=True)
class Incremental:
    """Collect these vehicles, as they are now, and send those still offered."""

    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: until a confirmed send settles, and between fulls that nobody asked for (0: never)."""

    settle: float
    full_every: float


@dataclass(slots=True)
class _Send:
    number: int
    full: bool
    versions: Mapping[str, int]
    absent: Mapping[str, int]
    written: bool = False
    confirmed_at: float | None = None


class Session:
    """One worker's side of the protocol. Not safe for threads: everything is called from one event loop."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self.state = State.CONNECTING
        self._asked_at = 0.0
        self._sends: list[_Send] = []  # in the order of the wire
        self._numbers = 0
        self._full_wanted = False
        self._full_at: float | None = None
        self._removal_at: float | None = None
        self._full_objections = 0
        self._objections: dict[str, tuple[int, int]] = {}  # vehicle → version, how often
        self._authentications: deque[float] = deque()
        self._unreadable: deque[float] = deque()

    # --- The connection ---

    def connected(self, now: float) -> list[Effect]:
        """A connection is open. Authentication is sent at once, as the specification advises."""
        self._sends.clear()
        self._authentications.clear()
        self._unreadable.clear()
        return self._authenticate("", now)

    def disconnected(self) -> None:
        """The connection has ended: nothing in flight can be counted on."""
        self._sends.clear()
        self.state = State.CONNECTING

    def tick(self, now: float) -> list[Effect]:
        """What is due by time. A :class:`Settle` is repeated at each tick until :meth:`settled` was called."""
        if self.state is State.AUTHENTICATING and now - self._asked_at >= ANSWER_TIME:
            return [Close(f"no answer to the authentication within {ANSWER_TIME:g} s")]
        return [
            Settle(send.number, send.full, send.versions, send.absent)
            for send in self._sends
            if send.confirmed_at is not None and now - send.confirmed_at >= self._timing.settle
        ]

    def next_tick(self, now: float) -> float | None:
        """In how many seconds :meth:`tick` has something to do; None while it has nothing in sight."""
        due = [send.confirmed_at + self._timing.settle for send in self._sends if send.confirmed_at is not None]
        if self.state is State.AUTHENTICATING:
            due.append(self._asked_at + ANSWER_TIME)
        return max(0.0, min(due) - now) if due else None

    # --- What CityTrips says ---

    def receive(self, message: messages.Inbound | messages.Unreadable, now: float) -> list[Effect]:
        """Act on one message of CityTrips."""
        match message:
            case messages.MustAuthenticate(reason):
                return self._receive_must_authenticate(reason, now)
            case messages.AuthenticationSucceeded():
                return self._receive_success()
            case messages.AuthenticationFailed(reason):
                refused = Close(reason or "the credentials were refused", refused=True)
                return [*self._become(State.REFUSED, reason), refused]
            case messages.Objection(reason):
                return self._receive_objection(reason)
            case messages.FullRequest():
                # Before authentication it asks for what follows authentication anyway.
                if self.state is State.LIVE and not any(send.full and not send.written for send in self._sends):
                    self._full_wanted = True
                return []
            case messages.Unreadable():
                if _too_many(self._unreadable, now, UNREADABLE_PER_MINUTE):
                    return [Close(f"more than {UNREADABLE_PER_MINUTE} unreadable messages within a minute")]
                return []
            case messages.OtherCommand():
                return [Deliver(message)]

    def _receive_must_authenticate(self, reason: str, now: float) -> list[Effect]:
        if _too_many(self._authentications, now, AUTHENTICATIONS_PER_MINUTE):
            return [Close(f"asked to authenticate more than {AUTHENTICATIONS_PER_MINUTE} times within a minute")]
        self._sends.clear()
        return self._authenticate(reason, now)

    def _authenticate(self, reason: str, now: float) -> list[Effect]:
        self._asked_at = now
        return [*self._become(State.AUTHENTICATING, reason), Authenticate()]

    def _receive_success(self) -> list[Effect]:
        # Asked twice before it read our first answer, CityTrips says yes twice; the first yes counts.
        if self.state is not State.AUTHENTICATING:
            return []
        self._full_wanted = True
        return self._become(State.LIVE, "")

    def _receive_objection(self, reason: str) -> list[Effect]:
        """Void what is in flight, and count against it: the message doesn't say what it is about."""
        charged = [send for send in self._sends if send.written]
        self._sends = [send for send in self._sends if not send.written]
        objected: dict[str, int] = {}
        for send in charged:
            if send.full:
                self._full_objections += 1
                # Refused a second time, the same full would be refused again: the next is the one that time brings.
                self._full_wanted = self._full_wanted or self._full_objections < OBJECTIONS
                continue
            for vehicle, version in send.versions.items():
                before, count = self._objections.get(vehicle, (version, 0))
                count = count + 1 if before == version else 1
                self._objections[vehicle] = (version, count)
                if count >= OBJECTIONS:
                    objected[vehicle] = version
        return [Object(objected, reason)] if objected else []

    def _become(self, state: State, reason: str) -> list[Effect]:
        if state is self.state:
            return []
        self.state = state
        return [Changed(state, reason)]

    # --- What we send ---

    def want_full(self) -> None:
        """A full is to be sent as soon as the line is live."""
        self._full_wanted = True

    def next_send(self, pending: Pending, now: float) -> Full | Incremental | None:
        """What to collect and send next. One send at a time is collected and written."""
        if self.state is not State.LIVE or any(not send.written for send in self._sends):
            return None
        # A hundred requests become one full that runs and one that waits until the first is confirmed.
        full_runs = any(send.full and send.confirmed_at is None for send in self._sends)
        if not full_runs and (self._full_is_due(now) or self._removal_is_due(pending, now)):
            return Full()
        flying = self._in_flight()
        ids = frozenset(
            vehicle
            for vehicle, version in pending.offered.items()
            if flying.get(vehicle, 0) < version and not self._is_objected(vehicle, version)
        )
        return Incremental(ids) if ids else None

    def _full_is_due(self, now: float) -> bool:
        every = self._timing.full_every
        return self._full_wanted or bool(every and self._full_at is not None and now - self._full_at >= every)

    def _removal_is_due(self, pending: Pending, now: float) -> bool:
        if self._removal_at is not None and now - self._removal_at < REMOVAL_GAP:
            return False
        under_way = {vehicle: version for send in self._sends for vehicle, version in send.absent.items()}
        return any(under_way.get(vehicle, 0) < version for vehicle, version in pending.leaving.items())

    def _is_objected(self, vehicle: str, version: int) -> bool:
        objected, count = self._objections.get(vehicle, (0, 0))
        return objected == version and count >= OBJECTIONS

    def begin(
        self, *, full: bool, versions: Mapping[str, int], absent: Mapping[str, int] | None = None, now: float
    ) -> int | None:
        """Something was collected; its number, or None where the line is no longer live and it must not be written.

        The caller writes it before it does anything else.
        """
        if self.state is not State.LIVE:
            return None
        self._numbers += 1
        self._sends.append(_Send(self._numbers, full, versions, absent or {}))
        if full:
            if not self._full_is_due(now):
                self._removal_at = now
            self._full_wanted = False
            self._full_at = now
        return self._numbers

    def written(self, number: int) -> None:
        """The message is on the wire: from here on a ``full_request`` wants another one, and errors may be about it."""
        for send in self._sends:
            if send.number == number:
                send.written = True

    def confirm(self, number: int, now: float) -> None:
        """The pong to a ping that followed send ``number`` has arrived. A voided send stays void."""
        for send in self._sends:
            if send.number == number and send.confirmed_at is None:
                send.confirmed_at = now

    def settled(self, number: int) -> None:
        """What :class:`Settle` asked for is written down."""
        for send in self._sends:
            if send.number == number:
                for vehicle, version in send.versions.items():
                    if send.full or self._objections.get(vehicle, (0, 0))[0] <= version:
                        self._objections.pop(vehicle, None)
                if send.full:
                    self._full_objections = 0
        self._sends = [send for send in self._sends if send.number != number]

    @property
    def last_number(self) -> int:
        """The number of the last send that began; 0 before the first."""
        return self._numbers

    def _in_flight(self) -> dict[str, int]:
        flying: dict[str, int] = {}
        for send in self._sends:
            flying.update(send.versions)
        return flying


def _too_many(times: deque[float], now: float, limit: int) -> bool:
    """Count one more at ``now``; whether more than ``limit`` fell into the last minute."""
    times.append(now)
    while times and now - times[0] > 60:
        times.popleft()
    return len(times) > limit
