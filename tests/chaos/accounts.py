"""Many identical requests for an account at once, on each database."""

from __future__ import annotations

import json
import time

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


def run(seed: int, count: int | None = None) -> Table:
    rows = []
    for kind in kinds():
        with Rig() as rig:
            database = rig.databases.make(kind, 1)
            began = time.monotonic()
            printed = run_program(
                "-c", _RACE, str(count or 100), str(REQUESTS), DATABASE_URL=database.url, VAR_DIR=str(rig.folder)
            )
            rounds, good, failed = json.loads(printed.splitlines()[-1])
        name = f"{rounds} rounds of {REQUESTS} identical s_user/new at once: rounds that end in one row and one id"
        measured = f"{good} of {rounds}, {failed} requests failed, {time.monotonic() - began:.0f} s"
        rows.append(Row(name, kind, measured, "all", good == rounds and failed == 0))
    note = "The control is in the suite: without the constraints the same race makes several (`tests/users`)."
    return Table("Accounts", rows, note)
