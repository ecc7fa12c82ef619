"""The addresses below ``/api/v1/``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from itineraries import api

# The id is read by the views, so that a wrong one is answered as JSON too.
urlpatterns: list[URLPattern | URLResolver] = [
    path("itineraries/", api.ItineraryList.as_view(), name="itineraries"),
    path("itineraries/<str:itinerary_id>/", api.ItineraryDetail.as_view(), name="itinerary"),
    path("itineraries/<str:itinerary_id>/document/", api.ItineraryDocument.as_view(), name="itinerary-document"),
    path("itineraries/<str:itinerary_id>/publish/", api.ItineraryPublish.as_view(), name="itinerary-publish"),
    path("itineraries/<str:itinerary_id>/resolve/", api.ItineraryResolve.as_view(), name="itinerary-resolve"),
]
