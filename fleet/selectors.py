"""What is asked of the fleet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext

from fleet.countries import SERVED
from fleet.models import FleetRules, Vehicle, VehicleQuerySet, minimum_battery
from fleet.vocabulary import CityTripsStatus, State


@dataclass(frozen=True)
class Reason:
    """Why a vehicle is not offered: a stable code, and words for people in the language in use."""

    code: str
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Tally:
    """A number with the code it is about and its words."""

    code: str
    label: str
    count: int


@dataclass(frozen=True)
class FleetCounts:
    """The fleet in numbers, without the vehicles that were removed.

    A vehicle kept back for two reasons counts under both, so `withheld_by_reason` may add up to more than `withheld`.
    """

    total: int
    offered: int
    withheld: int
    withheld_by_reason: Sequence[Tally]
    by_state: Sequence[Tally]


def fleet_rules() -> FleetRules:
    """The operator's rules; the defaults while none were saved."""
    return FleetRules.objects.filter(id=1).first() or FleetRules()


def offer_reasons(vehicle: Vehicle, rules: FleetRules | None = None) -> list[Reason]:
    """Every reason why a vehicle is not offered to CityTrips; empty exactly when it is.

    For lists give `rules`, which are read from the database otherwise.
    """
    reasons = []
    if vehicle.state != State.AVAILABLE:
        words = gettext("it is not available but: %(state)s") % {"state": vehicle.get_state_display()}
        reasons.append(Reason("state", words))
    return reasons + withheld_reasons(vehicle, rules)


def withheld_reasons(vehicle: Vehicle, rules: FleetRules | None = None) -> list[Reason]:
    """What keeps an available vehicle back, in words; the state itself is left out."""
    minimum = (rules or fleet_rules()).minimum_battery
    reasons = []
    if vehicle.battery is None:
        reasons.append(Reason("battery_unknown", gettext("its battery is not known")))
    elif vehicle.battery < minimum:
        words = {"battery": vehicle.battery, "minimum": minimum}
        reasons.append(Reason("battery_low", gettext("battery %(battery)s %% is below %(minimum)s %%") % words))
    if vehicle.latitude is None or vehicle.longitude is None:
        reasons.append(Reason("position_unknown", gettext("its position is not known")))
    if not vehicle.plate:
        reasons.append(Reason("plate_unknown", gettext("it has no plate")))
    if not vehicle.country:
        reasons.append(Reason("country_unknown", gettext("its country is not known")))
    elif vehicle.country not in SERVED:
        words_ = gettext("CityTrips does not serve %(country)s") % {"country": vehicle.country}
        reasons.append(Reason("country_not_served", words_))
    if vehicle.silent:
        reasons.append(Reason("silent", _silence(vehicle)))
    return reasons


def _silence(vehicle: Vehicle) -> str:
    if vehicle.last_signal_at is None:
        return gettext("it has never sent a signal")
    since = date_format(localtime(vehicle.last_signal_at), "SHORT_DATETIME_FORMAT")
    return gettext("no signal since %(time)s") % {"time": since}


def reason_labels() -> dict[str, str]:
    """The codes of `withheld_reasons`, with words that hold for any number of vehicles."""
    return {
        "battery_low": gettext("Battery too low"),
        "battery_unknown": gettext("Battery not known"),
        "position_unknown": gettext("Position not known"),
        "plate_unknown": gettext("No plate"),
        "country_unknown": gettext("Country not known"),
        "country_not_served": gettext("Country not served by CityTrips"),
        "silent": gettext("Silent for too long"),
    }


def reason_condition(code: str) -> Q:
    """The vehicles that the reason with this code of `withheld_reasons` holds for."""
    return {
        "battery_low": Q(battery__lt=minimum_battery()),
        "battery_unknown": Q(battery__isnull=True),
        "position_unknown": Q(latitude__isnull=True),
        "plate_unknown": Q(plate=""),
        "country_unknown": Q(country=""),
        "country_not_served": ~Q(country="") & ~Q(country__in=SERVED),
        "silent": Q(silent=True),
    }[code]


def vehicles_with_status(status: str) -> VehicleQuerySet:
    """The vehicles that stand so with CityTrips (`CityTripsStatus`)."""
    return Vehicle.objects.with_citytrips_status().filter(Q(("citytrips_status", status)))


def fleet_counts() -> FleetCounts:
    """The fleet in numbers, in two queries."""
    labels = reason_labels()
    available = Q(state=State.AVAILABLE)
    counts: dict[str, int] = Vehicle.objects.exclude(state=State.REMOVED).aggregate(
        total=Count("pk"),
        available=Count("pk", filter=available),
        offered=Count("pk", filter=Q(pk__in=Vehicle.objects.offered().values("pk"))),
        **{f"reason_{code}": Count("pk", filter=available & reason_condition(code)) for code in labels},
    )
    states = dict(
        Vehicle.objects.exclude(state=State.REMOVED).order_by().values_list("state").annotate(number=Count("pk"))
    )
    return FleetCounts(
        total=counts["total"],
        offered=counts["offered"],
        withheld=counts["available"] - counts["offered"],
        withheld_by_reason=[
            Tally(code, label, counts[f"reason_{code}"]) for code, label in labels.items() if counts[f"reason_{code}"]
        ],
        by_state=[Tally(state.value, str(state.label), states[state]) for state in State if states.get(state)],
    )


def low_batteries(limit: int) -> list[Vehicle]:
    """The vehicles in use whose battery is below the rules' minimum, the emptiest first."""
    gone = (State.REMOVED, State.MISSING, State.ELSEWHERE)
    return list(
        Vehicle.objects.with_citytrips_status()
        .filter(battery__lt=minimum_battery())
        .exclude(state__in=gone)
        .order_by("battery", "id")[:limit]
    )


def objected_count() -> int:
    """How many offered vehicles CityTrips has objected to as they are now."""
    return vehicles_with_status(CityTripsStatus.OBJECTED).count()
