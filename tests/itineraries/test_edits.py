"""Edits as data: any sequence of them leaves a tree, and undoing it all gives the tree back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from itineraries import document, editing, edits
from itineraries.document import FlightOption, Trip
from itineraries.edits import Edit, NoSuchEdit
from itineraries.errors import Gone
from tests.itineraries.strategies import amounts, documents, same, texts, values, wire

NAMES = {
    "trip": ["title", "introText", "dateInterval.from", "milestones.start", "stranger", "stranger.inner.deep"],
    "card": ["milestone", "stranger", "stranger.inner.deep"],
    "option": ["title", "info", "price.currentAmount", "price.beforeAmount", "stranger.inner.deep"],
    "leg": ["code", "duration", "pointA.code", "pointB.date", "pointB.stranger", "stranger.inner"],
}


def value_for(name: str) -> st.SearchStrategy[Any]:
    if name.startswith("stranger"):
        return values
    return amounts if name.endswith(("Amount", "duration")) else texts


@st.composite
def updates(draw: Any, part: str) -> dict[str, Any]:
    """Values, and names to remove."""
    names = draw(st.lists(st.sampled_from(NAMES[part]), unique=True, max_size=3))
    # Of two names of which one lies within the other, the order decides; ours never come together.
    if "stranger" in names:
        names = [name for name in names if not name.startswith("stranger.")]
    given = {name: draw(value_for(name)) for name in names}
    absent = draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    return {"values": {name: value for name, value in given.items() if name not in absent}, "absent": absent}


def every_key(trip: Trip) -> list[str]:
    found = []
    for card in trip.segments:
        found.append(card.key)
        for option in card.options:
            found.append(option.key)
            found += [leg.key for leg in option.flight_segments] if isinstance(option, FlightOption) else []
    return found


def keyed(trip: Trip) -> Any:
    """The tree with its keys, without versions: those count the undoing, too."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items() if name == "_key" or not name.startswith("_")}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return plain(trip.data)


class Editing(RuleBasedStateMachine):
    """A trip that is edited at random, and a stack of what takes each edit back."""

    def __init__(self) -> None:
        super().__init__()
        self.trip = self.first = document.parse({})
        self.undo: list[Edit] = []

    @initialize(data=documents)
    def start(self, data: Any) -> None:
        self.trip = self.first = document.parse(data)

    def do(self, name: str, **arguments: Any) -> None:
        edit = Edit(name, arguments)
        try:
            done = edits.perform(self.trip, edit)
        except document.DocumentError:
            return  # a stranger's value where the update looks for an object
        # As it waits in a page.
        inverse = done.inverse and Edit.from_json(json.loads(json.dumps(done.inverse.as_json())))
        assert (inverse is None) == (done.trip is self.trip)
        if inverse is not None:
            assert same(keyed(edits.perform(done.trip, inverse).trip), keyed(self.trip)), edit
            self.undo.append(inverse)
        self.trip = done.trip

    def some(self, data: Any, *kinds: str) -> dict[str, str] | None:
        """The keys of a card, an option of it, and a leg of that, as far as they are asked for."""
        items: list[Any] = list(self.trip.segments)
        found: dict[str, str] = {}
        for name, inner in (("card_key", "options"), ("option_key", "flight_segments"), ("leg_key", "")):
            if name not in kinds:
                break
            if not items:
                return None
            chosen = data.draw(st.sampled_from(range(len(items))))
            found[name] = items[chosen].key
            items = list(getattr(items[chosen], inner, ()))
        return found

    @rule(change=updates("trip"))
    def update_trip(self, change: Any) -> None:
        self.do("trip_update", **change)

    @rule(kind=st.sampled_from(document.KINDS), at=st.integers(0, 4))
    def add_card(self, kind: Any, at: int) -> None:
        self.do("card_add", kind=kind, at=at)

    @rule(
        data=st.data(),
        part=st.sampled_from(["card", "option", "leg"]),
        what=st.sampled_from(["move", "remove", "update"]),
    )
    def change_part(self, data: Any, part: str, what: str) -> None:
        keys = self.some(data, *edits._PARTS[part])
        if keys is None:
            return
        more: dict[str, Any] = {"to": data.draw(st.integers(0, 4))} if what == "move" else {}
        if what == "update":
            more = data.draw(updates(part))
        self.do(f"{part}_{what}", **keys, **more)

    @rule(data=st.data())
    def duplicate_card(self, data: Any) -> None:
        if keys := self.some(data, "card_key"):
            self.do("card_duplicate", **keys)

    @rule(data=st.data())
    def duplicate_option(self, data: Any) -> None:
        if keys := self.some(data, "card_key", "option_key"):
            self.do("option_duplicate", **keys)

    @rule(data=st.data(), at=st.none() | st.integers(0, 3))
    def add_option(self, data: Any, at: int | None) -> None:
        if keys := self.some(data, "card_key"):
            self.do("option_add", **keys, at=at)

    @rule(data=st.data(), at=st.none() | st.integers(0, 3))
    def add_leg(self, data: Any, at: int | None) -> None:
        keys = self.some(data, "card_key", "option_key")
        if keys and next(one for one in self.trip.segments if one.key == keys["card_key"]).type == "flight":
            self.do("leg_add", **keys, at=at, values={"stops": 0})

    @rule()
    def undo_last(self) -> None:
        if self.undo:
            self.trip = edits.perform(self.trip, self.undo.pop()).trip

    @invariant()
    def keys_are_unique_and_the_tree_is_one(self) -> None:
        keys = every_key(self.trip)
        assert len(keys) == len(set(keys))
        assert set(keys) == document.keys_of(self.trip.data)
        assert same(document.export(document.parse(document.export(self.trip))), document.export(self.trip))
        assert same(document.store(document.load(document.store(self.trip))), document.store(self.trip))

    def teardown(self) -> None:
        while self.undo:
            self.trip = edits.perform(self.trip, self.undo.pop()).trip
        assert same(keyed(self.trip), keyed(self.first))


