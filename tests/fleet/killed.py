"""An import in a process of its own that says when it is in the middle of it, and then stays there to be killed."""

from __future__ import annotations

import os
import sys
import time
from typing import Any


def main(path: str, moment: str) -> None:
    """Imports the file at ``path``; prints ``now`` while it is ``staging`` or ``merging``."""
    import django

    django.setup()
    from django.conf import settings
    from django.db import connections

    # The database of the test that started this, rather than the one of the settings.
    settings.DATABASES["default"]["NAME"] = os.environ["KILLED_DATABASE"]
    connections["default"].settings_dict["NAME"] = os.environ["KILLED_DATABASE"]
    from django.core.management import call_command

    from fleet import merging, staging

    def stay(*_arguments: Any) -> None:
        sys.stdout.write("now\n")
        sys.stdout.flush()
        time.sleep(60)

    if moment == "staging":
        real = staging._insert
        staging._insert = lambda *given: (real(*given), stay())  # type: ignore[assignment]
    else:
        merging._Merging.hear = stay  # type: ignore[assignment,method-assign]
    call_command("import_fleet", path)
