"""The triggers number every change of a vehicle, whatever statement makes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, models, transaction
from django.db.models import F
from django.utils import timezone

from fleet import triggers
from fleet.checks import version_triggers
from fleet.models import Vehicle
from fleet.services import vehicle_update, vehicles_list, vehicles_settle
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


def numbers(id: str = "ES-1") -> tuple[int, int]:
    return Vehicle.objects.values_list("version", "settled_version").get(pk=id)


def test_insert_begins_at_one() -> None:
    """A new vehicle has version 1 and nothing settled, even where the statement says otherwise."""
    make()
    Vehicle.objects.bulk_create([Vehicle(id="ES-2", version=9, settled_version=9), Vehicle(id="ES-3")])
    assert [numbers(id) for id in ("ES-1", "ES-2", "ES-3")] == [(1, 0)] * 3


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("plate", "9999 ZZZ"),
        ("country", "Chile"),
        ("city", "Toledo"),
        ("latitude", 40.5),
        ("longitude", -3.8),
        ("battery", 79),
        ("battery", None),
        ("state", "reserved"),
        ("is_demo", True),
        ("silent", True),
        ("touched", 1),
    ],
)
def test_update_of_a_watched_column_counts_once(column: str, value: object) -> None:
    """Whatever CityTrips sees, or decides whether a vehicle is offered, raises the version by one."""
    make()
    Vehicle.objects.filter(pk="ES-1").update(**{column: value})
    assert numbers() == (2, 0)
    Vehicle.objects.filter(pk="ES-1").update(**{column: value})
    assert numbers() == (2, 0)


def pending_at() -> datetime:
    return Vehicle.objects.values_list("pending_at", flat=True).get(pk="ES-1")


def test_how_long_a_vehicle_waits() -> None:
    """From the first change after all was settled, or from when a part of what it had to say arrived; not from the last."""

    def is_new() -> bool:
        before = pending_at()
        Vehicle.objects.filter(pk="ES-1").update(battery=(F("battery") + 1) % 100)
        return pending_at() != before

    make()
    since = pending_at()
    assert timezone.now() - timedelta(minutes=1) < since <= timezone.now() + timedelta(seconds=1)
    Vehicle.objects.filter(pk="ES-1").update(pending_at=since - timedelta(days=3))
    assert not is_new()
    vehicles_settle(versions={"ES-1": 1}, listed=True)
    assert pending_at() >= since
    assert numbers() == (2, 1)
    Vehicle.objects.filter(pk="ES-1").update(pending_at=since - timedelta(days=3))
    assert not is_new()
    vehicles_settle(versions={"ES-1": 3}, listed=True)
    Vehicle.objects.filter(pk="ES-1").update(pending_at=since - timedelta(days=3), note="no word for CityTrips")
    assert pending_at() == since - timedelta(days=3)
    assert is_new()
    assert pending_at() >= since
    assert not is_new()


def test_other_columns_do_not_count() -> None:
    """What CityTrips never sees leaves the version alone."""
    make()
    Vehicle.objects.update(note="scratch on the door", vin="X1", listed=True, last_signal_at=timezone.now())
    assert numbers() == (1, 0)


def test_position_lost_and_found_counts() -> None:
    """A column that becomes null, or stops being null, has changed."""
    make()
    Vehicle.objects.update(latitude=None, longitude=None)
    Vehicle.objects.update(latitude=40.4, longitude=-3.7)
    assert numbers() == (3, 0)


def test_upsert_with_a_stale_version_counts() -> None:
    """An upsert that writes back an old number still makes its change pending."""
    stale = make()
    for battery in (70, 60, 50):
        Vehicle.objects.update(battery=battery)
    vehicles_settle(versions={"ES-1": 4}, listed=True)
    stale.battery = 40
    Vehicle.objects.bulk_create(
        [stale],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["battery", "version", "settled_version", "updated_at"],
    )
    assert numbers()[0] == 5
    assert Vehicle.objects.pending().exists()


def test_bulk_update_with_a_stale_version_counts() -> None:
    """bulk_update of a stale copy, version included, counts as one change and not backwards."""
    stale = make()
    Vehicle.objects.update(battery=70)
    stale.battery = 60
    Vehicle.objects.bulk_update([stale], ["battery", "version"])
    assert numbers() == (3, 0)


def test_save_of_a_stale_copy_counts() -> None:
    """save() of a stale copy cannot hide a change, nor take back what the line noted."""
    stale = make()
    Vehicle.objects.update(battery=70)
    vehicles_list(ids=["ES-1"])
    vehicles_settle(versions={"ES-1": 2}, listed=True)
    stale.battery = 60
    stale.save()
    row = Vehicle.objects.get()
    assert (row.version, row.settled_version, row.listed) == (3, 2, True)


def test_djangos_own_save_of_a_stale_copy_counts() -> None:
    """Even a save that writes every column leaves the vehicle pending."""
    stale = make()
    for battery in (70, 60):
        Vehicle.objects.update(battery=battery)
    vehicles_settle(versions={"ES-1": 3}, listed=True)
    stale.battery = 50
    models.Model.save(stale)
    version, settled = numbers()
    assert version == 4
    assert settled < version


def test_raw_statements_count() -> None:
    """Hand-written SQL counts too, and cannot choose the number."""
    make()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE fleet_vehicle SET battery = battery - 1")
        cursor.execute("UPDATE fleet_vehicle SET version = 50")
        cursor.execute("UPDATE fleet_vehicle SET version = 1, settled_version = 0")
        cursor.execute("UPDATE fleet_vehicle SET battery = 5, version = 1")
    assert numbers() == (3, 0)


def test_settled_never_passes_the_version() -> None:
    """A version that does not exist yet cannot be settled in advance."""
    make()
    Vehicle.objects.update(settled_version=99)
    assert numbers() == (1, 1)
    Vehicle.objects.update(battery=3)
    assert list(Vehicle.objects.pending().values_list("id", flat=True)) == ["ES-1"]


@pytest.mark.django_db(transaction=True)
def test_many_writers_at_once() -> None:
    """Each of many changes at the same moment is numbered; none takes another's number."""
    make(battery=0)

    def write() -> None:
        for _ in range(20):
            with transaction.atomic():
                Vehicle.objects.update(battery=(F("battery") + 1) % 100)
        connection.close()

    writers = [Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert Vehicle.objects.values_list("battery", "version").get() == (80, 81)


def test_setting_many_in_one_statement() -> None:
    """One statement over many rows raises each row's own version."""
    for number in range(5):
        make(f"ES-{number}", battery=10 * number)
    Vehicle.objects.update(battery=20)
    assert list(Vehicle.objects.values_list("version", flat=True)) == [2, 2, 1, 2, 2]


def test_without_the_triggers_changes_would_be_lost() -> None:
    """The safeguard off: the change is not pending, and the system check says so."""
    make()
    vehicles_settle(versions={"ES-1": 1}, listed=True)
    triggers.remove(connection)
    try:
        Vehicle.objects.update(battery=7)
        assert not Vehicle.objects.pending().exists()
        assert [found.id for found in version_triggers(None)] == ["fleet.E001"]
    finally:
        triggers.install(connection)
    assert version_triggers(None) == []
    vehicle_update(vehicle=Vehicle.objects.get(), values={"battery": 8})
    assert Vehicle.objects.pending().exists()


@pytest.mark.django_db(transaction=True)
def test_migrate_puts_them_back() -> None:
    """Whatever dropped them, the next migrate installs them, though there is nothing to migrate."""
    triggers.remove(connection)
    assert not triggers.are_installed(connection)
    call_command("migrate", verbosity=0)
    assert triggers.are_installed(connection)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's triggers are compared by their text")
@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE fleet_vehicle DISABLE TRIGGER fleet_vehicle_version",
        "DROP TRIGGER fleet_vehicle_version ON fleet_vehicle",
        "DROP TRIGGER fleet_vehicle_version ON fleet_vehicle; CREATE TRIGGER fleet_vehicle_version BEFORE INSERT OR "
        "UPDATE OF battery ON fleet_vehicle FOR EACH ROW EXECUTE FUNCTION fleet_vehicle_version()",
        "DROP TRIGGER fleet_vehicle_version ON fleet_vehicle; CREATE TRIGGER fleet_vehicle_version BEFORE INSERT OR "
        "UPDATE ON fleet_vehicle FOR EACH ROW EXECUTE FUNCTION fleet_vehicle_version()",
    ],
)
def test_a_trigger_that_is_another_is_found_and_replaced(statement: str) -> None:
    """One that is disabled, gone, or of an earlier version is no trigger; installing puts it right."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
    assert not triggers.are_installed(connection)
    triggers.install(connection)
    assert triggers.are_installed(connection)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite rebuilds tables")
@pytest.mark.django_db(transaction=True)
def test_a_rebuilt_table_gets_them_back() -> None:
    """Altering a column rebuilds the table on SQLite, without its triggers, until migrate has ended."""
    with connection.schema_editor() as editor:
        editor._remake_table(Vehicle)
    assert not triggers.are_installed(connection)
    call_command("migrate", verbosity=0)
    assert triggers.are_installed(connection)


def test_pending_is_answered_from_the_partial_index() -> None:
    """The question asked every second does not read the fleet."""
    Vehicle.objects.bulk_create([Vehicle(id=f"V{number}") for number in range(300)])
    Vehicle.objects.update(settled_version=1)
    Vehicle.objects.filter(id="V7").update(battery=4)
    query = Vehicle.objects.pending().values_list("id", flat=True)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE fleet_vehicle")
            cursor.execute("SET LOCAL enable_seqscan = off")
    assert "vehicle_pending" in query.explain()
    assert list(query) == ["V7"]


@pytest.mark.parametrize(
    "values",
    [
        {"id": "a b"},
        {"id": ""},
        {"id": "x\n"},
        {"id": "x" * 65},
        {"id": "ñ"},
        {"battery": 101},
        {"battery": -1},
        {"latitude": 90.1, "longitude": 0.1},
        {"latitude": 1.0, "longitude": 180.5},
        {"latitude": 1.0},
        {"latitude": float("nan"), "longitude": 1.0},
        {"longitude": float("inf"), "latitude": 1.0},
        {"state": "sleeping"},
        {"kind": "submarine"},
        {"plate": "x" * 17},
        {"vin": "x" * 33},
        {"model": "x" * 81},
        {"country": "x" * 61},
        {"city": "x" * 81},
        {"note": "x" * 4001},
        {"last_signal_at": datetime(1999, 12, 31, tzinfo=UTC)},
        {"last_signal_at": datetime(2100, 1, 1, tzinfo=UTC)},
    ],
    ids=str,
)
def test_the_database_refuses_what_is_out_of_range(values: dict[str, object]) -> None:
    """The ranges hold for statements that pass by every form and service."""
    with pytest.raises(DatabaseError), transaction.atomic():
        Vehicle.objects.bulk_create([Vehicle(**{"id": "ES-1", **values})])
