"""A world without I/O around the real session: a clock, a database, workers that drive the session as the line does, a
network that breaks, and a partner that loses things.

Everything follows from a seed and a list of actions, so that what goes wrong once goes wrong again, and a long history can be
cut down to the few actions that matter. A thousand simulated seconds take milliseconds.

What the partner may do: refuse a message with ``s_ext/error``, or half of it, or object out of the blue; forget the session
and ignore all until it is authenticated again, with or without its list; ask for fulls; say yes twice; answer nothing; find a
full too large; break the connection at any moment, with what is under way lost; drop a message that it has ponged without a
word (a *silent drop*). What it doesn't do: act on messages in another order than they arrived in, or speak up about a message
later than the settling time after its pong. That would be a silent drop, and counts as one.

The database's rules are those of ``fleet.services`` and ``backoffice.citytrips.bridge``; ``test_convergence`` holds them
against the real ones.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

from backoffice.citytrips import messages
from backoffice.citytrips.errors import LeaseLost
from backoffice.citytrips.session import (
    INCREMENTAL_LIMIT,
    OBJECTIONS,
    REMOVAL_GAP,
    Authenticate,
    Close,
    Deliver,
    Effect,
    Full,
    Incremental,
    Object,
    Pending,
    Replies,
    Session,
    Settle,
    Timing,
)

LOOK_EVERY = 1.0
FLUSH = 0.25
TURN = 0.001
"""Seconds that a turn of the event loop takes at least."""
LEASE = 10.0
NOTICED_WITHIN = 25.0
"""Seconds within which a half-open line is noticed."""
RECOVERY = 30.0
"""Seconds after the last fault within which both are equal, where nothing was dropped silently."""
PAGE = 2


class Promise(StrEnum):
    """When both are equal again after the last fault."""

    SOON = "soon"
    BY_THE_NEXT_REMOVAL = "by the next removal"
    BY_THE_NEXT_FULL = "by the next full"


class Loss(AssertionError):
    """An update was lost, or written down as told though the partner never had it."""


class DatabaseDown(Exception):
    """The database does not answer."""


class LineEnded(Exception):
    """The connection is over, for this worker."""


class Action(NamedTuple):
    """One step of a schedule: the name of a method of :class:`World`, and what it is called with."""

    name: str
    arguments: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return " ".join([self.name, *map(str, self.arguments), *(f"{name}={value}" for name, value in self.named)])


class VoidsNothing(Session):
    """Goes on counting on what was in flight when it's asked to authenticate again."""

    def _receive_must_authenticate(self, reason: str, now: float) -> list[Effect]:
        sends = list(self._sends)
        effects = super()._receive_must_authenticate(reason, now)
        self._sends = sends
        return effects


class NoFullAfterAuthentication(Session):
    """Takes for granted that CityTrips still knows what it knew."""

    def _receive_success(self) -> list[Effect]:
        wanted = self._full_wanted or self._full_at is None
        effects = super()._receive_success()
        self._full_wanted = wanted
        return effects


@dataclass(frozen=True)
class Safeguards:
    """What keeps updates from being lost; a control switches one off."""

    settle: float = 5.0
    full_every: float = 60.0
    session: type[Session] = Session
    per_row_versions: bool = True
    token: bool = True
    lease_before_each_part: bool = True
    listed_before_sending: bool = True
    pong_before_confirmation: bool = True
    reader_waits_for_handlers: bool = False
    time_stands_while_reading: bool = True


# --- The clock and what runs on it -------------------------------------------------------------------------------


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


# --- The database ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Row:
    """A vehicle; its version stands for its values, which are new with each version."""

    version: int
    offered: bool
    settled: int = 0
    listed: bool = False
    objected: int = 0


@dataclass(slots=True)
class Reply:
    settled: bool = False
    objected: bool = False


