"""What a source tells comes into the fleet, all or nothing, with its history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fleet import events, imports, merging, staging
from fleet.errors import NotApplicable, TooManyRetired
from fleet.models import ImportRun, ImportState, StagedVehicle, Vehicle, VehicleChange
from fleet.services import rules_update, vehicle_create, vehicle_update, vehicles_settle
from tests.fleet.factories import make
from tests.fleet.staged import counts, merged, read, reasons

pytestmark = pytest.mark.django_db


def history() -> list[tuple[str, str, dict[str, object], bool]]:
    changes = VehicleChange.objects.exclude(run=None).order_by("vehicle_id", "id")
    return list(changes.values_list("vehicle_id", "origin", "values", "added"))


def test_added_changed_unchanged() -> None:
    """Each record is counted for what it does, and only a change is pending."""
    make("1", battery=50)
    make("2", battery=60)
    vehicles_settle(versions={"1": 1, "2": 1}, listed=True)
    run = merged("id,battery\n1,50\n2,61\n3,70\n")
    assert counts(run) == {"added": 1, "changed": 1, "unchanged": 1}
    assert sorted(Vehicle.objects.pending().values_list("id", flat=True)) == ["2", "3"]
    assert Vehicle.objects.get(pk="3").state == "available"


def test_what_changed_is_written_down() -> None:
    """Each change has an entry with old and new of what differs; a new vehicle's has what it was added with."""
    make("1", battery=50)
    make("2")
    run = merged(
        'id,battery,plate,latitude,longitude,country,city\n1,51,1234 BCD,40.41683333333333,-3.7038,Spain,"A ""b"" ñ"\n'
        "2,80,1234 BCD,40.4168,-3.7038,Spain,Madrid\n3,,,,,,\n"
    )
    changed = {"battery": [50, 51], "latitude": [40.4168, 40.41683333333333], "city": ["Madrid", 'A "b" ñ']}
    assert history() == [
        ("1", "import", changed, False),
        ("3", "import", {"kind": [None, "car"], "state": [None, "available"]}, True),
    ]
    assert set(VehicleChange.objects.filter(run=run).values_list("at", flat=True)) == {run.applied_at}
    assert Vehicle.objects.get(pk="1").updated_at == run.applied_at
    assert Vehicle.objects.get(pk="2").updated_at < run.applied_at


def test_an_addition_tells_its_values() -> None:
    """Numbers and times stand in the history as they were told."""
    merged("id,lat,lon,battery,last_seen\n1,40.41683333333333,-3.7,0,2026-03-01T12:00:00.25+01:00\n")
    ((_id, _origin, values, added),) = history()
    assert added
    moment = values.pop("last_signal_at")
    assert datetime.fromisoformat(moment[1]) == datetime(2026, 3, 1, 11, 0, 0, 250_000, tzinfo=UTC)
    assert values == {
        "kind": [None, "car"],
        "latitude": [None, 40.41683333333333],
        "longitude": [None, -3.7],
        "battery": [None, 0],
        "state": [None, "available"],
    }


def test_what_the_source_leaves_out_stays() -> None:
    """A file of batteries changes batteries, and nothing that it has no column for."""
    before = make("1", vin="VIN1", note="scratch", kind="moped")
    merged("id,battery\n1,33\n")
    after = Vehicle.objects.get()
    assert (after.battery, after.plate, after.vin, after.note, after.kind) == (
        33,
        before.plate,
        "VIN1",
        "scratch",
        "moped",
    )
    assert after.listed == before.listed
    assert after.created_at == before.created_at


def test_an_empty_cell_empties() -> None:
    """A battery that the file no longer knows is no longer known."""
    make("1", battery=50)
    merged("id,battery\n1,\n")
    assert Vehicle.objects.get().battery is None


def test_a_removed_vehicle_comes_back() -> None:
    """A vehicle that was removed and is named again is available, unless the file tells its state."""
    make("1", state="removed")
    make("2", state="removed")
    make("3", state="on_trip")
    assert counts(merged("id,battery\n1,80\n3,80\n"))["changed"] == 1
    merged("id,state\n2,reserved\n")
    assert list(Vehicle.objects.values_list("state", flat=True)) == ["available", "reserved", "on_trip"]


