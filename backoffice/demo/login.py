"""The demo's staff login: its name, and the password that was made up for this machine."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth import get_user_model

STAFF_USERNAME = "ana"


def password_file(var: Path) -> Path:
    return var / "demo_password"


def staff_login(var: Path) -> tuple[str, str] | None:
    """Name and password of the demo's staff account; None where there is none, or its password was changed since."""
    file = password_file(var)
    person = get_user_model().objects.filter(username=STAFF_USERNAME, is_active=True).first()
    if person is None or not file.is_file():
        return None
    password = file.read_text().strip()
    return (STAFF_USERNAME, password) if person.check_password(password) else None
