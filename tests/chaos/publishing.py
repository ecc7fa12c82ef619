"""A partner that fails in every way, drawn at random, and processes that are killed while they publish."""

from __future__ import annotations

import json
import random
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from tests.bench.report import Row, Table
from tests.bench.running import Process, Rig, kinds, run_program, until, variables
from tests.itineraries.servers import serving, success

DEADLINE = 0.3
GRACE = 1.0

# The harness has no Django: it works on many databases at once.
_FAULTS = """
import json, sys
import django
django.setup()
from tests.itineraries.random_faults import as_json, run
print(json.dumps(as_json(run(seed=int(sys.argv[1]), count=int(sys.argv[2])))))
"""
_PUBLISH = """
import sys
import django
django.setup()
from itineraries import publishing, services
from tests.itineraries.strategies import wire
made = services.itinerary_create(user=None, document=wire("trip"))
print(made.pk, flush=True)
sys.stdin.readline()
publishing.publish(itinerary_id=made.pk, user=None)
"""
_RESTART = """
import json
import django
django.setup()
from itineraries.errors import AttemptUnderWay
from itineraries.models import Itinerary, Publication
from itineraries.publishing import publish, sweep
sweep()
found = {}
for made in Itinerary.objects.all():
    states = list(Publication.objects.filter(itinerary=made).values_list("state", flat=True))
    refused = None
    if "unknown" in states:
        try:
            publish(itinerary_id=made.pk, user=None)
            refused = False
        except AttemptUnderWay:
            refused = True
    found[str(made.pk)] = [states, refused]
print(json.dumps(found))
"""


def faults(rig: Rig, kind: str, seed: int, count: int) -> list[Row]:
    database = rig.databases.make(kind, 1)
    printed = run_program("-c", _FAULTS, str(seed), str(count), DATABASE_URL=database.url, VAR_DIR=str(rig.folder))
    found = json.loads(printed.splitlines()[-1])
    states = ", ".join(f"{state} {number}" for state, number in sorted(found["states"].items()))
    wrong = found["wrong"]
    return [
        Row(f"{found['attempts']} attempts at {found['kinds']} kinds of faults: ended as they must not", kind,
            f"{len(wrong)}{': ' + '; '.join(wrong[:3]) if wrong else ''} ({states})", "0", not wrong),
        Row("POSTs of one attempt, the most", kind, str(found["most_posts"]), "≤ 1", found["most_posts"] <= 1),
        Row(f"the longest attempt, with a deadline of {DEADLINE} s", kind, f"{found['longest']:.2f} s",
            f"≤ {DEADLINE + GRACE:g} s", found["longest"] <= DEADLINE + GRACE),
    ]  # fmt: skip


def kill(rig: Rig, kind: str, seed: int, count: int) -> Row:
    """SIGKILL at a random moment of publishing; the partner answers after 0.2 s. Then a new process looks."""
    chance = random.Random(seed)
    delays = [chance.uniform(0, 0.3) for _number in range(count)]

    def late(connection: socket.socket) -> None:
        time.sleep(0.2)
        connection.sendall(success())

    with serving(late) as server:
        given = {
            "DATABASE_URL": rig.databases.make(kind, 1).url, "VAR_DIR": str(rig.folder), "CRUSOE_API_URL": server.url,
            "CRUSOE_API_KEY": "a key", "CRUSOE_TIMEOUT": "1",
        }  # fmt: skip

        def one(number: int) -> str:
            process = Process(["-c", _PUBLISH], variables(**given), rig.folder / f"{kind}-kill-{number}.log")
            made = process.line()
            process.tell()
            time.sleep(delays[number])
            process.end(signal.SIGKILL)
            return made

        with ThreadPoolExecutor(2) as pool:
            made = list(pool.map(one, range(count)))
        posts = len(server.requests)
        found = after(given)
    lost = [one for one in made if len(found[one][0]) > 1 or found[one][0] in (["sending"], ["rejected"])]
    again = [one for one in made if found[one][1] is False]
    rows = sum(len(states) for states, _refused in found.values())
    unknown = sum(states == ["unknown"] for states, _refused in found.values())
    measured = f"{len(lost) + len(again)} wrong; {posts} POSTs, {rows} rows, {unknown} unknown after the restart"
    good = not lost and not again and posts <= rows
    return Row(f"{count} processes killed while they publish: a POST without a row, or one that could be repeated",
               kind, measured, "0", good)  # fmt: skip


def after(given: dict[str, str]) -> dict[str, tuple[list[str], bool | None]]:
    """What a new process finds once the longest attempt would have ended."""

    def look() -> dict[str, tuple[list[str], bool | None]] | None:
        found = json.loads(run_program("-c", _RESTART, **given).splitlines()[-1])
        return None if any("sending" in states for states, _refused in found.values()) else found

    return until(look, 60, every=1)


def run(seed: int, count: int | None = None) -> Table:
    """The faults on both databases side by side, then the kills."""
    number = count or 1000
    with Rig() as rig:
        with ThreadPoolExecutor(2) as pool:
            made = pool.map(lambda kind: faults(rig, kind, seed, number), kinds())
            rows = [row for found in made for row in found]
        rows += [kill(rig, kind, seed, max(4, number // 50)) for kind in kinds()]
    note = "The controls are in the suite (`tests/itineraries/test_random_faults.py`): each safeguard off does harm."
    return Table("Publishing to a partner that fails", rows, note)