class Database:
    """Vehicles, replies and the lease. Transactions that change vehicles take their time, and lock their row."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rows: dict[str, Row] = {}
        self.replies: dict[int, Reply] = {}
        self._token = 0
        self.down_until = 0.0
        # By vehicle, whether it is to be offered and how long it takes; the first one has the row's lock.
        self._transactions: dict[str, deque[tuple[bool, float]]] = {}

    def change(self, vehicle: str, offered: bool, seconds: float) -> float:
        """A transaction that changes a vehicle and takes so long; when it commits."""
        waiting = self._transactions.setdefault(vehicle, deque())
        waiting.append((offered, seconds))
        if len(waiting) == 1:
            self._begin(vehicle)
        return self._world.clock.now + sum(seconds for _, seconds in waiting)

    def _begin(self, vehicle: str) -> None:
        _, seconds = self._transactions[vehicle][0]
        number = self._number(vehicle)
        if seconds:
            self._world.clock.at(self._world.clock.now + seconds, self._commit, vehicle, number)
        else:
            self._commit(vehicle, number)

    def _number(self, vehicle: str) -> int:
        """The number that the trigger gives; nobody sees it before the commit."""
        return self.rows[vehicle].version + 1 if vehicle in self.rows else 1

    def _commit(self, vehicle: str, number: int) -> None:
        offered, _ = self._transactions[vehicle].popleft()
        row = self.rows.get(vehicle)
        if row is None:
            self.rows[vehicle] = Row(number, offered)
        else:
            row.version, row.offered = number, offered
        self._world.changed()
        if self._transactions[vehicle]:
            self._begin(vehicle)

    def is_pending(self, row: Row) -> bool:
        return row.version > row.settled

    def take_lease(self) -> Any:
        """A new token; the old one is worth nothing from here on."""
        self._token += 1
        return self._token

    def _check(self, token: Any) -> None:
        if token != self._token and self._world.safeguards.token:
            raise LeaseLost("another worker has taken over")

    def look(self, token: Any) -> Pending:
        offered: dict[str, int] = {}
        leaving: dict[str, int] = {}
        unseen: dict[str, int] = {}
        for vehicle, row in self.rows.items():
            if self.is_pending(row) and row.objected != row.version:
                (offered if row.offered else leaving if row.listed else unseen)[vehicle] = row.version
        if unseen:
            self._check(token)
            self._world.partner.check_never_had(unseen)
            self._settle(unseen, listed=False)
        return Pending(
            offered, leaving, [number for number, one in self.replies.items() if not (one.settled or one.objected)]
        )

    def full_reader(self, *, leave_out_objected: bool) -> FullReader:
        return FullReader(self, leave_out_objected=leave_out_objected)

    def read(self, ids: frozenset[str]) -> dict[str, int]:
        """What an incremental carries of these vehicles."""
        return {vehicle: self.rows[vehicle].version for vehicle in sorted(ids) if self.rows[vehicle].offered}

    def mark_listed(self, ids: Iterable[str]) -> None:
        if self._world.safeguards.listed_before_sending:
            for vehicle in ids:
                self.rows[vehicle].listed = True

    def read_replies(self, ids: Iterable[int]) -> list[int]:
        """Those that are still due."""
        return [number for number in ids if not (self.replies[number].settled or self.replies[number].objected)]

    def settle(self, token: Any, effect: Settle) -> None:
        self._check(token)
        self._settle(effect.versions, listed=True)
        self._settle(effect.absent, listed=False)
        for number in effect.replies:
            self.replies[number].settled = True

    def _settle(self, versions: Mapping[str, int], *, listed: bool) -> None:
        for vehicle, version in versions.items():
            row = self.rows[vehicle]
            if row.version < version:
                continue
            row.settled = max(row.settled, version)
            if listed:
                row.listed = True
            elif row.version == version:
                row.listed = False

    def object_to(self, token: Any, effect: Object) -> None:
        self._check(token)
        for vehicle, version in effect.versions.items():
            if self.rows[vehicle].version == version:
                self.rows[vehicle].objected = version
        for number in effect.replies:
            self.replies[number].objected = not self.replies[number].settled

    def send_again(self, reply: int) -> None:
        self.replies[reply] = Reply()

    def add_reply(self) -> None:
        self.replies[len(self.replies) + 1] = Reply()


class FullReader:
    """Reads a full, page by page, each vehicle once; then marks those as listed that it carries."""

    def __init__(self, database: Database, *, leave_out_objected: bool) -> None:
        self._database = database
        self._leave_out_objected = leave_out_objected
        self.carried: dict[str, int] = {}
        self.gone: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.absent: dict[str, int] = {}
        self.unlisted: list[str] = []
        self._after = ""

    def read(self) -> bool:
        """The next page; whether there was one."""
        rows = self._database.rows
        page = sorted(vehicle for vehicle in rows if vehicle > self._after)[:PAGE]
        for vehicle in page:
            row = rows[vehicle]
            pending = self._database.is_pending(row)
            if self._leave_out_objected and pending and row.objected == row.version:
                pass  # CityTrips drops what it held of it, and nothing is made of that
            elif row.offered:
                self.carried[vehicle] = row.version
                if pending:
                    self.versions[vehicle] = row.version
                if not row.listed:
                    self.unlisted.append(vehicle)
            else:
                self.gone[vehicle] = row.version
                if row.listed or pending:
                    self.absent[vehicle] = row.version
            self._after = vehicle
        return bool(page)

    def mark(self) -> None:
        self._database.mark_listed(self.unlisted)
        self.unlisted.clear()


class CursorDatabase(Database):
    """The same with one number for all vehicles and one cursor for what is settled, which misses what commits late."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._last = 0
        self._cursor = 0

    def _number(self, vehicle: str) -> int:
        self._last += 1
        return self._last

    def is_pending(self, row: Row) -> bool:
        return row.version > self._cursor

    def _settle(self, versions: Mapping[str, int], *, listed: bool) -> None:
        super()._settle(versions, listed=listed)
        self._cursor = max([self._cursor, *versions.values()])


