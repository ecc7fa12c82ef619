"""The fleet's own pages, beside those of the admin."""

from __future__ import annotations

from django.urls import path

from fleet import export_views, import_views, map_views

app_name = "fleet"
urlpatterns = [
    path("map/", map_views.fleet_map, name="map"),
    path("map/data/", map_views.map_data, name="map_data"),
    path("map/vehicles/<str:pk>/", map_views.map_card, name="map_card"),
    path("import/", import_views.import_list, name="import"),
    path("import/<int:run_id>/", import_views.import_run, name="import_run"),
    path("import/<int:run_id>/apply/", import_views.import_apply, name="import_apply"),
    path("import/<int:run_id>/discard/", import_views.import_discard, name="import_discard"),
    path("import/<int:run_id>/again/", import_views.import_again, name="import_again"),
    path("import/<int:run_id>/undo/", import_views.import_undo, name="import_undo"),
    path("import/<int:run_id>/rejected.csv", import_views.import_problems, name="import_problems"),
    path("export/", export_views.export, name="export"),
]
