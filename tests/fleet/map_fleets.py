"""Fleets for the tests of the map, written in one go."""

from __future__ import annotations

import random
from collections.abc import Iterator

from fleet.models import Vehicle
from fleet.vocabulary import State

CITIES = (
    ("Spain", "Madrid", 40.42, -3.70),
    ("Spain", "Barcelona", 41.39, 2.17),
    ("Chile", "Santiago", -33.45, -70.66),
    ("Australia", "Sydney", -33.87, 151.21),
    ("", "", -17.8, 179.99),  # on the 180th meridian
)


def scatter(number: int, seed: int = 1, spread: float = 0.1) -> None:
    """So many vehicles in every state in five places; one in twenty without a position, one in ten without a battery."""
    Vehicle.objects.bulk_create(_vehicles(number, random.Random(seed), spread))


def _vehicles(number: int, chance: random.Random, spread: float) -> Iterator[Vehicle]:
    for index in range(number):
        country, city, latitude, longitude = CITIES[index % len(CITIES)]
        latitude += chance.uniform(-spread, spread)
        longitude = (longitude + chance.uniform(-spread, spread) + 180) % 360 - 180
        is_placed = chance.random() < 0.95
        yield Vehicle(
            id=f"V{index:06}",
            plate=f"{index:04} BCD" if chance.random() < 0.9 else "",
            country=country,
            city=city,
            latitude=latitude if is_placed else None,
            longitude=longitude if is_placed else None,
            battery=chance.randint(0, 100) if chance.random() < 0.9 else None,
            state=chance.choice([State.AVAILABLE] * 6 + list(State)),
        )
