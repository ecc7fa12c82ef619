"""Where in the builder's page the problems of a trip belong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from itineraries import problems, selectors
from itineraries.document import Json, Trip
from itineraries.errors import Problem
from itineraries.form_fields import PartField
from itineraries.forms import KIND_LABELS, OPTION_FORMS, CardForm, LegForm, PartForm, TripForm
from itineraries.models import Itinerary

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True)
class Finding:
    """A problem, the id of the element it belongs to, and that place in words."""

    problem: Problem
    anchor: str
    where: str

    @property
    def is_error(self) -> bool:
        return self.problem.level == "error"


def locate(document: Json, path: str) -> tuple[str, str]:
    """The id in the page of what a problem's path names, and the place in words; the nearest that there is."""
    steps: list[str | int] = [name or int(index) for name, index in _STEP.findall(path)]
    if steps[:1] != ["segments"]:
        return _field_place(TripForm, "trip", [], steps)
    index, steps = _index(document.get("segments"), steps[1:])
    if index is None:
        return "cards", _("Cards")
    card = document["segments"][index]
    words = [f"{index + 1}. {KIND_LABELS[card['type']]}"]
    if steps[:1] != ["options"]:
        return _field_place(CardForm, f"card-{card['_key']}", words, steps)
    index, steps = _index(card["options"], steps[1:])
    if index is None:
        return f"card-{card['_key']}", words[0]
    option = card["options"][index]
    if len(card["options"]) > 1:
        words.append(_("option %(number)d") % {"number": index + 1})
    if card["type"] != "flight" or steps[:1] != ["flightSegments"]:
        return _field_place(OPTION_FORMS[card["type"]], f"option-{option['_key']}", words, steps)
    index, steps = _index(option["flightSegments"], steps[1:])
    if index is None:
        return f"option-{option['_key']}", ", ".join(words)
    words.append(_("leg %(number)d") % {"number": index + 1})
    return _field_place(LegForm, f"leg-{option['flightSegments'][index]['_key']}", words, steps)


def _field_place(
    form: type[PartForm], prefix: str, words: Sequence[str], steps: Sequence[str | int]
) -> tuple[str, str]:
    found = _field_for(form, ".".join(str(step) for step in steps))
    if found is None:
        return prefix, ", ".join(words) or _("Trip")
    name, label = found
    return f"id_{prefix}-{name}", ": ".join([", ".join(words), label]) if words else label


def _index(items: Any, steps: Sequence[str | int]) -> tuple[int | None, list[str | int]]:
    index = steps[0] if steps else None
    if isinstance(index, int) and isinstance(items, list) and index < len(items):
        return index, list(steps[1:])
    return None, []


def _field_for(form: type[PartForm], path: str) -> tuple[str, str] | None:
    """The field for a property: its own, else the first one of the object that the path names, else an outer one."""
    fields: dict[str, PartField] = form.base_fields  # type: ignore[assignment]
    for matches in (
        lambda own: own == path,
        lambda own: path and own.startswith(f"{path}."),
        lambda own: path.startswith(f"{own}."),
    ):
        for name, one in fields.items():
            if matches(one.path):
                return name, str(one.label)
    return None


def findings(trip: Trip) -> list[Finding]:
    """The trip's problems, each with its place."""
    return _placed(trip, problems.find(trip))


def refusals(itinerary: Itinerary, trip: Trip) -> list[Finding]:
    """What Crusoe refused in the present document, each with its place."""
    return _placed(trip, selectors.refusals(itinerary))


def _placed(trip: Trip, found: Sequence[Problem]) -> list[Finding]:
    return [Finding(problem, *locate(trip.data, problem.path)) for problem in found]


def by_anchor(found: Sequence[Finding]) -> dict[str, list[Problem]]:
    grouped: dict[str, list[Problem]] = {}
    for one in found:
        grouped.setdefault(one.anchor, []).append(one.problem)
    return grouped
