"""The editors of a trip's cards: what the builder's page shows of each, and the edit that a posted one means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from itineraries import computed, editing
from itineraries.card_actions import Removed
from itineraries.document import Card, FlightOption, Json, Leg, Option, Trip
from itineraries.errors import Problem, StaleEdit
from itineraries.forms import KIND_LABELS, OPTION_FORMS, CardForm, LegForm, PartForm


@dataclass
class LegEditor:
    key: str
    number: int
    form: PartForm
    problems: Sequence[Problem]
    is_last: bool
    waits_in: str


@dataclass
class OptionEditor:
    key: str
    number: int
    title: str
    kind: str
    form: PartForm
    legs: list[LegEditor]
    problems: Sequence[Problem]
    has_overrides: bool

    @property
    def name(self) -> str:
        return self.title or _("Option %(number)d") % {"number": self.number}


@dataclass
class CardEditor:
    """The forms of a card. With ``data`` they hold what was posted; ``apply`` is the edit that writes its changes."""

    card: Card
    data: Mapping[str, Any] | None = None
    problems: Mapping[str, Sequence[Problem]] = field(default_factory=dict)
    show_elsewhere: bool = False
    messages: list[str] = field(default_factory=list)
    removed: list[Removed] = field(default_factory=list)
    stale: StaleEdit | None = None
    focus: bool = False

    def __post_init__(self) -> None:
        self.form: PartForm = self._form(CardForm, self.card.data, f"card-{self.card.key}", {})
        self.options = [self._option(number, option) for number, option in enumerate(self.card.options, 1)]

    def _form(self, form: type[PartForm], part: Json, prefix: str, known: Mapping[str, Any]) -> PartForm:
        return form(
            part,
            prefix=prefix,
            data=self.data,
            problems=self.problems,
            computed=known,
            show_elsewhere=self.show_elsewhere,
        )

    def _option(self, number: int, option: Option) -> OptionEditor:
        known: dict[str, dict[str, Any]] = {}
        for one in computed.overrides(option):
            known.setdefault(one.key, {})[one.path] = one.value
        legs = list(option.flight_segments) if isinstance(option, FlightOption) else []
        return OptionEditor(
            key=option.key,
            number=number,
            title=option.title or "",
            kind=self.card.type,
            form=self._form(
                OPTION_FORMS[self.card.type], option.data, f"option-{option.key}", known.get(option.key, {})
            ),
            legs=[self._leg(at, legs, known.get(leg.key, {})) for at, leg in enumerate(legs)],
            problems=self.problems.get(f"option-{option.key}", ()),
            has_overrides=any(True for _one in _stale_or_missing(option)),
        )

    def _leg(self, at: int, legs: Sequence[Leg], known: Mapping[str, Any]) -> LegEditor:
        leg = legs[at]
        return LegEditor(
            key=leg.key,
            number=at + 1,
            form=self._form(LegForm, leg.data, f"leg-{leg.key}", known),
            problems=self.problems.get(f"leg-{leg.key}", ()),
            is_last=at == len(legs) - 1,
            waits_in=(leg.point_a.name if leg.point_a else "") or "",
        )

    @property
    def key(self) -> str:
        return self.card.key

    @property
    def kind_label(self) -> str:
        return str(KIND_LABELS[self.card.type])

    @property
    def own_problems(self) -> Sequence[Problem]:
        return self.problems.get(f"card-{self.card.key}", ())

    @property
    def has_errors(self) -> bool:
        return bool(self.messages) or self.stale is not None or any(form.errors for form in self._forms())

    def _forms(self) -> list[PartForm]:
        legs = [leg.form for option in self.options for leg in option.legs]
        return [self.form, *(option.form for option in self.options), *legs]

    def apply(self, trip: Trip) -> Trip:
        """Writes what was changed and could be read, and brings what is computed from it up to date."""
        after, typed = trip, set()
        if changes := self.form.changes():
            after = editing.card_update(after, self.key, changes)
        for option in self.options:
            for leg in option.legs:
                if changes := leg.form.changes():
                    typed |= {(leg.key, path) for path, value in changes.items() if value is not editing.ABSENT}
                    after = editing.leg_update(after, self.key, option.key, leg.key, changes)
            if changes := option.form.changes():
                typed |= {(option.key, path) for path, value in changes.items() if value is not editing.ABSENT}
                after = editing.option_update(after, self.key, option.key, changes)
        return computed.follow(trip, after, self.key, typed)

    def unreadable(self) -> dict[str, Any]:
        """What was posted and could not be read, by the input's name."""
        return {form.add_prefix(name): form[name].data for form in self._forms() for name in form.errors}

    def shown(self) -> dict[str, str]:
        """What a browser would post of the card as it is stored."""
        return {form.add_prefix(name): field.shown for form in self._forms() for name, field in form.fields.items()}

    def leftovers(self) -> list[tuple[str, str]]:
        """What was typed into options and legs that are not there any more: label and text."""
        known = {form.prefix for form in self._forms()}
        return typed_texts(
            {name: text for name, text in (self.data or {}).items() if name.rpartition("-")[0] not in known}
        )


def _stale_or_missing(option: Option) -> list[computed.Computed]:
    return [one for one in computed.values(option) if one.value is not None and one.stored != one.value]


def typed_texts(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Posted texts with their labels, for a part that has no form any more."""
    labels = {
        (prefix, name): str(one.label)
        for prefix, forms in (("card", [CardForm]), ("option", list(OPTION_FORMS.values())), ("leg", [LegForm]))
        for form in forms
        for name, one in form.base_fields.items()
    }
    found = []
    for name, text in data.items():
        parts = name.split("-")
        label = labels.get((parts[0], parts[-1]))
        if label and isinstance(text, str) and text:
            found.append((label, text))
    return found


def card_editor(trip: Trip, card_key: str, **more: Any) -> CardEditor | None:
    """The editor of the card with that key; None where there is none."""
    card = computed.card_of(trip, card_key)
    return None if card is None else CardEditor(card, **more)
