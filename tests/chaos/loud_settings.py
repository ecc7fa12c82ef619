"""The project's settings with every log at DEBUG, but for those that the project keeps quiet itself."""

from typing import Any

from backoffice import settings as _settings
from backoffice.settings import *  # noqa: F403

LOGGING: dict[str, Any] = {**_settings.LOGGING, "root": {"handlers": ["stderr"], "level": "DEBUG"}}
LOGGING["loggers"] = {
    **LOGGING["loggers"],
    "django": {"handlers": ["stderr"], "level": "DEBUG", "propagate": False},
    "daphne": {"level": "DEBUG"},
    "axes": {"level": "DEBUG"},
}
