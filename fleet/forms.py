"""Forms of the fleet."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext

from fleet.countries import country_named
from fleet.models import FleetRules, Vehicle
from fleet.selectors import RulesEffect, rules_effect
from fleet.vocabulary import plate_spelled

if TYPE_CHECKING:
    VehicleModelForm = forms.ModelForm[Vehicle]
    RulesModelForm = forms.ModelForm[FleetRules]
else:
    VehicleModelForm = RulesModelForm = forms.ModelForm

POSITION = ("latitude", "longitude")
# A change of the rules that keeps back more vehicles than this asks first.
FEW = 5


class VehicleForm(VehicleModelForm):
    """A vehicle, spelled as services keep it, so that what is compared and checked is what will be stored.

    A page may stand open while others change the vehicle, so it carries what it showed (`shown`, JSON by field):
    `changed_data` is what was typed over that, and a field that somebody else changed as well is refused once, with
    the present value; who saves again means it.
    """

    shown = forms.Field(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Vehicle
        fields = (
            "id",
            "plate",
            "state",
            "battery",
            "last_signal_at",
            "country",
            "city",
            "latitude",
            "longitude",
            "kind",
            "model",
            "vin",
            "note",
        )
        widgets = {
            "note": forms.Textarea(attrs={"rows": 4}),
            "latitude": forms.NumberInput(attrs={"step": "any", "min": -90, "max": 90}),
            "longitude": forms.NumberInput(attrs={"step": "any", "min": -180, "max": 180}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.present: dict[str, Any] = {}
        if self.instance.pk:
            told = {name: self.initial.get(name) for name in self.fields if name not in ("id", "shown")}
            self.present = json.loads(json.dumps(told, cls=DjangoJSONEncoder))
            self.initial["shown"] = json.dumps(self.present)

    def clean_plate(self) -> str:
        return plate_spelled(self.cleaned_data["plate"])

    def clean_country(self) -> str:
        text: str = self.cleaned_data["country"]
        return country_named(text) or text

    def clean_note(self) -> str:
        text: str = _lines(self.cleaned_data["note"])
        return text

    @cached_property
    def seen(self) -> dict[str, Any]:
        """What the page showed, by field; the vehicle as it is where the page does not tell."""
        try:
            told = json.loads(self.data.get("shown", ""))
        except (ValueError, RecursionError):
            told = None
        told = told if isinstance(told, dict) else {}
        plain = {name: value for name, value in told.items() if value is None or isinstance(value, str | int | float)}
        return {name: plain.get(name, value) for name, value in self.present.items()}

    @cached_property
    def changed_data(self) -> list[str]:
        """The names of the fields that were typed over."""
        if not self.present:
            return super().changed_data
        return [name for name, field in self.fields.items() if name in self.present and self._typed(name, field)]

    def _typed(self, name: str, field: forms.Field) -> bool:
        shown = self.seen[name]
        if isinstance(field, forms.SplitDateTimeField):
            shown = _moment(shown)
        return field.has_changed(shown, _lines(self[name].data))

    def clean(self) -> dict[str, Any]:
        """Put back what was not typed over, and refuse what somebody else changed meanwhile."""
        super().clean()
        if self.present:
            for name in self.cleaned_data.keys() & self.present.keys() - set(self.changed_data):
                self.cleaned_data[name] = self.initial.get(name)
            contested = [name for name in self.changed_data if name in self.cleaned_data and self._contested(name)]
            known = dict(self.seen)
            for name in contested:
                group = POSITION if name in POSITION else (name,)
                self.add_error(name, self._objection(group))
                known |= {each: self.present[each] for each in group}
            data = self.data.copy()  # type: ignore[attr-defined]
            data["shown"] = json.dumps(known)
            self.data = data
        return self.cleaned_data

    def _contested(self, name: str) -> bool:
        """Whether somebody else changed the field, or the other half of its position, to something else."""
        group = POSITION if name in POSITION else (name,)
        if self.cleaned_data[name] == self.initial.get(name) or not self.present.keys() >= set(group):
            return False
        return any(self.seen[each] != self.present[each] for each in group)

    def _objection(self, names: tuple[str, ...]) -> str:
        words = ", ".join(filter(None, (self._worded(name) for name in names)))
        if not words:
            return gettext(
                "Somebody else changed this in the meantime: it is now empty. Save again to write yours all the same."
            )
        return gettext(
            "Somebody else changed this in the meantime: it is now “%(value)s”. Save again to write yours all the same."
        ) % {"value": words}

    def _worded(self, name: str) -> str:
        """A present value as the page shows it."""
        value = self.initial.get(name)
        if isinstance(value, datetime):
            return date_format(timezone.localtime(value), "DATETIME_FORMAT")
        choices = dict(getattr(self.fields[name], "choices", ()))
        return "" if value is None else str(choices.get(value, value))


class RulesForm(RulesModelForm):
    """The rules of the fleet. What keeps more than a few vehicles back is said first, and done when saved again."""

    confirmed = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = FleetRules
        fields = ("minimum_battery", "silence_limit")

    effect: RulesEffect | None = None

    def clean(self) -> dict[str, Any]:
        super().clean()
        if self.errors or not self.changed_data:
            return self.cleaned_data
        minimum, silence = (self.cleaned_data[name] for name in ("minimum_battery", "silence_limit"))
        self.effect = rules_effect(minimum_battery=minimum, silence_limit=silence)
        told = f"{minimum}:{silence}"
        if self.effect.withheld > FEW and self.cleaned_data["confirmed"] != told:
            data = self.data.copy()  # type: ignore[attr-defined]
            data["confirmed"] = told
            self.data = data
            words = gettext("By this change: %(effect)s. Save again to make it.")
            raise forms.ValidationError(words % {"effect": self.effect.words})
        return self.cleaned_data


def _moment(told: Any) -> datetime | None:
    """A time out of `shown`, to the second as the page shows it."""
    try:
        moment = parse_datetime(told) if isinstance(told, str) else None
    except ValueError:
        return None
    return moment.replace(microsecond=0) if moment else None


def _lines(data: Any) -> Any:
    """Text with its lines ended as we keep them; browsers send them ended their own way."""
    return data.replace("\r\n", "\n") if isinstance(data, str) else data
