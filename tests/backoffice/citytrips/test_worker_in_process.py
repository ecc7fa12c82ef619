"""The worker in this process, against servers of the tests' own."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import connection
from websockets.asyncio.server import ServerConnection, serve

from backoffice.citytrips import commands, conversation, services, wakeup
from backoffice.citytrips.lease import LeaseKeeper
from backoffice.citytrips.models import Alert, JournalEntry, LinkState, SyncRequest
from backoffice.citytrips.selectors import link_summary
from backoffice.citytrips.worker import CityTripsWorker
from fleet.models import Vehicle
from fleet.services import vehicle_update
from tests.backoffice.citytrips.faults import reasons, row, states
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db(transaction=True)


def state() -> str:
    return LinkState.objects.get().state


def keep_line(
    settings: Any,
    handler: Callable[[ServerConnection], Any],
    seconds: float = 0.3,
    *,
    done: Callable[[], object] = lambda: True,
) -> None:
    """Run a worker against ``handler`` until ``done``, and for so long after that: time in which to do too much."""

    def is_done() -> bool:
        try:
            return bool(done())
        finally:
            connection.close()

    async def both() -> None:
        async with serve(handler, "127.0.0.1", 0, ping_interval=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            settings.CITYTRIPS_URL = f"ws://127.0.0.1:{port}/v1"
            worker = asyncio.create_task(CityTripsWorker().run())
            async with asyncio.timeout(30):
                while not await asyncio.to_thread(is_done):
                    await asyncio.sleep(0.05)
            await asyncio.sleep(seconds)
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    settings.CITYTRIPS_CLIENT_ID, settings.CITYTRIPS_API_KEY = "a client", "a key"
    settings.CITYTRIPS_SETTLE, settings.CITYTRIPS_FLUSH_INTERVAL = 0.2, 0.05
    asyncio.run(both())


def has_settled(vehicle_id: str, version: int) -> Callable[[], bool]:
    return lambda: row(vehicle_id).settled_version == version


def accept(received: list[dict[str, Any]], then: str = "") -> Callable[[ServerConnection], Any]:
    """A partner that says yes, notes what it gets, and answers each message after that with ``then``."""

    async def handler(peer: ServerConnection) -> None:
        async for text in peer:
            message = json.loads(text)
            received.append(message)
            if message["command"] == "s_ext/authenticate":
                await peer.send('{"command": "s_ext/auth_succesful", "payload": null}')
            elif then:
                await peer.send(then)

    return handler


def test_a_renewal_that_outlives_the_worker_is_silent(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that answers after the worker has ended finds nobody to tell that the lease is lost."""
    failed: list[Any] = []
    threads: list[threading.Thread] = []

    def renew_slowly(self: LeaseKeeper) -> bool:
        threads.append(threading.current_thread())
        time.sleep(2)
        return False

    monkeypatch.setattr(threading, "excepthook", failed.append)
    monkeypatch.setattr(LeaseKeeper, "_renew", renew_slowly)
    settings.CITYTRIPS_LEASE = 5.0
    keep_line(settings, accept([]), 0, done=lambda: threads)
    assert threads
    threads[0].join(10)
    assert failed == []


