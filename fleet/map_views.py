"""The fleet's map: its page, what it draws, and the card of a vehicle."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import orjson
from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from fleet.filters import FILTERS, SEARCH, values_of, vehicles_filtered
from fleet.map_grid import DEEPEST, MapBox, WrongBox
from fleet.map_snapshots import snapshots
from fleet.mapping import MapView, Snapshot, Standing, map_view, vehicle_on_map
from fleet.selectors import withheld_reasons
from fleet.vocabulary import CityTripsStatus, State

# Vehicles that were removed are on no street: they are shown only to who asks for them.
STATE, IN_FLEET = "state", "in_fleet"
_BOX = ("west", "south", "east", "north")
_DIGITS = 6  # of a degree: a tenth of a metre
_TONES = {
    Standing.OFFERED: "ok",
    Standing.PENDING: "info",
    Standing.OBJECTED: "bad",
    Standing.WITHHELD: "warn",
    Standing.IN_USE: "info",
    Standing.OUT: "bad",
}


def staff_of_the_fleet(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """For staff who may see vehicles."""

    @wraps(view)
    @login_required
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not (request.user.is_staff and request.user.has_perm("fleet.view_vehicle")):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


# --- The page ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """One filter as the form shows it; ``several`` are the words for more than one value at once."""

    name: str
    title: str
    options: Sequence[tuple[str, str]]
    values: Sequence[str]

    @property
    def value(self) -> str:
        return self.values[0] if len(self.values) == 1 else ""

    @property
    def is_unknown(self) -> bool:
        """Whether the one value is none that is offered; it is shown as it came, and matches no vehicle."""
        return self.value not in dict(self.options)

    @property
    def values_as_json(self) -> str:
        return json.dumps(list(self.values))

    @property
    def several(self) -> str:
        labels = dict(self.options)
        words = (labels.get(value, value) for value in self.values)
        return gettext(" or ").join(words) if len(self.values) > 1 else ""


@require_safe
@never_cache
@staff_of_the_fleet
def fleet_map(request: HttpRequest) -> HttpResponseBase:
    """The page; what is on the map it asks for by itself."""
    params = map_params(request.GET)
    choices = [Choice(one.name, str(one.title), one.choices(), values_of(params, one.name)) for one in FILTERS]
    context = {
        "choices": choices,
        "search": params.get(SEARCH, ""),
        "query": params.urlencode(),
        "standings": [(one.value, one.name.lower(), one.label) for one in Standing],
        "states": {one.value: str(one.label) for one in State},
        "words": _words(),
        "deepest": min(DEEPEST, 20),
        "tiles": settings.MAP_TILES_URL,
        "attribution": settings.MAP_TILES_ATTRIBUTION if settings.MAP_TILES_URL else "",
        "is_openstreetmap": "openstreetmap.org" in settings.MAP_TILES_URL,
    }

    def answer(request: HttpRequest) -> HttpResponseBase:
        return render(request, "fleet/map.html", context)

    return csp_update({"img-src": tile_sources(settings.MAP_TILES_URL)})(answer)(request)


def map_params(given: QueryDict) -> QueryDict:
    """What of an address filters the map: the list's own parameters, and all but removed vehicles if no state is named."""
    params = QueryDict(mutable=True)
    for name in (*(one.name for one in FILTERS), SEARCH):
        if values := values_of(given, name):
            params.setlist(name, values)
    if STATE not in params:
        params[STATE] = IN_FLEET
    return params


