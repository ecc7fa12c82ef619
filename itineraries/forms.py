"""Forms over the parts of a trip: one for its own properties, and one per kind of option, card and leg.

Each form stands over one JSON object of the stored document and writes back only what a person changed, as an edit of
the tree. A value that cannot be read keeps its text on the screen with a message; everything else is saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from itineraries import airports, document, editing
from itineraries.document import Json, Trip
from itineraries.editing import ABSENT
from itineraries.errors import DocumentError, Problem
from itineraries.form_fields import (
    UNCHANGED,
    ChoiceField,
    CodeField,
    DateField,
    FlagField,
    LengthField,
    LongTextField,
    NumberField,
    PartField,
    TextField,
    TimeField,
)

Problems = Mapping[str, Sequence[Problem]]

KIND_LABELS = {
    "flight": _("Flight"),
    "accommodation": _("Stay"),
    "carRide": _("Car ride"),
    "experience": _("Experience"),
}


class PartForm(forms.Form):
    """A form over ``part``, an object of the document; ``problems`` are told apart by the field's id in the page."""

    fields: dict[str, PartField]  # type: ignore[assignment]

    def __init__(
        self,
        part: Json,
        *,
        prefix: str,
        data: Mapping[str, Any] | None = None,
        problems: Problems | None = None,
        computed: Mapping[str, Any] | None = None,
        show_elsewhere: bool = False,
    ) -> None:
        super().__init__(data=data, prefix=prefix)
        self.part = part
        for name, field in self.fields.items():
            field.shown = field.initial = field.show(_value_at(part, field.path))
            field.problems = (problems or {}).get(str(self[name].auto_id), ())
            if computed and field.path in computed:
                field.computed = field.show(computed[field.path])
            if show_elsewhere and field.is_edit(self[name].data):
                field.elsewhere = field.shown
        for name, field in self.fields.items():
            bound = self[name]
            displayed = str(bound.data or "") if self.is_bound else field.shown
            field.prepare(displayed, _notes(str(bound.auto_id), field, has_errors=bool(bound.errors)))

    def changes(self) -> dict[str, Any]:
        """What the person changed and what could be read, by dotted path; ABSENT for what was emptied."""
        if not self.is_bound:
            return {}
        self.is_valid()
        return {self.fields[name].path: value for name, value in self.cleaned_data.items() if value is not UNCHANGED}

    def after_save(self, part: Json, **more: Any) -> PartForm:
        """The form over the saved part: unreadable text stays with its message, the rest is what is stored now."""
        if not self.is_bound or self.is_valid():
            return type(self)(part, prefix=str(self.prefix), **more)
        data = {}
        for name, field in self.fields.items():
            data[self.add_prefix(name)] = (
                self[name].data if name in self.errors else field.show(_value_at(part, field.path))
            )
        return type(self)(part, prefix=str(self.prefix), data=data, **more)


def _value_at(part: Json, path: str) -> Any:
    value = editing.values_of(part, [path])[path]
    return None if value is ABSENT else value


def _notes(auto_id: str, field: PartField, *, has_errors: bool) -> list[str]:
    """The ids of what stands below the field, for those who hear it."""
    return [
        f"{auto_id}_{name}"
        for name, there in (
            ("helptext", field.help_text),
            ("error", has_errors),
            ("elsewhere", field.elsewhere is not None),
            ("computed", field.computed is not None),
            ("problems", True),
        )
        if there
    ]


# --- The trip ----------------------------------------------------------------------------------------------------


class TripForm(PartForm):
    """ "Main itinerary properties" of the specification."""

    title = TextField("title", label=_("Title"))
    subtitle = TextField("subtitle", label=_("Subtitle"), help_text=_("Where it goes from and to."))
    starts = DateField("dateInterval.from", label=_("First day"))
    ends = DateField("dateInterval.to", label=_("Last day"))
    intro = LongTextField("introText", label=_("Introduction"), attrs={"rows": 3})
    milestone_start = TextField("milestones.start", label=_("Label at the start"))
    milestone_end = TextField("milestones.end", label=_("Label at the end"))
    currency = ChoiceField(
        "price.currency", label=_("Currency"), choices=[("EUR", "EUR"), ("RON", "RON"), ("USD", "USD")]
    )
    price_type = ChoiceField(
        "price.type",
        label=_("Price"),
        choices=[("dynamic", _("Each card has its own")), ("fixed", _("One for the whole trip"))],
    )
    fixed_amount = NumberField("price.fixedPriceAmount", label=_("Price of the whole trip"), least=0)

    def changes(self) -> dict[str, Any]:
        changes = super().changes()
        # As in the specification's sample, which has a 0 beside "dynamic".
        if changes.get("price.type") == "dynamic" and not self.fields["fixed_amount"].shown:
            changes.setdefault("price.fixedPriceAmount", 0)
        return changes

    def apply(self, trip: Trip) -> Trip:
        changes = self.changes()
        return editing.trip_update(trip, changes) if changes else trip


# --- Cards and options -------------------------------------------------------------------------------------------


class CardForm(PartForm):
    milestone = TextField("milestone", label=_("Label before this card"))


class OptionForm(PartForm):
    title = TextField("title", label=_("Title"))
    amount = NumberField("price.currentAmount", label=_("Price"), least=0)
    before = NumberField("price.beforeAmount", label=_("Price before"), least=0)
    discounted = FlagField("price.discounted", label=_("Show as a discount"))
    info = LongTextField(
        "info", label=_("Information"), help_text=_("For example on services and costs that come on top.")
    )

    def changes(self) -> dict[str, Any]:
        """As in the specification's samples, a price that is typed says whether it is discounted; one that goes, goes whole."""
        changes = super().changes()
        amount = changes.get("price.currentAmount", UNCHANGED)
        if amount is UNCHANGED or "price.discounted" in changes:
            return changes
        discounted = _value_at(self.part, "price.discounted")
        if amount is not ABSENT and discounted is None:
            changes["price.discounted"] = False
        elif amount is ABSENT and discounted is False:
            before = changes.get("price.beforeAmount", _value_at(self.part, "price.beforeAmount"))
            if before in (ABSENT, None, 0):
                changes |= {"price.discounted": ABSENT, "price.beforeAmount": ABSENT}
        return changes


