"""The fleet's part of the REST API: vehicles in CityTrips' own shape, and what the operator adds to it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
    inline_serializer,
)
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, NotFound, ParseError, UnsupportedMediaType, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from fleet import services
from fleet.countries import country_named
from fleet.errors import StaleVehicle
from fleet.models import EARLIEST_SIGNAL, FleetRules, Vehicle, VehicleQuerySet
from fleet.selectors import fleet_rules, withheld_reasons
from fleet.telemetry import MOST_SIGNALS, Signal, SignalProblem, telemetry_receive
from fleet.vocabulary import ID_PATTERN, CityTripsStatus, Kind, State

_UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")
# What a 400 holds.
_BAD_VALUES = OpenApiResponse(OpenApiTypes.OBJECT, description="What is wrong, as lists of messages by field.")
IF_MATCH = OpenApiParameter("If-Match", location="header", description="The ETag of a GET.")
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_STALE = OpenApiResponse(OpenApiTypes.OBJECT, description="The vehicle is no longer as the ETag in `If-Match` says.")


class PreconditionFailed(APIException):
    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_detail = _("The vehicle was changed by somebody else in the meantime. Read it again.")
    default_code = "precondition_failed"


class DegreesField(serializers.FloatField):
    """A number of degrees; a whole number too large for a float is an error like any other."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):
            self.fail("invalid")
        try:
            return super().to_internal_value(data)
        except OverflowError:
            self.fail("invalid")


class MomentField(serializers.DateTimeField):
    """A time that can be shown in every time zone: from the year 2000 to 2099."""

    def to_internal_value(self, value: Any) -> datetime:
        try:
            moment = super().to_internal_value(value)
        except (OverflowError, ValueError):
            raise ValidationError(gettext("It does not lie in the years 2000 to 2099.")) from None
        if not EARLIEST_SIGNAL <= moment < LATEST:
            raise ValidationError(gettext("It does not lie in the years 2000 to 2099."))
        return moment


class NestedTooDeep(ParseError):
    default_detail = _("The JSON is nested too deeply.")


class VehicleParser(JSONParser):
    """JSON in which nothing is lost or cannot be kept.

    Depth, a name that is told twice, and characters that neither a database nor an answer can hold (NUL, half of a
    surrogate pair) are errors of the sender's, not of ours.
    """

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            data = json.loads(
                stream.read().decode("utf-8"), parse_constant=_no_number, object_pairs_hook=_object_of_one_value_each
            )
            _check_characters(data)
        except RecursionError:
            raise NestedTooDeep from None
        except ValueError as error:
            raise ParseError(gettext("The body is no JSON: %(reason)s") % {"reason": error}) from None
        return data


def _no_number(name: str) -> None:
    raise ValueError(name)


def _object_of_one_value_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) < len(pairs):
        twice = [name for name, number in Counter(name for name, _value in pairs).items() if number > 1]
        if _storable(twice):
            raise ValidationError({name: [gettext("This field is told twice.")] for name in twice})
    return told


def _storable(value: Any) -> bool:
    """Whether all text in a value can be kept and answered."""
    if isinstance(value, str):
        return not _UNSTORABLE.search(value)
    if isinstance(value, dict):
        return all(_storable(name) and _storable(inner) for name, inner in value.items())
    return all(_storable(inner) for inner in value) if isinstance(value, list) else True


def _check_characters(data: Any) -> None:
    if _storable(data):
        return
    words = gettext("There is a NUL or half of a character (a lone surrogate) in the text.")
    if isinstance(data, dict):
        named = [name for name, value in data.items() if _storable(name) and not _storable(value)]
        raise ValidationError({name: [words] for name in named or ["non_field_errors"]})
    if isinstance(data, list):
        place = next(index for index, item in enumerate(data) if not _storable(item))
        words = gettext("Item %(index)s, counted from 0: %(problem)s") % {"index": place, "problem": words}
    raise ValidationError({"non_field_errors": [words]})


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = _("The body is too large. Send less at once.")
    default_code = "too_large"


