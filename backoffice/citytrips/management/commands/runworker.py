"""``runworker citytrips``: the line to CityTrips in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import signal
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from backoffice.citytrips.wakeup import CHANNEL
from backoffice.citytrips.worker import CityTripsWorker

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Takes the place of Channels' own command, whose worker was seen to go deaf in a living process."""

    help = "Keeps the line to CityTrips. Start as many as you like: one holds the line and the others stand by."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("channels", nargs="+", choices=[CHANNEL], metavar=CHANNEL, help=f"always: {CHANNEL}")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.REDIS_URL:
            raise CommandError(
                "runworker needs REDIS_URL, so that the web processes can reach it; without Redis use: manage.py serve"
            )
        asyncio.run(run_until_signal())


async def run_until_signal() -> None:
    """Run the worker until SIGINT or SIGTERM; its own failure ends the process with its traceback."""
    worker = asyncio.create_task(CityTripsWorker().run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, worker.cancel)
    try:
        await worker
    except asyncio.CancelledError:
        logger.info("The worker has ended")
