"""What each fault does to what CityTrips asks for, to fulls that are too large, and to whoever waits."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from backoffice.citytrips import (
    bridge,
    commands,
    connection,
    conversation,
    inbox,
    journal,
    line,
    outage,
    services,
    worker,
)
from backoffice.citytrips.commands import Answer
from backoffice.citytrips.connection import Backoff, Connection, Gate
from backoffice.citytrips.errors import ConnectionLost
from backoffice.citytrips.inbox import Inbox
from backoffice.citytrips.models import Alert, JournalEntry, LinkChange, LinkState, Reply, SyncRequest
from backoffice.citytrips.session import Session
from backoffice.sandbox.faulty_server import GARBAGE, FaultyServer, Script
from fleet.models import Vehicle
from tests.backoffice.citytrips.faults import AUTHENTICATE, FULL, INCREMENTAL, Scene, jitter, many, play, reasons
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

Patch = pytest.MonkeyPatch


def count_refusals(settings, seconds: float) -> int:
    """Tries within ``seconds`` with credentials that are refused, while people ask again and again for something to be sent."""

    async def story(scene: Scene) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await scene.database(lambda: services.sync_request_create(full=False, seconds=30))
            await asyncio.sleep(0.05)

    return len(play(settings, story, script=Script(authentication="refuse")).truth.of("rejected"))


@pytest.fixture
def hours_of_twelve_seconds(monkeypatch: Patch) -> None:
    """What takes an hour after a refusal takes twelve seconds, and five minutes take one."""
    monkeypatch.setattr(line, "Gate", lambda limit, period: Gate(limit, period / 300))
    monkeypatch.setattr(line, "REFUSED_PAUSE", 1.0)
    monkeypatch.setattr(line, "LOOK_EVERY", 0.05)


def test_a_refused_key_is_tried_twelve_times_an_hour(settings, fleet, hours_of_twelve_seconds) -> None:
    """However often somebody asks, refused credentials are tried at most twelve times an hour; the reason is shown."""
    assert count_refusals(settings, 6) == 12
    assert LinkState.objects.get().state == "refused"
    assert LinkState.objects.get().reason == "the key is refused"


def test_control_without_the_gate_of_refusals(settings, fleet, hours_of_twelve_seconds, monkeypatch: Patch) -> None:
    """Without the gate each request is another try, and a partner that counts failures locks the account."""
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    assert count_refusals(settings, 6) > 20


def ends_when_told(settings, monkeypatch: Patch) -> bool:
    """Whether a worker that is told to end in the very moment in which its line breaks has ended a second later."""
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
        _done, pending = await asyncio.wait([told], timeout=1)
        ended.append(not pending)
        for left in asyncio.all_tasks() - {asyncio.current_task()}:
            left.cancel()

    play(settings, story)
    return ended[0]


def test_a_worker_that_is_told_to_end_as_the_line_breaks_ends(settings, fleet, monkeypatch: Patch) -> None:
    """A request to end that falls together with the end of the connection is not lost among the errors."""
    assert ends_when_told(settings, monkeypatch)


def test_control_without_telling_the_two_apart(settings, fleet, monkeypatch: Patch) -> None:
    """Taken for one, the worker goes on, and keeps a lease that it was to hand over."""

    async def here(work: Any) -> Any:
        return await work

    for module in (conversation, line, worker):
        monkeypatch.setattr(module, "apart", here, raising=False)
        monkeypatch.setattr(module, "heed_cancellation", lambda: None, raising=False)
    assert not ends_when_told(settings, monkeypatch)


# --- Messages that are too large ---------------------------------------------------------------------------------


@pytest.fixture
def short_pause_after_1009(monkeypatch: Patch) -> None:
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
        await asyncio.sleep(2)
        assert scene.batteries()["ES-1"] == 80

    assert len(play(settings, story).truth.of("unreadable")) > 2


def refusals_by_a_peer_that_lingers(settings) -> int:
    """How many fulls within three seconds are refused with 1009 by a partner that then leaves the connection open."""
    many(20)

    async def story(scene: Scene) -> None:
        scene.partner.fault(lingers=True)
        await refuse_fulls(scene)
        await asyncio.sleep(3)

    return len(play(settings, story).truth.of("unreadable"))


def test_1009_is_heard_though_the_connection_stays_open(settings, short_pause_after_1009) -> None:
    """A partner that says why it closes, and goes on reading for longer than a ping may take, is understood."""
    assert refusals_by_a_peer_that_lingers(settings) == 1


def test_control_without_hearing_it(settings, short_pause_after_1009, monkeypatch: Patch) -> None:
    """Taken for a ping without an answer, the same full goes again and again."""
    monkeypatch.setattr(connection, "_closed", lambda *_told: ConnectionLost("no answer to a ping"))
    assert refusals_by_a_peer_that_lingers(settings) > 1


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
    monkeypatch.setattr(bridge, "fulls_are_blocked", lambda *, recount=True: False)
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
        await scene.until(lambda: scene.partner.truth.of("closed"))
        await asyncio.sleep(2)

    assert play(settings, story).truth.connections > 1


def test_a_full_comes_in_fragments(settings, quick_retries) -> None:
    """A large full is one message of several fragments, with pings in between while it is slow."""
    many(5000)

    async def story(scene: Scene) -> None:
        await scene.until(lambda: scene.partner.truth.of("message", FULL), 20)
        await scene.settled(20)

    truth = play(settings, story, script=Script(read_rate=400_000), receive_buffer=16_384).truth
    (full, *_others) = truth.of("message", FULL)
    assert full.fragments > 2
    assert full.vehicles == 5000
    assert truth.connections == 1


# --- The journal -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["invalid", "empty", "array", "binary", "nan", "no_command", "odd_command"])
def test_garbage_is_journalled_by_type_and_size(settings, fleet, kind: str) -> None:
    """What cannot be read stands in the journal with its size and what is wrong with it, and without any of it."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.garbage(kind)
        await scene.until_database(lambda: JournalEntry.objects.filter(outcome="unreadable").exists())

    play(settings, story)
    entry = JournalEntry.objects.get(outcome="unreadable")
    assert (entry.direction, entry.size) == ("in", len(GARBAGE[kind]))
    assert entry.reason
    assert "s_vehicle" not in f"{entry.command} {entry.reason} {entry.body}"


