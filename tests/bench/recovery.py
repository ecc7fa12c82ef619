"""How soon a dead line is noticed and comes back, and how seldom a partner that only accepts is called."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError

from tests.bench.report import Row, Table, percentile, spread
from tests.bench.running import SQLITE, Line, Rig, until

NOTICED = 25.0
BACK = 10.0
PER_MINUTE = 10


# --- Half open ---


def _half_open(line: Line, pause: float, *without: str, patience: float = 60.0) -> float | None:
    """Seconds until the worker gives a silent connection up, begun at some moment between two pings."""
    worker = line.worker("--without", *without) if without else line.worker()
    line.wait_live(worker)
    time.sleep(pause)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(line.ask, "fall_silent")
        try:
            began, gave_up = asked.result(patience)
        except FutureTimeoutError:
            worker.end()  # which the partner notices
            return None
    return float(gave_up - began)


def half_open(seed: int, tries: int = 8, patience: float = 60.0) -> list[Row]:
    chance = random.Random(seed)
    with Rig() as rig, ThreadPoolExecutor(tries + 1) as pool:
        lines = [rig.line(SQLITE, 100) for _number in range(tries + 1)]
        control = pool.submit(_half_open, lines[-1], 5.0, "pings", patience=patience)
        asked = [pool.submit(_half_open, line, chance.uniform(0, 10)) for line in lines[:-1]]
        taken = [one.result() or patience for one in asked]
        unnoticed = control.result()
    worst = max(taken)
    return [
        Row("a half-open line is noticed, pings 10/10", SQLITE, spread(taken), f"≤ {NOTICED:g} s", worst <= NOTICED),
        Row("control: no pings (`--without pings`)", SQLITE,
            f"not within {patience:g} s" if unnoticed is None else f"{unnoticed:.1f} s",
            f"≤ {NOTICED:g} s", unnoticed is None, control=True),
    ]  # fmt: skip


# --- Back after an absence ---


def _back(line: Line, away: list[float]) -> list[tuple[float, float]]:
    """Absences, and the seconds from the partner's return until the line was live again."""
    taken = []
    for seconds in away:
        worker = line.worker()
        until(lambda worker=worker: "connecting" in worker.log.read_text(), 60)
        time.sleep(seconds)
        before = len([one for one in line.ask("sockets") if one[1]])
        refused = line.ask("listen") and line.ask("vary", greeting="answer")
        returned = time.monotonic()
        assert refused is None
        until(lambda before=before: len([one for one in line.ask("sockets") if one[1]]) > before, 120, every=0.05)
        taken.append((seconds, [one for one in line.ask("sockets") if one[1]][-1][1] - returned))
        worker.end()
        line.ask("leave")
    return taken


def back(seed: int, lines: int = 12, tries: int = 2, longest: float = 75.0) -> list[Row]:
    """Half of the partners refuse the connection, the others answer the handshake with 503."""
    chance = random.Random(seed)
    rows = []
    with Rig() as rig, ThreadPoolExecutor(lines) as pool:
        asked = []
        for number in range(lines):
            line = rig.line(SQLITE, 100, listening=False)
            if number % 2:
                line.ask("vary", greeting="refuse")
                line.ask("listen")
            asked.append(pool.submit(_back, line, [chance.uniform(3, longest) for _try in range(tries)]))
        taken = [pair for one in asked for pair in one.result()]
    seconds = [one for _away, one in taken]
    p95 = percentile(seconds, 0.95)
    name = f"back after an absence of 3 to {longest:g} s, p95 (refused, or HTTP 503)"
    measured = f"{p95:.1f} s; {spread(seconds, digits=1)}"
    rows.append(Row(name, SQLITE, measured, f"≤ {BACK:g} s", p95 <= BACK))
    return rows


# --- Accept, then close ---


def busiest_minute(times: list[float], span: float = 60.0) -> int:
    """The most connections within any sixty seconds."""
    return max((sum(start <= at < start + span for at in times) for start in times), default=0)


def _closing(line: Line, seconds: float, *without: str) -> list[float]:
    worker = line.worker("--without", *without) if without else line.worker()
    until(lambda: line.ask("sockets"), 60)
    time.sleep(seconds)
    worker.end()
    return [one[0] for one in line.ask("sockets")]


def closing(seed: int, lines: int = 4, seconds: float = 185.0) -> list[Row]:
    with Rig() as rig, ThreadPoolExecutor(lines) as pool:
        all_lines = [rig.line(SQLITE, 100, partner={"greeting": "close"}) for _number in range(lines)]
        asked = [pool.submit(_closing, line, seconds) for line in all_lines]
        wait(asked)
        counts = [busiest_minute(one.result()) for one in asked]
    with Rig() as rig:
        control = len(_closing(rig.line(SQLITE, 100, partner={"greeting": "close"}), 5.0, "backoff")) * 12
    name = f"connections in the busiest minute to a partner that accepts and closes, {seconds:.0f} s"
    return [
        Row(name, SQLITE, ", ".join(map(str, counts)), f"≤ {PER_MINUTE}", max(counts) <= PER_MINUTE),
        Row("control: no pauses and no gate (`--without backoff`)", SQLITE, f"{control} a minute", f"≤ {PER_MINUTE}",
            control > PER_MINUTE, control=True),
    ]  # fmt: skip


def run(seed: int) -> Table:
    """The three side by side: they wait more than they work."""
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(measure, seed) for measure in (half_open, back, closing)]
        rows = [row for one in asked for row in one.result()]
    return Table("A line that dies, and comes back", rows)
