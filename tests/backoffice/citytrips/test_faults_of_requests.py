"""Requests to send: a hundred of CityTrips', one of staff during a pause, and changes that no hint announces."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from django.db import OperationalError

from backoffice.citytrips import bridge, conversation, line, messages, services, wakeup, worker
from backoffice.citytrips.answers import Answers
from backoffice.citytrips.models import SyncRequest
from backoffice.citytrips.session import Session
from backoffice.sandbox.faulty_server import Script
from fleet.services import vehicle_update
from tests.backoffice.citytrips.faults import FULL, Patch, Scene, jitter, play, reasons, row

pytestmark = pytest.mark.django_db(transaction=True)


def fulls_for_a_hundred_requests(settings, seconds: float, enough: int = 100) -> int:
    """How many fulls a partner gets within so many seconds that asks for a hundred at once; no more than ``enough`` count."""
    before: list[int] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        await asyncio.sleep(0.5)
        before.append(scene.partner.truth.messages[FULL])
        scene.partner.ask(times=100)
        end = time.monotonic() + seconds
        while time.monotonic() < end and scene.partner.truth.messages[FULL] - before[0] < enough:
            await asyncio.sleep(0.05)

    return play(settings, story).truth.messages[FULL] - before[0]


def test_a_hundred_requests_become_two_fulls(settings, fleet) -> None:
    """One that runs and one that waits, however many requests arrive."""
    assert 1 <= fulls_for_a_hundred_requests(settings, 3) <= 2


def test_control_without_coalescing(settings, fleet, monkeypatch: Patch) -> None:
    """Served one by one, a hundred requests are a flood of the largest message there is."""
    owed = 0
    receive, begin = Session.receive, Session.begin

    def count(self: Session, message: Any, now: float) -> Any:
        nonlocal owed
        owed += isinstance(message, messages.FullRequest)
        return receive(self, message, now)

    def serve(self: Session, *, full: bool, **more: Any) -> int | None:
        nonlocal owed
        number = begin(self, full=full, **more)
        if full:
            owed = max(owed - 1, 0)
            self._full_wanted = owed > 0
        return number

    monkeypatch.setattr(Session, "receive", count)
    monkeypatch.setattr(Session, "begin", serve)
    assert fulls_for_a_hundred_requests(settings, 30, 20) >= 20


def asked_in_a_pause(settings, monkeypatch: Patch, seconds: float) -> bool:
    """Whether a request to send is served within so many seconds, while the line waits for a minute before its next try."""
    served: list[bool] = []
    jitter(monkeypatch, lambda low, high: 60.0)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.reset()
        await scene.until_database(lambda: reasons("waiting"))
        await scene.change("ES-1", battery=41)
        request = await scene.database(lambda: services.sync_request_create(full=False, seconds=30))
        try:
            await scene.until_database(lambda: SyncRequest.objects.get(pk=request.pk).state == "settled", seconds)
        except AssertionError:
            served.append(False)
        else:
            served.append(scene.batteries()["ES-1"] == 41)

    play(settings, story)
    return served[0]


def test_a_request_cuts_the_pause_short(settings, fleet, monkeypatch: Patch) -> None:
    """Staff who ask for something to be sent need not wait for a pause to end."""
    assert asked_in_a_pause(settings, monkeypatch, 20)


def test_control_without_that(settings, fleet, monkeypatch: Patch) -> None:
    """Unheard, the request waits as long as the pause does."""

    async def deaf(self: line.Line) -> bool:
        return False

    monkeypatch.setattr(line.Line, "_is_asked_anew", deaf)
    assert not asked_in_a_pause(settings, monkeypatch, 3)


def arrives_without_hints(settings, monkeypatch: Patch, seconds: float) -> bool:
    """Whether a change arrives within so many seconds while Redis is down and no hint comes from anywhere."""
    arrived: list[bool] = []

    class Broken:
        async def receive(self, channel: str) -> object:
            raise ConnectionError("down")

    monkeypatch.setattr(worker, "get_channel_layer", Broken)
    monkeypatch.setattr(wakeup, "register", lambda wake: None)

    async def story(scene: Scene) -> None:
        await scene.settled()
        await asyncio.sleep(1)  # what was settled wakes the worker once more
        await scene.change("ES-1", battery=41)
        try:
            await scene.until(lambda: scene.batteries()["ES-1"] == 41, seconds)
        except AssertionError:
            arrived.append(False)
        else:
            arrived.append(True)

    # One full and no second, whose settling would be another look, however late.
    play(settings, story, script=Script(asks_for_full=False))
    return arrived[0]


def test_without_a_channel_layer_changes_still_arrive(settings, fleet, monkeypatch: Patch) -> None:
    """With Redis down and no hint from anywhere the worker looks every second."""
    assert arrives_without_hints(settings, monkeypatch, 20)


def test_control_without_looking_unasked(settings, fleet, monkeypatch: Patch) -> None:
    """A worker that waits to be told waits as long as nobody tells it."""
    monkeypatch.setattr(conversation, "LOOK_EVERY", 1e9)
    assert not arrives_without_hints(settings, monkeypatch, 3)


def told_of_a_change_during_a_look(settings, monkeypatch: Patch) -> bool:
    """Whether a change arrived before the request that followed it counted as served, both made while the worker looked."""
    arrived: list[bool] = []
    look, end = bridge.Changes.look, services.sync_request_end

    def look_and_miss(changes: bridge.Changes) -> Any:
        pending = look(changes)
        if not SyncRequest.objects.exists():
            vehicle_update(vehicle=row("ES-1"), values={"battery": 41})
            services.sync_request_create(full=False, seconds=30)
        return pending

    async def story(scene: Scene) -> None:
        def note_and_end(**given: Any) -> None:
            arrived.append(scene.batteries()["ES-1"] == 41)
            end(**given)

        await scene.settled()
        monkeypatch.setattr(services, "sync_request_end", note_and_end)
        monkeypatch.setattr(bridge.Changes, "look", look_and_miss)
        await scene.until_database(lambda: SyncRequest.objects.filter(state="settled").exists(), 20)

    play(settings, story)
    return arrived[0]


def test_a_request_waits_for_what_was_changed_before_it(settings, fleet, monkeypatch: Patch) -> None:
    """Whoever changes a vehicle and asks for it to be sent is not told so before it was."""
    assert told_of_a_change_during_a_look(settings, monkeypatch)


def test_control_reading_requests_after_the_look(settings, fleet, monkeypatch: Patch) -> None:
    """Measured by a look from before the change, the request would be served already."""
    take_up = Answers.take_up

    async def late(self: Answers, _requests: Any, pending: Any, session: Any) -> None:
        await take_up(self, await self.asked() or (), pending, session)

    monkeypatch.setattr(Answers, "take_up", late)
    assert not told_of_a_change_during_a_look(settings, monkeypatch)


def test_a_request_is_answered_though_the_page_cannot_be_told(settings, fleet, monkeypatch: Patch) -> None:
    """The database fails where the time of the last full would be written: that is only shown, and nobody waits for it."""

    def fail(*, full: bool) -> None:
        raise OperationalError("the database is away")

    async def story(scene: Scene) -> None:
        await scene.settled()
        monkeypatch.setattr(services, "link_settled", fail)
        request = await scene.database(lambda: services.sync_request_create(full=True, seconds=30))

        def answer() -> str:
            state = SyncRequest.objects.get(pk=request.pk).state
            return "" if state in (SyncRequest.State.WAITING, SyncRequest.State.RUNNING) else state

        assert await scene.until_database(answer) == SyncRequest.State.SETTLED

    play(settings, story)
