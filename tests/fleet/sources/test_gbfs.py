"""GBFS feeds of 2.x and 3.x, as systems publish them."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest

from fleet.errors import UnreadableSource
from fleet.sources.gbfs import GbfsReading, System, VehicleType, discovered, follow
from fleet.sources.records import RejectedRow, Row, VehicleRecord

NOW = int(time.time())
BIKE = {"bike_id": "b1", "lat": 40.4168, "lon": -3.7038, "is_reserved": False, "is_disabled": False}
VEHICLE = {"vehicle_id": "v1", "lat": 40.4168, "lon": -3.7038, "is_reserved": False, "is_disabled": False}
TYPES = {
    "stand": VehicleType("scooter_standing", "Segway Max", 40_000.0),
    "feet": VehicleType("bicycle", "", None, has_battery=False),
}


def feed(vehicles: Any, name: str = "bikes", **more: Any) -> io.BytesIO:
    document = {"last_updated": NOW, "ttl": 60, "version": "2.3", "data": {name: vehicles}, **more}
    return io.BytesIO(json.dumps(document).encode())


def rows(vehicles: Any, name: str = "bikes", system: System | None = None, **options: str) -> list[Row]:
    return list(GbfsReading(feed(vehicles, name), system, **options).rows())


def only(system: System | None = None, **values: Any) -> VehicleRecord:
    (row,) = rows([{**BIKE, **values}], system=system)
    assert isinstance(row, VehicleRecord), row
    return row


def refused(system: System | None = None, **values: Any) -> list[tuple[str, str]]:
    (row,) = rows([{**BIKE, **values}], system=system)
    assert isinstance(row, RejectedRow), row
    return [(problem.column, problem.reason) for problem in row.problems]


def test_a_vehicle_of_each_version() -> None:
    """free_bike_status and vehicle_status are read into the same record."""
    (old,) = rows([{**BIKE, "last_reported": NOW - 60}])
    (new,) = rows([{**VEHICLE, "last_reported": "2026-03-01T12:00:00+01:00"}], "vehicles")
    assert isinstance(old, VehicleRecord)
    assert isinstance(new, VehicleRecord)
    assert (old.id, new.id) == ("b1", "v1")
    assert (
        (old.latitude, old.longitude, old.state)
        == (new.latitude, new.longitude, new.state)
        == (40.4168, -3.7038, "available")
    )
    assert old.last_signal_at is not None
    assert old.last_signal_at.timestamp() == NOW - 60
    assert new.last_signal_at is not None
    assert new.last_signal_at.isoformat() == "2026-03-01T11:00:00+00:00"


def test_what_a_feed_does_not_tell_is_not_given() -> None:
    """No battery, no type, no time: the fields stay as the fleet has them."""
    assert only().names == {"latitude", "longitude", "state"}


@pytest.mark.parametrize(
    ("reserved", "disabled", "state"),
    [(0, 0, "available"), (1, 0, "reserved"), (0, 1, "non_operational"), (True, True, "non_operational")],
)
def test_booleans_and_integers(reserved: Any, disabled: Any, state: str) -> None:
    """is_reserved and is_disabled come as booleans or as 0 and 1."""
    assert only(is_reserved=reserved, is_disabled=disabled).state == state


@pytest.mark.parametrize(("part", "battery"), [(0.85, 85), (1, 100), (0, 0), (0.29, 29), (0.199, 19), (1.0, 100)])
def test_a_battery_is_a_fraction_by_the_specification(part: float, battery: int) -> None:
    """current_fuel_percent counts from 0 to 1."""
    assert only(current_fuel_percent=part).battery == battery


def test_a_battery_out_of_the_range() -> None:
    """Without it, the range is set against what the type can go; without a type nothing is guessed."""
    system = System(types=TYPES)
    assert only(system, vehicle_type_id="stand", current_range_meters=10_000).battery == 25
    assert only(system, vehicle_type_id="stand", current_range_meters=41_000).battery == 100
    assert "battery" not in only(system, vehicle_type_id="other", current_range_meters=10_000).names
    assert "battery" not in only(current_range_meters=10_000).names


def test_types_tell_kind_and_model() -> None:
    """A type says kind and model; a bicycle without a motor has no battery."""
    system = System(types=TYPES)
    record = only(system, vehicle_type_id="stand")
    assert (record.kind, record.model) == ("scooter_standing", "Segway Max")
    assert "battery" not in only(system, vehicle_type_id="feet", current_fuel_percent=0.5).names


def test_a_vehicle_at_a_station_has_no_position() -> None:
    """A vehicle that stands at a station needs none of its own."""
    record = only(lat=None, lon=None, station_id="s1")
    assert "latitude" not in record.names


@pytest.mark.parametrize(
    ("values", "member", "words"),
    [
        ({"bike_id": None}, "bike_id", "missing"),
        ({"bike_id": 5}, "bike_id", "no text"),
        ({"bike_id": "a b"}, "bike_id", "not an id"),
        ({"bike_id": "\ud800"}, "bike_id", "not an id"),
        ({"lat": None}, "lat", "missing"),
        ({"lat": "40.4"}, "lat", "not a number"),
        ({"lat": float("nan")}, "lat", "not a number"),
        ({"lat": 91}, "lat", "-90 and 90"),
        ({"lat": 0, "lon": 0}, "lon", "Atlantic"),
        ({"is_reserved": None}, "is_reserved", "missing"),
        ({"is_disabled": 2}, "is_disabled", "neither"),
        ({"is_disabled": "no"}, "is_disabled", "neither"),
        ({"current_fuel_percent": 85}, "current_fuel_percent", "between 0 and 1"),
        ({"current_fuel_percent": "0.85"}, "current_fuel_percent", "between 0 and 1"),
        ({"current_fuel_percent": True}, "current_fuel_percent", "between 0 and 1"),
        ({"current_range_meters": -1}, "current_range_meters", "no number of metres"),
        ({"vehicle_type_id": "stand", "current_range_meters": 4_000_000}, "current_range_meters", "far more"),
        ({"last_reported": NOW + 86_400}, "last_reported", "future"),
        ({"last_reported": NOW * 1000}, "last_reported", ""),
        ({"last_reported": "yesterday"}, "last_reported", "no time"),
        ({"last_reported": 10**400}, "last_reported", "no time"),
    ],
)
def test_rejected_vehicles_say_why(values: dict[str, Any], member: str, words: str) -> None:
    """A bad member rejects its vehicle, with its path and a reason."""
    (path, reason), *_rest = refused(System(types=TYPES), **values)
    assert path == f"data.bikes[0].{member}"
    assert words in reason


def test_a_stray_vehicle_is_rejected() -> None:
    """A vehicle in another country than the feed's is told with its place in the feed; the others are read."""
    found = rows([BIKE, {**BIKE, "bike_id": "b2", "lat": 52.52, "lon": 13.4}, "x"], country="Spain")
    assert [type(row) for row in found] == [VehicleRecord, RejectedRow, RejectedRow]
    assert [row.line for row in found] == [1, 2, 3]
    assert "is not in Spain" in found[1].problems[0].reason  # type: ignore[union-attr]


