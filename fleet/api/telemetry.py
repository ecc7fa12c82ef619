"""What devices report, over REST."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from fleet.api.bodies import JsonView
from fleet.api.shapes import IdField, LocationSerializer, MomentField, PercentField, moment_read
from fleet.models import Vehicle, VehicleQuerySet
from fleet.telemetry import MOST_SIGNALS, Signal, SignalProblem, telemetry_receive
from fleet.vocabulary import ID_PATTERN, State

_OPERATION = "vehicles_telemetry_create"
_EXAMPLE = OpenApiExample(
    "A position, and a state with its time",
    request_only=True,
    value=[
        {"id": "ES-0001", "battery": 81, "location": {"latitude": 40.4168, "longitude": -3.7038}},
        {"id": "ES-0002", "state": "on_trip", "at": "2026-11-21T16:30:00Z"},
    ],
)


# For the description alone: `read_signal` reads an item, in a fraction of the time.
class SignalSerializer(serializers.Serializer[Any]):
    """One report of one device; what it leaves out stays as it is."""

    id = IdField()
    battery = PercentField(allow_null=True, required=False, help_text="Per cent; null: no longer known.")
    location = LocationSerializer(allow_null=True, required=False, help_text="Null: no longer known.")
    state = serializers.ChoiceField(State.choices, required=False)
    at = MomentField(required=False, help_text="The device's own time; now, if left out.")


@extend_schema_field(
    {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 1}}
)
class _ErrorsField(serializers.DictField):
    """Lists of messages by field; `location.latitude` is a field within one."""


ANSWER = inline_serializer(
    "Received",
    fields={
        "updated": serializers.IntegerField(min_value=0, help_text="Applied, and something of the vehicle changed."),
        "unchanged": serializers.IntegerField(min_value=0, help_text="Heard, and the vehicle was so already."),
        "stale": serializers.IntegerField(min_value=0, help_text="Older than what is known; they changed nothing."),
        "errors": inline_serializer(
            "SignalProblem",
            fields={
                "index": serializers.IntegerField(min_value=0, help_text="The item's place, counted from 0."),
                "id": serializers.CharField(allow_blank=True, help_text="Its id, if it has one that can be read."),
                "errors": _ErrorsField(),
            },
            many=True,
        ),
    },
)


def limit_of_a_batch(result: dict[str, Any], **_given: Any) -> dict[str, Any]:
    """Say in the OpenAPI document how many signals a batch may hold, which its generator has no word for."""
    for operations in result["paths"].values():
        for operation in operations.values():
            if operation["operationId"] == _OPERATION:
                operation["requestBody"]["content"]["application/json"]["schema"]["maxItems"] = MOST_SIGNALS
    return result


class TelemetryView(JsonView, GenericAPIView[Vehicle]):
    """What devices report."""

    queryset: VehicleQuerySet = Vehicle.objects.all()
    serializer_class = SignalSerializer
    pagination_class = None
    required_scope: ClassVar[str] = "telemetry"
    required_permissions: ClassVar[dict[str, list[str]]] = {"POST": ["fleet.change_vehicle"]}

    @extend_schema(
        operation_id=_OPERATION, request=SignalSerializer(many=True), responses={200: ANSWER}, examples=[_EXAMPLE]
    )
    def post(self, request: Request) -> Response:
        """Apply up to 5,000 signals: the good ones count, though others fail.

        Several signals of one vehicle are applied in the order of their times. A batch may be sent again.
        """
        if not isinstance(request.data, list):
            raise ValidationError({"non_field_errors": [gettext("The body has to be an array of signals.")]})
        if len(request.data) > MOST_SIGNALS:
            words = gettext("At most %(most)s signals are taken at once.") % {"most": MOST_SIGNALS}
            raise ValidationError({"non_field_errors": [words]})
        read = [read_signal(index, item) for index, item in enumerate(request.data)]
        received = telemetry_receive(signals=[one for one in read if isinstance(one, Signal)])
        problems = [one for one in read if isinstance(one, SignalProblem)] + received.problems
        return Response(
            {
                "updated": received.updated,
                "unchanged": received.unchanged,
                "stale": received.stale,
                "errors": [
                    {"index": one.index, "id": one.id, "errors": one.errors}
                    for one in sorted(problems, key=lambda problem: problem.index)
                ],
            }
        )


_ID = re.compile(ID_PATTERN)
_NAMES = frozenset({"id", "battery", "location", "state", "at"})
_STATES = frozenset(State.values)


def read_signal(index: int, item: object) -> Signal | SignalProblem:
    """One item of a batch, or what is wrong with it, by field."""
    if not isinstance(item, dict):
        return SignalProblem(index, "", {"non_field_errors": [gettext("A signal is an object.")]})
    errors: dict[str, list[str]] = {}
    values: dict[str, object] = {}
    at = None
    for name, value in item.items():
        if name not in _NAMES:
            errors[name] = [gettext("There is no such field.")]
        elif name == "battery":
            _read_battery(value, values, errors)
        elif name == "location":
            _read_location(value, values, errors)
        elif name == "state":
            if isinstance(value, str) and value in _STATES:
                values["state"] = value
            else:
                errors["state"] = [gettext("This is not a state of MDS 2.0.")]
        elif name == "at":
            try:
                at = moment_read(value)
            except ValueError as problem:
                errors["at"] = [str(problem)]
    id = item.get("id")
    if not isinstance(id, str) or not _ID.fullmatch(id):
        errors["id"] = [
            gettext("An id is 1 to 64 letters, digits, or any of . _ : - and has no spaces.")
            if "id" in item
            else gettext("This field is required.")
        ]
    if errors or not isinstance(id, str):
        return SignalProblem(index, id if isinstance(id, str) else "", errors)
    return Signal(index=index, id=id, values=values, at=at)


def _read_battery(value: object, values: dict[str, object], errors: dict[str, list[str]]) -> None:
    if isinstance(value, float) and value.is_integer():  # 55.0 is an integer to JSON
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100):
        values["battery"] = value
    else:
        errors["battery"] = [gettext("The battery is a whole number of per cent from 0 to 100.")]


def _read_location(value: object, values: dict[str, object], errors: dict[str, list[str]]) -> None:
    if value is None:
        values["latitude"] = values["longitude"] = None
    elif not isinstance(value, Mapping):
        errors["location"] = [gettext("A position is an object with a latitude and a longitude.")]
    else:
        for name in value.keys() - {"latitude", "longitude"}:
            errors[f"location.{name}"] = [gettext("There is no such field.")]
        for name, limit in (("latitude", 90), ("longitude", 180)):
            if name not in value:
                errors[f"location.{name}"] = [gettext("This field is required.")]
                continue
            degrees = value[name]
            if isinstance(degrees, int | float) and not isinstance(degrees, bool) and -limit <= degrees <= limit:
                values[name] = float(degrees)
            else:
                words = gettext("This is no number of degrees from %(least)s to %(most)s.")
                errors[f"location.{name}"] = [words % {"least": -limit, "most": limit}]
