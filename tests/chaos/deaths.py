"""Two workers and two web processes on PostgreSQL and Redis, each killed in turn while devices report over REST."""

from __future__ import annotations

import random
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import requests

from tests.bench.failover import overlap
from tests.bench.report import Row, Table
from tests.bench.running import POSTGRESQL, Line, Process, Rig, kinds, run_program, until

FLEET = 400
BATCH = 20
EQUAL_WITHIN = 30.0
_STAFF = """
import django
django.setup()
from users.services import user_create
user_create(username="device", email="device@example.com", is_staff=True, is_superuser=True)
"""


@dataclass(slots=True)
class Devices:
    """A client that reports its own vehicles, to either web process, again and again until one says 2xx."""

    urls: list[str]
    token: str
    ids: list[str]
    chance: random.Random
    acknowledged: dict[str, int] = field(default_factory=dict)
    batches: int = 0
    failed: int = 0
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def report(self) -> None:
        session = requests.Session()
        session.trust_env = False
        while not self.over.is_set():
            values = {one: self.chance.randint(20, 100) for one in self.chance.sample(self.ids, BATCH)}
            self._until_taken(session, values)
            self.acknowledged |= values
            self.batches += 1
            time.sleep(0.2)

    def _until_taken(self, session: requests.Session, values: dict[str, int]) -> None:
        body = [{"id": one, "battery": battery} for one, battery in values.items()]
        while True:
            url = self.chance.choice(self.urls)
            try:
                answer = session.post(
                    f"{url}/api/v1/vehicles/telemetry/", json=body, timeout=5,
                    headers={"Authorization": f"Token {self.token}"},
                )  # fmt: skip
            except requests.RequestException:
                self.failed += 1
            else:
                if answer.ok and not answer.json()["errors"]:
                    return
                self.wrong.append(f"{answer.status_code} {answer.text[:200]}")
                if len(self.wrong) > 100:
                    raise RuntimeError(self.wrong[-1])
            time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=2).status_code < 500
    except requests.RequestException:
        return False


def _token(line: Line) -> str:
    given = {name: value for name, value in line.environment.items() if name in ("DATABASE_URL", "VAR_DIR")}
    run_program("-c", _STAFF, **given)
    printed = run_program("manage.py", "create_token", "device", "--scope", "telemetry", **given)
    found = re.findall(r"\S+", printed)
    return str(found[-1])


class Site:
    """The four processes by name, and how each is started."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.ports = {name: free_port() for name in ("web 1", "web 2")}
        self.running: dict[str, Process] = {}

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self, name: str) -> None:
        if name in self.ports:
            port = str(self.ports[name])
            self.running[name] = self.line.start(
                "-m", "daphne", "-b", "127.0.0.1", "-p", port, "backoffice.asgi:application"
            )
            until(lambda: answers(self.url(name)), 60, every=0.1)
        else:
            self.running[name] = self.line.start("manage.py", "runworker", "citytrips")

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.send(signal.SIGKILL)
        process.end()

    def holder(self) -> str:
        """The worker that holds the line."""
        pid = str(self.line.database.value("SELECT holder FROM citytrips_lease")).rpartition(":")[2]
        return next((name for name, one in self.running.items() if str(one.process.pid) == pid), "")


def _round(site: Site, chance: random.Random) -> list[str]:
    """Each of the four dies once, the holder of the line first; it comes back after a while."""
    first = site.holder()
    others = [name for name in ("worker 1", "worker 2", "web 1", "web 2") if name != first]
    chance.shuffle(others)
    order = [first, *others]
    for name in order:
        time.sleep(chance.uniform(1, 3))
        site.kill(name)
        time.sleep(chance.uniform(2, 4))
        site.start(name)
        until(site.line.is_live, 60, every=0.1)
        until(lambda: bool(site.holder()), 60, every=0.1)
    return order


def run(seed: int, count: int | None = None) -> Table:
    """``count`` rounds."""
    if POSTGRESQL not in kinds():
        return Table("Deaths", [], "Left out: PostgreSQL and Redis did not answer.")
    chance = random.Random(seed)
    rounds = count or 3
    with Rig() as rig:
        line = rig.line(POSTGRESQL, FLEET)
        if "REDIS_URL" not in line.environment:
            return Table("Deaths", [], "Left out: Redis did not answer.")
        token = _token(line)
        site = Site(line)
        for name in ("worker 1", "worker 2", "web 1", "web 2"):
            site.start(name)
        until(line.is_live, 60)
        urls = [site.url(name) for name in site.ports]
        ids = [f"ES-{number:07}" for number in range(1, FLEET + 1)]
        clients = [Devices(urls, token, ids[half::2], random.Random(seed + half)) for half in (0, 1)]
        threads = [threading.Thread(target=one.report, daemon=True) for one in clients]
        for one in threads:
            one.start()
        order = [name for _round_number in range(rounds) for name in _round(site, chance)]
        last = time.monotonic()
        for client, thread in zip(clients, threads, strict=True):
            client.over.set()
            thread.join(30)
        measured = _wait_equal(line, EQUAL_WITHIN - (time.monotonic() - last))
        rows = _rows(line, clients, order, measured)
        # The control: nobody stands by, and nobody comes back.
        site.kill(next(name for name in ("worker 1", "worker 2") if name != site.holder()))
        site.kill(site.holder())
        with line.database.connected() as cursor:
            cursor.execute("UPDATE fleet_vehicle SET battery = 21 + battery % 70")
        control = _wait_equal(line, 15.0)
    rows.append(
        Row("control: no worker is left, partner and database after 15 s", POSTGRESQL,
            "differ" if control is None else "equal", "equal", control is None, control=True)
    )  # fmt: skip
    return Table("Deaths: two workers, two web processes, PostgreSQL and Redis", rows)


def _wait_equal(line: Line, seconds: float) -> float | None:
    began = time.monotonic()
    settled: Callable[[], bool] = lambda: line.is_equal() and not line.database.pending()  # noqa: E731
    try:
        until(settled, seconds, every=0.2)
    except TimeoutError:
        return None
    return time.monotonic() - began


def _rows(line: Line, clients: list[Devices], order: list[str], measured: float | None) -> list[Row]:
    stored = {row[0]: row[1] for row in line.database.rows("SELECT id, battery FROM fleet_vehicle")}
    acknowledged = {one: value for client in clients for one, value in client.acknowledged.items()}
    lost = sum(stored[one] != value for one, value in acknowledged.items())
    count = sum(client.batches for client in clients)
    failed = sum(client.failed for client in clients)
    wrong = [text for client in clients for text in client.wrong]
    both = overlap(line.ask("sockets"), time.monotonic())
    name = f"{len(order)} deaths ({', '.join(order[:4])}, …), {count} batches acknowledged, {failed} refused or cut"
    return [
        Row(f"{name}: vehicles whose acknowledged value is not in the database", POSTGRESQL, str(lost), "0",
            lost == 0 and count > 0),
        Row("answers that were neither 2xx nor a broken connection", POSTGRESQL, str(len(wrong)), "0", not wrong),
        Row("partner, database equal and all settled after the last death", POSTGRESQL,
            "never" if measured is None else f"after {measured:.1f} s", f"≤ {EQUAL_WITHIN:g} s", measured is not None),
        Row("vehicles that differ", POSTGRESQL, str(len(line.differences())), "0", not line.differences()),
        Row("two authenticated sockets at once", POSTGRESQL, f"{both:.3f} s", "0 s", both <= 0),
    ]  # fmt: skip