class FlightOptionForm(OptionForm):
    duration = LengthField("duration", label=_("Total duration"))
    layovers = NumberField("layovers", label=_("Layovers"), least=0, whole=True)
    stops = NumberField("stops", label=_("Stops"), least=0, whole=True)


class AccommodationOptionForm(OptionForm):
    check_in = DateField("dateInterval.from", label=_("Check-in"))
    check_out = DateField("dateInterval.to", label=_("Check-out"))
    booking_id = TextField(
        "bookingId",
        label=_("Booking.com id"),
        help_text=_("With it Crusoe takes picture, text and place from Booking.com, if it knows the hotel."),
    )
    tripadvisor_id = TextField("tripadvisorId", label=_("Tripadvisor id"))
    address = TextField("address", label=_("Address"))
    latitude = NumberField("latitude", label=_("Latitude"), least=-90, most=90)
    longitude = NumberField("longitude", label=_("Longitude"), least=-180, most=180)
    image = TextField("image", label=_("Address of the picture"), attrs={"inputmode": "url"}, wide=True)
    description = LongTextField("description", label=_("Description"), attrs={"rows": 3})


class CarRideOptionForm(OptionForm):
    service = TextField("serviceInfo", label=_("Service"))
    from_name = TextField("pointA.name", label=_("From"))
    from_date = DateField("pointA.date", label=_("Pick-up date"))
    from_time = TimeField("pointA.time", label=_("Pick-up time"))
    to_name = TextField("pointB.name", label=_("To"))
    to_date = DateField("pointB.date", label=_("Drop-off date"))
    to_time = TimeField("pointB.time", label=_("Drop-off time"))
    duration = LengthField("duration", label=_("Duration"))


class ExperienceOptionForm(OptionForm):
    image = TextField("image", label=_("Address of the picture"), attrs={"inputmode": "url"}, wide=True)
    description = LongTextField("description", label=_("Description"), attrs={"rows": 3})


class LegForm(PartForm):
    """An item of ``flightSegments``; the name of an airport that is left empty is that of its code's city."""

    code = TextField("code", label=_("Flight"), attrs={"placeholder": "LH 1419"})
    service = TextField("serviceInfo", label=_("Airline and class"))
    from_code = CodeField("pointA.code", label=_("From, airport code"))
    from_name = TextField("pointA.name", label=_("From, name"))
    from_date = DateField("pointA.date", label=_("Departure date"))
    from_time = TimeField("pointA.time", label=_("Departure time"))
    to_code = CodeField("pointB.code", label=_("To, airport code"))
    to_name = TextField("pointB.name", label=_("To, name"))
    to_date = DateField("pointB.date", label=_("Arrival date"))
    to_time = TimeField("pointB.time", label=_("Arrival time"))
    duration = LengthField("duration", label=_("Duration"))
    stops = NumberField("stops", label=_("Stops"), least=0, whole=True)
    layover = LengthField("layoverTime", label=_("Layover before this leg"))

    def changes(self) -> dict[str, Any]:
        changes = super().changes()
        for point in ("pointA", "pointB"):
            self._name_airport(point, changes)
        return changes

    def _name_airport(self, point: str, changes: dict[str, Any]) -> None:
        """Fills in, or takes along with the code, a name that nobody typed."""
        code = changes.get(f"{point}.code", _value_at(self.part, f"{point}.code"))
        airport = airports.by_code(code) if isinstance(code, str) else None
        if airport is None or not changes:
            return
        name = changes.get(f"{point}.name", UNCHANGED)
        if name is UNCHANGED:
            name = _value_at(self.part, f"{point}.name")
            old = airports.by_code(str(_value_at(self.part, f"{point}.code") or ""))
            if f"{point}.code" in changes and old is not None and name == _place_name(old):
                name = None
        if name in (ABSENT, None, ""):
            changes[f"{point}.name"] = _place_name(airport)


def _place_name(airport: airports.Airport) -> str:
    return airport.city or airport.name


OPTION_FORMS: dict[str, type[OptionForm]] = {
    "flight": FlightOptionForm,
    "accommodation": AccommodationOptionForm,
    "carRide": CarRideOptionForm,
    "experience": ExperienceOptionForm,
}


# --- Making a trip -----------------------------------------------------------------------------------------------


class ImportForm(forms.Form):
    """A document from a file or pasted; ``cleaned_data["document"]`` is what it says, None for a blank trip."""

    file = forms.FileField(label=_("JSON file"), required=False)
    text = forms.CharField(
        label=_("Or paste the JSON here"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 10, "spellcheck": "false", "class": "mono"}),
    )

    problems: list[Problem]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.problems = []

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        file, text = cleaned.get("file"), cleaned.get("text") or ""
        if file is not None and text.strip():
            raise ValidationError(_("Give a file or text, not both."))
        if file is None and not text.strip() and not self.errors:
            raise ValidationError(_("Choose a file, or paste the JSON."))
        if not self.errors:
            try:
                cleaned["document"] = document.read(text if file is None else file.read())
                document.parse(cleaned["document"])
            except DocumentError as error:
                self.problems = error.problems
                raise ValidationError(_("This cannot be imported:")) from None
        return cleaned
