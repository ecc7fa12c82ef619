"""The whole site in a process of its own, on the test's database, as ``manage.py serve`` runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import requests
from django.conf import settings
from django.db import connection
from django.test import Client

ROOT = Path(__file__).parents[2]
Result = TypeVar("Result")

# Short times, so that a test of what comes after them is short as well.
QUICK = {
    "CITYTRIPS_CLIENT_ID": "a client",
    "CITYTRIPS_API_KEY": "a key",
    "CITYTRIPS_SETTLE": "0.3",
    "CITYTRIPS_FLUSH_INTERVAL": "0.05",
    "CITYTRIPS_LEASE": "2",
}


def database_url() -> str:
    """The address of the database that the running test uses."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    user = ":".join(quote(database[part], safe="") for part in ("USER", "PASSWORD") if database[part])
    return f"postgres://{user}@{database['HOST']}:{database['PORT'] or 5432}/{database['NAME']}"


def variables(**more: str) -> dict[str, str]:
    """The environment of a process that shares the test's database and keys and has no ``.env``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CITYTRIPS_", "CRUSOE_"))}
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "backoffice.settings",
        "ENV_FILE": "",
        "SECRET_KEY": settings.SECRET_KEY,
        "SANDBOX": "true",
        "SITE_URL": "http://127.0.0.1:8000",
        "DATABASE_URL": database_url(),
        **QUICK,
        **more,
    }


def manage(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one command of ``manage.py`` to its end."""
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=variables(**more), capture_output=True, text=True, timeout=100, check=False
    )


def _heed_interrupts() -> None:
    """A run in the background hands an ignored SIGINT on to every child; a program at a terminal heeds it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Site:
    """A running ``serve``."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log
        self.url = ""
        self.session = requests.Session()
        self.session.trust_env = False

    @property
    def websocket_url(self) -> str:
        """The simulated CityTrips' address."""
        return f"ws://{urlsplit(self.url).netloc}/sandbox/citytrips/v1"

    @property
    def output(self) -> str:
        return self.log.read_text()

    def login(self, user: Any) -> None:
        """Be this person from now on, with every permission: the sandbox's buttons ask for some."""
        user.is_superuser = True
        user.save(update_fields=["is_superuser"])
        client = Client()
        client.force_login(user, backend="users.backends.UsernameOrEmailBackend")
        self.session.cookies.set("sessionid", client.cookies["sessionid"].value)
        self.session.cookies.set("csrftoken", "c" * 32)

    def get(self, path: str) -> requests.Response:
        return self.session.get(self.url + path, timeout=30, allow_redirects=False)

    def partner_does(self, action: str) -> None:
        """Press a button of the console."""
        answer = self.session.post(
            f"{self.url}/sandbox/citytrips/{action}/",
            headers={"X-CSRFToken": "c" * 32},
            timeout=30,
            allow_redirects=False,
        )
        assert answer.status_code == 302, answer.status_code

    def partner_holds(self, word: str = "") -> dict[str, int]:
        """The vehicles that the simulated CityTrips holds and that match: id → battery."""
        page = self._console(f"?q={word}")
        rows = re.findall(r"<td><code>([^<]+)</code></td>.*?<td class=\"n\">(\d+) %", page, re.DOTALL)
        return {vehicle: int(battery) for vehicle, battery in rows}

    def partner_received(self, command: str) -> int:
        """How many of the last messages were of this command."""
        return self._console().count(f"<code>{command}</code>")

    def _console(self, query: str = "") -> str:
        answer = self.get(f"/sandbox/citytrips/{query}")
        assert answer.status_code == 200, answer.status_code
        return answer.text

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; the exit status, and how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(timeout=60), time.monotonic() - began


@contextmanager
def serving(**more: str) -> Iterator[Site]:
    """``serve`` on a free port, from when it listens until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--port", "0"],
                cwd=ROOT, env=variables(**more), stdout=output, stderr=output, text=True, preexec_fn=_heed_interrupts,
            )  # fmt: skip
            site = Site(process, log)
            try:
                found = until(lambda: re.search(r"Listening on (http://127\.0\.0\.1:\d+)/", site.output), 60)
                site.url = found.group(1)
                yield site
            finally:
                process.kill()
                process.wait()
                print(site.output)  # shown with a test that fails


@contextmanager
def simulator() -> Iterator[Site]:
    """A simulated CityTrips whose own worker stays out of the way: it has an empty database, and so no lease."""
    with tempfile.TemporaryDirectory() as folder, serving(DATABASE_URL=f"sqlite:///{folder}/empty.sqlite3") as site:
        yield site


def soon(measure: Callable[[], float], bound: float, tries: int = 4) -> None:
    """One of a few measurements is within the bound: what else the machine does meanwhile is not the site's doing."""
    taken: list[float] = []
    while not taken or taken[-1] >= bound:
        assert len(taken) < tries, f"not within {bound:g} s: {taken}"
        taken.append(measure())


def until(probe: Callable[[], Result | None], seconds: float) -> Result:
    """Ask again and again until the answer is true; it, or a failure after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {seconds:g} s; the last answer was {answer!r}"
        time.sleep(0.05)
