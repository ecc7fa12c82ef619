"""The program that measures pages, for a small fleet. No figure is held to its bound here."""

from __future__ import annotations

import pytest

from tests.bench import pages
from tests.bench.running import SQLITE, Rig

pytestmark = pytest.mark.timeout(300)


def test_pages_are_measured() -> None:
    """Each page is answered and its queries are counted; the floor stands last; the fleet is mixed."""
    with Rig() as rig:
        found = list(pages.measure(rig, SQLITE, 100, 100, 1))
        database = rig._lines[0].database
        assert database.value("SELECT count(DISTINCT city) FROM fleet_vehicle") == 5
        assert database.value("SELECT count(DISTINCT state) FROM fleet_vehicle") == 4
        assert 0 < database.pending() < 100
    assert [page.name for page in found[:-1]] == list(pages.PAGES)
    assert all(page.queries[0] == page.queries[1] > 0 for page in found[:-1])
    assert all(min(page.small) > 0 for page in found)
    assert found[-1].name.startswith("floor")
