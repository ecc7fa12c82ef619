"""The program that measures publishing, for a moment, so that it does not rot. No figure is held to its bound here."""

from __future__ import annotations

import pytest

from tests.bench import publishing
from tests.bench.__main__ import MEASUREMENTS
from tests.bench.running import SQLITE

pytestmark = pytest.mark.timeout(300)


def test_publishing_is_timed_beside_its_floor() -> None:
    """Both take at least the partner's own time, for each size of document."""
    found = publishing.measure(SQLITE, 2)
    assert len(found) == 2
    for one in found.values():
        assert (len(one["taken"]), len(one["floor"])) == (2, 2)
        assert min(one["taken"] + one["floor"]) >= publishing.PARTNER


def test_the_measurement_has_its_name() -> None:
    """`python -m tests.bench publishing` runs it."""
    assert MEASUREMENTS["publishing"] is publishing.run
