"""What a figure is measured on: databases, a partner that measures, workers and writers, each a process of its own."""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import psycopg

from tests import services

ROOT: Final = Path(__file__).parents[2]
Result = TypeVar("Result")

SQLITE: Final = "SQLite"
POSTGRESQL: Final = "PostgreSQL"

# What is offered, asked in words of its own rather than by the project's query.
OFFERED: Final = (
    "SELECT id, battery, plate, country, city, latitude, longitude FROM fleet_vehicle WHERE state = 'available' "
    "AND battery >= 20 AND latitude IS NOT NULL AND plate <> '' AND country IN ('Spain', 'Chile', 'Australia') "
    "AND NOT silent"
)


def kinds() -> list[str]:
    """The databases to measure on: PostgreSQL where it answers."""
    return [SQLITE, POSTGRESQL] if services.postgresql() else [SQLITE]


def until(probe: Callable[[], Result | None], seconds: float, every: float = 0.02) -> Result:
    """Ask again and again until the answer is true.

    :raises TimeoutError: it was not within so many seconds.
    """
    end = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s; the last answer was {answer!r}")
        time.sleep(every)
    return answer


# --- Databases ---------------------------------------------------------------------------------------------------


class Database:
    """One database of the project, by its address."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """A cursor of the bare driver, in autocommit."""
        if self.kind == SQLITE:
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), 30, isolation_level=None)) as connection:
                yield connection.cursor()
        else:
            with psycopg.connect(self.url, autocommit=True) as connection, connection.cursor() as cursor:
                yield cursor

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connected() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def value(self, statement: str) -> Any:
        return self.rows(statement)[0][0]

    def pending(self) -> int:
        return int(self.value("SELECT count(*) FROM fleet_vehicle WHERE version > settled_version"))

    def offered(self) -> dict[str, Any]:
        """What CityTrips is to hold, in its own shape."""
        return {
            row[0]: {
                "id": row[0],
                "battery": row[1],
                "plate": row[2],
                "country": row[3],
                "city": row[4],
                "location": {"latitude": row[5], "longitude": row[6]},
            }
            for row in self.rows(OFFERED)
        }


_numbers = itertools.count()


class Databases:
    """Makes databases with a fleet, each once and then by copying; gone at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._templates: dict[tuple[str, int, bool], Database] = {}
        self._made: list[str] = []
        self._lock = threading.Lock()

    def make(self, kind: str, fleet: int, *, settled: bool = False) -> Database:
        """A database with so many vehicles, all offered; pending, or ``settled`` as if CityTrips held them."""
        with self._lock:
            template = self._templates.get((kind, fleet, settled))
            if template is None:
                template = self._templates[kind, fleet, settled] = self._new(kind, None)
                run_program("manage.py", "migrate", "--verbosity", "0", DATABASE_URL=template.url)
                run_program(
                    "-m", "tests.bench.fill", str(fleet), *["--settled"] * settled, DATABASE_URL=template.url
                )  # fmt: skip
            return self._new(kind, template)

    def blank(self, kind: str) -> Database:
        """A database with the project's tables, and nothing in them."""
        database = self._new(kind, None)
        run_program("manage.py", "migrate", "--verbosity", "0", DATABASE_URL=database.url)
        return database

    def _new(self, kind: str, template: Database | None) -> Database:
        # Counted for the whole process: two rigs side by side must not drop each other's.
        name = f"bench_{os.getpid()}_{next(_numbers)}"
        if kind == SQLITE:
            path = self._folder / f"{name}.sqlite3"
            if template is not None:
                with template.connected() as cursor:
                    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                shutil.copyfile(template.url.removeprefix("sqlite:///"), path)
            return Database(kind, f"sqlite:///{path}")
        self._made.append(name)
        self._administer(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{_path(template)}"' if template else ""))
        return Database(kind, f"{_server()}/{name}")

    def close(self) -> None:
        for name in self._made:
            self._administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @staticmethod
    def _administer(statement: str) -> None:
        with psycopg.connect(f"{_server()}/postgres", autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]


def _server() -> str:
    address = urlsplit(services.postgresql() or services.LOCAL_POSTGRESQL)
    return f"{address.scheme}://{address.netloc}"


def _path(database: Database | None) -> str:
    return urlsplit(database.url).path.lstrip("/") if database else ""


# --- Processes ---------------------------------------------------------------------------------------------------


def variables(**more: str) -> dict[str, str]:
    """The environment of a process of the project: nothing of ours but what is given, and the defaults for the rest."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")}
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "backoffice.settings",
        "PYTHONPATH": str(ROOT),
        "ENV_FILE": "",
        "SECRET_KEY": f"a key for measurements of process {os.getpid()} only",  # nobody else on this Redis has it
        "IDENTITY_KEYS": "YSBrZXkgb2YgdGhpcnR5LXR3byBieXRlcywgZml4ZWQ=",
        "CITYTRIPS_CLIENT_ID": "a client",
        "CITYTRIPS_API_KEY": "a key",
        **more,
    }


def run_program(*arguments: str, **more: str) -> str:
    """Run a program of the project to its end; what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=variables(**more), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Process:
    """A running program whose log goes to a file."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output,
            )  # fmt: skip

    def line(self, seconds: float = 60.0) -> str:
        """The next line of its standard output."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise TimeoutError(
                f"nothing printed within {seconds:g} s; its log ends with {self.log.read_text()[-2000:]}"
            )
        text = self.process.stdout.readline().strip()
        if not text:
            raise RuntimeError(f"it has ended; its log ends with {self.log.read_text()[-2000:]}")
        return text

    def tell(self) -> None:
        """Give it a line on its standard input: a writer begins at the first and ends at the second."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def send(self, number: signal.Signals) -> float:
        """Send a signal; when."""
        at = time.monotonic()
        self.process.send_signal(number)
        return at

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        self.process.wait(30)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def status(self, name: str) -> int:
        """A size in KiB out of /proc: VmRSS, or VmHWM for the highest since :meth:`reset_peak`."""
        for text in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if text.startswith(name + ":"):
                return int(text.split()[1])
        raise KeyError(name)

    def reset_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


# --- The partner -------------------------------------------------------------------------------------------------


class Partner:
    """The program of ``tests.bench.partner`` and its control channel; one for each thread that uses it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._file = self._socket.makefile("rwb")
        self._lock = threading.Lock()

    def ask(self, what: str, line: str, **arguments: Any) -> Any:
        with self._lock:
            self._file.write(json.dumps({"do": what, "line": line, **arguments}).encode() + b"\n")
            self._file.flush()
            return json.loads(self._file.readline())

    def close(self) -> None:
        self._file.close()
        self._socket.close()


