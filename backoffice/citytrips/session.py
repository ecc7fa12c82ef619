"""The protocol with CityTrips, without I/O: messages and the time go in, effects come out.

A session lives as long as its worker and goes through many connections. Times are seconds of any clock that never goes
back; the caller passes them in. What happens to a vehicle's change, at version *v*:

1. *pending*: the caller reports it to :meth:`Session.next_send`, which asks for a full or an incremental;
2. *in flight*: :meth:`Session.begin` before the first byte, :meth:`Session.written` after the last; it isn't asked for
   again at this version;
3. *confirmed*: :meth:`Session.confirm`, called when the pong to a ping that followed the message has arrived. The frames
   have arrived then; that the peer's program has acted on them is not known;
4. *settled*: ``settle`` seconds later, if nothing spoke against it. :class:`Settle` asks for it to be written down.

An error, a request to authenticate again or the end of the connection in between voids what is in flight, so that it is
asked for again. Delivery is at least once, and converges: a full follows every authentication. Replies to commands of
CityTrips take the same way.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
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
INCREMENTAL_LIMIT: Final = 5000
"""Vehicles in one incremental; halved each time that CityTrips finds one too large."""
REPLIES_LIMIT: Final = 100
"""Replies written before the next look at what else there is."""


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
    replies: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Object:
    """CityTrips objected repeatedly to these versions and replies; they are not sent again as they are."""

    versions: Mapping[str, int]
    reason: str
    replies: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Deliver:
    """A command that is no part of this protocol, for its handler."""

    message: messages.OtherCommand


Effect = Authenticate | Changed | Close | Settle | Object | Deliver


# --- What the caller knows and gets ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pending:
    """What CityTrips has not seen.

    Versions by vehicle, of those offered and of those it holds but should not; and the replies that are due, by id, the
    oldest first.
    """

    offered: Mapping[str, int] = field(default_factory=dict)
    leaving: Mapping[str, int] = field(default_factory=dict)
    replies: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Full:
    """Collect every vehicle offered and send them."""


@dataclass(frozen=True, slots=True)
class Incremental:
    """Collect these vehicles, as they are now, and send those still offered."""

    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Replies:
    """Collect these replies and send them, one message each."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: until a confirmed send settles, and between fulls that nobody asked for (0: never)."""

    settle: float
    full_every: float


@dataclass(slots=True)
class _Send:
    number: int
    full: bool
    versions: Mapping[str, int] = field(default_factory=dict)
    absent: Mapping[str, int] = field(default_factory=dict)
    replies: frozenset[int] = frozenset()
    written: bool = False
    confirmed_at: float | None = None