def test_an_unknown_command_is_journalled_and_told(settings, fleet) -> None:
    """A command that nobody handles yet is in the journal by its name, and before staff."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.garbage("unknown_command", times=2)
        await scene.until_database(lambda: JournalEntry.objects.filter(outcome="unknown").count() == 2)

    play(settings, story)
    assert JournalEntry.objects.filter(outcome="unknown").first().command == "s_booking/new"
    alert = Alert.objects.get()
    assert (alert.kind, alert.detail, alert.count) == (Alert.Kind.UNKNOWN_COMMAND, "s_booking/new", 2)


def test_each_message_is_in_the_journal_with_what_came_of_it(settings, fleet) -> None:
    """Sent and settled, sent and void, received and handled: one entry each."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL)
        await scene.change("ES-1", battery=41)
        await scene.until(lambda: scene.partner.truth.messages[INCREMENTAL])
        scene.partner.forget()
        await scene.is_live(2)
        await scene.until_equal()
        await scene.settled()
        await asyncio.sleep(0.5)

    play(settings, story, script=Script(asks_for_full=False), CITYTRIPS_SETTLE=1.0)
    found = list(JournalEntry.objects.order_by("id").values_list("direction", "command", "outcome"))
    assert found == [
        ("out", AUTHENTICATE, "sent"),
        ("in", "s_ext/auth_succesful", "handled"),
        ("out", FULL, "settled"),
        ("out", INCREMENTAL, "void"),
        ("in", "s_ext/must_authenticate", "handled"),
        ("out", AUTHENTICATE, "sent"),
        ("in", "s_ext/auth_succesful", "handled"),
        ("out", FULL, "settled"),
    ]
    assert JournalEntry.objects.filter(command=FULL).first().body == {"vehicles": 2}


SECRETS = {
    "password": "canary-password", "nif": "canary-12345678Z", "email": "canary@example.com", "firstname": "Canaria",
    "phone": 34699123456, "address": "Calle Canario 7", "nif_front_img": "Y2FuYXJ5" * 40, "country": "Spain",
}  # fmt: skip


