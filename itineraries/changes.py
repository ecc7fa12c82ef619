"""The difference between two versions of a trip in words: "2. Stay, option 1: Price: 120 → 140 EUR"."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any

from babel.numbers import format_decimal
from django.utils.translation import get_language, to_locale
from django.utils.translation import gettext as _

from itineraries import difference
from itineraries.difference import Change
from itineraries.document import Json
from itineraries.editing import ABSENT
from itineraries.form_fields import ChoiceField, DateField, LengthField, NumberField, PartField, TimeField
from itineraries.forms import KIND_LABELS, OPTION_FORMS, CardForm, LegForm, PartForm, TripForm
from itineraries.schedule import day_or_none
from itineraries.wording import day_in_words

# Longer texts are shortened to this around what differs.
MAX_TEXT = 120
# Nobody reads more than these; how many are left out is said.
MAX_LINES = 500


@dataclass(frozen=True)
class Line:
    """``what`` has befallen a card, or the trip, or ``part`` of it (an option, a leg); each named as it is now."""

    action: difference.Action
    card: str
    part: str
    what: str

    def __str__(self) -> str:
        return f"{', '.join(name for name in (self.card, self.part) if name)}: {self.what}"


@dataclass(frozen=True)
class Section:
    """The lines about one card, or about the trip itself."""

    title: str
    lines: list[Line]


def in_words(old: Json, new: Json) -> list[Line]:
    """What changed from one version to another, for people; empty where they say the same."""
    words = _Words(old, new)
    return [line for change in difference.between(old, new) for line in words.lines(change)]


def sections(old: Json, new: Json) -> tuple[list[Section], int]:
    """The same, grouped by card; and how many lines are left out because they are too many."""
    words = _Words(old, new)
    found = [line for change in difference.between(old, new) for line in words.lines(change)]
    shown = [Section(card, list(lines)) for card, lines in groupby(found[:MAX_LINES], key=lambda line: line.card)]
    return shown, len(found[MAX_LINES:])


class _Words:
    def __init__(self, old: Json, new: Json) -> None:
        self._old = old
        self._new = new
        self._currencies = tuple((version.get("price") or {}).get("currency") or "" for version in (old, new))

    def lines(self, change: Change) -> Iterator[Line]:
        match change.action:
            case "added":
                yield Line("added", *self._where(change), self._added(change))
            case "removed":
                yield Line("removed", *self._where(change), _("removed"))
            case "moved":
                yield Line("moved", *self._where(change), self._moved(change.before, change.after))
            case "changed":
                yield from self._changed(change)

    # --- Where ---

    def _card_of(self, change: Change) -> tuple[Json, int | None]:
        """A card is named as it is now; one that is gone, as it was."""
        if change.after:
            return self._new, change.after[0]
        return self._old, change.before[0] if change.before else None

    def _where(self, change: Change) -> tuple[str, str]:
        version, at = self._card_of(change)
        if at is None:
            return _("Trip"), ""
        place = change.before if change.action == "removed" else change.after
        words = []
        options = version["segments"][at].get("options") or []
        if len(place) > 1 and (len(options) > 1 or change.action != "changed"):
            words.append(_("option %(number)d") % {"number": place[1] + 1})
        if len(place) > 2:
            words.append(_("leg %(number)d") % {"number": place[2] + 1})
        return self._card(version, at), ", ".join(words)

    @staticmethod
    def _card(version: Json, at: int) -> str:
        card = version["segments"][at]
        kind = f"{at + 1}. {KIND_LABELS[card['type']]}"
        title = next((option["title"] for option in card.get("options") or [] if option.get("title")), "")
        return _("%(card)s “%(title)s”") % {"card": kind, "title": _short(title, 60)} if title else kind

    # --- What ---

    def _added(self, change: Change) -> str:
        title = change.new.get("title") or change.new.get("code") or "" if len(change.after) > 1 else ""
        return _("added: “%(title)s”") % {"title": _short(title, 60)} if title else _("added")

    def _moved(self, before: tuple[int, ...], after: tuple[int, ...]) -> str:
        was, now = before[-1], after[-1]
        parts: Any = self._new
        for name, index in zip(difference.LISTS, after[:-1], strict=False):
            parts = parts[name][index]
        parts = parts[difference.LISTS[len(after) - 1]]
        if now + 1 == len(parts):
            return _("moved from place %(was)d to the end") % {"was": was + 1}
        if now == 0:
            return _("moved from place %(was)d to the beginning") % {"was": was + 1}
        if len(after) > 1:
            return _("moved from place %(was)d to place %(now)d") % {"was": was + 1, "now": now + 1}
        follower = self._card(self._new, now + 1)
        return _("moved from place %(was)d before %(next)s") % {"was": was + 1, "next": follower}

    def _changed(self, change: Change) -> Iterator[Line]:
        where = self._where(change)
        form = self._form(change)
        for names, old, new in _pieces(change.names, change.old, change.new):
            field = next((one for one in form.values() if one.path == ".".join(names)), None)
            label = str(field.label) if field else ".".join(names)
            shown = [
                self._value(field, one, currency) for one, currency in zip((old, new), self._currencies, strict=True)
            ]
            if shown[0] == shown[1]:  # another spelling of the same
                shown = [_raw(one) for one in (old, new)]
            if isinstance(old, str) and isinstance(new, str):
                shown = _around(shown[0], shown[1])
            what = _("%(property)s: %(old)s → %(new)s") % {"property": label, "old": shown[0], "new": shown[1]}
            yield Line("changed", *where, what)

    def _form(self, change: Change) -> dict[str, PartField]:
        place = change.after
        forms: Sequence[type[PartForm] | None] = (TripForm, CardForm, None, LegForm)
        form: Any = forms[len(place)] or OPTION_FORMS[self._new["segments"][place[0]]["type"]]
        return dict(form.base_fields)

    def _value(self, field: PartField | None, value: Any, currency: str) -> str:
        if value is ABSENT:
            return _("none")
        if value is None or value == "":
            return _("empty")
        if isinstance(value, bool):
            return _("yes") if value else _("no")
        match field:
            case ChoiceField():
                return str(dict(field.choices).get(value, value))
            case LengthField() if isinstance(value, int | float):
                return _length(value)
            case DateField() if day := day_or_none(value if isinstance(value, str) else None):
                return day_in_words(day)
            case TimeField():
                return field.show(value)
            case NumberField() if isinstance(value, int | float):
                is_amount = field.path.endswith("Amount")
                return f"{_number(value, is_amount)} {currency}".rstrip() if is_amount else _number(value)
        return f"“{value}”" if isinstance(value, str) else _raw(value)


def _pieces(names: tuple[str, ...], old: Any, new: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """An object that came or went, property by property; anything else as it is."""
    if old is ABSENT and isinstance(new, dict) and new:
        for name, value in new.items():
            yield from _pieces((*names, name), ABSENT, value)
    elif new is ABSENT and isinstance(old, dict) and old:
        for name, value in old.items():
            yield from _pieces((*names, name), value, ABSENT)
    else:
        yield names, old, new


def _number(value: int | float, is_amount: bool = False) -> str:
    """With every digit that it has; cents are two."""
    exact = Decimal(repr(value))
    pattern = "#,##0.00#############" if is_amount and exact % 1 else "#,##0.###############"
    text = format_decimal(exact, pattern, locale=to_locale(get_language() or "en"))
    return text if len(text) <= 40 else repr(value)


def _length(seconds: int | float) -> str:
    """``5 h 20 min``; what is no whole number of minutes, in seconds."""
    if seconds < 0 or seconds % 60:
        return _("%(seconds)s s") % {"seconds": _number(seconds)}
    hours, minutes = divmod(int(seconds) // 60, 60)
    if not hours:
        return _("%(minutes)s min") % {"minutes": minutes}
    if not minutes:
        return _("%(hours)s h") % {"hours": hours}
    return _("%(hours)s h %(minutes)s min") % {"hours": hours, "minutes": minutes}


def _raw(value: Any) -> str:
    return _("none") if value is ABSENT else _short(json.dumps(value, ensure_ascii=False))


def _short(text: str, most: int = MAX_TEXT) -> str:
    text = " ".join(str(text).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _around(old: str, new: str) -> list[str]:
    """Two texts, shortened so that what differs is still to be seen."""
    same = next(
        (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new))
    )
    begin = max(0, same - MAX_TEXT // 3) if max(len(old), len(new)) > MAX_TEXT else 0
    return [_short(f"“…{text[begin:]}" if begin else text) for text in (old, new)]
