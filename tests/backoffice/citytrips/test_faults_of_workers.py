"""What happens to workers: two at once, ended, killed, stopped, without the database, and under a clock that jumps."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection as database
from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from backoffice.citytrips import bridge, conversation, inbox, line, worker
from backoffice.citytrips.connection import Backoff, Connection
from backoffice.citytrips.errors import ConnectionLost
from backoffice.citytrips.inbox import Inbox
from backoffice.citytrips.lease import LeaseKeeper, check_token
from backoffice.citytrips.models import Lease
from backoffice.sandbox.faulty_server import Script
from backoffice.sandbox.faulty_server.truth import Truth
from fleet.models import Vehicle
from tests.backoffice.citytrips.faults import AUTHENTICATE, INCREMENTAL, Patch, Scene, play, process, reasons, states
from tests.backoffice.serving import serving
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

LOST = "the lease is lost: "  # as the watch over it says it, or as whoever was about to send does, who may be first


def without_the_lease(monkeypatch: Patch) -> None:
    """Switch off every check of the lease."""
    monkeypatch.setattr(LeaseKeeper, "try_acquire", lambda self: True)
    monkeypatch.setattr(LeaseKeeper, "held", property(lambda self: True))
    monkeypatch.setattr(LeaseKeeper, "_renew", lambda self: True)
    monkeypatch.setattr(bridge, "check_token", lambda token: None)


def most_at_once(settings) -> int:
    """Sockets authenticated at a time, of two workers, while the partner breaks off and the first worker goes."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.add_worker()
        await asyncio.sleep(0.5)
        for _ in range(2):
            before = scene.partner.truth.authentications
            scene.partner.reset()
            await scene.is_live(before + 1)
        await asyncio.sleep(0.5)
        before = scene.partner.truth.authentications
        holder = scene.workers.pop(0)
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)
        await scene.is_live(min(before + 1, 4))
        await scene.change("ES-1", battery=41)
        await scene.until_equal()

    return play(settings, story).truth.most_authenticated


def test_two_workers_have_one_socket(settings, fleet, quick_retries) -> None:
    """One holds the line and the other stands by, takes over when the first ends, and the two never speak at once."""
    assert most_at_once(settings) == 1


