"""The addresses of this app's pages."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from itineraries import builder_views, publish_views, version_views, views

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
    path("<uuid:itinerary_id>/versions/", version_views.version_list, name="versions"),
    path("<uuid:itinerary_id>/versions/compare/", version_views.compare, name="compare"),
    path("<uuid:itinerary_id>/versions/<int:number>/", version_views.version, name="version"),
    path(
        "<uuid:itinerary_id>/versions/<int:number>/document/", version_views.version_document, name="version_document"
    ),
    path("<uuid:itinerary_id>/versions/<int:number>/restore/", version_views.restore, name="version_restore"),
    path("<uuid:itinerary_id>/set-aside/<int:set_aside_id>/", version_views.put_back, name="put_back"),
    path("<uuid:itinerary_id>/delete/", views.itinerary_delete, name="delete"),
    path("<uuid:itinerary_id>/document/", views.itinerary_document, name="document"),
]
