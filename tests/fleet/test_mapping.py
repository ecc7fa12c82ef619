"""The fleet on the map: how vehicles stand, and what a box holds."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fleet import map_snapshots, mapping
from fleet.map_grid import DEEPEST, Area, MapBox, column, row
from fleet.map_snapshots import Snapshots
from fleet.mapping import FINEST, Standing, map_view, snapshot_of, standing
from fleet.models import Vehicle, VehicleQuerySet
from fleet.services import vehicles_object, vehicles_settle
from fleet.vocabulary import CityTripsStatus, State
from tests.fleet.factories import make
from tests.fleet.map_fleets import CITIES, scatter

WORLD = MapBox(-180, -90, 180, 90)
BY_STATUS = {
    CityTripsStatus.SETTLED: Standing.OFFERED,
    CityTripsStatus.PENDING: Standing.PENDING,
    CityTripsStatus.OBJECTED: Standing.OBJECTED,
    CityTripsStatus.WITHHELD: Standing.WITHHELD,
}


def all_vehicles() -> VehicleQuerySet:
    return Vehicle.objects.order_by("pk")


@pytest.mark.django_db
def test_a_vehicle_stands_on_the_map_as_with_citytrips() -> None:
    """What the map shows of an available vehicle is its state with CityTrips; of the others whether they are in use."""
    numbers = itertools.product(
        ("", "1 A"), ("", "Spain", "France"), (None, 5, 80), list(State), ("new", "sent", "objected")
    )
    for number, (plate, country, battery, state, line) in enumerate(numbers):
        place = {"latitude": 48.8, "longitude": 2.3} if country == "France" else {}
        vehicle = make(f"V{number}", plate=plate, country=country, battery=battery, state=state.value, **place)
        if line == "sent":
            vehicles_settle(versions={vehicle.pk: 1}, listed=True)
        elif line == "objected":
            vehicles_object(versions={vehicle.pk: 1})
    seen = Counter()
    for vehicle in Vehicle.objects.with_citytrips_status().annotate(place=standing()):
        shown = Standing(vehicle.place)
        seen[shown] += 1
        if vehicle.state == State.AVAILABLE:
            assert shown == BY_STATUS[CityTripsStatus(vehicle.citytrips_status)]
        else:
            assert shown == (Standing.IN_USE if vehicle.state in (State.RESERVED, State.ON_TRIP) else Standing.OUT)
    assert set(seen) == set(Standing)


@pytest.mark.django_db
def test_cities_are_counted() -> None:
    """Each city has its numbers by standing, those without a position among them, and where the others are."""
    make("1", latitude=40.5, longitude=-3.5)
    make("2", latitude=40.25, longitude=-3.75, battery=3)
    make("3", latitude=None, longitude=None)
    make("4", city="", country="", state="on_trip", latitude=0.5, longitude=179.5)
    snapshot = snapshot_of(all_vehicles())
    nowhere, madrid = snapshot.cities
    assert (madrid.name, madrid.country, madrid.counts, madrid.unplaced) == ("Madrid", "Spain", [0, 1, 0, 2, 0, 0], 1)
    assert madrid.extent == [-3.75, 40.25, -3.5, 40.5]
    assert (nowhere.name, nowhere.counts, nowhere.unplaced) == ("", [0, 0, 0, 0, 1, 0], 0)
    assert snapshot.total == 4


@pytest.mark.django_db
def test_an_empty_fleet_is_nothing_anywhere() -> None:
    """No vehicles, no cells, no cities, and no error."""
    snapshot = snapshot_of(all_vehicles())
    view = map_view(all_vehicles(), snapshot, WORLD, 3)
    assert (snapshot.total, snapshot.cities, view.count, view.vehicles, view.cells) == (0, [], 0, [], None)


def _expected(box: MapBox, zoom: int) -> int:
    """The vehicles in the cells that a box touches, reckoned here."""
    area = Area.around(box, box.level(zoom))
    places = all_vehicles().exclude(latitude=None).values_list("latitude", "longitude")
    return sum(area.holds(column(longitude, area.level), row(latitude, area.level)) for latitude, longitude in places)


@pytest.mark.django_db
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@example(data=None)
def test_what_is_counted_in_cells_is_what_is_there(data: st.DataObject | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the box and the zoom, the cells add up to the filtered vehicles in them, and single ones are all of the
    box; from the snapshot and from the database alike."""
    monkeypatch.setattr(mapping, "MOST_VEHICLES", 20)
    if not Vehicle.objects.exists():
        scatter(400)
    if data is None:
        box, zoom, state = WORLD, 0, None
    else:
        _country, _city, latitude, longitude = data.draw(st.sampled_from(CITIES))
        west = longitude + data.draw(st.floats(-0.2, 0.2))
        south = latitude + data.draw(st.floats(-0.2, 0.2))
        width = data.draw(st.sampled_from([0.01, 0.1, 0.3, 5.0, 200.0]))
        box = MapBox.read(str(west), str(south), str(west + width), str(south + min(width, 60)))
        zoom = data.draw(st.integers(0, DEEPEST))
        state = data.draw(st.sampled_from([None, State.AVAILABLE]))
    vehicles = all_vehicles().filter(state=state) if state else all_vehicles()
    view = map_view(vehicles, snapshot_of(vehicles), box, zoom)
    inside = set(vehicles.filter(box.holding()).values_list("pk", flat=True))
    if view.cells is None:
        assert {vehicle[0] for vehicle in view.vehicles} == inside
        assert view.count == len(inside) <= 20
    else:
        assert sum(sum(cell.counts) for cell in view.cells) == view.count >= len(inside)
        if state is None and box.level(zoom) <= FINEST:
            assert view.count == _expected(box, zoom)
        first = [vehicle[0] for vehicle in view.vehicles]
        assert first == sorted(inside)[: mapping.FIRST]


