"""What changed between two versions of a trip: which parts were added, removed, moved, and which properties differ. Pure.

Cards, options and legs are paired by their keys (``_key``); where those are missing or new, as after an import, by what
they say: the same content, then the most alike, then what stands between the same neighbours. The fewest parts that
explain the new order count as moved. Numbers are compared by value (70 and 70.0 are the same), everything else as JSON.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeAlias

from itineraries.document import Json
from itineraries.editing import ABSENT

Action: TypeAlias = Literal["changed", "added", "removed", "moved"]

# What is less alike than this is another part.
_ALIKE = 0.5
# More pairs than these are not measured: 100 new cards beside 100 old ones.
_MEASURED = 10_000
# The lists of parts, each inside the parts of the one before.
LISTS = ("segments", "options", "flightSegments")


@dataclass(frozen=True)
class Change:
    """One difference. ``before`` and ``after`` say where in each version, as indices of card, option and leg.

    ``changed``: the property ``names`` (nested ones one by one) of the part, or of the trip where the places are empty,
    had the value ``old`` and has ``new``; ABSENT stands for none. ``added`` has the part in ``new``, ``removed`` in
    ``old``; in the version that is without it, the place is that of the part around it. ``moved``: the part itself is
    the same, or its differences stand beside.
    """

    action: Action
    before: tuple[int, ...]
    after: tuple[int, ...]
    names: tuple[str, ...] = ()
    old: Any = ABSENT
    new: Any = ABSENT


def between(old: Json, new: Json) -> list[Change]:
    """From one document to another, in the order of the new one. Both may carry names of ours, which are not compared."""
    return list(_node(old, new, (), (), LISTS))


def equal(one: Any, other: Any) -> bool:
    """As a reader of JSON has it: 70 and 70.0 are one number, true is none."""
    if isinstance(one, dict) and isinstance(other, dict):
        ours, theirs = _named(one), _named(other)
        return ours.keys() == theirs.keys() and all(equal(ours[name], theirs[name]) for name in ours)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


# --- One part, and its properties --------------------------------------------------------------------------------


def _node(
    old: Json, new: Json, before: tuple[int, ...], after: tuple[int, ...], lists: tuple[str, ...]
) -> Iterator[Change]:
    if len(after) == 1 and new.get("type") != "flight":
        lists = lists[:1]  # only flights have legs; elsewhere that name is a stranger's
    inner = lists[:1]
    yield from _properties(_named(old, *inner), _named(new, *inner), before, after, ())
    for name in inner:
        yield from _parts(old.get(name, ABSENT), new.get(name, ABSENT), before, after, lists)


def _named(value: Json, *without: str) -> Json:
    return {name: item for name, item in value.items() if not name.startswith("_") and name not in without}


def _properties(
    old: Json, new: Json, before: tuple[int, ...], after: tuple[int, ...], names: tuple[str, ...]
) -> Iterator[Change]:
    # In the order that the new version has them, then those that are gone.
    for name in dict.fromkeys([*new, *old]):
        one, other = old.get(name, ABSENT), new.get(name, ABSENT)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _properties(_named(one), _named(other), before, after, (*names, name))
        elif not equal(one, other):
            yield Change("changed", before, after, (*names, name), one, other)


# --- Lists of parts ----------------------------------------------------------------------------------------------


def _parts(
    old: Any, new: Any, before: tuple[int, ...], after: tuple[int, ...], lists: tuple[str, ...]
) -> Iterator[Change]:
    olds, news = (value if isinstance(value, list) else [] for value in (old, new))
    # Without parts on either side: an empty list, null and nothing at all differ for a program only.
    if not olds and not news and old != new:
        yield Change("changed", before, after, lists[:1], old, new)
    pairs = _paired(olds, news)
    known = {at_old for at_old, _at_new in pairs}
    for at_old, part in enumerate(olds):
        if at_old not in known:
            yield Change("removed", (*before, at_old), after, old=part)
    origin = {at_new: at_old for at_old, at_new in pairs}
    moved = _moved(pairs)
    for at_new, part in enumerate(news):
        if at_new not in origin:
            yield Change("added", before, (*after, at_new), new=part)
            continue
        here, there = (*before, origin[at_new]), (*after, at_new)
        if at_new in moved:
            yield Change("moved", here, there)
        yield from _node(olds[origin[at_new]], part, here, there, lists[1:])


def _moved(pairs: list[tuple[int, int]]) -> set[int]:
    """The new places of the parts that moved: all but the longest run that kept its order."""
    tails: list[int] = []
    ends: list[int] = []  # for each length, the pair that such a run ends with
    previous: list[int] = []
    places = [at_new for _at_old, at_new in pairs]
    for number, place in enumerate(places):
        length = bisect_left(tails, place)
        tails[length : length + 1] = [place]
        ends[length : length + 1] = [number]
        previous.append(ends[length - 1] if length else -1)
    kept: set[int] = set()
    number = ends[-1] if ends else -1
    while number >= 0:
        kept.add(places[number])
        number = previous[number]
    return set(places) - kept


def _paired(olds: list[Json], news: list[Json]) -> list[tuple[int, int]]:
    """Which part became which: places in the old and the new list, in the order of the old one."""
    pairs: dict[int, int] = {}
    for tell in (_by_key, _by_content, _by_likeness, _by_neighbours):
        free_olds = [at for at in range(len(olds)) if at not in pairs]
        taken = set(pairs.values())
        free_news = [at for at in range(len(news)) if at not in taken]
        if not free_olds or not free_news:
            break
        pairs.update(tell(olds, news, free_olds, free_news, pairs))
    return sorted(pairs.items())


_Pairs: TypeAlias = dict[int, int]


def _by_key(olds: list[Json], news: list[Json], free_olds: list[int], free_news: list[int], _pairs: _Pairs) -> _Pairs:
    places = {news[at]["_key"]: at for at in free_news if "_key" in news[at]}
    found = {at: places.pop(olds[at]["_key"], None) for at in free_olds if "_key" in olds[at]}
    return {at: to for at, to in found.items() if to is not None and _same_kind(olds[at], news[to])}


def _by_content(
    olds: list[Json], news: list[Json], free_olds: list[int], free_news: list[int], _pairs: _Pairs
) -> _Pairs:
    places: dict[str, list[int]] = {}
    for at in reversed(free_news):
        places.setdefault(_canonical(news[at]), []).append(at)
    found = {}
    for at in free_olds:
        if waiting := places.get(_canonical(olds[at])):
            found[at] = waiting.pop()
    return found


def _by_likeness(
    olds: list[Json], news: list[Json], free_olds: list[int], free_news: list[int], _pairs: _Pairs
) -> _Pairs:
    if len(free_olds) * len(free_news) > _MEASURED:
        return {}
    leaves_old = {at: frozenset(_leaves(olds[at])) for at in free_olds}
    leaves_new = {at: frozenset(_leaves(news[at])) for at in free_news}
    scores = []
    for at in free_olds:
        for to in free_news:
            one, other = leaves_old[at], leaves_new[to]
            score = 2 * len(one & other) / (len(one) + len(other) or 1)
            if score >= _ALIKE and _same_kind(olds[at], news[to]):
                scores.append((-score, abs(at - to), at, to))
    found: _Pairs = {}
    taken: set[int] = set()
    for _score, _distance, at, to in sorted(scores):
        if at not in found and to not in taken:
            found[at] = to
            taken.add(to)
    return found


def _by_neighbours(
    olds: list[Json], news: list[Json], free_olds: list[int], free_news: list[int], pairs: _Pairs
) -> _Pairs:
    """Those of a kind that stand behind the same part, in their order."""
    origin = {at_new: at_old for at_old, at_new in pairs.items()}
    waiting: dict[int, list[int]] = {}
    for at in free_olds:
        waiting.setdefault(next((one for one in range(at - 1, -1, -1) if one in pairs), -1), []).append(at)
    found = {}
    for to in free_news:
        behind = next((origin[one] for one in range(to - 1, -1, -1) if one in origin), -1)
        for at in waiting.get(behind, []):
            if _same_kind(olds[at], news[to]):
                waiting[behind].remove(at)
                found[at] = to
                break
    return found


def _same_kind(one: Json, other: Json) -> bool:
    return bool(one.get("type") == other.get("type"))


def _canonical(value: Any) -> str:
    return json.dumps(_comparable(value), sort_keys=True)


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _comparable(item) for name, item in _named(value).items()}
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every value that is no object or list, with its path; what all cards of a kind share tells nothing."""
    if isinstance(value, dict):
        inner = ((f"{path}.{name}", item) for name, item in _named(value, "type").items())
    elif isinstance(value, list):
        inner = ((f"{path}[{at}]", item) for at, item in enumerate(value))
    else:
        yield path, json.dumps(_comparable(value))
        return
    yield from chain.from_iterable(_leaves(item, name) for name, item in inner)
