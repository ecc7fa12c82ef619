"""What is written down about the line beside its work: changes of its state, and the journal.

Nothing waits for it. It gathers what comes and writes it in order, in a thread of its own; while the database is away it
keeps a limited number of the latest, since the line itself must go on. It outlives the hold of the lease in which something
came, as a database that is away for long costs the lease.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import DatabaseError, DataError
from django.utils import timezone

from backoffice.citytrips import services
from backoffice.citytrips.database import DatabaseThread
from backoffice.citytrips.exchange import State
from backoffice.citytrips.journal import JournalRecord, Outcome

GATHER: Final = 0.2
"""Seconds over which entries are gathered into one insert."""
KEPT: Final = 5000
"""What waits at most; beyond that the oldest is lost."""
PAUSE: Final = 1.0
"""Seconds between two tries while the database does not answer."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Change:
    state: State
    reason: str
    at: datetime
    attempts: int
    token: UUID


@dataclass(frozen=True, slots=True)
class _OutcomeOf:
    refs: frozenset[UUID]
    outcome: Outcome
    reason: str


class Recorder:
    """Called from the event loop; :meth:`run` writes until it's cancelled, and then what is left."""

    def __init__(self) -> None:
        self._database = DatabaseThread("citytrips-record")
        self._waiting: deque[_Change | _OutcomeOf | JournalRecord] = deque(maxlen=KEPT)
        self._something = asyncio.Event()

    def change(self, state: State, reason: str, attempts: int, token: UUID) -> None:
        """The line's state is another one, or has another reason; ``token`` is the lease's."""
        logger.info("The line is %s%s", state, f": {reason}" if reason else "")
        self._put(_Change(state, reason, timezone.now(), attempts, token))

    def message(self, record: JournalRecord) -> UUID:
        """A message came or went; by what its outcome is told later."""
        self._put(record)
        return record.ref

    def outcome(self, refs: Collection[UUID], outcome: Outcome, reason: str = "") -> None:
        """What came of messages that were sent."""
        if refs:
            self._put(_OutcomeOf(frozenset(refs), outcome, reason))

    def _put(self, item: _Change | _OutcomeOf | JournalRecord) -> None:
        self._waiting.append(item)
        self._something.set()

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            while True:
                await self._something.wait()
                if not self._waiting:
                    self._something.clear()
                    continue
                if not isinstance(self._waiting[0], _Change):
                    await asyncio.sleep(GATHER)
                self._something.clear()
                if not await self._write():
                    self._something.set()
                    await asyncio.sleep(PAUSE)
        finally:
            # How it ended is what people look for first.
            await self._write()
            self._database.close()

    async def _write(self) -> bool:
        """Whether it could be."""
        batch = list(self._waiting)
        self._waiting.clear()
        try:
            await self._database.run(_write, batch)
        except DatabaseError as wrong:
            logger.warning("%d entries about the line wait to be recorded (%s)", len(batch), type(wrong).__name__)
            latest = [*batch, *self._waiting]
            self._waiting.clear()
            self._waiting.extend(latest)
            return False
        return True


def _write(batch: list[_Change | _OutcomeOf | JournalRecord]) -> None:
    records = [one for one in batch if isinstance(one, JournalRecord)]
    if records:
        services.journal_add(entries=records)
    for one in batch:
        try:
            _write_one(one)
        except DataError as wrong:
            # Tried again it would be refused again, and hold up all that follows.
            logger.warning("An entry about the line is left out: the database refuses it (%s)", type(wrong).__name__)


def _write_one(one: _Change | _OutcomeOf | JournalRecord) -> None:
    match one:
        case _Change(state, reason, at, attempts, token):
            services.link_change(state=state, reason=reason, at=at, attempts=attempts, token=token)
        case _OutcomeOf(refs, outcome, reason):
            services.journal_outcome(refs=refs, outcome=outcome, reason=reason)
