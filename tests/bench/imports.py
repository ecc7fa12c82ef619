"""How long an import takes beside a bare upsert of the same rows, what it holds in memory, and who waits for it."""

from __future__ import annotations

import json
import random
import statistics
from pathlib import Path
from typing import Any, Final

from tests.bench.importing import HEADING
from tests.bench.report import Row, Table, percentile, spread
from tests.bench.running import Database, Process, Rig, kinds, run_program, variables

WHOLE: Final = 6.0
MERGE: Final = 2.0
GROWTH: Final = 64


def write_rows(path: Path, count: int, prefix: str, seed: int) -> Path:
    """A file of so many vehicles; with the prefix of the fleet that ``fill`` makes, each of them is another."""
    chance = random.Random(seed)
    with path.open("w") as file:
        file.write(HEADING + "\n")
        for number in range(1, count + 1):
            latitude, longitude = 40 + chance.random(), -4 + chance.random()
            file.write(
                f"{prefix}{number:07d},{chance.randint(0, 100)},{number:07d} BCD,Spain,Getafe,"
                f"{latitude:.6f},{longitude:.6f},available\n"
            )
    return path


def program(database: Database, folder: Path, *arguments: str) -> Any:
    return json.loads(run_program("-m", "tests.bench.importing", *arguments, **environment(database, folder)))


def environment(database: Database, folder: Path) -> dict[str, str]:
    return {"DATABASE_URL": database.url, "VAR_DIR": str(folder)}


def measure(kind: str, count: int, rounds: int, seed: int, prefix: str) -> list[dict[str, Any]]:
    """By turns the floor and the import, each on a fleet of its own of so many vehicles."""
    found = []
    with Rig() as rig:
        path = write_rows(rig.folder / "rows.csv", count, prefix, seed)
        for _turn in range(rounds):
            floor = program(rig.databases.make(kind, count, settled=True), rig.folder, "floor", str(path))
            found.append(
                {**floor, **program(rig.databases.make(kind, count, settled=True), rig.folder, "import", str(path))}
            )
    return found


def waits(kind: str, count: int, seed: int) -> tuple[list[float], dict[str, Any]]:
    """The times of single signals of telemetry that another process writes while everything is imported."""
    with Rig() as rig:
        path = write_rows(rig.folder / "rows.csv", count, "ES-", seed)
        database = rig.databases.make(kind, count, settled=True)
        variable = variables(**environment(database, rig.folder))
        writer = Process(["-m", "tests.bench.importing", "wait"], variable, rig.folder / "writer.log")
        try:
            assert writer.line() == "ready"
            imported = program(database, rig.folder, "import", str(path))
            writer.tell()
            return json.loads(writer.line()), imported
        finally:
            writer.end()


def staged(kind: str, count: int, seed: int) -> dict[str, Any]:
    """A large file read and compared with a fleet of a thousand, and not applied."""
    with Rig() as rig:
        path = write_rows(rig.folder / "rows.csv", count, "N-", seed)
        return dict(program(rig.databases.make(kind, 1000, settled=True), rig.folder, "stage", str(path)))


def run(seed: int, count: int = 100_000, rounds: int = 3) -> Table:
    rows = []
    for kind in kinds():
        for prefix, what in (("ES-", "changed"), ("N-", "added")):
            found = measure(kind, count, rounds if prefix == "ES-" else 1, seed, prefix)
            assert all(one[what] == count for one in found), found
            name = f"{count:,} rows, all {what}"
            rows.append(Row(f"{name}: import", kind, spread([one["import"] for one in found])))
            rows.append(Row("floor: executemany of the same upserts", kind, spread([one["floor"] for one in found])))
            rows += [ratio(kind, name, found, "import", WHOLE), ratio(kind, name, found, "merge", MERGE)]
            steps = ", ".join(
                f"{step} {statistics.median(one[step] for one in found):.2f}" for step in ("stage", "classify", "merge")
            )
            growth = max(one["growth"] for one in found)
            rows.append(Row(f"{name}: its steps, in s", kind, steps))
            rows.append(Row(f"{name}: memory growth", kind, f"{growth:.0f} MiB", f"≤ {GROWTH} MiB", growth <= GROWTH))
        taken, imported = waits(kind, count, seed)
        told = f"longest {max(taken):.2f} s, p99 {percentile(taken, 0.99):.3f} s, n = {len(taken)}"
        rows.append(Row(f"telemetry meanwhile, while the merge took {imported['merge']:.2f} s", kind, told))
    return Table("An import beside a bare upsert of the same rows", rows)


def run_million(seed: int, count: int = 1_000_000) -> Table:
    rows = []
    for kind in kinds():
        found = staged(kind, count, seed)
        assert found["added"] == count
        rate = count / found["import"]
        rows.append(
            Row(f"{count:,} rows read, staged and compared", kind, f"{found['import']:.0f} s, {rate:,.0f} rows/s")
        )
        growth = found["growth"]
        rows.append(Row("memory growth", kind, f"{growth:.0f} MiB", f"≤ {GROWTH} MiB", growth <= GROWTH))
    return Table("A million rows", rows)


def ratio(kind: str, name: str, found: list[dict[str, Any]], step: str, bound: float) -> Row:
    value = statistics.median(one[step] for one in found) / statistics.median(one["floor"] for one in found)
    return Row(
        f"{name}: {'all of it' if step == 'import' else 'the merge'} / floor",
        kind,
        f"{value:.2f}",
        f"≤ {bound:g}",
        value <= bound,
    )
