"""Messages that are too large, ours for CityTrips and its own for us."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from backoffice.citytrips import bridge, connection, conversation, fulls, services
from backoffice.citytrips.connection import Backoff, Gate
from backoffice.citytrips.conversation import Conversation
from backoffice.citytrips.errors import ConnectionLost
from backoffice.citytrips.exchange import Pending
from backoffice.citytrips.models import Alert, LinkState
from backoffice.citytrips.session import Session
from backoffice.sandbox.faulty_server import FaultyServer, Script
from fleet.models import Vehicle
from tests.backoffice.citytrips.faults import FULL, Patch, Scene, jitter, many, play, reasons

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def short_pause_after_1009(monkeypatch: Patch) -> None:
    """And incrementals that pass where no full does."""
    monkeypatch.setattr("backoffice.citytrips.session.INCREMENTAL_LIMIT", 5)
    monkeypatch.setattr(Backoff, "FIRST", 0.1)
    monkeypatch.setattr(Backoff, "CLOSED_CEILING", 0.4)
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)


async def refuse_fulls(scene: Scene) -> None:
    """From here on the partner takes no message as large as a full of the fleet."""
    await scene.until_equal()
    await scene.settled()
    scene.partner.fault(limit=1000)
    scene.partner.ask()
    await scene.until(lambda: scene.partner.truth.of("unreadable"))


async def lose_the_list(scene: Scene) -> None:
    """A partner that takes no full any more, and was told everything, forgets what it holds."""
    await refuse_fulls(scene)
    await scene.is_live(2)
    await scene.settled()
    scene.partner.truth.vehicles.clear()


def test_fulls_that_are_too_large_are_blocked(settings, short_pause_after_1009) -> None:
    """After 1009 on a full no other is sent, staff are told, and incrementals go on over the next connection."""
    many(20)

    async def story(scene: Scene) -> None:
        await refuse_fulls(scene)
        await scene.is_live(2)
        await scene.change("ES-1", battery=41)
        await scene.until(lambda: scene.batteries()["ES-1"] == 41)
        scene.partner.ask(times=3)
        await asyncio.sleep(1)

    truth = play(settings, story).truth
    assert truth.connections == 2
    assert len(truth.of("unreadable")) == 1
    link = LinkState.objects.get()
    assert (link.fulls_blocked_vehicles, bool(link.fulls_blocked_at)) == (20, True)
    assert Alert.objects.get(resolved_at=None).kind == Alert.Kind.FULLS_BLOCKED


def test_control_without_the_block(settings, short_pause_after_1009, monkeypatch: Patch) -> None:
    """Unblocked, the same full ends each connection, and what changes meanwhile never arrives."""
    monkeypatch.setattr(Session, "block_fulls", lambda self: None)
    many(20)

    async def story(scene: Scene) -> None:
        await refuse_fulls(scene)
        await scene.change("ES-1", battery=41)
        await scene.until(lambda: len(scene.partner.truth.of("unreadable")) > 2, 20)
        assert scene.batteries()["ES-1"] == 80

    play(settings, story)


def held_after_a_restart_of_the_partner(settings, seconds: float = 20) -> int:
    """How many vehicles a partner holds that takes no full, so many seconds at most after it has restarted with an empty list."""
    many(20)
    held: list[int] = []

    async def story(scene: Scene) -> None:
        await lose_the_list(scene)
        scene.partner.reset()
        await scene.is_live(3)
        try:
            await scene.until_equal(seconds)
        except AssertionError:
            pass
        else:
            await scene.settled()
        held.append(len(scene.partner.truth.vehicles))

    assert len(play(settings, story).truth.of("unreadable")) == 1
    return held[0]


def test_where_no_full_may_be_sent_incrementals_tell_everything(settings, short_pause_after_1009) -> None:
    """A partner that has forgotten its list, and takes no full, gets every vehicle that is offered all the same."""
    assert held_after_a_restart_of_the_partner(settings) == 20


def test_control_without_telling_everything_again(settings, short_pause_after_1009, monkeypatch: Patch) -> None:
    """Told of changes only, it would hold nothing until staff see to the block."""
    monkeypatch.setattr(bridge, "tell_again", lambda token, after: None)
    assert held_after_a_restart_of_the_partner(settings, 5) == 0


def most_due_while_all_is_told_again(settings, monkeypatch: Patch) -> int:
    """How many vehicles at most are to be sent at a time, to a partner that takes no full and has restarted."""
    monkeypatch.setattr(bridge, "PAGE", 5)
    due: list[int] = []
    next_send = Session.next_send

    def watched(self: Session, pending: Pending, now: float) -> object:
        if self.fulls_blocked:
            due.append(len(pending.offered.keys() - self._in_flight().keys()))
        return next_send(self, pending, now)

    monkeypatch.setattr(Session, "next_send", watched)
    assert held_after_a_restart_of_the_partner(settings) == 20
    return max(due)


def test_all_is_told_again_page_by_page(settings, short_pause_after_1009, monkeypatch: Patch) -> None:
    """A page follows when the one before has gone, so that a change in between waits for no more than that."""
    assert most_due_while_all_is_told_again(settings, monkeypatch) == 5


def test_control_telling_all_at_once(settings, short_pause_after_1009, monkeypatch: Patch) -> None:
    """Made pending without waiting, all of the fleet stands before a change."""
    send_what_is_due = Conversation._send_what_is_due

    async def hasty(self: Conversation, group: asyncio.TaskGroup) -> None:
        while self._tell_after is not None:
            await self._tell_again()
        await send_what_is_due(self, group)

    monkeypatch.setattr(Conversation, "_send_what_is_due", hasty)
    assert most_due_while_all_is_told_again(settings, monkeypatch) > 5


def is_told_all_while_it_asks(settings, monkeypatch: Patch, seconds: float) -> bool:
    """Whether a partner that takes no full, has lost its list, and asks for a full on and on is told of every vehicle."""
    monkeypatch.setattr("backoffice.citytrips.session.TELL_AGAIN_GAP", 1.0)
    monkeypatch.setattr(bridge, "PAGE", 5)
    many(60)
    told: list[bool] = []

    async def story(scene: Scene) -> None:
        await lose_the_list(scene)
        end = time.monotonic() + seconds
        while len(scene.partner.truth.vehicles) < 60 and time.monotonic() < end:
            scene.partner.ask()
            await asyncio.sleep(0.01)
        told.append(len(scene.partner.truth.vehicles) == 60)

    play(settings, story)
    return told[0]


def test_asked_again_and_again_all_is_told_to_the_end(settings, short_pause_after_1009, monkeypatch: Patch) -> None:
    """While CityTrips floods us with requests for a full that it doesn't take, each vehicle gets its turn."""
    assert is_told_all_while_it_asks(settings, monkeypatch, seconds=15)


