"""The shapes of vehicles in the REST API, and of what may be told of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from fleet.models import EARLIEST_SIGNAL, FleetRules, Vehicle
from fleet.selectors import withheld_reasons
from fleet.vocabulary import ID_PATTERN, CityTripsStatus, Kind, State

# Times nearer to the end of the calendar cannot be shown in every time zone.
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
# RFC 3339, as OpenAPI's `date-time` means it. Python reads more than that: weeks, and days without a time.
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,12})?(?P<offset>Z|[+-]\d\d:\d\d)?", re.ASCII | re.IGNORECASE
)


def moment_read(value: object) -> datetime:
    """A time as RFC 3339 writes it, from the year 2000 to 2099.

    A time without an offset is refused: it would be another one in each of the operator's countries.

    :raises ValueError: with the reason, in words.
    """
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(gettext("This is no time such as 2026-11-21T16:30:00Z."))
    if found["offset"] is None:
        raise ValueError(gettext("The time needs an offset: Z, or one such as +01:00."))
    try:
        moment = datetime.fromisoformat(found[0].upper())
    except ValueError:
        raise ValueError(gettext("There is no such time.")) from None
    if not EARLIEST_SIGNAL <= moment < LATEST:
        raise ValueError(gettext("It does not lie in the years 2000 to 2099."))
    return moment


class MomentField(serializers.DateTimeField):
    def to_internal_value(self, value: Any) -> datetime:
        try:
            return moment_read(value)
        except ValueError as problem:
            raise ValidationError(str(problem)) from None


class TextField(serializers.CharField):
    """Text; a number is none, though the framework would take it for some."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class IdField(serializers.RegexField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(rf"\A{ID_PATTERN}\Z", trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class PercentField(serializers.IntegerField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_value=100, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, str | bool) or (isinstance(data, float) and not data.is_integer()):
            self.fail("invalid")
        return super().to_internal_value(data)


class DegreesField(serializers.FloatField):
    """A number of degrees; a whole number too large for a float is an error like any other."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, str | bool):
            self.fail("invalid")
        try:
            return super().to_internal_value(data)
        except OverflowError:
            self.fail("invalid")


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses names that it does not know: a misspelt one would otherwise change nothing, and say nothing."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = [str(name) for name in data if name not in self.fields] if isinstance(data, Mapping) else []
        if not unknown:
            return super().to_internal_value(data)
        errors: dict[str, Any] = {name: [gettext("There is no such field.")] for name in unknown}
        try:
            super().to_internal_value(data)
        except ValidationError as others:
            errors |= others.detail if isinstance(others.detail, dict) else {}
        raise ValidationError(errors)


class LocationSerializer(StrictSerializer):
    """A position in decimal degrees."""

    latitude = DegreesField(min_value=-90, max_value=90)
    longitude = DegreesField(min_value=-180, max_value=180)

    def validate(self, attrs: dict[str, float]) -> dict[str, float]:
        """A position is told whole, also where a vehicle is told in part."""
        missing = {
            name: [gettext("This field is required.")] for name in ("latitude", "longitude") if name not in attrs
        }
        if missing:
            raise ValidationError(missing)
        return attrs


class VehicleSerializer(serializers.Serializer[Any]):
    """A vehicle, in CityTrips' own shape and with what the operator adds to it."""

    id = IdField(help_text="The operator's own id.")
    battery = PercentField(allow_null=True, help_text="Per cent; null where it is not known.")
    plate = serializers.CharField(max_length=16, allow_blank=True)
    country = serializers.CharField(max_length=60, allow_blank=True, help_text="In English.")
    city = serializers.CharField(max_length=80, allow_blank=True)
    location = LocationSerializer(allow_null=True, help_text="Decimal degrees; null where they are not known.")
    state = serializers.ChoiceField(State.choices, help_text="As in MDS 2.0.")
    vin = serializers.CharField(max_length=32, allow_blank=True)
    kind = serializers.ChoiceField(Kind.choices)
    model = serializers.CharField(max_length=80, allow_blank=True)
    note = serializers.CharField(max_length=4000, allow_blank=True)
    last_signal_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField(help_text="When any of the above but the last signal was last changed.")
    citytrips = serializers.ChoiceField(CityTripsStatus.choices, help_text="Where the vehicle stands with CityTrips.")
    withheld_because = serializers.ListField(
        child=serializers.CharField(),
        help_text="Why a vehicle that is available is withheld from CityTrips, in the language of `Accept-Language`.",
    )