def test_the_time_zone_tells_the_country() -> None:
    """Without an option the country is that of the system's time zone, and it is said."""
    reading = GbfsReading(feed([BIKE]), System(name="Scoot", zone="Atlantic/Canary", country="Spain"))
    (row,) = reading.rows()
    assert isinstance(row, VehicleRecord)
    assert row.country == "Spain"
    assert any("Atlantic/Canary" in value for _label, value in reading.found.facts)


def test_a_stale_feed_is_told() -> None:
    """A feed that was last updated long before its ttl ran out is a warning, in either spelling of the time."""
    for old in (NOW - 7200, "2026-03-01T12:00:00Z"):
        reading = GbfsReading(feed([BIKE], last_updated=old))
        assert len(list(reading.rows())) == 1
        assert "stale" in reading.found.warnings[0]
    fresh = GbfsReading(feed([BIKE]))
    assert list(fresh.rows())
    assert fresh.found.warnings == []


def test_what_no_database_holds_is_replaced() -> None:
    """A version or a name with signs that cannot be stored does not keep the rest from being read."""
    reading = GbfsReading(feed([BIKE], version="2\x00\ud800"), System(warnings=["a\x00b"]))
    assert len(list(reading.rows())) == 1
    found = json.dumps(reading.found.as_json(), ensure_ascii=False)
    assert "\\u0000" not in found
    assert found.encode()