# --- A line ------------------------------------------------------------------------------------------------------


class Line:
    """One operator: a database, a port of the partner's, and the processes that work on it."""

    def __init__(self, rig: Rig, name: str, database: Database, partner: Partner, environment: dict[str, str]) -> None:
        self.rig = rig
        self.name = name
        self.database = database
        self.environment = environment
        self.partner = partner
        self.processes: list[Process] = []

    def ask(self, what: str, **arguments: Any) -> Any:
        """Something of the partner; see ``tests.bench.partner.Program``."""
        return self.partner.ask(what, self.name, **arguments)

    def start(self, *arguments: str, **more: str) -> Process:
        """Start a program of the project on this line."""
        log = self.rig.folder / f"{self.name}-{len(self.processes)}.log"
        process = Process(list(arguments), {**self.environment, **more}, log)
        self.processes.append(process)
        return process

    def worker(self, *arguments: str, **more: str) -> Process:
        return self.start("-m", "tests.bench.worker", *arguments, **more)

    def writer(self, how: str, *, rate: float, **more: object) -> Process:
        """A writer that is ready to begin."""
        options = [text for name, value in more.items() for text in (f"--{name}", str(value))]
        process = self.start("-m", "tests.bench.writer", how, "--rate", str(rate), *options)
        process.line()
        return process

    def is_live(self) -> bool:
        return any(authenticated and not ended for _accepted, authenticated, ended in self.ask("sockets"))

    def wait_live(self, worker: Process, seconds: float = 60.0) -> None:
        """Until there is an authenticated socket.

        :raises TimeoutError: with the end of the worker's log.
        """
        try:
            until(self.is_live, seconds, every=0.05)
        except TimeoutError as late:
            raise TimeoutError(f"not live; its log ends with {worker.log.read_text()[-2000:]}") from late

    def is_equal(self) -> bool:
        """Whether the partner holds what the database offers."""
        return bool(self.ask("holds") == self.database.offered())

    def differences(self) -> list[str]:
        """The vehicles that the partner lacks, holds as they no longer are, or should not hold."""
        held, offered = self.ask("holds"), self.database.offered()
        return sorted(one for one in held.keys() | offered.keys() if held.get(one) != offered.get(one))

    def close(self) -> None:
        """End every process, and forget what the partner has received."""
        for process in self.processes:
            if process.process.poll() is None:
                process.end()
        self.ask("leave")
        self.ask("forget")


class Rig:
    """Everything that a run starts; all of it ends with the block."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        (self.folder / "static").mkdir()
        self._numbers = itertools.count(1)
        self.databases = Databases(self.folder)
        self._stack.callback(self.databases.close)
        self._program = Process(["-m", "tests.bench.partner"], variables(), self.folder / "partner.log")
        self._stack.callback(self._program.end)
        self._port = int(self._program.line())
        self.redis = services.redis()
        self._lines: list[Line] = []
        self._stack.callback(self.close_lines)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def close_lines(self) -> None:
        """End the lines there are, to go on with others."""
        while self._lines:
            one = self._lines.pop()
            one.close()
            one.partner.close()

    def line(
        self, kind: str, fleet: int, *, settled: bool = False, listening: bool = True, redis: bool = True,
        partner: dict[str, Any] | None = None, **more: str,
    ) -> Line:  # fmt: skip
        """A new line: a fleet of so many, and a partner with these variables that listens or is still away."""
        number = next(self._numbers)
        name = f"line{number}"
        database = self.databases.make(kind, fleet, settled=settled)
        control = Partner(self._port)
        port = control.ask("open", name, **(partner or {}))
        if not listening:
            control.ask("leave", name)
        given = {"DATABASE_URL": database.url, "CITYTRIPS_URL": f"ws://127.0.0.1:{port}", "VAR_DIR": str(self.folder)}
        if self.redis and redis:
            # A database of Redis each, so that none takes the other's hints.
            given["REDIS_URL"] = self.redis.rsplit("/", 1)[0] + f"/{1 + number % 15}"
        line = Line(self, name, database, control, variables(**given, **more))
        self._lines.append(line)
        return line
