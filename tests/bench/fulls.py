"""Fulls of large fleets: how fast against the floor, in how much memory, and over a slow uplink."""

from __future__ import annotations

import json
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.report import Row, Table, spread
from tests.bench.running import SQLITE, Line, Process, Rig, kinds, until

FLEET = 100_000
RATIO = 1.3
GROWTH = 64.0
"""MiB."""
SLOW = 400_000
"""Bytes a second."""


@dataclass(slots=True)
class Found:
    """Seconds from the query to the last byte at the receiver; the floor's likewise; MiB; the bytes of a full."""

    taken: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    growth: list[float] = field(default_factory=list)
    floor_growth: float = 0.0
    size: int = 0


def _fulls(line: Line) -> list[dict[str, float]]:
    return [one for one in line.ask("received") if one["command"] == "s_vehicle/full"]


def _entries(clocks: Path, stage: str, since: float) -> list[dict[str, float]]:
    entries = [json.loads(text) for text in clocks.read_bytes().splitlines() if text.endswith(b"}")]
    return [one for one in entries if one["stage"] == stage and one["began"] >= since]


def _full(line: Line, worker: Process, clocks: Path, begin: str, seconds: float) -> tuple[float, float, int]:
    """Have one full sent, by asking for it or by being there again: seconds, MiB of growth, and its size."""
    idle = worker.status("VmRSS")
    worker.reset_peak()
    since = time.monotonic()
    if begin == "listen":
        line.ask("listen")
    else:
        line.ask("say", command="s_vehicle/full_request", payload={"reason": "a measurement"})
    until(lambda: _fulls(line), seconds, every=0.05)
    # To its settling: what it holds until then is part of its price.
    until(lambda: _entries(clocks, "settle", since), seconds, every=0.1)
    full = _fulls(line)[0]
    line.ask("forget")
    return (
        full["ended"] - _entries(clocks, "read", since)[0]["began"],
        (worker.status("VmHWM") - idle) / 1024,
        int(full["size"]),
    )


def measure(kind: str, fleet: int, rounds: int, *, settled: bool, seconds: float = 300.0) -> Found:
    """The worker and the floor take turns. The first growth is that of the first full of a worker that never sent one."""
    found = Found()
    with Rig() as rig:
        line = rig.line(kind, fleet, settled=settled, listening=False, CITYTRIPS_SETTLE="0.5")
        clocks = rig.folder / "clocks"
        worker = line.worker("--clocks", str(clocks))
        until(lambda: "connecting" in worker.log.read_text(), 60)
        time.sleep(2)
        taken, grown, found.size = _full(line, worker, clocks, "listen", seconds)
        found.taken.append(taken)
        found.growth.append(grown)

        other = rig.line(kind, 1)
        floor = other.start("-m", "tests.bench.floor", DATABASE_URL=line.database.url)
        floor.line()
        idle = floor.status("VmRSS")
        for _turn in range(rounds):
            floor.tell()
            began, _returned = json.loads(floor.line(seconds))
            until(lambda: _fulls(other), seconds, every=0.05)
            found.floor.append(_fulls(other)[0]["ended"] - began)
            other.ask("forget")
            taken, grown, _size = _full(line, worker, clocks, "ask", seconds)
            found.taken.append(taken)
            found.growth.append(grown)
        found.floor_growth = (floor.status("VmHWM") - idle) / 1024
    return found


def _rows(kind: str, what: str, found: Found, *, ratio: bool) -> list[Row]:
    first, *others = found.taken
    relation = statistics.median(others) / statistics.median(found.floor)
    size = f"{found.size / 1e6:.1f} MB"
    rows = [
        Row(f"{what}, {size}: from the query to the last byte", kind, f"{spread(others)}; the first {first:.2f} s"),
        Row("floor: the driver's rows, orjson, one message", kind, spread(found.floor)),
        Row("ratio of the medians", kind, f"{relation:.2f}", f"≤ {RATIO}" if ratio else "", relation <= RATIO if ratio else None),
    ]  # fmt: skip
    most = max(found.growth)
    measured = f"{most:.0f} MiB at most; the first {found.growth[0]:.0f} MiB"
    bound = f"≤ {GROWTH:g} MiB" if ratio else ""
    rows.append(
        Row("growth of the worker's memory, to the settling", kind, measured, bound, most <= GROWTH if ratio else None)
    )
    if ratio:
        rows.append(
            Row("control: memory of the floor, which holds it whole", kind, f"{found.floor_growth:.0f} MiB", bound,
                found.floor_growth > GROWTH, control=True)
        )  # fmt: skip
    else:
        rows.append(Row("memory of the floor", kind, f"{found.floor_growth:.0f} MiB"))
    return rows