class JsonBodyMixin:
    """Refuses a body that is too large, or no JSON, before anything reads it."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or len(length) > 15 or int(length) > (settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 10**15):
            raise TooLarge
        kind = request.content_type or ""
        if int(length) and request.method != "GET" and kind.split(";")[0].strip().lower() != VehicleParser.media_type:
            raise UnsupportedMediaType(kind[:100])
        super().initial(request, *args, **kwargs)  # type: ignore[misc]


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses names that it does not know: a misspelt one would otherwise change nothing, and say nothing."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [str(name) for name in data if name not in self.fields]
            if unknown:
                raise ValidationError({name: [gettext("There is no such field.")] for name in unknown})
        return super().to_internal_value(data)


class LocationSerializer(StrictSerializer):
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


class VehicleSerializer(StrictSerializer):
    id = serializers.RegexField(rf"\A{ID_PATTERN}\Z", required=False, help_text="The operator's own id.")
    battery = serializers.IntegerField(min_value=0, max_value=100, allow_null=True, help_text="Per cent.")
    plate = serializers.CharField(max_length=16, allow_blank=True)
    country = serializers.CharField(max_length=60, allow_blank=True)
    city = serializers.CharField(max_length=80, allow_blank=True)
    location = LocationSerializer(allow_null=True, help_text="Decimal degrees.")
    state = serializers.ChoiceField(State.choices, required=False, help_text="As in MDS 2.0.")
    vin = serializers.CharField(max_length=32, allow_blank=True, required=False)
    kind = serializers.ChoiceField(Kind.choices, required=False)
    model = serializers.CharField(max_length=80, allow_blank=True, required=False)
    note = serializers.CharField(max_length=4000, allow_blank=True, required=False)
    last_signal_at = MomentField(allow_null=True, required=False)
    updated_at = serializers.DateTimeField(read_only=True)
    citytrips = serializers.SerializerMethodField()
    withheld_because = serializers.SerializerMethodField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        if self.context.get("creating"):  # all but the id may be told later
            for name, field in fields.items():
                field.required = name == "id"
        return fields

    def to_representation(self, instance: Any) -> dict[str, Any]:
        vehicle: Vehicle = instance
        vehicle.location = (  # type: ignore[attr-defined]
            None if vehicle.latitude is None else {"latitude": vehicle.latitude, "longitude": vehicle.longitude}
        )
        return super().to_representation(vehicle)

    @extend_schema_field(serializers.ChoiceField(CityTripsStatus.choices))
    def get_citytrips(self, vehicle: Vehicle) -> str:
        return vehicle.citytrips_status

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_withheld_because(self, vehicle: Vehicle) -> list[str]:
        if vehicle.citytrips_status != CityTripsStatus.WITHHELD:
            return []
        return [reason.message for reason in withheld_reasons(vehicle, self.context.get("rules"))]


class FilterSerializer(StrictSerializer):
    """What `GET /vehicles/` may be asked for."""

    state = serializers.ChoiceField(State.choices, required=False)
    country = serializers.CharField(required=False, help_text="A name or an ISO code.")
    city = serializers.CharField(required=False)
    battery_lt = serializers.IntegerField(min_value=0, max_value=101, required=False)
    changed_since = MomentField(required=False, help_text="Updated at that time or later.")
    citytrips = serializers.ChoiceField(CityTripsStatus.choices, required=False)
    cursor = serializers.CharField(required=False)
    page_size = serializers.IntegerField(min_value=1, max_value=1000, required=False)
    format = serializers.CharField(required=False)

    def conditions(self) -> dict[str, object]:
        """The filter in the words of the model."""
        asked: dict[str, Any] = self.validated_data
        names = {
            "state": "state",
            "city": "city__iexact",
            "battery_lt": "battery__lt",
            "changed_since": "updated_at__gte",
            "citytrips": "citytrips_status",
        }
        conditions = {names[name]: value for name, value in asked.items() if name in names}
        if "country" in asked:
            conditions["country"] = country_named(asked["country"]) or asked["country"]
        return conditions


class SignalSerializer(StrictSerializer):
    id = serializers.RegexField(rf"\A{ID_PATTERN}\Z")
    battery = serializers.IntegerField(min_value=0, max_value=100, allow_null=True, required=False)
    location = LocationSerializer(allow_null=True, required=False)
    state = serializers.ChoiceField(State.choices, required=False)
    at = MomentField(required=False, help_text="The device's own time; now, if left out.")


ANSWER_TO_SIGNALS = inline_serializer(
    "Received",
    fields={
        "updated": serializers.IntegerField(),
        "unchanged": serializers.IntegerField(),
        "stale": serializers.IntegerField(),
        "errors": inline_serializer(
            "SignalProblem",
            fields={
                "index": serializers.IntegerField(),
                "id": serializers.CharField(),
                "errors": serializers.DictField(),
            },
            many=True,
        ),
    },
)


class VehiclePagination(CursorPagination):
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000
    ordering = "id"

    def decode_cursor(self, request: Request) -> Cursor | None:
        cursor = super().decode_cursor(request)
        if cursor is not None and not re.fullmatch(ID_PATTERN, str(cursor.position or "0")):
            raise NotFound(self.invalid_cursor_message)
        return cursor


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a vehicle out of CityTrips' shape."""
    values = {name: value for name, value in data.items() if name not in ("id", "location")}
    if "location" in data:
        location = data["location"] or {"latitude": None, "longitude": None}
        values |= {"latitude": location["latitude"], "longitude": location["longitude"]}
    return values


