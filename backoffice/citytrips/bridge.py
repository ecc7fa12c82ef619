"""From what the project knows to the protocol: vehicles and replies to messages, and what CityTrips has of them.

Everything here works on the database and is called off the event loop.
"""

from __future__ import annotations

import ipaddress
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Case, Count, F, IntegerField, Min, Q, When
from django.utils import timezone

from backoffice.citytrips import messages, pauses, services, wakeup
from backoffice.citytrips.errors import MessageError
from backoffice.citytrips.exchange import Pending
from backoffice.citytrips.lease import check_token, end_with_silence
from backoffice.citytrips.models import Pause, Reply
from fleet import events
from fleet.history import CHANGES_KEPT, changes_prune
from fleet.models import Vehicle, VehicleQuerySet, is_offered
from fleet.services import (
    silence_update,
    vehicles_list,
    vehicles_object,
    vehicles_settle,
    vehicles_tell_again,
    vehicles_unlist,
)
from itineraries import publishing

SANDBOX_PATH: Final = "/sandbox/citytrips/v1"

logger = logging.getLogger(__name__)


def subscribe() -> None:
    """Wake the worker whenever the fleet changes."""
    events.vehicles_changed.connect(wakeup.wake_worker, dispatch_uid="citytrips")


PAGE: Final = 5000
"""Vehicles read, remembered or written at a time."""
FRESH: Final = 0.5
"""Seconds for which what a look has read may be sent."""
COLUMNS: Final = ("pk", "version", "battery", "plate", "country", "city", "latitude", "longitude")
"""What is read of a vehicle to tell CityTrips of it."""

# Whether CityTrips may hold a vehicle, and these columns of it.
_Row = tuple[Any, ...]


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


def deliverable() -> VehicleQuerySet:
    """The vehicles that this line is about."""
    vehicles = Vehicle.objects.all()
    return vehicles if target_is_sandbox() else vehicles.filter(is_demo=False)


def _unsettled() -> VehicleQuerySet:
    """Those with something to say; what CityTrips has objected to as it is now is left alone."""
    return deliverable().pending().filter(Q(objected_version=None) | ~Q(objected_version=F("version")))


def _sendable() -> Q:
    """Whether an incremental may carry a vehicle."""
    return is_offered() & ~pauses.in_paused_city()


@contextmanager
def _by_the_holder(token: uuid.UUID) -> Iterator[None]:
    """A transaction that counts only if this token holds the lease when it ends.

    That is asked last: a transaction that waits for vehicles, as long as an import holds them, would keep the lease from
    being renewed.

    :raises LeaseLost: another worker has taken over; nothing is written.
    """
    with transaction.atomic():
        end_with_silence()
        yield
        check_token(token)


def _as_value(condition: Q) -> Case:
    """A condition as a value: 1 or 0."""
    return Case(When(condition, then=1), default=0, output_field=IntegerField())


class Cargo:
    """Vehicles made into what a message carries, and what is to be written down of them before it leaves."""

    def __init__(self) -> None:
        self.vehicles: list[dict[str, object]] = []
        self._unlisted: list[str] = []
        self._odd: dict[str, int] = {}
        self._convert = converter()

    def add(
        self, is_held: bool, vehicle: str, version: int, battery: int, plate: str, country: str, city: str,
        latitude: float, longitude: float,
    ) -> bool:  # fmt: skip
        """Carry a vehicle, which CityTrips may hold already. False if it can be no message: that is for staff to see."""
        if self._convert is not None:
            latitude, longitude = self._convert(latitude), self._convert(longitude)
        try:
            self.vehicles.append(messages.vehicle(vehicle, battery, plate, country, city, latitude, longitude))
        except MessageError as wrong:
            logger.error("Vehicle %s cannot be sent: %s", vehicle, wrong)
            self._odd[vehicle] = version
            return False
        if not is_held:
            self._unlisted.append(vehicle)
        return True

    def write_down(self, token: uuid.UUID, *, told: Collection[str], since: Collection[int]) -> None:
        """That CityTrips may hold these vehicles from now on, which of them can be no message, and that those told need not
        be kept any longer as they were when these pauses began.

        :raises LeaseLost: another worker has taken over; nothing more is written.
        """
        if self._unlisted:
            # These and no others: one that stopped being offered since it was read is carried all the same, and must show as
            # held, for it to be withdrawn. Only the line unlists, and never between a look and what is sent after it.
            with _by_the_holder(token):
                vehicles_list(ids=self._unlisted)
        if self._odd:
            with _by_the_holder(token):
                vehicles_object(versions=self._odd)
        if told and since:
            with _by_the_holder(token):
                pauses.forget_copies(told, of=since)


