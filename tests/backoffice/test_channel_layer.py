"""The channel layer as the settings make it."""

from __future__ import annotations

import asyncio

import pytest
from channels_redis.core import RedisChannelLayer
from django.conf import settings


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
