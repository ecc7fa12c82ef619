"""Vehicles to messages: what is collected, in which unit, and to whom invented vehicles go."""

from __future__ import annotations

import json
import threading
import time
import uuid
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backoffice.citytrips import bridge
from backoffice.citytrips.errors import LeaseLost
from backoffice.citytrips.models import Lease
from fleet.models import Vehicle
from fleet.services import rules, rules_update, vehicle_update
from itineraries.models import Publication, PublicationState
from itineraries.services import itinerary_create
from tests.backoffice.citytrips.faults import row
from tests.backoffice.citytrips.pausing import begin
from tests.backoffice.citytrips.reading import read_full
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


def test_what_is_pending_is_sorted_by_what_is_to_be_done(token: uuid.UUID) -> None:
    """Offered vehicles are to be sent, listed ones to be withdrawn, and what CityTrips never saw settles by itself."""
    make("ES-1")
    make("ES-2")
    make("ES-3", state="missing")
    bridge.settle(token, {"ES-2": 1}, {})
    vehicle_update(vehicle=row("ES-2"), values={"battery": 3})
    pending = bridge.Changes(token).look()
    assert (pending.offered, pending.leaving) == ({"ES-1": 1}, {"ES-2": 2})
    assert row("ES-3").settled_version == 1
    assert not row("ES-3").listed


def test_an_objected_version_is_left_alone_until_it_changes(token: uuid.UUID) -> None:
    """A vehicle that CityTrips objected to isn't pending for the line, and is again once it changes."""
    make("ES-1")
    bridge.object_to(token, {"ES-1": 1})
    assert bridge.Changes(token).look().offered == {}
    vehicle_update(vehicle=row("ES-1"), values={"battery": 50})
    assert bridge.Changes(token).look().offered == {"ES-1": 2}


def test_a_send_marks_its_vehicles_as_listed_before_it_leaves(token: uuid.UUID) -> None:
    """From the moment of collecting on, CityTrips may hold the vehicles."""
    make("ES-1")
    assert bridge.Changes(token).collect(frozenset(["ES-1"]))
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

    def taken_over_during_the_third(*, versions: dict[str, int], listed: bool) -> None:
        settle(versions=versions, listed=listed)
        parts.append(sorted(versions))
        if len(parts) == 3:
            Lease.objects.update(token=uuid.uuid4())

    monkeypatch.setattr(bridge, "vehicles_settle", taken_over_during_the_third)
    versions, absent = dict.fromkeys("54321", 1), dict.fromkeys("67", 1)
    with pytest.raises(LeaseLost):
        bridge.settle(token, versions, absent)
    assert parts == [["1", "2"], ["3", "4"], ["5"]]
    assert list(Vehicle.objects.pending().order_by("pk").values_list("pk", flat=True)) == ["5", "6", "7"]
    bridge.settle(Lease.objects.get().token, versions, absent)
    assert not Vehicle.objects.pending().exists()
    assert sorted(Vehicle.objects.filter(listed=True).values_list("pk", flat=True)) == list("12345")


def test_an_incremental_leaves_out_what_is_no_longer_offered(token: uuid.UUID) -> None:
    """What left between looking and collecting is not sent; with nothing left, there is no message."""
    make("ES-1")
    make("ES-2")
    vehicle_update(vehicle=row("ES-1"), values={"state": "reserved"})
    batch = bridge.Changes(token).collect(frozenset(["ES-1", "ES-2"]))
    assert batch is not None
    assert batch.versions == {"ES-2": 1}
    vehicle_update(vehicle=row("ES-2"), values={"state": "reserved"})
    assert bridge.Changes(token).collect(frozenset(["ES-1", "ES-2"])) is None


def vehicle_queries(queries: CaptureQueriesContext) -> int:
    return sum('FROM "fleet_vehicle"' in query["sql"] for query in queries)


def test_an_incremental_carries_what_the_look_has_read(token: uuid.UUID, nothing_grows_stale) -> None:
    """It reads no vehicle again, once; what changed since the look stays pending."""
    make("ES-1")
    make("ES-2")
    changes = bridge.Changes(token)
    pending = changes.look()
    vehicle_update(vehicle=row("ES-1"), values={"battery": 41})
    with CaptureQueriesContext(connection) as queries:
        batch = changes.collect(pending.offered.keys())
    assert vehicle_queries(queries) == 0
    assert batch is not None
    assert batch.versions == {"ES-1": 1, "ES-2": 1}
    assert [vehicle["battery"] for vehicle in json.loads(batch.text)["payload"]] == [80, 80]
    assert row("ES-1").listed
    bridge.settle(token, batch.versions, {})
    assert bridge.Changes(token).look().offered == {"ES-1": 2}
    again = changes.collect({"ES-1"})
    assert again is not None
    assert again.versions == {"ES-1": 2}


def test_what_was_read_a_while_ago_is_read_again(monkeypatch: pytest.MonkeyPatch, token: uuid.UUID) -> None:
    """A worker that was busy in between tells what is so now."""
    make("ES-1")
    make("ES-2")
    changes = bridge.Changes(token)
    pending = changes.look()
    vehicle_update(vehicle=row("ES-1"), values={"state": "reserved"})
    later = time.monotonic() + bridge.FRESH
    monkeypatch.setattr(bridge.time, "monotonic", lambda: later)
    batch = changes.collect(pending.offered.keys())
    assert batch is not None
    assert batch.versions == {"ES-2": 1}