class VehicleValuesSerializer(StrictSerializer):
    """What may be told of a vehicle: CityTrips' own fields, and the operator's, which may be left out."""

    id = IdField(required=False, help_text="That of the address; it cannot be changed.")
    battery = PercentField(allow_null=True, help_text="Per cent; null where it is not known.")
    plate = TextField(max_length=16, allow_blank=True)
    country = TextField(max_length=60, allow_blank=True, help_text="A name in English or another language, or a code.")
    city = TextField(max_length=80, allow_blank=True)
    location = LocationSerializer(allow_null=True, help_text="Decimal degrees; null where they are not known.")
    state = serializers.ChoiceField(State.choices, required=False, help_text="As in MDS 2.0.")
    vin = TextField(max_length=32, allow_blank=True, required=False)
    kind = serializers.ChoiceField(Kind.choices, required=False)
    model = TextField(max_length=80, allow_blank=True, required=False)
    note = TextField(max_length=4000, allow_blank=True, required=False)
    last_signal_at = MomentField(allow_null=True, required=False)
    updated_at = serializers.DateTimeField(read_only=True)
    citytrips = serializers.ChoiceField(CityTripsStatus.choices, read_only=True)
    withheld_because = serializers.ListField(child=serializers.CharField(), read_only=True)


class NewVehicleSerializer(VehicleValuesSerializer):
    """A new vehicle: all but its id may be told later."""

    id = IdField(help_text="The operator's own id: 1 to 64 letters, digits and `. _ : -`.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        for name, field in fields.items():
            field.required = name == "id"
        return fields


def vehicle_shown(vehicle: Vehicle, rules: FleetRules) -> dict[str, Any]:
    """What `VehicleSerializer` describes, of a vehicle with its `citytrips_status`; a page of them takes no serializer."""
    standing = vehicle.citytrips_status
    reasons = withheld_reasons(vehicle, rules) if standing == CityTripsStatus.WITHHELD else []
    return {
        "id": vehicle.pk,
        "battery": vehicle.battery,
        "plate": vehicle.plate,
        "country": vehicle.country,
        "city": vehicle.city,
        "location": None
        if vehicle.latitude is None
        else {"latitude": vehicle.latitude, "longitude": vehicle.longitude},
        "state": vehicle.state,
        "vin": vehicle.vin,
        "kind": vehicle.kind,
        "model": vehicle.model,
        "note": vehicle.note,
        "last_signal_at": vehicle.last_signal_at,
        "updated_at": vehicle.updated_at,
        "citytrips": standing,
        "withheld_because": [reason.message for reason in reasons],
    }


def flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a vehicle out of CityTrips' shape."""
    values = {name: value for name, value in data.items() if name not in ("id", "location")}
    if "location" in data:
        location = data["location"] or {"latitude": None, "longitude": None}
        values |= {"latitude": location["latitude"], "longitude": location["longitude"]}
    return values


def in_our_names(error: DjangoValidationError) -> dict[str, list[str]]:
    """A service's errors under the names of the API."""
    errors: dict[str, list[str]] = {}
    for name, messages in error.message_dict.items():
        key = {"latitude": "location", "longitude": "location", "__all__": "non_field_errors"}.get(name, name)
        errors.setdefault(key, []).extend(messages)
    return errors
