"""Edits, and that each can be undone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from itineraries import document, editing
from itineraries.document import FlightOption, Trip
from itineraries.editing import ABSENT
from itineraries.errors import DocumentError, Gone, Stale
from tests.itineraries.strategies import amounts, cards, documents, same, texts, values, wire


@pytest.fixture
def trip() -> Trip:
    return document.parse(wire("trip"))


def flight(trip: Trip) -> tuple[str, FlightOption]:
    card = trip.segments[0]
    option = card.options[0]
    assert isinstance(option, FlightOption)
    return card.key, option


def equal(one: Trip, other: Trip) -> bool:
    return same(document.export(one), document.export(other))


def test_an_edit_changes_what_it_names_only(trip):
    """Other properties, known or not, stay; the tree it was made on stays too."""
    before = document.store(trip)
    after = editing.trip_update(trip, {"title": "Elsewhere", "price.currency": "RON", "stranger.deep": 1})
    assert document.store(trip) == before
    expected = wire("trip") | {"title": "Elsewhere", "stranger": {"deep": 1}}
    expected["price"]["currency"] = "RON"
    assert same(document.export(after), expected)
    assert (after.version, after.order_version) == (2, 1)
    assert [card.version for card in after.segments] == [1, 1, 1, 1]


def test_absent_removes_a_property_and_what_it_leaves_empty(trip):
    """A label that is emptied takes the empty object along."""
    after = editing.trip_update(trip, {"milestones.start": ABSENT, "milestones.end": ABSENT, "introText": ABSENT})
    expected = wire("trip")
    del expected["milestones"]
    assert same(document.export(after), expected)


def test_an_edit_that_changes_nothing_is_the_same_tree(trip):
    """No version rises when nothing was changed; 70.0 in place of 70 is a change."""
    key, option = flight(trip)
    assert editing.trip_update(trip, {"title": "Trip to Barcelona", "introText": ABSENT}) is trip
    assert editing.card_move(trip, key, 0) is trip
    assert editing.option_update(trip, key, option.key, {"price.currentAmount": 70}) is trip
    changed = editing.option_update(trip, key, option.key, {"price.currentAmount": 70.0})
    assert changed is not trip
    assert changed.segments[0].version == 2


def test_a_value_of_the_wrong_type_or_range_is_refused_with_its_path(trip):
    """The path is the one in the whole trip."""
    key, option = flight(trip)
    for values_, path in [
        ({"price.currentAmount": -1}, "segments[0].options[0].price.currentAmount"),
        ({"duration": "long"}, "segments[0].options[0].duration"),
    ]:
        with pytest.raises(DocumentError) as caught:
            editing.option_update(trip, key, option.key, values_)
        assert [problem.path for problem in caught.value.problems] == [path]
    with pytest.raises(DocumentError):
        editing.trip_update(trip, {"title": "x\0"})
    with pytest.raises(DocumentError):
        editing.trip_update(trip, {"introText": "x" * document.MAX_BYTES})
    with pytest.raises(DocumentError) as caught:
        editing.trip_update(trip, {"title.deeper": 1})
    assert [(problem.path, problem.code) for problem in caught.value.problems] == [("title", "type")]
    with pytest.raises(ValueError, match="segments"):
        editing.trip_update(trip, {"segments": []})
    with pytest.raises(ValueError, match="type"):
        editing.card_update(trip, key, {"type": "carRide"})


def test_a_key_that_is_not_there_is_gone(trip):
    """Edits of a removed card, option or leg say so."""
    key, option = flight(trip)
    without = editing.card_remove(trip, key)
    for edit in (
        lambda: editing.card_remove(without, key),
        lambda: editing.card_move(without, key, 0),
        lambda: editing.card_update(without, key, {"milestone": "x"}),
        lambda: editing.option_add(without, key),
        lambda: editing.option_remove(trip, key, "nowhere"),
        lambda: editing.leg_remove(trip, key, option.key, "nowhere"),
        lambda: editing.card_duplicate(without, key),
        lambda: editing.option_duplicate(trip, key, "nowhere"),
        lambda: editing.check_version(without, key, 1),
    ):
        with pytest.raises(Gone):
            edit()


def test_versions_tell_a_stale_edit(trip):
    """The trip, the order and each card count their own changes."""
    key, _option = flight(trip)
    after = editing.card_update(trip, key, {"milestone": "Off we go"})
    editing.check_version(after, "trip", 1)
    editing.check_version(after, "order", 1)
    editing.check_version(after, key, 2)
    with pytest.raises(Stale) as caught:
        editing.check_version(after, key, 1)
    assert (caught.value.part, caught.value.version) == (key, 2)


def test_a_new_card_stands_where_it_was_asked_for(trip):
    """Each kind can be added at any place, with an option in it, and a flight with a leg."""
    for at, kind in enumerate(document.KINDS):
        after, key = editing.card_add(trip, kind, at, {"milestone": "Here"})
        card = after.segments[at]
        assert (card.key, card.type, card.milestone, len(card.options)) == (key, kind, "Here", 1)
        assert after.order_version == 2
        assert same(document.export(editing.card_remove(after, key)), wire("trip"))
    after, _key = editing.card_add(document.parse({"segments": None}), "flight", 0)
    assert document.export(after) == {"segments": [{"type": "flight", "options": [{"flightSegments": [{}]}]}]}


def test_a_duplicate_is_equal_and_has_keys_of_its_own(trip):
    """Cards and options are copied right behind themselves."""
    key, option = flight(trip)
    after, twin = editing.card_duplicate(trip, key)
    assert twin == after.segments[1].key
    assert same(document.export(after.segments[0]), document.export(after.segments[1]))
    assert len(document.keys_of(after.data)) == 14
    after, twin = editing.option_duplicate(trip, key, option.key)
    assert [variant.key for variant in after.segments[0].options] == [option.key, twin]
    assert len(document.keys_of(after.data)) == 13


def test_legs_are_added_moved_and_removed(trip):
    """A connection's legs have edits of their own, which raise the card's version."""
    key, option = flight(trip)
    first, second = (leg.key for leg in option.flight_segments)
    after, third = editing.leg_add(trip, key, option.key, 1, {"code": "IB 1", "pointA.code": "MAD"})
    assert [leg.key for leg in flight(after)[1].flight_segments] == [first, third, second]
    after = editing.leg_move(after, key, option.key, third, 2)
    assert [leg.key for leg in flight(after)[1].flight_segments] == [first, second, third]
    after = editing.leg_update(after, key, option.key, third, {"stops": 1})
    assert document.export(flight(after)[1].flight_segments[2]) == {
        "code": "IB 1",
        "pointA": {"code": "MAD"},
        "stops": 1,
    }
    assert after.segments[0].version == 4
    assert equal(editing.leg_remove(after, key, option.key, third), trip)


def test_a_card_put_back_twice_is_there_once(trip):
    """An undo that is posted twice does no harm; keys that are taken by others are given anew."""
    card = document.store(trip)["segments"][1]
    assert editing.card_insert(trip, card, 0) is trip
    thief = card | {"_key": "0" * 12}
    after = editing.card_insert(trip, thief, 4)
    assert len(document.keys_of(after.data)) == 12
    with pytest.raises(DocumentError):
        editing.card_insert(trip, {"type": "cruise"}, 0)
    with pytest.raises(DocumentError):
        editing.card_insert(trip, {"type": "flight", "options": ["\0"]}, 0)


@st.composite
def trips_with_a_card(draw: Any) -> tuple[Trip, int]:
    """A trip with one to three cards, and the place of one of them."""
    segments = draw(st.lists(cards, min_size=1, max_size=3))
    return document.parse({**draw(documents), "segments": segments}), draw(st.integers(0, len(segments) - 1))


@st.composite
def trips_with_an_option(draw: Any) -> tuple[Trip, int, int]:
    """The same, and the place of one of that card's options."""
    trip, at = draw(trips_with_a_card())
    if not trip.segments[at].options:
        trip, _key = editing.option_add(trip, trip.segments[at].key)
    return trip, at, draw(st.integers(0, len(trip.segments[at].options) - 1))


