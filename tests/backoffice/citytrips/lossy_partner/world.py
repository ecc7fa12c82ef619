"""The world: what its parts ask of it, and what may happen in it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from backoffice.citytrips import messages
from backoffice.citytrips.errors import LeaseLost
from backoffice.citytrips.exchange import Settle
from backoffice.citytrips.session import INCREMENTAL_LIMIT
from tests.backoffice.citytrips.lossy_partner.clock import Clock
from tests.backoffice.citytrips.lossy_partner.database import Database
from tests.backoffice.citytrips.lossy_partner.errors import DatabaseDown, Loss
from tests.backoffice.citytrips.lossy_partner.partner import Partner, Verdict
from tests.backoffice.citytrips.lossy_partner.safeguards import CursorDatabase, Safeguards
from tests.backoffice.citytrips.lossy_partner.tasks import Task
from tests.backoffice.citytrips.lossy_partner.worker import Worker

LEASE = 10.0
NOTICED_WITHIN = 25.0
"""Seconds within which a half-open line is noticed."""


class Action(NamedTuple):
    """One step of a schedule: the name of a method of :class:`World`, and what it is called with."""

    name: str
    arguments: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return " ".join([self.name, *map(str, self.arguments), *(f"{name}={value}" for name, value in self.named)])


class World:
    """All of it. Its actions are the methods that an :class:`Action` names."""

    def __init__(self, seed: int, safeguards: Safeguards | None = None, database: type[Database] | None = None) -> None:
        self.safeguards = safeguards or Safeguards()
        self.clock = Clock()
        self.counts: Counter[str] = Counter()
        self.partner = Partner(self)
        self.database = (database or (Database if self.safeguards.per_row_versions else CursorDatabase))(self)
        self.unreachable_until = 0.0
        self.sent_until = 0.0
        self.fulls_blocked = False
        self.is_calm = False
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

    def calm(self) -> None:
        """All faults end."""
        self.pace()
        self.partner.verdicts.clear()
        self.partner.greets = self.partner.twice = False
        self.partner.mute = self.partner.refuses_key = 0
        self.partner.too_large_until = self.unreachable_until = self.database.down_until = self.clock.now
        self.fulls_blocked = False  # staff have lifted it, and will again
        self.is_calm = True
        self._fault_until(self.clock.now)