def test_the_fleet_knows_the_country() -> None:
    """A position is checked against the country that the fleet knows, where the file names none."""
    make("1")
    run = merged("id,lat,lon\n1,-33.45,-70.66\n")
    assert "not in Spain" in reasons(run)[0][2]
    assert counts(run) == {"rejected": 1}
    assert Vehicle.objects.get().latitude == 40.4168


def test_the_same_vehicle_twice() -> None:
    """Of the rows that name the same vehicle all but the first are rejected, naming it."""
    run = merged("code,battery\n1,10\n2,20\n1,30\n1,40\n")
    assert counts(run) == {"added": 2, "rejected": 2}
    assert [(line, column) for line, column, _reason in reasons(run)] == [(4, "code"), (5, "code")]
    assert "line 2 already" in reasons(run)[0][2]
    assert Vehicle.objects.get(pk="1").battery == 10


def test_missing_vehicles_retire() -> None:
    """Vehicles that the source does not name are removed, but not those whose row was rejected."""
    for number in range(10):
        make(str(number))
    rows = "".join(f"{number},80\n" for number in range(8))
    run = merged("id,battery\n" + rows + "8,500\n", retire=True)
    assert counts(run) == {"unchanged": 8, "missing": 1, "retired": 1, "rejected": 1}
    assert Vehicle.objects.get(pk="9").state == "removed"
    assert Vehicle.objects.filter(state="available").count() == 9
    assert history() == [("9", "import", {"state": ["available", "removed"]}, False)]


def test_without_retirement_the_missing_stay() -> None:
    """Who is not named is counted, and stays."""
    make("1")
    make("2")
    assert counts(merged("id,battery\n1,80\n")) == {"unchanged": 1, "missing": 1}
    assert not Vehicle.objects.filter(state="removed").exists()


def test_an_empty_feed_withdraws_no_city() -> None:
    """More than a fifth is not retired, and nothing else is changed either, unless by force."""
    for number in range(10):
        make(str(number))
    rows = "id,battery\n" + "".join(f"{number},1\n" for number in range(7))
    with pytest.raises(TooManyRetired, match="3 of 10"):
        merged(rows, retire=True)
    assert Vehicle.objects.filter(battery=80, state="available").count() == 10
    assert history() == []
    waiting = ImportRun.objects.get()
    assert (waiting.state, "3 of 10" in waiting.failure) == (ImportState.READY, True)
    assert merged(rows, retire=True, force=True).retired == 3


def test_retirement_keeps_to_its_city() -> None:
    """A file for one city retires nothing elsewhere, and the fifth is counted in that city."""
    for number in range(5):
        make(f"M{number}")
        make(f"B{number}", city="Barcelona", latitude=41.39, longitude=2.17)
    rows = "id,battery\n" + "".join(f"M{number},80\n" for number in range(4))
    merged(rows, country="Spain", city="madrid", retire=True)
    assert list(Vehicle.objects.filter(state="removed").values_list("id", flat=True)) == ["M4"]


def test_demo_vehicles_are_left_alone() -> None:
    """An import neither changes nor retires what load_demo invented."""
    vehicle_create(id="D1", is_demo=True, state="available", battery=9)
    run = merged("id,battery\nD1,50\n", retire=True)
    assert counts(run) == {"rejected": 1}
    assert "demo" in reasons(run)[0][2]
    assert Vehicle.objects.get().battery == 9


# --- Signals -----------------------------------------------------------------------------------------------------

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def heard(text: str) -> ImportRun:
    return merged(f"id,battery,latitude,longitude,last_seen\n{text}")


def test_a_signal_is_never_set_back() -> None:
    """A row older than what telemetry told changes neither the last signal nor position and battery."""
    make("1", last_signal_at=NOON)
    run = heard(f"1,5,40.5,-3.6,{(NOON - timedelta(minutes=5)).isoformat()}\n")
    vehicle = Vehicle.objects.get()
    assert (vehicle.last_signal_at, vehicle.battery, vehicle.latitude) == (NOON, 80, 40.4168)
    assert counts(run) == {"unchanged": 1}


