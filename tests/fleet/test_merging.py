"""What a source tells comes into the fleet, all or nothing."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fleet.errors import TooManyRetired
from fleet.merging import Merged, Retirement, vehicles_merge
from fleet.models import Vehicle
from fleet.services import vehicle_create, vehicles_settle
from fleet.sources.csv_file import read_csv
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


def merge(text: str, **options: object) -> Merged:
    return vehicles_merge(source=read_csv(text.encode()), **options)


def test_added_changed_unchanged() -> None:
    """Each record is counted for what it does, and only a change is pending."""
    make("1", battery=50)
    make("2", battery=60)
    vehicles_settle(versions={"1": 1, "2": 1}, listed=True)
    merged = merge("id,battery\n1,50\n2,61\n3,70\n")
    assert (merged.added, merged.changed, merged.unchanged) == (["3"], ["2"], ["1"])
    assert sorted(Vehicle.objects.pending().values_list("id", flat=True)) == ["2", "3"]
    assert Vehicle.objects.get(pk="3").state == "available"


def test_what_the_source_leaves_out_stays() -> None:
    """A file of batteries changes batteries, and nothing that it has no column for."""
    before = make("1", vin="VIN1", note="scratch", kind="moped")
    merge("id,battery\n1,33\n")
    after = Vehicle.objects.get()
    assert (after.battery, after.plate, after.vin, after.note, after.kind) == (
        33,
        before.plate,
        "VIN1",
        "scratch",
        "moped",
    )
    assert after.listed == before.listed
    assert after.created_at == before.created_at


def test_an_empty_cell_empties() -> None:
    """A battery that the file no longer knows is no longer known."""
    make("1", battery=50)
    merge("id,battery\n1,\n")
    assert Vehicle.objects.get().battery is None


def test_a_removed_vehicle_comes_back() -> None:
    """A vehicle that was removed and is named again is available, unless the file tells its state."""
    make("1", state="removed")
    make("2", state="removed")
    make("3", state="on_trip")
    merge("id,battery\n1,50\n3,50\n")
    merge("id,state\n2,reserved\n")
    assert list(Vehicle.objects.values_list("state", flat=True)) == ["available", "reserved", "on_trip"]


def test_the_fleet_knows_the_country() -> None:
    """A position is checked against the country that the fleet knows, where the file names none."""
    make("1")
    merged = merge("id,lat,lon\n1,-33.45,-70.66\n")
    assert "not in Spain" in merged.problems[0].reason
    assert Vehicle.objects.get().latitude == 40.4168


def test_missing_vehicles_retire() -> None:
    """Vehicles that the source does not name are removed, but not those whose row was rejected."""
    for number in range(10):
        make(str(number))
    rows = "".join(f"{number},50\n" for number in range(8))
    merged = merge("id,battery\n" + rows + "8,500\n", retirement=Retirement())
    assert merged.retired == ["9"]
    assert Vehicle.objects.get(pk="9").state == "removed"
    assert Vehicle.objects.filter(state="available").count() == 9


def test_an_empty_feed_withdraws_no_city() -> None:
    """More than a fifth is not retired, and nothing else is changed either, unless by force."""
    for number in range(10):
        make(str(number))
    rows = "id,battery\n" + "".join(f"{number},1\n" for number in range(7))
    with pytest.raises(TooManyRetired, match="3 of 10"):
        merge(rows, retirement=Retirement())
    assert Vehicle.objects.filter(battery=80, state="available").count() == 10
    assert len(merge(rows, retirement=Retirement(force=True)).retired) == 3


def test_retirement_keeps_to_its_city() -> None:
    """A file for one city retires nothing elsewhere, and the fifth is counted in that city."""
    for number in range(5):
        make(f"M{number}")
        make(f"B{number}", city="Barcelona", latitude=41.39, longitude=2.17)
    rows = "id,battery\n" + "".join(f"M{number},80\n" for number in range(4))
    assert merge(rows, retirement=Retirement("Spain", "madrid")).retired == ["M4"]


def test_demo_vehicles_are_left_alone() -> None:
    """An import neither changes nor retires what load_demo invented."""
    vehicle_create(id="D1", is_demo=True, state="available", battery=9)
    merged = merge("id,battery\nD1,50\n", retirement=Retirement())
    assert (merged.changed, merged.retired) == ([], [])
    assert "demo" in merged.problems[0].reason
    assert Vehicle.objects.get().battery == 9


def test_dry_run_writes_nothing() -> None:
    """A dry run counts the same and writes nothing."""
    make("1")
    merged = merge("id,battery\n1,5\n2,6\n", dry_run=True)
    assert (merged.added, merged.changed) == (["2"], ["1"])
    assert Vehicle.objects.get().battery == 80


def test_statements_do_not_grow_with_the_rows() -> None:
    """Rows are merged set-wise: a hundred take as many statements as ten."""

    def statements(number: int) -> int:
        text = "id,battery\n" + "".join(f"{number}-{row},{row % 100}\n" for row in range(number))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            merge(text)
        return len(queries)

    few, many = statements(10), statements(40)
    assert few == many <= 8
