"""Locks that die with their process, whatever ends it: of a source that is imported, and of an import under way.

Files under ``VAR_DIR/imports``, locked by the system (flock), so they hold between the processes of one machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext

from fleet.errors import ImportUnderWay

# A look whether a lock is held takes it for a moment.
_TRIES: Final = 5
_PAUSE: Final = 0.02


def folder() -> Path:
    """Where imports keep what they work on; readable by this account alone."""
    path = Path(settings.VAR_DIR) / "imports"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def name_of_source(source: str) -> str:
    """The name of a source's lock; the source itself may hold a password."""
    return "source-" + hashlib.sha256(source.encode("utf-8", "surrogateescape")).hexdigest()[:20]


def name_of_run(run: int) -> str:
    return f"run-{run}"


@contextmanager
def held(name: str) -> Iterator[None]:
    """Hold a lock, or raise ImportUnderWay with who holds it."""
    path = folder() / f"{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if last:
                    raise ImportUnderWay(
                        gettext("This source is being imported already: %(who)s.")
                        % {"who": os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "?"}
                    ) from None
                time.sleep(_PAUSE)
        os.ftruncate(descriptor, 0)
        now = timezone.now().isoformat(timespec="seconds")
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}, since {now}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_held(name: str) -> bool:
    """Whether somebody on this machine holds a lock."""
    try:
        descriptor = os.open(folder() / f"{name}.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def forget(name: str) -> None:
    """Remove the file of a lock that nobody will take again."""
    (folder() / f"{name}.lock").unlink(missing_ok=True)