def test_a_later_signal_counts() -> None:
    """A row that is newer changes what it tells and the last signal; the signal alone is no change worth noting."""
    make("1", last_signal_at=NOON)
    make("2", last_signal_at=NOON)
    updated = Vehicle.objects.get(pk="2").updated_at
    later = NOON + timedelta(minutes=5)
    run = heard(f"1,5,40.4168,-3.7038,{later.isoformat()}\n2,80,40.4168,-3.7038,{later.isoformat()}\n")
    assert counts(run) == {"changed": 1, "unchanged": 1}
    assert list(Vehicle.objects.values_list("last_signal_at", flat=True)) == [later, later]
    assert Vehicle.objects.get(pk="2").updated_at == updated
    assert [(id, values) for id, _origin, values, _added in history()] == [("1", {"battery": [80, 5]})]


def test_silence_follows() -> None:
    """A vehicle that a source tells as heard lately is silent no longer, and a new one without a signal is."""
    rules_update(minimum_battery=20, silence_limit=60)
    make("1", last_signal_at=timezone.now() - timedelta(hours=5))
    assert Vehicle.objects.get().silent
    now = (timezone.now() - timedelta(minutes=1)).isoformat()
    merged(f"id,last_seen\n1,{now}\n2,{now}\n3,\n")
    assert dict(Vehicle.objects.values_list("id", "silent")) == {"1": False, "2": False, "3": True}


# --- The fleet as it is at that moment ---------------------------------------------------------------------------


def test_what_changed_since_the_preview_counts() -> None:
    """The merge compares with the fleet as it is then: the history's old values are those that were replaced."""
    make("1", battery=50)
    make("2", battery=50)
    run = read("id,battery\n1,60\n2,50\n3,70\n")
    assert counts(run) == {"added": 1, "changed": 1, "unchanged": 1}
    vehicle_update(vehicle=Vehicle(pk="1"), values={"battery": 60})
    vehicle_update(vehicle=Vehicle(pk="2"), values={"battery": 40})
    make("3", battery=10)
    imports.import_apply(run=run)
    run.refresh_from_db()
    assert {id: values for id, _origin, values, _added in history()} == {
        "2": {"battery": [40, 50]},
        "3": {"battery": [10, 70]},
    }
    assert (run.added, run.changed, run.unchanged) == (0, 2, 1)


def test_what_no_longer_fits_is_rejected() -> None:
    """A vehicle that moved to another country since the preview is not put back into the old one."""
    make("1")
    make("2")
    run = read("id,latitude,longitude\n1,40.5,-3.6\n2,40.5,-3.6\n")
    chile = {"country": "Chile", "city": "Santiago", "latitude": -33.45, "longitude": -70.66}
    vehicle_update(vehicle=Vehicle(pk="1"), values=chile)
    imports.import_apply(run=run)
    run.refresh_from_db()
    assert (run.changed, run.rejected) == (1, 1)
    assert Vehicle.objects.get(pk="1").latitude == -33.45
    assert "not in Chile" in reasons(run)[0][2]


def test_the_merge_itself_leaves_out_what_no_longer_fits() -> None:
    """Also where it changed between the last look and the merge."""
    make("1")
    run = read("id,latitude,longitude\n1,40.5,-3.6\n")
    real = staging.refuse_hindered

    def late(run: ImportRun) -> int:
        found = real(run)
        Vehicle.objects.update(country="Chile", latitude=-33.45, longitude=-70.66)
        return found

    with mock.patch.object(imports.staging, "refuse_hindered", late):
        imports.import_apply(run=run)
    run.refresh_from_db()
    assert (run.changed, run.rejected) == (0, 1)
    assert Vehicle.objects.get().latitude == -33.45


def test_an_import_is_applied_once() -> None:
    """A second press, or a second person, is told."""
    run = read("id\n1\n")
    imports.import_apply(run=run)
    with pytest.raises(NotApplicable):
        imports.import_apply(run=run)
    other = read("id\n2\n")
    imports.import_discard(run=other)
    with pytest.raises(NotApplicable):
        imports.import_apply(run=other)
    assert Vehicle.objects.count() == 1


