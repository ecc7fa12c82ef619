"""Countries and positions."""

from __future__ import annotations

import pytest

from fleet.countries import SERVED, country_named, position_problem


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Spain", "Spain"),
        ("ESPAÑA", "Spain"),
        ("espana", "Spain"),
        ("ES", "Spain"),
        (" esp ", "Spain"),
        ("cl", "Chile"),
        ("AUS", "Australia"),
        ("Frankreich", "France"),
        ("Estados Unidos", "United States"),
        ("Spian", None),
        ("", None),
        ("EU", None),
    ],
)
def test_country_named(text: str, name: str | None) -> None:
    """A country is known by its name in several languages and by its codes."""
    assert country_named(text) == name


def test_served_countries_are_named_as_in_the_specification() -> None:
    """The names that CityTrips takes are those that spellings lead to."""
    assert {country_named(name) for name in SERVED} == {"Australia", "Chile", "Spain"}


@pytest.mark.parametrize(
    ("country", "latitude", "longitude"),
    [
        ("Spain", 40.4168, -3.7038),
        ("Spain", 28.1235, -15.4363),
        ("Spain", 39.5696, 2.6502),
        ("Chile", -33.4489, -70.6693),
        ("Chile", -53.1638, -70.9171),
        ("Chile", -27.15, -109.43),
        ("Australia", -33.8688, 151.2093),
        ("Australia", -31.9523, 115.8613),
        ("France", 48.8566, 2.3522),
        ("", 10.0, 10.0),
    ],
)
def test_real_places(country: str, latitude: float, longitude: float) -> None:
    """Cities at the countries' far ends lie in their countries."""
    assert position_problem(country, latitude, longitude) is None


@pytest.mark.parametrize(
    ("country", "latitude", "longitude", "words"),
    [
        ("Spain", 0.0, 0.0, "Atlantic"),
        ("", 0.0, 0.0, "Atlantic"),
        ("Spain", -3.7038, 40.4168, "swapped"),
        ("Australia", 151.2, -33.8, "swapped"),
        ("Chile", -33.8688, 151.2093, "not in Chile"),
        ("Spain", 40.4, None, "both"),
        ("Spain", float("nan"), 1.0, "ordinary"),
        ("Spain", 1.0, float("inf"), "ordinary"),
    ],
)
def test_impossible_places(country: str, latitude: float, longitude: float | None, words: str) -> None:
    """A position that cannot be meant is refused with the reason."""
    assert words in (position_problem(country, latitude, longitude) or "")
