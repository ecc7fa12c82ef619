"""One process for everything: that it starts, says where it is, and ends in time whatever is open."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from websockets.asyncio.client import connect

from backoffice.citytrips.models import Lease
from backoffice.management.commands import serve
from backoffice.management.commands.serve import point_sandbox_at
from tests.backoffice.serving import manage, serving, soon, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_whatever_is_open(number: int) -> None:
    """With a WebSocket open, a request just answered and the worker live, a signal ends it within 3 s with status 0."""

    async def open_and_stop() -> tuple[int, float]:
        async with connect(site.websocket_url, proxy=None):
            assert await asyncio.to_thread(lambda: site.get("/healthz").status_code) == 200
            return await asyncio.to_thread(site.stop, number)

    def once() -> float:
        nonlocal site
        with serving() as site:
            until(lambda: "The line is live" in site.output, 60)
            status, seconds = asyncio.run(open_and_stop())
            assert status == 0, site.output
            assert "Traceback" not in site.output
        # The next worker need not wait, unless there was no time to tell it.
        return seconds if Lease.objects.get().holder == "" else 3.0

    site: Any = None
    soon(once, 3)


def test_a_signal_at_once_ends_it_cleanly() -> None:
    """Stopped before the worker has done anything, it ends as well."""

    def once() -> float:
        with serving(CITYTRIPS_API_KEY="") as site:
            status, seconds = site.stop(signal.SIGINT)
            assert status == 0, site.output
            return seconds

    soon(once, 3)


def test_a_thread_that_hangs_does_not_hold_the_end() -> None:
    """While the worker's thread waits for a row that somebody has locked, a signal still ends it within 3 s."""

    def once() -> float:
        with serving() as site:
            until(lambda: "The line is live" in site.output, 60)
            with transaction.atomic():
                Lease.objects.update(holder=F("holder"))
                time.sleep(1)  # the renewal is waiting by now
                status, seconds = site.stop()
            assert status == 0, site.output
        return seconds

    soon(once, 3)


def test_a_port_in_use_is_said_in_one_line() -> None:
    """A port that somebody else has ends it with status 1 and one line that names the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = manage("serve", "--port", str(port))
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    assert str(port) in ended.stderr
    assert ended.stdout == ""


def test_a_full_above_daphnes_own_limit_arrives() -> None:
    """The simulator takes a message of more than the megabyte that Daphne allows by default."""

    async def send_two_megabytes() -> str:
        async with connect(site.websocket_url, proxy=None) as line:
            await line.send("x" * 2_000_000)
            return str(await line.recv())

    with serving(CITYTRIPS_API_KEY="") as site:
        assert "not valid JSON" in asyncio.run(send_two_megabytes())


@pytest.mark.logs_errors
def test_a_worker_that_fails_is_followed_by_another(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """A worker that ends with an error is reported with its traceback, and another one takes its place."""
    runs: list[int] = []

    class Worker:
        async def run(self) -> None:
            runs.append(len(runs))
            if len(runs) == 1:
                raise RuntimeError("broken")
            await asyncio.sleep(60)

    async def watch() -> None:
        watching = asyncio.ensure_future(serve.supervise())
        while len(runs) < 2:
            await asyncio.sleep(0.01)
        watching.cancel()
        await asyncio.wait([watching])

    monkeypatch.setattr(serve, "CityTripsWorker", Worker)
    asyncio.run(asyncio.wait_for(watch(), 30))
    assert runs == [0, 1]
    (failure,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert failure.getMessage() == "The worker failed; another starts in 1 s"
    assert failure.exc_info


def test_a_table_that_vanishes_costs_the_lease_and_no_more() -> None:
    """While the lease's table is away the worker is silent, and when it is back the line is live again."""
    with serving() as site:
        until(lambda: "The line is live" in site.output, 60)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE citytrips_lease RENAME TO citytrips_lease_away")
        try:
            until(lambda: "The lease is lost" in site.output, 60)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE citytrips_lease_away RENAME TO citytrips_lease")
        lost = site.output.rindex("The lease is lost")
        until(lambda: "The line is live" in site.output[lost:], 60)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:9000"),
        ("http://localhost", "http://localhost:9000"),
        ("https://operator.example", "https://operator.example"),
    ],
)
def test_only_this_machines_defaults_follow_the_port(settings, before: str, after: str) -> None:
    """The simulators' default addresses follow the real port; those of a site elsewhere stay as they are."""
    settings.SANDBOX, settings.SITE_URL = True, before
    settings.CITYTRIPS_URL = f"ws{before.removeprefix('http')}/sandbox/citytrips/v1"
    settings.CRUSOE_API_URL = f"{before}/sandbox/crusoe/api"
    point_sandbox_at(9000)
    assert after == settings.SITE_URL
    assert f"ws{after.removeprefix('http')}/sandbox/citytrips/v1" == settings.CITYTRIPS_URL
    assert f"{after}/sandbox/crusoe/api" == settings.CRUSOE_API_URL


def test_partners_that_were_named_stay(settings) -> None:
    """A partner that somebody has configured is never replaced by the sandbox."""
    settings.SANDBOX, settings.SITE_URL = True, "http://127.0.0.1:8000"
    settings.CITYTRIPS_URL = "wss://api.example/v1"
    settings.CRUSOE_API_URL = "https://crusoe.example/api"
    point_sandbox_at(9000)
    assert settings.CITYTRIPS_URL == "wss://api.example/v1"
    assert settings.CRUSOE_API_URL == "https://crusoe.example/api"
