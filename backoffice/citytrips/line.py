"""The line: one connection after another to CityTrips, and what goes over it.

Joins the session, which decides, to the connection, the bridge and the requests of staff. The event loop touches neither
the database nor large JSON: both happen in threads.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from backoffice.citytrips import bridge, messages, selectors, services
from backoffice.citytrips.connection import Backoff, Connection, Gate, open_connection
from backoffice.citytrips.database import DatabaseThread
from backoffice.citytrips.errors import CityTripsError, ConnectionLost, LeaseLost, MessageError, Refused
from backoffice.citytrips.lease import LeaseKeeper
from backoffice.citytrips.models import SyncRequest
from backoffice.citytrips.session import (
    Authenticate,
    Changed,
    Close,
    Deliver,
    Effect,
    Full,
    Incremental,
    Object,
    Pending,
    Session,
    Settle,
    State,
    Timing,
)
from backoffice.citytrips.sync_requests import OpenRequests

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at what is pending, whether or not anything woke the worker."""
REFUSED_PAUSE: Final = 300.0
"""Seconds before credentials that were refused are tried again; a request to send tries them earlier."""
_LARGE: Final = 64 * 1024

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Outcome:
    """What one connection came to."""

    accepted: bool = False
    live_since: float | None = None

    @property
    def live_for(self) -> float:
        return 0.0 if self.live_since is None else time.monotonic() - self.live_since


