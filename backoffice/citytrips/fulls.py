"""The fulls: reading one from the database, and whether CityTrips takes any.

Everything here works on the database and is called off the event loop.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Mapping
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.models import Case, CharField, F, Q, Value, When

from backoffice.citytrips import bridge, messages, pauses, services
from backoffice.citytrips.models import LinkState
from fleet.models import is_offered

_HELD, _NEW, _KEPT, _GONE, _LEFT_OUT, _UNKNOWN = "held", "new", "kept", "gone", "left", ""
_CARRIED: Final = frozenset({_HELD, _NEW, _KEPT})


def _standing(leave_out_objected: bool, some_city_is_paused: bool) -> Case:
    """How a vehicle stands with CityTrips, decided in its row and by the database.

    A text, which every driver gives as it is.
    """
    held_or_new = Case(When(listed=True, then=Value(_HELD)), default=Value(_NEW), output_field=CharField())
    objected = Q(objected_version=F("version"), version__gt=F("settled_version"))
    left_out = [When(objected, then=Value(_LEFT_OUT))] if leave_out_objected else []
    paused = [
        When(pauses.is_kept(), then=Value(_KEPT)),
        When(pauses.in_paused_city() & Q(listed=True), then=Value(_GONE)),
        When(pauses.in_paused_city() & is_offered(), then=Value(_UNKNOWN)),
    ]
    return Case(
        *left_out,
        *(paused if some_city_is_paused else []),
        When(is_offered(), then=held_or_new),
        When(Q(listed=True) | Q(version__gt=F("settled_version")), then=Value(_GONE)),
        default=Value(_UNKNOWN),
        output_field=CharField(),
    )


# Stands in a query for the id that a page begins after; no id is like it.
_AFTER: Final = "\x1f"


class FullReader:
    """Reads one ``s_vehicle/full`` from the database, part by part, so that it never stands in memory whole.

    Each row is read once, and that moment decides about its vehicle: it is carried, or it counts as gone, or it never was
    at CityTrips. What changes later has a higher version then and stays pending. No transaction stays open between two
    parts, however slowly they are sent. A vehicle of a city that is paused is carried as it was when the pause began.

    ``versions`` fills with what was pending and is carried, ``absent`` with what is left out and CityTrips therefore drops,
    ``count`` with how many vehicles there are in all. With ``leave_out_objected`` the vehicles that CityTrips objected to
    as they are now are in none of the three but in ``left_out``: it drops these as well, whatever carried them before.
    ``ended`` says whether the last part was read.
    """

    def __init__(self, token: uuid.UUID, *, leave_out_objected: bool = False) -> None:
        self._token = token
        self._leave_out_objected = leave_out_objected
        self.versions: dict[str, int] = {}
        self.absent: dict[str, int] = {}
        self.left_out: list[str] = []
        self.count = 0
        self._queries: dict[bool, tuple[str, tuple[Any, ...]]] = {}
        self._pauses: Collection[int] | None = None
        self._after = ""
        self._begun = self.ended = False

    def read(self) -> bytes | None:
        """The next part; None after the last. To be sent only after it has been read: it marks its vehicles as listed.

        :raises LeaseLost: another worker has taken over; nothing is written.
        """
        if self.ended:
            return None
        part = b"" if self._begun else messages.vehicles_begin(messages.VEHICLES_FULL)
        self._begun = True
        rows, kept, since = self._read_page()
        if len(rows) < bridge.PAGE:
            self.ended = True
        carried = self._sort(rows, kept, since)
        if carried:
            part += b"," if self.count else b""
            part += messages.vehicles_part(carried)
            self.count += len(carried)
        if self.ended:
            part += messages.VEHICLES_END
        return part

    def _read_page(self) -> tuple[list[tuple[Any, ...]], Mapping[str, tuple[Any, ...]], Collection[int]]:
        """The rows, what is kept of those whose city is paused, and the pauses of cities that had begun before."""
        if self._pauses is None:
            self._pauses = pauses.pauses_of_cities()
        while True:
            # Asked of each row, the conditions of a pause would take a third of the time of a full.
            if self._pauses:  # others may have begun while the page before was sent
                self._pauses = pauses.pauses_of_cities()
            since = self._pauses
            rows = self._read_rows(bool(since))
            self._pauses = pauses.pauses_of_cities()
            if not since:
                if self._pauses:
                    continue  # it began in between: what it holds back must not be told
                return rows, {}, since
            wanted = [row[0] for row in rows if row[-1] == _KEPT]
            kept = pauses.copies(wanted) if wanted else {}
            if len(kept) == len(wanted):
                return rows, kept, since
            # A pause has ended in between: what CityTrips held under it must not be missing.

    def _read_rows(self, some_city_is_paused: bool) -> list[tuple[Any, ...]]:
        # Made once for all pages, and read as the driver gives the rows: a full feels the price of both.
        if some_city_is_paused not in self._queries:
            standing = _standing(self._leave_out_objected, some_city_is_paused)
            following = bridge.deliverable().filter(pk__gt=_AFTER).order_by("pk")
            page = following.values_list(*bridge.COLUMNS, "settled_version", standing)[: bridge.PAGE]
            self._queries[some_city_is_paused] = page.query.sql_with_params()
        statement, parameters = self._queries[some_city_is_paused]
        with connection.cursor() as cursor:
            cursor.execute(statement, [self._after if one == _AFTER else one for one in parameters])
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def _sort(
        self, rows: list[tuple[Any, ...]], kept: Mapping[str, tuple[Any, ...]], since: Collection[int]
    ) -> list[dict[str, object]]:
        cargo = bridge.Cargo()
        told: list[str] = []
        for vehicle, version, battery, plate, country, city, latitude, longitude, settled, standing in rows:
            if standing == _GONE:
                self.absent[vehicle] = version
            elif standing == _LEFT_OUT:
                self.left_out.append(vehicle)
                continue
            if standing == _KEPT:
                then, battery, plate, country, city, latitude, longitude, objected = kept[vehicle]
                if objected and self._leave_out_objected:
                    self.left_out.append(vehicle)
                    continue
                if then != version:
                    # What has changed since is not told by this, and stays pending.
                    settled = version
            elif standing != _UNKNOWN:
                told.append(vehicle)
            if standing not in _CARRIED:
                continue
            # What is kept may have been unlisted since its copy was made.
            is_held = standing == _HELD
            if (
                cargo.add(is_held, vehicle, version, battery, plate, country, city, latitude, longitude)
                and version > settled
            ):
                self.versions[vehicle] = version
        if rows:
            self._after = rows[-1][0]
        cargo.write_down(self._token, told=told, since=since)
        return cargo.vehicles


# --- Fulls that CityTrips finds too large ------------------------------------------------------------------------


def settings_key() -> str:
    """What of the settings decides whether a full is taken, in short: a change of it is worth a new trial."""
    deciding = (settings.CITYTRIPS_URL, settings.CITYTRIPS_CLIENT_ID, settings.CITYTRIPS_COORDINATES)
    return hashlib.sha256("\n".join(deciding).encode()).hexdigest()[:16]


def block() -> int:
    """Write down that CityTrips takes no full of today's fleet; of how many vehicles that is."""
    vehicles = bridge.deliverable().offered().count()
    services.fulls_block(vehicles=vehicles, settings_key=settings_key())
    return vehicles


def are_blocked(*, recount: bool = True) -> bool:
    """Whether no full is to be sent; the block ends with a smaller fleet, another setting, or by staff.

    ``recount`` looks at the fleet's size, which takes its time with the fleet.
    """
    link = LinkState.objects.filter(id=1, fulls_blocked_at__isnull=False).first()
    if link is None:
        return False
    changed = link.fulls_blocked_settings != settings_key()
    if changed or (recount and bridge.deliverable().offered().count() < (link.fulls_blocked_vehicles or 0)):
        services.fulls_unblock()
        return False
    return True
