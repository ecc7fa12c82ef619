"""Reading and applying imports beside the request that asked for it, so that the person may close the page.

A thread of the web process: where that process ends, so does the import's lock, and its page says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from django.db import connections
from django.utils import translation

from fleet import imports
from fleet.errors import FleetError
from fleet.history import Author
from fleet.models import ImportRun

logger = logging.getLogger(__name__)

# Most imports are done in this time, and the answer then shows what came of them.
PATIENCE: Final = 1.5


def start_reading(run: ImportRun, source: str = "") -> None:
    """Read a source; what goes wrong is told by the run."""
    _start(f"import-{run.pk}", lambda: imports.import_read(run=run, source=source))


def start_applying(run: ImportRun, *, by: Author, retire_missing: bool, force: bool) -> None:
    """Apply what was read; what goes wrong is told by the run, which is then ready as before."""
    _start(
        f"import-{run.pk}",
        lambda: imports.import_apply(run=run, by=by, retire_missing=retire_missing, force=force),
    )


def _start(name: str, work: Callable[[], object]) -> None:
    language = translation.get_language()

    def run() -> None:
        try:
            with translation.override(language):
                work()
        except FleetError:
            pass  # the run says it
        except Exception:
            logger.exception("%s ended", name)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    thread.join(PATIENCE)
