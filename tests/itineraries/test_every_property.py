"""Every property of Crusoe's specification: it can be typed into the page, and a problem with it stands at its field.

The properties are those of the typed tree, which are the specification's; the forms are not asked.
"""

from __future__ import annotations

# ruff: noqa: F811 (the fixtures)
import re
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import pytest

from itineraries import document, findings
from itineraries.document import Json, Node
from tests.itineraries.pages import ana, blank, client, exported, page, posted, tree  # noqa: F401

KINDS = {
    "flight": document.FlightOption,
    "accommodation": document.AccommodationOption,
    "carRide": document.CarRideOption,
    "experience": document.ExperienceOption,
}
# What a browser's control sends for a date and a time, and what the document then has.
TYPED = {"date": ("2016-05-19", "19.05.2016"), "from": ("2016-05-19", "19.05.2016"), "to": ("2016-05-20", "20.05.2016")}
TYPED |= {"time": ("13:45", "13:45 PM"), "currency": ("RON", "RON"), "type": ("fixed", "fixed")}
TYPED |= {"duration": ("2:30", 9000), "layoverTime": ("0:50", 3000)}


def inner(annotation: Any) -> type[Node] | None:
    """The object that a property holds, or the items of its list."""
    if isinstance(annotation, type) and issubclass(annotation, Node):
        return annotation
    for argument in get_args(annotation) if get_origin(annotation) is not None or get_args(annotation) else ():
        if found := inner(argument):
            return found
    return None


def properties(node: type[Node], path: str = "") -> Iterator[tuple[str, Any]]:
    """Paths of the values in a node and what is in it; lists have one item."""
    for attribute, field in node.model_fields.items():
        name = field.alias or attribute
        if name.startswith("_") or name in ("segments", "options") or (name == "type" and not path):
            continue
        nested = inner(field.annotation)
        # A ride goes between places without codes.
        if nested is None:
            yield f"{path}{name}", field.annotation
        else:
            many = get_origin(field.annotation) is list or "list" in str(field.annotation)
            yield from properties(nested, f"{path}{name}[0]." if many else f"{path}{name}.")


def own(kind: str) -> list[tuple[str, Any]]:
    found = list(properties(KINDS[kind]))
    return [one for one in found if kind == "flight" or not one[0].endswith(".code")]


def typed(path: str, annotation: Any) -> tuple[str, Any]:
    """What is posted, and the value that the document then has."""
    name = path.rpartition(".")[2]
    if name in TYPED:
        return TYPED[name]
    if bool in get_args(annotation):
        return "on", True
    if {int, float} & set(get_args(annotation)) or get_origin(annotation) is Union or "float" in str(annotation):
        return "7", 7
    return ("XYZ", "XYZ") if name == "code" else (f"A text for {path}", f"A text for {path}")


def fill(shown: str, action: str, anchors: dict[str, str], wanted: dict[str, tuple[str, Any]]) -> Json:
    """What a browser posts of the form when every property is typed into the field that its problems stand at."""
    values = posted(shown)[action]
    for path, (text, _value) in wanted.items():
        assert f'id="{anchors[path]}"' in shown
        assert f'id="{anchors[path]}_problems"' in shown
        values[anchors[path].removeprefix("id_")] = text
    return values


def value_at(data: Any, path: str) -> Any:
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        data = data[name] if name else data[int(index)]
    return data


@pytest.mark.django_db
def test_every_property_of_the_trip_can_be_typed(client, blank):
    """Main itinerary properties."""
    wanted = {path: typed(path, annotation) for path, annotation in properties(document.Trip)}
    assert len(wanted) == 10
    shown = client.get(page("edit", blank)).content.decode()
    anchors = {path: findings.locate(tree(blank).data, path)[0] for path in wanted}
    assert len(set(anchors.values())) == len(wanted), "each has a field of its own"
    action = page("trip", blank)
    client.post(action, fill(shown, action, anchors, wanted))
    assert {path: value_at(exported(blank), path) for path in wanted} == {
        path: value for path, (_text, value) in wanted.items()
    }


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "count"), [("flight", 21), ("accommodation", 14), ("carRide", 13), ("experience", 7)])
def test_every_property_of_a_card_can_be_typed(client, blank, kind, count):
    """Its label, its option's, and a flight's legs'; the field is where a problem of that property stands."""
    client.post(page("card_add", blank), {"kind": kind, "after": ""})
    action = page("card", blank, tree(blank).segments[0].key)
    if kind == "flight":  # the layover stands on the later leg
        leg_add = f"leg_add {tree(blank).segments[0].options[0].key}"
        client.post(action, {**posted(client.get(page("edit", blank)).content.decode())[action], "do": leg_add})
    inside = "segments[0].options[0]."
    wanted = {
        f"{inside}{path.replace('[0].layover', '[1].layover')}": typed(path, annotation)
        for path, annotation in own(kind)
    }
    wanted["segments[0].milestone"] = ("A label", "A label")
    assert len(wanted) == count + 1
    shown = client.get(page("edit", blank)).content.decode()
    anchors = {path: findings.locate(tree(blank).data, path)[0] for path in wanted}
    assert len(set(anchors.values())) == len(wanted), "each has a field of its own"
    answer = client.post(action, {**fill(shown, action, anchors, wanted), "do": "save"})
    assert answer.status_code == 302
    assert {path: value_at(exported(blank), path) for path in wanted} == {
        path: value for path, (_text, value) in wanted.items()
    }
    # And shown again, and posted back untouched, it stays.
    before = exported(blank)
    client.post(action, {**posted(client.get(page("edit", blank)).content.decode())[action], "do": "save"})
    assert exported(blank) == before
