"""Lines that break, and messages that were ponged and never acted on: no update is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from backoffice.citytrips import session
from backoffice.citytrips.connection import Gate
from backoffice.citytrips.session import Session
from backoffice.sandbox.faulty_server import FaultyServer, Script
from tests.backoffice.citytrips.faults import INCREMENTAL, Patch, Scene, play

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("seed", range(3))
def test_resets_at_any_moment_lose_nothing(settings, fleet, quick_retries, monkeypatch: Patch, seed: int) -> None:
    """However the line breaks while vehicles change, come and go, in the end the partner holds what is offered."""
    monkeypatch.setattr(session, "REMOVAL_GAP", 0.5)
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    chance = random.Random(seed)

    async def story(scene: Scene) -> None:
        await scene.settled()
        partner = scene.partner
        for _ in range(8):
            partner.fault(reset_after=chance.randrange(100, 3000) if chance.random() < 0.5 else None)
            for _ in range(chance.randrange(1, 4)):
                state = chance.choice(["available", "available", "on_trip"])
                await scene.change(chance.choice(["ES-1", "ES-2"]), battery=chance.randrange(101), state=state)
            await asyncio.sleep(chance.random() / 2)
            chance.choice([partner.reset, partner.close, partner.forget, partner.error, partner.ask])()
        partner.calm()
        await scene.until_equal(15)

    play(settings, story)


def lost_by_resets(settings, monkeypatch: Patch, *, counted: bool) -> bool:
    """Whether a change is lost for good that was written to a line on which nothing moved any more, and which then broke.

    Three times, and nothing but the change itself is sent: no full that would mend the loss by the way. ``counted`` says
    whether it is written down as told before the line breaks.
    """
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    lost: list[bool] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        for battery in (41, 42, 43):
            live = scene.partner.truth.authentications
            scene.partner.stall()
            await scene.change("ES-1", battery=battery)
            if counted:
                await scene.settled()
            else:
                await asyncio.sleep(0.4)
            scene.partner.reset()
            await scene.is_live(live + 1)
        lost.append(await scene.is_lost(1.5))
        if not lost[0]:
            await scene.until_equal()

    play(settings, story, script=Script(asks_for_full=False), CITYTRIPS_FULL_EVERY=0, CITYTRIPS_PING_TIMEOUT=2.0)
    return lost[0]


def test_what_a_reset_cuts_off_is_sent_again(
    settings, fleet, no_full_after_authentication, quick_retries, monkeypatch: Patch
) -> None:
    """What was written and never ponged stays pending, and needs no full to arrive after all."""
    assert not lost_by_resets(settings, monkeypatch, counted=False)


def test_control_without_waiting_for_the_pong(
    settings, fleet, no_full_after_authentication, quick_retries, monkeypatch: Patch
) -> None:
    """Written down as told once it is written, a change that the reset cuts off is lost."""
    write = Session.written

    def count_on(self: Session, number: int, **more: Any) -> None:
        write(self, number, **more)
        self.confirm(number, -1e9)

    monkeypatch.setattr(Session, "written", count_on)
    assert lost_by_resets(settings, monkeypatch, counted=True)


def loses(settings, blow: Callable[[FaultyServer], object], settle: float) -> bool:
    """A partner takes a change, answers the ping, never acts on it, and then deals a blow; whether the change is lost."""
    lost: list[bool] = []

    async def story(scene: Scene) -> None:
        await scene.until_equal()
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL, drops=True)
        await scene.change("ES-1", battery=41)
        await scene.until(lambda: scene.partner.truth.dropped)
        if settle:
            await asyncio.sleep(0.3)
        else:
            await scene.settled()  # which is what the control is about
        blow(scene.partner)
        if settle:
            await scene.until_equal()
            await scene.settled()
        else:
            lost.append(await scene.is_lost())

    play(settings, story, script=Script(asks_for_full=False), CITYTRIPS_SETTLE=settle)
    return lost == [True]


BLOWS = pytest.mark.parametrize(
    "blow",
    [FaultyServer.forget, FaultyServer.error, FaultyServer.reset, FaultyServer.close],
    ids=["forgets the session", "sends an error", "resets", "closes"],
)


@BLOWS
def test_what_has_not_settled_is_sent_again(settings, fleet, no_full_after_authentication, quick_retries, blow) -> None:
    """A pong proves nothing: until a change has settled, whatever speaks against it makes it go again."""
    assert not loses(settings, blow, 1.5)


@BLOWS
def test_control_without_settling(settings, fleet, no_full_after_authentication, quick_retries, blow) -> None:
    """If the pong alone settled it, the change would be lost, and nobody would know."""
    assert loses(settings, blow, 0)


def drop_in_silence(settings, full_every: float) -> bool:
    """A partner takes a change, answers the ping, never acts on it, and nothing ever tells; whether it is lost."""
    lost: list[bool] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL, drops=True)
        await scene.change("ES-1", battery=41)
        await scene.until(lambda: scene.partner.truth.dropped)
        await scene.settled()
        if full_every:
            await scene.until_equal()
        lost.append(await scene.is_lost(0 if full_every else 3))

    play(settings, story, CITYTRIPS_FULL_EVERY=full_every)
    return lost[0]


def test_a_loss_that_nothing_reveals_is_mended_by_the_next_full(settings, fleet) -> None:
    """A full goes every CITYTRIPS_FULL_EVERY seconds: that is how long such a loss can last."""
    assert not drop_in_silence(settings, 2)


def test_control_without_regular_fulls(settings, fleet) -> None:
    """Turned off, the loss lasts until something else asks for a full."""
    assert drop_in_silence(settings, 0)