def test_a_feed_alone_tells_that_types_are_missing() -> None:
    """Vehicles of a type that is not described are read, with a warning."""
    reading = GbfsReading(feed([{**BIKE, "vehicle_type_id": "stand"}]))
    assert len(list(reading.rows())) == 1
    assert "gbfs.json" in reading.found.warnings[0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        b'{"data": []}',
        b'{"data": {"bikes": {}}}',
        b'{"data": {"bikes": [{"bike_id": "1"]}}',
        b'{"data": {"bikes": []}} {}',
        b'{"data": {"bikes": [1,]}}',
        b'{"data": {"stations": []}}',
        b'{"data": {"bikes": [' + b"9" * 5000 + b"]}}",
        b'{"data": {"bikes": [' + b"[" * 100_000 + b"]}}",
        b'{"\xff": 1}',
        b'{"data": {"bikes": [{"a": "' + b"x" * 17_000_000 + b'"}]}}',
    ],
    ids=range(14),
)
def test_what_is_no_feed(content: bytes) -> None:
    """What is no JSON, or no feed of vehicles, is refused as a whole, in words."""
    with pytest.raises(UnreadableSource):
        list(GbfsReading(io.BytesIO(content)).rows())


def test_an_error_names_its_line() -> None:
    """A slip in the JSON is told with its line."""
    with pytest.raises(UnreadableSource, match="line 3"):
        list(GbfsReading(io.BytesIO(b'{"data":\n {"bikes": [\n  {"bike_id" "1"}]}}')).rows())


def test_vehicles_are_read_as_a_stream() -> None:
    """A large feed in small pieces gives the same vehicles, whichever way the pieces fall."""
    many = [{**BIKE, "bike_id": f"b{number}", "lon": -3.7 + number * 1e-6} for number in range(3000)]
    found = rows(many)
    assert [row.id for row in found] == [one["bike_id"] for one in many]
    assert found[-1].longitude == many[-1]["lon"]  # type: ignore[union-attr]


def discovery(version: int) -> dict[str, Any]:
    feeds = [{"name": name, "url": f"https://x.test/{name}.json"} for name in ("system_information", "vehicle_types")]
    feeds.append({"name": "free_bike_status" if version == 2 else "vehicle_status", "url": "/gbfs/vehicles.json"})
    return {"data": {"fr": {"feeds": []}, "en": {"feeds": feeds}} if version == 2 else {"feeds": feeds}}


@pytest.mark.parametrize("version", [2, 3])
def test_discovery(version: int) -> None:
    """gbfs.json leads to the vehicles, their types and the system, by language in 2.x and flat in 3.x."""
    opened: list[str] = []
    localized = [{"text": "Patín", "language": "es"}, {"text": "Scooter", "language": "en"}]
    files = {
        "https://x.test/system_information.json": {"data": {"name": "Scoot", "timezone": "Europe/Madrid"}},
        "https://x.test/vehicle_types.json": {
            "data": {
                "vehicle_types": [
                    {
                        "vehicle_type_id": "stand", "form_factor": "scooter", "propulsion_type": "electric",
                        "max_range_meters": 40_000, "name": localized if version == 3 else "Scooter",
                    }
                ]
            }
        },
        "https://x.test/gbfs/vehicles.json": {"data": {"bikes": [{**BIKE, "vehicle_type_id": "stand"}]}},
    }  # fmt: skip

    def open_feed(url: str) -> io.BytesIO:
        opened.append(url)
        return io.BytesIO(json.dumps(files[url]).encode())

    start = io.BytesIO(json.dumps(discovery(version)).encode())
    file, system = follow(start, "https://x.test/gbfs.json", open_feed)
    (row,) = GbfsReading(file, system).rows()
    assert isinstance(row, VehicleRecord)
    assert (row.kind, row.model, row.country) == ("scooter_standing", "Scooter", "Spain")
    assert set(opened) == set(files)


def test_a_companion_that_fails_is_told() -> None:
    """Without vehicle_types the vehicles are read all the same, and the reason is a warning."""

    def open_feed(url: str) -> io.BytesIO:
        if url.endswith("vehicles.json"):
            return feed([BIKE])
        if "types" in url:
            raise UnreadableSource("gone")
        return io.BytesIO(b"[]")

    file, system = follow(io.BytesIO(json.dumps(discovery(2)).encode()), "https://x.test/gbfs.json", open_feed)
    reading = GbfsReading(file, system)
    assert len(list(reading.rows())) == 1
    assert [warning.partition(" ")[0] for warning in reading.found.warnings] == [
        "vehicle_types.json",
        "system_information.json",
    ]


def test_a_system_without_single_vehicles() -> None:
    """A system of stations only is told by the feeds that it has."""
    document = {"data": {"feeds": [{"name": "station_status", "url": "https://x.test/s"}, {"name": 3}, 5]}}
    assert discovered(document, "") == {"station_status": "https://x.test/s"}
    with pytest.raises(UnreadableSource, match="station_status"):
        follow(io.BytesIO(json.dumps(document).encode()), "", lambda url: io.BytesIO())