Editing.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestEditing = Editing.TestCase


@given(documents, updates("trip"))
def test_an_update_is_undone_exactly(data, change):
    """Also where it makes an object, empties one, or finds a null or an empty one."""
    trip = document.parse(data)
    try:
        done = edits.perform(trip, Edit("trip_update", change))
    except document.DocumentError:
        return
    if done.inverse is not None:
        assert same(document.export(edits.perform(done.trip, done.inverse).trip), data)


def test_what_an_edit_made_is_named():
    """A card's key, by which the next edit finds it; none for an edit that makes nothing."""
    trip = document.parse(wire("trip"))
    done = edits.perform(trip, Edit("card_add", {"kind": "flight", "at": 1}))
    assert done.key == done.trip.segments[1].key
    assert done.inverse == Edit("card_remove", {"card_key": done.key, "leaving": "empty"})
    assert edits.perform(trip, Edit("card_move", {"card_key": trip.segments[0].key, "to": 2})).key == ""


def test_an_edit_that_changes_nothing_has_no_inverse():
    """The tree is the same one."""
    trip = document.parse(wire("trip"))
    done = edits.perform(trip, Edit("trip_update", {"values": {"title": "Trip to Barcelona"}}))
    assert done.trip is trip
    assert done.inverse is None
    again = edits.perform(trip, Edit("card_insert", {"card": trip.segments[1].data, "at": 0}))
    assert (again.trip, again.inverse) == (trip, None)


def test_undoing_after_another_s_edit_takes_back_one_s_own_only():
    """A card that comes back leaves what was changed elsewhere in the meantime."""
    trip = document.parse(wire("trip"))
    first, second = trip.segments[0].key, trip.segments[1].key
    done = edits.perform(trip, edits.removal(first))
    other = editing.card_update(done.trip, second, {"milestone": "Meanwhile"})
    back = document.export(edits.perform(other, done.inverse).trip)
    expected = wire("trip")
    expected["segments"][1]["milestone"] = "Meanwhile"
    assert same(back, expected)


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (Edit("nonsense", {}), NoSuchEdit),
        (Edit("check_version", {}), NoSuchEdit),
        (Edit("card_move", {"card_key": "x"}), NoSuchEdit),
        (Edit("card_move", {"card_key": "x", "to": 0}), Gone),
        (Edit("leg_remove", {"card_key": "x", "option_key": "y", "leg_key": "z"}), Gone),
    ],
)
def test_what_is_no_edit_or_has_nothing_to_edit_is_refused(edit, error):
    """By a name or arguments that no edit has, or keys that nothing has."""
    with pytest.raises(error):
        edits.perform(document.parse(wire("trip")), edit)
