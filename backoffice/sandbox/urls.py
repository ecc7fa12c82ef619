"""The sandbox's addresses: the console, the simulated CityTrips' half of it, and the simulated Crusoe."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from backoffice.sandbox import views

app_name = "sandbox"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.console, name="console"),
    path("citytrips/", views.citytrips, name="citytrips"),
    path("citytrips/<slug:action>/", views.citytrips_action, name="citytrips_action"),
    path("", include("backoffice.sandbox.crusoe_urls")),
]