class Session:
    """One worker's side of the protocol. Not safe for threads: everything is called from one event loop."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self.state = State.CONNECTING
        self.fulls_blocked = False
        self._asked_at: float | None = None
        self._sends: list[_Send] = []  # in the order of the wire
        self._numbers = 0
        self._full_wanted = False
        self._full_at: float | None = None
        self._removal_at: float | None = None
        self._full_objections = 0
        self._objections: dict[str, tuple[int, int]] = {}  # vehicle → version, how often
        self._reply_objections: Counter[int] = Counter()
        self._incremental_limit = INCREMENTAL_LIMIT
        self._authentications: deque[float] = deque()
        self._unreadable: deque[float] = deque()

    # --- The connection ---

    def connected(self, now: float) -> list[Effect]:
        """A connection is open. Authentication is sent at once, as the specification advises."""
        self._sends.clear()
        self._authentications.clear()
        self._unreadable.clear()
        return self._authenticate("")

    def authentication_sent(self, now: float) -> None:
        """What :class:`Authenticate` asked for is written: the time to answer it begins, which a large message may hold up."""
        self._asked_at = now

    def disconnected(self) -> None:
        """The connection has ended: nothing in flight can be counted on."""
        self._sends.clear()
        self.state = State.CONNECTING

    def tick(self, now: float) -> list[Effect]:
        """What is due by time. A :class:`Settle` is repeated at each tick until :meth:`settled` was called."""
        asked_at = self._asked_at if self.state is State.AUTHENTICATING else None
        if asked_at is not None and now - asked_at >= ANSWER_TIME:
            return [Close(f"no answer to the authentication within {ANSWER_TIME:g} s")]
        return [
            Settle(send.number, send.full, send.versions, send.absent, send.replies)
            for send in self._sends
            if send.confirmed_at is not None and now - send.confirmed_at >= self._timing.settle
        ]

    def next_tick(self, now: float) -> float | None:
        """In how many seconds :meth:`tick` has something to do; None while it has nothing in sight."""
        due = [send.confirmed_at + self._timing.settle for send in self._sends if send.confirmed_at is not None]
        if self.state is State.AUTHENTICATING and self._asked_at is not None:
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
        return self._authenticate(reason)

    def _authenticate(self, reason: str) -> list[Effect]:
        self._asked_at = None
        return [*self._become(State.AUTHENTICATING, reason), Authenticate()]

    def _receive_success(self) -> list[Effect]:
        # Asked twice before it read our first answer, CityTrips says yes twice; the first yes counts.
        if self.state is not State.AUTHENTICATING:
            return []
        self._full_wanted = True
        return self._become(State.LIVE, "")

    def _receive_objection(self, reason: str) -> list[Effect]:
        """Void what is in flight, and count against it: the message doesn't say what it is about."""
        # A full that is still being written has its trial to come; of several replies the first may be refused already.
        spared = [send for send in self._sends if send.full and not send.written]
        charged = [send for send in self._sends if send not in spared]
        self._sends = spared
        objected: dict[str, int] = {}
        replies: set[int] = set()
        for send in charged:
            self._reply_objections.update(send.replies)
            for reply in send.replies:
                if self._reply_objections[reply] >= OBJECTIONS:
                    # Counted anew: once it is written down it isn't due any more, unless staff want it sent again.
                    del self._reply_objections[reply]
                    replies.add(reply)
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
        return [Object(objected, reason, frozenset(replies))] if objected or replies else []

    def _become(self, state: State, reason: str) -> list[Effect]:
        if state is self.state:
            return []
        self.state = state
        return [Changed(state, reason)]

    # --- What we send ---

    def want_full(self) -> None:
        """A full is to be sent as soon as the line is live."""
        self._full_wanted = True

    def block_fulls(self) -> None:
        """CityTrips takes no message as large as a full: none is sent until :meth:`allow_fulls`."""
        self.fulls_blocked = True

    def allow_fulls(self) -> None:
        """Fulls may be sent again, and the one that was due goes now."""
        self.fulls_blocked = False
        self._full_wanted = True

    def receive_too_large(self) -> bool:
        """CityTrips ended the connection because a message was too large (1009); before :meth:`disconnected`.

        Returns whether a full was under way. Where none was, incrementals are smaller from now on.
        """
        if any(send.full and send.confirmed_at is None for send in self._sends):
            return True
        self._incremental_limit = max(1, self._incremental_limit // 2)
        return False

    def next_send(self, pending: Pending, now: float) -> Full | Incremental | Replies | None:
        """What to collect and send next. One send at a time is collected and written."""
        if not self.may_send:
            return None
        if replies := self._replies_due(pending):
            return Replies(replies)
        # A hundred requests become one full that runs and one that waits until the first is confirmed.
        full_runs = any(send.full and send.confirmed_at is None for send in self._sends)
        if not (self.fulls_blocked or full_runs) and (self._full_is_due(now) or self._removal_is_due(pending, now)):
            return Full()
        flying = self._in_flight()
        ids = (
            vehicle
            for vehicle, version in pending.offered.items()
            if flying.get(vehicle, 0) < version and not self._is_objected(vehicle, version)
        )
        chosen = frozenset(islice(ids, self._incremental_limit))
        return Incremental(chosen) if chosen else None

    @property
    def may_send(self) -> bool:
        """Whether the line is live and no message is half written."""
        return self.state is State.LIVE and all(send.written for send in self._sends)

    def _replies_due(self, pending: Pending) -> tuple[int, ...]:
        flying = {reply for send in self._sends for reply in send.replies}
        return tuple(islice((reply for reply in pending.replies if reply not in flying), REPLIES_LIMIT))

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
        self, *, full: bool, now: float, versions: Mapping[str, int] | None = None, replies: Iterable[int] = ()
    ) -> int | None:
        """A message is about to be written; its number, or None where the line is no longer live and it must not be.

        ``versions`` are the vehicles of an incremental, ``replies`` the replies that go under this number.
        """
        if self.state is not State.LIVE:
            return None
        self._numbers += 1
        self._sends.append(_Send(self._numbers, full, versions or {}, replies=frozenset(replies)))
        if full:
            if not self._full_is_due(now):
                self._removal_at = now
            self._full_wanted = False
            self._full_at = now
        return self._numbers

    def written(
        self, number: int, *, versions: Mapping[str, int] | None = None, absent: Mapping[str, int] | None = None
    ) -> None:
        """The last byte is on the wire: from here on a ``full_request`` wants another one, and an error may be about it.

        Of a full, whose contents are known only now: ``versions`` are the vehicles it carried that were pending when they
        were read, ``absent`` those of which it says, by leaving them out, that they are gone.
        """
        for send in self._sends:
            if send.number == number:
                if send.full:
                    send.versions, send.absent = versions or {}, absent or {}
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
                for reply in send.replies:
                    del self._reply_objections[reply]
                if send.full:
                    self._full_objections = 0
        self._sends = [send for send in self._sends if send.number != number]

    @property
    def last_number(self) -> int:
        """The number of the last send that began; 0 before the first."""
        return self._numbers

    @property
    def in_flight(self) -> frozenset[int]:
        """The numbers of the sends that are neither settled nor void."""
        return frozenset(send.number for send in self._sends)

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
