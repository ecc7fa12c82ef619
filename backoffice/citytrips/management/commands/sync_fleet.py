"""``sync_fleet``: have the fleet sent now, and wait until CityTrips has it."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from typing import Any

from asgiref.sync import sync_to_async
from django.core.management.base import BaseCommand, CommandError

from backoffice.citytrips import selectors, services, wakeup
from backoffice.citytrips.models import SyncRequest
from backoffice.citytrips.worker import CityTripsWorker


class Command(BaseCommand):
    help = (
        "Asks the running worker to send what is pending now, and waits until it is settled. "
        "With no worker alive it connects, authenticates, sends and leaves. Exit status: 0 settled, 1 otherwise."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--full", action="store_true", help="send every vehicle offered, not only what is pending")
        parser.add_argument("--timeout", type=float, default=60, metavar="S", help="seconds to wait (60)")

    def handle(self, *args: Any, **options: Any) -> None:
        if missing := selectors.missing_credentials():
            raise CommandError("Nothing can be sent. Not set: " + ", ".join(missing))
        if options["timeout"] <= 0:
            raise CommandError("--timeout takes a number of seconds above 0")
        asyncio.run(self._sync(options["full"], options["timeout"]))

    async def _sync(self, full: bool, seconds: float) -> None:
        """Leave a request, and stand by as a worker: if none is alive, this one serves it."""
        request = await sync_to_async(services.sync_request_create)(full=full, seconds=seconds)
        worker = asyncio.create_task(CityTripsWorker().run())
        try:
            wakeup.wake_worker()
            async with asyncio.timeout(seconds):
                await self._follow(request, worker)
        except TimeoutError:
            await sync_to_async(services.sync_request_end)(request_id=request.pk, state=SyncRequest.State.EXPIRED)
            raise CommandError(f"Not settled within {seconds:g} s; what is pending stays pending.") from None
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def _follow(self, request: SyncRequest, worker: asyncio.Task[None]) -> None:
        shown = ""
        while request.ended_at is None:
            if worker.done():
                worker.result()
            if shown != (shown := self._in_words(request)):
                self.stdout.write(shown)
                self.stdout.flush()
            await asyncio.sleep(0.2)
            await request.arefresh_from_db()
        if request.state != SyncRequest.State.SETTLED:
            raise CommandError(self._in_words(request))
        self.stdout.write(self._in_words(request))

    @staticmethod
    def _in_words(request: SyncRequest) -> str:
        return str(request.get_state_display()) + (f": {request.detail}" if request.detail else "")
