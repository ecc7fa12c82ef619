"""The addresses of a site that has a desk and settings, and none of the other sections' pages."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.urls import path

from backoffice import views

urlpatterns = [path("", views.desk, name="desk"), path("admin/", AdminSite(name="admin").urls)]
