"""System checks of this app, with stable ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

Apps = Sequence[AppConfig] | None


@register(Tags.security)
def identity_keys_are_keys(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    wrong = [number for number, key in enumerate(settings.IDENTITY_KEYS, start=1) if not _is_key(key)]
    if not wrong:
        return []
    return [
        Error(
            f"IDENTITY_KEYS: number {', '.join(map(str, wrong))} is no key, so identity images are not kept.",
            hint="Each is 32 random bytes in URL-safe base64: 44 characters that end with “=”.",
            id="users.E001",
        )
    ]


def _is_key(text: str) -> bool:
    try:
        Fernet(text)
    except (ValueError, TypeError):
        return False
    return True
