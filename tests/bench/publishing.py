"""What publishing adds to the partner's own time: the checks, the two commits, the thread and the reading of the answer."""

from __future__ import annotations

import json
import socket
import statistics
import time
from typing import Any

from tests.bench.report import Row, Table, percentile
from tests.bench.running import Rig, kinds, run_program
from tests.itineraries.servers import serving, success

PARTNER = 0.05  # seconds that the partner takes to answer
BOUND = 30.0  # milliseconds


def measure(kind: str, count: int) -> dict[str, Any]:
    """For each size of document the seconds of publishing and of the bare request, taken in turns."""

    def answers(connection: socket.socket) -> None:
        time.sleep(PARTNER)
        connection.sendall(success())

    with Rig() as rig, serving(answers) as server:
        database = rig.databases.make(kind, 1)
        printed = run_program(
            "-m", "tests.bench.publisher", server.url, str(count), DATABASE_URL=database.url, VAR_DIR=str(rig.folder)
        )
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def run(_seed: int, count: int = 100) -> Table:
    rows = []
    for kind in kinds():
        for name, found in measure(kind, count).items():
            for what, share in (("median", 0.5), ("p95", 0.95)):
                taken, floor = (
                    1000 * (statistics.median(found[of]) if share == 0.5 else percentile(found[of], share))
                    for of in ("taken", "floor")
                )
                measured = f"{taken - floor:.1f} ms ({taken:.1f} beside {floor:.1f} of the bare request)"
                figure = f"publishing adds, {what}, {name} ({found['bytes'] // 1024 + 1} KiB, n = {count})"
                rows.append(Row(figure, kind, measured, f"≤ {BOUND:g} ms", taken - floor <= BOUND))
    note = f"The floor is `requests.post` of the same bytes to the same server, which takes {1000 * PARTNER:g} ms to answer."
    return Table("Publishing", rows, note)
