"""From the commit of a change to its arrival at the partner, at a steady rate."""

from __future__ import annotations

import json

from tests.bench.report import Row, Table, percentile
from tests.bench.running import POSTGRESQL, Rig, kinds, until

RATE = 50
FLEET = 1000
P50, P99 = 0.4, 1.0


def measure(kind: str, seconds: float, seed: int, *without: str) -> list[float]:
    """Seconds from commit to arrival, of each change; the writer is another process than the worker."""
    with Rig() as rig:
        # SQLite goes with one process and no Redis: what other processes change, the worker is not told of.
        line = rig.line(kind, FLEET, settled=True, redis=kind == POSTGRESQL, partner={"keep_arrivals": True})
        if without:
            line.worker("--without", *without)
        elif "REDIS_URL" in line.environment:
            line.start("manage.py", "runworker", "citytrips")
        else:
            line.start("manage.py", "serve", "--port", "0")
        writer = line.writer("changes", rate=RATE, count=round(RATE * seconds), seed=seed)
        until(lambda: line.ask("counts")["held"] == FLEET, 30)
        writer.tell()
        committed = json.loads(writer.line(seconds * 2 + 60))
        until(line.is_equal, 30)
        arrived = {(vehicle, latitude): at for vehicle, latitude, at in line.ask("arrivals")}
    # A change that was overtaken by the next one of the same vehicle has arrived with that; there are none at this rate.
    return [arrived[vehicle, latitude] - at for vehicle, latitude, at in committed]


def run(seed: int, seconds: float = 60.0) -> Table:
    rows = []
    for kind in kinds():
        taken = measure(kind, seconds, seed)
        p50, p99 = percentile(taken, 0.5), percentile(taken, 0.99)
        on = f"{kind}, {'runworker and Redis' if kind == POSTGRESQL else 'serve'}"
        count = f"n = {len(taken)}"
        rows.append(Row("commit → partner, p50", on, f"{p50:.3f} s ({count})", f"≤ {P50} s", p50 <= P50))
        rows.append(Row("commit → partner, p99", on, f"{p99:.3f} s ({count})", f"≤ {P99:g} s", p99 <= P99))
        control = measure(kind, seconds / 3, seed, "wake")
        p50 = percentile(control, 0.5)
        name = "control: no wake-ups (`--without wake`), p50"
        rows.append(Row(name, kind, f"{p50:.3f} s (n = {len(control)})", f"≤ {P50} s", p50 > P50, control=True))
    return Table(f"Latency at {RATE} changes a second", rows)
