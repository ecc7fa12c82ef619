"""What the tests of faults share: the real worker in this process, and the partner whose faults are scripted.

They stand in ``test_faults_of_*.py``. Beside a safeguard stands its control: the same story with the safeguard switched off,
which then loses, doubles or leaks. What is patched are times, randomness, and the safeguards themselves.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.conf import settings as configured
from django.db import connection

from backoffice.citytrips.connection import Backoff
from backoffice.citytrips.models import LinkChange
from backoffice.citytrips.worker import CityTripsWorker
from backoffice.sandbox.faulty_server import FaultyServer, Script
from fleet.models import Vehicle
from fleet.services import vehicle_update
from tests.backoffice.serving import ROOT, variables
from tests.fleet.factories import make

AUTHENTICATE, FULL, INCREMENTAL = "s_ext/authenticate", "s_vehicle/full", "s_vehicle/incremental"
Result = TypeVar("Result")
Patch = pytest.MonkeyPatch

# Short times, so that a test of what comes after them is short as well. Lease and pings are not: worker and partner share
# the test's event loop, and where that stands still for a moment the line would be lost. Tests of them say how short.
QUICK = {
    "CITYTRIPS_CLIENT_ID": "a client",
    "CITYTRIPS_API_KEY": "a key",
    "CITYTRIPS_SETTLE": 0.3,
    "CITYTRIPS_FLUSH_INTERVAL": 0.02,
    "CITYTRIPS_LEASE": 10.0,
    "CITYTRIPS_PING_INTERVAL": 0.3,
    "CITYTRIPS_PING_TIMEOUT": 5.0,
}


@dataclass
class Scene:
    """A partner, and workers that keep the line to it."""

    partner: FaultyServer
    workers: list[asyncio.Task[None]]

    def add_worker(self) -> None:
        """One more; the first holds the lease by then."""
        self.workers.append(asyncio.create_task(CityTripsWorker().run()))

    async def until(self, probe: Callable[[], Result], seconds: float = 10) -> Result:
        """Ask on the event loop until the answer is true."""
        end = time.monotonic() + seconds
        while not (answer := probe()):
            for worker in self.workers:
                if worker.done() and not worker.cancelled():
                    worker.result()
            assert time.monotonic() < end, f"not within {seconds:g} s; the last answer was {answer!r}"
            await asyncio.sleep(0.01)
        return answer

    async def database(self, work: Callable[[], Result]) -> Result:
        """Run what asks or changes the database."""

        def closing() -> Result:
            try:
                return work()
            finally:
                connection.close()

        return await asyncio.to_thread(closing)

    async def until_database(self, probe: Callable[[], Result], seconds: float = 10) -> Result:
        """Ask the database until the answer is true."""
        end = time.monotonic() + seconds
        while not (answer := await self.database(probe)):
            await self.until(lambda: True)
            assert time.monotonic() < end, f"not within {seconds:g} s; the last answer was {answer!r}"
            await asyncio.sleep(0.05)
        return answer

    async def settled(self, seconds: float = 10) -> None:
        """Until nothing is pending."""
        await self.until_database(lambda: not Vehicle.objects.pending().exists(), seconds)

    async def settled_but(self, objected: int, seconds: float = 10) -> None:
        """Until nothing is pending but what was objected to, of which there are at least so many."""

        def is_so() -> bool:
            left = list(Vehicle.objects.pending().values_list("objected_version", "version"))
            return len(left) >= objected and all(objection == version for objection, version in left)

        await self.until_database(is_so, seconds)

    async def is_live(self, connections: int = 1, seconds: float = 10) -> None:
        """Until so many authentications have been accepted."""
        await self.until(lambda: self.partner.truth.authentications >= connections, seconds)

    async def change(self, vehicle_id: str, **values: object) -> None:
        """Change a vehicle as any part of the site does."""
        await self.database(lambda: vehicle_update(vehicle=Vehicle.objects.get(pk=vehicle_id), values=values))

    def batteries(self) -> dict[str, int]:
        """What the partner holds."""
        return {name: row["battery"] for name, row in self.partner.truth.vehicles.items()}

    async def until_equal(self, seconds: float = 10) -> None:
        """Until the partner holds exactly what is offered, as it is now."""
        end = time.monotonic() + seconds
        while self.batteries() != (wanted := await self.database(offered)):
            assert time.monotonic() < end, f"not within {seconds:g} s: {self.batteries()} is not {wanted}"
            await asyncio.sleep(0.05)

    async def is_lost(self, seconds: float = 2) -> bool:
        """Whether the partner still lacks something after so long, though nothing is pending."""
        await asyncio.sleep(seconds)
        pending = await self.database(lambda: Vehicle.objects.pending().exists())
        return not pending and self.batteries() != await self.database(offered)


def play(
    settings: Any,
    story: Callable[[Scene], Awaitable[None]],
    *,
    script: Script | None = None,
    workers: int = 1,
    receive_buffer: int | None = None,
    ssl: Any = None,
    port: int = 0,
    **different: object,
) -> FaultyServer:
    """Keep the line to a partner with faults while ``story`` goes; the partner, with its truth."""
    for name, value in {**QUICK, **different}.items():
        setattr(settings, name, value)

    async def all_of_it() -> FaultyServer:
        async with FaultyServer(port=port, script=script, receive_buffer=receive_buffer, ssl=ssl) as partner:
            settings.CITYTRIPS_URL = partner.url
            running = [asyncio.create_task(CityTripsWorker().run()) for _ in range(workers)]
            try:
                async with asyncio.timeout(150):
                    await story(Scene(partner, running))
            finally:
                for worker in running:
                    worker.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        return partner

    return asyncio.run(all_of_it())


PROGRAM = """
import asyncio, django
django.setup()
from backoffice.citytrips import bridge
from backoffice.citytrips.lease import LeaseKeeper
from backoffice.citytrips.worker import CityTripsWorker
{patch}
asyncio.run(CityTripsWorker().run())
"""


class Process(subprocess.Popen[bytes]):
    """A worker in a process of its own."""

    def pause(self) -> None:
        self.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.send_signal(signal.SIGCONT)

    def is_stopped(self) -> bool:
        """Whether a SIGSTOP has taken effect."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


