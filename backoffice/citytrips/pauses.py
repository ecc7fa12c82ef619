"""Holding back what CityTrips is sent: of everything, or of a city, whose vehicles then stay there as they are.

Only a full can express that a vehicle is gone, so while a city is paused fulls go on for the others and carry the city as it
was when the pause began: what CityTrips may hold of it and is offered is copied in the transaction that begins the pause.
Such a copy is what CityTrips goes on being told; it counts only while its vehicle is in that city, and goes with the pause, or
once CityTrips was told something else of the vehicle. So a vehicle of a paused city is one of three:

* *kept*: it has a copy, which fulls carry in its place;
* *arriving*: it has none, and CityTrips does not hold it: it waits;
* *moved in*: it has none, and CityTrips may hold it elsewhere: the next full leaves it out, and then it waits, too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import IntegrityError, connection, transaction
from django.db.models import Case, Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Value, When
from django.utils import timezone

from backoffice import hints
from backoffice.citytrips import wakeup
from backoffice.citytrips.models import Pause, PausedVehicle
from backoffice.hints import Topic
from fleet.models import Vehicle, is_offered, lock_vehicles
from fleet.vocabulary import State
from users.models import User

_COPIED: Final = ("pk", "version", "battery", "plate", "latitude", "longitude")


@dataclass(frozen=True, slots=True)
class Place:
    """A city, and how many vehicles are in it."""

    country: str
    city: str
    vehicles: int


# --- Beginning and ending ----------------------------------------------------------------------------------------


def pause_begin(*, country: str, city: str, reason: str, actor: User) -> Pause | None:
    """Hold back what is sent of a city, or, where both are empty, of everything; None if it is held back already."""
    try:
        with transaction.atomic():
            pause = Pause.objects.create(country=country, city=city, reason=reason, paused_by=actor)
            if city:
                _copy(pause)
            hints.changed_on_commit(Topic.LINE, Topic.FLEET)
            transaction.on_commit(wakeup.wake_worker)
    except IntegrityError:
        if not pauses_open().filter(country=country, city=city).exists():
            raise
        return None
    return pause


def pause_end(*, pause: Pause, actor: User) -> bool:
    """Send again what was held back; whether it still was."""
    with transaction.atomic():
        ended = Pause.objects.filter(pk=pause.pk, resumed_at=None).update(resumed_at=timezone.now(), resumed_by=actor)
        PausedVehicle.objects.filter(pause_id=pause.pk).delete()
        hints.changed_on_commit(Topic.LINE, Topic.FLEET)
        transaction.on_commit(wakeup.wake_worker)
    return bool(ended)


def _copy(pause: Pause) -> None:
    """Keep the city's vehicles as they are now; nobody changes any until that is committed.

    Otherwise the line might send a change that was committed in between, and a later full take it back.
    """
    rows = Vehicle.objects.filter(is_offered(), country=pause.country, city=pause.city, listed=True).order_by()
    select, parameters = rows.values_list(*_COPIED, Value(pause.pk, IntegerField())).query.sql_with_params()
    lock_vehicles()
    with connection.cursor() as cursor:
        # Copies from a city where they were before, and of which CityTrips was not told meanwhile, are out of date.
        PausedVehicle.objects.filter(vehicle__in=rows.values("pk")).delete()
        cursor.execute(
            "INSERT INTO citytrips_pausedvehicle"
            f" (vehicle_id, version, battery, plate, latitude, longitude, pause_id) {select}",
            parameters,
        )


# --- What is paused ----------------------------------------------------------------------------------------------


def pauses_open() -> QuerySet[Pause]:
    """Those under way, the one of everything first."""
    return Pause.objects.filter(resumed_at=None).order_by("city", "country")


def pauses_of_cities() -> list[int]:
    """The keys of the pauses of a city, not of everything, that are under way."""
    return list(Pause.objects.filter(resumed_at=None, city__gt="").values_list("pk", flat=True))


def _open_copies() -> QuerySet[PausedVehicle]:
    return PausedVehicle.objects.filter(pause__resumed_at=None)


def in_paused_city() -> Q:
    """Whether a vehicle is in a city that is paused, from its own row."""
    cities = Pause.objects.filter(resumed_at=None, city__gt="")
    # The first is asked once for a whole statement, and spares the second for each row where no city is paused.
    return Q(Exists(cities)) & Q(Exists(cities.filter(country=OuterRef("country"), city=OuterRef("city"))))


def is_kept() -> Q:
    """Whether CityTrips is to go on holding a vehicle of a paused city as it was."""
    here = _open_copies().filter(
        vehicle_id=OuterRef("pk"), pause__country=OuterRef("country"), pause__city=OuterRef("city")
    )
    return in_paused_city() & Q(Exists(here))


def waits() -> Q:
    """Whether a change of a vehicle is held back by the pause of its city: it is kept as it was, or it is arriving."""
    return in_paused_city() & (is_kept() | (Q(listed=False) & is_offered()))


def copies(vehicles: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """What CityTrips is to go on holding of these vehicles: version, battery, plate, country, city, latitude, longitude.

    The last one says whether CityTrips objected to the vehicle as it is here.
    """
    found: dict[str, tuple[Any, ...]] = {}
    objected = Case(When(vehicle__objected_version=F("version"), then=True), default=False)
    place = ("pause__country", "pause__city")
    for start in range(0, len(vehicles), 500):  # SQLite takes no long lists
        rows = _open_copies().filter(vehicle_id__in=vehicles[start : start + 500])
        for vehicle, *values in rows.values_list(
            "vehicle_id", "version", "battery", "plate", *place, "latitude", "longitude", objected
        ):
            found[vehicle] = tuple(values)
    return found


def forget_copies(told: Collection[str], *, of: Collection[int]) -> None:
    """Of these vehicles CityTrips is told something else than what it was to go on holding since these pauses.

    Of a pause that began after the vehicles were read nothing is forgotten: what is told is then what it is to go on with.
    Nor is the copy of one that has come back to its city since: what is told of it may never leave.
    """
    if not told or not of:
        return
    wanted = sorted(told)
    for start in range(0, len(wanted), 500):
        found = PausedVehicle.objects.filter(vehicle_id__in=wanted[start : start + 500], pause_id__in=of)
        found.exclude(vehicle__city=F("pause__city"), vehicle__country=F("pause__country")).delete()


def places() -> list[Place]:
    """The cities where vehicles are, with how many."""
    rows = (
        Vehicle.objects.exclude(state=State.REMOVED)
        .exclude(country="")
        .exclude(city="")
        .order_by("country", "city")
        .values_list("country", "city")
        .annotate(vehicles=Count("pk"))
    )
    return [Place(*row) for row in rows]
