from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.checks import register
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class FleetConfig(AppConfig):
    name = "fleet"
    verbose_name = _("Fleet")

    def ready(self) -> None:
        from fleet.checks import version_triggers

        register(version_triggers)
        post_migrate.connect(install_triggers, sender=self, dispatch_uid="fleet.install_triggers")


def install_triggers(*, using: str, **kwargs: Any) -> None:
    """Put the triggers back after a migration: SQLite drops them whenever it rebuilds the table."""
    from fleet import triggers

    triggers.install(connections[using])
