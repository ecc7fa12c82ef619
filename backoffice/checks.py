"""System checks with stable ids: what is missing or dangerous in this installation, and how to mend it.

``manage.py check`` names what hinders work, ``manage.py check --deploy`` also what must not be so in production.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from backoffice import translations

Apps = Sequence[AppConfig] | None


@register(Tags.translation)
def compiled_translations(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    missing = [
        language
        for language, _name in settings.LANGUAGES
        if language != "en" and not translations.catalogue_path(language).with_suffix(".mo").exists()
    ]
    if not missing:
        return []
    return [
        Warning(
            f"The translations into {', '.join(missing)} are not compiled; pages appear in English.",
            hint="Run `manage.py prepare`, or `manage.py translations --compile-only`.",
            id="backoffice.W001",
        )
    ]


@register(Tags.security, deploy=True)
def partners_over_tls(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    return [
        Warning(
            f"{name} is not encrypted: the key and what is sent can be read on the way.",
            hint=f"Set {name} to an address that begins with {wanted}://, if the partner offers one.",
            id=id_,
        )
        for name, url, wanted, id_ in (
            ("CITYTRIPS_URL", settings.CITYTRIPS_URL, "wss", "backoffice.W002"),
            ("CRUSOE_API_URL", settings.CRUSOE_API_URL, "https", "backoffice.W003"),
        )
        if urlsplit(url).scheme != wanted
    ]


@register(Tags.security, deploy=True)
def sandbox_in_production(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    if not settings.SANDBOX:
        return []
    return [
        Warning(
            "SANDBOX is on: both partners are simulated, and the simulators answer anybody.",
            hint="Set SANDBOX=false, and the addresses and keys of the real partners.",
            id="backoffice.W004",
        )
    ]


@register(Tags.security, deploy=True)
def site_over_tls(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    if urlsplit(settings.SITE_URL).scheme == "https":
        return []
    return [
        Warning(
            "SITE_URL is plain http: logins can be read on the way.",
            hint="Set SITE_URL to the https:// address that people open.",
            id="backoffice.W005",
        )
    ]


@register(Tags.security, deploy=True)
def tiles_over_tls(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    if urlsplit(settings.SITE_URL).scheme != "https" or urlsplit(settings.MAP_TILES_URL).scheme != "http":
        return []
    return [
        Warning(
            "MAP_TILES_URL is plain http: browsers do not load it into pages over https, so the map has no background.",
            hint="Set MAP_TILES_URL to an address that begins with https://, or to nothing for a map without tiles.",
            id="backoffice.W006",
        )
    ]


@register(Tags.security, deploy=True)
def identity_keys(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    if settings.IDENTITY_KEYS:
        return []
    return [
        Error(
            "IDENTITY_KEYS is not set: identity images could not be encrypted.",
            hint="Set it to one or more keys of 32 random bytes in URL-safe base64, newest first, separated by commas.",
            id="backoffice.E001",
        )
    ]