def tile_sources(url: str) -> list[str]:
    """The tile server as the content security policy names it; ``{s}`` stands for any host below."""
    if not url:
        return []
    parts = urlsplit(re.sub(r"^(https?://)[^/]*\{s\}[^/.]*\.", r"\1*.", url))
    return [f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"]


def _words() -> dict[str, str]:
    """What the map says by itself, in the reader's language."""
    return {
        "updated": gettext("Updated %(time)s"),
        "stale": gettext("Not up to date: no answer from the server since %(time)s."),
        "never": gettext("No answer from the server. The map asks again by itself."),
        "loading": gettext("Loading …"),
        "no_tiles": gettext("The background of the map cannot be loaded."),
        "in_view": gettext("%(count)s in view"),
        "in_view_first": gettext("%(count)s in view, the first %(shown)s of them listed. Zoom in for the others."),
        "nothing": gettext("No vehicle in this part of the map."),
        "nothing_at_all": gettext("No vehicle matches."),
        "cluster": gettext("%(count)s vehicles here"),
        "more": gettext("%(count)s more"),
        "unplaced": gettext("%(count)s without a position"),
        "no_city": gettext("No city"),
        "no_plate": gettext("No plate"),
        "unknown": gettext("unknown"),
        "zoom_in": gettext("Zoom in"),
        "zoom_out": gettext("Zoom out"),
        "zoom_to": gettext("Show %(city)s on the map"),
        "gone": gettext("The card could not be loaded."),
    }


# --- What is drawn -----------------------------------------------------------------------------------------------


@gzip_page
@require_safe
@staff_of_the_fleet
def map_data(request: HttpRequest) -> HttpResponseBase:
    """The fleet by city, and with a box and a zoom what there is in it.

    ``age`` is how many seconds ago the cities and wide cells were counted, ``fresh`` whether no newer count is under way.
    ``cells`` is null where every vehicle of the box is among ``vehicles``. 304 where nothing but ``age`` would differ from
    what the caller has; 400 with ``detail`` for a box or zoom that is none.
    """
    try:
        where = _where(request.GET)
    except WrongBox as wrong:
        return _json({"detail": str(wrong)}, HTTPStatus.BAD_REQUEST)
    params = map_params(request.GET)
    vehicles = vehicles_filtered(params)
    key = tuple((name, *values) for name, values in sorted(params.lists()))
    snapshot, is_newest = snapshots.get(key, lambda: vehicles_filtered(params))
    content = {"fresh": is_newest, **_of_the_fleet(snapshot)}
    if where:
        content |= _of_the_box(map_view(vehicles, snapshot, *where))
    tag = hashlib.blake2b(orjson.dumps(content), digest_size=12).hexdigest()
    response = _json({"age": round(snapshot.age, 1), **content})
    response["ETag"] = f'W/"{tag}"'
    response["Cache-Control"] = "private, no-cache"
    return get_conditional_response(request, etag=response["ETag"], response=response) or response


def _where(given: QueryDict) -> tuple[MapBox, int] | None:
    """The box and the zoom of an address; None where it names neither."""
    if not any(name in given for name in (*_BOX, "zoom")):
        return None
    box = MapBox.read(*(given.get(name, "") for name in _BOX))
    zoom = given.get("zoom", "")
    if not re.fullmatch(r"[0-9]{1,2}", zoom, re.ASCII) or int(zoom) > DEEPEST:
        raise WrongBox(gettext("The zoom is a whole number from 0 to %(most)s.") % {"most": DEEPEST})
    return box, int(zoom)


def _of_the_fleet(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "total": snapshot.total,
        "unplaced": sum(city.unplaced for city in snapshot.cities),
        "counts": [sum(city.counts[one] for city in snapshot.cities) for one in Standing],
        "cities": [
            {
                "name": city.name,
                "country": city.country,
                "counts": city.counts,
                "unplaced": city.unplaced,
                "extent": city.extent,
            }
            for city in snapshot.cities
        ],
    }


def _of_the_box(view: MapView) -> dict[str, Any]:
    return {
        "count": view.count,
        "vehicles": [
            (pk, round(latitude, _DIGITS), round(longitude, _DIGITS), *rest)
            for pk, latitude, longitude, *rest in view.vehicles
        ],
        "cells": None
        if view.cells is None
        else [(round(one.latitude, _DIGITS), round(one.longitude, _DIGITS), one.counts) for one in view.cells],
    }


def _json(content: dict[str, Any], status: int = HTTPStatus.OK) -> HttpResponse:
    return HttpResponse(orjson.dumps(content), content_type="application/json", status=status)


# --- The card of a vehicle ---------------------------------------------------------------------------------------


@require_safe
@never_cache
@staff_of_the_fleet
def map_card(request: HttpRequest, pk: str) -> HttpResponseBase:
    """What staff want to know of one vehicle before they walk up to it; 404 where there is none of this id."""
    vehicle = vehicle_on_map(pk) if "\x00" not in pk else None
    if vehicle is None:
        return render(request, "fleet/_map_card.html", {"pk": pk, "vehicle": None}, status=HTTPStatus.NOT_FOUND)
    tone = _TONES[Standing(vehicle.__dict__["map_standing"])]
    is_available = vehicle.state == State.AVAILABLE
    context = {
        "pk": pk,
        "vehicle": vehicle,
        "status": CityTripsStatus(vehicle.citytrips_status).label,
        "state_tone": "ok" if is_available else tone,
        "status_tone": tone if is_available else "",
        "reasons": withheld_reasons(vehicle) if is_available else [],
        "url": reverse("admin:fleet_vehicle_change", args=[vehicle.pk]),
    }
    return render(request, "fleet/_map_card.html", context)
