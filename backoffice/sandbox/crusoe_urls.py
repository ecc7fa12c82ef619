"""The simulated Crusoe's addresses, below ``/sandbox/``."""

from __future__ import annotations

from django.urls import path

from backoffice.sandbox import crusoe

urlpatterns = [
    path("crusoe/api/itinerary/create", crusoe.create, name="crusoe_create"),
    path("crusoe/trips/<slug:received_id>/", crusoe.trip, name="crusoe_trip"),
    path("crusoe/received/<slug:received_id>/", crusoe.document, name="crusoe_document"),
    path("crusoe/fault/", crusoe.switch_fault, name="crusoe_fault"),
]