@pytest.mark.django_db
def test_a_crowd_is_counted_however_deep_the_zoom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vehicles that stand in one place, as in a depot, are one cell in the middle of them."""
    monkeypatch.setattr(mapping, "MOST_VEHICLES", 20)
    Vehicle.objects.bulk_create(Vehicle(id=f"D{n}", latitude=40.4, longitude=-3.7, battery=50) for n in range(30))
    for zoom in (3, 13, DEEPEST):
        view = map_view(all_vehicles(), snapshot_of(all_vehicles()), MapBox(-3.71, 40.39, -3.69, 40.41), zoom)
        assert view.cells is not None
        assert [(round(c.latitude, 9), round(c.longitude, 9), sum(c.counts)) for c in view.cells] == [(40.4, -3.7, 30)]


@pytest.mark.django_db
@pytest.mark.parametrize("number", [100, 10_000])
def test_query_counts(number: int) -> None:
    """A view costs the same few queries whatever the size of the fleet."""
    scatter(number)
    with CaptureQueriesContext(connection) as queries:
        snapshot = snapshot_of(all_vehicles())
        map_view(all_vehicles(), snapshot, WORLD, 3)
        assert len(queries) == 2
        map_view(all_vehicles(), snapshot, MapBox(-3.71, 40.39, -3.69, 40.41), 16)
    assert len(queries) <= 4


@pytest.mark.django_db
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="asks SQLite's planner")
def test_a_small_box_is_found_by_the_index() -> None:
    """Streets are looked up among 100,000 vehicles without reading the others."""
    scatter(2000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    plan = all_vehicles().filter(MapBox(-3.71, 40.39, -3.69, 40.41).holding()).order_by().explain()
    assert "vehicle_place" in plan


# --- Snapshots that are held -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_fleet_that_is_counted_in_no_time_is_counted_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a small fleet's map is never behind."""
    monkeypatch.setattr(map_snapshots, "CHEAP", 60.0)
    held = Snapshots()
    assert held.get("all", all_vehicles)[0].total == 0
    make("1")
    assert held.get("all", all_vehicles)[0].total == 1


@pytest.mark.django_db(transaction=True)
def test_a_large_fleet_is_shown_as_it_was_while_it_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a count that is under way, the answer says that a newer one comes, and one at a time is made."""
    monkeypatch.setattr(map_snapshots, "CHEAP", 0.0)
    go, began = threading.Event(), []

    def slowly() -> VehicleQuerySet:
        if began:
            assert go.wait(20)
        began.append(time.monotonic())
        return all_vehicles()

    held = Snapshots()
    first, is_newest = held.get("all", slowly)
    assert (first.total, is_newest) == (0, True)
    make("1")
    deadline = time.monotonic() + 20
    while held.get("all", slowly) == (first, True):  # as new as a tenth of the server's time allows
        assert time.monotonic() < deadline
    for _ in range(5):
        assert held.get("all", slowly) == (first, False)
    assert len(began) == 1
    go.set()
    while held.get("all", all_vehicles)[0] is first:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert held.get("all", all_vehicles)[0].total == 1
    assert len(began) == 2


@pytest.mark.django_db
def test_a_snapshot_that_nobody_asked_for_lately_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older than a minute is not shown as if it were the fleet."""
    monkeypatch.setattr(map_snapshots, "CHEAP", 0.0)
    held = Snapshots()
    held.get("all", all_vehicles)
    make("1")
    monkeypatch.setattr(map_snapshots, "OLDEST", 0.0)
    monkeypatch.setattr(map_snapshots, "SHARE", 1e9)
    time.sleep(0.01)
    assert held.get("all", all_vehicles)[0].total == 1


@pytest.mark.django_db
def test_few_snapshots_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ways of filtering are asked for, memory holds the last few."""
    monkeypatch.setattr(map_snapshots, "CHEAP", 0.0)
    held = Snapshots()
    for number in range(map_snapshots.KEPT + 5):
        held.get(number, all_vehicles)
    assert len(held._held) == len(held._making) == map_snapshots.KEPT
    held.forget()
    assert not held._held
