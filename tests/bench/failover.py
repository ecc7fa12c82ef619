"""Two workers on one line: how soon the other takes over, and that they never both speak."""

from __future__ import annotations

import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.bench.report import Row, Table, spread
from tests.bench.running import Line, Process, Rig, kinds, until

TERMINATED, KILLED = 2.0, 12.0


@dataclass(slots=True)
class Found:
    """Seconds of each try; ``both`` is for how long two sockets were authenticated at once."""

    taken: dict[str, list[float]] = field(default_factory=lambda: {"SIGTERM": [], "SIGKILL": [], "SIGSTOP": []})
    both: dict[str, list[float]] = field(default_factory=lambda: {"SIGTERM": [], "SIGKILL": [], "SIGSTOP": []})
    after_continue: list[float] = field(default_factory=list)


def overlap(sockets: list[list[float | None]], now: float) -> float:
    """For how long two sockets were authenticated at once."""
    spans = sorted((at, ended or now) for _accepted, at, ended in sockets if at)
    both, reached = 0.0, 0.0
    for began, ended in spans:
        both += max(0.0, min(reached, ended) - began)
        reached = max(reached, ended)
    return both


def _authentications(line: Line) -> list[float]:
    return [one[1] for one in line.ask("sockets") if one[1]]


def _standby(line: Line, *without: str) -> Process:
    worker = line.worker("--without", *without) if without else line.worker()
    until(lambda: "standing by" in worker.log.read_text(), 60)
    time.sleep(0.5)
    return worker


def _fail(line: Line, holder: Process, how: str, found: Found) -> None:
    """Stop the holder one way and wait until the other is live."""
    number = getattr(signal, how)
    before = len(_authentications(line))
    known = len(line.ask("sockets")) - 1  # from the holder's own socket on
    sent = holder.send(number)
    until(lambda: len(_authentications(line)) > before, 60)
    found.taken[how].append(_authentications(line)[before] - sent)
    if how == "SIGSTOP":
        time.sleep(5)
        old = known
        continued = holder.send(signal.SIGCONT)
        until(lambda: line.ask("sockets")[old][2] is not None, 60)
        found.after_continue.append(line.ask("sockets")[old][2] - continued)
        time.sleep(3)  # whoever came back must not speak
        assert len(_authentications(line)) == before + 1
    found.both[how].append(overlap(line.ask("sockets")[known:], time.monotonic()))
    if holder.process.poll() is None and how == "SIGSTOP":
        return  # it lives on as the standby
    holder.process.wait(30)


def _tries(line: Line, order: list[str], found: Found) -> None:
    holder = line.worker()
    line.wait_live(holder)
    other = _standby(line)
    for how in order:
        _fail(line, holder, how, found)
        if how == "SIGSTOP":
            holder, other = other, holder
            time.sleep(3)
        else:
            holder, other = other, _standby(line)


def _without_lease(line: Line) -> float:
    """For how long, in five seconds, two workers both hold the line."""
    for _number in range(2):
        line.worker("--without", "lease")
    until(lambda: len(_authentications(line)) == 2, 60)
    time.sleep(5)
    return overlap(line.ask("sockets"), time.monotonic())


def measure(kind: str, seed: int, lines: int, rounds: int) -> tuple[Found, float]:
    chance = random.Random(seed)
    found = Found()
    with Rig() as rig, ThreadPoolExecutor(lines + 1) as pool:
        asked = []
        for _number in range(lines):
            order = ["SIGTERM", "SIGTERM", "SIGKILL", "SIGSTOP"] * rounds
            chance.shuffle(order)
            asked.append(pool.submit(_tries, rig.line(kind, 100), order, found))
        control = pool.submit(_without_lease, rig.line(kind, 100))
        for one in asked:
            one.result()
        return found, control.result()


def run(seed: int, lines: int = 4, rounds: int = 2) -> Table:
    rows = []
    for kind in kinds():
        found, control = measure(kind, seed, lines, rounds)
        for how, bound in (("SIGTERM", TERMINATED), ("SIGKILL", KILLED), ("SIGSTOP", KILLED)):
            taken = found.taken[how]
            name = f"failover after {how}, lease 10 s"
            rows.append(Row(name, kind, spread(taken), f"≤ {bound:g} s", max(taken) <= bound))
        both = found.both["SIGTERM"] + found.both["SIGKILL"]
        name = "two authenticated sockets at once, SIGTERM and SIGKILL, longest"
        rows.append(Row(name, kind, f"{max(both):.3f} s (n = {len(both)})", "0 s", max(both) <= 0))
        measured = f"{spread(found.both['SIGSTOP'])}; the old closes {spread(found.after_continue)} after SIGCONT"
        rows.append(Row("two authenticated sockets at once, SIGSTOP (5 s, then SIGCONT)", kind, measured))
        name = "control: every worker holds the line (`--without lease`), both live within 5 s"
        rows.append(Row(name, kind, f"{control:.1f} s", "0 s", control > 0, control=True))
    return Table("Failover", rows)