def test_control_beginning_anew_at_each_request(settings, short_pause_after_1009, monkeypatch: Patch) -> None:
    """Begun anew each time, the telling never comes to its end."""
    monkeypatch.setattr(
        Session, "_telling_again_is_due", lambda self, now: self.fulls_blocked and self._full_is_due(now)
    )
    assert not is_told_all_while_it_asks(settings, monkeypatch, seconds=3)


def is_told_all_while_one_changes(settings, seconds: float) -> bool:
    """Whether a partner that takes no full, and has lost its list, is told of every vehicle though one changes all the time."""
    many(20)
    told: list[bool] = []

    async def story(scene: Scene) -> None:
        async def keep_changing() -> None:
            for battery in itertools.cycle(range(40, 80)):
                await scene.change("ES-1", battery=battery)

        await lose_the_list(scene)
        changing = asyncio.create_task(keep_changing())  # before the first look, which is to find a change, too
        scene.partner.reset()
        await scene.is_live(3)
        end = time.monotonic() + seconds
        while len(scene.partner.truth.vehicles) < 20 and time.monotonic() < end:
            await asyncio.sleep(0.01)
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
        told.append(len(scene.partner.truth.vehicles) == 20)

    play(settings, story, CITYTRIPS_FLUSH_INTERVAL=0.4)
    return told[0]