@given(trips_with_a_card(), st.integers(0, 4))
def test_removing_and_moving_a_card_can_be_undone(chosen, to):
    """The removed card comes back with its keys and its version; the moved one returns to its place."""
    trip, at = chosen
    card = trip.segments[at]
    removed = editing.card_remove(trip, card.key)
    restored = editing.card_insert(removed, document.store(trip)["segments"][at], at)
    assert equal(restored, trip)
    assert [part.key for part in restored.segments] == [part.key for part in trip.segments]
    assert restored.part_version(card.key) == card.version
    assert equal(editing.card_move(editing.card_move(trip, card.key, to), card.key, at), trip)


@given(trips_with_an_option())
def test_removing_an_option_or_a_leg_can_be_undone(chosen):
    """Options and legs come back with their keys."""
    trip, at, index = chosen
    card = trip.segments[at]
    option = card.options[index]
    removed = editing.option_remove(trip, card.key, option.key)
    restored = editing.option_insert(removed, card.key, option.data, index)
    assert equal(restored, trip)
    assert document.keys_of(restored.data) == document.keys_of(trip.data)
    if isinstance(option, FlightOption) and option.flight_segments:
        leg = option.flight_segments[0]
        removed = editing.leg_remove(trip, card.key, option.key, leg.key)
        restored = editing.leg_insert(removed, card.key, option.key, leg.data, 0)
        assert equal(restored, trip)
        assert document.keys_of(restored.data) == document.keys_of(trip.data)


NAMES = {
    "title": texts,
    "introText": texts,
    "price.currency": st.sampled_from(["EUR", "USD", None]),
    "price.fixedPriceAmount": amounts,
    "dateInterval.from": texts,
    "stranger": values,
}


@given(
    documents, st.fixed_dictionaries({}, optional={name: st.just(ABSENT) | values_ for name, values_ in NAMES.items()})
)
def test_an_update_is_undone_by_the_values_before(data, update):
    """Setting what the properties held before, or their absence, gives the document before.

    An empty object is no value of its own: where an update would empty one or fill an empty one, it may vanish.
    """
    assume(not any(data.get(name) in ({}, None) for name in ("price", "dateInterval") if name in data))
    trip = document.parse(data)
    after = editing.trip_update(trip, update)
    assert equal(editing.trip_update(after, editing.values_of(trip.data, update)), trip)
