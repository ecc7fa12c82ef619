"""The simulators' WebSocket addresses. They stand outside the origin check: an operator's program sends no Origin."""

from __future__ import annotations

from django.urls import URLPattern, path

from backoffice.sandbox.consumers import CityTripsConsumer

websocket_urlpatterns: list[URLPattern] = [path("sandbox/citytrips/v1", CityTripsConsumer.as_asgi())]