def test_a_busy_fleet_is_told_again_as_well(settings, short_pause_after_1009) -> None:
    """Each look finds a change; the vehicles that stand still are told all the same."""
    assert is_told_all_while_one_changes(settings, 15)


def test_control_with_room_for_one_message(settings, short_pause_after_1009, monkeypatch: Patch) -> None:
    """With one message for each look, they would never get their turn."""
    monkeypatch.setattr(conversation, "SENDS_OF_A_LOOK", 1)
    assert not is_told_all_while_one_changes(settings, 4)


def refusals_by_a_peer_that_lingers(settings, seconds: float) -> int:
    """How many fulls are refused with 1009, until it is a second one or so many seconds have passed, by a partner that then
    leaves the connection open.
    """
    many(20)

    async def story(scene: Scene) -> None:
        scene.partner.fault(lingers=True)
        await refuse_fulls(scene)
        end = time.monotonic() + seconds
        while len(scene.partner.truth.of("unreadable")) < 2 and time.monotonic() < end:
            await asyncio.sleep(0.05)

    return len(play(settings, story, CITYTRIPS_PING_TIMEOUT=0.5).truth.of("unreadable"))


def test_1009_is_heard_though_the_connection_stays_open(settings, short_pause_after_1009) -> None:
    """A partner that says why it closes, and goes on reading for longer than a ping may take, is understood."""
    assert refusals_by_a_peer_that_lingers(settings, 3) == 1


def test_control_without_hearing_it(settings, short_pause_after_1009, monkeypatch: Patch) -> None:
    """Taken for a ping without an answer, the same full goes again and again."""
    monkeypatch.setattr(connection, "_closed", lambda *_told: ConnectionLost("no answer to a ping"))
    assert refusals_by_a_peer_that_lingers(settings, 20) > 1


@pytest.mark.parametrize("lifted_by", ["staff", "a smaller fleet", "a setting"])
def test_what_lifts_the_block(settings, short_pause_after_1009, monkeypatch: Patch, lifted_by: str) -> None:
    """Staff, a fleet that has become smaller, or another setting: the full that was due goes, and the alert is done."""
    monkeypatch.setattr(conversation, "RECOUNT_EVERY", 0.2)
    many(20)

    def shrink() -> None:
        Vehicle.objects.exclude(pk__in=["ES-1", "ES-2"]).update(state="removed")

    async def story(scene: Scene) -> None:
        await refuse_fulls(scene)
        await scene.is_live(2)
        scene.partner.fault(limit=None)
        fulls = scene.partner.truth.messages[FULL]
        await asyncio.sleep(1)
        assert scene.partner.truth.messages[FULL] == fulls
        if lifted_by == "staff":
            await scene.database(services.fulls_unblock)
        elif lifted_by == "a setting":
            settings.CITYTRIPS_CLIENT_ID = "another client"
        else:
            await scene.database(shrink)
        await scene.until(lambda: scene.partner.truth.messages[FULL] > fulls)
        await scene.until_equal()

    play(settings, story)
    assert LinkState.objects.get().fulls_blocked_at is None
    assert not Alert.objects.filter(resolved_at=None).exists()


def refused_after_a_restart(settings) -> int:
    """How many fulls a partner refuses that a worker sends which has started after another one found them too large."""
    many(20)

    async def first(scene: Scene) -> None:
        await refuse_fulls(scene)
        await scene.until_database(lambda: LinkState.objects.get().fulls_blocked_at)

    async def second(scene: Scene) -> None:
        await scene.is_live()
        await scene.change("ES-1", battery=41)
        await scene.until(lambda: scene.batteries().get("ES-1") == 41 or scene.partner.truth.of("unreadable"))
        await asyncio.sleep(0.5)

    port = play(settings, first).port  # another address would be another setting, which lifts the block
    return len(play(settings, second, script=Script(limit=1000), port=port).truth.of("unreadable"))


def test_the_block_outlives_the_worker(settings, short_pause_after_1009) -> None:
    """It is kept in the database: a worker that starts later sends no full either, and brings changes all the same."""
    assert refused_after_a_restart(settings) == 0


