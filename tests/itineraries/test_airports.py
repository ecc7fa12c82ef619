"""Finding airports."""

from __future__ import annotations

import airportsdata
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itineraries import airports


def codes(text: str, limit: int = 10) -> list[str]:
    return [airport.code for airport in airports.search(text, limit)]


def test_an_airport_is_found_by_its_code():
    """In capitals or not; a code that nobody has is None."""
    bcn = airports.by_code(" bcn ")
    assert bcn is not None
    assert (bcn.code, bcn.city, bcn.country, bcn.zone_name) == ("BCN", "Barcelona", "ES", "Europe/Madrid")
    assert airports.by_code("QQQ") is None
    assert airports.by_code("") is None


def test_every_airport_s_zone_is_known():
    """No flight can fail for want of a zone."""
    known = [airports.by_code(code) for code in airportsdata.load("IATA")]
    assert len(known) > 7000
    assert all(airport is not None and airport.zone for airport in known)


def test_the_exact_code_comes_first_then_codes_then_cities_then_names():
    """For "ovd": Oviedo's own code; for "ov": codes, then Oviedo and its like, then airports that are called so."""
    assert codes("ovd")[0] == "OVD"
    found = airports.search("mal", 500)
    ranks = [
        0 if one.code == "MAL" else 1 if one.code.startswith("MAL") else 2 if "mal" in airports.folded(one.city) else 3
        for one in found
    ]
    assert ranks == sorted(ranks)
    assert {2, 3} <= set(ranks)
    cities = [airports.folded(one.city) for one, rank in zip(found, ranks, strict=True) if rank == 2]
    inside = [city for city in cities if not city.startswith("mal")]
    assert inside
    assert cities[-len(inside) :] == inside, "what begins so comes before what has it inside"


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("malaga", "AGP"), ("MÁLAGA", "AGP"), ("tromso", "TOS"), ("Tromsø", "TOS"), ("lodz", "LCJ"), ("zurich", "ZRH"),
        ("São Paulo", "GRU"), ("sao paulo", "GRU"), ("reykjavik", "KEF"), ("charles de gaulle", "CDG"),
        ("paris gaulle", "CDG"), ("  new   york ", "JFK"), ("heathrow", "LHR"), ("barcel", "BCN"),
    ],
)  # fmt: skip
def test_accents_capitals_and_blanks_do_not_matter(typed, code):
    """A city, a name, or words of both."""
    assert code in codes(typed, 12)


def test_nothing_is_found_for_nothing():
    """And no more than was asked for."""
    assert codes("  ") == []
    assert codes("no such place at all") == []
    assert len(codes("a", 7)) == 7


@given(st.text(max_size=20), st.integers(1, 20))
def test_any_text_can_be_searched_for(text, limit):
    """Each airport once, whatever is typed."""
    found = codes(text, limit)
    assert len(found) == len(set(found)) <= limit