@pytest.mark.skipif(not configured.REDIS_URL, reason="the in-memory layer reaches no other process")
def test_the_channel_layer_alone_wakes_it(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change in another process goes out by the hint through Redis, long before the worker would look by itself."""
    monkeypatch.setattr(conversation, "LOOK_EVERY", 600.0)
    monkeypatch.setattr(wakeup, "register", lambda wake: None)  # as another process has it: no call reaches the worker
    received: list[dict[str, Any]] = []
    told: list[bool] = []

    def change() -> bool:
        if not told and row("ES-1").settled_version == 1:
            vehicle_update(vehicle=row("ES-1"), values={"battery": 41})
            told.append(True)
        return any(one["command"] == "s_vehicle/incremental" for one in received)

    make("ES-1")
    keep_line(settings, accept(received), done=change)
    assert received[-1]["payload"][0]["battery"] == 41


def test_invented_vehicles_stay_at_home(settings) -> None:
    """To a partner that isn't the sandbox no demo vehicle is sent, neither in a full nor in an incremental."""
    received: list[dict[str, Any]] = []
    make("DEMO-1", is_demo=True)
    make("ES-1")
    keep_line(settings, accept(received), 1, done=has_settled("ES-1", 1))
    fulls = [message["payload"] for message in received if message["command"] == "s_vehicle/full"]
    assert [[vehicle["id"] for vehicle in full] for full in fulls] == [["ES-1"]]
    assert "DEMO-1" not in json.dumps(received)
    assert not row("DEMO-1").listed


def test_nothing_is_sent_without_an_answer(settings) -> None:
    """A partner that never answers the authentication gets no vehicle."""
    received: list[str] = []

    async def mute(peer: ServerConnection) -> None:
        async for text in peer:
            received.append(json.loads(text)["command"])

    make("ES-1")
    keep_line(settings, mute, 1, done=lambda: received)
    assert received == ["s_ext/authenticate"]
    assert row("ES-1").settled_version == 0


def test_an_error_sends_again_what_had_not_settled(settings) -> None:
    """An error between a send and its settling makes the vehicle go once more, and then it settles."""
    batteries: list[int] = []

    def change() -> None:
        vehicle_update(vehicle=row("ES-1"), values={"battery": 41})
        connection.close()

    async def objecting(peer: ServerConnection) -> None:
        async for text in peer:
            message = json.loads(text)
            if message["command"] == "s_ext/authenticate":
                await peer.send('{"command": "s_ext/auth_succesful"}')
            elif message["command"] == "s_vehicle/full":
                asyncio.get_running_loop().call_later(1, asyncio.ensure_future, asyncio.to_thread(change))
            else:
                batteries.extend(vehicle["battery"] for vehicle in message["payload"])
                if len(batteries) == 1:
                    await peer.send('{"command": "s_ext/error", "payload": {"reason": "not now"}}')

    make("ES-1")
    keep_line(settings, objecting, 0.5, done=has_settled("ES-1", 2))
    assert batteries == [41, 41]
    assert row("ES-1").settled_version == 2
    assert row("ES-1").objected_version is None


def test_a_full_that_is_refused_is_sent_twice_and_no_more(settings) -> None:
    """An error for everything does not become a loop: the full goes once more without the vehicle, and staff see which."""
    received: list[dict[str, Any]] = []
    make("ES-1")
    keep_line(
        settings,
        accept(received, '{"command": "s_ext/error", "payload": {"reason": "bad"}}'),
        1.5,
        done=lambda: len(received) == 6,
    )
    commands = [message["command"] for message in received]
    assert commands == [
        "s_ext/authenticate", "s_vehicle/full", "s_vehicle/full", "s_vehicle/incremental", "s_vehicle/incremental",
        "s_vehicle/full",
    ]  # fmt: skip
    assert [len(message["payload"]) for message in received[1:]] == [1, 1, 1, 1, 0]
    assert row("ES-1").objected_version == 1
    assert row("ES-1").settled_version == 0


@pytest.mark.parametrize(
    "rubbish", ["{", "[]", '{"payload": 1}', '{"command": "x", "payload": NaN}', b"\x00", "[" * 50_000]
)
def test_rubbish_is_borne(settings, rubbish: str | bytes) -> None:
    """What is no message costs neither the line nor an update."""

    async def babble(peer: ServerConnection) -> None:
        await peer.send(rubbish)
        await accept([])(peer)

    make("ES-1")
    keep_line(settings, babble, done=has_settled("ES-1", 1))
    assert row("ES-1").settled_version == 1
    assert states() == ["connecting", "authenticating", "live", "standby"]


def test_accept_and_close_does_not_become_a_storm(settings) -> None:
    """A server that accepts and closes at once is left alone for growing times."""
    connections = 0

    async def slam(peer: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await peer.close()

    keep_line(settings, slam, 4)
    assert 1 <= connections <= 10


def test_an_unknown_command_harms_nothing(settings) -> None:
    """A command that nothing handles is journalled and put before staff, and the line stays up."""
    make("ES-1")

    async def strange(peer: ServerConnection) -> None:
        await peer.send('{"command": "s_trip/open", "payload": {"id": "canary"}}')
        await accept([])(peer)

    keep_line(settings, strange, done=has_settled("ES-1", 1))
    entry = JournalEntry.objects.get(outcome="unknown")
    assert (entry.command, entry.body) == ("s_trip/open", {"type": "object", "members": 1})
    assert [(one.kind, one.detail) for one in Alert.objects.all()] == [("unknown_command", "s_trip/open")]


@pytest.mark.logs_errors
def test_a_handler_that_fails_costs_nothing_but_its_message(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler's error is journalled with its traceback and without its text; the next message is answered."""
    calls: list[object] = []
    received: list[dict[str, Any]] = []
    monkeypatch.setattr(commands, "_commands", {})

    @commands.handles("s_test/ask")
    def handler(payload: object) -> commands.Answer:
        calls.append(payload)
        if payload == 1:
            raise RuntimeError("canary")
        return commands.Answer("s_test/answer", {"to": payload})

    async def two(peer: ServerConnection) -> None:
        for payload in (1, 2):
            await peer.send(json.dumps({"command": "s_test/ask", "payload": payload}))
        await accept(received)(peer)

    keep_line(settings, two, done=lambda: any(one["command"] == "s_test/answer" for one in received))
    assert calls == [1, 2]
    assert {"command": "s_test/answer", "payload": {"to": 2}} in received
    failed = JournalEntry.objects.get(outcome="failed")
    assert failed.reason == "the handler failed with RuntimeError"
    assert "raise RuntimeError" in failed.body["traceback"]


def test_a_slow_handler_does_not_hold_the_line_up(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a handler takes its time, the line authenticates again and sends."""
    received: list[dict[str, Any]] = []
    free = threading.Event()
    monkeypatch.setattr(commands, "_commands", {})
    commands.handles("s_test/ask", read=lambda payload: free.wait(20))(lambda value: None)

    async def impatient(peer: ServerConnection) -> None:
        await peer.send('{"command": "s_test/ask"}')
        await peer.send('{"command": "s_ext/must_authenticate"}')
        await accept(received)(peer)

    make("ES-1")
    try:
        keep_line(settings, impatient, done=has_settled("ES-1", 1))
    finally:
        free.set()
    commands_received = [message["command"] for message in received]
    assert commands_received.count("s_ext/authenticate") == 2
    assert "s_vehicle/full" in commands_received


def test_without_credentials_nothing_is_opened(settings) -> None:
    """Without both credentials no connection is made, and the reason names what is missing."""

    async def never(peer: ServerConnection) -> None:
        pytest.fail("connected")

    request = services.sync_request_create(full=False, seconds=60)

    def is_running() -> bool:
        try:
            return not SyncRequest.objects.filter(pk=request.pk, state="refused").exists()
        finally:
            connection.close()

    async def run() -> None:
        worker = asyncio.create_task(CityTripsWorker().run())
        while await asyncio.to_thread(is_running):
            await asyncio.sleep(0.05)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    settings.CITYTRIPS_CLIENT_ID, settings.CITYTRIPS_API_KEY = "a client", ""
    asyncio.run(run())
    assert reasons("unconfigured") == ["Not set: CITYTRIPS_API_KEY"]
    assert (state(), LinkState.objects.get().reason) == ("standby", "the worker ended")
    assert SyncRequest.objects.get(pk=request.pk).state == "refused"
    assert link_summary().state == "unconfigured"


def test_the_summary_tells_the_line_and_what_waits(settings) -> None:
    """While nothing runs the summary says so, and counts what CityTrips has yet to hear."""
    settings.CITYTRIPS_CLIENT_ID, settings.CITYTRIPS_API_KEY = "a client", "a key"
    make("ES-1")
    make("ES-2", state="missing")
    summary = link_summary()
    assert (summary.state, summary.worker_alive, summary.pending) == ("waiting", False, 1)
    assert summary.oldest_pending_age is not None
    keep_line(settings, accept([]), done=lambda: LinkState.objects.filter(last_full_at__isnull=False).exists())
    summary = link_summary()
    assert (summary.pending, summary.oldest_pending_age) == (0, None)
    assert summary.last_full_at is not None
    assert [change.state for change in summary.history] == ["standby", "live", "authenticating", "connecting"]
    assert (summary.state, summary.reason) == ("waiting", "No worker is running.")
    assert summary.since == summary.history[0].at
    assert (summary.holder, list(summary.standbys)) == ("", [])


def test_the_summary_asks_the_same_for_any_fleet(settings, django_assert_max_num_queries) -> None:
    """The summary takes the same few queries however many vehicles wait."""
    for size in (1, 30):
        for number in range(size):
            if not Vehicle.objects.filter(pk=str(number)).exists():
                make(str(number))
        with django_assert_max_num_queries(6):
            assert link_summary().pending == size