def everything_recorded(settings) -> str:
    """All that the line has written down beside the accounts and answers, while secrets came by every way there is."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.user(number=1, fields=SECRETS)
        scene.partner.user(number=2, fields={**SECRETS, "terms_accepted": "canary@example.com"})
        scene.partner.say("s_other/thing", SECRETS)
        scene.partner.say("canary@example.com", SECRETS)
        scene.partner.say_raw('{"canary@example.com": ')
        scene.partner.error("canary-key was sent for canary@example.com, 34699123456")
        scene.partner.say("s_ext/must_authenticate", {"reason": "canary-key is not canary@example.com"})
        await scene.until(lambda: len(scene.partner.truth.replies) >= 2)
        scene.partner.fault(authentication="refuse")
        scene.partner.say("s_ext/auth_error", {"reason": "canary-key of 34699123456"})
        await scene.until_database(lambda: reasons("refused"))
        await asyncio.sleep(0.5)

    play(settings, story, CITYTRIPS_API_KEY="canary-key")
    rows: list[Any] = []
    for model in (JournalEntry, Alert, LinkChange, LinkState):
        rows += model.objects.values()
    return str(rows)


def test_nothing_recorded_holds_a_secret_or_a_personal_datum(settings, fleet) -> None:
    """Journal, alerts and the line's history hold neither the key nor what is about a person, by whatever way it came."""
    recorded = everything_recorded(settings)
    for secret in ("canary-key", *map(str, SECRETS.values())):
        assert secret not in recorded or secret == "Spain", secret


def test_control_without_the_allow_list(settings, fleet, monkeypatch: Patch) -> None:
    """Kept as they come, payloads put people's data before everybody who reads the journal."""
    monkeypatch.setattr(journal, "body", lambda command, payload, **more: {"payload": payload})
    recorded = everything_recorded(settings)
    assert "canary-password" in recorded
    assert "canary@example.com" in recorded


# --- What CityTrips asks for -------------------------------------------------------------------------------------


def command(monkeypatch: Patch, name: str, act: Any, **more: Any) -> None:
    """A command that exists in one test."""
    monkeypatch.setattr(commands, "_commands", dict(commands._commands))
    commands.handles(name, **more)(act)


def answered_while_busy(settings, monkeypatch: Patch) -> float:
    """Seconds until must_authenticate is answered while ten slow commands wait to be handled."""
    took: list[float] = []
    command(monkeypatch, "s_test/slow", lambda value: None, read=lambda payload: time.sleep(0.4))

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.say("s_test/slow", times=10)
        began = time.monotonic()
        scene.partner.forget()
        await scene.is_live(2, 20)
        took.append(time.monotonic() - began)

    assert play(settings, story, CITYTRIPS_PING_TIMEOUT=10.0).truth.connections == 1
    return took[0]


def test_a_slow_handler_does_not_hold_the_reader(settings, fleet, monkeypatch: Patch) -> None:
    """While commands are handled one after another, the session goes on reading and answering."""
    assert answered_while_busy(settings, monkeypatch) < 1


def test_control_without_the_inbox(settings, fleet, monkeypatch: Patch) -> None:
    """Handled by the reader itself, the commands would keep everything else waiting."""
    put = Inbox.put

    async def wait(self: Inbox, *letter: Any) -> None:
        await put(self, *letter)
        while self._size:
            await asyncio.sleep(0.01)

    monkeypatch.setattr(Inbox, "put", wait)
    assert answered_while_busy(settings, monkeypatch) > 2


def handled_of_a_burst(settings, monkeypatch: Patch) -> int:
    """How many of sixty slow commands at once are handled, where the inbox has room for two."""
    handled: list[object] = []
    monkeypatch.setattr(inbox, "CAPACITY", 100)
    command(
        monkeypatch, "s_test/slow", lambda value: None, read=lambda payload: (time.sleep(0.05), handled.append(payload))
    )

    async def story(scene: Scene) -> None:
        await scene.settled()
        for number in range(60):
            scene.partner.say("s_test/slow", number)
        await asyncio.sleep(5)

    play(settings, story)
    return len(handled)


def test_a_burst_waits_its_turn(settings, fleet, monkeypatch: Patch) -> None:
    """While what has arrived waits to be handled, a pong that waits behind it is not held against the partner."""
    assert handled_of_a_burst(settings, monkeypatch) == 60


