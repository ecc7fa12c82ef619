"""Somebody else who changes the fleet, in a process of its own, as fast as told and until told to stop.

``python -m tests.bench.writer changes|telemetry|steady|hints --rate N [--count N] [--seed N]`` prints ``ready``, begins when a line
comes on its standard input, and ends after ``--count``, at the next line or when its standard input ends. ``changes``
goes through ``fleet.services.vehicle_update``, one vehicle at a time and each to a latitude that nothing else has, and
prints at its end what it committed and when: a JSON list of ``[id, latitude, monotonic time]``. ``telemetry`` goes
through ``fleet.telemetry``, in batches of a few vehicles that also come and go (not with ``steady``), and prints how many
signals it sent. ``hints`` changes nothing: at each line it tells the worker, as every writer does, that somebody has.
"""

from __future__ import annotations

import argparse
import random
import select
import sys
import time
from typing import Any

import django
import orjson


def stopped() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def changes(ids: list[str], rate: float, count: int, chance: random.Random) -> list[Any]:
    """Each change at its own time, whatever the one before it took."""
    from fleet import events
    from fleet.models import Vehicle
    from fleet.services import vehicle_update

    committed = 0.0

    def note(**_signal: Any) -> None:
        nonlocal committed
        committed = time.monotonic()

    events.vehicles_changed.connect(note)
    chance.shuffle(ids)
    done: list[Any] = []
    began = time.monotonic()
    while len(done) < count and not stopped():
        time.sleep(max(0.0, began + len(done) / rate - time.monotonic()))
        vehicle = Vehicle(pk=ids[len(done) % len(ids)])
        latitude = round(40.0 + (len(done) + 1) * 1e-6, 6)
        vehicle_update(vehicle=vehicle, values={"latitude": latitude})
        done.append([vehicle.pk, latitude, committed])
    return done


def telemetry(ids: list[str], rate: float, count: int, chance: random.Random, *, going: bool = True) -> int:
    """``rate`` signals a second in batches of up to ten; one in twenty makes a vehicle come or go, if ``going``."""
    from django.db import DatabaseError, close_old_connections

    from fleet.telemetry import Signal, telemetry_receive

    done = 0
    began = time.monotonic()
    while done < count and not stopped():
        time.sleep(max(0.0, began + done / rate - time.monotonic()))
        signals = []
        for index in range(chance.randint(1, 10)):
            values: dict[str, object] = {"battery": chance.randint(15 if going else 20, 100)}
            if going and chance.random() < 0.05:
                values["state"] = chance.choice(["available", "on_trip"])
            values |= {"latitude": round(chance.uniform(40.3, 40.5), 6), "longitude": -3.7}
            signals.append(Signal(index=index, id=chance.choice(ids), values=values))
        try:
            problems = telemetry_receive(signals=signals).problems
        except DatabaseError:
            close_old_connections()
            continue
        assert not problems, problems
        done += len(signals)
    return done


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("how", choices=["changes", "telemetry", "steady", "hints"])
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    django.setup()
    from fleet.models import Vehicle

    ids = sorted(Vehicle.objects.values_list("pk", flat=True)[:2000])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    chance = random.Random(given.seed)
    if given.how == "hints":
        from backoffice.citytrips.wakeup import wake_worker

        wake_worker()
        for _line in sys.stdin:
            wake_worker()
        return
    if given.how == "changes":
        result: Any = changes(ids, given.rate, given.count, chance)
    else:
        result = telemetry(ids, given.rate, given.count, chance, going=given.how == "telemetry")
    sys.stdout.write(orjson.dumps(result).decode() + "\n")


if __name__ == "__main__":
    main()
