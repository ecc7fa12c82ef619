"""Boxes of the map, and the cells that they touch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.map_grid import DEEPEST, MOST_ACROSS, Area, MapBox, WrongBox, column, row

LONGITUDES = st.floats(-540, 540)
LATITUDES = st.floats(-95, 95)


def box(west: object, south: object, east: object, north: object) -> MapBox:
    return MapBox.read(str(west), str(south), str(east), str(north))


@pytest.mark.parametrize(
    "corners",
    [
        ("", "", "", ""),
        ("a", "0", "1", "1"),
        ("nan", "0", "1", "1"),
        ("0", "-inf", "1", "1"),
        ("0", "2", "1", "1"),
        ("1e300", "0", "1e301", "1"),
        ("0", "0", "1", "99999"),
        ("٣x", "0", "1", "1"),
        ("0\x00", "0", "1", "1"),
    ],
)
def test_what_is_no_box_is_refused(corners: tuple[str, str, str, str]) -> None:
    """A box is four ordinary numbers, the south below the north."""
    with pytest.raises(WrongBox):
        MapBox.read(*corners)


@pytest.mark.parametrize(
    ("corners", "found"),
    [
        ((-4, 40, -3, 41), MapBox(-4, 40, -3, 41)),
        ((170, -40, -170, -30), MapBox(170, -40, -170, -30)),
        ((170, -40, 190, -30), MapBox(170, -40, -170, -30)),
        ((356, 40, 357, 41), MapBox(-4, 40, -3, 41)),
        ((-200, -100, 200, 100), MapBox(-180, -90, 180, 90)),
        ((0, 40, 0, 40), MapBox(0, 40, 0, 40)),
    ],
)
def test_a_box_of_another_turn_of_the_globe(corners: tuple[float, ...], found: MapBox) -> None:
    """Longitudes past 180 are those of the next turn, and latitudes end at the poles."""
    assert box(*corners) == found


@given(
    west=LONGITUDES, width=st.floats(0, 400), south=LATITUDES, height=st.floats(0, 190), zoom=st.integers(0, DEEPEST)
)
def test_an_answer_has_few_cells(west: float, width: float, south: float, height: float, zoom: int) -> None:
    """However large the box and deep the zoom, the cells beside one another stay few, and a small box has cells too."""
    asked = box(west, south, west + width, south + height)
    area = Area.around(asked, asked.level(zoom))
    assert 0 <= area.level <= zoom
    assert 1 <= sum(map(len, area.columns)) <= MOST_ACROSS + 3
    assert len(area.rows) <= MOST_ACROSS + 2


@given(
    west=LONGITUDES, width=st.floats(0, 400), south=LATITUDES, height=st.floats(0, 190),
    longitude=st.floats(-180, 180), latitude=st.floats(-90, 90), zoom=st.integers(0, DEEPEST),
)  # fmt: skip
def test_the_cells_of_a_box_hold_what_it_holds(
    west: float, width: float, south: float, height: float, longitude: float, latitude: float, zoom: int
) -> None:
    """A place in the box lies in one of its cells, over the 180th meridian too."""
    asked = box(west, south, west + width, south + height)
    across = (
        asked.west <= longitude or longitude <= asked.east
        if asked.west > asked.east
        else asked.west <= longitude <= asked.east
    )
    if across and asked.south <= latitude <= asked.north:
        area = Area.around(asked, asked.level(zoom))
        assert area.holds(column(longitude, area.level), row(latitude, area.level))


@given(longitude=st.floats(-180, 180), latitude=st.floats(-90, 90), level=st.integers(1, DEEPEST))
def test_cells_of_a_finer_level_lie_in_one_of_the_coarser(longitude: float, latitude: float, level: int) -> None:
    """So counts in fine cells add up to those in coarse ones."""
    assert column(longitude, level) >> 1 == column(longitude, level - 1)
    assert row(latitude, level) >> 1 == row(latitude, level - 1)
