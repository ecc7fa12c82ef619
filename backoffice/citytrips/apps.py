from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CityTripsConfig(AppConfig):
    name = "backoffice.citytrips"
    label = "citytrips"
    verbose_name = _("CityTrips")

    def ready(self) -> None:
        from backoffice.citytrips import bridge

        bridge.subscribe()
