"""Vehicles to messages: what is collected, in which unit, and to whom invented vehicles go."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backoffice.citytrips import bridge
from backoffice.citytrips.errors import LeaseLost
from backoffice.citytrips.lease import LeaseKeeper
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


def row(vehicle_id: str) -> Vehicle:
    return Vehicle.objects.get(pk=vehicle_id)


def test_a_vehicle_in_the_partners_shape(settings) -> None:
    """A full holds each vehicle offered with the specification's properties and nothing else."""
    make("ES-1")
    make("ES-2", state="on_trip")
    batch = bridge.collect_full()
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
    location = json.loads(bridge.collect_full().text)["payload"][0]["location"]
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
    batch = bridge.collect_full()
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
    assert bridge.collect_full().versions.keys() == sent
    batch = bridge.collect_incremental(frozenset(["DEMO-1", "ES-1"]))
    assert batch is not None
    assert batch.versions.keys() == sent


@pytest.mark.parametrize(
    "work", [bridge.collect_full, lambda: bridge.collect_incremental(frozenset(map(str, range(60))))]
)
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


def test_a_handler_is_found_by_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new inbound command is one registered function."""
    monkeypatch.setattr(bridge, "_handlers", {})

    @bridge.handles("s_vehicle/open")
    def open_vehicle(payload: object) -> bridge.Reply:
        return "s_vehicle/open", payload

    assert bridge.handler_for("s_vehicle/open") is open_vehicle
    assert bridge.handler_for("s_vehicle/close") is None


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
