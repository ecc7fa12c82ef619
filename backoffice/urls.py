"""Every address of the site."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path

from backoffice import api, views
from users.views import set_language

api_patterns: list[URLPattern | URLResolver] = [
    path("schema/", api.SchemaView.as_view(), name="schema"),
    path("docs/", api.DocsView.as_view(url_name="api:schema"), name="docs"),
    path("", include("fleet.api_urls")),
    path("", include("itineraries.api_urls")),
    re_path("", api.not_found),  # the last: whatever none of the others knows
]

handler500 = "backoffice.views.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.desk, name="desk"),
    path(
        "language/setlang/", set_language, name="set_language"
    ),  # keeps a person's choice; Django's sets a cookie only
    path("", include("users.urls")),
    path("fleet/", include("fleet.urls")),
    path("itineraries/", include("itineraries.urls")),
    path("api/v1/", include((api_patterns, "api"))),
    path("admin/", admin.site.urls),
]
if settings.SANDBOX:
    urlpatterns.append(path("sandbox/", include("backoffice.sandbox.urls")))
