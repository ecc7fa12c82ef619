"""Random schedules of changes and faults around the real session, in a world without I/O.

``run(count, seed)`` generates and runs them: schedule *n* of a seed is always the same. One that loses an update is cut down to
the actions that it takes, and printed with its seed.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

from tests.backoffice.citytrips.lossy_partner.database import Database
from tests.backoffice.citytrips.lossy_partner.ending import Promise, settle_down
from tests.backoffice.citytrips.lossy_partner.errors import Loss
from tests.backoffice.citytrips.lossy_partner.partner import Verdict
from tests.backoffice.citytrips.lossy_partner.safeguards import NoFullAfterAuthentication, Safeguards, VoidsNothing
from tests.backoffice.citytrips.lossy_partner.world import LEASE, NOTICED_WITHIN, Action, World

VEHICLES = "abcde"
SLOW: Mapping[str, float] = {"latency": 0.6, "acting": 1.5, "database": 0.2, "writing": 0.5, "handling": 6.0}
"""Seconds, as :meth:`World.pace` takes them, when things are slow: as slow as the settling time allows for."""
PORTION = 250
"""Schedules that one process takes at a time."""


@dataclass(frozen=True)
class Schedule:
    """What is to happen, in which order; ``seed`` decides how long everything takes."""

    seed: int
    actions: Sequence[Action]
    full_every: float

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}, a full every {self.full_every:g} s", *map(str, self.actions)])


@dataclass
class Lost:
    """A schedule that lost an update, cut down."""

    number: int
    schedule: Schedule
    what: str


@dataclass
class Result:
    """What a number of schedules came to."""

    schedules: int = 0
    steps: int = 0
    simulated: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    equal_after: dict[Promise, list[float]] = field(default_factory=lambda: {promise: [] for promise in Promise})
    losses: list[Lost] = field(default_factory=list)

    def add(self, other: Result) -> None:
        self.schedules += other.schedules
        self.steps += other.steps
        self.simulated += other.simulated
        self.counts += other.counts
        for promise, seconds in other.equal_after.items():
            self.equal_after[promise] += seconds
        self.losses += other.losses


# --- What may happen, and how often ------------------------------------------------------------------------------


def _change(rng: random.Random) -> Action:
    return Action(
        "change", (rng.choice(VEHICLES), rng.random() < 0.7, rng.choice((0.0, 0.0, 0.0, 0.3, 2.0)))
    )  # a transaction is short, or long


def _pace(rng: random.Random) -> Action:
    return Action("pace", (), tuple((name, SLOW[name]) for name in SLOW if rng.random() < 0.4))


Maker = Callable[[random.Random], Action]

EVENTS: Sequence[tuple[int, Maker]] = (
    (14, _change),
    (2, lambda rng: Action("new_users", (rng.choice((1, 1, 4)),))),
    (2, lambda rng: Action("ask")),
    (2, lambda rng: _pace(rng)),
)
FAULTS: Sequence[tuple[int, Maker]] = (
    (3, lambda rng: Action("reset")),
    (2, lambda rng: Action("half_open", (rng.choice((1.0, 8.0, NOTICED_WITHIN)),))),
    (3, lambda rng: Action("forget", (rng.random() < 0.5, rng.random() < 0.5))),
    (1, lambda rng: Action("restart_partner", (rng.random() < 0.5, rng.choice((0.0, 3.0, 12.0))))),
    (1, lambda rng: Action("mute")),
    (1, lambda rng: Action("refuse_key")),
    (1, lambda rng: Action("greet", (rng.random() < 0.5,))),
    (1, lambda rng: Action("say_twice", (rng.random() < 0.5,))),
    (1, lambda rng: Action("too_large", (rng.choice((2.0, 20.0)), rng.choice((0, 1, 3))))),
    (2, lambda rng: Action("kill", (rng.choice((0.0, 0.5, LEASE)),))),
    (2, lambda rng: Action("stall", (rng.choice((0.5, 4.0, 6.5)),))),
    (1, lambda rng: Action("freeze", (rng.choice((2.0, 10.0)),))),
    (1, lambda rng: Action("stop_database", (rng.choice((0.5, 3.0)),))),
)
ERRORS: Sequence[tuple[int, Maker]] = (
    (
        4,
        lambda rng: Action(
            "judge",
            (
                rng.choice((Verdict.REFUSE, Verdict.REFUSE, Verdict.TAKE_HALF, Verdict.TAKE_AND_OBJECT)),
                rng.choice((1, 3)),
            ),
        ),
    ),
    (1, lambda rng: Action("object")),
)
DROPS: Sequence[tuple[int, Maker]] = ((2, lambda rng: Action("judge", (Verdict.DROP,))),)


def generate(seed: int, full_every: float | None = None, focus: Collection[str] = ()) -> Schedule:
    """One schedule; the faults in ``focus`` are ten times as frequent.

    Where nothing is lost without a word, and no full refused, the periodic fulls may be off.
    """
    rng = random.Random(seed)
    # Each schedule knows some of the faults only: the next fault would mend what another one has broken.
    errors, drops, share = rng.random() < 0.6, rng.random() < 0.35, rng.choice((0.3, 1.0))
    kinds = [kind for kind in FAULTS if rng.random() < share] or list(FAULTS)
    kinds += [*(ERRORS if errors else ()), *(DROPS if drops else ())]
    weights = [weight * (10 if maker(random.Random(0)).name in focus else 1) for weight, maker in kinds]
    event_weights = [weight for weight, _ in EVENTS]
    faultiness = rng.choice((0.1, 0.3, 0.5))
    actions = [Action("change", (vehicle, rng.random() < 0.8, 0.0)) for vehicle in VEHICLES if rng.random() < 0.7]
    for _ in range(rng.choice((10, 20, 50))):
        if rng.random() < 0.5:
            actions.append(Action("wait", (rng.choice((0.05, 0.3, 0.3, 1.0, 1.0, 5.5, 12.0)),)))
        elif rng.random() < faultiness:
            # What follows a fault, most often a full, goes wrong as well now and then.
            if errors and rng.random() < 0.2:
                actions.append(Action("judge", (Verdict.REFUSE, 1)))
            actions.append(rng.choices(kinds, weights)[0][1](rng))
        else:
            actions.append(rng.choices(EVENTS, event_weights)[0][1](rng))
    silent = errors or drops or Action("forget", (False, False)) in actions
    every = rng.choice((20.0, 60.0) if silent else (0.0, 60.0))
    return Schedule(seed, actions, full_every if full_every is not None else every)


# --- With a safeguard off ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Control:
    """A worker without one of its safeguards, and the faults that show it."""

    safeguards: Safeguards
    focus: Collection[str] = ()


CONTROLS: Mapping[str, Control] = {
    "settled with the pong": Control(Safeguards(settle=0.0)),
    "confirmed when written": Control(Safeguards(pong_before_confirmation=False)),
    "nothing void on must_authenticate": Control(Safeguards(session=VoidsNothing)),
    "no full after authentication": Control(Safeguards(session=NoFullAfterAuthentication, full_every=900.0)),
    "one cursor for all vehicles": Control(Safeguards(per_row_versions=False, full_every=900.0)),
    "settled without the token": Control(Safeguards(token=False), ["freeze"]),
    "a full goes on past the lease": Control(Safeguards(lease_before_each_part=False, full_every=900.0), ["freeze"]),
    "listed only when settled": Control(Safeguards(listed_before_sending=False, full_every=900.0)),
    "an error read late": Control(Safeguards(reader_waits_for_handlers=True, time_stands_while_reading=False)),
    "no periodic fulls": Control(Safeguards(full_every=0.0)),
}
"""By what each does instead. All of them must lose."""


# --- Running them ------------------------------------------------------------------------------------------------


def play(
    schedule: Schedule, safeguards: Safeguards | None = None, database: type[Database] | None = None
) -> tuple[World, Promise, float]:
    """Run one schedule to its end; how long it took after the last fault until both were equal, and what was promised.

    :raises Loss: an update was lost.
    """
    world = World(schedule.seed, replace(safeguards or Safeguards(), full_every=schedule.full_every), database)
    for action in schedule.actions:
        world.act(action)
    return world, *settle_down(world)


def loss_of(schedule: Schedule, safeguards: Safeguards | None = None) -> str | None:
    try:
        play(schedule, safeguards)
    except Loss as lost:
        return str(lost)
    return None


def minimal(schedule: Schedule, safeguards: Safeguards | None = None) -> Schedule:
    """The same with every action left out that the loss doesn't need."""
    size = len(schedule.actions)
    while size >= 1:
        start = 0
        while start < len(schedule.actions):
            rest = [*schedule.actions[:start], *schedule.actions[start + size :]]
            if loss_of(replace(schedule, actions=rest), safeguards):
                schedule = replace(schedule, actions=rest)
            else:
                start += size
        size = 1 if size == 2 else (size + 1) // 2 if size > 1 else 0
    return schedule


