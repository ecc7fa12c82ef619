"""Between the protocol and what the project knows: vehicles to messages, and inbound commands to services.

The only module of the line that sees the fleet. Everything here works on the database and is called off the event loop.
"""

from __future__ import annotations

import ipaddress
import logging
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, F, Min, OuterRef, Q
from django.utils import timezone

from backoffice.citytrips import messages, wakeup
from backoffice.citytrips.errors import MessageError
from backoffice.citytrips.lease import check_token
from backoffice.citytrips.session import Pending
from fleet import events
from fleet.models import Vehicle, VehicleQuerySet
from fleet.services import silence_update, vehicles_list, vehicles_object, vehicles_settle
from itineraries import publishing

SANDBOX_PATH: Final = "/sandbox/citytrips/v1"

logger = logging.getLogger(__name__)


def subscribe() -> None:
    """Wake the worker whenever the fleet changes."""
    events.vehicles_changed.connect(wakeup.wake_worker, dispatch_uid="citytrips")


# --- Vehicles to messages ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batch:
    """A message ready to be sent, with the versions that it carries and, of a full, those that it leaves out."""

    text: str
    versions: Mapping[str, int]
    absent: Mapping[str, int] = field(default_factory=dict)


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
    """Those with something to send; what CityTrips has objected to as it is now is left alone."""
    return _deliverable().pending().filter(Q(objected_version=None) | ~Q(objected_version=F("version")))


def _is_offered() -> Exists:
    """Whether a row is offered, as a value or inside an OR.

    As a condition of its own PostgreSQL turns it into a join, which on a table that has just been filled (no statistics
    yet) was seen to compare each vehicle with every other.
    """
    return Exists(Vehicle.objects.offered().filter(pk=OuterRef("pk")))


def look(token: uuid.UUID) -> Pending:
    """What is pending. A change of a vehicle that CityTrips neither holds nor is to hold settles here.

    :raises LeaseLost: another worker has taken over.
    """
    offered: dict[str, int] = {}
    leaving: dict[str, int] = {}
    unseen: dict[str, int] = {}
    rows = _unsettled().order_by().values_list("pk", "version", "listed", _is_offered())
    for vehicle, version, listed, is_offered_now in rows:
        (offered if is_offered_now else leaving if listed else unseen)[vehicle] = version
    if unseen:
        with transaction.atomic():
            check_token(token)
            vehicles_settle(versions=unseen, listed=False)
    return Pending(offered, leaving)


def collect_full() -> Batch:
    """Every vehicle offered, as one ``s_vehicle/full``; they count as held by CityTrips from here on."""
    rows, versions = _rows(_deliverable().offered())
    # Asked after the first query: what has become offered since then is in neither, and stays pending.
    others = _deliverable().filter(Q(listed=True) | Q(version__gt=F("settled_version")))
    absent = {
        vehicle: version
        for vehicle, version, is_offered_now in others.order_by().values_list("pk", "version", _is_offered())
        if not is_offered_now and vehicle not in versions
    }
    vehicles_list(ids=versions.keys())
    return Batch(messages.vehicles(messages.VEHICLES_FULL, rows), versions, absent)


def collect_incremental(ids: Collection[str]) -> Batch | None:
    """Those of the vehicles that are offered now, as one ``s_vehicle/incremental``; None if none is any more."""
    # A long list of ids is no question for a database: what is unsettled is read, and the rest left out here.
    wanted = _deliverable().filter(pk__in=list(ids)) if len(ids) <= 1000 else _unsettled()
    rows, versions = _rows(wanted.offered(), only=ids)
    if not rows:
        return None
    vehicles_list(ids=versions.keys())
    return Batch(messages.vehicles(messages.VEHICLES_INCREMENTAL, rows), versions)


def _rows(
    vehicles: VehicleQuerySet, only: Collection[str] | None = None
) -> tuple[list[messages.Vehicle], dict[str, int]]:
    rows: list[messages.Vehicle] = []
    versions: dict[str, int] = {}
    odd: dict[str, int] = {}
    columns = ("pk", "version", "battery", "plate", "country", "city", "latitude", "longitude")
    values = vehicles.order_by("pk").values_list(*columns)
    for vehicle, version, battery, plate, country, city, latitude, longitude in values.iterator(2000):
        if only is not None and vehicle not in only:
            continue
        try:
            location = messages.Location(_coordinate(latitude), _coordinate(longitude))
            rows.append(messages.Vehicle(vehicle, battery, plate, country, city, location))
        except MessageError as wrong:
            logger.error("Vehicle %s cannot be sent: %s", vehicle, wrong)
            odd[vehicle] = version
        else:
            versions[vehicle] = version
    vehicles_object(versions=odd)
    return rows, versions


def _coordinate(degrees: float) -> int | float:
    """In the unit of ``CITYTRIPS_COORDINATES``."""
    match settings.CITYTRIPS_COORDINATES:
        case "integer":
            return round(degrees)
        case "microdegrees":
            return round(degrees * 1_000_000)
        case _:
            return degrees


def settle(token: uuid.UUID, versions: Mapping[str, int], absent: Mapping[str, int]) -> None:
    """Write down what CityTrips has.

    :raises LeaseLost: another worker has taken over; nothing is written.
    """
    with transaction.atomic():
        check_token(token)
        vehicles_settle(versions=versions, listed=True)
        vehicles_settle(versions=absent, listed=False)


def object_to(token: uuid.UUID, versions: Mapping[str, int]) -> None:
    """Write down what CityTrips objected to.

    :raises LeaseLost: another worker has taken over; nothing is written.
    """
    with transaction.atomic():
        check_token(token)
        vehicles_object(versions=versions)


def due_by_time() -> None:
    """What time alone brings about: vehicles that fall silent, publications whose process died."""
    silence_update(now=timezone.now())
    publishing.sweep()


def backlog() -> tuple[int, datetime | None]:
    """How many vehicles wait to be told to CityTrips, and since when the one that has waited longest."""
    waiting = _unsettled().filter(Q(listed=True) | _is_offered())
    numbers = waiting.order_by().aggregate(count=Count("pk"), oldest=Min("updated_at"))
    return numbers["count"], numbers["oldest"]


# --- Inbound commands to services --------------------------------------------------------------------------------

Reply = tuple[str, object]
Handler = Callable[[object], Reply | None]
"""Takes a payload as it came, calls services, and returns the command and payload to answer with, if any."""

_handlers: dict[str, Handler] = {}


def handles(command: str) -> Callable[[Handler], Handler]:
    """Register a function for an inbound command that is no part of the session itself."""

    def register(handler: Handler) -> Handler:
        _handlers[command] = handler
        return handler

    return register


def handler_for(command: str) -> Handler | None:
    return _handlers.get(command)
