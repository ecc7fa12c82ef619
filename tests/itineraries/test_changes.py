"""Differences in words that a salesperson reads."""

from __future__ import annotations

import copy

import pytest
from django.utils import translation
from hypothesis import given

from itineraries import editing
from itineraries.changes import MAX_LINES, in_words, sections
from itineraries.document import export, parse, store
from tests.itineraries.strategies import documents, wire
from tests.itineraries.test_difference import LISTS, leaves


def told(old, new):
    return [str(line) for line in in_words(old, new)]


def edited(path, value):
    new = copy.deepcopy(wire("trip"))
    holder = new
    for step in path[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return new


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("title",), "Barcelona in May", "Trip: Title: “Trip to Barcelona” → “Barcelona in May”"),
        (("subtitle",), ..., "Trip: Subtitle: “Bucharest to Barcelona” → none"),
        (("introText",), "Hello", "Trip: Introduction: none → “Hello”"),
        (("dateInterval", "to"), "27.05.2016", "Trip: Last day: 26 May 2016 → 27 May 2016"),
        (("dateInterval", "to"), "soon", "Trip: Last day: 26 May 2016 → “soon”"),
        (("price", "type"), "fixed", "Trip: Price: Each card has its own → One for the whole trip"),
        (("price", "fixedPriceAmount"), 1250.5, "Trip: Price of the whole trip: 0 EUR → 1,250.50 EUR"),
        (
            ("segments", 0, "options", 0, "price", "currentAmount"),
            140,
            "1. Flight “Bucharest to Barcelona via Frankfurt”: Price: 70 EUR → 140 EUR",
        ),
        (
            ("segments", 0, "options", 0, "price", "discounted"),
            False,
            "1. Flight “Bucharest to Barcelona via Frankfurt”: Show as a discount: yes → no",
        ),
        (
            ("segments", 0, "options", 0, "duration"),
            19260,
            "1. Flight “Bucharest to Barcelona via Frankfurt”: Total duration: 5 h 20 min → 5 h 21 min",
        ),
        (
            ("segments", 0, "options", 0, "flightSegments", 1, "pointA", "time"),
            "16:35 PM",
            "1. Flight “Bucharest to Barcelona via Frankfurt”, leg 2: Departure time: 16:05 → 16:35",
        ),
        (
            ("segments", 0, "options", 0, "flightSegments", 1, "pointA", "time"),
            "16:05",
            '1. Flight “Bucharest to Barcelona via Frankfurt”, leg 2: Departure time: "16:05 PM" → "16:05"',
        ),
        (("segments", 1, "milestone"), "", "2. Stay “SmartRoom Barcelona”: Label before this card: “Arrived at Point B” → empty"),
        (("segments", 3, "options", 0, "stars"), 5, "4. Experience “Tibidabo Amusement Park”: stars: none → 5"),
    ],
)  # fmt: skip
def test_a_changed_property_is_named_as_in_the_form(path, value, words):
    """With its label, and both values as people write them."""
    assert told(wire("trip"), edited(path, value)) == [words]


def test_both_currencies_are_said_where_the_currency_changed():
    """An amount stands in the currency of its version."""
    new = edited(("price", "currency"), "USD")
    new["segments"][2]["options"][0]["price"]["currentAmount"] = 20
    assert told(wire("trip"), new) == [
        "Trip: Currency: EUR → USD",
        "3. Car ride “Barcelona airport to Point B”: Price: 15 EUR → 20 USD",
    ]


def test_an_object_that_went_is_told_property_by_property():
    """A price that was taken out is its amount, not a piece of JSON."""
    assert told(wire("trip"), edited(("segments", 2, "options", 0, "price"), ...)) == [
        f"3. Car ride “Barcelona airport to Point B”: {words}"
        for words in ("Show as a discount: no → none", "Price: 15 EUR → none", "Price before: 0 EUR → none")
    ]


