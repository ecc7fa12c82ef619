"""From what the project knows to the protocol: vehicles and replies to messages, and what CityTrips has of them.

The only module of the line that sees the fleet. Everything here works on the database and is called off the event loop.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, CharField, Count, F, IntegerField, Min, Q, Value, When
from django.utils import timezone

from backoffice.citytrips import messages, pauses, services, wakeup
from backoffice.citytrips.errors import MessageError
from backoffice.citytrips.lease import check_token
from backoffice.citytrips.models import LinkState, Pause, Reply
from backoffice.citytrips.session import Pending
from fleet import events
from fleet.history import CHANGES_KEPT, changes_prune
from fleet.models import Vehicle, VehicleQuerySet, is_offered
from fleet.services import silence_update, vehicles_list, vehicles_object, vehicles_settle, vehicles_unlist
from itineraries import publishing

SANDBOX_PATH: Final = "/sandbox/citytrips/v1"

logger = logging.getLogger(__name__)


def subscribe() -> None:
    """Wake the worker whenever the fleet changes."""
    events.vehicles_changed.connect(wakeup.wake_worker, dispatch_uid="citytrips")


# --- Vehicles to messages ----------------------------------------------------------------------------------------


PAGE: Final = 5000
"""Vehicles read at a time while a full is written, and written at a time when it has settled."""


@dataclass(frozen=True, slots=True)
class Batch:
    """An incremental ready to be sent, with the versions that it carries."""

    text: bytes
    versions: Mapping[str, int]


def target_is_sandbox() -> bool:
    """Whether the line leads to this site's own simulator, the only place that invented vehicles may go to."""
    target, site = urlsplit(settings.CITYTRIPS_URL), urlsplit(settings.SITE_URL)
    if not settings.SANDBOX or target.path != SANDBOX_PATH:
        return False
    return target.hostname == site.hostname or _is_loopback(target.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _deliverable() -> VehicleQuerySet:
    """The vehicles that this line is about."""
    vehicles = Vehicle.objects.all()
    return vehicles if target_is_sandbox() else vehicles.filter(is_demo=False)


def _unsettled() -> VehicleQuerySet:
    """Those with something to say; what CityTrips has objected to as it is now is left alone."""
    return _deliverable().pending().filter(Q(objected_version=None) | ~Q(objected_version=F("version")))


def _sendable() -> Q:
    """Whether an incremental may carry a vehicle."""
    return is_offered() & ~pauses.in_paused_city()


def _as_value(condition: Q) -> Case:
    """A condition as a value: 1 or 0."""
    return Case(When(condition, then=1), default=0, output_field=IntegerField())


def look(token: uuid.UUID) -> Pending:
    """What is pending. A change of a vehicle that CityTrips neither holds nor is to hold settles here.

    :raises LeaseLost: another worker has taken over.
    """
    offered: dict[str, int] = {}
    leaving: dict[str, int] = {}
    unseen: dict[str, int] = {}
    unsettled, sendable = _unsettled(), is_offered()
    # The conditions of a pause take half as long again. What a pause that begins now holds back is seen to when it is
    # collected.
    if pauses.pauses_of_cities():
        unsettled, sendable = unsettled.exclude(pauses.waits()), _sendable()
    rows = unsettled.order_by().values_list("pk", "version", "listed", _as_value(sendable))
    for vehicle, version, listed, is_sendable in rows.iterator(PAGE):
        (offered if is_sendable else leaving if listed else unseen)[vehicle] = version
    for part in _parts(unseen):
        with transaction.atomic():
            check_token(token)
            vehicles_settle(versions=part, listed=False)
    return Pending(offered, leaving, _replies_due())


def _replies_due() -> list[int]:
    due = Reply.objects.filter(settled_at=None, objected_at=None).order_by("pk")
    return list(due.values_list("pk", flat=True)[:1000])


@dataclass(frozen=True, slots=True)
class ReplyMessage:
    """A reply ready to be sent."""

    id: int
    about_id: int | None
    command: str
    text: str


def collect_replies(ids: Collection[int]) -> list[ReplyMessage]:
    """These replies as messages, noted as sent; those that were settled or dropped meanwhile are left out."""
    rows = Reply.objects.filter(pk__in=ids, settled_at=None, objected_at=None).order_by("pk")
    found = [ReplyMessage(row.pk, row.about_id, row.command, messages.encode(row.command, row.payload)) for row in rows]
    services.replies_sent(ids=[one.id for one in found])
    return found


_HELD, _NEW, _KEPT, _GONE, _UNKNOWN = "held", "new", "kept", "gone", ""
_CARRIED: Final = frozenset({_HELD, _NEW, _KEPT})


def _standing(leave_out_objected: bool, some_city_is_paused: bool) -> Case:
    """How a vehicle stands with CityTrips, decided in its row and by the database.

    A text, which every driver gives as it is.
    """
    held_or_new = Case(When(listed=True, then=Value(_HELD)), default=Value(_NEW), output_field=CharField())
    objected = Q(objected_version=F("version"), version__gt=F("settled_version"))
    left_out = [When(objected, then=Value(_UNKNOWN))] if leave_out_objected else []
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
    as they are now are in none of the three.
    """

    def __init__(self, *, leave_out_objected: bool = False) -> None:
        self._leave_out_objected = leave_out_objected
        self.versions: dict[str, int] = {}
        self.absent: dict[str, int] = {}
        self.count = 0
        self._queries: dict[bool, tuple[str, tuple[Any, ...]]] = {}
        self._pauses: Collection[int] | None = None
        self._after = ""
        self._begun = self._ended = False

    def read(self) -> bytes | None:
        """The next part; None after the last. To be sent only after it has been read: it marks its vehicles as listed."""
        if self._ended:
            return None
        part = b"" if self._begun else messages.vehicles_begin(messages.VEHICLES_FULL)
        self._begun = True
        rows, kept, since = self._read_page()
        if len(rows) < PAGE:
            self._ended = True
        carried = self._sort(rows, kept, since)
        if carried:
            part += b"," if self.count else b""
            part += messages.vehicles_part(carried)
            self.count += len(carried)
        if self._ended:
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
            following = _deliverable().filter(pk__gt=_AFTER).order_by("pk")
            page = following.values_list(*_COLUMNS, "settled_version", standing)[:PAGE]
            self._queries[some_city_is_paused] = page.query.sql_with_params()
        statement, parameters = self._queries[some_city_is_paused]
        with connection.cursor() as cursor:
            cursor.execute(statement, [self._after if one == _AFTER else one for one in parameters])
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def _sort(
        self, rows: list[tuple[Any, ...]], kept: Mapping[str, tuple[Any, ...]], since: Collection[int]
    ) -> list[dict[str, object]]:
        carried: list[dict[str, object]] = []
        unlisted: list[str] = []
        told: list[str] = []
        odd: dict[str, int] = {}
        convert = _converter()
        for vehicle, version, battery, plate, country, city, latitude, longitude, settled, standing in rows:
            if standing == _GONE:
                self.absent[vehicle] = version
            if standing == _KEPT:
                then, battery, plate, country, city, latitude, longitude, objected = kept[vehicle]
                if objected and self._leave_out_objected:
                    continue
                if then != version:
                    # What has changed since is not told by this, and stays pending.
                    settled = version
            elif standing != _UNKNOWN:
                told.append(vehicle)
            if standing not in _CARRIED:
                continue
            if convert is not None:
                latitude, longitude = convert(latitude), convert(longitude)
            try:
                carried.append(messages.vehicle(vehicle, battery, plate, country, city, latitude, longitude))
            except MessageError as wrong:
                logger.error("Vehicle %s cannot be sent: %s", vehicle, wrong)
                odd[vehicle] = version
                continue
            # What is kept may have been unlisted since its copy was made.
            if standing != _HELD:
                unlisted.append(vehicle)
            if version > settled:
                self.versions[vehicle] = version
        if rows:
            self._after = rows[-1][0]
        # These and no others: one that stopped being offered since it was read is carried all the same, and must show as
        # held, for it to be withdrawn.
        vehicles_list(ids=unlisted)
        vehicles_object(versions=odd)
        pauses.forget_copies(told, of=since)
        return carried


def collect_incremental(ids: Collection[str]) -> Batch | None:
    """Those of the vehicles that are offered now, as one ``s_vehicle/incremental``; None if none is any more."""
    rows: list[dict[str, object]] = []
    versions: dict[str, int] = {}
    unlisted: list[str] = []
    odd: dict[str, int] = {}
    convert = _converter()
    wanted = sorted(ids)
    since = pauses.pauses_of_cities()
    for start in range(0, len(wanted), 500):
        part = _deliverable().filter(_sendable(), pk__in=wanted[start : start + 500]).order_by()
        values = part.values_list(*_COLUMNS, "listed")
        for vehicle, version, battery, plate, country, city, latitude, longitude, listed in values:
            if convert is not None:
                latitude, longitude = convert(latitude), convert(longitude)
            try:
                rows.append(messages.vehicle(vehicle, battery, plate, country, city, latitude, longitude))
            except MessageError as wrong:
                logger.error("Vehicle %s cannot be sent: %s", vehicle, wrong)
                odd[vehicle] = version
            else:
                versions[vehicle] = version
                if not listed:
                    unlisted.append(vehicle)
    vehicles_object(versions=odd)
    pauses.forget_copies(versions, of=since)
    if not rows:
        return None
    # Only the line itself ever unlists a vehicle, and never while it collects.
    vehicles_list(ids=unlisted)
    begin = messages.vehicles_begin(messages.VEHICLES_INCREMENTAL)
    return Batch(begin + messages.vehicles_part(rows) + messages.VEHICLES_END, versions)


_COLUMNS: Final = ("pk", "version", "battery", "plate", "country", "city", "latitude", "longitude")


def _converter() -> Callable[[float], int] | None:
    """From degrees to the unit of ``CITYTRIPS_COORDINATES``; None where that is degrees."""
    match settings.CITYTRIPS_COORDINATES:
        case "integer":
            return round
        case "microdegrees":
            return lambda degrees: round(degrees * 1_000_000)
        case _:
            return None


def settle(
    token: uuid.UUID, versions: Mapping[str, int], absent: Mapping[str, int], replies: Collection[int] = ()
) -> None:
    """Write down what CityTrips has, in parts: while one is written, neither its vehicles nor the lease can be.

    What has been written of a settlement that fails on its way is true, and the rest can be written again.

    :raises LeaseLost: another worker has taken over; nothing more is written.
    """
    with transaction.atomic():
        check_token(token)
        if replies:
            services.replies_settle(ids=replies)
    for part in _parts(versions):
        with transaction.atomic():
            check_token(token)
            vehicles_settle(versions=part, listed=True)
    for part in _parts(absent):
        with transaction.atomic():
            check_token(token)
            held_back = _left_out_by_a_pause(part)
            vehicles_unlist(versions=held_back)
            vehicles_settle(versions={one: part[one] for one in part.keys() - held_back.keys()}, listed=False)


def _parts(versions: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """In the order of the ids, so that each part lies together in the database."""
    rows = sorted(versions.items())
    for start in range(0, len(rows), PAGE):
        yield dict(rows[start : start + PAGE])


def _left_out_by_a_pause(absent: Mapping[str, int]) -> dict[str, int]:
    """Those of a full's absent vehicles that are offered at that very version: CityTrips is to be told of them again.

    Whether a vehicle is offered cannot change without its version; so nothing but a pause can have kept them out.
    """
    found: dict[str, int] = {}
    if not absent or not Pause.objects.exists():
        return found
    ids = sorted(absent)
    for start in range(0, len(ids), 500):
        rows = Vehicle.objects.filter(is_offered(), pk__in=ids[start : start + 500]).order_by()
        now = rows.values_list("pk", "version")
        found |= {vehicle: version for vehicle, version in now if version == absent[vehicle]}
    return found


def object_to(token: uuid.UUID, versions: Mapping[str, int], replies: Collection[int] = ()) -> None:
    """Write down what CityTrips objected to.

    :raises LeaseLost: another worker has taken over; nothing is written.
    """
    with transaction.atomic():
        check_token(token)
        vehicles_object(versions=versions)
        if replies:
            services.replies_object(ids=replies)


def history_prune() -> int:
    """Drop what the fleet's history keeps no longer; how many entries."""
    return changes_prune(before=timezone.now() - CHANGES_KEPT)


def due_by_time() -> None:
    """What time alone brings about: vehicles that fall silent, publications whose process died."""
    silence_update(now=timezone.now())
    publishing.sweep()


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many vehicles wait to be told to CityTrips, and since when the one that has waited longest.

    Those that a pause holds back are counted apart, by country and city, or under ``("", "")`` where it holds back all.
    """

    count: int
    oldest: datetime | None
    paused: Mapping[tuple[str, str], int]


def backlog(open_pauses: Collection[Pause] = ()) -> Backlog:
    """What waits, and what waits because of these pauses."""
    waiting = _unsettled().filter(Q(listed=True) | is_offered()).order_by()
    if any(pause.of_all for pause in open_pauses):
        return Backlog(0, None, {("", ""): waiting.count()})
    held_back: dict[tuple[str, str], int] = {}
    if open_pauses:
        rows = waiting.filter(pauses.waits()).values_list("country", "city").annotate(count=Count("pk"))
        held_back = {(country, city): count for country, city, count in rows}
        waiting = waiting.exclude(pauses.waits())
    numbers = waiting.aggregate(count=Count("pk"), oldest=Min("updated_at"))
    return Backlog(numbers["count"], numbers["oldest"], held_back)


# --- Fulls that CityTrips finds too large ------------------------------------------------------------------------


def settings_key() -> str:
    """What of the settings decides whether a full is taken, in short: a change of it is worth a new trial."""
    deciding = (settings.CITYTRIPS_URL, settings.CITYTRIPS_CLIENT_ID, settings.CITYTRIPS_COORDINATES)
    return hashlib.sha256("\n".join(deciding).encode()).hexdigest()[:16]


def block_fulls() -> int:
    """Write down that CityTrips takes no full of today's fleet; of how many vehicles that is."""
    vehicles = _deliverable().offered().count()
    services.fulls_block(vehicles=vehicles, settings_key=settings_key())
    return vehicles


def fulls_are_blocked(*, recount: bool = True) -> bool:
    """Whether no full is to be sent; the block ends with a smaller fleet, another setting, or by staff.

    ``recount`` looks at the fleet's size, which takes its time with the fleet.
    """
    link = LinkState.objects.filter(id=1, fulls_blocked_at__isnull=False).first()
    if link is None:
        return False
    changed = link.fulls_blocked_settings != settings_key()
    if changed or (recount and _deliverable().offered().count() < (link.fulls_blocked_vehicles or 0)):
        services.fulls_unblock()
        return False
    return True