def run(count: int, seed: int, control: Control | None = None, *, first: int = 0, stop_at: int = 3) -> Result:
    """Schedules ``first`` to ``first + count`` of a seed; ends after ``stop_at`` losses, which are cut down."""
    result = Result()
    safeguards = control.safeguards if control else None
    for number in range(first, first + count):
        if control:
            schedule = generate(seed * 1_000_000 + number, control.safeguards.full_every, control.focus)
        else:
            schedule = generate(seed * 1_000_000 + number)
        result.schedules += 1
        try:
            world, promise, seconds = play(schedule, safeguards)
        except Loss:
            shortest = minimal(schedule, safeguards)
            result.losses.append(Lost(number, shortest, loss_of(shortest, safeguards) or ""))
            if len(result.losses) >= stop_at:
                break
            continue
        result.steps += world.clock.steps
        result.simulated += world.clock.now
        result.counts += world.counts
        result.equal_after[promise].append(seconds)
    return result


def run_parallel(count: int, seed: int, processes: int, control: str | None = None) -> Result:
    """The same in several processes; ``control`` is one of :data:`CONTROLS`."""
    result = Result()
    portions = [(min(PORTION, count - first), seed, control, first) for first in range(0, count, PORTION)]
    with ProcessPoolExecutor(processes) as pool:
        for part in pool.map(_portion, portions):
            result.add(part)
    return result


