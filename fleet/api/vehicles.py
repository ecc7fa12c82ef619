"""Vehicles over REST."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import Http404
from django.urls import reverse
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from fleet import services
from fleet.api.bodies import JsonView
from fleet.api.conditions import (
    IF_MATCH,
    IF_NONE_MATCH,
    PreconditionFailed,
    check_conditions,
    entity_tag,
    etag_header,
    is_known,
)
from fleet.api.pages import FilterSerializer, PageSerializer, asked_for, page
from fleet.api.shapes import (
    NewVehicleSerializer,
    VehicleSerializer,
    VehicleValuesSerializer,
    flat,
    in_our_names,
    vehicle_shown,
)
from fleet.errors import StaleVehicle
from fleet.models import FleetRules, Vehicle
from fleet.selectors import fleet_rules
from fleet.vocabulary import ID_PATTERN, Origin, State

_STALE = OpenApiResponse(description="The vehicle is no longer as the ETag in `If-Match` says.")
_TAKEN = OpenApiResponse(description="There is a vehicle with this id.")
_LOCATION = OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[201], description="Its address.")
_ID = OpenApiParameter(
    "id", {"type": "string", "pattern": f"^{ID_PATTERN}$"}, OpenApiParameter.PATH, description="The operator's own id."
)


_EXAMPLE = OpenApiExample(
    "A car in Madrid",
    request_only=True,
    value={
        "id": "ES-0001",
        "battery": 81,
        "plate": "1234 BCD",
        "country": "Spain",
        "city": "Madrid",
        "location": {"latitude": 40.4168, "longitude": -3.7038},
    },
)


class IdTaken(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "id_taken"

    def __init__(self) -> None:
        super().__init__({"id": [gettext("There is a vehicle with this id.")]})


class VehicleViewSet(JsonView, GenericViewSet[Vehicle]):
    """Vehicles. `{id}` is the operator's own id."""

    queryset = Vehicle.objects.all()
    serializer_class = VehicleSerializer
    pagination_class = None
    lookup_value_regex = ID_PATTERN
    lookup_url_kwarg = "id"
    required_scope: ClassVar[str] = "fleet"

    def get_queryset(self) -> QuerySet[Vehicle]:
        return Vehicle.objects.with_citytrips_status()

    @cached_property
    def rules(self) -> FleetRules:
        return fleet_rules()

    @extend_schema(parameters=[FilterSerializer], responses={200: PageSerializer})
    def list(self, request: Request) -> Response:
        """The vehicles by id, filtered and in pages."""
        vehicles, following = page(request, asked_for(request))
        return Response({"next": following, "results": [vehicle_shown(vehicle, self.rules) for vehicle in vehicles]})

    @extend_schema(
        parameters=[_LOCATION, etag_header(201)],
        request=NewVehicleSerializer,
        examples=[_EXAMPLE],
        responses={201: VehicleSerializer, 409: _TAKEN},
    )
    def create(self, request: Request) -> Response:
        """Add a vehicle; without a state it is available."""
        told = self._told(NewVehicleSerializer(data=request.data))
        id = told.pop("id")
        try:
            vehicle = self._written(
                lambda: services.vehicle_create(id=id, by=self.request.user, origin=Origin.API.value, **told)
            )
        except IntegrityError:  # somebody else was faster, by less than the service's own look
            raise IdTaken from None
        answer = self._answer(vehicle, status.HTTP_201_CREATED)
        answer["Location"] = request.build_absolute_uri(reverse("api:vehicle-detail", args=[vehicle.pk]))
        return answer

    @extend_schema(
        parameters=[_ID, IF_NONE_MATCH, etag_header(200, 304)],
        responses={200: VehicleSerializer, 304: OpenApiResponse(description="It is as `If-None-Match` says.")},
    )
    def retrieve(self, request: Request, id: str) -> Response:
        """One vehicle, with an ETag."""
        answer = self._answer(self.get_object())
        if is_known(request, answer["ETag"]):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": answer["ETag"]})
        return answer

    @extend_schema(
        parameters=[_ID, IF_MATCH, etag_header(200)],
        request=VehicleValuesSerializer,
        responses={200: VehicleSerializer, 412: _STALE},
    )
    def update(self, request: Request, id: str) -> Response:
        """Tell everything that CityTrips sees of a vehicle; other fields that are left out stay. It adds none."""
        return self._write(request, partial=False)

    @extend_schema(
        parameters=[_ID, IF_MATCH, etag_header(200)],
        request=VehicleValuesSerializer,
        responses={200: VehicleSerializer, 412: _STALE},
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """Change some fields of a vehicle."""
        return self._write(request, partial=True)

    @extend_schema(parameters=[_ID, IF_MATCH], responses={204: None, 412: _STALE})
    def destroy(self, request: Request, id: str) -> Response:
        """Set the vehicle's state to `removed`: it leaves CityTrips, and its history stays."""
        self._change(request, self.get_object(), {"state": State.REMOVED.value})
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _write(self, request: Request, *, partial: bool) -> Response:
        vehicle = self.get_object()
        told = self._told(VehicleValuesSerializer(data=request.data, partial=partial))
        if told.pop("id", vehicle.pk) != vehicle.pk:
            raise ValidationError({"id": [gettext("The id of a vehicle cannot be changed.")]})
        return self._answer(self._change(request, vehicle, told))

    def _change(self, request: Request, vehicle: Vehicle, values: dict[str, Any]) -> Vehicle:
        expected = vehicle.updated_at if check_conditions(request, vehicle) else None
        try:
            return self._written(
                lambda: services.vehicle_update(
                    vehicle=vehicle,
                    values=values,
                    expected_updated_at=expected,
                    by=self.request.user,
                    origin=Origin.API.value,
                )
            )
        except StaleVehicle as error:
            raise PreconditionFailed(str(error)) from None
        except Vehicle.DoesNotExist:  # deleted since it was read
            raise Http404 from None

    @staticmethod
    def _told(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
        """What a body tells, by the names of the model."""
        serializer.is_valid(raise_exception=True)
        data: dict[str, Any] = serializer.validated_data
        return flat(data) | ({"id": data["id"]} if "id" in data else {})

    @staticmethod
    def _written(write: Callable[[], Vehicle]) -> Vehicle:
        try:
            return write()
        except DjangoValidationError as error:
            if any(one.code == "unique" for one in error.error_dict.get("id", [])):
                raise IdTaken from None
            raise ValidationError(in_our_names(error)) from None

    def _answer(self, vehicle: Vehicle, code: int = status.HTTP_200_OK) -> Response:
        shown = vehicle_shown(vehicle, self.rules)
        return Response(shown, status=code, headers={"ETag": entity_tag(vehicle, shown)})
