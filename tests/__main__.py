"""``python -m tests``: the linters, then the whole suite on each kind of database and channel layer that is at hand.

The first run is on SQLite and the in-memory layer. Where PostgreSQL and Redis answer (``TEST_DATABASE_URL``,
``TEST_REDIS_URL``, or the usual local ports), the same tests run on them as well. Arguments are handed to pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests import services
from tests.browser import chromium

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

LINTERS = [
    ["ruff", "check", "--quiet", "."],
    ["ruff", "format", "--check", "--quiet", "."],
    ["mypy", "--no-error-summary", "manage.py", "backoffice", "fleet", "users", "itineraries"],
    ["djlint", "--lint", "--quiet", "templates"],
]


def run(title: str, command: list[str], variables: dict[str, str]) -> bool:
    sys.stdout.write(f"\n== {title}\n")
    sys.stdout.flush()
    started = time.monotonic()
    status = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False).returncode
    sys.stdout.write(f"-- {title}: {'passed' if status == 0 else 'FAILED'} in {time.monotonic() - started:.0f} s\n")
    sys.stdout.flush()
    return status == 0


def lint() -> bool:
    # All of them, so that one round shows everything there is to mend.
    return all([run(command[0], [str(BIN / command[0]), *command[1:]], {}) for command in LINTERS])


def suite(arguments: list[str]) -> bool:
    variables: dict[str, str] = {}
    if path := chromium.find_or_install():
        variables["CHROMIUM"] = str(path)
    else:
        sys.stdout.write("The browser tests are left out: no Chromium was found, and none could be installed.\n")
        arguments = [*arguments, "--ignore=tests/browser"]
    pytest = [sys.executable, "-m", "pytest", "-n", os.environ.get("TEST_PROCESSES", "auto"), "--dist", "loadfile"]
    pytest += arguments
    passed = run("SQLite, in-memory layer", pytest, {**variables, "TEST_DATABASE_URL": "", "TEST_REDIS_URL": ""})

    database, redis = services.postgresql(), services.redis()
    if database and redis:
        both = {"TEST_DATABASE_URL": database, "TEST_REDIS_URL": redis}
        return run("PostgreSQL, Redis", pytest, {**variables, **both}) and passed
    away = " and ".join(name for name, url in (("PostgreSQL", database), ("Redis", redis)) if not url)
    sys.stdout.write(f"The suite ran on SQLite only: {away} did not answer.\n")
    return passed


if __name__ == "__main__":
    given = sys.argv[1:]
    good = lint()
    if given != ["--lint-only"]:
        good = suite(given) and good
    sys.exit(0 if good else 1)
