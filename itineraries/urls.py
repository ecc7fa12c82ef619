"""The addresses of this app's pages."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from itineraries import builder_views, publish_views, views

app_name = "itineraries"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.itinerary_list, name="list"),
    path("new/", views.itinerary_new, name="new"),
    path("airports/", views.airport_options, name="airports"),
    path("<uuid:itinerary_id>/", builder_views.edit, name="edit"),
    path("<uuid:itinerary_id>/trip/", builder_views.trip, name="trip"),
    path("<uuid:itinerary_id>/cards/", builder_views.card_add, name="card_add"),
    path("<uuid:itinerary_id>/cards/<slug:card_key>/", builder_views.card, name="card"),
    path("<uuid:itinerary_id>/restore/", builder_views.restore, name="restore"),
    path("<uuid:itinerary_id>/publish/", publish_views.publish, name="publish"),
    path("<uuid:itinerary_id>/resolve/", publish_views.resolve, name="resolve"),
    path("<uuid:itinerary_id>/delete/", views.itinerary_delete, name="delete"),
    path("<uuid:itinerary_id>/document/", views.itinerary_document, name="document"),
]
