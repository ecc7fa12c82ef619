"""How durations, fields and values of vehicles are said to people, in the language in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.formats import date_format, number_format
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext

from fleet.models import FleetRules, Vehicle
from fleet.vocabulary import Kind, State


def duration_words(duration: timedelta) -> str:
    """A duration as one says it: seconds are not worth a word, hours are after two days."""
    minutes = max(0, int(duration.total_seconds()) // 60)
    if minutes < 1:
        return gettext("less than a minute")
    if minutes < 60:
        return gettext("%(number)s min") % {"number": minutes}
    hours = minutes // 60
    if hours < 48:
        return gettext("%(number)s h") % {"number": hours}
    days = hours // 24
    return ngettext("%(number)s day", "%(number)s days", days) % {"number": number_format(days, use_l10n=True)}


def moment_words(moment: datetime) -> str:
    """A time, exactly."""
    return date_format(localtime(moment), "SHORT_DATETIME_FORMAT")


def field_words(name: str) -> str:
    """The name of a field, for the beginning of a line."""
    if name == "position":
        return gettext("Position")
    return str(capfirst(_label(name)))


def value_words(name: str, value: object) -> str:
    """A value out of the history; empty where nothing is known, and as it is where nothing better is."""
    if value is None or value == "":
        return ""
    match name:
        case "state":
            return str(dict(State.choices).get(str(value), value))
        case "kind":
            return str(dict(Kind.choices).get(str(value), value))
        case "battery":
            return gettext("%(number)s %%") % {"number": value}
        case "last_signal_at":
            moment = moment_read(value)
            return moment_words(moment) if moment else str(value)
    return str(value)


def moment_read(value: object) -> datetime | None:
    """A time out of the history; one without a zone is UTC."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True)
class FieldChange:
    """One line of a change, in words: old and new are empty where nothing was or is known."""

    name: str
    label: str
    old: str
    new: str


def change_words(values: Mapping[str, Sequence[Any]]) -> list[FieldChange]:
    """What a change says, field by field in the order of the form; both halves of a position as one."""
    lines = []
    for name in (*_ORDER, *sorted(values.keys() - set(_ORDER))):
        if name == "position":
            if values.keys() >= {"latitude", "longitude"}:
                old, new = (_position(values["latitude"][side], values["longitude"][side]) for side in (0, 1))
                lines.append(FieldChange(name, field_words(name), old, new))
        elif name in values and not (name in ("latitude", "longitude") and values.keys() >= {"latitude", "longitude"}):
            old, new = values[name]
            label = field_words(name) if name in _ORDER else name
            lines.append(FieldChange(name, label, value_words(name, old), value_words(name, new)))
    return lines


_ORDER = (
    "state",
    "battery",
    "plate",
    "position",
    "latitude",
    "longitude",
    "city",
    "country",
    "last_signal_at",
    "kind",
    "model",
    "vin",
    "note",
)


def _position(latitude: Any, longitude: Any) -> str:
    return "" if latitude is None or longitude is None else f"{latitude}, {longitude}"


def rules_change_words(values: Mapping[str, Sequence[Any]]) -> list[FieldChange]:
    """A change of the rules."""
    labels = {name: str(capfirst(FleetRules._meta.get_field(name).verbose_name)) for name in values}  # type: ignore[union-attr]
    return [FieldChange(name, labels[name], _rule(name, old), _rule(name, new)) for name, (old, new) in values.items()]


def _rule(name: str, value: object) -> str:
    if name == "minimum_battery":
        return value_words("battery", value)
    return gettext("no limit") if value is None else gettext("%(number)s min") % {"number": value}


def fields_listed(names: Sequence[str]) -> str:
    """The names of fields in a sentence, each once; both halves of a position as one."""
    told = list(dict.fromkeys("position" if name in ("latitude", "longitude") else name for name in names))
    labels = (gettext("position") if name == "position" else _label(name) for name in told)
    return ", ".join(labels)


def _label(name: str) -> str:
    return str(Vehicle._meta.get_field(name).verbose_name)  # type: ignore[union-attr]
