"""Airports with their IATA codes and time zones, from the package ``airportsdata``."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache, cached_property
from zoneinfo import ZoneInfo

import airportsdata


@dataclass(frozen=True)
class Airport:
    """``country`` is an ISO 3166 code; ``zone_name`` an IANA time zone."""

    code: str
    name: str
    city: str
    country: str
    zone_name: str

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone_name)


def by_code(code: str) -> Airport | None:
    """The airport with that IATA code, in capitals or not; None where there is none."""
    return _airports().get(code.strip().upper())


def search(text: str, limit: int = 10) -> list[Airport]:
    """Airports by what a person types: the exact code first, then codes that begin so, then cities, then names.

    Accents and capitals do not matter.
    """
    wanted = folded(text)
    if not wanted:
        return []
    ranked = []
    for airport, city, name in _searchable():
        if airport.code == wanted.upper():
            rank = 0
        elif airport.code.startswith(wanted.upper()):
            rank = 1
        elif city.startswith(wanted):
            rank = 2
        elif name.startswith(wanted):
            rank = 3
        elif wanted in city:
            rank = 4
        elif wanted in name:
            rank = 5
        else:
            continue
        ranked.append((rank, airport.code, airport))
    return [airport for _rank, _code, airport in sorted(ranked, key=lambda found: found[:2])[:limit]]


@cache
def city_names() -> frozenset[str]:
    """The cities that have an airport, folded as :func:`folded` does."""
    return frozenset(city for _airport, city, _name in _searchable() if city)


@cache
def _airports() -> dict[str, Airport]:
    return {
        code: Airport(code, entry["name"], entry["city"], entry["country"], entry["tz"])
        for code, entry in airportsdata.load("IATA").items()
    }


@cache
def _searchable() -> list[tuple[Airport, str, str]]:
    return [(airport, folded(airport.city), folded(airport.name)) for airport in _airports().values()]


def folded(text: str) -> str:
    """Without accents and capitals, for comparing."""
    apart = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))
