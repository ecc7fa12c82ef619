"""The worker: it drives the real session as ``backoffice.citytrips.line`` does."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from backoffice.citytrips import messages
from backoffice.citytrips.errors import LeaseLost
from backoffice.citytrips.exchange import (
    Authenticate,
    Close,
    Deliver,
    Effect,
    Full,
    Incremental,
    Object,
    Pending,
    Replies,
    Settle,
    TellAgain,
    Timing,
)
from tests.backoffice.citytrips.lossy_partner.clock import Order
from tests.backoffice.citytrips.lossy_partner.errors import DatabaseDown, LineEnded
from tests.backoffice.citytrips.lossy_partner.network import Connection, Frame, Kind, Pong
from tests.backoffice.citytrips.lossy_partner.tasks import Drain, Job, Receive, Step, Task, Wait

if TYPE_CHECKING:
    from tests.backoffice.citytrips.lossy_partner.world import World


LOOK_EVERY = 1.0
SENDS_OF_A_LOOK = 3
FLUSH = 0.25
TURN = 0.001
"""Seconds that a turn of the event loop takes at least."""


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
        self._changes = world.database.changes(token)
        self._inbox: deque[messages.Inbound] = deque()
        self._reader: Task | None = None
        self._writer: Task | None = None
        self._writing = False
        self._tell_after: str | None = None
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
        self._writing = False
        self._tell_after = None
        self._busy_since = None
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
            self.world.fulls_blocked = not self.world.is_calm
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
                with suppress(DatabaseDown):  # it is asked for again
                    yield Job(lambda: self.world.database.object_to(self.token, effect))
                    self.session.objected(effect)
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
        pending: Pending = yield Job(self._changes.look)
        if self.session.fulls_blocked and not world.fulls_blocked:
            self.session.allow_fulls()
        for _ in range(SENDS_OF_A_LOOK):
            match self.session.next_send(pending, world.clock.now):
                case Full():
                    yield from self._send_full()
                    self.wake()
                    return
                case TellAgain():
                    self.session.begin_telling_again(world.clock.now)
                    self._tell_after = ""
                    continue
                case Incremental(ids):
                    sent = yield from self._send_incremental(ids)
                case Replies(ids):
                    sent = yield from self._send_replies(ids)
                case None:
                    sent = False
            if not sent:
                yield from self._tell_again()
                return
            self.wake()  # there may be more than one message takes
            if self.session.is_probing(world.clock.now):
                return

    def _tell_again(self) -> Step:
        after = self._tell_after
        if after is None or not (self.session.fulls_blocked and self.session.may_send):
            return
        self._tell_after = yield Job(lambda: self.world.database.tell_again(self.token, after))
        if self._tell_after is None:
            self.session.end_telling_again()
            self.world.counts["told again without a full"] += 1
        else:
            self.wake()

    def _send_full(self) -> Step:
        world = self.world
        number = self.session.begin(full=True, now=world.clock.now)
        if number is None:
            return
        reader = world.database.full_reader(self.token, leave_out_objected=self.session.leaves_out_objected)
        self._writing = True
        try:
            while (yield Job(reader.read)):
                if reader.unlisted:
                    yield Job(reader.mark)
                if world.safeguards.lease_before_each_part:
                    self._check_lease()
                if not self.session.is_live:
                    raise LineEnded
                yield world.delay(world.writing)
        except DatabaseDown:
            raise LineEnded from None  # half a message cannot be taken back
        if world.safeguards.lease_before_each_part:
            self._check_lease()
        yield from self._put(Frame(Kind.FULL, number, reader.carried, reader.gone))
        self.session.written(number, versions=reader.versions, absent=reader.absent, left_out=reader.left_out)
        self._confirm(number)
        world.counts["fulls"] += 1

    def _send_incremental(self, ids: frozenset[str]) -> Generator[Any, Any, bool]:
        world = self.world
        versions: dict[str, int] = yield Job(lambda: self._changes.read(ids))
        if not versions:
            return False
        yield Job(lambda: world.database.mark_listed(self.token, versions))
        number = self.session.begin(full=False, versions=versions, now=world.clock.now)
        if number is None:
            return False
        self._check_lease()
        yield from self._put(Frame(Kind.INCREMENTAL, number, versions))
        self.session.written(number)
        self._confirm(number)
        world.counts["incrementals"] += 1
        return True

    def _send_replies(self, ids: tuple[int, ...]) -> Generator[Any, Any, bool]:
        world = self.world
        due: list[int] = yield Job(lambda: world.database.read_replies(ids))
        number = self.session.begin(full=False, replies=due, now=world.clock.now) if due else None
        if number is None:
            return False
        self._check_lease()
        for reply in due:
            yield from self._put(Frame(Kind.REPLY, number, reply=reply))
        self.session.written(number)
        self._confirm(number)
        world.counts["replies"] += len(due)
        return True

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