def test_added_removed_and_moved_parts_are_told():
    """Cards, options and legs, each by the place that people count."""
    before = parse(wire("trip"))
    flight, stay, ride, visit = (card.key for card in before.segments)
    after = editing.card_move(before, ride, 1)
    after = editing.card_remove(after, visit)
    after, _key = editing.option_add(after, stay, None, {"title": "Casa Batlló"})
    after, _key = editing.card_add(after, "experience", 0)
    option = before.segments[0].options[0]
    after = editing.leg_remove(after, flight, option.key, option.flight_segments[1].key)
    expected = [
        "4. Experience “Tibidabo Amusement Park”: removed",
        "1. Experience: added",
        "2. Flight “Bucharest to Barcelona via Frankfurt”, option 1, leg 2: removed",
        "4. Stay “SmartRoom Barcelona”: moved from place 2 to the end",
        "4. Stay “SmartRoom Barcelona”, option 2: added: “Casa Batlló”",
    ]
    assert told(store(before), store(after)) == expected
    assert told(export(before), export(after)) == expected


def test_a_move_names_what_the_card_stands_before_now():
    """Neither to the beginning nor to the end: before the card that follows it."""
    before = parse(wire("trip"))
    after = editing.card_move(before, before.segments[3].key, 1)
    assert told(store(before), store(after)) == [
        "2. Experience “Tibidabo Amusement Park”: moved from place 4 before 3. Stay “SmartRoom Barcelona”"
    ]


def test_options_that_changed_their_order_are_told():
    """By their places within the card."""
    before = parse(wire("trip"))
    stay = before.segments[1].key
    for number in (2, 3):
        before, key = editing.option_add(before, stay, None, {"title": f"Hotel {number}"})
    after = editing.option_move(before, stay, key, 0)
    assert told(store(before), store(after)) == ["2. Stay “Hotel 3”, option 1: moved from place 3 to the beginning"]


def test_long_texts_are_shortened_around_what_differs():
    """The difference is in sight, however long the text before it."""
    old, new = (
        edited(("introText",), "x" * 500 + " with breakfast"),
        edited(("introText",), "x" * 500 + " without meals"),
    )
    (line,) = in_words(old, new)
    assert "with breakfast" in line.what
    assert "without meals" in line.what
    assert len(line.what) < 300


def test_the_words_are_in_the_reader_s_language():
    """Numbers and dates too."""
    with translation.override("es"):
        (amount,) = told(wire("trip"), edited(("price", "fixedPriceAmount"), 1250.5))
        (day,) = told(wire("trip"), edited(("dateInterval", "to"), "27.05.2016"))
    assert "1250,50 EUR" in amount or "1.250,50 EUR" in amount
    assert "27 may 2016" in day


@pytest.mark.parametrize("path", [path for path in leaves(wire("trip")) if path[-1] != "type" or "price" in path])
def test_every_property_of_the_sample_has_words(path):
    """Each has one line, in which both values differ and no raw name of the specification stands."""
    (line,) = told(wire("trip"), edited(path, "something else"))
    assert line.count("→") == 1
    assert "something else" in line
    assert f": {'.'.join(str(step) for step in path if isinstance(step, str) and step not in LISTS)}: " not in line


@given(documents, documents)
def test_any_two_documents_can_be_told_apart_in_words(old, new):
    """However strange the values are; and nothing is said of a document and itself."""
    assert in_words(old, old) == []
    shown, left_out = sections(old, new)
    assert sum(len(one.lines) for one in shown) + left_out == len(in_words(old, new))


def test_more_lines_than_anybody_reads_are_counted_instead():
    """The sections end, and say how many lines they leave out."""
    new = {"segments": [{"type": "experience"}] * (MAX_LINES + 7)}
    shown, left_out = sections({}, new)
    assert sum(len(one.lines) for one in shown) == MAX_LINES
    assert left_out == 7
