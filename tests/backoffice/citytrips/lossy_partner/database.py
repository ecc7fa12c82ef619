"""Vehicles, replies and the lease, by the rules of ``fleet.services`` and ``backoffice.citytrips.bridge``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backoffice.citytrips.errors import LeaseLost
from backoffice.citytrips.exchange import Object, Pending, Settle

if TYPE_CHECKING:
    from tests.backoffice.citytrips.lossy_partner.world import World


PAGE = 2


@dataclass(slots=True)
class Row:
    """A vehicle; its version stands for its values, which are new with each version."""

    version: int
    offered: bool
    settled: int = 0
    listed: bool = False
    objected: int = 0


@dataclass(slots=True)
class Reply:
    settled: bool = False
    objected: bool = False


class Database:
    """Vehicles, replies and the lease. Transactions that change vehicles take their time, and lock their row."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rows: dict[str, Row] = {}
        self.replies: dict[int, Reply] = {}
        self._token = 0
        self.down_until = 0.0
        # By vehicle, whether it is to be offered and how long it takes; the first one has the row's lock.
        self._transactions: dict[str, deque[tuple[bool, float]]] = {}

    def change(self, vehicle: str, offered: bool, seconds: float) -> float:
        """A transaction that changes a vehicle and takes so long; when it commits."""
        waiting = self._transactions.setdefault(vehicle, deque())
        waiting.append((offered, seconds))
        if len(waiting) == 1:
            self._begin(vehicle)
        return self._world.clock.now + sum(seconds for _, seconds in waiting)

    def _begin(self, vehicle: str) -> None:
        _, seconds = self._transactions[vehicle][0]
        number = self._number(vehicle)
        if seconds:
            self._world.clock.at(self._world.clock.now + seconds, self._commit, vehicle, number)
        else:
            self._commit(vehicle, number)

    def _number(self, vehicle: str) -> int:
        """The number that the trigger gives; nobody sees it before the commit."""
        return self.rows[vehicle].version + 1 if vehicle in self.rows else 1

    def _commit(self, vehicle: str, number: int) -> None:
        offered, _ = self._transactions[vehicle].popleft()
        row = self.rows.get(vehicle)
        if row is None:
            self.rows[vehicle] = Row(number, offered)
        else:
            row.version, row.offered = number, offered
        self._world.changed()
        if self._transactions[vehicle]:
            self._begin(vehicle)

    def is_pending(self, row: Row) -> bool:
        return row.version > row.settled

    def take_lease(self) -> Any:
        """A new token; the old one is worth nothing from here on."""
        self._token += 1
        return self._token

    def _check(self, token: Any) -> None:
        if token != self._token and self._world.safeguards.token:
            raise LeaseLost("another worker has taken over")

    def changes(self, token: Any) -> Changes:
        return Changes(self, token)

    def settle_unseen(self, token: Any, versions: Mapping[str, int]) -> None:
        """These are neither offered nor held, so there is nothing to say of them."""
        self._check(token)
        self._world.partner.check_never_had(versions)
        self._settle(versions, listed=False)

    def tell_again(self, token: Any, after: str) -> str | None:
        """Make pending a page of what the partner is thought to have; where a change is under way, it will be."""
        self._check(token)
        page = [
            vehicle
            for vehicle, row in sorted(self.rows.items())
            if vehicle > after and row.offered and not self.is_pending(row) and not self._transactions.get(vehicle)
        ][:PAGE]
        for vehicle in page:
            self.rows[vehicle].version += 1
        return page[-1] if page else None

    def full_reader(self, token: Any, *, leave_out_objected: bool) -> FullReader:
        return FullReader(self, token, leave_out_objected=leave_out_objected)

    def mark_listed(self, token: Any, ids: Iterable[str]) -> None:
        unlisted = [vehicle for vehicle in ids if not self.rows[vehicle].listed]
        if unlisted and self._world.safeguards.listed_before_sending:
            self._check(token)
            for vehicle in unlisted:
                self.rows[vehicle].listed = True

    def read_replies(self, ids: Iterable[int]) -> list[int]:
        """Those that are still due."""
        return [number for number in ids if not (self.replies[number].settled or self.replies[number].objected)]

    def settle(self, token: Any, effect: Settle) -> None:
        self._check(token)
        self._settle(effect.versions, listed=True)
        self._settle(effect.absent, listed=False)
        for number in effect.replies:
            self.replies[number].settled = True

    def _settle(self, versions: Mapping[str, int], *, listed: bool) -> None:
        for vehicle, version in versions.items():
            row = self.rows[vehicle]
            if row.version < version:
                continue
            row.settled = max(row.settled, version)
            if listed:
                row.listed = True
            elif row.version == version:
                row.listed = False

    def object_to(self, token: Any, effect: Object) -> None:
        self._check(token)
        for vehicle, version in effect.versions.items():
            if self.rows[vehicle].version == version:
                self.rows[vehicle].objected = version
        for number in effect.replies:
            self.replies[number].objected = not self.replies[number].settled

    def send_again(self, reply: int) -> None:
        self.replies[reply] = Reply()

    def add_reply(self) -> None:
        self.replies[len(self.replies) + 1] = Reply()


class Changes:
    """Looks for what is pending; an incremental carries its vehicles as the look before it found them."""

    def __init__(self, database: Database, token: Any) -> None:
        self._database = database
        self._token = token
        self._offered: dict[str, int] = {}

    def look(self) -> Pending:
        offered: dict[str, int] = {}
        leaving: dict[str, int] = {}
        unseen: dict[str, int] = {}
        for vehicle, row in self._database.rows.items():
            if self._database.is_pending(row) and row.objected != row.version:
                (offered if row.offered else leaving if row.listed else unseen)[vehicle] = row.version
        if unseen:
            self._database.settle_unseen(self._token, unseen)
        self._offered = offered
        replies = self._database.replies.items()
        return Pending(offered, leaving, [number for number, one in replies if not (one.settled or one.objected)])

    def read(self, ids: frozenset[str]) -> dict[str, int]:
        """What an incremental carries of these vehicles."""
        return {vehicle: self._offered[vehicle] for vehicle in sorted(ids)}


class FullReader:
    """Reads a full, page by page, each vehicle once; then marks those as listed that it carries."""

    def __init__(self, database: Database, token: Any, *, leave_out_objected: bool) -> None:
        self._database = database
        self._token = token
        self._leave_out_objected = leave_out_objected
        self.carried: dict[str, int] = {}
        self.gone: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.absent: dict[str, int] = {}
        self.unlisted: list[str] = []
        self.left_out: list[str] = []
        self._after = ""

    def read(self) -> bool:
        """The next page; whether there was one."""
        rows = self._database.rows
        page = sorted(vehicle for vehicle in rows if vehicle > self._after)[:PAGE]
        for vehicle in page:
            row = rows[vehicle]
            pending = self._database.is_pending(row)
            if self._leave_out_objected and pending and row.objected == row.version:
                self.left_out.append(vehicle)  # CityTrips drops what it held of it
            elif row.offered:
                self.carried[vehicle] = row.version
                if pending:
                    self.versions[vehicle] = row.version
                if not row.listed:
                    self.unlisted.append(vehicle)
            else:
                self.gone[vehicle] = row.version
                if row.listed or pending:
                    self.absent[vehicle] = row.version
            self._after = vehicle
        return bool(page)

    def mark(self) -> None:
        self._database.mark_listed(self._token, self.unlisted)
        self.unlisted.clear()
