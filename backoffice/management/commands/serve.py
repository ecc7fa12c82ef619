"""``serve``: the whole backoffice in one process and on one event loop."""

from __future__ import annotations

# Before anything that may install another Twisted reactor.
import daphne.server  # isort: skip

import asyncio
import ipaddress
import logging
import os
import threading
import time
from argparse import ArgumentParser
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import urlsplit

from channels.routing import get_default_application
from daphne.endpoints import build_endpoint_description_strings
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from twisted.internet import reactor

from backoffice.citytrips.worker import CityTripsWorker

SANDBOX_MESSAGE: Final = 32 * 1024 * 1024
"""Bytes of one inbound WebSocket message while the simulator is served: a full of 100,000 vehicles is half of that."""
DRAIN: Final = 1.5
"""Seconds that tasks get to end in."""
PATIENCE: Final = 2.2
"""Seconds after which the process ends though a thread still runs; Python would wait for it."""

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Serves the site, keeps the line to CityTrips, and serves the sandbox where it is on: all in one process."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--port", type=int, help="port to listen on (that of SITE_URL); 0 takes any free one")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        if port is None:
            site = urlsplit(settings.SITE_URL)
            port = site.port or (443 if site.scheme == "https" else 80)
        if not 0 <= port <= 65535:
            raise CommandError("--port takes a number from 0 to 65535")
        limits = {}
        if settings.SANDBOX:
            limits = {"websocket_max_message_size": SANDBOX_MESSAGE, "websocket_max_frame_size": SANDBOX_MESSAGE}
        server = daphne.server.Server(
            application=get_default_application(),
            endpoints=build_endpoint_description_strings(host=host, port=port),
            **limits,
        )
        # Daphne logs what kept it from listening; here one line says it.
        logging.getLogger("daphne.server").addFilter(lambda record: "Listen failure" not in record.msg)
        tasks: list[asyncio.Task[None]] = []
        reactor.callWhenRunning(self._begin, server, tasks)
        reactor.addSystemEventTrigger("before", "shutdown", _end_in_time)  # type: ignore[arg-type]  # phases are text
        server.run()
        if not server.listening_addresses:
            raise CommandError(f"{host}:{port} is in use or not an address of this machine; choose another by --port.")
        _drain(reactor._asyncioEventloop, tasks)
        logger.info("Ended")

    def _begin(self, server: daphne.server.Server, tasks: list[asyncio.Task[None]]) -> None:
        host, port = server.listening_addresses[0]
        point_sandbox_at(port)
        tasks.append(reactor._asyncioEventloop.create_task(supervise()))
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
        self.stdout.write(f"Listening on http://{shown}:{port}/")
        self.stdout.flush()


def point_sandbox_at(port: int) -> None:
    """Where the addresses of this site and its simulators are the defaults for another port, put in the real one."""
    site = urlsplit(settings.SITE_URL)
    if not settings.SANDBOX or site.scheme != "http" or site.port == port or not _is_loopback(site.hostname or ""):
        return
    before, after = site.netloc, f"{site.netloc.removesuffix(f':{site.port}')}:{port}"
    for name, form in (
        ("CITYTRIPS_URL", "ws://{}/sandbox/citytrips/v1"),
        ("CRUSOE_API_URL", "http://{}/sandbox/crusoe/api"),
        ("OPERATOR_TERMS_URL", "http://{}/terms/"),
        ("SITE_URL", "http://{}"),
    ):
        if getattr(settings, name).rstrip("/") == form.format(before).rstrip("/"):
            setattr(settings, name, form.format(after))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def supervise() -> None:
    """Keep a worker running: one that fails is reported and followed by another, after a pause that grows."""
    pause = 1.0
    while True:
        began = time.monotonic()
        try:
            await CityTripsWorker().run()
        except Exception:
            logger.exception("The worker failed; another starts in %g s", pause)
        else:
            logger.error("The worker ended by itself; another starts in %g s", pause)
        await asyncio.sleep(pause)
        pause = 1.0 if time.monotonic() - began > 60 else min(2 * pause, 30.0)


def _end_in_time() -> None:
    """From a signal on, the process has so long; threads that hang in a request or a query don't hold it."""
    timer = threading.Timer(PATIENCE, os._exit, [0])
    timer.daemon = True
    timer.start()


def _drain(loop: asyncio.AbstractEventLoop, workers: Collection[asyncio.Task[None]]) -> None:
    """End what still runs: first the worker, which closes its socket, gives its lease back and finishes what it can.

    Tasks left to the interpreter's own exit were also seen to bring it down with a segmentation fault.
    """
    end = time.monotonic() + DRAIN
    _end(loop, workers, DRAIN)
    _end(loop, asyncio.all_tasks(loop), max(end - time.monotonic(), 0.1))


def _end(loop: asyncio.AbstractEventLoop, tasks: Collection[asyncio.Task[None]], seconds: float) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=seconds))