def test_a_backlog_is_not_kept_from_look_to_look(
    monkeypatch: pytest.MonkeyPatch, token: uuid.UUID, nothing_grows_stale
) -> None:
    """Only a page of it is remembered, and what is sent of the rest is read when its turn comes."""
    monkeypatch.setattr(bridge, "PAGE", 2)
    for vehicle in "12345":
        make(vehicle)
    changes = bridge.Changes(token)
    for _look in range(2):
        assert changes.look().offered == dict.fromkeys("12345", 1)
        batch = changes.collect({"1", "4", "5"})
        assert batch is not None
        assert batch.versions == dict.fromkeys("145", 1)
    bridge.settle(token, dict.fromkeys("12345", 1), {})
    vehicle_update(vehicle=row("3"), values={"battery": 41})
    with CaptureQueriesContext(connection) as queries:
        for _look in range(2):
            assert changes.look().offered == {"3": 2}
        assert changes.collect({"3"}) is not None
    assert vehicle_queries(queries) == 2


def tell_again(token: uuid.UUID) -> None:
    after: str | None = ""
    while after is not None:
        after = bridge.tell_again(token, after)


def test_telling_again_makes_pending_what_citytrips_has(monkeypatch: pytest.MonkeyPatch, token: uuid.UUID, ana) -> None:
    """All that is offered, whatever the pages, except where a pause holds it back; nothing of what waits already."""
    monkeypatch.setattr(bridge, "PAGE", 2)
    for vehicle in "12345":
        make(vehicle)
    make("6", state="reserved")
    make("7", city="Sevilla")
    bridge.settle(token, dict.fromkeys("1234567", 1), {})
    vehicle_update(vehicle=row("5"), values={"battery": 41})
    begin(country="Spain", city="Sevilla")
    for _time in range(2):
        tell_again(token)
        assert bridge.Changes(token).look().offered == dict.fromkeys("12345", 2)
    bridge.settle(token, dict.fromkeys("1234", 2), {})
    with pytest.raises(LeaseLost):
        tell_again(uuid.uuid4())
    assert bridge.Changes(token).look().offered == {"5": 2}


@pytest.mark.parametrize("work", [read_full, lambda token: bridge.Changes(token).collect({"ES-1"})])
def test_nothing_is_collected_under_a_lost_lease(work, token: uuid.UUID) -> None:
    """What is to be written down before a send leaves is not, and nothing leaves."""
    make("ES-1")
    with pytest.raises(LeaseLost):
        work(uuid.uuid4())
    assert not row("ES-1").listed
    assert work(token)
    assert row("ES-1").listed


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
    assert bridge.Changes(token).look().offered.keys() == sent
    assert read_full(token).versions.keys() == sent
    batch = bridge.Changes(token).collect(frozenset(["DEMO-1", "ES-1"]))
    assert batch is not None
    assert batch.versions.keys() == sent


@pytest.mark.parametrize(
    "work", [read_full, lambda token: bridge.Changes(token).collect(frozenset(map(str, range(60))))]
)
def test_queries_do_not_grow_with_the_fleet(work, token: uuid.UUID) -> None:
    """Collecting takes the same number of queries for two vehicles as for fifty."""
    counts = []
    for size in (2, 50):
        for number in range(size):
            if not Vehicle.objects.filter(pk=str(number)).exists():
                make(str(number))
        with CaptureQueriesContext(connection) as queries:
            work(token)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_looking_reads_what_is_pending_from_its_index(token: uuid.UUID) -> None:
    """The look that the worker takes every second uses the partial index, on either database."""
    Vehicle.objects.bulk_create([Vehicle(id=f"ES-{number}", plate="1", country="Spain") for number in range(3000)])
    Vehicle.objects.update(settled_version=1)
    vehicle_update(vehicle=row("ES-7"), values={"note": "x", "battery": 41})
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as queries:
        bridge.Changes(token).look()
    look = next(query["sql"] for query in queries if "fleet_vehicle" in query["sql"])
    plan = look[look.index("SELECT") :]
    with connection.cursor() as cursor:
        cursor.execute(
            ("EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN ") + plan.replace("%", "%%")
        )
        assert "vehicle_pending" in str(cursor.fetchall())


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


def is_pending_after_a_change_beside_the_rules(token: uuid.UUID) -> bool:
    """A trip ends while the minimum battery is lowered, and the line looks in between; whether its vehicle waits for it."""
    rules_update(minimum_battery=30, silence_limit=None)
    make("ES-1", state="on_trip", battery=25)
    bridge.settle(token, {}, {"ES-1": row("ES-1").version})
    assert not Vehicle.objects.pending().exists()

    def end_the_trip() -> None:
        vehicle_update(vehicle=row("ES-1"), values={"state": "available"})
        bridge.Changes(token).look()
        connection.close()

    ending = threading.Thread(target=end_the_trip)
    with transaction.atomic():
        rules_update(minimum_battery=20, silence_limit=None)
        ending.start()
        ending.join(2)
    ending.join(20)
    assert Vehicle.objects.offered().get().pk == "ES-1"
    return Vehicle.objects.pending().exists()


@pytest.mark.django_db(transaction=True)
def test_what_changes_beside_the_rules_is_pending(token: uuid.UUID) -> None:
    """By the new rules it is offered, and CityTrips is told so."""
    assert is_pending_after_a_change_beside_the_rules(token)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time by itself")
@pytest.mark.django_db(transaction=True)
def test_control_changing_the_rules_beside_writers(token: uuid.UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the one nor the other sees that it is to be told."""
    monkeypatch.setattr(rules, "lock_vehicles", lambda: None)
    assert not is_pending_after_a_change_beside_the_rules(token)