def test_control_without_waiting_for_the_reader(settings, fleet, monkeypatch: Patch) -> None:
    """Held against it, the pong cuts the line, and what had arrived is lost with it."""
    monkeypatch.setattr(Connection, "_unread_for", lambda self, patience: 0.0)
    assert handled_of_a_burst(settings, monkeypatch) < 60


def told_of_user(settings, settle: float, blow: Any) -> bool:
    """A partner asks for a user, drops the answer and deals a blow; whether it is ever told."""
    told: list[bool] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command="s_user/new", drops=True)
        scene.partner.user(number=7)
        await scene.until(lambda: scene.partner.truth.dropped)
        await asyncio.sleep(0.3)
        blow(scene.partner)
        end = time.monotonic() + 4
        while not scene.partner.truth.replies and time.monotonic() < end:
            await asyncio.sleep(0.05)
        told.append(bool(scene.partner.truth.replies))
        if told[0]:
            await scene.until_database(lambda: Reply.objects.get().settled_at)

    play(settings, story, CITYTRIPS_SETTLE=settle)
    return told[0]


BLOWS = pytest.mark.parametrize(
    "blow",
    [FaultyServer.forget, FaultyServer.error, FaultyServer.reset],
    ids=["forgets the session", "sends an error", "resets"],
)


@BLOWS
def test_a_reply_is_sent_until_it_has_settled(settings, fleet, quick_retries, blow) -> None:
    """A reply that was ponged and lost goes again, and is written down as told only then."""
    assert told_of_user(settings, 1.0, blow)
    assert Reply.objects.get().sent_count == 2


@BLOWS
def test_control_without_settling_replies(settings, fleet, quick_retries, blow) -> None:
    """If the pong alone settled it, CityTrips would never hear of the user."""
    assert not told_of_user(settings, 0, blow)


def test_a_flood_of_one_user_makes_one_account(settings, fleet) -> None:
    """The same request again and again, and after the line has broken: one account, and the same id in each answer."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.user(times=30, number=7)
        await scene.until(lambda: len(scene.partner.truth.replies) >= 30, 30)
        scene.partner.reset()
        await scene.is_live(2)
        scene.partner.user(number=7)
        await scene.until_database(lambda: Reply.objects.count() == 31 and not Reply.objects.filter(settled_at=None))

    answers = play(settings, story).truth.replies
    assert {answer.command for answer in answers} == {"s_user/new"}
    assert len({answer.payload["id"] for answer in answers}) == 1
    assert {answer.payload["email"] for answer in answers} == {"lucia000007@example.com"}
    assert User.objects.filter(email="lucia000007@example.com").count() == 1


def test_a_flood_of_users_holds_up_no_vehicle(settings, fleet) -> None:
    """While a hundred people are being made into accounts, a change of a vehicle arrives as soon as ever."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        for number in range(100):
            scene.partner.user(number=number)
        await scene.change("ES-1", battery=41)
        await scene.until(lambda: scene.batteries()["ES-1"] == 41, 3)
        await scene.until(lambda: len(scene.partner.truth.replies) >= 100, 40)

    ids = {answer.payload["id"] for answer in play(settings, story).truth.replies}
    assert len(ids) == 100