def _portion(portion: tuple[int, int, str | None, int]) -> Result:
    count, seed, control, first = portion
    return run(count, seed, CONTROLS[control] if control else None, first=first)


# --- The table ---------------------------------------------------------------------------------------------------


def table(result: Result, seed: int, seconds: float) -> str:
    """What happened, in Markdown."""
    rows: list[tuple[str, str]] = [
        ("seed", str(seed)),
        ("schedules", f"{result.schedules:,}"),
        ("steps", f"{result.steps:,}"),
        ("simulated hours", f"{result.simulated / 3600:,.0f}"),
        *((name, f"{number:,}") for name, number in sorted(result.counts.items())),
        ("equal after the last fault, s", _quantiles(result.equal_after[Promise.SOON])),
        ("where a removal had to wait, s", _quantiles(result.equal_after[Promise.BY_THE_NEXT_REMOVAL])),
        ("where only a full could tell, s", _quantiles(result.equal_after[Promise.BY_THE_NEXT_FULL])),
        ("lost updates", str(len(result.losses))),
        ("took, s", f"{seconds:.0f}"),
    ]
    return "\n".join(["| schedules | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def control_table(seed: int, limit: int) -> str:
    """Which schedule is the first that each control loses, and what it loses."""
    lines = ["| with one safeguard off | first schedule that loses | |", "|---|---|---|"]
    for name, control in CONTROLS.items():
        result = run(limit, seed, control, stop_at=1)
        first = f"{result.schedules:,}" if result.losses else f"**none of {limit:,}**"
        lines.append(f"| {name} | {first} | {result.losses[0].what if result.losses else ''} |")
    return "\n".join(lines)


def _quantiles(values: list[float]) -> str:
    if not values:
        return "-"
    ordered = sorted(values)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    return f"{len(ordered):,} schedules, p50 {p50:g}, p99 {p99:g}, max {ordered[-1]:g}"


def main(argv: Sequence[str] | None = None) -> int:
    """``[--count N] [--seed S] [--processes P] [--control NAME]``; 1 if an update was lost."""
    parser = argparse.ArgumentParser(prog="tests.chaos.schedules", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed, if not given")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--control", choices=CONTROLS, help="with this safeguard off, to see what it loses")
    given = parser.parse_args(argv)
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    started = time.monotonic()
    result = run_parallel(given.count, seed, given.processes, given.control)
    print(table(result, seed, time.monotonic() - started))
    for lost in result.losses:
        print(f"\nLOST in schedule {lost.number} of seed {seed}: {lost.what}\n{lost.schedule}")
    if given.control is None:
        print("\n" + control_table(seed, given.count))
    return 1 if result.losses else 0


if __name__ == "__main__":
    sys.exit(main())