# --- The partner and the network ---------------------------------------------------------------------------------


class Kind(StrEnum):
    AUTHENTICATE = "authenticate"
    FULL = "full"
    INCREMENTAL = "incremental"
    REPLY = "reply"
    PING = "ping"


class Verdict(StrEnum):
    """What the partner does with a message, other than take it."""

    REFUSE = "refuse"
    TAKE_HALF = "take-half"
    TAKE_AND_OBJECT = "take-and-object"
    DROP = "drop"


VERDICTS = {
    Verdict.REFUSE: "messages refused",
    Verdict.TAKE_HALF: "messages taken by half and refused",
    Verdict.TAKE_AND_OBJECT: "messages taken and objected to",
}


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


class Partner:
    """CityTrips' side: its list of vehicles, the replies that it has read, and what it's about to do wrong."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.held: dict[str, int] = {}
        self.replies: set[int] = set()
        self.greets = False
        self.verdicts: deque[Verdict] = deque()
        self.mute = 0
        self.refuses_key = 0
        self.twice = False
        self.too_large_until = 0.0
        self.takes_at_most = 0
        self.hole = False
        self.replies_dropped: set[int] = set()
        # The highest version of each vehicle that it has ever been told, and that it has dropped without a word.
        self._told: dict[str, int] = {}
        self._dropped: dict[str, int] = {}
        self._acts_at = 0.0

    # --- What arrives ---

    def arrive(self, connection: Connection, frame: Frame) -> None:
        if not connection.open:
            return
        if frame.kind is Kind.PING:
            connection.answer(Pong(frame.number))
            return
        now = self._world.clock.now
        self._acts_at = max(self._acts_at, now + self._world.delay(self._world.acting))
        if self._acts_at <= now:
            self._act(connection, frame)
        else:
            self._world.clock.at(self._acts_at, self._act, connection, frame, order=Order.ARRIVAL)

    def _act(self, connection: Connection, frame: Frame) -> None:
        if not connection.open:
            return
        if frame.kind is Kind.AUTHENTICATE:
            self._authenticate(connection)
        elif not connection.authenticated:
            frame.fate = Fate.NOT_TAKEN
            connection.answer(messages.MustAuthenticate(), frame)
        elif self._world.clock.now < self.too_large_until and len(frame.versions) > self.takes_at_most:
            connection.break_off(0.0, 1009)
        else:
            self._judge(connection, frame, self.verdicts.popleft() if self.verdicts else None)

    def _authenticate(self, connection: Connection) -> None:
        if self.mute:
            self.mute -= 1
        elif self.refuses_key:
            self.refuses_key -= 1
            connection.answer(messages.AuthenticationFailed("no"))
        else:
            connection.authenticated = True
            for _ in range(2 if self.twice else 1):
                connection.answer(messages.AuthenticationSucceeded())

    def _judge(self, connection: Connection, frame: Frame, verdict: Verdict | None) -> None:
        if verdict is Verdict.DROP:
            self.lose_silently(frame)
            return
        if verdict is None or verdict is Verdict.TAKE_AND_OBJECT:
            self._take(frame)
        else:
            frame.fate = Fate.NOT_TAKEN
            if verdict is Verdict.TAKE_HALF:
                half = dict(list(frame.versions.items())[::2])
                self.held |= half
                self._learn(half)
        if verdict is not None:
            self._world.counts[VERDICTS[verdict]] += 1
            connection.answer(messages.Objection("no"), frame)

    def _take(self, frame: Frame) -> None:
        frame.fate = Fate.TAKEN
        if frame.kind is Kind.FULL:
            self.held = dict(frame.versions)
            self.hole = False
        elif frame.kind is Kind.INCREMENTAL:
            self.held |= frame.versions
        else:
            self.replies.add(frame.reply)
        self._learn(frame.versions)
        self._learn(frame.gone)

    def _learn(self, versions: Mapping[str, int]) -> None:
        for vehicle, version in versions.items():
            self._told[vehicle] = max(version, self._told.get(vehicle, 0))

    def lose_silently(self, frame: Frame) -> None:
        """A message whose pong arrives, or has, is lost, and nothing tells."""
        frame.fate = Fate.NOT_TAKEN
        self._world.counts["silent drops"] += 1
        self.hole = True
        if frame.kind is Kind.REPLY:
            self.replies_dropped.add(frame.reply)
        for versions in (frame.versions, frame.gone):
            for vehicle, version in versions.items():
                self._dropped[vehicle] = max(version, self._dropped.get(vehicle, 0))

    # --- What must hold at every step ---

    def check_had(self, effect: Settle) -> None:
        """What is written down as told, the partner was told, or has lost it without a word."""
        for versions in (effect.versions, effect.absent):
            for vehicle, version in versions.items():
                if max(self._told.get(vehicle, 0), self._dropped.get(vehicle, 0)) < version:
                    self._world.claim(f"{vehicle} at version {version} is written down, and was never told")
        for reply in effect.replies - self.replies - self.replies_dropped:
            self._world.claim(f"reply {reply} is written down, and was never told")

    def check_never_had(self, versions: Mapping[str, int]) -> None:
        """A vehicle whose change settles without a send is none that the partner holds, unless it dropped the removal."""
        for vehicle in versions:
            if vehicle in self.held and not self.hole:
                self._world.claim(f"{vehicle} is held, and counts as never sent")


# --- The worker, as backoffice.citytrips.line ---------------------------------------------------------------------


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


class Worker:
    """Holds the lease under its token, and drives one session through its connections."""

    def __init__(self, world: World, token: Any) -> None:
        self.world = world
        self.token = token
        self.session = world.safeguards.session(Timing(world.safeguards.settle, world.safeguards.full_every))
        self.session._incremental_limit = world.incremental_limit
        self.alive = True
        self.stopped_until = 0.0
        self.stopped_for_long = False
        self.job_ends = 0.0
        self.connection: Connection | None = None
        self.waiting: Task | None = None
        self._woken = False
        self._inbox: deque[messages.Inbound] = deque()
        self._reader: Task | None = None
        self._writer: Task | None = None
        self._writing = False
        self._busy_since: float | None = None

    # --- The connection ---

    def connect(self) -> None:
        if not self.alive:
            return
        clock = self.world.clock
        if clock.now < max(self.stopped_until, self.world.unreachable_until):
            clock.at(max(self.stopped_until, self.world.unreachable_until), self.connect)
            return
        self.connection = Connection(self.world, self)
        self.world.counts["connections"] += 1
        self._inbox.clear()
        self._writing, self._busy_since = False, None
        if self.world.partner.greets:
            self.connection.answer(messages.MustAuthenticate())
        self._reader = Task(self, self._read())
        self._writer = Task(self, self._write())
        if any(isinstance(effect, Authenticate) for effect in self.session.connected(clock.now)):
            self._authenticate()
        self._reader.start()
        self._writer.start()

    def arrive(self, connection: Connection, message: messages.Inbound | Pong) -> None:
        if connection is not self.connection or not self.alive:
            return
        clock = self.world.clock
        if clock.now < self.stopped_until:
            clock.at(self.stopped_until, self.arrive, connection, message, order=self._arrivals)
        elif isinstance(message, Pong):
            connection.ponged = max(connection.ponged, message.number)
            self.session.confirm(message.number, clock.now)
            self.wake()
        else:
            self._inbox.append(message)
            if self._reader is not None and self._reader.receiving:
                self._reader.resume(None)

    def connection_lost(self, connection: Connection, code: int) -> None:
        if connection is not self.connection or not self.alive:
            return
        clock = self.world.clock
        if clock.now < self.stopped_until:
            clock.at(self.stopped_until, self.connection_lost, connection, code, order=self._arrivals)
            return
        if code == 1009 and self.session.receive_too_large():
            self.session.block_fulls()
            self.world.fulls_blocked = True
        self._disconnect()

    def ended(self, why: Exception) -> None:
        """One of the tasks has ended the connection, or found the lease gone."""
        if isinstance(why, LeaseLost):
            self.stop()
        else:
            self._disconnect()

    def stop(self) -> None:
        """For good."""
        self.alive = False
        self._cut()

    def _disconnect(self) -> None:
        self._cut()
        self.session.disconnected()
        self.world.clock.at(self.world.clock.now + self.world.pause(), self.connect)

    def _cut(self) -> None:
        connection, self.connection = self.connection, None
        for task in (self._reader, self._writer):
            if task is not None and task.alive:
                task.cancel()
        if connection is not None:
            connection.close()

    @property
    def _arrivals(self) -> Order:
        """What has arrived while the worker stood still is read first; past the lease, which protects by itself, last."""
        return Order.REST if self.stopped_for_long else Order.ARRIVAL

    # --- Reading ---

    def _read(self) -> Step:
        while True:
            while not self._inbox:
                self._busy_since = None
                yield Receive()
            message = self._inbox.popleft()
            if self._busy_since is None:
                self._busy_since = self.world.clock.now
            for effect in self.session.receive(message, self.world.clock.now):
                yield from self._apply(effect)
            self.wake()

    def _apply(self, effect: Effect) -> Step:
        match effect:
            case Authenticate():
                while self._writing:  # the message that is being written comes first
                    yield 0.05
                self._authenticate()
            case Close():
                raise LineEnded
            case Settle():
                yield Job(lambda: self.world.settle(self.token, effect))
                self.session.settled(effect.number)
            case Object(versions):
                self.world.objected.update(versions)
                with suppress(DatabaseDown):  # the session leaves them alone all the same
                    yield Job(lambda: self.world.database.object_to(self.token, effect))
            case Deliver():
                if self.world.safeguards.reader_waits_for_handlers:
                    self.world.occupied(self.world.handling * (1 + len(self._inbox)))
                    yield self.world.handling
                    self._handle()
                else:
                    self.world.occupied(self.world.handling)
                    self.world.clock.at(self.world.clock.now + self.world.handling, self._handle)

    def _handle(self) -> None:
        if self.alive and self.world.clock.now >= self.world.database.down_until:
            self.world.database.add_reply()
            self.wake()

    def _authenticate(self) -> None:
        assert self.connection is not None
        self.connection.send(Frame(Kind.AUTHENTICATE))
        self.session.authentication_sent(self.world.clock.now)
        self.wake()

    # --- Writing ---

    def wake(self) -> None:
        self._woken = True
        if self.waiting is not None:
            task, self.waiting = self.waiting, None
            self.world.clock.at(self.world.clock.now, task.go_on, task.waited, True, None)

    def _write(self) -> Step:
        while True:
            yield from self._wait_for_work()
            try:
                now = self._busy_since if self.world.safeguards.time_stands_while_reading else None
                for effect in self.session.tick(now or self.world.clock.now):
                    yield from self._apply(effect)
                if self.session.may_send:
                    yield from self._send_what_is_due()
            except DatabaseDown:
                yield LOOK_EVERY

    def _wait_for_work(self) -> Step:
        if not self._woken:
            tick = self.session.next_tick(self._busy_since or self.world.clock.now)
            woken = yield Wait(LOOK_EVERY if tick is None else min(LOOK_EVERY, max(tick, TURN)))
            self.waiting = None
            if not woken:
                return
        yield FLUSH
        self._woken = False

    def _send_what_is_due(self) -> Step:
        world = self.world
        pending: Pending = yield Job(lambda: world.database.look(self.token))
        if self.session.fulls_blocked and not world.fulls_blocked:
            self.session.allow_fulls()
        match self.session.next_send(pending, world.clock.now):
            case Full():
                yield from self._send_full()
            case Incremental(ids):
                yield from self._send_incremental(ids)
            case Replies(ids):
                yield from self._send_replies(ids)
            case None:
                return
        self.wake()  # there may be more than one message takes

    def _send_full(self) -> Step:
        world = self.world
        number = self.session.begin(full=True, now=world.clock.now)
        if number is None:
            return
        reader = world.database.full_reader(leave_out_objected=self.session.leaves_out_objected)
        self._writing = True
        try:
            while (yield Job(reader.read)):
                if reader.unlisted:
                    yield Job(reader.mark)
                if world.safeguards.lease_before_each_part:
                    self._check_lease()
                yield world.delay(world.writing)
        except DatabaseDown:
            raise LineEnded from None  # half a message cannot be taken back
        if world.safeguards.lease_before_each_part:
            self._check_lease()
        yield from self._put(Frame(Kind.FULL, number, reader.carried, reader.gone))
        self.session.written(number, versions=reader.versions, absent=reader.absent)
        self._confirm(number)
        world.counts["fulls"] += 1

    def _send_incremental(self, ids: frozenset[str]) -> Step:
        world = self.world
        versions: dict[str, int] = yield Job(lambda: world.database.read(ids))
        if not versions:
            return
        yield Job(lambda: world.database.mark_listed(versions))
        number = self.session.begin(full=False, versions=versions, now=world.clock.now)
        if number is None:
            return
        self._check_lease()
        yield from self._put(Frame(Kind.INCREMENTAL, number, versions))
        self.session.written(number)
        self._confirm(number)
        world.counts["incrementals"] += 1

    def _send_replies(self, ids: tuple[int, ...]) -> Step:
        world = self.world
        due: list[int] = yield Job(lambda: world.database.read_replies(ids))
        number = self.session.begin(full=False, replies=due, now=world.clock.now) if due else None
        if number is None:
            return
        self._check_lease()
        for reply in due:
            yield from self._put(Frame(Kind.REPLY, number, reply=reply))
        self.session.written(number)
        self._confirm(number)
        world.counts["replies"] += len(due)

    def _put(self, frame: Frame) -> Step:
        assert self.connection is not None
        seconds = self.world.delay(self.world.writing)
        self.connection.send(frame, seconds)
        self._writing = True
        yield Drain(seconds)
        self._writing = False

    def _confirm(self, number: int) -> None:
        assert self.connection is not None
        if self.world.safeguards.pong_before_confirmation:
            self.connection.send(Frame(Kind.PING, number))
        else:
            self.session.confirm(number, self.world.clock.now)

    def _check_lease(self) -> None:
        """By its own clock: whoever was stopped for long has lost it."""
        if self.stopped_for_long:
            raise LeaseLost("it has run out")


# --- The world ---------------------------------------------------------------------------------------------------


class World:
    """All of it. Its actions are the methods that :data:`ACTIONS` names."""

    def __init__(self, seed: int, safeguards: Safeguards | None = None, database: type[Database] | None = None) -> None:
        self.safeguards = safeguards or Safeguards()
        self.clock = Clock()
        self.counts: Counter[str] = Counter()
        self.partner = Partner(self)
        self.database = (database or (Database if self.safeguards.per_row_versions else CursorDatabase))(self)
        self.unreachable_until = 0.0
        self.sent_until = 0.0
        self.fulls_blocked = False
        self.objected: dict[str, int] = {}
        self.faults_until = 0.0
        self._random = random.Random(seed)
        self.incremental_limit = self._random.choice((2, INCREMENTAL_LIMIT))
        self._taking_over = False
        self.pace()
        self._take_over()

    def act(self, action: Action) -> None:
        getattr(self, action.name)(*action.arguments, **dict(action.named))

    # --- What the parts ask ---

    def delay(self, seconds: float) -> float:
        """About so long."""
        return seconds * (0.5 + self._random.random()) if seconds else 0.0

    def pause(self) -> float:
        """Between two connections."""
        return self._random.choice((0.0, 0.1, 1.0, 8.0))

    def changed(self) -> None:
        """A transaction has committed. The wake-up is lost now and then."""
        if self._random.random() < 0.8:
            self.holder.wake()

    def settle(self, token: Any, effect: Settle) -> None:
        """What must hold at every step: nothing is written down as told that the partner was never told."""
        self.database.settle(token, effect)
        self.partner.check_had(effect)
        self.counts["settled sends"] += 1

    def claim(self, what: str) -> None:
        raise Loss(what)

    def database_job(self, worker: Worker, work: Callable[[], Any], task: Task) -> None:
        """In the worker's one database thread: the effect comes at the beginning or at the end of the time it takes."""
        begins = max(self.clock.now, worker.job_ends)
        ends = worker.job_ends = begins + self.delay(self.statement)
        if begins <= self.clock.now and self._random.random() < 0.5:
            value, wrong = self._attempt(work)
            self.clock.at(ends, task.go_on, task.waited, value, wrong)
        else:
            self.clock.at(ends, self._finish_job, worker, work, task, task.waited)

    def _finish_job(self, worker: Worker, work: Callable[[], Any], task: Task, waited: int) -> None:
        if self.clock.now < worker.stopped_until:
            self.clock.at(worker.stopped_until, self._finish_job, worker, work, task, waited)
            return
        if not worker.alive and self._random.random() < 0.5:
            return
        value, wrong = self._attempt(work)
        task.go_on(waited, value, wrong)

    def _attempt(self, work: Callable[[], Any]) -> tuple[Any, Exception | None]:
        if self.clock.now < self.database.down_until:
            return None, DatabaseDown()
        try:
            return work(), None
        except LeaseLost as lost:
            self.counts["refused by the token"] += 1
            return None, lost

    # --- Actions: what happens anyway ---

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.run_until(self.clock.now + seconds)

    def change(self, vehicle: str, offered: bool, seconds: float = 0.0) -> None:
        """A transaction changes a vehicle, and commits after so many seconds."""
        self._fault_until(self.database.change(vehicle, offered, seconds))

    def pace(
        self, *, latency: float = 0.03, acting: float = 0.02, database: float = 0.005, writing: float = 0.01,
        handling: float = 0.1,
    ) -> None:  # fmt: skip
        """How long a message takes each way, the partner to act, a statement, a write and a command of the partner's.

        Whoever calls it leaves the partner enough time to object before what it objects to settles.
        """
        self.latency, self.acting, self.statement, self.writing, self.handling = (
            latency, acting, database, writing, handling,
        )  # fmt: skip

    def ask(self) -> None:
        """The partner asks for a full."""
        self._say(messages.FullRequest())

    def new_users(self, count: int) -> None:
        """The partner sends so many commands that are answered by a reply."""
        for _ in range(count):
            self._say(messages.OtherCommand("s_user/new", {}))
        self._fault_until(self.clock.now + 2 * self.latency)

    def occupied(self, seconds: float) -> None:
        """A command of the partner's brings a reply in so many seconds."""
        self._fault_until(self.clock.now + seconds)

    def _say(self, message: messages.Inbound) -> None:
        connection = self.holder.connection
        if connection is not None and connection.open:
            connection.answer(message)

    # --- Actions: faults ---

    def _fault(self, name: str, until: float = 0.0) -> None:
        self.counts[name] += 1
        self._fault_until(until)

    def _fault_until(self, time: float) -> None:
        self.faults_until = max(self.faults_until, time, self.clock.now)

    def judge(self, verdict: Verdict, times: int = 1) -> None:
        """The partner does something else with the next messages but taking them."""
        self.partner.verdicts.extend([verdict] * times)

    def object(self) -> None:
        """The partner sends an error about nothing in particular."""
        self._say(messages.Objection("something"))
        self._fault("spontaneous errors")

    def forget(self, keeps_list: bool, speaks: bool) -> None:
        """The partner forgets the session, and says so at once or at the next message."""
        connection = self.holder.connection
        if connection is None or not connection.open:
            return
        connection.authenticated = False
        self._lose_list(keeps_list, told=speaks)
        if speaks:
            connection.answer(messages.MustAuthenticate())
        self._fault("sessions forgotten")

    def _lose_list(self, keeps_list: bool, *, told: bool) -> None:
        if not keeps_list:
            self.partner.held = {}
            self.partner.hole = self.partner.hole or not told

    def greet(self, greets: bool) -> None:
        """Whether the partner asks to authenticate as soon as a connection opens."""
        self.partner.greets = greets

    def say_twice(self, twice: bool) -> None:
        """Whether the partner says yes twice to each authentication."""
        self.partner.twice = twice

    def mute(self) -> None:
        """The partner leaves the next authentication without an answer."""
        self.partner.mute += 1
        self._fault("authentications unanswered")

    def refuse_key(self) -> None:
        """The partner refuses the key once."""
        self.partner.refuses_key += 1
        self._fault("keys refused")

    def too_large(self, seconds: float, vehicles: int) -> None:
        """For a while the partner ends the connection at each message of more vehicles, with close code 1009."""
        self.partner.too_large_until = self.clock.now + seconds
        self.partner.takes_at_most = vehicles
        self._fault("messages too large", self.partner.too_large_until)

    def reset(self) -> None:
        """The connection breaks, with what is under way."""
        if self.holder.connection is not None:
            self.holder.connection.break_off(0.0)
            self._fault("resets")

    def half_open(self, seconds: float) -> None:
        """The connection breaks, and the worker notices so many seconds later."""
        if self.holder.connection is not None and self.holder.connection.open:
            self.holder.connection.break_off(seconds)
            self._fault("half-open lines", self.clock.now + seconds)

    def restart_partner(self, keeps_list: bool, seconds: float) -> None:
        """The partner restarts, and cannot be reached for so many seconds."""
        self._lose_list(keeps_list, told=self.holder.connection is None or self.holder.connection.open)
        self.unreachable_until = self.clock.now + seconds
        if self.holder.connection is not None:
            self.holder.connection.break_off(0.0)
        self._fault("partner restarts", self.unreachable_until)

    def kill(self, seconds: float) -> None:
        """The worker dies; so many seconds later another one has the lease."""
        if not self._taking_over:
            self.holder.stop()
            self._taking_over = True
            self.clock.at(self.clock.now + seconds, self._take_over)
            self._fault("workers killed", self.clock.now + seconds)

    def stall(self, seconds: float) -> None:
        """The worker stands still, for less than its lease."""
        if not self._taking_over:
            self.holder.stopped_until = max(self.holder.stopped_until, self.clock.now + seconds)
            self._fault("workers stalled", self.holder.stopped_until)

    def freeze(self, seconds: float) -> None:
        """The worker stands still beyond its lease, so that another one takes over, and then goes on."""
        if not self._taking_over:
            self.holder.stopped_until = self.clock.now + LEASE + seconds
            self.holder.stopped_for_long = True
            self._taking_over = True
            self.clock.at(self.clock.now + LEASE, self._take_over)
            self._fault("workers stopped past their lease", self.holder.stopped_until)

    def stop_database(self, seconds: float) -> None:
        """The database does not answer for so many seconds."""
        self.database.down_until = self.clock.now + seconds
        self._fault("database failures", self.database.down_until)

    def _take_over(self) -> None:
        self._taking_over = False
        self.holder = Worker(self, self.database.take_lease())
        if self.fulls_blocked:
            self.holder.session.block_fulls()
        self.holder.connect()

    # --- The end ---

    def settle_down(self) -> tuple[Promise, float]:
        """End all faults, and wait until both are equal; how long that took after the last fault, and what was promised.

        :raises Loss: they are not in time, or don't stay so.
        """
        self._calm()
        equal_at = taken = 0.0
        promise = Promise.SOON
        while equal_at <= self.faults_until:  # again if another reply fell due meanwhile
            self.clock.run_until(max(self.faults_until, self.clock.now))
            promise = self._promise()
            taken = self._wait_until_equal(self._seconds(promise))
            equal_at = self.clock.now
            self.wait(self.safeguards.settle + 1)
        if differences := self.differences():
            raise Loss("did not stay equal: " + "; ".join(differences))
        # What was objected to twice is left alone until it changes, or staff send it again; then it's as good as any other.
        vehicles = [vehicle for vehicle, row in self.database.rows.items() if self._is_objected(vehicle, row)]
        replies = [number for number, reply in self.database.replies.items() if reply.objected]
        self.counts["vehicles objected to"] += len(vehicles)
        self.counts["replies objected to"] += len(replies)
        for vehicle in vehicles:
            self.change(vehicle, self.database.rows[vehicle].offered)
        for number in replies:
            self.database.send_again(number)
        self._wait_until_equal(RECOVERY)
        return promise, taken

    def _calm(self) -> None:
        self.pace()
        self.partner.verdicts.clear()
        self.partner.greets = self.partner.twice = False
        self.partner.mute = self.partner.refuses_key = 0
        self.partner.too_large_until = self.unreachable_until = self.database.down_until = self.clock.now
        self.fulls_blocked = False  # staff have lifted it
        self._fault_until(self.clock.now)

    def _promise(self) -> Promise:
        """When both are to be equal, as things stand."""
        session = self.holder.session
        full_refused = session._full_objections >= OBJECTIONS  # the next one is the one that time brings
        if self.partner.hole or full_refused:
            return Promise.BY_THE_NEXT_FULL
        leaving = any(not row.offered and self.database.is_pending(row) for row in self.database.rows.values())
        return Promise.BY_THE_NEXT_REMOVAL if leaving else Promise.SOON

    def _seconds(self, promise: Promise) -> float:
        match promise:
            case Promise.BY_THE_NEXT_FULL:
                return self.safeguards.full_every + RECOVERY
            case Promise.BY_THE_NEXT_REMOVAL:
                return REMOVAL_GAP + self.safeguards.settle + FLUSH + RECOVERY / 3
            case _:
                return RECOVERY

    def _wait_until_equal(self, seconds: float) -> float:
        since = self.clock.now
        while differences := self.differences():
            if self.clock.now - since >= seconds:
                raise Loss(f"not equal after {seconds:g} s: " + "; ".join(differences))
            self.wait(0.5)
        return self.clock.now - since

    def _is_objected(self, vehicle: str, row: Row) -> bool:
        return self.database.is_pending(row) and row.version in (row.objected, self.objected.get(vehicle))

    def differences(self) -> list[str]:
        """What the partner holds otherwise than it should, and what is pending; in words."""
        found = []
        rows = self.database.rows
        for vehicle, row in rows.items():
            if self._is_objected(vehicle, row):
                continue
            held = self.partner.held.get(vehicle)
            expected = row.version if row.offered else None
            if held != expected:
                found.append(f"{vehicle} is held as {held} and is {expected}")
            if self.database.is_pending(row):
                found.append(f"{vehicle} is pending at {row.version}")
        found += [f"{vehicle} is held and is none of ours" for vehicle in self.partner.held if vehicle not in rows]
        for number, reply in self.database.replies.items():
            if not (reply.settled or reply.objected):
                found.append(f"reply {number} is pending")
            elif not reply.objected and number not in self.partner.replies | self.partner.replies_dropped:
                found.append(f"reply {number} was never read")
        return found