def test_users_with_images_are_taken(settings, fleet) -> None:
    """Four pictures of 300 kB each pass, and are nowhere in the journal."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.user(number=7, images=300_000)
        await scene.until(lambda: scene.partner.truth.replies, 20)
        await asyncio.sleep(0.5)

    play(settings, story)
    entry = JournalEntry.objects.get(direction="in", command="s_user/new")
    assert entry.size > 1_500_000
    assert len(str(entry.body)) < 1000


@pytest.mark.logs_errors
def test_a_handler_that_raises_costs_its_message_alone(settings, fleet, monkeypatch: Patch) -> None:
    """It is journalled with its traceback, whoever asked is told, and the next message is handled on the same line."""

    def fail_once(payload: Any) -> Answer:
        if payload:
            raise RuntimeError(payload)
        return Answer("s_test/answer", {})

    command(monkeypatch, "s_test/ask", fail_once, fail=lambda payload: Answer("s_ext/error", {"reason": "internal"}))

    async def story(scene: Scene) -> None:
        await scene.settled()
        for payload in ("canary", ""):
            scene.partner.say("s_test/ask", payload)
        await scene.until(lambda: scene.partner.truth.of("message", "s_test/answer"))
        await asyncio.sleep(0.5)

    truth = play(settings, story).truth
    assert truth.connections == 1
    assert [answer.payload for answer in truth.replies] == [{"reason": "internal"}]
    entry = JournalEntry.objects.get(outcome="failed")
    assert "fail_once" in entry.body["traceback"]
    assert "canary" not in f"{entry.reason} {entry.body}"


def test_control_without_catching_what_a_handler_raises(settings, fleet, monkeypatch: Patch) -> None:
    """Uncaught, one bad message ends the whole worker, and the same message does so again after it has started anew."""

    async def raise_on(self: Inbox, command: str, payload: Any, body: Any, wrong: Exception) -> Any:
        raise wrong

    def fail(payload: Any) -> Answer:
        raise RuntimeError

    monkeypatch.setattr(Inbox, "_give_up", raise_on)
    command(monkeypatch, "s_test/ask", fail)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.say("s_test/ask")
        (worker,) = scene.workers
        await asyncio.wait([worker], timeout=5)
        assert worker.done()

    play(settings, story)


# --- Whoever waits -----------------------------------------------------------------------------------------------


def asked_in_a_pause(settings, monkeypatch: Patch) -> bool:
    """Whether a request to send is served within three seconds, while the line waits for a minute before its next try."""
    served: list[bool] = []
    jitter(monkeypatch, lambda low, high: 60.0)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.reset()
        await scene.until_database(lambda: reasons("waiting"))
        await scene.change("ES-1", battery=41)
        request = await scene.database(lambda: services.sync_request_create(full=False, seconds=30))
        await asyncio.sleep(3)
        asked = await scene.database(lambda: SyncRequest.objects.get(pk=request.pk))
        served.append(asked.state == "settled" and scene.batteries()["ES-1"] == 41)

    play(settings, story)
    return served[0]


def test_a_request_cuts_the_pause_short(settings, fleet, monkeypatch: Patch) -> None:
    """Staff who ask for something to be sent need not wait for a pause to end."""
    assert asked_in_a_pause(settings, monkeypatch)


def test_control_without_that(settings, fleet, monkeypatch: Patch) -> None:
    """Unheard, the request waits as long as the pause does."""

    async def deaf(self: line.Line) -> bool:
        return False

    monkeypatch.setattr(line.Line, "_is_asked_anew", deaf)
    assert not asked_in_a_pause(settings, monkeypatch)


def test_a_line_that_is_down_for_long_is_put_before_staff(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """Once, however long it lasts; what was put before staff ends by itself when the line is live again."""
    monkeypatch.setattr(outage, "LONG", 1.0)
    monkeypatch.setattr(worker, "HOUSEKEEPING_EVERY", 0.1)

    def opened() -> list[tuple[str, int]]:
        return list(Alert.objects.filter(resolved_at=None).values_list("kind", "count"))

    async def story(scene: Scene) -> None:
        await scene.settled()
        await asyncio.sleep(1.5)
        assert await scene.database(opened) == []
        scene.partner.down()
        await scene.until_database(opened)
        await asyncio.sleep(1)
        assert await scene.database(opened) == [("line_down", 1)]
        await scene.partner.up()
        await scene.is_live(2)
        await scene.until_database(lambda: not opened())

    play(settings, story)
    assert Alert.objects.get().resolved_by is None


def slammed_though_asked(settings, monkeypatch: Patch) -> int:
    """Connections to a partner that accepts and closes, while people ask again and again for something to be sent."""
    monkeypatch.setattr(line, "LOOK_EVERY", 0.05)

    async def story(scene: Scene) -> None:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            await scene.database(lambda: services.sync_request_create(full=False, seconds=30))
            await asyncio.sleep(0.05)

    return play(settings, story, script=Script(connect="close")).truth.connections


def test_requests_do_not_open_the_gate(settings, fleet, monkeypatch: Patch) -> None:
    """However often somebody asks, a partner that accepts and closes is connected to ten times a minute at the most."""
    assert slammed_though_asked(settings, monkeypatch) <= 10


def test_control_with_a_gate_that_requests_open(settings, fleet, monkeypatch: Patch) -> None:
    """With no gate, whoever asks often enough has the partner connected to as often."""
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    assert slammed_though_asked(settings, monkeypatch) > 10
