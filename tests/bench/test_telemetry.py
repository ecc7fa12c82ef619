"""What the measurement of telemetry rests on."""

from __future__ import annotations

from pathlib import Path

from tests.bench.running import SQLITE
from tests.bench.telemetry import measure


def test_both_sorts_of_updates_are_made(tmp_path: Path) -> None:
    """By the bare driver and by a real server; an update that changes nothing fails the run."""
    floor, over_http = measure(SQLITE, 1, tmp_path, fleet=1000, rounds=1)
    assert len(floor) == len(over_http) == 1
    assert min(floor + over_http) > 0
