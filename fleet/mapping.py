"""The fleet on a map: how each vehicle stands, in boxes and in cells of a grid, and counted by city.

What is asked of a wide box is answered from a snapshot of the whole fleet, counted in cells of :data:`FINEST`: counting
100,000 vehicles takes a tenth of a second or two, and a person who drags a map asks several times in one. Small boxes
and single vehicles are always read from the database.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from django.db import connection, models
from django.db.models import Avg, Case, Count, F, Func, Max, Min, Q, Value, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from fleet.map_grid import DEEPEST, Area, Cell, MapBox, size
from fleet.models import Vehicle, VehicleQuerySet, is_offered
from fleet.vocabulary import State

MOST_VEHICLES: Final = 3000
"""As many are told one by one; more are counted in cells."""
FIRST: Final = 50
"""How many vehicles of a box are told one by one in any case, for the list beside the map."""
FINEST: Final = 12
"""The level of a snapshot's cells, about 2.4 km wide."""


class Standing(models.IntegerChoices):
    """How a vehicle stands, as the map tells vehicles apart."""

    OFFERED = 0, _("Offered, and CityTrips has it")
    PENDING = 1, _("Offered, on its way to CityTrips")
    OBJECTED = 2, _("Offered, but CityTrips objects")
    WITHHELD = 3, _("Available, but withheld")
    IN_USE = 4, _("Reserved or on a trip")
    OUT = 5, _("Out of use")


_ONE_CELL: Final = 8  # room for the standings, and a power of two
_ONE_COLUMN: Final = 1 << (DEEPEST + 2)  # more than the rows at any level


class _Whole(Func):
    """The whole part of a number that is not negative."""

    output_field = models.BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="CAST(%(expressions)s AS INTEGER)", **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="FLOOR(%(expressions)s)::bigint", **context)


def standing() -> Case:
    """How a vehicle stands, as an SQL expression of :class:`Standing`."""
    at_citytrips = Case(
        When(settled_version__gte=F("version"), then=Value(Standing.OFFERED.value)),
        When(objected_version=F("version"), then=Value(Standing.OBJECTED.value)),
        default=Value(Standing.PENDING.value),
    )
    return Case(
        When(state__in=(State.RESERVED, State.ON_TRIP), then=Value(Standing.IN_USE.value)),
        When(~Q(state=State.AVAILABLE), then=Value(Standing.OUT.value)),
        When(is_offered(), then=at_citytrips),
        default=Value(Standing.WITHHELD.value),
        output_field=models.IntegerField(),
    )


def _key(level: int) -> Any:
    """Cell and standing in one number, since databases group by one far faster than by three; the cell of no place is -1.

    Whole parts as :func:`column` and :func:`row` take them, to the last bit.
    """
    x = _Whole((F("longitude") + Value(180.0)) / Value(size(level)))
    y = _Whole((F("latitude") + Value(90.0)) / Value(size(level)))
    cell = Coalesce(x * Value(_ONE_COLUMN) + y, Value(-1), output_field=models.BigIntegerField())
    return cell * Value(_ONE_CELL) + standing()


@dataclass
class _Sums:
    """Cells while they are added up."""

    counts: list[int] = field(default_factory=lambda: [0] * len(Standing))
    latitudes: float = 0.0
    longitudes: float = 0.0

    def add(self, place: Standing | int, number: int, latitude: float, longitude: float) -> None:
        self.counts[place] += number
        self.latitudes += number * latitude
        self.longitudes += number * longitude

    @property
    def cell(self) -> Cell:
        number = sum(self.counts)
        return Cell(self.latitudes / number, self.longitudes / number, self.counts)


def _cells_of(vehicles: VehicleQuerySet, area: Area, box: MapBox) -> list[Cell]:
    """Counted by the database, in a box only."""
    sums: dict[int, _Sums] = defaultdict(_Sums)
    rows = (
        vehicles.filter(box.holding())
        .order_by()
        .annotate(map_key=_key(area.level))
        .values_list("map_key")
        .annotate(Count("pk"), Avg("latitude"), Avg("longitude"))
    )
    for key, number, latitude, longitude in rows:
        cell, place = divmod(key, _ONE_CELL)
        sums[cell].add(place, number, latitude, longitude)
    return [one.cell for one in sums.values()]


# --- The whole fleet ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class City:
    """A city's vehicles by standing, and where those lie that have a position: west, south, east, north."""

    country: str
    name: str
    counts: Sequence[int]
    unplaced: int
    extent: Sequence[float] | None


