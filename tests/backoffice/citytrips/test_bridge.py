"""Vehicles to messages: what is collected, in which unit, and to whom invented vehicles go."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backoffice.citytrips import bridge, services
from backoffice.citytrips.errors import LeaseLost
from backoffice.citytrips.lease import LeaseKeeper
from backoffice.citytrips.models import Lease
from fleet.models import Vehicle
from fleet.services import rules_update, vehicle_update
from itineraries.models import Publication, PublicationState
from itineraries.services import itinerary_create
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def token() -> uuid.UUID:
    keeper = LeaseKeeper(600)
    assert keeper.try_acquire()
    return keeper.token


@dataclass
class Whole:
    """A full, read to its end."""

    text: bytes
    versions: dict[str, int]
    absent: dict[str, int]
    count: int


def read_full() -> Whole:
    reader = bridge.FullReader()
    text = b"".join(iter(reader.read, None))
    return Whole(text, reader.versions, reader.absent, reader.count)


def row(vehicle_id: str) -> Vehicle:
    return Vehicle.objects.get(pk=vehicle_id)


def test_a_vehicle_in_the_partners_shape(settings) -> None:
    """A full holds each vehicle offered with the specification's properties and nothing else."""
    make("ES-1")
    make("ES-2", state="on_trip")
    batch = read_full()
    assert json.loads(batch.text) == {
        "command": "s_vehicle/full",
        "payload": [
            {
                "id": "ES-1",
                "battery": 80,
                "plate": "1234 BCD",
                "country": "Spain",
                "city": "Madrid",
                "location": {"latitude": 40.4168, "longitude": -3.7038},
            }
        ],
    }
    assert batch.versions == {"ES-1": 1}
    assert batch.absent == {"ES-2": 1}


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("decimal", (40.4168, -3.7038)), ("integer", (40, -4)), ("microdegrees", (40416800, -3703800))],
)
def test_coordinates_go_in_the_unit_of_the_setting(settings, unit: str, expected: tuple[float, float]) -> None:
    """CITYTRIPS_COORDINATES decides between degrees, whole degrees and millionths."""
    settings.CITYTRIPS_COORDINATES = unit
    make("ES-1")
    location = json.loads(read_full().text)["payload"][0]["location"]
    assert (location["latitude"], location["longitude"]) == expected
    assert isinstance(location["latitude"], type(expected[0]))


def test_what_is_pending_is_sorted_by_what_is_to_be_done(token: uuid.UUID) -> None:
    """Offered vehicles are to be sent, listed ones to be withdrawn, and what CityTrips never saw settles by itself."""
    make("ES-1")
    make("ES-2")
    make("ES-3", state="missing")
    bridge.settle(token, {"ES-2": 1}, {})
    vehicle_update(vehicle=row("ES-2"), values={"battery": 3})
    pending = bridge.look(token)
    assert (pending.offered, pending.leaving) == ({"ES-1": 1}, {"ES-2": 2})
    assert row("ES-3").settled_version == 1
    assert not row("ES-3").listed


def test_an_objected_version_is_left_alone_until_it_changes(token: uuid.UUID) -> None:
    """A vehicle that CityTrips objected to isn't pending for the line, and is again once it changes."""
    make("ES-1")
    bridge.object_to(token, {"ES-1": 1})
    assert bridge.look(token).offered == {}
    vehicle_update(vehicle=row("ES-1"), values={"battery": 50})
    assert bridge.look(token).offered == {"ES-1": 2}


def test_a_send_marks_its_vehicles_as_listed_before_it_leaves() -> None:
    """From the moment of collecting on, CityTrips may hold the vehicles."""
    make("ES-1")
    assert bridge.collect_incremental(frozenset(["ES-1"]))
    assert row("ES-1").listed
    assert row("ES-1").settled_version == 0