class Changes:
    """What waits to be told to CityTrips, and the incrementals made of it.

    An incremental carries its vehicles as the look before it read them: reading a thousand of a large fleet a second time
    took as long as all the rest. It does read them again if that look lies back :data:`FRESH` seconds, if a pause of a city
    began or ended since, or if there were too many to remember.
    """

    def __init__(self, token: uuid.UUID) -> None:
        self._token = token
        self._rows: dict[str, _Row] = {}
        self._read_at = 0.0
        self._pauses: Sequence[int] | None = None
        self._found = 0

    def look(self) -> Pending:
        """What is pending. A change of a vehicle that CityTrips neither holds nor is to hold settles here.

        :raises LeaseLost: another worker has taken over.
        """
        offered: dict[str, int] = {}
        leaving: dict[str, int] = {}
        unseen: dict[str, int] = {}
        self._read_at, self._rows = time.monotonic(), {}
        self._pauses = pauses.pauses_of_cities()
        unsettled, sendable = _unsettled(), is_offered()
        # The conditions of a pause take half as long again. What a pause that begins now holds back is seen to when it is
        # collected.
        if self._pauses:
            unsettled, sendable = unsettled.exclude(pauses.waits()), _sendable()
        # Of a backlog, most are looked at again and again before their turn comes.
        columns = COLUMNS if self._found <= PAGE else COLUMNS[:2]
        rows = unsettled.order_by().values_list(_as_value(sendable), "listed", *columns)
        for is_sendable, listed, vehicle, version, *carried in rows.iterator(PAGE):
            (offered if is_sendable else leaving if listed else unseen)[vehicle] = version
            if is_sendable and carried and len(self._rows) < PAGE:
                self._rows[vehicle] = (listed, vehicle, version, *carried)
        self._found = len(offered)
        for part in _parts(unseen):
            with _by_the_holder(self._token):
                vehicles_settle(versions=part, listed=False)
        return Pending(offered, leaving, _replies_due())

    def collect(self, ids: Set[str]) -> Batch | None:
        """One ``s_vehicle/incremental`` of these vehicles, which the look found offered; None if it has to read them again
        and none is any more.

        :raises LeaseLost: another worker has taken over; nothing is written.
        """
        since = pauses.pauses_of_cities()
        looked_at, self._rows = self._rows, {}
        wanted = sorted(ids)
        fresh = time.monotonic() - self._read_at < FRESH and since == self._pauses
        if fresh and looked_at.keys() >= ids:
            rows: Iterable[_Row] = [looked_at[vehicle] for vehicle in wanted]
        else:
            rows = _read_sendable(wanted)
        cargo = Cargo()
        versions = {row[1]: row[2] for row in rows if cargo.add(*row)}
        cargo.write_down(self._token, told=versions, since=since)
        if not versions:
            return None
        begin = messages.vehicles_begin(messages.VEHICLES_INCREMENTAL)
        return Batch(begin + messages.vehicles_part(cargo.vehicles) + messages.VEHICLES_END, versions)


def _read_sendable(wanted: Sequence[str]) -> Iterator[_Row]:
    for start in range(0, len(wanted), 500):
        part = deliverable().filter(_sendable(), pk__in=wanted[start : start + 500]).order_by()
        yield from part.values_list("listed", *COLUMNS)


def _replies_due() -> list[int]:
    due = Reply.objects.filter(settled_at=None, objected_at=None).order_by("pk")
    return list(due.values_list("pk", flat=True)[:1000])


def tell_again(token: uuid.UUID, after: str) -> str | None:
    """Make pending once more what CityTrips has of the vehicles that an incremental may carry, of a page that follows this id.

    Returns the page's last id, or None where nothing follows. What is gone, no incremental can tell.

    :raises LeaseLost: another worker has taken over; nothing is written.
    """
    told = deliverable().filter(_sendable(), settled_version__gte=F("version"), pk__gt=after).order_by("pk")
    page = list(told.values_list("pk", flat=True)[:PAGE])
    if not page:
        return None
    with _by_the_holder(token):
        vehicles_tell_again(ids=page)
    return page[-1]


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


def converter() -> Callable[[float], int] | None:
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
    """Write down what CityTrips has, in parts: while one is written, its vehicles cannot be.

    What has been written of a settlement that fails on its way is true, and the rest can be written again.

    :raises LeaseLost: another worker has taken over; nothing more is written.
    """
    with _by_the_holder(token):
        if replies:
            services.replies_settle(ids=replies)
    for part in _parts(versions):
        with _by_the_holder(token):
            vehicles_settle(versions=part, listed=True)
    for part in _parts(absent):
        with _by_the_holder(token):
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
    with _by_the_holder(token):
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
    numbers = waiting.aggregate(count=Count("pk"), oldest=Min("pending_at"))
    return Backlog(numbers["count"], numbers["oldest"], held_back)