class Line:
    """The line for as long as this worker holds the lease; ``wake`` is set when there may be something to send."""

    def __init__(self, lease: LeaseKeeper, database: DatabaseThread, wake: asyncio.Event) -> None:
        self._lease = lease
        self._database = database
        self._wake = wake
        self._session = Session(Timing(settle=settings.CITYTRIPS_SETTLE, full_every=settings.CITYTRIPS_FULL_EVERY))
        self._requests = OpenRequests()
        self._refusals = Gate(12, 3600)
        self._changes: asyncio.Queue[tuple[State, str, datetime]] = asyncio.Queue()
        self._unhandled = 0

    async def keep(self) -> None:
        """Keep the line until cancelled.

        :raises LeaseLost: another worker may hold it now.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._record_changes())
            group.create_task(self._keep_connected())

    # --- One connection after another ---

    async def _keep_connected(self) -> None:
        """Connect, again and again, at the pace that errors allow."""
        backoff = Backoff()
        while True:
            if missing := selectors.missing_credentials():
                await self._stay_unconfigured("Not set: " + ", ".join(missing))
            self._change(State.CONNECTING)
            backoff.connecting()
            outcome = _Outcome()
            wrong = await self._converse(outcome)
            self._session.disconnected()
            if isinstance(wrong, LeaseLost):
                raise wrong
            if isinstance(wrong, Refused):
                self._change(State.REFUSED, str(wrong))
                await self._wait_refused(str(wrong))
                continue
            pause = backoff.pause(accepted=outcome.accepted, live_for=outcome.live_for)
            self._change(State.WAITING, str(wrong))
            await asyncio.sleep(pause)

    async def _stay_unconfigured(self, reason: str) -> None:
        """Credentials come from the environment, so nothing changes until the process starts again."""
        self._change(State.UNCONFIGURED, reason)
        while True:
            await self._refuse_requests(reason)
            await asyncio.sleep(LOOK_EVERY)

    async def _wait_refused(self, reason: str) -> None:
        """Wait before the next try, at most twelve an hour; a request to send may end the wait early."""
        self._refusals.enter(time.monotonic())
        await self._refuse_requests(reason)
        until = time.monotonic() + REFUSED_PAUSE
        while time.monotonic() < until:
            await asyncio.sleep(LOOK_EVERY)
            if await self._open_requests() and self._refusals.wait(time.monotonic()) <= 0:
                return

    async def _converse(self, outcome: _Outcome) -> CityTripsError:
        """One connection, from opening to its end; why it ended."""
        try:
            async with open_connection(
                settings.CITYTRIPS_URL, ping_timeout=settings.CITYTRIPS_PING_TIMEOUT
            ) as connection:
                outcome.accepted = True
                ended = await self._talk(connection, outcome)
                await connection.close("" if isinstance(ended, LeaseLost) else str(ended))
                return ended
        except CityTripsError as failed:
            return failed

    async def _talk(self, connection: Connection, outcome: _Outcome) -> CityTripsError:
        """Read, write and watch over one connection until one of the three ends."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._apply(connection, self._session.connected(time.monotonic()), outcome)
                group.create_task(self._read(connection, outcome))
                group.create_task(self._write(connection, outcome, group))
                group.create_task(connection.keep_alive(settings.CITYTRIPS_PING_INTERVAL))
        except ExceptionGroup as ended:
            ours, others = ended.split(CityTripsError)
            if others is not None:
                raise others from None
            return most_telling(ours)
        return ConnectionLost("ended")

    async def _read(self, connection: Connection, outcome: _Outcome) -> None:
        while True:
            data = await connection.receive()
            message: messages.Inbound | messages.Unreadable
            try:
                message = (
                    await asyncio.to_thread(messages.decode, data) if len(data) > _LARGE else messages.decode(data)
                )
            except MessageError as wrong:
                logger.warning("Received %d characters that are no message: %s", len(data), wrong)
                message = messages.Unreadable(str(wrong))
            else:
                logger.info("Received %s, %d characters", _name(message), len(data))
            await self._apply(connection, self._session.receive(message, time.monotonic()), outcome)
            self._wake.set()

    async def _write(self, connection: Connection, outcome: _Outcome, group: asyncio.TaskGroup) -> None:
        while True:
            await self._wait_for_work()
            if not self._lease.held:
                raise LeaseLost("it has run out")
            try:
                await self._apply(connection, self._session.tick(time.monotonic()), outcome)
                if self._session.state is State.LIVE:
                    await self._send_what_is_due(connection, group)
            except DatabaseError as wrong:
                logger.warning("Nothing is sent or settled: the database does not answer (%s)", type(wrong).__name__)
                await asyncio.sleep(LOOK_EVERY)

    async def _wait_for_work(self) -> None:
        """Until something wakes us, plus the time over which changes are gathered; until the next look or tick."""
        tick = self._session.next_tick(time.monotonic())
        try:
            async with asyncio.timeout(LOOK_EVERY if tick is None else min(LOOK_EVERY, tick)):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(settings.CITYTRIPS_FLUSH_INTERVAL)
        self._wake.clear()

    async def _send_what_is_due(self, connection: Connection, group: asyncio.TaskGroup) -> None:
        pending = await self._database.run(bridge.look, self._lease.token)
        await self._take_up_requests(pending)
        batch: bridge.Batch | None
        match self._session.next_send(pending, time.monotonic()):
            case Full():
                full, batch = True, await self._database.run(bridge.collect_full)
            case Incremental(ids):
                full, batch = False, await self._database.run(bridge.collect_incremental, ids)
            case None:
                return
        if batch is None:
            return
        number = self._session.begin(full=full, versions=batch.versions, absent=batch.absent, now=time.monotonic())
        if number is None:
            return
        if not self._lease.held:
            raise LeaseLost("it has run out")
        await connection.send(batch.text)
        self._session.written(number)
        command = messages.VEHICLES_FULL if full else messages.VEHICLES_INCREMENTAL
        logger.info("Sent %s, %d vehicles, %d characters", command, len(batch.versions), len(batch.text))
        group.create_task(self._confirm(connection, number))

    async def _confirm(self, connection: Connection, number: int) -> None:
        await connection.confirm()
        self._session.confirm(number, time.monotonic())
        self._wake.set()  # there is now a time at which it settles

    # --- What the session asks for ---

    async def _apply(self, connection: Connection, effects: list[Effect], outcome: _Outcome) -> None:
        for effect in effects:
            match effect:
                case Authenticate():
                    await connection.send(
                        messages.authenticate(settings.CITYTRIPS_CLIENT_ID, settings.CITYTRIPS_API_KEY)
                    )
                    logger.info("Sent %s", messages.AUTHENTICATE)
                case Changed(State.REFUSED, _):
                    pass  # recorded with its reason when the connection has been closed
                case Changed(state, reason):
                    outcome.live_since = time.monotonic() if state is State.LIVE else None
                    self._change(state, reason)
                case Close(reason, refused):
                    raise Refused(reason) if refused else ConnectionLost(reason)
                case Settle():
                    await self._settle(effect)
                case Object(versions, reason):
                    await self._object_to(versions, reason)
                case Deliver(message):
                    await self._deliver(connection, message)

    async def _settle(self, effect: Settle) -> None:
        await self._database.run(bridge.settle, self._lease.token, effect.versions, effect.absent)
        self._session.settled(effect.number)
        await self._database.run(services.link_settled, full=effect.full)
        logger.info("Settled: %d vehicles held, %d gone", len(effect.versions), len(effect.absent))
        for request_id in self._requests.settled(effect):
            await self._end_request(request_id, SyncRequest.State.SETTLED)

    async def _object_to(self, versions: Mapping[str, int], reason: str) -> None:
        logger.warning("CityTrips objected repeatedly to %d vehicles: %s", len(versions), reason)
        try:
            await self._database.run(bridge.object_to, self._lease.token, versions)
        except DatabaseError as wrong:
            # The session leaves them alone all the same; only staff don't see it.
            logger.warning("An objection could not be recorded (%s)", type(wrong).__name__)
        for request_id in self._requests.objected(versions):
            await self._end_request(request_id, SyncRequest.State.REFUSED, f"CityTrips objected: {reason}")

    async def _deliver(self, connection: Connection, message: messages.OtherCommand) -> None:
        handler = bridge.handler_for(message.command)
        if handler is None:
            self._unhandled += 1
            logger.warning("Nothing handles %s; %d such messages so far", _name(message), self._unhandled)
            return
        try:
            reply = await self._database.run(handler, message.payload)
        except Exception as wrong:
            # One bad message must not cost the line. An error's text may quote personal data, so it stays out.
            where = "".join(traceback.format_tb(wrong.__traceback__))
            logger.error("The handler of %s failed with %s\n%s", _name(message), type(wrong).__name__, where)
            return
        if reply is not None:
            await connection.send(messages.encode(*reply))
            logger.info("Sent %s", reply[0])

    # --- Requests to send now ---

    async def _open_requests(self) -> list[SyncRequest]:
        try:
            return await self._database.run(lambda: list(selectors.sync_requests_open()))
        except DatabaseError as wrong:
            logger.warning("Requests to send cannot be read (%s)", type(wrong).__name__)
            return []

    async def _take_up_requests(self, pending: Pending) -> None:
        requests = await self._open_requests()
        self._requests.keep([one.pk for one in requests])
        for one in requests:
            if one.pk in self._requests:
                continue
            full = self._requests.take_up(one.pk, full=one.full, pending=pending, last_number=self._session.last_number)
            if full:
                self._session.want_full()
            count = len(pending.offered) + len(pending.leaving)
            detail = f"{count} vehicles to send" + (", with a full" if full else "")
            await self._database.run(services.sync_request_start, request_id=one.pk, detail=detail)
        for request_id in self._requests.looked(pending):
            await self._end_request(request_id, SyncRequest.State.SETTLED)

    async def _end_request(self, request_id: int, state: SyncRequest.State, detail: str = "") -> None:
        try:
            await self._database.run(services.sync_request_end, request_id=request_id, state=state, detail=detail)
        except DatabaseError as wrong:
            logger.warning("The answer to a request to send is lost (%s)", type(wrong).__name__)

    async def _refuse_requests(self, reason: str) -> None:
        """Answer those who wait that nothing can be sent."""
        for one in await self._open_requests():
            await self._end_request(one.pk, SyncRequest.State.REFUSED, reason)

    # --- The record ---

    async def _record_changes(self) -> None:
        while True:
            state, reason, at = await self._changes.get()
            logger.info("The line is %s%s", state, f": {reason}" if reason else "")
            try:
                await self._database.run(services.link_change, state=state, reason=reason, at=at)
            except DatabaseError as wrong:
                logger.warning("A change of the line could not be recorded (%s)", type(wrong).__name__)

    def _change(self, state: State, reason: str = "") -> None:
        self._changes.put_nowait((state, reason, timezone.now()))


def most_telling(group: BaseExceptionGroup[CityTripsError] | None) -> CityTripsError:
    """Of the errors that ended a connection together, the one that decides what comes next."""
    errors = [
        most_telling(wrong) if isinstance(wrong, BaseExceptionGroup) else wrong
        for wrong in (group.exceptions if group else ())
    ]
    errors.sort(key=lambda wrong: not isinstance(wrong, LeaseLost | Refused))
    return errors[0] if errors else ConnectionLost("ended")


def _name(message: messages.Inbound) -> str:
    """A command for the log; of what isn't ours, no more than a short, printable piece."""
    return ascii(message.command[:60]) if isinstance(message, messages.OtherCommand) else message.COMMAND
