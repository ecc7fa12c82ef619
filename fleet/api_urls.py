"""The addresses below ``/api/v1/``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from fleet.api import TelemetryViewSet, VehicleViewSet

router = SimpleRouter()
router.register("vehicles", VehicleViewSet, basename="vehicle")

urlpatterns: list[URLPattern | URLResolver] = [
    # Before the router's: a vehicle may not be called "telemetry" here.
    path("vehicles/telemetry/", TelemetryViewSet.as_view({"post": "create"}), name="vehicle-telemetry"),
    *router.urls,
]
