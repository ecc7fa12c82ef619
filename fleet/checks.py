"""System checks of the fleet, with stable ids."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from django.apps.config import AppConfig
from django.core.checks import CheckMessage, Error
from django.db import DatabaseError, connection

from fleet import triggers

# The command that installs the triggers.
CURE = ["migrate"]


def version_triggers(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """fleet.E001: without its triggers, changes of vehicles would silently never reach CityTrips."""
    if sys.argv[1:2] == CURE:
        return []  # the cure must not be refused for the illness
    try:
        installed = triggers.are_installed(connection)
    except DatabaseError:
        return []  # a database that is away is not this check's to report
    if installed:
        return []
    return [
        Error(
            "The triggers that number the changes of vehicles are missing from the database, or are not those of this "
            "version: changes would not be sent to CityTrips.",
            hint="Run `manage.py migrate`: it installs them again.",
            id="fleet.E001",
        )
    ]