def test_a_settlement_is_written_in_parts(monkeypatch: pytest.MonkeyPatch, token: uuid.UUID) -> None:
    """A large one keeps neither its vehicles nor the lease for long: another worker gets in between, and writes the rest."""
    monkeypatch.setattr(bridge, "PAGE", 2)
    for vehicle in "12345":
        make(vehicle)
    for vehicle in "67":
        make(vehicle, state="reserved")
    settle, parts = bridge.vehicles_settle, []

    def take_over_after_two(*, versions: dict[str, int], listed: bool) -> None:
        settle(versions=versions, listed=listed)
        parts.append(sorted(versions))
        if len(parts) == 2:
            Lease.objects.update(token=uuid.uuid4())

    monkeypatch.setattr(bridge, "vehicles_settle", take_over_after_two)
    versions, absent = dict.fromkeys("54321", 1), dict.fromkeys("67", 1)
    with pytest.raises(LeaseLost):
        bridge.settle(token, versions, absent)
    assert parts == [["1", "2"], ["3", "4"]]
    assert list(Vehicle.objects.pending().order_by("pk").values_list("pk", flat=True)) == ["5", "6", "7"]
    bridge.settle(Lease.objects.get().token, versions, absent)
    assert not Vehicle.objects.pending().exists()
    assert sorted(Vehicle.objects.filter(listed=True).values_list("pk", flat=True)) == list("12345")


def test_an_incremental_leaves_out_what_is_no_longer_offered() -> None:
    """What left between looking and collecting is not sent; with nothing left, there is no message."""
    make("ES-1")
    make("ES-2")
    vehicle_update(vehicle=row("ES-1"), values={"state": "reserved"})
    batch = bridge.collect_incremental(frozenset(["ES-1", "ES-2"]))
    assert batch is not None
    assert batch.versions == {"ES-2": 1}
    vehicle_update(vehicle=row("ES-2"), values={"state": "reserved"})
    assert bridge.collect_incremental(frozenset(["ES-1", "ES-2"])) is None


def test_a_full_settles_what_it_left_out(token: uuid.UUID) -> None:
    """After a full, a vehicle that it did not carry is no longer listed; one that came back meanwhile is."""
    for vehicle in ("ES-1", "ES-2"):
        make(vehicle)
        bridge.settle(token, {vehicle: 1}, {})
        vehicle_update(vehicle=row(vehicle), values={"state": "reserved"})
    batch = read_full()
    assert batch.absent == {"ES-1": 2, "ES-2": 2}
    vehicle_update(vehicle=row("ES-2"), values={"state": "available"})
    bridge.settle(token, batch.versions, batch.absent)
    assert (row("ES-1").listed, row("ES-1").settled_version) == (False, 2)
    assert (row("ES-2").listed, row("ES-2").settled_version) == (True, 2)
    assert bridge.look(token).offered == {"ES-2": 3}


def test_nothing_settles_under_a_lost_lease() -> None:
    """A worker that lost its lease acknowledges nothing."""
    make("ES-1")
    with pytest.raises(LeaseLost):
        bridge.settle(uuid.uuid4(), {"ES-1": 1}, {})
    assert row("ES-1").settled_version == 0


@pytest.mark.parametrize(
    ("sandbox", "url", "site", "expected"),
    [
        (True, "ws://127.0.0.1:8000/sandbox/citytrips/v1", "http://127.0.0.1:8000", True),
        (True, "ws://localhost/sandbox/citytrips/v1", "https://operator.example", True),
        (True, "ws://[::1]:9/sandbox/citytrips/v1", "https://operator.example", True),
        (True, "wss://operator.example/sandbox/citytrips/v1", "https://operator.example", True),
        (False, "ws://127.0.0.1:8000/sandbox/citytrips/v1", "http://127.0.0.1:8000", False),
        (True, "ws://127.0.0.1:8000/v1", "http://127.0.0.1:8000", False),
        (True, "wss://api.example/sandbox/citytrips/v1", "https://operator.example", False),
        (True, "wss://127.0.0.1.example/sandbox/citytrips/v1", "http://127.0.0.1:8000", False),
        (True, "wss://api-sandbox.gocitytrips.com/v1", "http://127.0.0.1:8000", False),
    ],
)
def test_invented_vehicles_go_to_the_sandbox_only(
    settings, token: uuid.UUID, sandbox: bool, url: str, site: str, expected: bool
) -> None:
    """A demo vehicle is sent where the line ends at this site's own simulator, and is unknown anywhere else."""
    settings.SANDBOX, settings.CITYTRIPS_URL, settings.SITE_URL = sandbox, url, site
    make("DEMO-1", is_demo=True)
    make("ES-1")
    sent = {"DEMO-1", "ES-1"} if expected else {"ES-1"}
    assert bridge.look(token).offered.keys() == sent
    assert read_full().versions.keys() == sent
    batch = bridge.collect_incremental(frozenset(["DEMO-1", "ES-1"]))
    assert batch is not None
    assert batch.versions.keys() == sent