@dataclass(frozen=True)
class Snapshot:
    """All vehicles of a filter, counted in one query; ``cost`` and ``age`` in seconds."""

    made: float
    cost: float
    cities: Sequence[City]
    cells: Sequence[tuple[int, int, int, int, float, float]]

    @property
    def age(self) -> float:
        return time.monotonic() - self.made

    @property
    def total(self) -> int:
        return sum(sum(city.counts) for city in self.cities)

    def count_in(self, area: Area) -> int:
        """How many there are in the cells of an area of a level up to :data:`FINEST`."""
        return sum(number for _x, _y, _place, number, _latitude, _longitude in self._within(area))

    def cells_in(self, area: Area) -> list[Cell]:
        sums: dict[tuple[int, int], _Sums] = defaultdict(_Sums)
        shift = FINEST - area.level
        for x, y, place, number, latitude, longitude in self._within(area):
            sums[x >> shift, y >> shift].add(place, number, latitude, longitude)
        return [one.cell for one in sums.values()]

    def _within(self, area: Area) -> Iterable[tuple[int, int, int, int, float, float]]:
        shift = FINEST - area.level
        return (cell for cell in self.cells if area.holds(cell[0] >> shift, cell[1] >> shift))


def snapshot_of(vehicles: VehicleQuerySet) -> Snapshot:
    """Count them, in one query."""
    started = time.monotonic()
    rows = (
        vehicles.order_by()
        .annotate(map_key=_key(FINEST))
        .values_list("country", "city", "map_key")
        .annotate(Count("pk"), *(kind(name) for name in ("latitude", "longitude") for kind in (Avg, Min, Max)))
    )
    cities: list[City] = []
    cells: list[tuple[int, int, int, int, float, float]] = []
    for (country, name), group in groupby(sorted(rows, key=lambda one: one[:2]), key=lambda one: one[:2]):
        counts, unplaced, boxes = [0] * len(Standing), 0, []
        for _country, _city, key, number, *place in group:
            cell, index = divmod(key, _ONE_CELL)
            counts[index] += number
            if cell < 0:
                unplaced += number
                continue
            latitude, south, north, longitude, west, east = place
            cells.append((*divmod(cell, _ONE_COLUMN), index, number, latitude, longitude))
            boxes.append((west, south, east, north))
        cities.append(City(country, name, counts, unplaced, _around(boxes)))
    return Snapshot(started, time.monotonic() - started, cities, cells)


def _around(boxes: Sequence[tuple[float, float, float, float]]) -> list[float] | None:
    if not boxes:
        return None
    wests, souths, easts, norths = zip(*boxes, strict=True)
    return [min(wests), min(souths), max(easts), max(norths)]


# --- One view of the map -----------------------------------------------------------------------------------------

_VEHICLE_FIELDS: Final = ("id", "latitude", "longitude", "map_standing", "plate", "battery", "state", "city")


@dataclass(frozen=True)
class MapView:
    """What there is in a box: single vehicles, or cells and the first few vehicles.

    ``vehicles`` are tuples of id, latitude, longitude, standing, plate, battery, state and city, in the order of ids.
    """

    count: int
    vehicles: Sequence[tuple[Any, ...]]
    cells: Sequence[Cell] | None


def map_view(vehicles: VehicleQuerySet, snapshot: Snapshot, box: MapBox, zoom: int) -> MapView:
    """A box at a zoom, in at most three queries. Cells are whole ones, so they hold a little more than the box."""
    inside = vehicles.filter(box.holding()).order_by("pk").annotate(map_standing=standing())
    rows = inside.values_list(*_VEHICLE_FIELDS)
    area = Area.around(box, box.level(zoom))
    is_wide = area.level <= FINEST
    if is_wide:
        number = snapshot.count_in(area)
    else:
        number = vehicles.filter(box.holding()).order_by()[: MOST_VEHICLES + 1].count()
    if number <= MOST_VEHICLES:
        found = list(rows[: MOST_VEHICLES + 1])  # of a snapshot that is not the newest there may be more by now
        if len(found) <= MOST_VEHICLES:
            return MapView(len(found), found, None)
    cells = snapshot.cells_in(area) if is_wide else _cells_of(vehicles, area, box)
    if connection.vendor == "sqlite":
        # It would take the index of places and sort all that it finds; without, it soon has the first in order of ids.
        # PostgreSQL sees that by itself, as long as it is asked of the plain columns.
        plain = {f"plain_{name}": F(name) + Value(0.0) for name in ("latitude", "longitude")}
        inside = vehicles.alias(**plain).filter(box.holding("plain_")).order_by("pk").annotate(map_standing=standing())
        rows = inside.values_list(*_VEHICLE_FIELDS)
    return MapView(sum(sum(cell.counts) for cell in cells), list(rows[:FIRST]), cells)


def vehicle_on_map(pk: str) -> Vehicle | None:
    """One vehicle with all that its card shows."""
    return Vehicle.objects.with_citytrips_status().annotate(map_standing=standing()).filter(pk=pk).first()
