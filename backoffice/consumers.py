"""The WebSocket of open pages: staff hear that something changed, and nothing of what it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from importlib import import_module
from typing import Any, Final

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.db import DatabaseError
from django.http import HttpRequest

from backoffice import hints
from backoffice.event_loop import call_from_thread

NOT_LOGGED_IN: Final = 4401
NOT_STAFF: Final = 4403
GATHER: Final = 0.5
"""Seconds between two messages to a page."""
CHECK_EVERY: Final = 30.0
"""Seconds between two looks at whether the session still lives."""

logger = logging.getLogger(__name__)


def refusal(session_key: str | None) -> int | None:
    """The code to close with: nobody is logged in by this session, or nobody of the staff. None if all is well."""
    if not session_key:
        return NOT_LOGGED_IN
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)  # by the password of now, so a session from before its change is none
    if not user.is_authenticated:
        return NOT_LOGGED_IN
    return None if user.is_active and user.is_staff else NOT_STAFF


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """One open page. It is sent ``{"changed": ["line", …]}``, see :class:`backoffice.hints.Topic`; it sends nothing."""

    # Through the layer a connection would die with it; see hints.heard_here.
    channel_layer_alias = ""

    async def connect(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._changed: set[str] = set()
        self._news = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hear(topics: frozenset[str]) -> None:
            call_from_thread(loop, self._note, topics)

        # Accepted in any case: a browser is told the code of an open connection only.
        await self.accept()
        if (code := await self._refusal()) is not None:
            await self.close(code=code)
            return
        hints.register(hear)
        self._stack.callback(hints.unregister, hear)
        await self._stack.enter_async_context(hints.heard_here())
        for work in (self._pass_on(), self._watch_session()):
            self._stack.callback(asyncio.create_task(work).cancel)
        # The page asks at this; from here on it is told whatever changes.
        await self.send(text_data=json.dumps({"changed": []}))

    async def disconnect(self, code: int) -> None:
        # Before `connect` has run there is nothing to end.
        if stack := getattr(self, "_stack", None):
            await stack.aclose()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Pages have nothing to say."""

    def _note(self, topics: frozenset[str]) -> None:
        self._changed |= topics
        self._news.set()

    async def _pass_on(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            topics, self._changed = sorted(self._changed), set()
            await self.send(text_data=json.dumps({"changed": topics}))
            await asyncio.sleep(GATHER)

    async def _watch_session(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY)
            if (code := await self._refusal()) is not None:
                await self.close(code=code)
                return

    async def _refusal(self) -> int | None:
        """As :func:`refusal`; a database that does not answer changes nothing for whoever is in."""
        session: Any = self.scope["session"]
        try:
            code: int | None = await database_sync_to_async(refusal)(session.session_key)
        except DatabaseError as wrong:
            logger.warning("A session could not be looked up (%s)", type(wrong).__name__)
            return None
        return code
