"""One import of a CSV file in a process of its own, the floor under it, or somebody else who writes meanwhile.

``python -m tests.bench.importing floor FILE`` upserts the rows of a file, which it holds already, by the driver's own
``executemany`` in one transaction, triggers and indexes included, and prints how long that took. ``import FILE`` reads,
compares and applies it as ``import_fleet`` does, and prints the time of all of it, of each step, and by how much the
memory grew over an import of a few rows. ``stage FILE`` stops before it is applied. ``wait`` writes one signal of
telemetry after another until a line comes on its standard input, and prints the times they took.
"""

from __future__ import annotations

import csv
import io
import json
import resource
import select
import sys
import time
from pathlib import Path
from typing import Any, Final

import django

COLUMNS: Final = ("id", "battery", "plate", "country", "city", "latitude", "longitude", "state")
HEADING: Final = ",".join(COLUMNS)


def floor(path: Path) -> dict[str, float]:
    from django.db import connection, transaction
    from django.utils import timezone

    from fleet.models import Vehicle

    now = connection.ops.adapt_datetimefield_value(timezone.now())
    fixed = {"vin": "", "kind": "car", "model": "", "note": "", "silent": False, "is_demo": False}
    names = [*COLUMNS, *fixed, "created_at", "updated_at"]
    with path.open(newline="") as file:
        rows = [
            (
                row["id"], int(row["battery"]), row["plate"], row["country"], row["city"], float(row["latitude"]),
                float(row["longitude"]), row["state"], *fixed.values(), now, now,
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip
    told = ", ".join(f"{name} = EXCLUDED.{name}" for name in (*COLUMNS[1:], "updated_at"))
    statement = (
        f"INSERT INTO fleet_vehicle ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) "
        f"ON CONFLICT (id) DO UPDATE SET {told}"
    )
    assert Vehicle.objects.exists() or rows
    began = time.monotonic()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(statement, rows)
    return {"floor": time.monotonic() - began}


def run_import(path: Path, *, apply: bool) -> dict[str, Any]:
    from fleet import imports, merging, staging
    from fleet.models import ImportRun, Vehicle

    first = Vehicle.objects.order_by("id").values_list("id", "battery").first()
    if first:  # what a first import loads and compiles
        imported(io.BytesIO(f"id,battery\n{first[0]},{first[1]}\n".encode()), apply=apply)
    steps: dict[str, float] = {}
    for module, name in ((staging, "stage"), (staging, "classify"), (merging, "merge")):
        timed(module, name, steps)
    imports.merge = merging.merge  # type: ignore[attr-defined]
    before = peak()
    began = time.monotonic()
    with path.open("rb") as file:
        run = imported(file, apply=apply)
    taken = time.monotonic() - began
    run = ImportRun.objects.get(pk=run.pk)
    counts = {name: getattr(run, name) for name in ("rows", "added", "changed", "unchanged", "rejected")}
    return {"import": taken, **steps, "growth": peak() - before, **counts}


def imported(file: Any, *, apply: bool) -> Any:
    from fleet import imports

    run = imports.import_create(source="bench", upload=file)
    imports.import_read(run=run)
    if apply:
        imports.import_apply(run=run)
    return run


def timed(module: Any, name: str, steps: dict[str, float]) -> None:
    real = getattr(module, name)

    def measured(*arguments: Any, **options: Any) -> Any:
        began = time.monotonic()
        try:
            return real(*arguments, **options)
        finally:
            steps[name] = time.monotonic() - began

    setattr(module, name, measured)


def peak() -> float:
    """The most memory that this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def wait() -> list[float]:
    from fleet.models import Vehicle
    from fleet.telemetry import Signal, telemetry_receive

    ids = list(Vehicle.objects.order_by("id").values_list("id", flat=True)[:500])
    taken = []
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        signal = Signal(index=0, id=ids[len(taken) % len(ids)], values={"battery": 20 + len(taken) % 80})
        began = time.monotonic()
        telemetry_receive(signals=[signal])
        taken.append(time.monotonic() - began)
    return taken


def main() -> None:
    django.setup()
    how, *rest = sys.argv[1:]
    match how:
        case "floor":
            result: Any = floor(Path(rest[0]))
        case "wait":
            result = wait()
        case _:
            result = run_import(Path(rest[0]), apply=how == "import")
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
