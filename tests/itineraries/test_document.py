"""The lossless tree."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from itineraries import document
from itineraries.errors import DocumentError
from tests.itineraries.strategies import documents, same, wire


def refused(data: object) -> list[tuple[str, str]]:
    with pytest.raises(DocumentError) as caught:
        document.parse(data)
    return [(problem.path, problem.code) for problem in caught.value.problems]


def refused_text(text: str | bytes) -> list[tuple[str, str]]:
    with pytest.raises(DocumentError) as caught:
        document.parse(document.read(text))
    return [(problem.path, problem.code) for problem in caught.value.problems]


@given(documents)
def test_every_document_comes_out_as_it_went_in(data):
    """What came in goes out equal by value and type: known properties, strangers, nulls, in their order."""
    trip = document.parse(data)
    assert same(document.export(trip), data)
    assert list(document.export(trip)) == list(data)
    assert same(document.export(document.load(json.loads(json.dumps(document.store(trip))))), data)


def test_the_samples_of_the_specification_come_out_equal():
    """The four sample cards under the main properties go through without a change."""
    trip = document.parse(wire("trip"))
    assert same(document.export(trip), wire("trip"))
    assert trip.price is not None
    assert trip.price.fixed_price_amount == 0
    assert [card.type for card in trip.segments] == ["flight", "accommodation", "carRide", "experience"]


def test_input_is_not_changed_and_output_is_a_copy():
    """Keys are given to a copy; a caller who changes what he gave or got changes no tree."""
    data = wire("trip")
    trip = document.parse(data)
    assert same(data, wire("trip"))
    data["segments"].clear()
    document.export(trip)["segments"].clear()
    document.store(trip)["title"] = "?"
    assert same(document.export(trip), wire("trip"))


def test_each_card_option_and_leg_has_a_key_of_its_own():
    """Keys are unique in the trip, stay in what is stored, and never leave."""
    stored = document.store(document.parse(wire("trip")))
    card = stored["segments"][0]
    keys = {card["_key"], card["options"][0]["_key"], *(leg["_key"] for leg in card["options"][0]["flightSegments"])}
    assert len(keys) == 4
    assert len(document.keys_of(stored)) == 10
    assert '"_' not in json.dumps(document.export(document.load(stored)))


def test_a_draft_may_miss_everything():
    """An empty object, nulls and empty lists are drafts."""
    for data in ({}, {"title": None, "segments": None}, {"segments": [{"type": "flight", "options": None}]}):
        assert document.export(document.parse(data)) == data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([], [("", "type")]),
        (None, [("", "type")]),
        ("text", [("", "type")]),
        ({"title": 5}, [("title", "type")]),
        ({"price": {"currency": "GBP"}}, [("price.currency", "choice")]),
        (
            {"price": {"type": "free", "fixedPriceAmount": True}},
            [("price.type", "choice"), ("price.fixedPriceAmount", "type")],
        ),
        ({"price": {"fixedPriceAmount": "70"}}, [("price.fixedPriceAmount", "type")]),
        ({"price": {"fixedPriceAmount": -1}}, [("price.fixedPriceAmount", "range")]),
        ({"price": []}, [("price", "type")]),
        ({"segments": {}}, [("segments", "type")]),
        ({"segments": [4]}, [("segments[0]", "type")]),
        ({"segments": [{}]}, [("segments[0].type", "choice")]),
        ({"segments": [{"type": "cruise"}]}, [("segments[0].type", "choice")]),
        ({"segments": [{"type": ["flight"]}]}, [("segments[0].type", "choice")]),
        (
            {"segments": [{"type": "flight"}, {"type": "accommodation", "options": [{"latitude": 90.1}]}]},
            [("segments[1].options[0].latitude", "range")],
        ),
        (
            {"segments": [{"type": "flight", "options": [{"flightSegments": [{}, {"pointA": {"code": 7}}]}]}]},
            [("segments[0].options[0].flightSegments[1].pointA.code", "type")],
        ),
        (
            {"segments": [{"type": "carRide", "options": [{"price": {"discounted": 1}}]}]},
            [("segments[0].options[0].price.discounted", "type")],
        ),
        ({"a": [{"b": "x\0"}]}, [("a[0].b", "character")]),
        ({"a": "\ud800"}, [("a", "character")]),
        ({"\ud800": 1}, [("\\ud800", "character")]),
        ({"x\0": 1}, [("x\\x00", "character")]),
        ({"a": float("nan")}, [("a", "number")]),
        ({"a": [float("inf")]}, [("a[0]", "number")]),
        ({"a": 2**53 + 1}, [("a", "number")]),
        ({"a": 10**400}, [("a", "number")]),
        ({"_key": "x"}, [("_key", "name")]),
        ({"a": {"b": [{"_version": 1}]}}, [("a.b[0]._version", "name")]),
        ({"a": {1, 2}}, [("a", "type")]),
        ({"a": b"bytes"}, [("a", "type")]),
        ({"a": "x" * document.MAX_BYTES}, [("", "size")]),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_path(data, expected):
    """Types, ranges, characters, numbers, sizes and our own names are refused where they stand."""
    assert refused(data) == expected


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("flight", "duration", -1),
        ("flight", "stops", -0.5),
        ("flight", "layovers", -1),
        ("flight", "price.currentAmount", -0.01),
        ("flight", "price.beforeAmount", -1),
        ("flight", "flightSegments[0].duration", -1),
        ("flight", "flightSegments[0].stops", -1),
        ("flight", "flightSegments[0].layoverTime", -1),
        ("carRide", "duration", -1),
        ("accommodation", "latitude", -90.1),
        ("accommodation", "longitude", 180.1),
        ("accommodation", "longitude", -181),
    ],
)
def test_each_number_has_its_range(kind, path, value):
    """Amounts, lengths and counts from 0, latitudes to 90 and longitudes to 180 either way; the ends are in."""

    def option(number: float) -> dict[str, object]:
        inner: object = number
        for name in reversed(path.replace("[0]", ".[0]").split(".")):
            inner = [inner] if name == "[0]" else {name: inner}
        return {"segments": [{"type": kind, "options": [inner]}]}

    assert refused(option(value)) == [(f"segments[0].options[0].{path}", "range")]
    end = {"latitude": -90, "longitude": 180 if value > 0 else -180}.get(path, 0)
    assert document.export(document.parse(option(end))) == option(end)


def test_nesting_ends_at_sixty_four():
    """Sixty-four levels are kept, the sixty-fifth is refused with the path to it."""

    def nested(levels: int) -> dict[str, object]:
        inner: dict[str, object] = {}
        for _level in range(levels - 1):
            inner = {"a": inner}
        return inner

    assert document.export(document.parse(nested(64))) == nested(64)
    assert refused(nested(65)) == [(".".join("a" * 64), "depth")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", [("", "json")]),
        ("", [("", "json")]),
        (b"\xff{}", [("", "json")]),
        ('{"a": 1, "a": 2}', [("a", "duplicate")]),
        ('{"a": [{"b": 1, "b": 1}]}', [("a[0].b", "duplicate")]),
        ('{"a": NaN}', [("a", "number")]),
        ('{"a": -Infinity}', [("a", "number")]),
        ('{"a": 1e999}', [("a", "number")]),
        ('{"a": 1e-999}', [("a", "number")]),
        ('{"a": 1e99999999999999999999999}', [("a", "number")]),
        ('{"a": 0.12345678901234567891}', [("a", "number")]),
        ('{"a": ' + "9" * 5000 + "}", [("a", "number")]),
        ("[" * 100_000, [("", "depth")]),
        ('{"a":' * 100_000, [("", "depth")]),
    ],
)
def test_text_that_says_more_than_can_be_kept_is_refused(text, expected):
    """Doubled names, too many digits, NaN, no JSON, no UTF-8 and bottomless nesting are refused, never lost."""
    assert refused_text(text) == expected


@pytest.mark.parametrize(
    "number", ["70", "70.0", "41.3720250384618", "2.1370321883605357", "1e5", "0.50000000000000000000000", "-0.0"]
)
def test_numbers_keep_their_digits_and_their_kind(number):
    """An integer stays one, a float keeps every digit that a double holds."""
    kept = document.export(document.parse(document.read(f'{{"a": {number}}}')))["a"]
    assert repr(kept) == repr(json.loads(number))


def test_a_byte_order_mark_is_no_part_of_the_text():
    """Files that editors marked as UTF-8 are read."""
    assert document.read(b'\xef\xbb\xbf{"title": "x"}') == {"title": "x"}


def test_a_flood_of_mistakes_is_cut():
    """No more than a hundred problems are answered."""
    assert len(refused({"a": ["\0"] * 5000})) == 100
    assert len(refused({"segments": [7] * 5000})) == 100
