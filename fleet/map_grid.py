"""The grid of the fleet's map: boxes in degrees, and the cells that they touch. Pure: no I/O.

The grid's cells are squares of ``90 / 2**level`` degrees, counted from 180° W and 90° S; at a map's zoom of the same
number each is 64 pixels wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Q
from django.utils.translation import gettext

DEEPEST: Final = 22
"""The finest level there is."""
MOST_ACROSS: Final = 96
"""Cells beside or above one another in one answer, so that no address asks for millions."""


class WrongBox(ValueError):
    """What was given is no box; the text says why, in words for people."""


@dataclass(frozen=True)
class MapBox:
    """A part of the map in decimal degrees; where ``west`` is greater than ``east`` it crosses the 180th meridian."""

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def read(cls, west: str, south: str, east: str, north: str) -> MapBox:
        """A box from what an address says. Longitudes past 180 mean the next turn of the globe.

        :raises WrongBox: not four ordinary numbers, or the south above the north.
        """
        w, s, e, n = (_number(text) for text in (west, south, east, north))
        if s > n:
            raise WrongBox(gettext("The south of the box lies above its north."))
        if e - w >= 360:
            w, e = -180.0, 180.0
        return cls(_turned(w), max(s, -90.0), _turned(e), min(n, 90.0))

    @property
    def width(self) -> float:
        return self.east - self.west + (360 if self.west > self.east else 0)

    def holding(self, prefix: str = "") -> Q:
        """The vehicles in it, its edges included; ``prefix`` is that of other names of their position."""

        def at(name: str, how: str, degrees: float) -> Q:
            return Q((f"{prefix}{name}__{how}", degrees))

        latitudes = at("latitude", "gte", self.south) & at("latitude", "lte", self.north)
        west, east = at("longitude", "gte", self.west), at("longitude", "lte", self.east)
        if self.width == 360:
            return latitudes
        return latitudes & (west | east if self.west > self.east else west & east)

    def level(self, zoom: int) -> int:
        """The level of the cells to count in: the zoom's own, or a coarser one where these would be too many."""
        widest = max(self.width, self.north - self.south, size(DEEPEST))
        return max(0, min(zoom, DEEPEST, math.floor(math.log2(90 * MOST_ACROSS / widest))))


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or abs(number) > 3600:
        raise WrongBox(gettext("A box is four numbers of degrees: west, south, east and north."))
    return number


def _turned(longitude: float) -> float:
    return longitude if -180 <= longitude <= 180 else (longitude + 180) % 360 - 180


@dataclass(frozen=True)
class Cell:
    """So many vehicles of each standing around one place."""

    latitude: float
    longitude: float
    counts: Sequence[int]


@dataclass(frozen=True)
class Area:
    """A rectangle of cells, whole ones; ``columns`` are two where it crosses the 180th meridian."""

    level: int
    columns: Sequence[range]
    rows: range

    @classmethod
    def around(cls, box: MapBox, level: int) -> Area:
        """The cells that a box touches."""
        west, east = column(box.west, level), column(box.east, level)
        turns = (
            [range(west, column(180, level) + 1), range(east + 1)] if box.west > box.east else [range(west, east + 1)]
        )
        return cls(level, turns, range(row(box.south, level), row(box.north, level) + 1))

    def holds(self, x: int, y: int) -> bool:
        return y in self.rows and any(x in turn for turn in self.columns)


def size(level: int) -> float:
    """Degrees."""
    return 90.0 * 0.5**level


def column(longitude: float, level: int) -> int:
    return int((longitude + 180) / size(level))


def row(latitude: float, level: int) -> int:
    return int((latitude + 90) / size(level))
