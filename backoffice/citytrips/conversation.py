"""One connection from its opening to its end: reading, writing, and what the session asks for in between."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from backoffice.citytrips import bridge, fulls, journal, messages, pauses, services
from backoffice.citytrips.answers import Answers
from backoffice.citytrips.cancellation import apart
from backoffice.citytrips.connection import Connection, without_secrets
from backoffice.citytrips.database import DatabaseThread
from backoffice.citytrips.errors import CityTripsError, ConnectionLost, LeaseLost, MessageError, Refused
from backoffice.citytrips.exchange import (
    Authenticate,
    Changed,
    Close,
    Deliver,
    Effect,
    Full,
    Incremental,
    Object,
    Replies,
    Settle,
    State,
    TellAgain,
)
from backoffice.citytrips.inbox import Inbox
from backoffice.citytrips.journal import Direction, JournalRecord, Outcome
from backoffice.citytrips.lease import LeaseKeeper
from backoffice.citytrips.models import Alert, Pause
from backoffice.citytrips.recorder import Recorder
from backoffice.citytrips.session import Session

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at what is pending, whether or not anything woke the worker."""
RECOUNT_EVERY: Final = 30.0
"""Seconds between two looks at whether the fleet has become small enough for a full again."""
SENDS_OF_A_LOOK: Final = 3
"""What one look has found is sent in so many messages at most: replies must not hold up vehicles, nor changes the telling of
all."""
STALL: Final = 0.2
"""Seconds that the event loop may be late before what has arrived is read first."""
LARGE: Final = 64 * 1024
"""Characters beyond which a message is read in a thread."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """What every conversation of a worker works with; ``wake`` is set when there may be something to send."""

    lease: LeaseKeeper
    database: DatabaseThread
    wake: asyncio.Event
    session: Session
    answers: Answers
    recorder: Recorder
    inbox: Inbox


class Conversation:
    """One open connection.

    ``live_since`` is the monotonic time of its last authentication, None while it has none; ``was_live`` whether it ever
    had one; ``live_for`` the seconds for which the longest held.
    """

    def __init__(self, desk: Desk, connection: Connection, attempts: int) -> None:
        self._desk = desk
        self._session = desk.session
        self._connection = connection
        self._attempts = attempts
        self._sent: dict[int, list[UUID]] = {}  # send → its messages in the journal
        self._recounted_at = 0.0
        self._pauses: dict[int, Pause] = {}  # as they were at the last look
        self._changes = bridge.Changes(desk.lease.token)
        self._tell_after: str | None = None  # the vehicle up to which all was told again; None when all was
        self._busy_since: float | None = None  # the reader, with a message
        self.live_since: float | None = None
        self.was_live = False
        self._lived = 0.0
        self._objecting: set[int] = set()  # what is being written down

    @property
    def live_for(self) -> float:
        return self._lived if self.live_since is None else max(self._lived, time.monotonic() - self.live_since)

    async def run(self) -> CityTripsError:
        """Read, write and watch until one of the three ends; why."""
        return await apart(self._run())

    async def _run(self) -> CityTripsError:
        try:
            async with asyncio.TaskGroup() as group:
                await self._apply(self._session.connected(time.monotonic()))
                group.create_task(self._read())
                group.create_task(self._write(group))
                group.create_task(self._connection.keep_alive(settings.CITYTRIPS_PING_INTERVAL))
        except ExceptionGroup as ended:
            ours, others = ended.split(CityTripsError)
            if others is not None:
                raise others from None
            return most_telling(ours)
        finally:
            self._desk.recorder.outcome([ref for refs in self._sent.values() for ref in refs], Outcome.VOID)
        return ConnectionLost("ended")

    # --- Reading ---

    async def _read(self) -> None:
        while True:
            data = await self._receive()
            at = timezone.now()
            message: messages.Inbound | messages.Unreadable
            try:
                message = await asyncio.to_thread(messages.decode, data) if len(data) > LARGE else messages.decode(data)
            except MessageError as wrong:
                logger.warning("Received %d characters that are no message: %s", len(data), wrong)
                message = messages.Unreadable(str(wrong))
            self._note_received(message, len(data), at)
            effects = self._session.receive(message, time.monotonic())
            self._note_voided(message)
            for effect in effects:
                if isinstance(effect, Deliver):
                    await self._desk.inbox.put(effect.message, len(data), at)
            await self._apply(effects)
            self._desk.wake.set()

    async def _receive(self) -> str | bytes:
        """The next message. The reader is free again once it has to wait for one, not while more have arrived."""
        receiving = asyncio.ensure_future(self._connection.receive())
        try:
            await asyncio.sleep(0)
            if not receiving.done():
                self._busy_since = None
            data = await receiving
        finally:
            receiving.cancel()
        self._busy_since = self._busy_since or time.monotonic()
        return data

    def _note_received(self, message: messages.Inbound | messages.Unreadable, size: int, at: datetime) -> None:
        match message:
            case messages.OtherCommand(command):
                logger.info("Received %s, %d characters", journal.clean_command(command), size)
                return  # the inbox knows what becomes of it
            case messages.Unreadable(problem):
                record = JournalRecord(Direction.IN, journal.UNNAMED, size, Outcome.UNREADABLE, at, problem)
            case _:
                logger.info("Received %s, %d characters", message.COMMAND, size)
                reason = without_secrets(getattr(message, "reason", ""))
                record = JournalRecord(Direction.IN, message.COMMAND, size, Outcome.HANDLED, at, reason)
        self._desk.recorder.message(record)

    def _note_voided(self, message: messages.Inbound | messages.Unreadable) -> None:
        if isinstance(message, messages.Objection):
            self._note_ended(Outcome.OBJECTED, without_secrets(message.reason))
        else:
            self._note_ended(Outcome.VOID)

    def _note_ended(self, outcome: Outcome, reason: str = "") -> None:
        """What has become of the sends that the session no longer counts on."""
        ended = self._sent.keys() - self._session.in_flight
        self._desk.recorder.outcome([ref for number in ended for ref in self._sent.pop(number)], outcome, reason)

    # --- Writing ---

    async def _write(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._wait_for_work()
            self._check_lease()
            try:
                # An objection that arrived, and waits behind what the reader is at, must not come too late.
                await self._apply(self._session.tick(self._busy_since or time.monotonic()))
                if self._session.may_send:
                    await self._send_what_is_due(group)
            except DatabaseError as wrong:
                logger.warning("Nothing is sent or settled: the database does not answer (%s)", type(wrong).__name__)
                await asyncio.sleep(LOOK_EVERY)

    async def _wait_for_work(self) -> None:
        """Until something wakes us, plus the time over which changes are gathered; until the next look or tick."""
        began = time.monotonic()
        tick = self._session.next_tick(self._busy_since or began)
        longest = LOOK_EVERY if tick is None else min(LOOK_EVERY, tick)
        try:
            async with asyncio.timeout(longest):
                await self._desk.wake.wait()
        except TimeoutError:
            if time.monotonic() - began > longest + STALL:
                # The process stood still; the reader must hear first what came meanwhile.
                await asyncio.sleep(STALL)
            return
        await asyncio.sleep(settings.CITYTRIPS_FLUSH_INTERVAL)
        self._desk.wake.clear()

    def _check_lease(self) -> None:
        if not self._desk.lease.held:
            raise LeaseLost("it has run out")

    async def _send_what_is_due(self, group: asyncio.TaskGroup) -> None:
        if self._session.fulls_blocked:
            await self._look_at_block()
        await self._look_at_pauses()
        # Before the look: what a request wants to be sent was committed before it, and must be seen.
        requests = await self._desk.answers.asked()
        pending = await self._desk.database.run(self._changes.look)
        if requests is not None:
            await self._desk.answers.take_up(requests, pending, self._session)
        for _ in range(SENDS_OF_A_LOOK):
            send = self._session.next_send(pending, time.monotonic())
            match send:
                case TellAgain():
                    self._begin_telling_again()
                    continue
                case Full():
                    number = await self._send_full()
                case Incremental(ids):
                    number = await self._send_incremental(ids)
                case Replies(ids):
                    number = await self._send_replies(ids)
                case None:
                    number = None
            if number is None:
                await self._tell_again()
                return
            group.create_task(self._confirm(number))
            self._desk.wake.set()  # there may be more than one message takes
            if isinstance(send, Full) or self._session.is_probing(time.monotonic()):
                return  # it took its time, or is to be judged alone
            await self._look_at_pauses()

    async def _send_full(self) -> int | None:
        number = self._session.begin(full=True, now=time.monotonic())
        if number is None:
            return None
        reader = fulls.FullReader(self._desk.lease.token, leave_out_objected=self._session.leaves_out_objected)
        at, before = timezone.now(), self._connection.written
        try:
            await self._connection.send_parts(self._parts(reader))
            self._session.written(number, versions=reader.versions, absent=reader.absent, left_out=reader.left_out)
        except DatabaseError as wrong:
            raise ConnectionLost(f"the database failed in the midst of a full ({type(wrong).__name__})") from None
        finally:
            size, body = self._connection.written - before, {"vehicles": reader.count}
            self._note_sent(number, messages.VEHICLES_FULL, size, body, at=at)
        logger.info("Sent %s, %d vehicles, %d bytes", messages.VEHICLES_FULL, reader.count, size)
        return number

    async def _parts(self, reader: fulls.FullReader) -> AsyncIterator[bytes]:
        """The parts of a full, one after the other: reading ahead in a second thread was slower, for the two fight for the
        interpreter at every row.
        """
        while (part := await self._desk.database.run(reader.read)) is not None:
            self._check_lease()
            if not (self._session.is_live or reader.ended):
                # Nothing else fits into the midst of a message, so the rest of it would go before the authentication.
                raise ConnectionLost("asked to authenticate in the midst of a full list")
            yield part
        # The frame that ends the message goes out next, and a stale full must not.
        self._check_lease()

    def _begin_telling_again(self) -> None:
        logger.info("No full may be sent: all that is offered is told again by incrementals")
        self._session.begin_telling_again(time.monotonic())
        self._note_ended(Outcome.VOID)
        self._tell_after = ""
        self._desk.wake.set()

    async def _tell_again(self) -> None:
        """A page of it, whenever nothing else is to be sent: so changes don't wait for the whole fleet."""
        if (
            self._tell_after is None
            or self._session.paused
            or not (self._session.fulls_blocked and self._session.may_send)
        ):
            return
        self._tell_after = await self._desk.database.run(bridge.tell_again, self._desk.lease.token, self._tell_after)
        if self._tell_after is None:
            self._session.end_telling_again()
        else:
            self._desk.wake.set()

    async def _send_incremental(self, ids: frozenset[str]) -> int | None:
        batch = await self._desk.database.run(self._changes.collect, ids)
        if batch is None:
            return None
        number = self._session.begin(full=False, versions=batch.versions, now=time.monotonic())
        if number is None:
            return None
        self._check_lease()
        self._note_sent(number, messages.VEHICLES_INCREMENTAL, len(batch.text), {"vehicles": len(batch.versions)})
        await self._connection.send(batch.text)
        self._session.written(number)
        logger.info(
            "Sent %s, %d vehicles, %d bytes", messages.VEHICLES_INCREMENTAL, len(batch.versions), len(batch.text)
        )
        return number

    async def _send_replies(self, ids: tuple[int, ...]) -> int | None:
        replies = await self._desk.database.run(bridge.collect_replies, ids)
        if not replies:
            return None
        number = self._session.begin(full=False, replies=[one.id for one in replies], now=time.monotonic())
        if number is None:
            return None
        self._check_lease()
        for one in replies:
            self._note_sent(number, one.command, len(one.text), {}, reply_id=one.id, account_id=one.about_id)
            await self._connection.send(one.text)
            logger.info("Sent %s, %d characters", one.command, len(one.text))
        self._session.written(number)
        return number

    def _note_sent(
        self,
        number: int,
        command: str,
        size: int,
        body: Mapping[str, journal.JSON],
        *,
        at: datetime | None = None,
        reply_id: int | None = None,
        account_id: int | None = None,
    ) -> None:
        record = JournalRecord(
            Direction.OUT,
            command,
            size,
            Outcome.SENT if number in self._session.in_flight else Outcome.VOID,
            at or timezone.now(),
            body=body,
            account_id=account_id,
            sync_request_id=None if reply_id else self._desk.answers.oldest,
            reply_id=reply_id,
        )
        self._sent.setdefault(number, []).append(record.ref)
        self._desk.recorder.message(record)

    async def _confirm(self, number: int) -> None:
        await self._connection.confirm()
        self._session.confirm(number, time.monotonic())
        self._desk.wake.set()  # there is now a time at which it settles

    async def _look_at_block(self) -> None:
        """Whether fulls may be sent again: staff may have lifted the block, or the fleet has shrunk."""
        recount = time.monotonic() - self._recounted_at >= RECOUNT_EVERY
        if recount:
            self._recounted_at = time.monotonic()
        if not await self._desk.database.run(fulls.are_blocked, recount=recount):
            self._session.allow_fulls()

    async def _look_at_pauses(self) -> None:
        """Whether staff hold back what is sent: of everything, or of a city, which the bridge and the fulls see to."""
        found = {pause.pk: pause for pause in await self._desk.database.run(lambda: list(pauses.pauses_open()))}
        ended = self._pauses.keys() - found.keys()
        self._pauses, self._desk.answers.pauses = found, found.values()
        of_all = next((pause for pause in found.values() if pause.of_all), None)
        if of_all is None and self._session.paused:
            logger.info("Vehicles are sent again")
            self._session.resume()
        elif ended:
            self._session.want_full()
        if of_all is not None:
            if not self._session.paused:
                logger.info("Nothing of vehicles is sent until staff resume it")
                self._session.pause()
            await self._desk.answers.paused(of_all)

    # --- What the session asks for ---

    async def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Authenticate():
                    await self._authenticate()
                case Changed(State.REFUSED, _):
                    pass  # recorded with its reason when the connection has been closed
                case Changed(state, reason):
                    self._change(state, reason)
                case Close(reason, refused):
                    raise Refused(without_secrets(reason)) if refused else ConnectionLost(without_secrets(reason))
                case Settle():
                    await self._settle(effect)
                case Object():
                    await self._object(effect)
                case Deliver():
                    pass  # in the inbox already

    async def _authenticate(self) -> None:
        text = messages.authenticate(settings.CITYTRIPS_CLIENT_ID, settings.CITYTRIPS_API_KEY)
        await self._connection.send(text)
        self._session.authentication_sent(time.monotonic())
        self._desk.wake.set()  # there is now a time by which it must be answered
        logger.info("Sent %s", messages.AUTHENTICATE)
        self._desk.recorder.message(
            JournalRecord(Direction.OUT, messages.AUTHENTICATE, len(text), Outcome.SENT, timezone.now())
        )

    def _change(self, state: State, reason: str) -> None:
        self._lived = self.live_for
        self.live_since = time.monotonic() if state is State.LIVE else None
        self.was_live = self.was_live or state is State.LIVE
        attempts = 0 if state is State.LIVE else self._attempts
        self._desk.recorder.change(state, without_secrets(reason), attempts, self._desk.lease.token)

    async def _settle(self, effect: Settle) -> None:
        await self._desk.database.run(
            bridge.settle, self._desk.lease.token, effect.versions, effect.absent, effect.replies
        )
        self._session.settled(effect.number)
        self._desk.recorder.outcome(self._sent.pop(effect.number, []), Outcome.SETTLED)
        if effect.replies:
            return
        logger.info("Settled: %d vehicles held, %d gone", len(effect.versions), len(effect.absent))
        await self._desk.answers.settled(effect)
        # Last, as it is only shown: who waits for an answer gets it though this cannot be written.
        await self._desk.database.run(services.link_settled, full=effect.full)

    async def _object(self, effect: Object) -> None:
        """What cannot be written down now is asked for again, also on the next connection: a full is to be sent without it."""
        if id(effect) in self._objecting:
            return  # the reader is at it
        self._objecting.add(id(effect))
        reason = without_secrets(effect.reason)
        logger.warning(
            "CityTrips objected repeatedly to %s: %s",
            "a full" if effect.fulls else f"{len(effect.versions)} vehicles and {len(effect.replies)} replies", reason,
        )  # fmt: skip
        try:
            await self._desk.database.run(bridge.object_to, self._desk.lease.token, effect.versions, effect.replies)
            if effect.fulls:
                await self._desk.database.run(services.alert_raise, kind=Alert.Kind.FULL_OBJECTED, detail=reason)
        except DatabaseError as wrong:
            logger.warning("An objection could not be recorded (%s)", type(wrong).__name__)
            return
        finally:
            self._objecting.remove(id(effect))
        self._session.objected(effect)
        await self._desk.answers.objected(effect, reason)


def most_telling(group: BaseExceptionGroup[CityTripsError] | None) -> CityTripsError:
    """Of the errors that ended a connection together, the one that decides what comes next."""
    errors = [
        most_telling(wrong) if isinstance(wrong, BaseExceptionGroup) else wrong
        for wrong in (group.exceptions if group else ())
    ]
    errors.sort(key=lambda wrong: not isinstance(wrong, LeaseLost | Refused))
    return errors[0] if errors else ConnectionLost("ended")
