"""What keeps updates from being lost, and what stands in for it where it is switched off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backoffice.citytrips.exchange import Effect
from backoffice.citytrips.session import Session
from tests.backoffice.citytrips.lossy_partner.database import Database, Row

if TYPE_CHECKING:
    from tests.backoffice.citytrips.lossy_partner.world import World


class VoidsNothing(Session):
    """Goes on counting on what was in flight when it's asked to authenticate again."""

    def _receive_must_authenticate(self, reason: str, now: float) -> list[Effect]:
        sends = list(self._sends)
        effects = super()._receive_must_authenticate(reason, now)
        self._sends = sends
        return effects


class NoFullAfterAuthentication(Session):
    """Takes for granted that CityTrips still knows what it knew."""

    def _receive_success(self) -> list[Effect]:
        wanted = self._full_wanted or self._full_at is None
        effects = super()._receive_success()
        self._full_wanted = wanted
        return effects


class CursorDatabase(Database):
    """The same with one number for all vehicles and one cursor for what is settled, which misses what commits late."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._last = 0
        self._cursor = 0

    def _number(self, vehicle: str) -> int:
        self._last += 1
        return self._last

    def is_pending(self, row: Row) -> bool:
        return row.version > self._cursor

    def _settle(self, versions: Mapping[str, int], *, listed: bool) -> None:
        super()._settle(versions, listed=listed)
        self._cursor = max([self._cursor, *versions.values()])


@dataclass(frozen=True)
class Safeguards:
    """What keeps updates from being lost; a control switches one off."""

    settle: float = 5.0
    full_every: float = 60.0
    session: type[Session] = Session
    per_row_versions: bool = True
    token: bool = True
    lease_before_each_part: bool = True
    listed_before_sending: bool = True
    pong_before_confirmation: bool = True
    reader_waits_for_handlers: bool = False
    time_stands_while_reading: bool = True
