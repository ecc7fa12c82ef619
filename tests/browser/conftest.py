"""The whole program, served as its users start it, and a real browser in front of it.

``site`` prepares a database of its own with the demo data and starts ``manage.py serve``: web, worker and both
simulators in one process, on a free port. ``page`` is a browser's page that fails its test on any error of a script
and on anything that the content security policy refused.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from tests.browser import chromium

ROOT = Path(__file__).resolve().parents[2]
expect.set_options(timeout=20_000)  # a busy machine takes its time
LISTENING = re.compile(r"Listening on (http://\S+?)/?\s")


@dataclass
class Site:
    """A running program: where it answers, and how a person gets in."""

    url: str
    variables: dict[str, str]
    var: Path
    process: subprocess.Popen[str]

    @property
    def password(self) -> str:
        return (self.var / "demo_password").read_text().strip()

    def login(self, page: Page, username: str = "ana", password: str | None = None) -> None:
        page.goto(self.url + "/login/")
        page.fill("input[name=username]", username)
        page.fill("input[name=password]", password or self.password)
        page.click("main button[type=submit]")
        page.wait_for_url(lambda url: "/login" not in url)

    def manage(self, *arguments: str) -> str:
        """Run a manage.py command on the same data; its output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @cached_property
    def ids(self) -> dict[str, Any]:
        """Primary keys of the demo data: ``vehicle``, ``person``, and ``itineraries`` by title."""
        return json.loads(
            self.manage(
                "shell",
                "--no-imports",
                "-c",
                "import json\n"
                "from fleet.models import Vehicle\n"
                "from users.models import User\n"
                "from itineraries.models import Itinerary\n"
                "print(json.dumps({'vehicle': Vehicle.objects.order_by('pk').first().pk,"
                " 'person': User.objects.order_by('pk').last().pk,"
                " 'itineraries': {one.title: str(one.pk) for one in Itinerary.objects.all()}}))",
            ).splitlines()[-1]
        )

    @property
    def vehicle_id(self) -> str:
        return self.ids["vehicle"]

    @property
    def itinerary_id(self) -> str:
        return self.ids["itineraries"]["Trip to Barcelona"]


def _database(scratch: Path) -> tuple[str, Callable[[], None]]:
    """The address of an empty database, on the server that the run uses, and what removes it."""
    server = os.environ.get("TEST_DATABASE_URL")
    if not server:
        return f"sqlite:///{scratch}/site.sqlite3", lambda: None
    name = f"backoffice_browser_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")

    def drop() -> None:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    return server.rsplit("/", 1)[0] + "/" + name, drop


def _redis() -> str:
    """A Redis database that no test of this process uses: this worker would take the hints meant for theirs."""
    server, _slash, number = os.environ.get("REDIS_URL", "").rpartition("/")
    return f"{server}/{16 - int(number)}" if server else ""


def _start(variables: dict[str, str], log: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=log.open("w"),
        text=True,
    )
    assert process.stdout is not None
    until, seen = time.monotonic() + 60, ""
    while time.monotonic() < until:
        if select.select([process.stdout], [], [], 0.2)[0]:
            line = process.stdout.readline()
            seen += line
            if match := LISTENING.search(line):
                return process, match.group(1)
        if process.poll() is not None:
            break
    process.kill()
    raise AssertionError(f"the program did not start:\n{seen}\n{log.read_text()}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Show with a test that failed what its page said, and what the program logged meanwhile."""
    report = yield
    used = getattr(item, "funcargs", {})
    site, page = used.get("site"), used.get("page")
    log = site and site.var / "serve.log"
    if report.failed and report.when == "call" and page:
        try:
            words = page.locator("body").inner_text(timeout=2_000)
        except PlaywrightError as error:
            words = f"(cannot be read: {error})"
        report.sections.append(("what the page said", f"{page.url}\n{words[:4000]}"))
    if report.failed and log and log.is_file():
        report.sections.append(("what the program logged", log.read_text()[-8000:]))
    return report


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    scratch = tmp_path_factory.mktemp("site")
    database, drop = _database(scratch)
    variables = {
        "DJANGO_SETTINGS_MODULE": "backoffice.settings",
        "ENV_FILE": "",
        "VAR_DIR": str(scratch),
        "SECRET_KEY": os.environ["SECRET_KEY"] + " in a browser",
        "IDENTITY_KEYS": "a-key-for-tests-only-and-never-for-pictures=",
        "SANDBOX": "true",
        "SITE_URL": "http://127.0.0.1:8000",
        "DATABASE_URL": database,
        "REDIS_URL": _redis(),
        "CITYTRIPS_CLIENT_ID": "operator",
        "CITYTRIPS_API_KEY": "an invented key",
        "CRUSOE_API_KEY": "another invented key",
        "EMAIL_URL": f"filemail://{scratch}/mail",
        "MAP_TILES_URL": "https://tiles.invalid/{z}/{x}/{y}.png",  # a host that no test can reach by mistake
        "PYTHONUNBUFFERED": "1",
    }
    try:
        prepared = subprocess.run(
            [sys.executable, "manage.py", "prepare"],
            cwd=ROOT,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        assert prepared.returncode == 0, prepared.stdout + prepared.stderr
        log = scratch / "serve.log"
        process, url = _start(variables, log)
        yield Site(url=url, variables={**variables, "SITE_URL": url}, var=scratch, process=process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0, log.read_text()
    finally:
        drop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium.find()
    if path is None:
        pytest.fail("no Chromium: `python -m tests` installs one, or leaves these tests out and says so")
    # Closed with its module: while Playwright runs, no other test of this process may start an event loop.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(path), args=chromium.ARGUMENTS)
        yield browser
        browser.close()


def watch(page: Page) -> list[str]:
    """Collect what went wrong on a page: script errors, refusals by the policy, answers of 500 and above."""
    complaints: list[str] = []

    def console(message: ConsoleMessage) -> None:
        # A 4xx answer is reported here too; whether it was wanted is for the test to say.
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(f"{page.url}: console: {message.text}")

    page.on("console", console)
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: script: {error}"))
    page.on(
        "response",
        lambda response: complaints.append(f"{response.url}: {response.status}") if response.status >= 500 else None,
    )
    return complaints


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1366, "height": 900}, locale="en-GB", reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(30_000)
    complaints = watch(page)
    yield page
    # With its context: a single page that is closed while it navigates may stay open for ever in Chromium.
    context.close()
    assert not complaints, "\n".join(complaints)
