"""Fields of a form that stands over a part of the document.

Each names its property by a dotted path in Crusoe's own names, shows the stored value as text, and reads text back.
What a person leaves as it was shown is :data:`UNCHANGED`, whatever it holds: only edited values are read, judged and
written, so a value that came in by import stays exactly as it came. An emptied field is ``editing.ABSENT``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.forms.utils import flatatt
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from itineraries import schedule
from itineraries.editing import ABSENT
from itineraries.errors import Problem
from itineraries.json_values import is_exact

_DECIMAL = re.compile(r"[+-]?\d{1,300}(?:[.,]\d{1,300})?", re.ASCII)
_CLOCK_LENGTH = re.compile(r"(\d{1,4}):([0-5]\d)", re.ASCII)
_WORD_LENGTH = re.compile(r"(?:(\d{1,4})\s*h)?\s*(?:(\d{1,5})\s*(?:m|min)?)?", re.ASCII | re.IGNORECASE)
_SECONDS = re.compile(r"(\d{1,15}(?:\.\d+)?)\s*s", re.ASCII | re.IGNORECASE)


class _Unchanged:
    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = _Unchanged()


class _Input(forms.TextInput):
    """As its parent, without a template: a page of fifty cards has two thousand of them."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        text = self.format_value(value)
        given = {"type": self.input_type, "name": name, **({} if text is None else {"value": text})}
        return format_html("<input{}>", flatatt({**given, **self.build_attrs(self.attrs, attrs)}))


class PartField(forms.Field):
    """What stands at the field is set when the form is made.

    ``shown`` is the stored value's text; ``problems`` those found in the stored document; ``computed`` the value that
    places and times give, where the stored one is another; ``elsewhere`` what somebody else stored in the meantime.
    """

    input_type = "text"
    single_line = True
    wide = False
    is_flag = False

    def __init__(
        self,
        path: str,
        *,
        label: Any,
        help_text: Any = "",
        attrs: dict[str, Any] | None = None,
        wide: bool | None = None,
    ) -> None:
        super().__init__(required=False, label=label, help_text=help_text, widget=self.make_widget(attrs or {}))
        self.path = path
        if wide is not None:
            self.wide = wide
        self.shown = ""
        self.problems: Sequence[Problem] = ()
        self.computed: str | None = None
        self.elsewhere: str | None = None

    def make_widget(self, attrs: dict[str, Any]) -> forms.Widget:
        return _Input(attrs={"autocomplete": "off", **attrs})

    def show(self, value: Any) -> str:
        """The stored value (None for an absent one) as the text of the input."""
        return _as_text(value)

    def read(self, text: str) -> Any:
        """The JSON value that the text means; raises ValidationError."""
        return text

    def prepare(self, displayed: str, described_by: Iterable[str] = ()) -> None:
        """Fits the widget to the text that it is about to show."""
        if ids := " ".join(described_by):
            self.widget.attrs["aria-describedby"] = ids
        if any(problem.level == "error" for problem in self.problems):
            self.widget.attrs["aria-invalid"] = "true"

    def same_text(self, one: str, other: str) -> bool:
        return self._as_posted(one) == self._as_posted(other)

    def _as_posted(self, text: str) -> str:
        """What a browser makes of a text: one line in an input, CR LF between the lines of a text area."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text.replace("\n", "") if self.single_line else text

    def is_edit(self, value: Any) -> bool:
        """Whether what was posted is other than what was shown; a field that was not posted is no edit."""
        return value is not None and not self.same_text(str(value), self.shown)

    def clean(self, value: Any) -> Any:
        if not self.is_edit(value):
            return UNCHANGED
        text = str(value).replace("\r\n", "\n").strip()
        if "\0" in text:
            raise ValidationError(_("The text holds a NUL character, which cannot be stored."))
        return self.read(text) if text else ABSENT


class TextField(PartField):
    pass


class LongTextField(PartField):
    single_line = False
    wide = True

    def make_widget(self, attrs: dict[str, Any]) -> forms.Widget:
        return forms.Textarea(attrs={"rows": 2, **attrs})


class CodeField(PartField):
    """An IATA code: written in capitals, offered from the list of airports."""

    def make_widget(self, attrs: dict[str, Any]) -> forms.Widget:
        return _Input(attrs={"autocomplete": "off", "spellcheck": "false", "list": "airports", **attrs})

    def read(self, text: str) -> Any:
        return text.upper()


class NumberField(PartField):
    """A number in the range; whole ones are written without a decimal point. ``70,50`` is read as ``70.5``."""

    def __init__(self, path: str, *, least: float, most: float = float("inf"), whole: bool = False, **more: Any):
        super().__init__(path, **more)
        self.least, self.most, self.whole = least, most, whole

    def make_widget(self, attrs: dict[str, Any]) -> forms.Widget:
        return _Input(attrs={"autocomplete": "off", "inputmode": "decimal", **attrs})

    def read(self, text: str) -> Any:
        if _DECIMAL.fullmatch(text) is None or re.fullmatch(r"[+-]?\d+,\d{3}", text):
            raise ValidationError(_("Write a number, such as 70 or 70.50."))
        number = Decimal(text.replace(",", "."))
        is_whole = number == number.to_integral_value()
        if self.whole and not is_whole:
            raise ValidationError(_("Write a whole number."))
        if not self.least <= number <= self.most:
            raise ValidationError(self._range())
        if is_whole:
            if not is_exact(int(number)):
                raise ValidationError(_("The number has more digits than can be kept."))
            return int(number)
        return float(number)

    def _range(self) -> str:
        if self.most == float("inf"):
            return _("Must be 0 or more.")
        return _("Must be from %(least)g to %(most)g.") % {"least": self.least, "most": self.most}


class LengthField(PartField):
    """A length of time: seconds in the document, hours and minutes on the screen (``2:30``)."""

    def show(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return _as_text(value)
        if value >= 0 and value % 60 == 0 and value < 36_000_000:
            return f"{int(value) // 3600}:{int(value) % 3600 // 60:02}"
        return f"{json.dumps(value)} s"

    def read(self, text: str) -> Any:
        if found := _CLOCK_LENGTH.fullmatch(text):
            return int(found[1]) * 3600 + int(found[2]) * 60
        if found := _SECONDS.fullmatch(text):
            seconds = float(found[1])
            return int(seconds) if seconds == int(seconds) else seconds
        if (found := _WORD_LENGTH.fullmatch(text)) and (found[1] or not text.isdigit()):
            return int(found[1] or 0) * 3600 + int(found[2] or 0) * 60
        raise ValidationError(_("Write hours and minutes, such as 2:30, or 45 min."))


class _NativeField(PartField):
    """An input of a type that browsers have a control for; text that it cannot hold is shown in a plain one."""

    native = "text"

    def parsed(self, text: str) -> Any:
        """The value of the control's own spelling; raises ValueError."""
        raise NotImplementedError

    def prepare(self, displayed: str, described_by: Iterable[str] = ()) -> None:
        super().prepare(displayed, described_by)
        try:
            if displayed:
                self.parsed(displayed)
            self.widget.input_type = self.native
        except ValueError:
            self.widget.input_type = "text"


