"""The REST API as a real server answers it, on a real socket, while things break."""

from __future__ import annotations

import http.client
import json
import random
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from fleet.models import Vehicle
from tests.backoffice.serving import Site, serving, soon
from tests.fleet.factories import make
from users.models import Scope
from users.services import token_create, user_create

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/v1/vehicles/"
FLEET = 40
PATIENCE = 30  # seconds


@pytest.fixture
def token() -> str:
    ana = user_create(username="ana", email="ana@example.org", is_staff=True, is_superuser=True)
    for number in range(FLEET):
        make(f"ES-{number}")
    return token_create(user=ana, name="gateway", scope=Scope.ALL, expires_at=None)[1]


@pytest.fixture
def site(token: str) -> Iterator[Site]:
    with serving(CITYTRIPS_CLIENT_ID="", CITYTRIPS_API_KEY="") as site:
        site.session.headers["Authorization"] = f"Token {token}"
        yield site


def test_a_body_of_unknown_length(site: Site) -> None:
    """A body that comes in pieces counts as much as one whose length is told, and is no larger."""

    def pieces(data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), 65_536):
            yield data[start : start + 65_536]

    headers = {"Content-Type": "application/json"}
    answer = site.session.patch(f"{site.url}{URL}ES-1/", data=pieces(b'{"battery": 33}'), headers=headers, timeout=30)
    assert (answer.status_code, answer.json().get("battery")) == (200, 33)
    body = json.dumps([{"id": "ES-2", "battery": 34}]).encode()
    answer = site.session.post(f"{site.url}{URL}telemetry/", data=pieces(body), headers=headers, timeout=30)
    assert answer.json()["updated"] == 1
    large = b" " * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    answer = site.session.post(f"{site.url}{URL}telemetry/", data=pieces(large), headers=headers, timeout=30)
    assert answer.status_code == 413


# --- A database that comes and goes ------------------------------------------------------------------------------


class Trouble(threading.Thread):
    """Ends one of PostgreSQL's connections now and then, or locks SQLite's file for moments, until told to stop."""

    def __init__(self, seed: int) -> None:
        super().__init__(daemon=True)
        self._chance = random.Random(seed)
        self._over = threading.Event()
        self.times = 0
        self._given = dict(connection.settings_dict)
        self._sqlite = connection.vendor == "sqlite"

    def run(self) -> None:
        while not self._over.wait(self._chance.uniform(0.02, 0.5)):
            with suppress(psycopg.Error):
                self.times += self._lock() if self._sqlite else self._end_connections()

    def stop(self) -> None:
        self._over.set()
        self.join(10)

    def _end_connections(self) -> int:
        given = self._given
        with psycopg.connect(
            host=given["HOST"], port=given["PORT"], user=given["USER"], password=given["PASSWORD"], dbname="postgres",
            autocommit=True,
        ) as server:  # fmt: skip
            # Rather one at work than one that rests: the latter is noticed as it is taken from the pool.
            ended = server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s "
                "ORDER BY state = 'idle', random() LIMIT 1",
                [given["NAME"]],
            ).fetchone()
        return int(ended is not None)

    def _lock(self) -> int:
        other = sqlite3.connect(self._given["NAME"], isolation_level=None)
        other.execute("PRAGMA busy_timeout = 5000")
        other.execute("BEGIN IMMEDIATE")
        time.sleep(0.05)
        other.close()
        return 1


def send(site: Site, token: str, body: list[dict[str, Any]]) -> int | None:
    """The answer's code, or None where there was none."""
    parts = urlsplit(site.url)
    server = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    try:
        server.request("POST", f"{URL}telemetry/", json.dumps(body), headers)
        answer = server.getresponse()
        told = json.loads(answer.read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        server.close()
    assert answer.status == 503 or told["updated"] + told["unchanged"] == len(body), told
    if answer.status == 503:
        assert int(answer.headers["Retry-After"]) > 0
    return answer.status


def test_what_was_acknowledged_is_there(site: Site, token: str) -> None:
    """While connections break and files are locked: what was answered with 2xx is stored, all else is told by 503."""
    chance = random.Random(20261121)
    told: dict[str, int] = {}
    codes: list[int | None] = []
    trouble = Trouble(7)
    connection.close()
    trouble.start()
    try:
        end, sqlite = time.monotonic() + PATIENCE, connection.vendor == "sqlite"
        while time.monotonic() < end and not (
            len(codes) >= 40 and trouble.times > 5 and (sqlite or set(codes) - {200})
        ):
            ids = chance.sample(range(FLEET), 10)
            body = [{"id": f"ES-{number}", "battery": 1 + (len(codes) + number) % 100} for number in ids]
            codes.append(send(site, token, body))
            # The outcome of a request without an answer, or with 503, may be either: what it told is not counted on.
            for signal in body:
                if codes[-1] == 200:
                    told[signal["id"]] = signal["battery"]
                else:
                    told.pop(signal["id"], None)
    finally:
        trouble.stop()
    assert trouble.times > 5
    assert set(codes) <= {200, 503, None}, codes
    assert codes.count(200) > 5, codes
    # A locked file is waited for, so SQLite refuses none.
    assert connection.vendor == "sqlite" or set(codes) - {200}, "no request met the trouble"
    connection.close()
    if connection.vendor == "postgresql":
        connection.close_pool()  # this process's connections were ended as well
    assert {id: Vehicle.objects.get(pk=id).battery for id in told} == told


@pytest.mark.skipif(connection.vendor == "sqlite", reason="a file does not go away by the network")
def test_a_server_that_cannot_be_reached(token: str) -> None:
    """503 within ten seconds while PostgreSQL is out of reach, the metrics say so, and work goes on when it is back."""
    given = connection.settings_dict
    with Cable(str(given["HOST"]), int(given["PORT"] or 5432)) as cable:
        password = f":{given['PASSWORD']}" if given["PASSWORD"] else ""
        url = f"postgres://{given['USER']}{password}@127.0.0.1:{cable.port}/{given['NAME']}"
        with serving(CITYTRIPS_CLIENT_ID="", CITYTRIPS_API_KEY="", DATABASE_URL=url) as site:
            assert send(site, token, [{"id": "ES-1", "battery": 11}]) == 200
            cable.cut()

            def refused() -> float:
                began = time.monotonic()
                assert send(site, token, [{"id": "ES-1", "battery": 12}]) == 503
                return time.monotonic() - began

            soon(refused, 10)
            metrics = site.session.get(f"{site.url}/metrics", timeout=30)
            assert "backoffice_database_up 0.0" in metrics.text
            cable.mend()
            end = time.monotonic() + 30
            while send(site, token, [{"id": "ES-1", "battery": 13}]) != 200:
                assert time.monotonic() < end
                time.sleep(0.5)
    assert Vehicle.objects.get(pk="ES-1").battery == 13


class Cable:
    """What lies between the site and its database, and can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._far = (host, port)
        self._ends: list[socket.socket] = []
        self._whole = True
        self._lock = threading.Lock()  # so that none is plugged in while it is cut

    def __enter__(self) -> Cable:
        self._near = socket.create_server(("127.0.0.1", 0))
        self.port = self._near.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.cut()
        self._near.close()

    def cut(self) -> None:
        with self._lock:
            self._whole = False
            while self._ends:
                one = self._ends.pop()
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def mend(self) -> None:
        self._whole = True

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _address = self._near.accept()
                with self._lock:
                    if not self._whole:
                        near.close()
                        continue
                    far = socket.create_connection(self._far)
                    self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)