@pytest.mark.parametrize("work", [read_full, lambda: bridge.collect_incremental(frozenset(map(str, range(60))))])
def test_queries_do_not_grow_with_the_fleet(work) -> None:
    """Collecting takes the same number of queries for two vehicles as for fifty."""
    counts = []
    for size in (2, 50):
        for number in range(size):
            if not Vehicle.objects.filter(pk=str(number)).exists():
                make(str(number))
        with CaptureQueriesContext(connection) as queries:
            work()
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
def test_a_full_is_the_same_in_parts_of_any_size(monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    """However many vehicles are read at a time, the parts together are one message with every vehicle offered once."""
    monkeypatch.setattr(bridge, "PAGE", page)
    for number in range(5):
        make(f"ES-{number}", state="on_trip" if number == 2 else "available")
    whole = read_full()
    assert [vehicle["id"] for vehicle in json.loads(whole.text)["payload"]] == ["ES-0", "ES-1", "ES-3", "ES-4"]
    assert (whole.count, whole.absent) == (4, {"ES-2": 1})
    assert Vehicle.objects.filter(listed=True).count() == 4


def test_an_empty_fleet_is_an_empty_full() -> None:
    """With nothing to offer a full says just that."""
    assert json.loads(read_full().text) == {"command": "s_vehicle/full", "payload": []}


def test_what_changes_while_a_full_is_read_stays_pending(monkeypatch: pytest.MonkeyPatch, token: uuid.UUID) -> None:
    """A vehicle counts as it was when its row was read; a later change, departure or return is another version."""
    monkeypatch.setattr(bridge, "PAGE", 2)
    for number in range(4):
        make(f"ES-{number}", state="on_trip" if number == 1 else "available")
    bridge.settle(token, {f"ES-{number}": 1 for number in range(4)}, {})
    reader = bridge.FullReader()
    parts = [reader.read()]
    vehicle_update(vehicle=row("ES-0"), values={"state": "on_trip"})
    vehicle_update(vehicle=row("ES-1"), values={"state": "available"})
    vehicle_update(vehicle=row("ES-3"), values={"battery": 41})
    while part := reader.read():
        parts.append(part)
    assert [vehicle["id"] for vehicle in json.loads(b"".join(parts))["payload"]] == ["ES-0", "ES-2", "ES-3"]
    bridge.settle(token, reader.versions, reader.absent)
    pending = bridge.look(token)
    assert (pending.offered, pending.leaving) == ({"ES-1": 2}, {"ES-0": 2})


def test_what_leaves_between_reading_and_sending_is_withdrawn(
    monkeypatch: pytest.MonkeyPatch, token: uuid.UUID
) -> None:
    """A vehicle that a full carries, though it stopped being offered a moment ago, shows as held and leaves by the next."""
    make("ES-1")
    sort = bridge.FullReader._sort

    def late(reader: bridge.FullReader, *read: Any) -> Any:
        vehicle_update(vehicle=row("ES-1"), values={"state": "on_trip"})
        return sort(reader, *read)

    monkeypatch.setattr(bridge.FullReader, "_sort", late)
    whole = read_full()
    assert b"ES-1" in whole.text
    assert bridge.look(token).leaving == {"ES-1": 2}


def test_a_full_notes_only_what_was_pending(token: uuid.UUID) -> None:
    """What the worker remembers of a full grows with the changes, not with the fleet."""
    for number in range(5):
        make(f"ES-{number}")
    bridge.settle(token, {f"ES-{number}": 1 for number in range(5)}, {})
    vehicle_update(vehicle=row("ES-3"), values={"battery": 41})
    whole = read_full()
    assert (whole.count, whole.versions, whole.absent) == (5, {"ES-3": 2}, {})


def test_looking_reads_what_is_pending_from_its_index(token: uuid.UUID) -> None:
    """The look that the worker takes every second uses the partial index, on either database."""
    Vehicle.objects.bulk_create([Vehicle(id=f"ES-{number}", plate="1", country="Spain") for number in range(3000)])
    Vehicle.objects.update(settled_version=1)
    vehicle_update(vehicle=row("ES-7"), values={"note": "x", "battery": 41})
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as queries:
        bridge.look(token)
    look = next(query["sql"] for query in queries if "fleet_vehicle" in query["sql"])
    plan = look[look.index("SELECT") :]
    with connection.cursor() as cursor:
        cursor.execute(
            ("EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN ") + plan.replace("%", "%%")
        )
        assert "vehicle_pending" in str(cursor.fetchall())


def test_blocked_fulls_are_allowed_by_a_smaller_fleet_other_settings_or_staff(settings) -> None:
    """What CityTrips found too large isn't sent again until it may fit."""
    assert not bridge.fulls_are_blocked()
    make("ES-1")
    make("ES-2")
    assert bridge.block_fulls() == 2
    assert bridge.fulls_are_blocked()
    vehicle_update(vehicle=row("ES-2"), values={"state": "on_trip"})
    assert bridge.fulls_are_blocked(recount=False)
    assert not bridge.fulls_are_blocked()

    bridge.block_fulls()
    settings.CITYTRIPS_COORDINATES = "integer"
    assert not bridge.fulls_are_blocked()

    bridge.block_fulls()
    services.fulls_unblock()
    assert not bridge.fulls_are_blocked()


def test_time_brings_silence_and_the_end_of_interrupted_publications() -> None:
    """The holder finds vehicles that fell silent, and attempts to publish whose process died."""
    rules_update(minimum_battery=20, silence_limit=30)
    heard = timezone.now()
    make(id="QUIET", last_signal_at=heard)
    itinerary = itinerary_create(user=None, document={"title": "Trip"})
    attempt = Publication.objects.create(itinerary=itinerary, number=1, document={}, fingerprint="x", started_at=heard)
    bridge.due_by_time()
    attempt.refresh_from_db()
    assert (Vehicle.objects.get(pk="QUIET").silent, attempt.state) == (False, PublicationState.SENDING)

    Vehicle.objects.filter(pk="QUIET").update(last_signal_at=heard - timedelta(hours=1))
    Publication.objects.filter(pk=attempt.pk).update(started_at=heard - timedelta(hours=1))
    bridge.due_by_time()
    attempt.refresh_from_db()
    assert (Vehicle.objects.get(pk="QUIET").silent, attempt.state) == (True, PublicationState.UNKNOWN)


def test_a_full_can_leave_out_what_was_objected_to(token: uuid.UUID) -> None:
    """Left out, a vehicle neither counts as held nor as gone; changed or taken meanwhile, it is carried."""
    for vehicle in ("ES-1", "ES-2", "ES-3", "ES-4"):
        make(vehicle)
    bridge.object_to(token, {"ES-1": 1, "ES-2": 1, "ES-3": 1})
    vehicle_update(vehicle=row("ES-2"), values={"battery": 41})
    bridge.settle(token, {"ES-3": 1}, {})
    reader = bridge.FullReader(leave_out_objected=True)
    text = b"".join(iter(reader.read, None))
    assert [vehicle["id"] for vehicle in json.loads(text)["payload"]] == ["ES-2", "ES-3", "ES-4"]
    assert (reader.versions, reader.absent) == ({"ES-2": 2, "ES-4": 1}, {})