class DateField(_NativeField):
    """``19.05.2016`` in the document, the browser's own control on the screen."""

    native = "date"

    def show(self, value: Any) -> str:
        try:
            return schedule.read_date(value).isoformat()
        except (TypeError, ValueError):
            return _as_text(value)

    def parsed(self, text: str) -> date:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            raise ValueError("not what the control sends")
        return date.fromisoformat(text)

    def read(self, text: str) -> Any:
        for reader in (self.parsed, schedule.read_date):
            try:
                return schedule.write_date(reader(text))
            except ValueError:
                continue
        raise ValidationError(_("Write a date as day.month.year, such as 19.05.2016."))


class TimeField(_NativeField):
    """``13:45 PM`` in the document, the browser's own control on the screen."""

    native = "time"

    def show(self, value: Any) -> str:
        try:
            return schedule.read_time(value).isoformat("minutes")
        except (TypeError, ValueError):
            return _as_text(value)

    def parsed(self, text: str) -> time:
        if not re.fullmatch(r"\d{2}:\d{2}(:\d{2})?", text, re.ASCII):
            raise ValueError("not what the control sends")
        return time.fromisoformat(text)

    def read(self, text: str) -> Any:
        for reader in (self.parsed, schedule.read_time):
            try:
                return schedule.write_time(reader(text))
            except ValueError:
                continue
        raise ValidationError(_("Write a time as hours:minutes, such as 13:45."))


class ChoiceField(PartField):
    """One of a few words; a stored one that is none of them stays among the choices."""

    def __init__(self, path: str, *, choices: Sequence[tuple[str, Any]], **more: Any) -> None:
        self.choices = list(choices)
        super().__init__(path, **more)

    def make_widget(self, attrs: dict[str, Any]) -> forms.Widget:
        return forms.Select(attrs=attrs, choices=[("", "—"), *self.choices])

    def prepare(self, displayed: str, described_by: Iterable[str] = ()) -> None:
        super().prepare(displayed, described_by)
        known = {value for value, _label in self.choices}
        strangers = [(text, text) for text in dict.fromkeys((self.shown, displayed)) if text and text not in known]
        self.widget.choices = [("", "—"), *self.choices, *strangers]

    def read(self, text: str) -> Any:
        if text not in {value for value, _label in self.choices}:
            raise ValidationError(_("Choose one of the list."))
        return text


class FlagField(PartField):
    """True or false; left alone, an absent one stays absent."""

    is_flag = True

    def make_widget(self, attrs: dict[str, Any]) -> forms.Widget:
        return forms.CheckboxInput(attrs=attrs, check_test=lambda value: value in (True, "on"))

    def show(self, value: Any) -> str:
        return "on" if value is True else ""

    def is_edit(self, value: Any) -> bool:
        return (value in (True, "on")) != (self.shown == "on")

    def clean(self, value: Any) -> Any:
        return value in (True, "on") if self.is_edit(value) else UNCHANGED


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
