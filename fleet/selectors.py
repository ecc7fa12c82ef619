"""What is asked of the fleet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Q
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext

from fleet.countries import SERVED
from fleet.models import FleetRules, Vehicle, VehicleQuerySet, is_offered, minimum_battery, offerable
from fleet.vocabulary import CityTripsStatus, State
from fleet.wording import duration_words, moment_words


@dataclass(frozen=True)
class Reason:
    """Why a vehicle is not offered: a stable code, words for people in the language in use, and what to add to them.

    `detail` is the exact time of what the words tell by the clock ("for 40 min"), else empty.
    """

    code: str
    message: str
    detail: str = ""

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


@dataclass(frozen=True)
class RulesEffect:
    """How many vehicles other rules would keep back, and how many they would offer; falsy where neither."""

    withheld: int
    offered: int

    def __bool__(self) -> bool:
        return bool(self.withheld or self.offered)

    @property
    def words(self) -> str:
        withheld = ngettext("%(count)s vehicle is withheld", "%(count)s vehicles are withheld", self.withheld)
        offered = ngettext("%(count)s more is offered", "%(count)s more are offered", self.offered)
        parts = ((withheld, self.withheld), (offered, self.offered))
        return ", ".join(words % {"count": number_format(count, use_l10n=True)} for words, count in parts if count)


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
        reasons.append(_silence(vehicle))
    return reasons


def _silence(vehicle: Vehicle) -> Reason:
    heard = vehicle.last_signal_at
    if heard is None:
        return Reason("silent", gettext("it has never sent a signal"))
    words = gettext("no signal for %(duration)s") % {"duration": duration_words(timezone.now() - heard)}
    return Reason("silent", words, gettext("Last signal: %(time)s") % {"time": moment_words(heard)})


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


def rules_effect(*, minimum_battery: int, silence_limit: int | None) -> RulesEffect:
    """What the rules (per cent, minutes) would change if they were set now; in two counts."""
    if silence_limit is None:
        quiet = Q(pk__in=[])
    else:
        since = timezone.now() - timedelta(minutes=silence_limit)
        quiet = Q(last_signal_at__isnull=True) | Q(last_signal_at__lt=since)
    would = Vehicle.objects.filter(offerable(), battery__gte=minimum_battery).exclude(quiet)
    return RulesEffect(
        withheld=Vehicle.objects.offered().filter(Q(battery__lt=minimum_battery) | quiet).count(),
        offered=would.filter(Q(battery__lt=fleet_rules().minimum_battery) | Q(silent=True)).count(),
    )


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
        offered=Count("pk", filter=is_offered()),
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


def plates_shared(plates: Collection[str]) -> set[str]:
    """Which of these plates more than one vehicle of the fleet carries; in one query, or none."""
    if not plates:
        return set()
    carriers = Vehicle.objects.filter(plate__in=plates).exclude(state=State.REMOVED).order_by()
    return set(carriers.values_list("plate", flat=True).annotate(number=Count("pk")).filter(Q(number__gt=1)))


def vehicles_with_plate(plate: str, *, but: str = "") -> list[Vehicle]:
    """The first few vehicles of the fleet that carry a plate, without one of them."""
    if not plate:
        return []
    carriers = Vehicle.objects.filter(plate=plate).exclude(state=State.REMOVED).exclude(pk=but)
    return list(carriers.only("id", "plate")[:5])
