"""Requests to send now: what is taken up of them, and what whoever asked is told."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from django.db import DatabaseError

from backoffice.citytrips import bridge, selectors, services
from backoffice.citytrips.database import DatabaseThread
from backoffice.citytrips.exchange import Object, Pending, Settle
from backoffice.citytrips.models import Pause, SyncRequest
from backoffice.citytrips.session import Session
from backoffice.citytrips.sync_requests import OpenRequests

FULLS_BLOCKED: Final = "CityTrips takes no full list as large as this fleet's"

logger = logging.getLogger(__name__)


class Answers:
    """The requests under way, for as long as a line is kept; ``pauses`` are those that hold vehicles back now."""

    def __init__(self, database: DatabaseThread) -> None:
        self._database = database
        self._under_way = OpenRequests()
        self.pauses: Collection[Pause] = ()

    @property
    def oldest(self) -> int | None:
        """The oldest request under way, for which what is sent now counts as sent."""
        return self._under_way.first

    async def asked(self) -> list[SyncRequest] | None:
        """The requests that nobody has answered; None where the database does not tell."""
        try:
            return await self._database.run(lambda: list(selectors.sync_requests_open()))
        except DatabaseError as wrong:
            logger.warning("Requests to send cannot be read (%s)", type(wrong).__name__)
            return None

    async def take_up(self, requests: Collection[SyncRequest], pending: Pending, session: Session) -> None:
        """Take up what is new among them, or refuse it; answer those for which nothing is pending any more."""
        self._under_way.keep([one.pk for one in requests])
        for one in requests:
            if one.pk in self._under_way:
                continue
            full = one.full or bool(pending.leaving)
            if reason := self._reason_against(session, full=full):
                await self._refuse([one.pk], reason)
                continue
            self._under_way.take_up(one.pk, full=full, pending=pending, last_number=session.last_number)
            if full:
                session.want_full()
            count = len(pending.offered) + len(pending.leaving)
            detail = f"{count} vehicles to send" + (", with a full" if full else "")
            await self._database.run(services.sync_request_start, request_id=one.pk, detail=detail)
        await self._settle(self._under_way.looked(pending))

    def _reason_against(self, session: Session, *, full: bool) -> str:
        if of_all := next((pause for pause in self.pauses if pause.of_all), None):
            return _paused(of_all)
        return FULLS_BLOCKED if full and session.fulls_blocked else ""

    async def settled(self, send: Settle) -> None:
        """A send has settled."""
        await self._settle(self._under_way.settled(send))

    async def objected(self, effect: Object, reason: str) -> None:
        """CityTrips does not take these vehicles, or fulls."""
        await self._refuse(
            self._under_way.objected(effect.versions, fulls=effect.fulls), f"CityTrips objected: {reason}"
        )

    async def paused(self, of_all: Pause) -> None:
        """Nothing of vehicles is sent until staff resume it."""
        await self._refuse(self._under_way.refuse(), _paused(of_all))

    async def refuse(self, reason: str) -> None:
        """Nothing can be sent: whoever waits is told why."""
        await self._refuse([one.pk for one in await self.asked() or ()], reason)

    async def fulls_blocked(self) -> None:
        """No full can be sent: whoever waits for one is told so."""
        # Of those under way some need a full that did not ask for one, since vehicles leave.
        needing = set(self._under_way.refuse(fulls_only=True))
        await self._refuse([one.pk for one in await self.asked() or () if one.full or one.pk in needing], FULLS_BLOCKED)

    async def _settle(self, request_ids: Collection[int]) -> None:
        for request_id in request_ids:
            await self._end(request_id, SyncRequest.State.SETTLED)

    async def _refuse(self, request_ids: Collection[int], reason: str) -> None:
        for request_id in request_ids:
            await self._end(request_id, SyncRequest.State.REFUSED, reason)

    async def _end(self, request_id: int, state: SyncRequest.State, detail: str = "") -> None:
        try:
            if self.pauses and state is SyncRequest.State.SETTLED:
                backlog = await self._database.run(bridge.backlog, list(self.pauses))
                if held_back := sum(backlog.paused.values()):
                    detail = f"without {held_back} vehicles that wait because of a pause"
            await self._database.run(services.sync_request_end, request_id=request_id, state=state, detail=detail)
        except DatabaseError as wrong:
            logger.warning("The answer to a request to send is lost (%s)", type(wrong).__name__)


def _paused(pause: Pause) -> str:
    return f"sending is paused: {pause.reason}"
