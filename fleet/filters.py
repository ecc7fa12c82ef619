"""The filters of the fleet, by the parameters of an address: one meaning for the list, the map and the export.

An address names each filter by a parameter. One that is given twice means either value (of two searches the last);
different ones narrow each other down. What is no filter's parameter is ignored, and a value that a filter does not know matches no vehicle, so
that a mistyped address never shows, exports or changes more than was meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection
from django.db.models import Count, F, Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from fleet.models import (
    Vehicle,
    VehicleQuerySet,
    is_offered,
    minimum_battery,
    search_id,
    search_plate,
    search_vin,
)
from fleet.selectors import reason_condition, reason_labels
from fleet.vocabulary import CityTripsStatus, Kind, State

SEARCH = "q"
# The value that stands for "none": an empty one is what a form sends of a filter that is not set.
NONE = "-"
MOST_TERMS = 100
LONGEST = 200

_UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")
_NOTHING = Q(pk__in=[])
_LAST = "\U0010ffff"
_BANDS = ((0, 19), (20, 49), (50, 79), (80, 100))
_SILENCES = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}

Params = QueryDict | Mapping[str, list[str]]
Choices = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Filter:
    """One filter: its parameter, its name for people, the values it offers, and what a value means.

    `meaning` answers None for a value that it does not know.
    """

    name: str
    title: str | Promise
    choices: Callable[[], Choices]
    meaning: Callable[[str], Q | None]
    # Where the choices are asked of the database: what a value says without asking.
    words: Callable[[str], str] | None = None

    def condition(self, values: Sequence[str]) -> Q:
        """The vehicles that any of the values holds for; none for a value that is not known."""
        condition = Q()
        for value in values:
            known = None if _unstorable(value) else self.meaning(value)
            condition |= _NOTHING if known is None else known
        return condition

    def label(self, value: str) -> str:
        """A value in words; as it is where the filter does not know it."""
        return self.words(value) if self.words else dict(self.choices()).get(value, value)


def vehicles_filtered(params: Params) -> VehicleQuerySet:
    """The vehicles that the list shows for the parameters of an address, in the order of their ids.

    A search asks the database once, for the way in which its words are to be looked for.
    """
    vehicles = Vehicle.objects.order_by("pk")
    for one in FILTERS:
        values = values_of(params, one.name)
        if values:
            vehicles = vehicles.filter(one.condition(values))
    for text in values_of(params, SEARCH)[-1:]:
        vehicles = vehicles_found(vehicles, text)
    return vehicles


def values_of(params: Params, name: str) -> list[str]:
    """What an address says for one parameter, without empty values and repetitions."""
    values = params.getlist(name) if isinstance(params, QueryDict) else params.get(name, [])
    return list(dict.fromkeys(value for value in values if value))


def filter_named(name: str) -> Filter | None:
    """The filter with this parameter, if there is one."""
    return next((one for one in FILTERS if one.name == name), None)


# --- Search ------------------------------------------------------------------------------------------------------


def vehicles_found(vehicles: VehicleQuerySet, text: str) -> VehicleQuerySet:
    """Those whose plate, id or VIN begins so; where none does, those that hold it anywhere.

    Capitals, and spaces and hyphens in plates, do not matter. Several, parted by commas, semicolons or lines, find
    each of them. Beginnings are found by an index, so that this is fast however large the fleet.
    """
    if not text.strip():
        return vehicles
    terms = [term for term in (part.strip() for part in re.split(r"[,;\r\n]", text)) if term][:MOST_TERMS]
    if not terms or _unstorable(text):
        return vehicles.none()
    begins = Q()
    for term in terms:
        begins |= _begins(term)
    found = searchable(vehicles).filter(begins)
    if found.exists():
        return found
    holds = Q()
    for term in terms:
        holds |= _holds(term)
    return searchable(vehicles).filter(holds)


def searchable(vehicles: VehicleQuerySet) -> VehicleQuerySet:
    """With the names that a search looks at, in the very words of their indexes."""
    return vehicles.alias(search_id=search_id(), search_plate=search_plate(), search_vin=search_vin())


def _names(term: str) -> dict[str, str]:
    """What the term reads in each of the names."""
    capitals = term.upper()
    bare = capitals.replace(" ", "").replace("-", "")
    names = {"search_id": capitals, "search_vin": capitals}
    return names | {"search_plate": bare} if bare else names


def _begins(term: str) -> Q:
    """As a range, which both databases answer by the index: LIKE is a matter of collations and escapes."""
    condition = Q()
    for name, text in _names(term).items():
        condition |= Q((f"{name}__gte", text), (f"{name}__lt", text + _LAST))
    return condition


def _holds(term: str) -> Q:
    """Every word of it, anywhere."""
    condition = Q()
    for word in term.split()[:MOST_TERMS]:
        anywhere = Q()
        for name, text in _names(word).items():
            anywhere |= Q((f"{name}__contains", text))
        condition &= anywhere
    return condition


def _unstorable(text: str) -> bool:
    """Whether no vehicle can hold this, so that no database need be asked (and PostgreSQL would refuse to be)."""
    return len(text) > LONGEST * MOST_TERMS or _UNSTORABLE.search(text) is not None


# --- What each value means ---------------------------------------------------------------------------------------


def _states() -> Choices:
    return [("in_fleet", gettext("All but removed")), *((one.value, str(one.label)) for one in State)]


def _state(value: str) -> Q | None:
    if value == "in_fleet":
        return ~Q(state=State.REMOVED)
    return Q(state=value) if value in State.values else None


def _availabilities() -> Choices:
    return [
        ("offered", pgettext("vehicles", "Offered")),
        ("withheld", pgettext("vehicles", "Withheld")),
        *reason_labels().items(),
    ]


def _availability(value: str) -> Q | None:
    if value == "offered":
        return is_offered()
    if value == "withheld":
        return _withheld()
    return Q(state=State.AVAILABLE) & reason_condition(value) if value in reason_labels() else None


def _withheld() -> Q:
    """Said by the reasons, of which at least one holds exactly when a vehicle is withheld: "not offered" would be
    unknown, not true, where the battery is."""
    reasons = Q()
    for code in reason_labels():
        reasons |= reason_condition(code)
    return Q(state=State.AVAILABLE) & reasons


def _statuses() -> Choices:
    statuses = [(status.value, str(status.label)) for status in CityTripsStatus]
    return [*statuses, ("leaving", gettext("No longer offered, still shown there"))]


def _status(value: str) -> Q | None:
    """As `VehicleQuerySet.with_citytrips_status` tells them apart, and those that are on their way out."""
    settled = Q(settled_version__gte=F("version"))
    objected = Q(objected_version=F("version"), objected_version__isnull=False)
    match value:
        case CityTripsStatus.NOT_OFFERED:
            return ~Q(state=State.AVAILABLE)
        case CityTripsStatus.WITHHELD:
            return _withheld()
        case CityTripsStatus.SETTLED:
            return is_offered() & settled
        case CityTripsStatus.OBJECTED:
            return is_offered() & ~settled & objected
        case CityTripsStatus.PENDING:
            return is_offered() & ~settled & ~objected
        case "leaving":
            return Q(pk__in=Vehicle.objects.leaving().values("pk"))
    return None


def _charges() -> Choices:
    return [
        ("low", gettext("Below the minimum")),
        ("enough", gettext("Enough")),
        *((f"{low}-{high}", gettext("%(low)s–%(high)s %%") % {"low": low, "high": high}) for low, high in _BANDS),
        ("unknown", gettext("Not known")),
    ]


def _charge(value: str) -> Q | None:
    bands = {f"{low}-{high}": Q(battery__gte=low, battery__lte=high) for low, high in _BANDS}
    match value:
        case "low":
            return Q(battery__lt=minimum_battery())
        case "enough":
            return Q(battery__gte=minimum_battery())
        case "unknown":
            return Q(battery__isnull=True)
    return bands.get(value)


def _silences() -> Choices:
    return [
        ("yes", gettext("For longer than the rules allow")),
        ("no", gettext("Heard of lately")),
        ("hour", gettext("For over an hour")),
        ("day", gettext("For over a day")),
        ("week", gettext("For over a week")),
        ("never", gettext("Never heard of")),
    ]


def _silence(value: str) -> Q | None:
    if value in _SILENCES:
        return Q(last_signal_at__lt=timezone.now() - _SILENCES[value])
    return {"yes": Q(silent=True), "no": Q(silent=False), "never": Q(last_signal_at__isnull=True)}.get(value)


def _cities() -> Choices:
    return [(value or NONE, _city_words(value or NONE)) for value in _values("city")]


def _city_words(value: str) -> str:
    return gettext("No city") if value == NONE else value


def _countries() -> Choices:
    return [(value or NONE, _country_words(value or NONE)) for value in _values("country")]


def _country_words(value: str) -> str:
    return gettext("No country") if value == NONE else value


# Each found from the last by a step in the index of city and country: DISTINCT reads the entry of every vehicle.
_CITIES = """WITH RECURSIVE place(city) AS (
  SELECT MIN(city) FROM fleet_vehicle
  UNION ALL SELECT (SELECT MIN(city) FROM fleet_vehicle WHERE city > place.city) FROM place WHERE place.city IS NOT NULL
)"""
_NAMES = {
    "city": f"{_CITIES} SELECT city FROM place WHERE city IS NOT NULL",  # noqa: S608 (made of constants)
    "country": f"""{_CITIES}, land(city, country) AS (
  SELECT city, (SELECT MIN(country) FROM fleet_vehicle WHERE city = place.city) FROM place WHERE city IS NOT NULL
  UNION ALL SELECT city, (SELECT MIN(country) FROM fleet_vehicle WHERE city = land.city AND country > land.country)
  FROM land WHERE land.country IS NOT NULL
) SELECT DISTINCT country FROM land WHERE country IS NOT NULL""",  # noqa: S608 (made of constants)
}


def _values(name: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_NAMES[name])
        return sorted((value for (value,) in cursor.fetchall()), key=str.casefold)


def _city(value: str) -> Q | None:
    return Q(city="" if value == NONE else value)


def _country(value: str) -> Q | None:
    return Q(country="" if value == NONE else value)


def _kinds() -> Choices:
    return [(kind.value, str(kind.label)) for kind in Kind]


def _kind(value: str) -> Q | None:
    return Q(kind=value) if value in Kind.values else None


def _plates() -> Choices:
    return [("duplicate", gettext("Held by several vehicles")), (NONE, gettext("No plate"))]


def _plate(value: str) -> Q | None:
    return {"duplicate": Q(plate__in=duplicate_plates()) & ~Q(state=State.REMOVED), NONE: Q(plate="")}.get(value)


def _positions() -> Choices:
    return [("known", gettext("Known")), (NONE, gettext("Not known"))]


def _position(value: str) -> Q | None:
    return {"known": Q(latitude__isnull=False), NONE: Q(latitude__isnull=True)}.get(value)


def duplicate_plates() -> VehicleQuerySet:
    """The plates that more than one vehicle of the fleet carries, as a subquery of one column."""
    several = Vehicle.objects.exclude(plate="").exclude(state=State.REMOVED).order_by().values("plate")
    return several.annotate(number=Count("pk")).filter(Q(number__gt=1)).values("plate")  # type: ignore[return-value]


FILTERS = (
    Filter("state", _("state"), _states, _state),
    Filter("availability", _("availability"), _availabilities, _availability),
    Filter("citytrips", _("CityTrips"), _statuses, _status),
    Filter("charge", _("battery"), _charges, _charge),
    Filter("silent", _("silence"), _silences, _silence),
    Filter("city", _("city"), _cities, _city, _city_words),
    Filter("country", _("country"), _countries, _country, _country_words),
    Filter("kind", _("kind"), _kinds, _kind),
    Filter("plate", _("plate"), _plates, _plate),
    Filter("position", _("position"), _positions, _position),
)
