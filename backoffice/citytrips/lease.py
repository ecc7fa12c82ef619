"""The lease: of all the workers, one acts for the line.

The holder raises a counter in the database every three tenths of the lease's length, from a thread of its own, and stops
acting when seven tenths have passed without success. A standby takes over when the counter has stood still for the whole
length on the standby's own clock. No wall clock is compared, and the holder is always silent before the next one speaks;
a process that was stopped meanwhile finds its time run out when it wakes.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.db.models import F
from django.db.models.functions import Now

from backoffice.citytrips.errors import LeaseLost
from backoffice.citytrips.models import Lease

NAME: Final = "citytrips"

logger = logging.getLogger(__name__)


def boot_time() -> float:
    """Seconds since the machine started, which go on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LeaseKeeper:
    """One worker's hold on the lease, or its wait for it. ``length`` in seconds."""

    def __init__(self, length: float, *, clock: Callable[[], float] = boot_time) -> None:
        self._length = length
        self._clock = clock
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._seen: tuple[uuid.UUID, int] | None = None
        self._seen_at = 0.0
        self._renewed_at: float | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.token = uuid.uuid4()  # nobody's, until the lease is taken

    @property
    def held(self) -> bool:
        """Whether this worker may act now."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < 0.7 * self._length

    def try_acquire(self) -> bool:
        """Take the lease if it's free or its holder has been silent for its length; to be called again and again."""
        asked_at = self._clock()
        row, _made = Lease.objects.get_or_create(name=NAME, defaults={"token": uuid.uuid4()})
        if row.holder and self._seen != (row.token, row.counter):
            # By the time after the answer: before it we may have stood still, and the holder lived meanwhile.
            self._seen, self._seen_at = (row.token, row.counter), self._clock()
            return False
        if row.holder and asked_at - self._seen_at < self._length:
            return False
        token = uuid.uuid4()
        taken = Lease.objects.filter(name=NAME, token=row.token, counter=row.counter).update(
            token=token, holder=self.name, counter=F("counter") + 1, renewed_at=Now()
        )
        if not taken:
            return False
        self.token, self._renewed_at, self._seen = token, asked_at, None
        return True

    def keep(self, lost: Callable[[], None]) -> None:
        """Renew from now on in a thread; ``lost`` is called there once the lease is gone."""
        # Its own event: a thread of the hold before may still wait for a database that has vanished.
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._renew_for_ever, args=[lost, self._stop], name="citytrips-lease", daemon=True
        )
        self._thread.start()

    def release(self) -> None:
        """Give the lease up, so that another worker need not wait for it to run out."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=1)
        self._renewed_at = None
        Lease.objects.filter(name=NAME, token=self.token).update(holder="")

    def _renew_for_ever(self, lost: Callable[[], None], stop: threading.Event) -> None:
        while not stop.wait(0.3 * self._length if self._held_well else 0.05 * self._length):
            if not self._renew():
                lost()
                return

    @property
    def _held_well(self) -> bool:
        """Whether the last renewal was in time, so that the next need not hurry."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < 0.3 * self._length

    def _renew(self) -> bool:
        asked_at = self._clock()
        try:
            close_old_connections()
            renewed = Lease.objects.filter(name=NAME, token=self.token).update(
                counter=F("counter") + 1, renewed_at=Now()
            )
        except DatabaseError as wrong:
            logger.warning("The lease could not be renewed (%s)", type(wrong).__name__)
            return self.held
        finally:
            close_old_connections()
        # A renewal that took so long that another may have begun counts for nothing.
        if renewed and self.held:
            self._renewed_at = asked_at
            return True
        return False


def is_holder(token: uuid.UUID) -> bool:
    """Inside a transaction: whether ``token`` holds the lease, which then stays so until the transaction ends."""
    return Lease.objects.select_for_update().filter(name=NAME, token=token).exclude(holder="").exists()


def check_token(token: uuid.UUID) -> None:
    """Inside a transaction: make sure that ``token`` holds the lease until the transaction ends.

    :raises LeaseLost: another worker has taken over.
    """
    if not is_holder(token):
        raise LeaseLost("another worker has taken the line over")


def end_with_silence() -> None:
    """Inside a transaction: let it end, undone, once this process has left it idle for the lease's length.

    A process that was stopped in its midst, or whose machine is gone, would keep what it has locked, the lease itself at
    the end, for as long as PostgreSQL believes it to live: hours. SQLite knows no such limit, nor other machines.
    """
    if connection.vendor == "postgresql":
        milliseconds = max(1000, round(1000 * settings.CITYTRIPS_LEASE))
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = {milliseconds}")
