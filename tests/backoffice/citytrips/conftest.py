"""What several tests of the line begin with."""

from __future__ import annotations

import pytest

from backoffice.citytrips.connection import Backoff
from tests.fleet.factories import make


@pytest.fixture
def fleet() -> None:
    """Two vehicles that are offered."""
    for vehicle in ("ES-1", "ES-2"):
        make(vehicle)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between connections a tenth as long."""
    monkeypatch.setattr(Backoff, "FIRST", 0.1)
    monkeypatch.setattr(Backoff, "FAILED_CEILING", 1.0)
    monkeypatch.setattr(Backoff, "CLOSED_CEILING", 6.0)
