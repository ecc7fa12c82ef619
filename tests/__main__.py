"""``python -m tests``: the linters, then the whole suite on each kind of database and channel layer that is at hand.

The first run is on SQLite and the in-memory layer. Where PostgreSQL and Redis answer (``TEST_DATABASE_URL``,
``TEST_REDIS_URL``, or the usual local ports), the same tests run on them as well. Arguments are handed to pytest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import services
from tests.browser import chromium

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTEST = [sys.executable, "-m", "pytest"]
FEW, TIMES = 3, 3

LINTERS = [
    ["ruff", "check", "--quiet", "."],
    ["ruff", "format", "--check", "--quiet", "."],
    ["mypy", "--no-error-summary", "manage.py", "backoffice", "fleet", "users", "itineraries"],
    ["djlint", "--lint", "--quiet", "templates"],
]


def run(title: str, command: list[str], variables: dict[str, str], folder: Path = ROOT) -> int:
    """Run one thing under its title; its exit status."""
    sys.stdout.write(f"\n== {title}\n")
    sys.stdout.flush()
    started = time.monotonic()
    status = subprocess.run(command, cwd=folder, env={**os.environ, **variables}, check=False).returncode
    sys.stdout.write(f"-- {title}: {'passed' if status == 0 else 'FAILED'} in {time.monotonic() - started:.0f} s\n")
    sys.stdout.flush()
    return status


def tried(title: str, arguments: list[str], variables: dict[str, str], folder: Path = ROOT) -> bool:
    """Run tests; up to ``FEW`` that failed run again by themselves, and have to pass ``TIMES`` times in a row.

    What waits for real processes, sockets and browsers may exceed its limit while others keep the machine busy. A test that is
    wrong, or shows a fault, fails again; one that passes is named as unstable, and wants mending all the same.
    """
    with tempfile.TemporaryDirectory() as cache:
        status = run(title, [*PYTEST, *arguments, "-o", f"cache_dir={cache}"], variables, folder)
        if status != 1:  # passed, or something else than a test went wrong
            return status == 0
        failed = list(json.loads(Path(cache, "v", "cache", "lastfailed").read_text()))
    if len(failed) > FEW:
        return False
    for turn in range(1, TIMES + 1):
        alone = f"{title}, alone, {turn} of {TIMES}: {' '.join(failed)}"
        if run(alone, [*PYTEST, *failed], variables, folder) != 0:
            return False
    sys.stdout.write(f"-- {title}: passed, but UNSTABLE: {' '.join(failed)}\n")
    return True


def lint() -> bool:
    # All of them, so that one round shows everything there is to mend.
    return all([run(command[0], [str(BIN / command[0]), *command[1:]], {}) == 0 for command in LINTERS])


def suite(arguments: list[str]) -> bool:
    variables: dict[str, str] = {}
    if path := chromium.find_or_install():
        variables["CHROMIUM"] = str(path)
    else:
        sys.stdout.write("The browser tests are left out: no Chromium was found, and none could be installed.\n")
        arguments = [*arguments, "--ignore=tests/browser"]
    arguments = ["-n", os.environ.get("TEST_PROCESSES", "auto"), "--dist", "loadfile", *arguments]
    passed = tried("SQLite, in-memory layer", arguments, {**variables, "TEST_DATABASE_URL": "", "TEST_REDIS_URL": ""})

    database, redis = services.postgresql(), services.redis()
    if database and redis:
        both = {"TEST_DATABASE_URL": database, "TEST_REDIS_URL": redis}
        return tried("PostgreSQL, Redis", arguments, {**variables, **both}) and passed
    away = " and ".join(name for name, url in (("PostgreSQL", database), ("Redis", redis)) if not url)
    sys.stdout.write(f"The suite ran on SQLite only: {away} did not answer.\n")
    return passed


if __name__ == "__main__":
    given = sys.argv[1:]
    good = lint()
    if given != ["--lint-only"]:
        good = suite(given) and good
    sys.exit(0 if good else 1)
