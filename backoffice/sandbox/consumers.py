"""The simulated CityTrips' end of the WebSocket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from backoffice.sandbox.citytrips import Line, partner

DROPPED = 4000
"""The close code of a line that staff drop; an application may send 1000 and those from 3000 on."""
_LARGE = 64 * 1024

logger = logging.getLogger(__name__)


class CityTripsConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """One operator's connection to the simulated CityTrips."""

    # It hears nothing through the layer, and would die with it.
    channel_layer_alias = ""

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        # The console's buttons are served by threads.
        self.line = Line(
            say=lambda text: _run(loop, self.send(text_data=text)),
            drop=lambda: _run(loop, self.close(code=DROPPED)),
        )
        await self.accept()
        partner.connect(self.line)

    async def disconnect(self, code: int) -> None:
        # Before `connect` has run there is no line.
        if line := getattr(self, "line", None):
            partner.disconnect(line)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        data: str | bytes = text_data if text_data is not None else bytes_data or b""
        if len(data) > _LARGE:
            replies = await asyncio.to_thread(partner.receive, self.line, data)
        else:
            replies = partner.receive(self.line, data)
        for reply in replies:
            await self.send(text_data=reply)


def _run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    """Have ``work`` done on the connection's event loop; a failure is logged, for nobody waits for it."""

    async def guarded() -> None:
        try:
            await work
        except Exception:
            logger.exception("The simulated CityTrips could not do what staff asked")

    asyncio.run_coroutine_threadsafe(guarded(), loop)