def test_control_without_the_lease(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """Without it both are authenticated at the same time."""
    without_the_lease(monkeypatch)
    assert most_at_once(settings) == 2


@contextmanager
def database_locked(model: type[Model] = Lease, mode: str = "ACCESS EXCLUSIVE") -> Iterator[None]:
    """Nobody else can write to the database; on PostgreSQL nobody can write to this table, nor read it either."""
    locked, free = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic(), database.cursor() as cursor:
                if database.vendor == "postgresql":
                    cursor.execute(f"LOCK TABLE {model._meta.db_table} IN {mode} MODE")
                else:
                    Lease.objects.update(name="citytrips")
                locked.set()
                free.wait(20)
        finally:
            database.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(10)
    try:
        yield
    finally:
        free.set()
        thread.join()


async def is_closed(scene: Scene, seconds: float) -> bool:
    """Whether the authenticated socket goes within so many seconds."""
    try:
        await scene.until(lambda: not scene.partner.authenticated, seconds)
    except AssertionError:
        return False
    return True


def is_given_up_beside_an_import(settings) -> bool:
    """Whether the socket is closed while another transaction keeps the vehicles for longer than the lease lasts."""
    closed: list[bool] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        await scene.change("ES-1", battery=41)
        await scene.until(lambda: scene.batteries()["ES-1"] == 41)
        with database_locked(Vehicle, "EXCLUSIVE"):
            closed.append(await is_closed(scene, 6))
        await scene.settled()

    # The change settles well after the lock is taken, and well before it is given up.
    play(settings, story, CITYTRIPS_LEASE=2.0, CITYTRIPS_SETTLE=2.0)
    return closed[0]


@pytest.mark.skipif(database.vendor == "sqlite", reason="SQLite has one writer at a time by itself")
def test_a_long_import_does_not_cost_the_lease(settings, fleet, quick_retries) -> None:
    """While an import keeps the vehicles, what has arrived waits to be written down, and the lease is renewed."""
    assert not is_given_up_beside_an_import(settings)


@pytest.mark.skipif(database.vendor == "sqlite", reason="SQLite has one writer at a time by itself")
def test_control_asking_for_the_lease_first(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """Asked for before the vehicles, the lease could not be renewed while these are waited for."""

    @contextmanager
    def lease_first(token: UUID) -> Iterator[None]:
        with transaction.atomic():
            check_token(token)
            yield

    monkeypatch.setattr(bridge, "_by_the_holder", lease_first)
    assert is_given_up_beside_an_import(settings)


def closes_without_database(settings, seconds: float) -> bool:
    """Whether the socket is closed within so many seconds in which the lease, of one second, cannot be renewed."""
    closed: list[bool] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        with database_locked():
            closed.append(await is_closed(scene, seconds))
        if closed[0]:
            await scene.is_live(2, 20)

    play(settings, story, CITYTRIPS_LEASE=1.0)
    return closed[0]


def test_the_socket_closes_when_the_lease_cannot_be_renewed(settings, fleet, quick_retries) -> None:
    """With the database away nothing is acknowledged and the line is given up; it comes back with the database."""
    assert closes_without_database(settings, 12)


def test_control_without_watching_the_lease(settings, fleet, monkeypatch: Patch) -> None:
    """Unwatched, the socket would stay open while another worker may be opening its own."""
    without_the_lease(monkeypatch)
    assert not closes_without_database(settings, 3)


def answers_after_the_database_was_away(settings, seconds: float) -> int:
    """How many of three get an account, within so many seconds, for whom CityTrips asks while the database is away for longer
    than the lease.
    """

    async def story(scene: Scene) -> None:
        await scene.settled()
        with ExitStack() as away:
            away.enter_context(database_locked())
            if database.vendor == "postgresql":
                away.enter_context(database_locked(User))
            for number in range(3):
                scene.partner.user(number=number)
            await scene.until(lambda: not scene.partner.authenticated, 12)
        await scene.is_live(2, 20)
        end = time.monotonic() + seconds
        while len(answered(scene.partner.truth)) < 3 and time.monotonic() < end:
            await asyncio.sleep(0.05)

    def answered(truth: Truth) -> set[str]:
        return {reply.payload["email"] for reply in truth.replies if reply.command == "s_user/new"}

    truth = play(settings, story, CITYTRIPS_LEASE=1.0).truth
    assert any(reason.startswith(LOST) for reason in reasons("standby"))
    return len(answered(truth))


def test_what_has_arrived_outlives_the_lease(settings, fleet, quick_retries) -> None:
    """It waits for the database, whoever holds the line then; that the line was given up stands in its history."""
    assert answers_after_the_database_was_away(settings, 20) == 3


def test_control_with_an_inbox_for_each_hold(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """Gone with the lease, what CityTrips asked for would never be answered."""

    class Mortal(line.Line):
        def __init__(self, lease: Any, database: Any, wake: Any, recorder: Any, inbox: Any, pace: Any) -> None:
            super().__init__(lease, database, wake, recorder, Inbox(recorder), pace)

        async def keep(self) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._desk.inbox.run())
                group.create_task(super().keep())

    monkeypatch.setattr(worker, "Line", Mortal)
    monkeypatch.setattr(inbox, "LAST", 0.0)
    assert answers_after_the_database_was_away(settings, 3) < 3


def tries_though_the_lease_comes_and_goes(settings, most: int, script: Script) -> int:
    """How often, of fifteen times at the most, a worker authenticates that each time loses the lease right afterwards."""

    def take_away() -> None:
        Lease.objects.update(token=uuid4(), holder="")

    async def story(scene: Scene) -> None:
        for number in range(15):
            try:
                await scene.until(
                    lambda tries=number: scene.partner.truth.messages[AUTHENTICATE] > tries, 3 if number >= most else 20
                )
            except AssertionError:
                return
            await scene.database(take_away)

    return play(settings, story, script=script, CITYTRIPS_LEASE=0.5).truth.messages[AUTHENTICATE]


def test_the_gates_outlive_the_lease(settings, fleet, monkeypatch: Patch) -> None:
    """Lost and taken again at once, it opens neither that of ten connections a minute nor that of twelve refusals an hour."""
    assert tries_though_the_lease_comes_and_goes(settings, 10, Script()) == 10
    assert reasons("waiting")[-1] == "ten connections were opened within a minute"
    monkeypatch.setattr(Backoff, "soonest", lambda self: 0.0)
    assert tries_though_the_lease_comes_and_goes(settings, 12, Script(authentication="refuse")) == 12
    assert states()[-2:] == ["refused", "standby"]


@pytest.mark.parametrize("authentication", ["accept", "refuse"])
def test_control_with_gates_for_each_hold(settings, fleet, monkeypatch: Patch, authentication: str) -> None:
    """A lease that is lost every few seconds would have CityTrips connected to, and the key tried, as often."""

    class Forgetful(line.Line):
        def __init__(self, lease: Any, database: Any, wake: Any, recorder: Any, inbox: Any, pace: Any) -> None:
            super().__init__(lease, database, wake, recorder, inbox, line.Pace())

    monkeypatch.setattr(worker, "Line", Forgetful)
    assert tries_though_the_lease_comes_and_goes(settings, 15, Script(authentication=authentication)) >= 15


NO_FULL = """
from backoffice.citytrips.session import Session
succeed = Session._receive_success
def without(self):
    effects = succeed(self)
    self._full_wanted = False
    return effects
Session._receive_success = without
"""


def lost_by_kill(settings, settle: float) -> bool:
    """A worker is killed while a change is on its way; whether the next one, which sends no full, leaves it at that."""
    lost: list[bool] = []

    async def story(scene: Scene) -> None:
        with process() as first:
            await scene.until_equal(20)
            await scene.settled()
            scene.partner.add_rule(command=INCREMENTAL, drops=True)
            await scene.change("ES-1", battery=41)
            await scene.until(lambda: scene.partner.truth.dropped)
            if settle:
                await asyncio.sleep(0.5)
            else:
                await scene.settled()  # which is what the control is about
            first.kill()
        with process(NO_FULL):
            await scene.is_live(2, 20)
            if settle:
                await scene.until_equal()
                await scene.settled()
            lost.append(await scene.is_lost())

    more = {"CITYTRIPS_SETTLE": settle, "CITYTRIPS_LEASE": 2.0}
    truth = play(settings, story, script=Script(asks_for_full=False), workers=0, **more).truth
    assert truth.most_authenticated == 1
    return lost[0]


def test_a_killed_worker_loses_nothing(settings, fleet) -> None:
    """SIGKILL while a change is on its way: the next process sends it, as it never settled, and needs no full for that."""
    assert not lost_by_kill(settings, 2.0)


def test_control_without_settling_before_the_kill(settings, fleet) -> None:
    """If the pong alone settled it, nobody would know after the kill that the partner never acted on it."""
    assert lost_by_kill(settings, 0)


def test_a_holder_that_is_told_to_end_hands_over_at_once(settings, fleet) -> None:
    """SIGTERM: the socket is closed politely, and the one that stands by is live long before the lease would have run out."""

    async def story(scene: Scene) -> None:
        with ExitStack() as sites:
            first, second = [
                await asyncio.to_thread(
                    sites.enter_context, serving(CITYTRIPS_URL=scene.partner.url, CITYTRIPS_LEASE="10")
                )
                for _ in range(2)
            ]
            await scene.until_equal()
            await scene.until(lambda: "standing by" in first.output + second.output)
            holder, standby = (first, second) if "standing by" in second.output else (second, first)
            holder.process.terminate()
            await scene.is_live(2, 5)
            assert "This worker holds the line" in standby.output

    truth = play(settings, story, workers=0).truth
    assert truth.most_authenticated == 1
    assert truth.of("closed")[0].note.startswith("1000")


def test_control_without_giving_the_lease_up(settings, fleet, monkeypatch: Patch) -> None:
    """Kept by a worker that has ended, the lease runs out in its own time, and nobody speaks meanwhile."""

    def keep(self: LeaseKeeper) -> None:
        self._stop.set()
        self._renewed_at = None

    monkeypatch.setattr(LeaseKeeper, "release", keep)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.add_worker()
        await asyncio.sleep(0.5)
        scene.workers.pop(0).cancel()
        await asyncio.sleep(2)
        assert scene.partner.truth.authentications == 1

    play(settings, story, CITYTRIPS_LEASE=10.0)


def ends_when_told(settings, monkeypatch: Patch, seconds: float) -> bool:
    """Whether a worker that is told to end in the very moment in which its line breaks has ended so many seconds later."""
    ended: list[bool] = []
    receive = Connection.receive

    async def break_when_told(self: Connection) -> str | bytes:
        try:
            return await receive(self)
        except asyncio.CancelledError:
            if ended:
                raise
            raise ConnectionLost("the connection broke") from None

    monkeypatch.setattr(Connection, "receive", break_when_told)

    async def story(scene: Scene) -> None:
        await scene.settled()
        (told,) = scene.workers
        told.cancel()
        _done, pending = await asyncio.wait([told], timeout=seconds)
        ended.append(not pending)
        for left in asyncio.all_tasks() - {asyncio.current_task()}:
            left.cancel()

    play(settings, story)
    return ended[0]


def test_a_worker_that_is_told_to_end_as_the_line_breaks_ends(settings, fleet, monkeypatch: Patch) -> None:
    """A request to end that falls together with the end of the connection is not lost among the errors."""
    assert ends_when_told(settings, monkeypatch, 15)


def test_control_without_telling_the_two_apart(settings, fleet, monkeypatch: Patch) -> None:
    """Taken for one, the worker goes on, and keeps a lease that it was to hand over."""

    async def here(work: Any) -> Any:
        return await work

    for module in (conversation, line, worker):
        monkeypatch.setattr(module, "apart", here, raising=False)
        monkeypatch.setattr(module, "heed_cancellation", lambda: None, raising=False)
    assert not ends_when_told(settings, monkeypatch, 1)


UNLEASED = """
LeaseKeeper.held = property(lambda self: True)
LeaseKeeper._renew = lambda self: True
bridge.check_token = lambda token: None
"""


def sent_after_waking(settings, patch: str) -> tuple[int, bool]:
    """A holder is stopped past its lease and goes on; how many vehicles it sends then, and whether it closes."""
    seen: list[tuple[int, bool]] = []

    async def story(scene: Scene) -> None:
        with process(patch) as first:
            await scene.until_equal(20)
            await scene.settled()
            first.pause()
            with process() as second:
                await scene.is_live(2, 20)
                await scene.change("ES-1", battery=41)
                await scene.until_equal()
                before = scene.partner.truth.number

                def heard() -> tuple[int, bool]:
                    after = [
                        event for event in scene.partner.truth.events if event.number > before and event.connection == 1
                    ]
                    return sum(event.vehicles for event in after), any(event.kind == "closed" for event in after)

                first.go_on()
                # Again and again, for the second one may have told a change before the first looks.
                for battery in range(40, 60):
                    await scene.change("ES-2", battery=battery)
                    await asyncio.sleep(1)
                    if heard() != (0, False):
                        break
                await asyncio.sleep(1)
                await scene.until_equal()
                seen.append(heard())
                assert second.poll() is None

    play(settings, story, workers=0, CITYTRIPS_LEASE=2.0)
    return seen[0]


def test_a_holder_that_was_stopped_is_silent_when_it_wakes(settings, fleet) -> None:
    """After SIGSTOP past the lease and SIGCONT the worker closes before it sends anything."""
    assert sent_after_waking(settings, "") == (0, True)


def test_control_without_the_check_when_it_wakes(settings, fleet) -> None:
    """Unchecked, the one that was stopped goes on to send on its own socket beside the other."""
    sent, closed = sent_after_waking(settings, UNLEASED)
    assert sent > 0
    assert not closed


FREEZE = """
import os, signal, time
check = bridge.check_token
def freeze(token):
    {steps}
bridge.check_token = freeze
"""
# Another thread may take the signal first, and this one would go on for a moment: long enough to end its transaction.
STOP = "os.kill(os.getpid(), signal.SIGSTOP); time.sleep(3600)"
MOMENTS = {"with the vehicles locked": f"{STOP}; check(token)", "with the lease locked too": f"check(token); {STOP}"}


def goes_on_beside_one_that_froze(settings, moment: str, patch: str = "") -> bool:
    """A holder is stopped for good in the midst of a transaction; whether another worker soon does the work."""
    went_on: list[bool] = []

    async def story(scene: Scene) -> None:
        with process(patch + FREEZE.format(steps=MOMENTS[moment])) as first:
            await scene.until(first.is_stopped, 30)
            scene.add_worker()
            try:
                await scene.is_live(2, 10)
                await scene.settled(10)
            except AssertionError:
                went_on.append(False)
            else:
                went_on.append(True)
            assert first.is_stopped()

    play(settings, story, workers=0, CITYTRIPS_LEASE=2.0)
    return went_on[0]


@pytest.mark.skipif(database.vendor == "sqlite", reason="SQLite's lock is its process's, and no other machine's")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_holder_that_froze_keeps_nothing_locked(settings, fleet, moment: str) -> None:
    """PostgreSQL ends its transaction once it has been silent for the lease's length, and the other one goes on."""
    assert goes_on_beside_one_that_froze(settings, moment)


@pytest.mark.skipif(database.vendor == "sqlite", reason="SQLite's lock is its process's, and no other machine's")
@pytest.mark.parametrize("moment", MOMENTS)
def test_control_with_transactions_that_outlive_silence(settings, fleet, moment: str) -> None:
    """Without that limit the other one waits for what is locked."""
    assert not goes_on_beside_one_that_froze(settings, moment, "bridge.end_with_silence = lambda: None")


def connections_while_the_clock_jumps(settings, monkeypatch: Patch) -> int:
    """Connections of two workers while the machine's clock goes an hour forward and two back."""
    now = timezone.now

    async def story(scene: Scene) -> None:
        await scene.settled()
        for hours, battery in ((1, 41), (-1, 42)):
            monkeypatch.setattr(timezone, "now", lambda hours=hours: now() + timedelta(hours=hours))
            await asyncio.sleep(1.5)
            await scene.change("ES-1", battery=battery)
            await scene.until_equal()

    return play(settings, story, workers=2).truth.connections


def test_the_wall_clock_may_jump(settings, fleet, monkeypatch: Patch) -> None:
    """An hour forward or back changes nothing: the line stays, and so does its holder."""
    assert connections_while_the_clock_jumps(settings, monkeypatch) == 1


def test_control_with_deadlines_by_the_wall_clock(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """A lease that ran by the wall clock would end with the first jump."""
    monkeypatch.setitem(LeaseKeeper.__init__.__kwdefaults__, "clock", lambda: timezone.now().timestamp())
    assert connections_while_the_clock_jumps(settings, monkeypatch) > 1
