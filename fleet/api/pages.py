"""The list of vehicles: what it may be asked for, and its pages.

A page begins after the last vehicle of the one before, and not at a count of rows, so that it is found by an index however
far down it is, and vehicles that come and go meanwhile shift nothing.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from django.db import connection
from django.db.models import BooleanField
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from fleet.api.shapes import MomentField, StrictSerializer, VehicleSerializer, moment_read
from fleet.countries import country_named
from fleet.models import Vehicle, VehicleQuerySet
from fleet.vocabulary import ID_PATTERN, CityTripsStatus, State

PAGE_SIZE = 100
LARGEST_PAGE = 1000


class FilterSerializer(StrictSerializer):
    """What `GET /vehicles/` may be asked for."""

    state = serializers.ChoiceField(State.choices, required=False)
    country = serializers.CharField(required=False, max_length=60, help_text="A name or an ISO code.")
    city = serializers.CharField(required=False, max_length=80, help_text="The whole name; capitals do not matter.")
    battery_lt = serializers.IntegerField(min_value=0, max_value=101, required=False)
    changed_since = MomentField(
        required=False,
        help_text="Updated at that time or later. The vehicles then come in the order of `updated_at`: one that changes "
        "while you read comes again, later, and none is left out. Ask the next time from a minute before you began.",
    )
    citytrips = serializers.ChoiceField(CityTripsStatus.choices, required=False)
    cursor = serializers.CharField(
        required=False, max_length=300, help_text="Where the page begins; take it from `next`, and keep the filters."
    )
    page_size = serializers.IntegerField(min_value=1, max_value=LARGEST_PAGE, required=False, default=PAGE_SIZE)

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


@extend_schema_serializer(many=False, component_name="VehiclePage")
class PageSerializer(serializers.Serializer[Any]):
    """A page of vehicles."""

    next = serializers.URLField(allow_null=True, help_text="The next page; null at the end.")
    results = VehicleSerializer(many=True)


def asked_for(request: Request) -> FilterSerializer:
    """The filters of a request.

    :raises ValidationError: with what is unknown, told twice or wrong.
    """
    twice = [name for name, values in request.query_params.lists() if len(values) > 1]
    if twice:
        raise ValidationError({name: [gettext("This is asked for twice.")] for name in twice})
    asked = FilterSerializer(data={name: text for name, text in request.query_params.items() if name != "format"})
    asked.is_valid(raise_exception=True)
    return asked


def page(request: Request, asked: FilterSerializer) -> tuple[list[Vehicle], str | None]:
    """The vehicles of one page, with their `citytrips_status`, and the address of the next."""
    size: int = asked.validated_data["page_size"]
    by_time = "changed_since" in asked.validated_data
    vehicles = page_query(asked)[: size + 1]
    found = list(vehicles)
    if len(found) <= size:
        return found, None
    last = found[size - 1]
    position = [last.updated_at.isoformat(), last.pk] if by_time else [last.pk]
    return found[:size], replace_query_param(request.build_absolute_uri(), "cursor", _cursor(position))


def page_query(asked: FilterSerializer) -> VehicleQuerySet:
    """The vehicles from the cursor on, in the order of the list."""
    conditions = asked.conditions()
    vehicles = Vehicle.objects.with_citytrips_status()
    cursor: str | None = asked.validated_data.get("cursor")
    since: datetime | None = asked.validated_data.get("changed_since")
    if since is None:
        vehicles = vehicles.order_by("id")
        if cursor:
            (after,) = _position(cursor, 1)
            vehicles = vehicles.filter(pk__gt=after)
        return vehicles.filter(**conditions)
    vehicles = vehicles.order_by("updated_at", "id")
    if cursor:
        text, after = _position(cursor, 2)
        try:
            moment = moment_read(text)
        except ValueError:
            raise _no_cursor() from None
        if moment < since:
            raise _no_cursor()
        # The position says more than the filter; with both, a database might choose the wrong one to begin at.
        del conditions["updated_at__gte"]
        vehicles = vehicles.filter(
            RawSQL(
                "(fleet_vehicle.updated_at, fleet_vehicle.id) > (%s, %s)",
                (connection.ops.adapt_datetimefield_value(moment), after),
                output_field=BooleanField(),
            )
        )
    return vehicles.filter(**conditions)


def _cursor(position: Sequence[str]) -> str:
    return urlsafe_b64encode(orjson.dumps(position)).decode().rstrip("=")


def _position(cursor: str, parts: int) -> list[str]:
    try:
        position = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        raise _no_cursor() from None
    if (
        not isinstance(position, list)
        or len(position) != parts
        or not all(isinstance(part, str) for part in position)
        or not re.fullmatch(ID_PATTERN, position[-1])
    ):
        raise _no_cursor()
    return position


def _no_cursor() -> ValidationError:
    return ValidationError({"cursor": [gettext("This is none that a page gave, or not with these filters.")]})