def test_what_was_staged_and_is_gone_retires_nobody() -> None:
    """Where staged rows were lost, the import is refused: it would take the rest of the fleet for missing."""
    make("1")
    run = read("id\n1\n")
    StagedVehicle.objects.all().delete()
    with pytest.raises(NotApplicable, match="read it again"):
        imports.import_apply(run=run, retire_missing=True, force=True)
    assert Vehicle.objects.get().state == "available"


def test_a_failure_changes_nothing(logged_errors: None) -> None:
    """A merge that breaks off half-way leaves fleet, history and import as they were."""
    make("1", battery=50)
    run = read("id,battery\n1,60\n2,70\n")
    with mock.patch.object(merging._Merging, "hear", side_effect=RuntimeError), pytest.raises(RuntimeError):
        imports.import_apply(run=run)
    assert (Vehicle.objects.get().battery, history()) == (50, [])
    run.refresh_from_db()
    assert run.state == ImportState.READY
    imports.import_apply(run=run)
    assert Vehicle.objects.count() == 2


def test_listeners_hear_of_a_change_and_of_nothing_else(django_capture_on_commit_callbacks) -> None:
    """The line is woken by an import that changed something."""
    told: list[object] = []
    listener = lambda **signal: told.append(signal)  # noqa: E731
    events.vehicles_changed.connect(listener)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            merged("id\n1\n")
        assert len(told) == 1
        with django_capture_on_commit_callbacks(execute=True):
            merged("id\n1\n")
        assert len(told) == 1
    finally:
        events.vehicles_changed.disconnect(listener)


def test_statements_do_not_grow_with_the_rows() -> None:
    """Rows are merged set-wise: forty take as many statements as ten."""

    def statements(prefix: str, number: int) -> int:
        text = "id,battery\n" + "".join(f"{prefix}-{row},{row % 100}\n" for row in range(number))
        run = read(text)
        with CaptureQueriesContext(connection) as queries:
            imports.import_apply(run=run, retire_missing=True, force=True)
        return len(queries)

    statements("first", 3)  # so that each of the two has somebody to retire
    few, many = statements("a", 10), statements("b", 40)
    assert few == many
    assert many <= 32


def test_a_preview_writes_nothing_of_the_fleet() -> None:
    """Reading and comparing touches no vehicle."""
    make("1")
    before = list(Vehicle.objects.values())
    read("id,battery\n1,5\n2,6\n", retire_missing=True)
    assert list(Vehicle.objects.values()) == before


@pytest.mark.django_db(transaction=True)
def test_other_writers_wait_for_the_merge() -> None:
    """PostgreSQL: a writer that comes while the merge holds the vehicles waits, so that no entry tells a wrong old value."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time by itself")
    import psycopg

    make("1", battery=50)
    run = read("id,battery\n1,60\n")
    real = merging._Merging.change
    told: list[str] = []

    def change(self: merging._Merging) -> int:
        with psycopg.connect(_address(), autocommit=True) as other:
            other.execute("SET lock_timeout = '200ms'")
            try:
                other.execute("UPDATE fleet_vehicle SET battery = 10 WHERE id = '1'")
            except psycopg.errors.LockNotAvailable:
                told.append("waits")
            assert other.execute("SELECT battery FROM fleet_vehicle").fetchone() == (50,)
        return real(self)

    with mock.patch.object(merging._Merging, "change", change):
        imports.import_apply(run=run)
    assert told == ["waits"]


def _address() -> str:
    import psycopg

    parameters = connection.get_connection_params()
    names = ("dbname", "host", "port", "user", "password")
    return psycopg.conninfo.make_conninfo(**{name: parameters[name] for name in names if parameters.get(name)})


def test_nested_in_a_transaction_it_is_one() -> None:
    """Who calls it inside a transaction that fails finds nothing merged."""
    run = read("id\n1\n")

    def fail() -> None:
        with transaction.atomic():
            merging.merge(run)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not Vehicle.objects.exists()
