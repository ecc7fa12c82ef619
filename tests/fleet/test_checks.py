"""The system checks of the fleet, as the command line shows them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from django.conf import settings


def test_missing_triggers_are_told_and_mended(tmp_path: Path) -> None:
    """`check` refuses a database without its triggers, and `migrate` is not refused and mends it."""
    database = tmp_path / "fleet.sqlite3"

    def manage(command: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "ENV_FILE": "",
            "SECRET_KEY": "for this test",
            "DATABASE_URL": f"sqlite:///{database}",
            "DJANGO_SETTINGS_MODULE": "backoffice.settings",
        }
        return subprocess.run(
            [sys.executable, "manage.py", command],
            cwd=settings.BASE_DIR,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    assert "fleet.E001" not in manage("check").stderr  # a database that is not there yet lacks nothing
    assert manage("migrate").returncode == 0
    assert manage("check").returncode == 0
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TRIGGER fleet_vehicle_version_update")
    told = manage("check")
    assert told.returncode == 1
    assert "fleet.E001" in told.stderr
    assert manage("migrate").returncode == 0
    assert manage("check").returncode == 0
