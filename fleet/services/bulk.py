"""What is done to many vehicles at once: each change written down, each left out named.

A slice of them has a transaction of its own, so that devices get their turn while staff change a whole fleet; what was
done of an interrupted action shares a batch like all of it, and can be undone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID, uuid4

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext

from fleet.countries import country_named, position_problem
from fleet.history import SLICE, Author, Entry, as_json, changes_record
from fleet.models import Vehicle
from fleet.services.vehicles import announce
from fleet.vocabulary import Origin, State, has_controls


@dataclass(frozen=True)
class Skipped:
    """A vehicle that was left out: its name for people, a stable code, and the reason in words."""

    id: str
    name: str
    code: str
    reason: str


@dataclass
class BulkOutcome:
    """What became of many vehicles. `batch` names the changes together, and is None where nothing changed."""

    changed: int = 0
    batch: UUID | None = None
    skipped: list[Skipped] = field(default_factory=list)


Values: TypeAlias = Mapping[str, str]
# The values that a vehicle is to have, or why it is left out (a code, and words).
Decision: TypeAlias = Values | tuple[str, str]


def vehicles_set_state(*, ids: Collection[str], state: str, by: Author = None, origin: str = Origin.API) -> BulkOutcome:
    """Report the same state for many vehicles. Removed ones are left out: each comes back by itself, on purpose."""
    if state not in State.values:
        raise ValidationError({"state": gettext("This is not a state of MDS 2.0.")})

    def decide(vehicle: Vehicle) -> Decision:
        if vehicle.state == state:
            return "same", gettext("already so")
        if vehicle.state == State.REMOVED:
            return "removed", gettext("removed")
        return {"state": state}

    return _change(ids, decide, by, origin)


def vehicles_retire(*, ids: Collection[str], by: Author = None, origin: str = Origin.API) -> BulkOutcome:
    """Take many vehicles out of the fleet; their records and their history stay."""
    return vehicles_set_state(ids=ids, state=State.REMOVED, by=by, origin=origin)


def vehicles_move(
    *, ids: Collection[str], city: str, country: str = "", by: Author = None, origin: str = Origin.API
) -> BulkOutcome:
    """Say of many vehicles that they belong to a city, and where `country` is given, to that country.

    A vehicle whose known position does not lie in that country is left out: the place or the position is wrong, and
    which one is not ours to guess. Raises Django's ValidationError for a city or a country that cannot be.
    """
    city = city.strip()
    known = country_named(country) or country.strip()
    for name, text, limit in (("city", city, 80), ("country", known, 60)):
        if len(text) > limit or has_controls(text):
            raise ValidationError({name: gettext("This is no name of a place.")})
    if not city:
        raise ValidationError({"city": gettext("Say which city.")})

    def decide(vehicle: Vehicle) -> Decision:
        place = {"city": city, "country": known or vehicle.country}
        if vehicle.state == State.REMOVED:
            return "removed", gettext("removed")
        if (vehicle.city, vehicle.country) == (place["city"], place["country"]):
            return "same", gettext("already so")
        if position_problem(place["country"], vehicle.latitude, vehicle.longitude):
            return "position", gettext("its position is not in %(country)s") % {"country": place["country"]}
        return place

    return _change(ids, decide, by, origin)


def vehicles_resend(*, ids: Collection[str]) -> BulkOutcome:
    """Make vehicles pending as though they had changed, so that CityTrips is told of them again.

    Of a vehicle that is not offered CityTrips is told only where it may still hold it.
    """
    outcome = BulkOutcome()
    with transaction.atomic():
        offered = Vehicle.objects.offered()
        for part in _slices(ids):
            told = set(offered.filter(pk__in=part).values_list("pk", flat=True))
            resent = []
            for vehicle in _locked(part):
                if vehicle.is_demo and not settings.SANDBOX:
                    outcome.skipped.append(_skipped(vehicle, "demo", gettext("demo, never sent")))
                elif vehicle.pk in told or vehicle.listed:
                    resent.append(vehicle.pk)
                elif vehicle.state == State.REMOVED:
                    outcome.skipped.append(_skipped(vehicle, "removed", gettext("removed")))
                elif vehicle.state != State.AVAILABLE:
                    outcome.skipped.append(_skipped(vehicle, "not_offered", gettext("not offered, so not sent")))
                else:
                    outcome.skipped.append(_skipped(vehicle, "withheld", gettext("withheld, so not sent")))
            outcome.changed += Vehicle.objects.filter(pk__in=resent).update(touched=F("touched") + 1)
        if outcome.changed:
            announce()
    return outcome


def _change(ids: Collection[str], decide: Callable[[Vehicle], Decision], by: Author, origin: str) -> BulkOutcome:
    outcome = BulkOutcome(batch=uuid4())
    now = timezone.now()
    for part in _slices(ids):
        with transaction.atomic():
            groups: defaultdict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
            entries = []
            for vehicle in _locked(part):
                decision = decide(vehicle)
                if isinstance(decision, tuple):
                    outcome.skipped.append(_skipped(vehicle, *decision))
                    continue
                new = {name: value for name, value in decision.items() if getattr(vehicle, name) != value}
                groups[tuple(sorted(new.items()))].append(vehicle.pk)
                values = {name: (as_json(getattr(vehicle, name)), as_json(value)) for name, value in new.items()}
                entries.append(Entry(vehicle.pk, values))
            for settings_, members in groups.items():
                Vehicle.objects.filter(pk__in=members).update(**dict(settings_), updated_at=now)
            outcome.changed += changes_record(entries=entries, by=by, origin=origin, batch=outcome.batch, at=now)
            if entries:
                announce()
    if not outcome.changed:
        outcome.batch = None
    return outcome


def _slices(ids: Collection[str]) -> Iterator[Sequence[str]]:
    """In one order, so that two such actions never wait for each other."""
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), SLICE):
        yield wanted[start : start + SLICE]


def _locked(ids: Sequence[str]) -> list[Vehicle]:
    fields = ("id", "plate", "state", "city", "country", "latitude", "longitude", "is_demo", "listed")
    return list(Vehicle.objects.select_for_update().only(*fields).filter(pk__in=ids).order_by("pk"))


def _skipped(vehicle: Vehicle, code: str, reason: str) -> Skipped:
    return Skipped(vehicle.pk, vehicle.plate or vehicle.pk, code, reason)
