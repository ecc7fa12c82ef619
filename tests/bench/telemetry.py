"""Telemetry over HTTP against the bare driver's ``executemany`` of the same updates, on the same rows, in turns."""

from __future__ import annotations

import http.client
import random
import re
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import psycopg

from tests.bench.report import Row, Table
from tests.bench.running import SQLITE, Databases, Process, kinds, run_program, until, variables

FLEET: Final = 100_000
BATCH: Final = 1000
ROUNDS: Final = 7
BATCHES: Final = 10
"""So many batches of each sort in a round."""
SHARE: Final = 0.2

UPDATE: Final = (
    "UPDATE fleet_vehicle SET battery = {0}, latitude = {0}, longitude = {0}, state = {0}, last_signal_at = {0}, "
    "silent = {0}, updated_at = {0} WHERE id = {0}"
)

Told = tuple[str, int, float, float]


def batch(chance: random.Random, fleet: int) -> list[Told]:
    """What changes every vehicle that it names, whatever was told before."""
    return [
        (f"ES-{number:07}", chance.randint(20, 100), chance.uniform(40.0, 41.0), chance.uniform(-4.0, -3.0))
        for number in chance.sample(range(1, fleet + 1), BATCH)
    ]


def bare(kind: str, url: str) -> tuple[Callable[[list[Told]], None], Callable[[], None]]:
    """Writes a batch in one transaction, by the driver alone; and how to end it."""
    if kind == SQLITE:
        lite = sqlite3.connect(url.removeprefix("sqlite:///"), 30)
        for setting in ("synchronous=NORMAL", "wal_autocheckpoint=10000"):  # as the site has them
            lite.execute(f"PRAGMA {setting}")

        def write(told: list[Told]) -> None:
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            rows = [(battery, lat, long, "available", now, False, now, id) for id, battery, lat, long in told]
            with lite:
                lite.executemany(UPDATE.format("?"), rows)

        return write, lite.close
    server = psycopg.connect(url)

    def write_to_server(told: list[Told]) -> None:
        now = datetime.now(UTC)
        rows = [(battery, lat, long, "available", now, False, now, id) for id, battery, lat, long in told]
        with server.cursor() as cursor:
            cursor.executemany(UPDATE.format("%s"), rows)
        server.commit()

    return write_to_server, server.close


class Gateway:
    """Sends batches over one connection that stays open."""

    def __init__(self, address: str, token: str) -> None:
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        self._headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}

    def send(self, body: bytes) -> None:
        self._connection.request("POST", "/api/v1/vehicles/telemetry/", body, self._headers)
        answer = self._connection.getresponse()
        told = answer.read()
        assert answer.status == 200, (answer.status, told[:300])
        assert orjson.loads(told)["updated"] == BATCH, told[:300]

    def close(self) -> None:
        self._connection.close()


def encoded(told: list[Told]) -> bytes:
    now = datetime.now(UTC).isoformat()
    return orjson.dumps(
        [
            {"id": id, "battery": battery, "location": {"latitude": lat, "longitude": long}, "at": now}
            for id, battery, lat, long in told
        ]
    )


def timed(work: Callable[[Any], None], loads: list[Any]) -> float:
    """Updates a second."""
    began = time.perf_counter()
    for load in loads:
        work(load)
    return len(loads) * BATCH / (time.perf_counter() - began)


def measure(
    kind: str, seed: int, folder: Path, *, fleet: int = FLEET, rounds: int = ROUNDS
) -> tuple[list[float], list[float]]:
    """Updates a second in each round, by the bare driver and over HTTP."""
    chance = random.Random(seed)
    with closing(Databases(folder)) as databases:
        database = databases.make(kind, fleet, settled=True)
        # No line: what it does beside is another figure's.
        given = {
            "DATABASE_URL": database.url,
            "VAR_DIR": str(folder),
            "CITYTRIPS_CLIENT_ID": "",
            "CITYTRIPS_API_KEY": "",
        }
        person = {"DJANGO_SUPERUSER_USERNAME": "ana", "DJANGO_SUPERUSER_EMAIL": "ana@example.org"}
        run_program(
            "manage.py", "createsuperuser", "--noinput", **given, **person, DJANGO_SUPERUSER_PASSWORD="measured!"
        )
        token = re.search(r"opb_\S+", run_program("manage.py", "create_token", "ana", "--scope", "telemetry", **given))
        assert token is not None
        site = Process(["manage.py", "serve", "--port", "0"], variables(**given), folder / f"{kind}.log")
        write, end = bare(kind, database.url)
        try:
            found = until(lambda: re.search(r"Listening on (http://[\d.:]+)/", site.line()), 60)
            gateway = Gateway(found[1], token[0])
            floor, over_http = [], []
            timed(gateway.send, [encoded(batch(chance, fleet))])  # what is loaded once
            for _ in range(rounds):
                floor.append(timed(write, [batch(chance, fleet) for _ in range(BATCHES)]))
                over_http.append(timed(gateway.send, [encoded(batch(chance, fleet)) for _ in range(BATCHES)]))
            gateway.close()
        finally:
            end()
            site.end()
    return floor, over_http


def run(seed: int) -> Table:
    rows = []
    for kind in kinds():
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            floor, over_http = measure(kind, seed, Path(folder))
        shares = [fast / slow for slow, fast in zip(floor, over_http, strict=True)]
        share = statistics.median(shares)
        rows.append(Row("updates a second by `executemany`", kind, f"{statistics.median(floor):,.0f}"))
        rows.append(
            Row(
                "updates a second over HTTP",
                f"{kind}, serve",
                f"{statistics.median(over_http):,.0f}, {share:.2f} x the above "
                f"({min(shares):.2f} to {max(shares):.2f}, n = {len(shares)})",
                f"≥ {SHARE} x",
                share >= SHARE,
            )
        )
    note = f"A fleet of {FLEET:,}; batches of {BATCH:,} over one connection that stays open; medians of the rounds."
    return Table("Telemetry", rows, note)