SITE = """
import django
django.setup()
from django.core.management import call_command
{patch}
call_command("serve", port=0)
"""


@contextmanager
def process(patch: str = "", program: str = PROGRAM) -> Iterator[Process]:
    """A worker on the test's database and with its settings; ``patch`` is code that is run first."""
    more = {name: str(getattr(configured, name)) for name in (*QUICK, "CITYTRIPS_URL")}
    with Process([sys.executable, "-c", program.format(patch=patch)], cwd=ROOT, env=variables(**more)) as running:
        try:
            yield running
        finally:
            running.kill()


def jitter(monkeypatch: Patch, choose: Callable[[float, float], float]) -> None:
    """Take the chance out of the pauses between connections."""
    monkeypatch.setitem(Backoff.__init__.__kwdefaults__, "jitter", choose)


def many(number: int) -> None:
    """A fleet of so many vehicles, about 145 characters each."""
    template = make("ES-0")
    Vehicle.objects.bulk_create(
        Vehicle(
            **{
                field.attname: getattr(template, field.attname)
                for field in Vehicle._meta.concrete_fields
                if not field.primary_key and not field.generated and field.attname not in ("version", "settled_version")
            },
            id=f"ES-{index}",
        )
        for index in range(1, number)
    )


def offered() -> dict[str, int]:
    """The batteries of the vehicles that the partner is to hold."""
    return dict(Vehicle.objects.offered().values_list("pk", "battery"))


def row(vehicle_id: str) -> Vehicle:
    return Vehicle.objects.get(pk=vehicle_id)


def states() -> list[str]:
    """What the line has been, in order."""
    return [change.state for change in LinkChange.objects.order_by("id")]


def reasons(state: str) -> list[str]:
    """Why the line was in this state, each time."""
    return list(LinkChange.objects.filter(state=state).order_by("id").values_list("reason", flat=True))
