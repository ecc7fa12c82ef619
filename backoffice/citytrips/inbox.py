"""What CityTrips asks for, between its arrival and its handling.

The reader must be free for what concerns the session, whatever a handler takes: so handlers run one after another in a
thread of their own. What waits is limited by its size; beyond that the reader waits too, and with it CityTrips.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import DatabaseError, connection

from backoffice.citytrips import commands, journal, services
from backoffice.citytrips.commands import Handled
from backoffice.citytrips.database import DatabaseThread
from backoffice.citytrips.journal import Direction, JournalRecord, Outcome
from backoffice.citytrips.messages import OtherCommand
from backoffice.citytrips.models import Alert
from backoffice.citytrips.recorder import Recorder

CAPACITY: Final = 48 * 1024 * 1024
"""Characters that wait at most, beside the message that is being handled."""
PAUSE: Final = 1.0
"""Seconds between two tries while the database does not answer."""
TRIES: Final = 5
"""So many failures by the database while it answers otherwise, and the message itself is to blame."""

LAST: Final = 0.8
"""Seconds for what waits when the worker is told to end; a process that serves pages is gone after two."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Letter:
    message: OtherCommand
    size: int
    at: datetime


class Inbox:
    """Filled by the reader of one connection after another, emptied by :meth:`run`."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._database = DatabaseThread("citytrips-inbox")
        self._letters: deque[_Letter] = deque()
        self._size = 0
        self._changed = asyncio.Condition()

    async def put(self, message: OtherCommand, size: int, at: datetime) -> None:
        """Take a message of so many characters; waits while there is no room for it."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._letters or self._size + size <= CAPACITY)
            self._letters.append(_Letter(message, size, at))
            self._size += size
            self._changed.notify_all()

    async def run(self) -> None:
        """Handle one message after another until cancelled; then what can still be done of those that wait.

        Nobody else knows of them, and their replies are rows, which the next holder of the line sends.
        """
        handling = asyncio.ensure_future(self._handle_all())
        try:
            await asyncio.wait([handling])
        finally:
            if not handling.done():
                await self._finish()
            handling.cancel()
            await asyncio.wait([handling])
            self._database.close()
        handling.result()

    async def _finish(self) -> None:
        try:
            async with asyncio.timeout(LAST), self._changed:
                await self._changed.wait_for(lambda: not self._size)
        except TimeoutError:
            logger.warning("The worker ends before everything that CityTrips asked for was handled")

    async def _handle_all(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._letters))
                letter = self._letters.popleft()
            await self._handle(letter)
            async with self._changed:
                self._size -= letter.size
                self._changed.notify_all()

    async def _handle(self, letter: _Letter) -> None:
        command, payload = letter.message.command, letter.message.payload
        body = journal.body(command, payload, secrets=(settings.CITYTRIPS_API_KEY, settings.CITYTRIPS_CLIENT_ID))
        if commands.is_handled(command):
            handled = await self._act(command, payload, body)
        else:
            handled = Handled(Outcome.UNKNOWN)
            await self._tell_of_unknown(journal.clean_command(command))
        self._recorder.message(
            JournalRecord(
                direction=Direction.IN,
                command=journal.clean_command(command),
                size=letter.size,
                outcome=handled.outcome,
                at=letter.at,
                reason=handled.reason,
                body=body,
                account_id=handled.about_id,
                reply_id=handled.reply_id,
            )
        )

    async def _act(self, command: str, payload: object, body: dict[str, journal.JSON]) -> Handled:
        """Handle a command; it waits for the database, and whatever else goes wrong costs this message alone."""
        tries = 0
        while True:
            try:
                return await self._database.run(commands.handle, command, payload)
            except commands.PASSING as wrong:
                logger.warning("%s waits and is tried again (%s)", command, type(wrong).__name__)
                tries += await self._database_answers()
                if tries >= TRIES:
                    return await self._give_up(command, payload, body, wrong)
                await asyncio.sleep(PAUSE)
            except Exception as wrong:
                return await self._give_up(command, payload, body, wrong)

    async def _give_up(self, command: str, payload: object, body: dict[str, journal.JSON], wrong: Exception) -> Handled:
        # An error's text may quote personal data, so only its kind and the lines of code are kept.
        where = "".join(traceback.format_tb(wrong.__traceback__))
        logger.error("The handler of %s failed with %s\n%s", command, type(wrong).__name__, where)
        body["traceback"] = where
        reason = f"the handler failed with {type(wrong).__name__}"
        try:
            given_up = await self._database.run(commands.give_up, command, payload)
        except DatabaseError:
            return Handled(Outcome.FAILED, reason)
        return Handled(Outcome.FAILED, reason, given_up.reply_id)

    async def _database_answers(self) -> bool:
        try:
            await self._database.run(self._ping)
        except DatabaseError:
            return False
        return True

    @staticmethod
    def _ping() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    async def _tell_of_unknown(self, command: str) -> None:
        logger.warning("Nothing handles %s", command)
        try:
            await self._database.run(services.alert_raise, kind=Alert.Kind.UNKNOWN_COMMAND, detail=command)
        except DatabaseError as wrong:
            logger.warning("An unknown command could not be put before staff (%s)", type(wrong).__name__)
