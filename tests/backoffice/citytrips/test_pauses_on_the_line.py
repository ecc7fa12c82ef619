"""Pauses over a real socket, and what those are told who ask for something to be sent meanwhile."""

from __future__ import annotations

import asyncio
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from backoffice.citytrips import pauses, services
from backoffice.citytrips.conversation import Conversation
from backoffice.citytrips.models import SyncRequest
from backoffice.citytrips.session import Session
from backoffice.sandbox.faulty_server import Script
from fleet.models import Vehicle
from tests.backoffice.citytrips.faults import FULL, INCREMENTAL, Scene, play, process
from tests.backoffice.citytrips.pausing import EVERYTHING, MADRID, begin, end
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db(transaction=True)

Patch = pytest.MonkeyPatch


# --- Over a real socket ------------------------------------------------------------------------------------------


def held_of_a_paused_city(settings, monkeypatch: Patch) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a partner holds of Madrid before its pause, and after changes and a full under it."""
    # One vehicle after the other leaves, and a full for the first may be under way when the second does.
    monkeypatch.setattr("backoffice.citytrips.session.REMOVAL_GAP", 0.5)
    seen: list[dict[str, Any]] = []

    def madrid(scene: Scene) -> dict[str, Any]:
        return {name: one for name, one in scene.partner.truth.vehicles.items() if name.startswith("ES")}

    async def story(scene: Scene) -> None:
        await scene.until_equal()
        await scene.settled()
        seen.append(madrid(scene))
        await scene.database(lambda: begin(**MADRID))
        await scene.change("ES-1", battery=41)
        await scene.change("ES-2", state="on_trip")
        await scene.database(lambda: make("ES-9"))
        await scene.change("SE-1", battery=42)
        await scene.change("SE-2", state="on_trip")
        before = scene.partner.truth.messages[FULL]
        scene.partner.ask()
        await scene.until(lambda: scene.batteries().get("SE-1") == 42 and "SE-2" not in scene.batteries())
        await scene.until(lambda: scene.partner.truth.messages[FULL] > before)
        await asyncio.sleep(0.5)
        seen.append(madrid(scene))
        assert await scene.database(lambda: Vehicle.objects.pending().filter(pk__in=("ES-1", "ES-2", "ES-9")).count())
        await scene.database(end)
        await scene.until_equal()
        await scene.settled()

    play(settings, story)
    return seen[0], seen[1]


def test_a_paused_city_stays_at_the_partner_as_it_was(settings, two_cities, monkeypatch: Patch) -> None:
    """Changes, withdrawals and new vehicles wait, though fulls go on for the other cities; on resume all of it goes."""
    before, after = held_of_a_paused_city(settings, monkeypatch)
    assert after == before
    assert before.keys() == {"ES-1", "ES-2"}


def incrementals_of_a_look_that_is_paused(settings, monkeypatch: Patch, *, looking_again: bool) -> int:
    """How many messages one look sends, of which the first is followed by a pause of everything."""
    monkeypatch.setattr("backoffice.citytrips.session.INCREMENTAL_LIMIT", 2)
    send, look_at_pauses, paused = Conversation._send_incremental, Conversation._look_at_pauses, []

    async def send_and_pause(self: Conversation, ids: frozenset[str]) -> int | None:
        number = await send(self, ids)
        if not paused:
            paused.append(await self._desk.database.run(lambda: begin(**EVERYTHING)))
        return number

    async def look_at_first(self: Conversation) -> None:
        if looking_again or not paused:
            await look_at_pauses(self)

    async def story(scene: Scene) -> None:
        await scene.settled()
        before = scene.partner.truth.messages[INCREMENTAL]
        monkeypatch.setattr(Conversation, "_send_incremental", send_and_pause)
        monkeypatch.setattr(Conversation, "_look_at_pauses", look_at_first)
        await scene.database(lambda: Vehicle.objects.update(battery=41))
        await scene.until(lambda: paused)
        if not looking_again:
            await scene.until(lambda: scene.partner.truth.messages[INCREMENTAL] - before >= 2)
        await asyncio.sleep(0.5)
        sent.append(scene.partner.truth.messages[INCREMENTAL] - before)

    sent: list[int] = []
    play(settings, story)
    return sent[0]


def test_a_pause_holds_back_the_next_message_of_a_look(settings, two_cities, monkeypatch: Patch) -> None:
    """Of what one look has found, nothing is begun any more once everything is paused."""
    assert incrementals_of_a_look_that_is_paused(settings, monkeypatch, looking_again=True) == 1


def test_control_without_looking_again(settings, two_cities, monkeypatch: Patch) -> None:
    """The second message would go out under the pause."""
    assert incrementals_of_a_look_that_is_paused(settings, monkeypatch, looking_again=False) == 2


def test_control_without_keeping_what_was(settings, two_cities, monkeypatch: Patch) -> None:
    """Without the copy the first full withdraws the whole city from CityTrips."""
    monkeypatch.setattr(pauses, "_copy", lambda pause: None)
    before, after = held_of_a_paused_city(settings, monkeypatch)
    assert before.keys() == {"ES-1", "ES-2"}
    assert after == {}


def sent_while_all_is_paused(settings) -> int:
    """How many messages with vehicles arrive while everything is paused, and much asks for them."""
    counted: list[int] = []

    async def story(scene: Scene) -> None:
        await scene.until_equal()
        await scene.settled()
        await scene.database(lambda: begin(**EVERYTHING))
        await asyncio.sleep(1.5)  # what was on its way has arrived
        truth = scene.partner.truth
        before = truth.messages[FULL] + truth.messages[INCREMENTAL]
        await scene.change("ES-1", battery=41)
        await scene.change("SE-1", state="on_trip")
        scene.partner.ask(times=3)
        scene.partner.user(number=7)
        scene.partner.forget()
        await scene.is_live(2)
        await scene.until(lambda: truth.replies)
        pings = truth.pings
        scene.partner.reset()
        await scene.is_live(3)
        await scene.until(lambda: truth.pings > pings)
        await asyncio.sleep(1.5)
        counted.append(truth.messages[FULL] + truth.messages[INCREMENTAL] - before)
        fulls = truth.messages[FULL]
        await scene.database(end)
        await scene.until(lambda: truth.messages[FULL] > fulls)
        await scene.until_equal()
        await scene.settled()

    play(settings, story)
    return counted[0]


def test_while_all_is_paused_no_vehicle_is_sent(settings, two_cities, quick_retries) -> None:
    """Authentication, replies and pings go on; on resume all that waited goes, with a full."""
    assert sent_while_all_is_paused(settings) == 0


def test_control_without_heeding_the_pause(settings, two_cities, quick_retries, monkeypatch: Patch) -> None:
    """A session that is not told goes on sending."""
    monkeypatch.setattr(Session, "pause", lambda self: None)
    assert sent_while_all_is_paused(settings) > 0


def held_after_a_kill(settings, patch: str = "") -> dict[str, int]:
    """What a partner holds of a paused city after the worker was killed, and the next one has sent its first full."""
    held: list[dict[str, int]] = []

    async def story(scene: Scene) -> None:
        with process() as first:
            await scene.until_equal(20)
            await scene.settled()
            await scene.database(lambda: begin(**MADRID))
            await scene.change("ES-1", battery=41)
            first.kill()
        scene.partner.truth.vehicles.pop("ES-2")  # so that it shows what the full carries
        with process(patch):
            await scene.is_live(2, 20)
            await scene.until(lambda: scene.partner.truth.of("message", FULL)[-1].connection == 2)
            await scene.change("SE-1", battery=42)
            await scene.until(lambda: scene.batteries()["SE-1"] == 42)
            held.append({name: one for name, one in scene.batteries().items() if name.startswith("ES")})
            if not patch:
                await scene.database(end)
                await scene.until_equal()
                await scene.settled()

    play(settings, story, workers=0, script=Script(asks_for_full=False), CITYTRIPS_LEASE=2.0)
    return held[0]


def test_a_pause_outlives_the_worker(settings, two_cities) -> None:
    """Killed in the midst of a pause, the worker is followed by one that heeds it, and sends what waited on resume."""
    assert held_after_a_kill(settings) == {"ES-1": 80, "ES-2": 80}


FORGETFUL = """
from django.db.models import Q
from backoffice.citytrips import pauses
pauses.in_paused_city = lambda: Q(pk__in=[])
"""


def test_control_with_a_pause_that_only_the_first_worker_knew(settings, two_cities) -> None:
    """A worker that does not look for pauses sends the paused city as it is now."""
    assert held_after_a_kill(settings, FORGETFUL) == {"ES-1": 41, "ES-2": 80}


# --- Whoever asks for something to be sent -----------------------------------------------------------------------


def answer_of(request_id: int) -> tuple[str, str] | None:
    asked = SyncRequest.objects.get(pk=request_id)
    return (asked.state, asked.detail) if asked.ended_at else None


@pytest.mark.parametrize("full", [False, True])
def test_a_request_is_refused_while_all_is_paused(settings, two_cities, full: bool) -> None:
    """Whoever asks is told at once why nothing is sent; whoever had asked before, when the pause begins."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL, times=0, drops=True)
        scene.partner.fault(pongs="withhold")
        await scene.change("ES-1", battery=41)
        early = await scene.database(lambda: services.sync_request_create(full=full, seconds=30))
        await scene.until_database(lambda: SyncRequest.objects.get(pk=early.pk).state == "running")
        await scene.database(lambda: begin(**EVERYTHING))
        late = await scene.database(lambda: services.sync_request_create(full=full, seconds=30))
        for request in (early, late):
            told = await scene.until_database(lambda asked=request: answer_of(asked.pk))
            assert told == ("refused", "sending is paused: road works")
        scene.partner.calm()
        await scene.database(end)
        await scene.until_equal()

    play(settings, story, CITYTRIPS_PING_TIMEOUT=20.0)


