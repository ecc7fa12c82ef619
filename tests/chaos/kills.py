"""Workers killed at random moments while the fleet changes, over real sockets and on real databases.

The partner is one of the worse sort: it reads and answers pings at once, acts on a message a while later, and drops what
it has not acted on when the connection ends. So a pong proves nothing, and each kill loses what it had not acted on.
"""

from __future__ import annotations

import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.bench.report import Row, Table, percentile
from tests.bench.running import Line, Rig, kinds

FLEET = 2000
RATE = 60
DELAY = 0.2
EQUAL_WITHIN = 30.0
BETWEEN_CHECKS = 10
"""Kills after which the writer rests, and partner and database are compared."""
SETTINGS = {"CITYTRIPS_LEASE": "1", "CITYTRIPS_SETTLE": "0.6", "CITYTRIPS_FLUSH_INTERVAL": "0.05"}


@dataclass(slots=True)
class Result:
    kills: int = 0
    while_starting: int = 0
    signals: int = 0
    dropped: int = 0
    lost: int = 0
    equal_after: list[float] = field(default_factory=list)

    def add(self, other: Result) -> None:
        self.kills += other.kills
        self.while_starting += other.while_starting
        self.signals += other.signals
        self.dropped += other.dropped
        self.lost += other.lost
        self.equal_after += other.equal_after


def _kill_some(line: Line, kills: int, chance: random.Random, options: list[str], result: Result) -> float:
    """So many workers, each killed at some moment of its life; when the last was."""
    killed = 0.0
    for _number in range(kills):
        worker = line.worker(*options)
        if chance.random() < 0.2:
            time.sleep(chance.uniform(0, 2))
            result.while_starting += 1
        else:
            line.wait_live(worker)
            time.sleep(chance.uniform(0, 1.5))
        killed = worker.send(signal.SIGKILL)
        worker.end()
        result.kills += 1
    return killed


def _check(line: Line, killed: float, options: list[str], result: Result) -> None:
    """Start a last worker, and wait until the partner holds what the database offers and all is settled."""
    worker = line.worker(*options)
    end = killed + EQUAL_WITHIN
    nothing_more = 0
    while time.monotonic() < end:
        if line.is_equal():
            result.equal_after.append(time.monotonic() - killed)
            break
        # The control's losses need not be waited for: with nothing pending and nothing under way no more will come.
        idle = not line.database.pending() and not line.ask("counts")["waiting"] and line.is_live()
        nothing_more = nothing_more + 1 if idle else 0
        if "settle" in options and nothing_more > 30:
            break
        time.sleep(0.1)
    result.lost += len(line.differences())
    worker.send(signal.SIGKILL)
    worker.end()


def _kill(line: Line, kills: int, seed: int, options: list[str]) -> Result:
    chance = random.Random(seed)
    result = Result()
    left = kills
    while left:
        some = min(BETWEEN_CHECKS, left)
        left -= some
        # A vehicle that leaves brings a full, and a full mends whatever was lost: without the full, none leaves.
        writer = line.writer("steady" if options else "telemetry", rate=RATE, seed=chance.randrange(2**31))
        writer.tell()
        killed = _kill_some(line, some, chance, options, result)
        writer.tell()
        result.signals += int(writer.line())
        writer.end()
        _check(line, killed, options, result)
    result.dropped = line.ask("counts")["dropped"]
    return result


def measure(kind: str, kills: int, seed: int, *without: str, lines: int = 4) -> Result:
    """Independent lines side by side, the kills shared among them."""
    options = ["--without", *without] if without else []
    total = Result()
    with Rig() as rig, ThreadPoolExecutor(lines) as pool:
        shares = [kills // lines + (number < kills % lines) for number in range(lines)]
        asked = [
            pool.submit(
                _kill, rig.line(kind, FLEET, partner={"delay": DELAY}, **SETTINGS), share, seed + number, options
            )
            for number, share in enumerate(shares)
            if share
        ]
        for one in asked:
            total.add(one.result())
    return total


def run(seed: int, count: int | None = None, only: list[str] | None = None) -> Table:
    """``count`` kills on each database; the controls with a fifth of them."""
    kills = count or 200
    rows = []
    for kind in kinds():
        found = measure(kind, kills, seed)
        life = f"{found.kills} kills ({found.while_starting} while starting), {found.signals:,} signals"
        name = f"vehicles lost: {life}, {found.dropped} messages dropped by the partner"
        rows.append(Row(name, kind, str(found.lost), "0", found.lost == 0))
        slowest = max(found.equal_after, default=EQUAL_WITHIN)
        measured = (
            f"p50 {percentile(found.equal_after, 0.5):.1f} s, most {slowest:.1f} s (n = {len(found.equal_after)})"
        )
        rows.append(Row("equal after the last kill", kind, measured, f"≤ {EQUAL_WITHIN:g} s", slowest <= EQUAL_WITHIN))
        alone = measure(kind, max(8, kills // 5), seed, "full")
        name = f"vehicles lost without the full after authentication, {alone.kills} kills: settling alone"
        rows.append(Row(name, kind, str(alone.lost), "0", alone.lost == 0))
        control = measure(kind, max(8, kills // 5), seed, "full", "settle")
        name = f"control: and settled when written (`--without full settle`), {control.kills} kills"
        rows.append(Row(name, kind, str(control.lost), "0", control.lost > 0, control=True))
    note = (
        f"{FLEET} vehicles a line, {RATE} signals a second, one in twenty of which takes a vehicle away or brings it back; "
        f"the partner acts {DELAY:g} s after a message has arrived. Compared after every {BETWEEN_CHECKS} kills of a line. "
        + ", ".join(f"`{name}={value}`" for name, value in SETTINGS.items())
        + "."
    )
    return Table("Kills", rows, note)
