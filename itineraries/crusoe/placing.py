"""Where in the trip an error of Crusoe's belongs.

``validationErrors`` name a property, the violated validation and the value that was sent; in the specification's
sample the name is bare (``title``), and many parts of a trip have a title.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from itineraries.document import Node, Trip
from itineraries.editing import same
from itineraries.reasons import Refusal

MAX_PLACES = 50
_MISSING = object()


@dataclass(frozen=True)
class _Place:
    path: str
    value: Any


def place(trip: Trip, validation_errors: list[Any], storable: Callable[[str], str]) -> list[Refusal]:
    """Each error at its field; at every field that it fits, where that is more than one.

    ``storable`` is asked for what may be kept of each text of Crusoe's; our own words and paths stay as they are.
    """
    by_name: dict[str, list[_Place]] = {}
    for found in _places(trip, "") if validation_errors else ():
        by_name.setdefault(found.path.rpartition(".")[2], []).append(found)
    return [refusal for error in validation_errors[:MAX_PLACES] for refusal in _placed(by_name, error, storable)]


def _placed(by_name: dict[str, list[_Place]], error: Any, storable: Callable[[str], str]) -> Iterator[Refusal]:
    error = error if isinstance(error, dict) else {"name": error}
    name = error["name"] if isinstance(error.get("name"), str) else ""
    violation = error["type"] if isinstance(error.get("type"), str) else ""
    said = "required" if violation == "required" else storable(violation)[:100]
    if "." in name or "[" in name:
        # segments.1.title and segments[1].title are the same place.
        path = re.sub(r"\.(\d+)(?=[.\[]|$)", r"[\1]", name)
        ours = any(found.path == path for found in by_name.get(path.rpartition(".")[2], []))
        yield Refusal(path if ours else storable(path)[:1000], said)
        return
    places = _fitting(by_name.get(name, []), violation, error.get("value"))[:MAX_PLACES]
    if not places:
        yield Refusal("", said, storable(name)[:100], 0)
    for found in places:
        yield Refusal(found.path, said, name, len(places))


def _fitting(places: list[_Place], violation: str, sent: Any) -> list[_Place]:
    """Those that the violation and the sent value fit; else those that have a value; else all."""
    if violation == "required":
        fitting = [found for found in places if found.value in (_MISSING, None, "")]
    else:
        fitting = [found for found in places if found.value is not _MISSING and same(found.value, sent)]
    return fitting or [found for found in places if found.value is not _MISSING] or places


def _places(node: Node, path: str) -> Iterator[_Place]:
    """Every property that the specification names, there or not, at every node of the trip."""
    for attribute, field in type(node).model_fields.items():
        name = field.alias or attribute
        if name.startswith("_"):
            continue
        inside = f"{path}.{name}" if path else name
        yield _Place(inside, node.data.get(name, _MISSING))
        value = getattr(node, attribute)
        if isinstance(value, Node):
            yield from _places(value, inside)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from _places(item, f"{inside}[{index}]")
