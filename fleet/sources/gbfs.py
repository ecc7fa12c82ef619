"""Vehicles from a GBFS feed: `free_bike_status` of 2.x and `vehicle_status` of 3.x.

A feed is read as a stream. What stands beside it (`gbfs.json`, `vehicle_types`, `system_information`) says which kind a
vehicle is, how far it can go and in which time zone, and from that in which country, the system lies. Names of fields
are those of the specification; a path such as `data.bikes[3].lat` tells where a problem is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, Final, TypeGuard
from urllib.parse import urljoin

from babel.core import get_global
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext

from fleet.countries import country_named, position_problem
from fleet.errors import UnreadableSource
from fleet.models import moment_problem
from fleet.sources.cells import LENGTHS, Refused, check_id
from fleet.sources.json_stream import JsonStream
from fleet.sources.records import Found, RejectedRow, Row, RowProblem, VehicleRecord, bit
from fleet.vocabulary import Kind, State

# By version 2 and 3: the list under `data`, and what a vehicle's id is called in it.
LISTS: Final = {"bikes": "bike_id", "vehicles": "vehicle_id"}
FEEDS: Final = ("vehicle_status", "free_bike_status")
# Above what the type allows by more than this, a range is in another unit or of another type.
_MOST_OVER_RANGE: Final = 1.25
_LATE: Final = timedelta(minutes=10)
# "form_factor" of vehicle_types; "scooter" is 2.1's word for what 2.3 tells apart, and was the one stood upon.
_KINDS: Final = {
    "bicycle": Kind.BICYCLE,
    "cargo_bicycle": Kind.CARGO_BICYCLE,
    "car": Kind.CAR,
    "moped": Kind.MOPED,
    "scooter": Kind.SCOOTER_STANDING,
    "scooter_standing": Kind.SCOOTER_STANDING,
    "scooter_seated": Kind.SCOOTER_SEATED,
    "other": Kind.OTHER,
}


@dataclass(frozen=True, slots=True)
class VehicleType:
    """A row of vehicle_types: kind (empty where it says none of ours), model, and range in metres."""

    kind: str = ""
    model: str = ""
    max_range: float | None = None
    has_battery: bool = True


@dataclass(slots=True)
class System:
    """What the other files of a feed tell; `types` by vehicle_type_id, None where there is no such file."""

    types: dict[str, VehicleType] | None = None
    name: str = ""
    zone: str = ""
    country: str = ""
    warnings: list[str] = field(default_factory=list)


# Opens the file at an address.
Open = Callable[[str], BinaryIO]


def discovered(document: Mapping[str, Any], base: str) -> dict[str, str]:
    """The addresses of the feeds that a `gbfs.json` names, by name; empty for another document.

    2.x keeps a list for each language, of which English or else the first is taken; 3.x has one list.
    """
    data = document.get("data")
    if not isinstance(data, dict):
        return {}
    feeds = data.get("feeds")
    if not isinstance(feeds, list):
        languages = {name: value for name, value in data.items() if isinstance(value, dict) and "feeds" in value}
        chosen = languages.get("en") or next(iter(languages.values()), {})
        feeds = chosen.get("feeds")
    if not isinstance(feeds, list):
        return {}
    return {
        feed["name"]: urljoin(base, feed["url"])
        for feed in feeds
        if isinstance(feed, dict) and isinstance(feed.get("name"), str) and isinstance(feed.get("url"), str)
    }


def beginning(file: BinaryIO) -> dict[str, Any]:
    """A document without its vehicles, to tell what it is."""
    file.seek(0)
    document: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for path, number, value in _stream(file).events():
        if number is None and len(path) == 1:
            document[path[0]] = value
        elif number is None and len(path) == 2:
            data[path[1]] = value
        elif number == 0:
            break  # there are vehicles, and there may be many
    return {**document, "data": data} if data else document


def follow(file: BinaryIO, base: str, open_feed: Open) -> tuple[BinaryIO, System]:
    """The feed of vehicles that a file is or leads to, with what its companions tell.

    `base` is the address that it came from, or empty; `open_feed` raises UnreadableSource.
    """
    document = beginning(file)
    data = document.get("data")
    if isinstance(data, dict) and any(name in data for name in LISTS):
        return file, System()
    feeds = discovered(document, base)
    if not feeds:
        raise UnreadableSource(
            gettext(
                "This JSON is no GBFS feed of vehicles: there is neither data.bikes (2.x) nor data.vehicles (3.x), nor "
                "a list of feeds (gbfs.json)."
            )
        )
    name = next((name for name in FEEDS if name in feeds), None)
    if name is None:
        raise UnreadableSource(
            gettext("The system has no feed of single vehicles; it has: %(feeds)s.")
            % {"feeds": ", ".join(sorted(feeds))[:300]}
        )
    system = System()
    if "vehicle_types" in feeds:
        system.types = _types(_companion(feeds["vehicle_types"], open_feed, system))
    if "system_information" in feeds:
        _inform(system, _companion(feeds["system_information"], open_feed, system))
    return open_feed(feeds[name]), system


def _companion(url: str, open_feed: Open, system: System) -> dict[str, Any]:
    """The data of a small file beside the vehicles; a missing one is told and makes no difference otherwise."""
    try:
        with open_feed(url) as file:
            document = json.loads(file.read())
        data = document["data"]
        if isinstance(data, dict):
            return data
        reason = gettext("it holds no data")
    except (ValueError, KeyError, TypeError, RecursionError):
        reason = gettext("it is no GBFS")
    except UnreadableSource as error:
        reason = str(error)
    system.warnings.append(
        gettext("%(name)s could not be read and was left out: %(reason)s")
        % {"name": url.partition("?")[0].rpartition("/")[2] or "feed", "reason": reason}
    )
    return {}


def _types(data: Mapping[str, Any]) -> dict[str, VehicleType] | None:
    listed = data.get("vehicle_types")
    if not isinstance(listed, list):
        return None
    return {
        one["vehicle_type_id"]: _type(one)
        for one in listed
        if isinstance(one, dict) and isinstance(one.get("vehicle_type_id"), str)
    }


def _type(one: Mapping[str, Any]) -> VehicleType:
    kind = _KINDS.get(one["form_factor"]) if isinstance(one.get("form_factor"), str) else None
    reach = one.get("max_range_meters")
    make, model = _words(one.get("make")), _words(one.get("model"))
    return VehicleType(
        kind=kind.value if kind else "",
        model=(" ".join(filter(None, (make, model))) or _words(one.get("name")))[: LENGTHS["model"]],
        max_range=float(reach) if _is_number(reach) and reach > 0 else None,
        has_battery=one.get("propulsion_type") != "human",
    )


def _words(value: Any) -> str:
    """A text, or the English or first of a 3.x "Localized String"; empty for what no page could show."""
    if isinstance(value, list):
        texts = {str(one.get("language")): one.get("text") for one in reversed(value) if isinstance(one, dict)}
        value = texts.get("en") or next(reversed(texts.values()), "")
    return " ".join(value.split()) if isinstance(value, str) and value.isprintable() else ""


def _inform(system: System, data: Mapping[str, Any]) -> None:
    """ "timezone" is required of system_information, and a zone belongs to one country."""
    system.name = _words(data.get("name"))
    zone = data.get("timezone")
    if isinstance(zone, str):
        code = get_global("zone_territories").get(zone, "")
        system.zone = zone[:60] if code else ""
        system.country = country_named(code) or "" if code else ""


def _stream(file: BinaryIO) -> JsonStream:
    file.seek(0)
    return JsonStream(file, objects={("data",)}, lists={("data", name) for name in LISTS})


class GbfsReading:
    """A feed of vehicles that is open: a seekable file at its beginning, and what its companions tell.

    `country` and `city` are for all its vehicles; without a country that of the system's time zone is taken, and told.
    """

    def __init__(self, file: BinaryIO, system: System | None = None, *, country: str = "", city: str = "") -> None:
        self._file = file
        self._size = file.seek(0, 2)
        self._system = system or System()
        self._country = country or self._system.country
        self._city = city
        self._now = timezone.now()
        self._untyped = 0
        self.found = Found(format="gbfs", country=self._country, warnings=list(self._system.warnings))
        if self._system.name:
            self._fact(gettext("System"), self._system.name)
        if self._country and not country:
            self._fact(
                gettext("Country"),
                gettext("%(country)s, after the system's time zone %(zone)s")
                % {"country": self._country, "zone": self._system.zone},
            )

    @property
    def size(self) -> int:
        return self._size

    @property
    def position(self) -> int:
        return self._file.tell()

    def rows(self) -> Iterator[Row]:
        """Every vehicle; a bad one with each of its reasons."""
        described: dict[str, Any] = {}
        seen = False
        for path, number, value in _stream(self._file).events():
            if number is not None:
                yield self._read(path[1], number, value)
            elif len(path) == 1:
                described[path[0]] = value
            elif path[1] in LISTS:
                if value is not None:  # what is no list comes as a value like any other
                    raise UnreadableSource(gettext("%(path)s is no list.") % {"path": ".".join(path)})
                seen = True
        if not seen:
            raise UnreadableSource(gettext("There is neither data.bikes (2.x) nor data.vehicles (3.x) in this feed."))
        self._describe(described)

    # --- The feed as a whole -------------------------------------------------------------------------------------

    def _fact(self, label: str, value: str) -> None:
        self.found.facts.append((label, value))

    def _describe(self, described: Mapping[str, Any]) -> None:
        version = described.get("version")
        self._fact(gettext("Version"), version[:20] if isinstance(version, str) else gettext("not told"))
        moment = _moment(described.get("last_updated"))
        if moment is not None:
            self._fact(gettext("Last updated"), date_format(timezone.localtime(moment), "DATETIME_FORMAT"))
        ttl = described.get("ttl")
        lasts = timedelta(seconds=min(ttl, 86_400)) if _is_number(ttl) and ttl >= 0 else timedelta()
        if moment is not None and self._now - moment > lasts + _LATE:
            minutes = int((self._now - moment).total_seconds() // 60)
            self.found.warnings.append(
                gettext("The feed is stale: it was last updated %(minutes)s minutes ago and counts for %(ttl)s s.")
                % {"minutes": minutes, "ttl": int(lasts.total_seconds())}
            )
        if self._untyped:
            self.found.warnings.append(
                gettext(
                    "%(count)s vehicles are of a type that is not described here, so neither their kind nor what their "
                    "range means is known. The address of gbfs.json leads to vehicle_types as well."
                )
                % {"count": self._untyped}
            )

    # --- A vehicle -----------------------------------------------------------------------------------------------

    def _read(self, name: str, number: int, value: Any) -> Row:
        line, path = number + 1, f"data.{name}[{number}]"
        if not isinstance(value, dict):
            return RejectedRow(line, "", (RowProblem(line, path, gettext("It is no object.")),))
        problems: list[RowProblem] = []

        def refuse(member: str, reason: str) -> None:
            problems.append(RowProblem(line, f"{path}.{member}", reason))

        id = value.get(LISTS[name])
        if not isinstance(id, str):
            refuse(LISTS[name], gettext("It is missing.") if id is None else gettext("It is no text."))
            id = ""
        else:
            try:
                check_id(id)
            except Refused as refused:
                refuse(
                    LISTS[name], gettext("%(reason)s It reads %(value)s.") % {"reason": refused, "value": _shown(id)}
                )
                id = ""
        told: dict[str, object] = {}
        self._read_type(value, told)
        for part in (self._position, self._state, self._signal, self._battery):
            try:
                part(value, told)
            except _Wrong as wrong:
                refuse(wrong.member, str(wrong))
        if self._country:
            told["country"] = self._country
        if self._city:
            told["city"] = self._city
        if not problems and "latitude" in told:
            reason = position_problem(self._country, told["latitude"], told["longitude"])  # type: ignore[arg-type]
            if reason:
                refuse("lon", reason)
        if problems:
            return RejectedRow(line, id, tuple(problems))
        given = 0
        for field_name in told:
            given |= bit(field_name)
        return VehicleRecord(line, id, given, **told)  # type: ignore[arg-type]

    def _type_of(self, value: Mapping[str, Any]) -> VehicleType | None:
        key = value.get("vehicle_type_id")
        return (self._system.types or {}).get(key) if isinstance(key, str) else None

    def _read_type(self, value: Mapping[str, Any], told: dict[str, object]) -> None:
        kind = self._type_of(value)
        if kind is None:
            self._untyped += "vehicle_type_id" in value
            return
        if kind.kind:
            told["kind"] = kind.kind
        if kind.model:
            told["model"] = kind.model

    def _position(self, value: Mapping[str, Any], told: dict[str, object]) -> None:
        """ "lat" and "lon" are required, but of a vehicle that stands at a station since 2.1."""
        latitude, longitude = value.get("lat"), value.get("lon")
        if latitude is None and longitude is None and value.get("station_id") is not None:
            return
        told["latitude"], told["longitude"] = _degrees("lat", latitude, 90), _degrees("lon", longitude, 180)

    def _state(self, value: Mapping[str, Any], told: dict[str, object]) -> None:
        """ "is_reserved" and "is_disabled"; feeds of 1.x, and later ones that keep to it, send 0 and 1."""
        reserved, disabled = _flag(value, "is_reserved"), _flag(value, "is_disabled")
        state = State.NON_OPERATIONAL if disabled else State.RESERVED if reserved else State.AVAILABLE
        told["state"] = state.value

    def _signal(self, value: Mapping[str, Any], told: dict[str, object]) -> None:
        """ "last_reported": POSIX seconds in 2.x, RFC 3339 in 3.x."""
        reported = value.get("last_reported")
        if reported is None:
            return
        moment = _moment(reported)
        if moment is None:
            raise _Wrong("last_reported", gettext("%(value)s is no time.") % {"value": _shown(reported)})
        unlikely = moment_problem(moment, self._now)
        if unlikely:
            raise _Wrong("last_reported", f"{_shown(reported)}: {unlikely}")
        told["last_signal_at"] = moment

    def _battery(self, value: Mapping[str, Any], told: dict[str, object]) -> None:
        """ "current_fuel_percent" is from 0 to 1 in every version; else "current_range_meters" of what the type can go."""
        kind = self._type_of(value)
        if kind is not None and not kind.has_battery:
            return
        part = value.get("current_fuel_percent")
        if part is not None:
            if not _is_number(part) or not 0 <= part <= 1:
                raise _Wrong(
                    "current_fuel_percent",
                    gettext("%(value)s does not lie between 0 and 1, as GBFS counts.") % {"value": _shown(part)},
                )
        else:
            reach = value.get("current_range_meters")
            if reach is None:
                return
            if not _is_number(reach) or reach < 0:
                raise _Wrong(
                    "current_range_meters", gettext("%(value)s is no number of metres.") % {"value": _shown(reach)}
                )
            if kind is None or kind.max_range is None:
                return
            part = reach / kind.max_range
            if part > _MOST_OVER_RANGE:
                raise _Wrong(
                    "current_range_meters",
                    gettext("%(value)s m is far more than the %(most)s m that its type can go.")
                    % {"value": _shown(reach), "most": f"{kind.max_range:g}"},
                )
        # Rounded before it is cut: 0.29 * 100 is a little less than 29.
        told["battery"] = min(math.floor(round(part * 100, 6)), 100)


class _Wrong(Exception):
    """What is wrong with a member of a vehicle."""

    def __init__(self, member: str, reason: str) -> None:
        super().__init__(reason)
        self.member = member


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _degrees(member: str, value: Any, limit: int) -> float:
    if value is None:
        raise _Wrong(member, gettext("It is missing."))
    if not _is_number(value):
        raise _Wrong(member, gettext("%(value)s is not a number.") % {"value": _shown(value)})
    if not -limit <= value <= limit:
        words = {"value": _shown(value), "limit": limit}
        raise _Wrong(member, gettext("“%(value)s” does not lie between -%(limit)s and %(limit)s degrees.") % words)
    return float(value)


def _flag(value: Mapping[str, Any], member: str) -> bool:
    flag = value.get(member)
    if flag is None:
        raise _Wrong(member, gettext("It is missing."))
    if flag not in (True, False) or isinstance(flag, float):
        raise _Wrong(member, gettext("%(value)s is neither true nor false.") % {"value": _shown(flag)})
    return bool(flag)


_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)")


def _moment(value: Any) -> datetime | None:
    """POSIX seconds, or a text of RFC 3339; None for anything else."""
    try:
        if _is_number(value):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str) and _TIME.fullmatch(value):
            found = parse_datetime(value.upper().replace(" ", "T"))
            return found.astimezone(UTC) if found else None
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _shown(value: Any) -> str:
    """A value as JSON has it, in signs that can be stored and shown."""
    return json.dumps(value)[:80]