def _nested(error: DjangoValidationError) -> dict[str, list[str]]:
    """A service's errors under the names of the API."""
    errors: dict[str, list[str]] = {}
    for name, messages in error.message_dict.items():
        key = {"latitude": "location", "longitude": "location", "__all__": "non_field_errors"}.get(name, name)
        errors.setdefault(key, []).extend(messages)
    return errors


def entity_tag(vehicle: Vehicle) -> str:
    """The ETag of a vehicle's data; what CityTrips has settled is no part of it."""
    return f'"{int(vehicle.updated_at.timestamp() * 1_000_000):x}"'


def _check_match(request: Request, vehicle: Vehicle) -> bool:
    """Whether the request names the state that it was made from; raises PreconditionFailed when it is another."""
    header = request.headers.get("If-Match")
    if header is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    if "*" in tags:
        return False
    if entity_tag(vehicle) not in tags:
        raise PreconditionFailed
    return True


class VehicleViewSet(JsonBodyMixin, GenericViewSet[Vehicle]):
    """Vehicles. `{id}` is the operator's own id."""

    queryset = Vehicle.objects.all()
    serializer_class = VehicleSerializer
    pagination_class = VehiclePagination
    lookup_value_regex = ID_PATTERN
    lookup_url_kwarg = "id"
    parser_classes = [VehicleParser]
    required_scope = "fleet"

    def get_queryset(self) -> QuerySet[Vehicle]:
        return Vehicle.objects.with_citytrips_status()

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "rules": self.rules}

    @cached_property
    def rules(self) -> FleetRules:
        return fleet_rules()

    @extend_schema(parameters=[FilterSerializer], responses={200: VehicleSerializer(many=True), 400: _BAD_VALUES})
    def list(self, request: Request) -> Response:
        """The vehicles by id, filtered and in pages."""
        twice = [name for name, values in request.query_params.lists() if len(values) > 1]
        if twice:
            raise ValidationError({name: [gettext("This is asked for twice.")] for name in twice})
        asked = FilterSerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        page = self.paginate_queryset(self.get_queryset().filter(**asked.conditions()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(responses={201: VehicleSerializer, 400: _BAD_VALUES})
    def create(self, request: Request) -> Response:
        """Add a vehicle; without a state it is available."""
        serializer = self.get_serializer(data=request.data, context={"creating": True})
        serializer.is_valid(raise_exception=True)
        try:
            vehicle = services.vehicle_create(id=serializer.validated_data["id"], **_flat(serializer.validated_data))
        except DjangoValidationError as error:
            raise ValidationError(_nested(error)) from None
        return self._answer(vehicle, status.HTTP_201_CREATED)

    def retrieve(self, request: Request, id: str) -> Response:
        """One vehicle, with an ETag."""
        return self._answer(self.get_object())

    @extend_schema(parameters=[IF_MATCH], responses={200: VehicleSerializer, 400: _BAD_VALUES, 412: _STALE})
    def update(self, request: Request, id: str) -> Response:
        """Tell everything that CityTrips sees of a vehicle; other fields that are left out stay."""
        return self._write(request, partial=False)

    @extend_schema(parameters=[IF_MATCH], responses={200: VehicleSerializer, 400: _BAD_VALUES, 412: _STALE})
    def partial_update(self, request: Request, id: str) -> Response:
        """Change some fields of a vehicle."""
        return self._write(request, partial=True)

    @extend_schema(parameters=[IF_MATCH], responses={204: None, 412: _STALE})
    def destroy(self, request: Request, id: str) -> Response:
        """Set the vehicle's state to `removed`: it leaves CityTrips, and its history stays."""
        vehicle = self.get_object()
        if _check_match(request, vehicle):
            try:
                services.vehicle_update(
                    vehicle=vehicle, values={"state": State.REMOVED.value}, expected_updated_at=vehicle.updated_at
                )
            except StaleVehicle as error:
                raise PreconditionFailed(str(error)) from None
        else:
            services.vehicles_set_state(ids=[vehicle.pk], state=State.REMOVED)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _write(self, request: Request, *, partial: bool) -> Response:
        vehicle = self.get_object()
        serializer = self.get_serializer(vehicle, data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        if serializer.validated_data.get("id", vehicle.pk) != vehicle.pk:
            raise ValidationError({"id": [gettext("The id of a vehicle cannot be changed.")]})
        expected = vehicle.updated_at if _check_match(request, vehicle) else None
        try:
            written = services.vehicle_update(
                vehicle=vehicle, values=_flat(serializer.validated_data), expected_updated_at=expected
            )
        except StaleVehicle as error:
            raise PreconditionFailed(str(error)) from None
        except DjangoValidationError as error:
            raise ValidationError(_nested(error)) from None
        return self._answer(written)

    def _answer(self, vehicle: Vehicle, code: int = status.HTTP_200_OK) -> Response:
        data = self.get_serializer(vehicle).data
        return Response(data, status=code, headers={"ETag": entity_tag(vehicle)})


class TelemetryViewSet(JsonBodyMixin, GenericViewSet[Vehicle]):
    """What devices report."""

    queryset: VehicleQuerySet = Vehicle.objects.all()
    serializer_class = SignalSerializer
    pagination_class = None
    parser_classes = [VehicleParser]
    required_scope = "telemetry"
    required_permissions = {"POST": ["fleet.change_vehicle"]}

    @extend_schema(request=SignalSerializer(many=True), responses={200: ANSWER_TO_SIGNALS, 400: _BAD_VALUES})
    def create(self, request: Request) -> Response:
        """Apply up to 5,000 signals: the good ones count, though others fail."""
        if not isinstance(request.data, list):
            raise ValidationError({"non_field_errors": [gettext("The body has to be an array of signals.")]})
        if len(request.data) > MOST_SIGNALS:
            words = gettext("At most %(most)s signals are taken at once.") % {"most": MOST_SIGNALS}
            raise ValidationError({"non_field_errors": [words]})
        signals, problems = _signals(request.data)
        received = telemetry_receive(signals=signals)
        problems = sorted(problems + received.problems, key=lambda problem: problem.index)
        return Response(
            {
                "updated": received.updated,
                "unchanged": received.unchanged,
                "stale": received.stale,
                "errors": [
                    {"index": problem.index, "id": problem.id, "errors": problem.errors} for problem in problems
                ],
            }
        )


def _signals(items: list[Any]) -> tuple[list[Signal], list[SignalProblem]]:
    signals: list[Signal] = []
    problems: list[SignalProblem] = []
    for index, item in enumerate(items):
        serializer = SignalSerializer(data=item)
        if serializer.is_valid():
            data = dict(serializer.validated_data)
            at = data.pop("at", None)
            signals.append(Signal(index=index, id=data["id"], values=_flat(data), at=at))
        else:
            named = item.get("id") if isinstance(item, Mapping) else None
            problems.append(SignalProblem(index, named if isinstance(named, str) else "", serializer.errors))
    return signals, problems
