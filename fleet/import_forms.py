"""The forms of an import: what to read and how, and whether to apply it."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from fleet.countries import country_named
from fleet.models import ImportRun, Vehicle
from fleet.sources.fetch import LONGEST_ADDRESS, is_address
from fleet.sources.spellings import COLUMNS

LARGEST_UPLOAD: Final = 512 * 1024 * 1024
COLUMN_LABELS: Final = {
    "id": _("Id"),
    "plate": _("Plate"),
    "vin": _("VIN"),
    "kind": _("Kind"),
    "model": _("Model"),
    "country": _("Country"),
    "city": _("City"),
    "latitude": _("Latitude"),
    "longitude": _("Longitude"),
    "position": _("Latitude and longitude"),
    "battery": _("Battery"),
    "state": _("State"),
    "last_signal_at": _("Last signal"),
    "free": _("Can be rented (yes or no)"),
}


class ImportForm(forms.Form):
    """What to read: a file or an address, and what its rows are in where they do not say."""

    file = forms.FileField(label=_("File"), required=False, help_text=_("CSV, or a GBFS feed as JSON; up to 512 MiB."))
    url = forms.CharField(
        label=_("or an address"),
        required=False,
        max_length=LONGEST_ADDRESS,
        widget=forms.TextInput(attrs={"placeholder": "https://…/gbfs.json", "inputmode": "url", "autocomplete": "off"}),
        help_text=_("http or https. A user and password in it are used and not kept."),
    )
    format = forms.ChoiceField(
        label=_("Format"),
        required=False,
        choices=[("", _("Find out")), ("csv", "CSV"), ("gbfs", "GBFS")],
    )
    country = forms.CharField(
        label=_("Country"), required=False, max_length=60, help_text=_("For rows that name none.")
    )
    city = forms.CharField(label=_("City"), required=False, max_length=80, help_text=_("For rows that name none."))
    retire_missing = forms.BooleanField(
        label=_("Retire vehicles that the source does not name"),
        required=False,
        help_text=_("Only those of the country and city above. You decide after you have seen which."),
    )

    def clean_file(self) -> UploadedFile[Any] | None:
        file: UploadedFile[Any] | None = self.cleaned_data["file"]
        if file is not None and (file.size or 0) > LARGEST_UPLOAD:
            raise ValidationError(gettext("The file is larger than 512 MiB."))
        return file

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"].strip()
        if url and not (is_address(url) and url.lower().startswith(("http://", "https://"))):
            raise ValidationError(gettext("An address begins with http:// or https://."))
        return url

    def clean_country(self) -> str:
        text: str = self.cleaned_data["country"].strip()
        country = country_named(text) or "" if text else ""
        if text and not country:
            raise ValidationError(gettext("“%(value)s” is not a country that we know.") % {"value": text})
        return country

    def clean_city(self) -> str:
        city: str = self.cleaned_data["city"].strip()
        Vehicle._meta.get_field("city").clean(city, None)
        if not city.isprintable():
            raise ValidationError(gettext("Control characters are not allowed."))
        return city

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if "file" in given and "url" in given and bool(given["file"]) == bool(given["url"]):
            both = gettext("Give a file or an address, not both.")
            self.add_error("file", both if given["file"] else gettext("Give a file or an address."))
        return given


class ColumnsForm(forms.Form):
    """What each heading of a table stands for; one field a heading, by its place."""

    def __init__(self, run: ImportRun, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.headings = [str(heading) for heading, _column in run.found.get("headings", [])]
        choices = [("", gettext("— passed over —")), *((name, str(COLUMN_LABELS[name])) for name in COLUMNS)]
        for place, (heading, column) in enumerate(run.found.get("headings", [])):
            self.fields[f"column_{place}"] = forms.ChoiceField(
                label=heading or gettext("(no heading)"), choices=choices, required=False, initial=column
            )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        columns = [column for column in given.values() if column]
        if "id" not in columns:
            raise ValidationError(gettext("One column has to be the vehicle's id."))
        twice = next((column for column in columns if columns.count(column) > 1), None)
        if twice:
            raise ValidationError(gettext("Only one column can be “%(column)s”.") % {"column": COLUMN_LABELS[twice]})
        return given

    @property
    def columns(self) -> dict[str, str]:
        """By heading, the column that it stands for; empty for one that is passed over."""
        return {heading: self.cleaned_data[f"column_{place}"] for place, heading in enumerate(self.headings)}


class ApplyForm(forms.Form):
    """Whether to retire the missing; more than a fifth of the fleet only if their number is typed."""

    retire_missing = forms.BooleanField(required=False)
    confirmed = forms.CharField(required=False, max_length=20)