def test_control_without_keeping_the_block(settings, short_pause_after_1009, monkeypatch: Patch) -> None:
    """Kept in one worker's memory only, each that starts has to find out anew, by losing its line."""
    monkeypatch.setattr(fulls, "are_blocked", lambda *, recount=True: False)
    assert refused_after_a_restart(settings) > 0


def arrives_in_small_pieces(settings, monkeypatch: Patch, seconds: float) -> bool:
    """Whether a change of twenty vehicles arrives at a partner that takes only a few in one message."""
    arrived: list[bool] = []
    monkeypatch.setattr("backoffice.citytrips.session.INCREMENTAL_LIMIT", 20)
    many(20)

    async def story(scene: Scene) -> None:
        await refuse_fulls(scene)
        await scene.is_live(2)
        await scene.database(lambda: Vehicle.objects.update(battery=41))
        try:
            await scene.until_equal(seconds)
        except AssertionError:
            arrived.append(False)
        else:
            await scene.settled()
            arrived.append(True)

    play(settings, story)
    return arrived[0]


def test_incrementals_that_are_too_large_become_smaller(settings, short_pause_after_1009, monkeypatch: Patch) -> None:
    """1009 on an incremental halves the next ones until they pass; nothing is lost."""
    assert arrives_in_small_pieces(settings, monkeypatch, 20)
    assert LinkState.objects.get().fulls_blocked_vehicles == 20


def test_control_without_halving(settings, short_pause_after_1009, monkeypatch: Patch) -> None:
    """Sent as it was, the same incremental ends one connection after the other."""
    too_large = Session.receive_too_large

    def never_smaller(self: Session) -> bool:
        limit = self._incremental_limit
        of_full = too_large(self)
        self._incremental_limit = limit
        return of_full

    monkeypatch.setattr(Session, "receive_too_large", never_smaller)
    assert not arrives_in_small_pieces(settings, monkeypatch, 6)


def oversize(settings, seconds: float) -> FaultyServer:
    """Send one message over the inbound limit, and see what comes of the connection, until it ends or for so many seconds."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.oversize()
        end = time.monotonic() + seconds
        while not scene.partner.truth.of("closed") and time.monotonic() < end:
            await asyncio.sleep(0.05)
        if scene.partner.truth.of("closed"):
            await scene.until_database(lambda: reasons("waiting"))

    return play(settings, story)


def test_a_message_over_the_limit_is_refused(settings, fleet) -> None:
    """More than 12 MiB in one message closes the connection with 1009 instead of filling the memory."""
    assert oversize(settings, 10).truth.of("closed")[0].note.startswith("1009")
    assert "we closed with 1009" in reasons("waiting")[0]


def test_control_without_the_inbound_limit(settings, fleet, monkeypatch: Patch) -> None:
    """Without the limit it is taken, however large."""
    monkeypatch.setattr(connection, "MAX_INBOUND", None)
    truth = oversize(settings, 2).truth
    assert truth.connections == 1
    assert not truth.of("closed")[0].note.startswith("1009")


def test_a_message_over_the_limit_is_put_before_staff(settings, fleet, monkeypatch: Patch) -> None:
    """1009 from our side raises an alert, and the next connection waits, whatever chance says."""
    jitter(monkeypatch, lambda low, high: 0.0)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.oversize()
        await scene.until(lambda: scene.partner.truth.of("closed"))
        await asyncio.sleep(2)
        assert scene.partner.truth.connections == 1

    play(settings, story)
    assert Alert.objects.get().kind == Alert.Kind.INBOUND_TOO_LARGE


def test_control_without_the_slow_retry(settings, fleet, monkeypatch: Patch) -> None:
    """With the pauses of any other loss, the same message is fetched again and again."""
    jitter(monkeypatch, lambda low, high: 0.0)
    monkeypatch.setattr(Backoff, "CLOSED_CEILING", 0.0)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.oversize()
        await scene.until(lambda: scene.partner.truth.connections > 1, 20)

    play(settings, story)
