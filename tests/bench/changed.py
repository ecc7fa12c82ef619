"""A thousand changes, in a small fleet and in a large one."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.report import Row, Table, spread
from tests.bench.running import SQLITE, Line, Process, Rig, kinds, until

CHANGED = 1000
BOUND = 1.2
STAGES = ("look", "collect", "send", "settle")
# Gathering would be nine tenths of the time until CityTrips has them, and the same in any fleet.
SETTINGS = {"CITYTRIPS_FLUSH_INTERVAL": "0.01", "CITYTRIPS_SETTLE": "0.3", "CITYTRIPS_FULL_EVERY": "0"}


def change(line: Line, numbers: list[int], battery: int) -> float:
    """Change so many vehicles in one statement, which the triggers count; the seconds that the database took."""
    ids = ", ".join(f"'ES-{number:07}'" for number in numbers)
    with line.database.connected() as cursor:
        began = time.monotonic()
        cursor.execute(f"UPDATE fleet_vehicle SET battery = {battery} WHERE id IN ({ids})")
        return time.monotonic() - began


def stages(clocks: Path, offset: int) -> dict[str, float]:
    """How long each stage took for what was sent since ``offset``: of the looks, the one that found it."""
    taken: dict[str, float] = {}
    entries = [json.loads(text) for text in clocks.read_bytes()[offset:].splitlines()]
    look = None
    for entry in entries:
        length = entry["ended"] - entry["began"]
        if entry["stage"] == "look":
            look = length
        elif entry["stage"] in STAGES:
            taken[entry["stage"]] = taken.get(entry["stage"], 0.0) + length
            if entry["stage"] == "collect" and look is not None:
                taken["look"] = taken.get("look", 0.0) + look
    return taken


def round_of(line: Line, writer: Process, clocks: Path, fleet: int, chance: random.Random) -> dict[str, float]:
    """One thousand changes from the look to the settlement, by stage, and from their commit to CityTrips; all must arrive."""
    offset = clocks.stat().st_size
    numbers = chance.sample(range(1, fleet + 1), CHANGED)
    floor = change(line, numbers, chance.randint(20, 100))
    committed = time.monotonic()
    writer.tell()
    until(lambda: line.database.pending() == 0, 60, every=0.1)
    until(lambda: b'"settle"' in clocks.read_bytes()[offset:], 60)
    told = line.ask("received")[-1]["ended"] - committed
    return {**stages(clocks, offset), "floor": floor, "told": told}


def measure(kind: str, small: int, large: int, rounds: int, seed: int) -> dict[int, list[dict[str, float]]]:
    """Rounds in both fleets, taking turns, so that both meet the same weather."""
    chance = random.Random(seed)
    result: dict[int, list[dict[str, float]]] = {small: [], large: []}
    with Rig() as rig:
        lines = {}
        for fleet in (small, large):
            line = rig.line(kind, fleet, settled=True, **SETTINGS)
            clocks = rig.folder / f"clocks-{fleet}"
            # The full that follows authentication is another figure.
            line.wait_live(line.worker("--clocks", str(clocks), "--without", "full"))
            lines[fleet] = line, line.writer("hints", rate=1), clocks
        for turn in range(rounds + 2):
            for fleet, (line, writer, clocks) in lines.items():
                taken = round_of(line, writer, clocks, fleet, chance)
                if turn >= 2:  # the first two fill the caches
                    result[fleet].append(taken)
    return result


def compared(
    name: str, kind: str, found: dict[int, list[dict[str, float]]], stages: Sequence[str], bound: float | None = None
) -> list[Row]:
    """How long these stages take together in each fleet, and how many times longer in the larger one."""
    taken = {fleet: [sum(one[stage] for stage in stages) * 1000 for one in each] for fleet, each in found.items()}
    rows = [Row(f"{name}, of {fleet:,}", kind, spread(each, "ms", 0)) for fleet, each in taken.items()]
    ratio = statistics.median(taken[max(taken)]) / statistics.median(taken[min(taken)])
    if bound is None:
        return [*rows, Row("their ratio", kind, f"{ratio:.2f}")]
    return [*rows, Row("their ratio", kind, f"{ratio:.2f}", f"≤ {bound}", ratio <= bound)]


def run(seed: int, small: int = 10_000, large: int = 1_000_000, rounds: int = 25) -> Table:
    rows = []
    for kind in kinds():
        found = measure(kind, small, large, rounds, seed)
        rows += compared(f"{CHANGED:,} changed, from their commit to CityTrips", kind, found, ["told"], BOUND)
        rows += compared("of which look, collect, send", kind, found, ["look", "collect", "send"])
        rows += compared("their settlement, afterwards", kind, found, ["settle"])
        rows += compared("floor: one UPDATE of the same vehicles by the bare driver", kind, found, ["floor"])
        control = whole_table(kind, small, large)
        rows.append(
            Row("control: finding them without the partial index, ratio", kind, f"{control:.1f}", f"≤ {BOUND}",
                control > BOUND, control=True)
        )  # fmt: skip
    return Table("Work follows what changed, not the fleet", rows)


def whole_table(kind: str, small: int, large: int) -> float:
    """How much longer the large fleet takes to be searched for what is pending when the index does not help."""
    medians = {}
    with Rig() as rig:
        for fleet in (small, large):
            database = rig.databases.make(kind, fleet, settled=True)
            with database.connected() as cursor:
                cursor.execute("DROP INDEX vehicle_pending")
                if kind == SQLITE:
                    cursor.execute("ANALYZE")
                taken = []
                for _turn in range(5):
                    began = time.monotonic()
                    cursor.execute("SELECT id, version FROM fleet_vehicle WHERE version > settled_version")
                    cursor.fetchall()
                    taken.append(time.monotonic() - began)
                medians[fleet] = statistics.median(taken)
    return medians[large] / medians[small]
