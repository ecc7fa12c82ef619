"""The line: one connection after another to CityTrips, at the pace that errors allow.

What goes over a connection is the conversation's; the session and the requests of staff outlive it. What arrived and what
is to be recorded outlive the line as well: they are the worker's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from django.conf import settings
from django.db import DatabaseError

from backoffice.citytrips import commands, fulls, selectors, services
from backoffice.citytrips.answers import Answers
from backoffice.citytrips.cancellation import heed_cancellation
from backoffice.citytrips.connection import Backoff, Gate, open_connection
from backoffice.citytrips.conversation import LOOK_EVERY, Conversation, Desk
from backoffice.citytrips.database import DatabaseThread
from backoffice.citytrips.errors import CityTripsError, ConnectionLost, LeaseLost, Refused
from backoffice.citytrips.exchange import State, Timing
from backoffice.citytrips.inbox import Inbox
from backoffice.citytrips.lease import LeaseKeeper
from backoffice.citytrips.models import Alert
from backoffice.citytrips.recorder import Recorder
from backoffice.citytrips.session import Session

REFUSED_PAUSE: Final = 300.0
"""Seconds before credentials that were refused are tried again; a request to send tries them earlier."""

logger = logging.getLogger(__name__)


class Pace:
    """How soon one connection may follow another.

    It is the process's and outlives its hold of the lease, which may be lost and taken again every few seconds while the
    database is slow. Another process has its own: one that takes over from a killed one must not wait.
    """

    def __init__(self) -> None:
        self.backoff = Backoff()
        self.refusals = Gate(12, 3600)
        self.refusal = ""  # why the credentials were refused last

    @property
    def is_refused(self) -> bool:
        """Whether the credentials have been refused as often as they may be tried."""
        return self.refusals.wait(time.monotonic()) > 0

    @property
    def is_open(self) -> bool:
        """Whether both gates let a connection pass now."""
        return not self.is_refused and self.backoff.soonest() <= 0


class Line:
    """The line for as long as this worker holds the lease; ``wake`` is set when there may be something to send."""

    def __init__(
        self,
        lease: LeaseKeeper,
        database: DatabaseThread,
        wake: asyncio.Event,
        recorder: Recorder,
        inbox: Inbox,
        pace: Pace,
    ) -> None:
        self._database = database
        timing = Timing(settle=settings.CITYTRIPS_SETTLE, full_every=settings.CITYTRIPS_FULL_EVERY)
        self._session = Session(timing, handles=commands.is_handled)
        self._desk = Desk(lease, database, wake, self._session, Answers(database), recorder, inbox)
        self._pace = pace
        self._attempts = 0
        self._heeded: set[int] = set()  # the requests that have cut a pause short

    async def keep(self) -> None:
        """Keep the line until cancelled.

        :raises LeaseLost: another worker may hold it now.
        """
        await self._wait_for_gates()
        while True:
            if missing := selectors.missing_credentials():
                await self._stay_unconfigured("Not set: " + ", ".join(missing))
            self._change(State.CONNECTING)
            self._attempts += 1
            wrong, conversation = await self._converse()
            await self._note_too_large(wrong)
            self._session.disconnected()
            if isinstance(wrong, LeaseLost):
                raise wrong
            if isinstance(wrong, Refused):
                self._pace.refusal = str(wrong)
                self._pace.refusals.enter(time.monotonic())
                await self._wait_refused(time.monotonic() + REFUSED_PAUSE)
                continue
            pause = self._pace.backoff.pause(
                accepted=conversation is not None, live_for=conversation.live_for if conversation else 0.0
            )
            if isinstance(wrong, ConnectionLost) and wrong.code == ConnectionLost.TOO_LARGE:
                pause = max(pause, Backoff.CLOSED_CEILING / 2)
            await self._wait(pause, str(wrong))

    async def _wait_for_gates(self) -> None:
        """Wait where the connections of this process's holds before leave no room for another now."""
        if self._pace.is_refused:
            await self._wait_refused(time.monotonic())
        if (pause := self._pace.backoff.soonest()) > 0:
            await self._wait(pause, "ten connections were opened within a minute")

    async def _converse(self) -> tuple[CityTripsError, Conversation | None]:
        """One connection, from opening to its end; why it ended, and what was said on it if it came about."""
        conversation: Conversation | None = None
        try:
            await self._look_at_block()
            async with open_connection(
                settings.CITYTRIPS_URL, ping_timeout=settings.CITYTRIPS_PING_TIMEOUT
            ) as connection:
                self._pace.backoff.accepted()
                conversation = Conversation(self._desk, connection, self._attempts)
                ended = await conversation.run()
                if conversation.was_live:
                    self._attempts = 0
                await connection.close("" if isinstance(ended, LeaseLost) else str(ended))
                return ended, conversation
        except CityTripsError as failed:
            heed_cancellation()
            return failed, conversation

    async def _stay_unconfigured(self, reason: str) -> None:
        """Credentials come from the environment, so nothing changes until the process starts again."""
        self._change(State.UNCONFIGURED, reason)
        while True:
            await self._desk.answers.refuse(reason)
            await asyncio.sleep(LOOK_EVERY)

    async def _wait_refused(self, until: float) -> None:
        """Wait before the next try, at most twelve an hour; a request to send may end the wait early."""
        self._change(State.REFUSED, self._pace.refusal)
        await self._desk.answers.refuse(self._pace.refusal)
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._pace.is_open and (time.monotonic() >= until or await self._desk.answers.asked()):
                return

    async def _wait(self, pause: float, reason: str) -> None:
        """Wait before the next connection; a request to send ends the wait, once, if the gate lets it."""
        self._change(State.WAITING, reason)
        until = time.monotonic() + pause
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, LOOK_EVERY))
            if left > LOOK_EVERY and self._pace.backoff.soonest() <= 0 and await self._is_asked_anew():
                return

    async def _is_asked_anew(self) -> bool:
        ids = {one.pk for one in await self._desk.answers.asked() or ()}
        fresh = bool(ids - self._heeded)
        self._heeded = ids
        return fresh

    # --- Messages that are too large ---

    async def _look_at_block(self) -> None:
        """Whether fulls are blocked; what another worker has found out holds here too."""
        try:
            blocked = await self._database.run(fulls.are_blocked)
        except DatabaseError as wrong:
            logger.warning("Whether full lists are blocked cannot be read (%s)", type(wrong).__name__)
            return
        if blocked:
            self._session.block_fulls()
        elif self._session.fulls_blocked:
            self._session.allow_fulls()

    async def _note_too_large(self, wrong: CityTripsError) -> None:
        """1009, from either side: the same message would end the next connection as well."""
        if not isinstance(wrong, ConnectionLost) or wrong.code != ConnectionLost.TOO_LARGE:
            return
        try:
            if wrong.ours:
                await self._database.run(services.alert_raise, kind=Alert.Kind.INBOUND_TOO_LARGE)
            elif self._session.receive_too_large():
                self._session.block_fulls()
                vehicles = await self._database.run(fulls.block)
                logger.warning("CityTrips takes no full of %d vehicles; none is sent until staff allow it", vehicles)
                await self._desk.answers.fulls_blocked()
        except DatabaseError as failed:
            logger.warning("A message that was too large could not be recorded (%s)", type(failed).__name__)

    def _change(self, state: State, reason: str = "") -> None:
        self._desk.recorder.change(state, reason, self._attempts, self._desk.lease.token)
