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

An error names no message and no vehicle: :mod:`~backoffice.citytrips.suspects` finds out which it is about.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from backoffice.citytrips import messages
from backoffice.citytrips.exchange import (
    Authenticate,
    Changed,
    Close,
    Deliver,
    Effect,
    Full,
    Incremental,
    Object,
    Pending,
    Replies,
    Settle,
    State,
    TellAgain,
    Timing,
)
from backoffice.citytrips.suspects import OBJECTIONS, Suspects

ANSWER_TIME: Final = 10.0
"""Seconds that CityTrips has to answer ``s_ext/authenticate``."""
REMOVAL_GAP: Final = 30.0
"""Seconds between two fulls that are sent only because vehicles left."""
TELL_AGAIN_GAP: Final = 30.0
"""Seconds between two times that everything is told again because CityTrips asks for a full that it doesn't take."""
MEANINGLESS_PER_MINUTE: Final = 100
"""Messages a minute that cannot be read, or that nothing handles, beyond which the connection is closed."""
AUTHENTICATIONS_PER_MINUTE: Final = 20
"""Requests to authenticate a minute, beyond which the connection is closed."""
PROBE_GAP: Final = 1.0
"""Seconds that a group of suspects is given to be objected to before the next one is sent."""
INCREMENTAL_LIMIT: Final = 5000
"""Vehicles in one incremental; halved each time that CityTrips finds one too large."""
REPLIES_LIMIT: Final = 100
"""Replies written before the next look at what else there is."""


@dataclass(slots=True)
class _Send:
    number: int
    full: bool
    versions: Mapping[str, int] = field(default_factory=dict)
    absent: Mapping[str, int] = field(default_factory=dict)
    replies: frozenset[int] = frozenset()
    is_probe: bool = False
    written: bool = False
    confirmed_at: float | None = None

    def is_fresh(self, now: float) -> bool:
        """Whether it has had no time yet to be objected to."""
        return self.confirmed_at is None or now - self.confirmed_at < PROBE_GAP


