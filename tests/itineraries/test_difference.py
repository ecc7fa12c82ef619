"""What changed between two versions: complete, and told by the fewest moves."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itineraries import editing
from itineraries.difference import Change, between, equal
from itineraries.document import export, parse, store
from itineraries.editing import ABSENT
from tests.itineraries.strategies import documents, names, values, wire

LISTS = ("segments", "options", "flightSegments")


def replayed(old: Any, changes: list[Change]) -> Any:
    """The new version, made of the old one and the changes alone."""

    def node(part: Any, before: tuple[int, ...], after: tuple[int, ...], lists: tuple[str, ...]) -> Any:
        if len(before) == 1 and part["type"] != "flight":
            lists = lists[:1]
        made = copy.deepcopy(part)
        for change in changes:
            if change.action == "changed" and change.before == before and change.names != lists[:1]:
                assert change.after == after
                holder = made
                for name in change.names[:-1]:
                    holder = holder[name]
                if change.new is ABSENT:
                    del holder[change.names[-1]]
                else:
                    holder[change.names[-1]] = change.new
        for name in lists[:1]:
            made[name] = inside(part[name], before, after, lists[1:])
        return made

    def inside(items: list[Any], before: tuple[int, ...], after: tuple[int, ...], lists: tuple[str, ...]) -> list[Any]:
        def here(action: str) -> list[Change]:
            return [
                one
                for one in changes
                if one.action == action
                and one.before[: len(before)] == before
                and one.after[: len(after)] == after
                and max(len(one.before), len(one.after)) == len(before) + 1
            ]

        gone = {one.before[-1] for one in here("removed")}
        origin = {one.after[-1]: one.before[-1] for one in here("moved")}
        added = {one.after[-1]: one.new for one in here("added")}
        stays = iter(at for at in range(len(items)) if at not in gone and at not in origin.values())
        made = []
        for to in range(len(items) - len(gone) + len(added)):
            if to in added:
                made.append(added[to])
            else:
                at = origin[to] if to in origin else next(stays)
                made.append(node(items[at], (*before, at), (*after, to), lists))
        return made

    return node(old, (), (), LISTS)


def plain(value: Any) -> Any:
    """Without names of ours, and with an empty list where parts could stand and none do."""
    trip = export(parse(without_keys(value)))
    for card in trip.setdefault("segments", None) or []:
        for option in card.setdefault("options", None) or []:
            if card["type"] == "flight":
                option["flightSegments"] = option.get("flightSegments") or []
        card["options"] = card["options"] or []
    trip["segments"] = trip["segments"] or []
    return trip


def without_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_keys(item) for name, item in value.items() if not name.startswith("_")}
    return [without_keys(item) for item in value] if isinstance(value, list) else value


def shuffled(draw: Any, trip: Any) -> Any:
    """A few edits of a trip."""
    for _number in range(draw(st.integers(0, 4))):
        cards = list(trip.segments)
        what = draw(st.sampled_from(["move", "remove", "duplicate", "option", "title", "add", "property"]))
        if what == "add":
            trip, _key = editing.card_add(
                trip, draw(st.sampled_from(["flight", "experience"])), draw(st.integers(0, 3))
            )
        elif what == "title":
            trip = editing.trip_update(trip, {draw(names): draw(values)} if draw(st.booleans()) else {"title": "New"})
        elif cards:
            card = draw(st.sampled_from(cards))
            if what == "move":
                trip = editing.card_move(trip, card.key, draw(st.integers(0, len(cards))))
            elif what == "remove":
                trip = editing.card_remove(trip, card.key)
            elif what == "duplicate":
                trip, _key = editing.card_duplicate(trip, card.key)
            elif what == "option":
                trip, _key = editing.option_add(trip, card.key, draw(st.integers(0, 1)), {"title": "An option"})
            elif card.options:
                option = draw(st.sampled_from(list(card.options)))
                trip = editing.option_update(
                    trip, card.key, option.key, {"price.currentAmount": draw(st.integers(0, 9))}
                )
    return trip


@st.composite
def versions(draw: Any, keyed: bool) -> tuple[Any, Any]:
    before = parse(draw(documents | st.builds(wire, st.just("trip"))))
    after = shuffled(draw, before)
    if not keyed:
        return plain(store(before)), plain(store(after))
    return store(before), store(after)


@given(documents)
def test_equal_trees_have_no_difference(document):
    """A version and itself, with the same keys, others or none."""
    assert between(store(parse(document)), store(parse(document))) == []
    assert between(document, document) == []


@given(st.one_of(versions(keyed=True), versions(keyed=False), st.tuples(documents, documents)))
def test_the_changes_are_all_that_changed(pair):
    """Replayed over the old version, they give the new one, whatever was edited, moved or made anew."""
    old, new = pair
    changes = between(old, new)
    assert equal(plain(replayed(_filled(old), between(_filled(old), _filled(new)))), plain(new))
    assert bool(changes) == (not equal(without_keys(old), without_keys(new)))
    assert between(new, new) == []


def _filled(document: Any) -> Any:
    """With the lists that are missing, so that a replay has where to put parts."""
    filled = copy.deepcopy(document)
    filled["segments"] = filled.get("segments") or []
    for card in filled["segments"]:
        card["options"] = card.get("options") or []
        for option in card["options"]:
            if card["type"] == "flight":
                option["flightSegments"] = option.get("flightSegments") or []
    return filled


@given(versions(keyed=True))
def test_parts_with_keys_are_never_taken_for_others(pair):
    """With keys, what was removed is not told as changed into something new."""
    old, new = pair
    gone = {card["_key"] for card in old.get("segments") or []} - {card["_key"] for card in new.get("segments") or []}
    told = [change for change in between(old, new) if change.action == "removed" and len(change.before) == 1]
    unpaired = {change.old["_key"] for change in told}
    assert unpaired <= gone


def sample() -> Any:
    return store(parse(wire("trip")))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not isinstance(value, (dict, list)):
        return [path]
    return [one for step, item in items if not str(step).startswith("_") for one in leaves(item, (*path, step))]


@pytest.mark.parametrize("path", [path for path in leaves(wire("trip")) if path[-1] != "type" or "price" in path])
@pytest.mark.parametrize("keyed", [True, False])
def test_every_change_of_one_property_shows_as_that(path, keyed):
    """Each value of the sample changed alone is one change, at its property; also where no keys tell the parts."""
    old = sample() if keyed else wire("trip")
    new = copy.deepcopy(old)
    holder = new
    for step in path[:-1]:
        holder = holder[step]
    before, holder[path[-1]] = holder[path[-1]], "something else"
    indices = tuple(step for step in path if isinstance(step, int))
    own = tuple(path[max((at for at, step in enumerate(path) if isinstance(step, int)), default=-1) + 1 :])
    assert between(old, new) == [Change("changed", indices, indices, own, before, "something else")]


def test_the_fewest_moves_are_told():
    """One card put at the end is one move, not three."""
    old = parse(wire("trip"))
    new = editing.card_move(old, old.segments[0].key, 3)
    assert between(store(old), store(new)) == [Change("moved", (0,), (3,))]
    assert between(wire("trip"), export(new)) == [Change("moved", (0,), (3,))]


def test_a_part_that_moved_and_changed_tells_both():
    """The move and the property, each once."""
    old = parse(wire("trip"))
    key = old.segments[2].key
    new = editing.card_move(editing.card_update(old, key, {"milestone": "Later"}), key, 0)
    for one, other in ((store(old), store(new)), (export(old), export(new))):
        assert between(one, other) == [
            Change("moved", (2,), (0,)),
            Change("changed", (2,), (0,), ("milestone",), "Arrived in Barcelona", "Later"),
        ]


def test_numbers_are_compared_by_value_and_booleans_are_none():
    """70 and 70.0 are the same; 1 and true are not."""
    assert between({"a": 70, "b": [1]}, {"a": 70.0, "b": [1.0]}) == []
    assert [change.names for change in between({"a": 1}, {"a": True})] == [("a",)]


def test_a_thousand_cards_without_keys_take_no_squared_time():
    """Two trips that have nothing in common are compared within seconds."""
    old, new = (
        {"segments": [{"type": "experience", "options": [{"title": f"{word} {at}"}]} for at in range(1000)]}
        for word in ("old", "new")
    )
    began = time.monotonic()
    assert len(between(old, new)) == 1000
    assert time.monotonic() - began < 10