@pytest.mark.parametrize("full", [False, True])
def test_a_request_says_what_waits_because_of_a_pause(settings, two_cities, full: bool) -> None:
    """What is not paused is sent and settles; the answer names how many vehicles it was without."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        await scene.database(lambda: begin(**MADRID))
        await scene.change("ES-1", battery=41)
        await scene.change("SE-1", battery=42)
        request = await scene.database(lambda: services.sync_request_create(full=full, seconds=30))
        told = await scene.until_database(lambda: answer_of(request.pk))
        assert told == ("settled", "without 1 vehicles that wait because of a pause")
        assert scene.batteries()["SE-1"] == 42

    play(settings, story)


def test_sync_fleet_tells_of_pauses(settings, two_cities) -> None:
    """The command names what it was without; while everything is paused it fails and says why."""

    async def sync(scene: Scene) -> str:
        written = StringIO()
        await asyncio.to_thread(call_command, "sync_fleet", full=True, timeout=30.0, stdout=written)
        return written.getvalue()

    async def story(scene: Scene) -> None:
        await scene.settled()
        await scene.database(lambda: begin(**MADRID))
        await scene.change("ES-1", battery=41)
        assert (await sync(scene)).endswith("\nSettled: without 1 vehicles that wait because of a pause\n")
        await scene.database(lambda: begin(**EVERYTHING))
        with pytest.raises(CommandError, match="Refused: sending is paused: road works"):
            await sync(scene)

    play(settings, story)


def test_a_request_that_needs_a_full_is_refused_when_fulls_are_blocked(
    settings, two_cities, monkeypatch: Patch
) -> None:
    """A request for changes needs a full where a vehicle leaves; if none is taken, it is told so at once."""

    async def story(scene: Scene) -> None:
        await scene.until_equal()
        await scene.settled()
        scene.partner.fault(limit=300)
        await scene.change("ES-1", state="on_trip")
        request = await scene.database(lambda: services.sync_request_create(full=False, seconds=60))
        told = await scene.until_database(lambda: answer_of(request.pk))
        assert told == ("refused", "CityTrips takes no full list as large as this fleet's")

    play(settings, story)