def run(seed: int, fleet: int = FLEET, rounds: int = 9) -> Table:
    rows = []
    for kind in kinds():
        for settled in (True, False):
            found = measure(kind, fleet, rounds if settled else 2, settled=settled)
            if settled:
                rows += _rows(kind, f"a full of {fleet:,}, held already", found, ratio=True)
            else:
                measured = f"{found.taken[0]:.2f} s; {found.growth[0]:.0f} MiB"
                name = f"the first full of {fleet:,} that are all pending and new: to the last byte; memory to the settling"
                rows.append(Row(name, kind, measured))
    return Table("Fulls", rows)


def run_million(seed: int, fleet: int = 1_000_000, rounds: int = 2) -> Table:
    rows = []
    for kind in kinds():
        rows += _rows(kind, f"a full of {fleet:,}", measure(kind, fleet, rounds, settled=True), ratio=False)
    return Table("A fleet of a million", rows)


# --- A slow uplink -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Slow:
    """What arrived at a slow receiver: when the first full had, the fulls and the connections until then and after."""

    seconds: float | None
    fulls: int
    connections: int
    change: float | None = None


def _slow(line: Line, fleet: int, chance: random.Random, *without: str, patience: float) -> Slow:
    worker = line.worker("--without", *without) if without else line.worker()
    line.wait_live(worker)
    began = time.monotonic()
    try:
        until(lambda: _fulls(line), patience, every=0.1)
    except TimeoutError:
        return Slow(None, 0, len(line.ask("sockets")))
    seconds = _fulls(line)[0]["ended"] - began
    number = chance.randint(1, fleet)
    with line.database.connected() as cursor:
        cursor.execute(f"UPDATE fleet_vehicle SET battery = 99 - battery % 50 WHERE id = 'ES-{number:07}'")
    changed = time.monotonic()
    until(lambda: line.ask("received")[-1]["command"] == "s_vehicle/incremental", 60, every=0.05)
    change = line.ask("received")[-1]["ended"] - changed
    time.sleep(15)  # for a second full, or a second connection
    return Slow(seconds, len(_fulls(line)), len(line.ask("sockets")), change)


def run_slow(seed: int, fleet: int = FLEET, patience: float = 120.0) -> Table:
    chance = random.Random(seed)
    slow = {"rate": SLOW}
    rows = []
    with Rig() as rig, ThreadPoolExecutor(3) as pool:
        asked = {
            kind: pool.submit(
                _slow, rig.line(kind, fleet, settled=True, partner=slow), fleet, chance, patience=patience
            )
            for kind in kinds()
        }
        line = rig.line(SQLITE, fleet, settled=True, partner=slow)
        control = pool.submit(_slow, line, fleet, chance, "streaming", "patience", patience=patience)
        for kind, one in asked.items():
            found = one.result()
            arrived = "never" if found.seconds is None else f"in {found.seconds:.0f} s"
            then = "" if found.change is None else f"; a change after it, {found.change:.1f} s"
            measured = f"{arrived}: {found.fulls} full, {found.connections} connection{then}"
            name = f"a full of {fleet:,} at {SLOW // 1000} kB/s, pings 10/10"
            rows.append(Row(name, kind, measured, "once, one connection", (found.fulls, found.connections) == (1, 1)))
        cut = control.result()
        measured = f"{'never' if cut.seconds is None else f'in {cut.seconds:.0f} s'}, {cut.connections} connections"
        name = (
            f"control: one frame, and pings that do not wait longer (`--without streaming patience`), {patience:.0f} s"
        )
        rows.append(Row(name, SQLITE, measured, "once, one connection", cut.connections > 1, control=True))
    return Table("A slow uplink", rows)
