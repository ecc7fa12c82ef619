"""The worker: of all of them, the one that holds the lease keeps the line to CityTrips.

What the holder does runs in one task group, so that the death of any part ends the whole loudly instead of leaving a
process that lives and hears nothing.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from channels.layers import get_channel_layer
from channels.worker import Worker
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from backoffice.channel_layer import receive
from backoffice.citytrips import bridge, selectors, services, wakeup
from backoffice.citytrips.cancellation import apart
from backoffice.citytrips.conversation import most_telling
from backoffice.citytrips.database import DatabaseThread
from backoffice.citytrips.errors import LeaseLost
from backoffice.citytrips.exchange import State
from backoffice.citytrips.inbox import Inbox
from backoffice.citytrips.lease import LeaseKeeper
from backoffice.citytrips.line import Line, Pace
from backoffice.citytrips.models import Alert, WorkerPresence
from backoffice.citytrips.outage import News, Outage
from backoffice.citytrips.recorder import Recorder
from backoffice.event_loop import call_from_thread

HOUSEKEEPING_EVERY: Final = 5.0
"""Seconds between two looks at what time alone brings about."""
PRESENCE_EVERY: Final = 5.0
"""Seconds between two signs of life of a worker that stands by."""
PRUNE_EVERY: Final = 3600.0
JOURNAL_KEPT: Final = timedelta(days=30)

logger = logging.getLogger(__name__)


class CityTripsWorker(Worker):  # type: ignore[misc]  # Channels has no types
    """Waits for the lease, then connects, authenticates and keeps CityTrips up to date until cancelled."""

    def __init__(
        self,
        application: Any = None,
        channels: Iterable[str] = (wakeup.CHANNEL,),
        channel_layer: Any = None,
        max_applications: int = 1000,
    ) -> None:
        super().__init__(application, list(channels), channel_layer or get_channel_layer(), max_applications)
        self._lease = LeaseKeeper(settings.CITYTRIPS_LEASE)
        self._database = DatabaseThread("citytrips-database")
        # A database that is away costs the lease; what has arrived, and what is to be written down, waits for both.
        self._recorder = Recorder()
        self._inbox = Inbox(self._recorder)
        self._pace = Pace()

    async def run(self) -> None:
        """Run until cancelled. Unlike the base's, which blocks, this runs on the caller's event loop."""
        # What stands in memory by now stays; looking through it again and again for garbage made a full a third slower.
        gc.collect()
        gc.freeze()
        loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()

        def wake_from_thread() -> None:
            call_from_thread(loop, self._wake.set)

        wakeup.register(wake_from_thread)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._recorder.run())
                # Ends before the recorder, which writes down what has become of the last commands.
                async with asyncio.TaskGroup() as inner:
                    inner.create_task(self._inbox.run())
                    await self._hold_lease()
        finally:
            wakeup.unregister(wake_from_thread)
            self._database.close()

    # --- The channel layer ---

    async def handle(self) -> None:
        """Listen on every channel; one listener's end is the end of all. Only the holder listens: a hint reaches one."""
        async with asyncio.TaskGroup() as group:
            for channel in self.channels:
                group.create_task(self.listener(channel))

    async def listener(self, channel: str) -> None:
        """Take each message as a hint to look. Without a layer the worker still looks every second."""
        pause = 1.0
        while True:
            try:
                await receive(self.channel_layer, channel)
            except Exception as wrong:
                kind = type(wrong).__name__
                logger.warning("The channel layer does not answer (%s); syncing goes on without it", kind)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 10)
            else:
                pause = 1.0
                self._wake.set()

    # --- The lease ---

    async def _hold_lease(self) -> None:
        while True:
            await self._acquire()
            why = "the worker ended"
            try:
                await apart(self._act())
            except* LeaseLost as group:
                why = f"the lease is lost: {most_telling(group)}"
                logger.warning("The lease is lost: %s", most_telling(group))
            finally:
                await self._release(why)

    async def _act(self) -> None:
        """Everything that only the holder does; the end of one part is the end of all."""
        lost = asyncio.Event()
        loop = asyncio.get_running_loop()

        def lost_in_thread() -> None:
            call_from_thread(loop, lost.set)

        self._lease.keep(lost_in_thread)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.handle())
            group.create_task(self._watch_lease(lost))
            group.create_task(self._keep_house())
            line = Line(self._lease, self._database, self._wake, self._recorder, self._inbox, self._pace)
            group.create_task(line.keep())

    async def _acquire(self) -> None:
        stands_by, shown_at = False, -PRESENCE_EVERY
        while True:
            try:
                if await self._database.run(self._lease.try_acquire):
                    logger.info("This worker holds the line")
                    return
                if stands_by and time.monotonic() - shown_at >= PRESENCE_EVERY:
                    shown_at = time.monotonic()
                    await self._database.run(
                        services.presence, name=self._lease.name, state=WorkerPresence.State.STANDBY
                    )
            except DatabaseError as wrong:
                logger.warning("The lease cannot be read (%s)", type(wrong).__name__)
            else:
                if not stands_by:
                    stands_by = True
                    logger.info("Another worker holds the line, or did until just now; standing by")
            await asyncio.sleep(min(1.0, settings.CITYTRIPS_LEASE / 10))

    async def _watch_lease(self, lost: asyncio.Event) -> None:
        while self._lease.held:
            try:
                async with asyncio.timeout(0.05 * settings.CITYTRIPS_LEASE):
                    await lost.wait()
                break
            except TimeoutError:
                pass
        raise LeaseLost("it could not be renewed in time, or another worker has taken it")

    async def _release(self, why: str) -> None:
        at, token = timezone.now(), self._lease.token

        def give_up() -> None:
            try:
                # First, while the state is still ours to write.
                services.link_change(state=State.STANDBY, reason=why, at=at, token=token)
                services.presence_end(name=self._lease.name)
            finally:
                self._lease.release()

        try:
            await self._database.run(give_up)
        except DatabaseError as wrong:
            logger.warning("The lease could not be given up (%s); it runs out", type(wrong).__name__)
            self._recorder.change(State.STANDBY, why, 0, token)

    async def _keep_house(self) -> None:
        """Do what time alone brings about; the journal is pruned at the beginning, too, as a worker may live for years."""
        pruned_at = -PRUNE_EVERY
        outage = Outage()
        while True:
            try:
                await self._database.run(services.presence, name=self._lease.name, state=WorkerPresence.State.HOLDER)
                await self._database.run(bridge.due_by_time)
                if news := outage.look(await self._database.run(selectors.link_state), time.monotonic()):
                    tell = services.alert_raise if news is News.LONG else services.alerts_pass
                    await self._database.run(tell, kind=Alert.Kind.LINE_DOWN)
                    outage.told(news)
                if time.monotonic() - pruned_at >= PRUNE_EVERY:
                    pruned_at = time.monotonic()
                    await self._database.run(services.journal_prune, before=timezone.now() - JOURNAL_KEPT)
                    await self._database.run(bridge.history_prune)
            except DatabaseError as wrong:
                logger.warning("What is due by time waits: the database does not answer (%s)", type(wrong).__name__)
            await asyncio.sleep(HOUSEKEEPING_EVERY)
