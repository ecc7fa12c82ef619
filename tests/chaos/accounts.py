"""Many identical requests for an account at once, on each database."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

from tests.bench.report import Row, Table
from tests.bench.running import Rig, kinds, run_program

REQUESTS = 50

# ``race`` needs Django, and the harness has none: it works on many databases at once.
_RACE = """
import json, sys
import django
django.setup()
from tests.users.test_accounts_concurrency import race
rounds = race(rounds=int(sys.argv[1]), requests=int(sys.argv[2]))
print(json.dumps([len(rounds), sum(one.is_one for one in rounds), sum(one.failed for one in rounds)]))
"""


def _race(kind: str, rounds: int) -> Row:
    with Rig() as rig:
        database = rig.databases.make(kind, 1)
        began = time.monotonic()
        printed = run_program(
            "-c", _RACE, str(rounds), str(REQUESTS), DATABASE_URL=database.url, VAR_DIR=str(rig.folder)
        )
        ended, good, failed = json.loads(printed.splitlines()[-1])
    name = f"{ended} rounds of {REQUESTS} identical s_user/new at once: rounds that end in one row and one id"
    measured = f"{good} of {ended}, {failed} requests failed, {time.monotonic() - began:.0f} s"
    return Row(name, kind, measured, "all", good == rounds and failed == 0)


def run(seed: int, count: int | None = None) -> Table:
    """Both databases side by side."""
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda kind: _race(kind, count or 100), kinds()))
    note = "The control is in the suite: without the constraints the same race makes several (`tests/users`)."
    return Table("Accounts", rows, note)
