"""Lines that are silent, and lines that are only slow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from backoffice.citytrips import connection
from backoffice.citytrips.connection import Connection
from backoffice.sandbox.faulty_server import FaultyServer, Script
from fleet.models import Vehicle
from tests.backoffice.citytrips.faults import FULL, Patch, Scene, many, play, reasons

pytestmark = pytest.mark.django_db(transaction=True)

SILENCE = pytest.mark.parametrize(
    "fall_silent",
    [FaultyServer.stall, lambda partner: partner.fault(pongs="withhold")],
    ids=["a black hole", "pongs withheld"],
)


def noticed(settings, fall_silent: Callable[[FaultyServer], object], within: float) -> bool:
    """Whether a line that has fallen silent, without an end, is given up within so many seconds."""
    was: list[bool] = []

    def is_given_up() -> bool:
        return "no answer to a ping" in reasons("waiting")

    async def story(scene: Scene) -> None:
        await scene.settled()
        fall_silent(scene.partner)
        try:
            await scene.until_database(is_given_up, within)
        except AssertionError:
            was.append(False)
        else:
            was.append(True)
            scene.partner.calm()
            await scene.is_live(2)

    play(settings, story, CITYTRIPS_PING_TIMEOUT=0.5)
    return was[0]


@SILENCE
def test_a_black_hole_is_noticed(settings, fleet, quick_retries, fall_silent) -> None:
    """A line on which nothing comes back is given up within the pings' interval and timeout, and opened again."""
    assert noticed(settings, fall_silent, 0.3 + 0.5 + 6)


@SILENCE
def test_control_without_pings(settings, fleet, monkeypatch: Patch, fall_silent) -> None:
    """Without pings the line would look live for as long as nothing is sent."""

    async def never(self: Connection, interval: float) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Connection, "keep_alive", never)
    assert not noticed(settings, fall_silent, 0.3 + 0.5 + 2)


def slow(settings, story: Callable[[Scene], Awaitable[None]]) -> FaultyServer:
    """Play against a partner behind a slow uplink, to which a full of 3,000 vehicles takes about three seconds."""
    many(3000)
    script = Script(read_rate=150_000)
    return play(settings, story, script=script, receive_buffer=16_384, CITYTRIPS_PING_TIMEOUT=0.5)


def test_a_slow_uplink_gets_its_full(settings, quick_retries) -> None:
    """The pings' timeout grows with what is under way, so that a large full arrives once and the line stays."""

    async def story(scene: Scene) -> None:
        await scene.until(lambda: scene.partner.truth.messages[FULL], 20)
        await scene.settled(20)

    truth = slow(settings, story).truth
    assert truth.connections == 1
    assert len(truth.vehicles) == 3000


def test_control_without_the_growing_timeout(settings, quick_retries, monkeypatch: Patch) -> None:
    """With the plain timeout the full is cut off and begun again, and nothing ever settles."""
    monkeypatch.setattr(connection, "SLOWEST", 1e12)

    async def story(scene: Scene) -> None:
        await scene.until(lambda: scene.partner.truth.connections >= 3, 20)
        assert await scene.database(lambda: Vehicle.objects.filter(settled_version__gt=0).count()) == 0

    slow(settings, story)
    assert "no answer to a ping" in reasons("waiting")


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