class Session:
    """One worker's side of the protocol. Not safe for threads: everything is called from one event loop.

    ``handles`` tells of a command beyond the protocol whether anything here handles it.
    """

    def __init__(self, timing: Timing, *, handles: Callable[[str], bool] = lambda command: True) -> None:
        self._timing = timing
        self._handles = handles
        self.state = State.CONNECTING
        self.fulls_blocked = False
        self.paused = False
        self._asked_at: float | None = None
        self._sends: list[_Send] = []  # in the order of the wire
        self._numbers = 0
        self._full_wanted = False
        self._full_at: float | None = None
        self._removal_at: float | None = None
        self._telling_again = False
        self._told_again_at: float | None = None
        self._told_up_to = 0  # the send that ended the last telling
        self._full_objections = 0
        self._suspects = Suspects()
        self._reply_objections: Counter[int] = Counter()
        self._objections: list[Object] = []  # those that are not written down yet
        self._incremental_limit = INCREMENTAL_LIMIT
        self._authentications: deque[float] = deque()
        self._meaningless: deque[float] = deque()

    # --- The connection ---

    def connected(self, now: float) -> list[Effect]:
        """A connection is open. Authentication is sent at once, as the specification advises."""
        self._sends.clear()
        self._telling_again = False
        self._authentications.clear()
        self._meaningless.clear()
        return self._authenticate("")

    def authentication_sent(self, now: float) -> None:
        """What :class:`Authenticate` asked for is written: the time to answer it begins, which a large message may hold up."""
        self._asked_at = now

    def disconnected(self) -> None:
        """The connection has ended: nothing in flight can be counted on."""
        self._sends.clear()
        self.state = State.CONNECTING

    def tick(self, now: float) -> list[Effect]:
        """What is due by time. A :class:`Settle` is repeated at each tick until :meth:`settled` was called, and an
        :class:`Object` until :meth:`objected` was.
        """
        asked_at = self._asked_at if self.state is State.AUTHENTICATING else None
        if asked_at is not None and now - asked_at >= ANSWER_TIME:
            return [Close(f"no answer to the authentication within {ANSWER_TIME:g} s")]
        settled = [
            Settle(send.number, send.full, send.versions, send.absent, send.replies)
            for send in self._sends
            if send.confirmed_at is not None and now - send.confirmed_at >= self._timing.settle
        ]
        return [*self._objections, *settled]

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
                return self._receive_objection(reason, now)
            case messages.FullRequest():
                # Before authentication it asks for what follows authentication anyway.
                if self.state is State.LIVE and not any(send.full and not send.written for send in self._sends):
                    self._full_wanted = True
                return []
            case messages.Unreadable():
                return self._count_meaningless(now)
            case messages.OtherCommand(command):
                closed = [] if self._handles(command) else self._count_meaningless(now)
                return closed or [Deliver(message)]

    def _count_meaningless(self, now: float) -> list[Effect]:
        if _too_many(self._meaningless, now, MEANINGLESS_PER_MINUTE):
            return [Close(f"more than {MEANINGLESS_PER_MINUTE} unreadable or unknown messages within a minute")]
        return []

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
        self._told_again_at = None  # CityTrips may have forgotten everything
        return self._become(State.LIVE, "")

    def _receive_objection(self, reason: str, now: float) -> list[Effect]:
        """Void what is in flight, and count against it: the message doesn't say what it is about."""
        # A full that is still being written has its trial to come; of several replies the first may be refused already.
        spared = [send for send in self._sends if send.full and not send.written]
        voided = [send for send in self._sends if send not in spared]
        self._sends = spared
        # Suspects first, the latest of them before all: what was sent beside them goes again without being blamed.
        probes = [send for send in voided if send.is_probe]
        charged = [send for send in probes if send.is_fresh(now)] or probes or voided
        self._full_wanted = self._full_wanted or any(send.full for send in voided if send not in charged)
        if charged:
            self._suspects.strike()
        objected: dict[str, int] = {}
        replies: set[int] = set()
        for send in charged:
            replies |= self._charge_replies(send)
            if send.full:
                self._full_objections += 1
                # Refused a second time, the same full would be refused again: the next is the one that time brings.
                self._full_wanted = self._full_wanted or self._full_objections < OBJECTIONS
            else:
                objected |= self._suspects.charge(send.versions)
        if objected and self._full_objections:
            # A full without them may pass, where the one with them did not.
            self._full_objections = 1
            self._full_wanted = True
        fulls = any(send.full for send in charged) and self._full_objections >= OBJECTIONS
        if not (objected or replies or fulls):
            return []
        self._objections.append(Object(objected, reason, frozenset(replies), fulls))
        return [self._objections[-1]]

    def _charge_replies(self, send: _Send) -> set[int]:
        """Count an objection against the replies of a send; those that are given up."""
        self._reply_objections.update(send.replies)
        given_up = {reply for reply in send.replies if self._reply_objections[reply] >= OBJECTIONS}
        for reply in given_up:
            # Counted anew: once it is written down it isn't due any more, unless staff want it sent again.
            del self._reply_objections[reply]
        return given_up

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
        self.fulls_blocked = self._telling_again = False
        self._full_wanted = True

    def pause(self) -> None:
        """Nothing of vehicles is to be sent until :meth:`resume`; what is on its way arrives. Replies go on."""
        self.paused = True

    def resume(self) -> None:
        """Vehicles are sent again, beginning with a full."""
        self.paused = False
        self._full_wanted = True

    def receive_too_large(self) -> bool:
        """CityTrips ended the connection because a message was too large (1009); before :meth:`disconnected`.

        Returns whether a full was under way. Where none was, incrementals are smaller from now on.
        """
        if any(send.full and send.confirmed_at is None for send in self._sends):
            return True
        self._incremental_limit = max(1, self._incremental_limit // 2)
        return False

    def next_send(self, pending: Pending, now: float) -> Full | TellAgain | Incremental | Replies | None:
        """What to collect and send next. One send at a time is collected and written."""
        if not self.may_send:
            return None
        if replies := self._replies_due(pending):
            return Replies(replies)
        if self.paused:
            return None
        # A hundred requests become one full that runs and one that waits until the first is confirmed.
        full_runs = any(send.full and send.confirmed_at is None for send in self._sends)
        if not (self.fulls_blocked or full_runs) and (self._full_is_due(now) or self._removal_is_due(pending, now)):
            return Full()
        if self._telling_again_is_due(now):
            return TellAgain()
        flying = self._in_flight()
        due = {vehicle: version for vehicle, version in pending.offered.items() if flying.get(vehicle, 0) < version}
        group = () if self.is_probing(now) else self._suspects.next_group(due)
        chosen = frozenset(islice(group or self._suspects.others(due), self._incremental_limit))
        return Incremental(chosen) if chosen else None

    @property
    def leaves_out_objected(self) -> bool:
        """Whether a full is to be sent without the vehicles objected to, since one with them was refused."""
        return self._full_objections > 0

    def is_probing(self, now: float) -> bool:
        """Whether a group of suspects is still to show whether it is objected to."""
        return any(send.is_probe and send.is_fresh(now) for send in self._sends)

    @property
    def is_live(self) -> bool:
        """Whether CityTrips has accepted us, and has not asked anew since."""
        return self.state is State.LIVE

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

    def _telling_again_is_due(self, now: float) -> bool:
        if not self.fulls_blocked or not self._full_is_due(now):
            return False
        # Begun anew at each request, it would never come to the end of a large fleet, nor would anything settle.
        if self._telling_again or any(send.number <= self._told_up_to for send in self._sends if not send.replies):
            return False
        return self._told_again_at is None or now - self._told_again_at >= TELL_AGAIN_GAP

    def _removal_is_due(self, pending: Pending, now: float) -> bool:
        if self._removal_at is not None and now - self._removal_at < REMOVAL_GAP:
            return False
        under_way = {vehicle: version for send in self._sends for vehicle, version in send.absent.items()}
        return any(under_way.get(vehicle, 0) < version for vehicle, version in pending.leaving.items())

    def begin(
        self, *, full: bool, now: float, versions: Mapping[str, int] | None = None, replies: Iterable[int] = ()
    ) -> int | None:
        """A message is about to be written; its number, or None where the line is no longer live and it must not be.

        ``versions`` are the vehicles of an incremental, ``replies`` the replies that go under this number.
        """
        if self.state is not State.LIVE:
            return None
        self._numbers += 1
        versions = versions or {}
        is_probe = self._suspects.are_among(versions)
        self._sends.append(_Send(self._numbers, full, versions, replies=frozenset(replies), is_probe=is_probe))
        if full:
            if not self._full_is_due(now):
                self._removal_at = now
            self._full_wanted = False
            self._full_at = now
        return self._numbers

    def begin_telling_again(self, now: float) -> None:
        """What :class:`TellAgain` asked for begins; until :meth:`end_telling_again` it is not asked for anew.

        Vehicles in flight are voided: they may have arrived before CityTrips asked, and are to be told after it.
        """
        self._sends = [send for send in self._sends if send.replies]
        self._telling_again, self._told_again_at = True, now
        self._full_wanted, self._full_at = False, now

    def end_telling_again(self) -> None:
        """All has been made pending once more, and sent."""
        self._telling_again = False
        self._told_up_to = self._numbers

    def written(
        self,
        number: int,
        *,
        versions: Mapping[str, int] | None = None,
        absent: Mapping[str, int] | None = None,
        left_out: Collection[str] = (),
    ) -> None:
        """The last byte is on the wire: from here on a ``full_request`` wants another one, and an error may be about it.

        Of a full, whose contents are known only now: ``versions`` are the vehicles it carried that were pending when they
        were read, ``absent`` those of which it says, by leaving them out, that they are gone, and ``left_out`` those that
        it does not carry because they were objected to: with it CityTrips drops what earlier sends told it of them.
        """
        for send in self._sends:
            if left_out and send.number < number:
                send.versions = {vehicle: send.versions[vehicle] for vehicle in send.versions.keys() - set(left_out)}
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
                self._suspects.clear(send.versions, full=send.full)
                for reply in send.replies:
                    del self._reply_objections[reply]
                if send.full:
                    self._full_objections = 0
        self._sends = [send for send in self._sends if send.number != number]

    def objected(self, objection: Object) -> None:
        """What it asked for is written down."""
        self._objections = [one for one in self._objections if one is not objection]

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
