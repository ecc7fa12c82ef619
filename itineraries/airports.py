"""Airports with their IATA codes and time zones, from the package ``airportsdata``."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import accumulate
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
    """Airports by what a person types: the exact code, codes that begin so, then cities, then names; at last those in
    whose city and name all the words stand ("paris gaulle").

    Accents and capitals do not matter. Within a rank, what begins so comes before what has it inside.
    """
    wanted = " ".join(folded(text).split())
    if not wanted:
        return []
    found: dict[str, Airport] = {}
    for airport in _ranked(wanted):
        found.setdefault(airport.code, airport)
        if len(found) >= limit:
            break
    return [*found.values()][:limit]


def _ranked(wanted: str) -> Iterator[Airport]:
    """Each rank is looked for once those above it are used up."""
    index = _index()
    code = wanted.upper()
    if exact := _airports().get(code):
        yield exact
    for column in (index.codes, index.cities, index.names):
        yield from column.beginning(code if column is index.codes else wanted)
        # One letter or two are inside of everything.
        if column is not index.codes and len(wanted) > 2:
            yield from column.holding(wanted)
    words = sorted(wanted.split(), key=len, reverse=True)
    if len(words) > 1:
        wholes = index.wholes.holding(words[0])
        yield from (one for one in wholes if all(word in index.whole_of[one.code] for word in words))


@dataclass(frozen=True)
class _Column:
    """Airports sorted by one of their folded texts, which also stand one below the other in ``page``."""

    texts: list[str]
    airports: list[Airport]
    page: str
    starts: list[int]

    @classmethod
    def of(cls, texts: Iterable[tuple[str, Airport]]) -> _Column:
        ordered = sorted(texts, key=lambda one: (one[0], one[1].code))
        lines = [text for text, _airport in ordered]
        starts = [0, *accumulate(len(line) + 1 for line in lines)][:-1]
        return cls(lines, [airport for _text, airport in ordered], "\n".join(lines), starts)

    def beginning(self, wanted: str) -> Iterator[Airport]:
        for at in range(bisect_left(self.texts, wanted), len(self.texts)):
            if not self.texts[at].startswith(wanted):
                return
            yield self.airports[at]

    def holding(self, wanted: str) -> Iterator[Airport]:
        # One search in a long text is faster than eight thousand in short ones.
        place = self.page.find(wanted)
        while place >= 0:
            at = bisect_right(self.starts, place) - 1
            yield self.airports[at]
            place = self.page.find(wanted, self.starts[at] + len(self.texts[at]))


@dataclass(frozen=True)
class _Index:
    codes: _Column
    cities: _Column
    names: _Column
    wholes: _Column
    whole_of: dict[str, str]


@cache
def city_names() -> frozenset[str]:
    """The cities that have an airport, folded as :func:`folded` does."""
    return frozenset(city for city in _index().cities.texts if city)


@cache
def _airports() -> dict[str, Airport]:
    return {
        code: Airport(code, entry["name"], entry["city"], entry["country"], entry["tz"])
        for code, entry in airportsdata.load("IATA").items()
    }


@cache
def _index() -> _Index:
    every = [*_airports().values()]
    cities = {airport.code: folded(airport.city) for airport in every}
    names = {airport.code: folded(airport.name) for airport in every}
    whole_of = {one.code: f"{one.code.lower()} {cities[one.code]} {names[one.code]}" for one in every}
    return _Index(
        codes=_Column.of((airport.code, airport) for airport in every),
        cities=_Column.of((cities[airport.code], airport) for airport in every),
        names=_Column.of((names[airport.code], airport) for airport in every),
        wholes=_Column.of((whole_of[airport.code], airport) for airport in every),
        whole_of=whole_of,
    )


# Letters that are no plain letter with an accent, and that people type without.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ħ": "h"})


@lru_cache(8192)
def folded(text: str) -> str:
    """Without accents and capitals, for comparing."""
    text = text.strip().casefold()
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))
