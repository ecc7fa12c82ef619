"""The addresses below ``/api/v1/``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from fleet.api.telemetry import TelemetryView
from fleet.api.vehicles import VehicleViewSet

router = SimpleRouter()
router.register("vehicles", VehicleViewSet, basename="vehicle")

urlpatterns: list[URLPattern | URLResolver] = [
    # Before the router's: a vehicle may not be called "telemetry" here.
    path("vehicles/telemetry/", TelemetryView.as_view(), name="vehicle-telemetry"),
    *router.urls,
]
