"""The channel layer as the settings make it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from channels_redis.core import RedisChannelLayer
from django.conf import settings

from backoffice import channel_layer


@pytest.mark.skipif(not settings.REDIS_URL, reason="only the layer over Redis waits in another process")
def test_an_idle_listener_is_left_in_peace() -> None:
    """Redis is asked for a message for seconds at a time; that none came is no failure of Redis.

    Some listeners at once, as it is a race that is lost where the client's patience is no longer than the question.
    """

    async def listen(number: int) -> str:
        layer = RedisChannelLayer(**settings.CHANNEL_LAYERS["default"]["CONFIG"])
        waiting = asyncio.ensure_future(layer.receive(f"idle-{number}"))
        await asyncio.wait([waiting], timeout=6)
        if waiting.done():
            return repr(waiting.exception())
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await layer.close_pools()
        return "still listens"

    async def listen_often() -> list[str]:
        return await asyncio.gather(*(listen(number) for number in range(8)))

    assert asyncio.run(listen_often()) == ["still listens"] * 8


class Deaf:
    """Swallows so many cancellations, as the layer does where one comes with an answer of Redis."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.ended = False

    async def receive(self, _channel: str) -> str:
        try:
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    if not self.times:
                        raise
                    self.times -= 1
        finally:
            self.ended = True


def test_a_receiver_that_swallows_its_cancellation_ends() -> None:
    """Neither is it waited for, nor does it listen on."""

    async def story(layer: Deaf) -> float:
        listening = asyncio.ensure_future(channel_layer.receive(layer, "x"))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        taken = time.monotonic() - began
        while not layer.ended:
            await asyncio.sleep(0.05)
        return taken

    assert asyncio.run(asyncio.wait_for(story(Deaf(2)), 50)) < 5


def test_a_receiver_that_swallows_its_cancellation_keeps_no_process_alive(tmp_path: Path) -> None:
    """The event loop cancels once at its end, and waits: that may be swallowed as well."""
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio\n"
        "from backoffice import channel_layer\n"
        "from tests.backoffice.test_channel_layer import Deaf\n"
        "async def story():\n"
        "    listening = asyncio.ensure_future(channel_layer.receive(Deaf(3), 'x'))\n"
        "    await asyncio.sleep(0.05)\n"
        "    listening.cancel()\n"
        "    await asyncio.wait([listening])\n"
        "asyncio.run(story())\n"
    )
    subprocess.run([sys.executable, str(program)], env={**os.environ, "PYTHONPATH": "."}, check=True, timeout=30)
