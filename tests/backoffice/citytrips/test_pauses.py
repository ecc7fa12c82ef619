"""What is held back while a city is paused, and what becomes of it, in the tables."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from backoffice.citytrips import bridge, fulls, pauses, selectors
from backoffice.citytrips.models import Pause, PausedVehicle
from fleet.models import Vehicle
from fleet.services import vehicle_update, vehicles_settle
from tests.backoffice.citytrips.pausing import EVERYTHING, MADRID, begin, end
from tests.fleet.factories import make
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

Patch = pytest.MonkeyPatch


def change(vehicle: str, **values: object) -> None:
    vehicle_update(vehicle=Vehicle.objects.get(pk=vehicle), values=values)


def read_full(token: uuid.UUID) -> tuple[dict[str, dict[str, Any]], fulls.FullReader]:
    reader = fulls.FullReader(token)
    text = b"".join(iter(reader.read, None))
    return {vehicle["id"]: vehicle for vehicle in json.loads(text)["payload"]}, reader


def sent(token: uuid.UUID) -> None:
    """All that is offered was sent in a full, which has settled."""
    _vehicles, reader = read_full(token)
    vehicles_settle(versions=reader.versions, listed=True)


# --- What waits --------------------------------------------------------------------------------------------------


def test_a_paused_city_waits_and_the_others_go_on(two_cities, token: uuid.UUID) -> None:
    """Neither the look nor an incremental knows of what changed in the paused city; a full carries it as it was."""
    sent(token)
    begin(**MADRID)
    for vehicle in ("ES-1", "SE-1"):
        change(vehicle, battery=41)
    make("ES-9")
    assert bridge.Changes(token).look().offered == {"SE-1": 2}
    batch = bridge.Changes(token).collect({"ES-1", "ES-9", "SE-1"})
    assert batch is not None
    assert batch.versions == {"SE-1": 2}
    vehicles, reader = read_full(token)
    assert {name: one["battery"] for name, one in vehicles.items()} == {"ES-1": 80, "ES-2": 80, "SE-1": 41, "SE-2": 80}
    assert reader.versions == {"SE-1": 2}
    assert reader.absent == {}


def carried_after_a_pause_since_the_look(token: uuid.UUID) -> dict[str, int]:
    """What is sent of two changes that a look has read, when one's city is paused before they are collected."""
    sent(token)
    for vehicle in ("ES-1", "SE-1"):
        change(vehicle, battery=41)
    changes = bridge.Changes(token)
    pending = changes.look()
    assert pending.offered == {"ES-1": 2, "SE-1": 2}
    begin(**MADRID)
    batch = changes.collect(pending.offered.keys())
    assert batch is not None
    return dict(batch.versions)


def test_a_pause_since_the_look_holds_back_what_it_read(two_cities, token: uuid.UUID, nothing_grows_stale) -> None:
    """What was read before the pause began is not sent after it."""
    assert carried_after_a_pause_since_the_look(token) == {"SE-1": 2}


def test_control_sending_what_was_read_before_the_pause(
    two_cities, token: uuid.UUID, monkeypatch: Patch, nothing_grows_stale
) -> None:
    """With pauses asked for only once, the change would go out though staff hold it back."""
    monkeypatch.setattr(bridge.pauses, "pauses_of_cities", list)
    assert carried_after_a_pause_since_the_look(token) == {"ES-1": 2, "SE-1": 2}


def pending_after_a_full(token: uuid.UUID) -> dict[str, int]:
    """What of a paused city is to be sent on resume, after a full that carried it as it was has settled."""
    sent(token)
    begin(**MADRID)
    change("ES-1", battery=41)
    _vehicles, reader = read_full(token)
    bridge.settle(token, reader.versions, reader.absent)
    end()
    return dict(bridge.Changes(token).look().offered)


def test_a_full_that_carries_what_was_settles_nothing_that_came_later(two_cities, token: uuid.UUID) -> None:
    """The change is still to be told, and goes on resume without another full."""
    assert pending_after_a_full(token) == {"ES-1": 2}


def test_control_counting_what_came_later_as_told(two_cities, token: uuid.UUID, monkeypatch: Patch) -> None:
    """Settled at the version of now, the change would never be told."""
    sort = fulls.FullReader._sort

    def count(reader: fulls.FullReader, rows: list[Any], kept: Any, since: Any) -> Any:
        carried = sort(reader, rows, kept, since)
        reader.versions |= {row[0]: row[1] for row in rows if row[0] in kept}
        return carried

    monkeypatch.setattr(fulls.FullReader, "_sort", count)
    assert pending_after_a_full(token) == {}


@pytest.fixture(params=["full", "incremental"])
def overtaken(
    two_cities, request: pytest.FixtureRequest, monkeypatch: Patch, token: uuid.UUID
) -> dict[str, dict[str, Any]]:
    """A full after a pause that began between the reading of a send and its sending; the vehicle changed once more."""
    sent(token)
    change("ES-1", battery=41)
    begun = []

    class Late(bridge.Cargo):
        def write_down(self, *arguments: Any, **named: Any) -> None:
            if not begun:
                begun.append(begin(**MADRID))
            super().write_down(*arguments, **named)

    monkeypatch.setattr(bridge, "Cargo", Late)
    if request.param == "full":
        read_full(token)
    else:
        assert bridge.Changes(token).collect({"ES-1"}) is not None
    assert begun
    change("ES-1", battery=30)
    vehicles, _reader = read_full(token)
    return vehicles


def test_a_pause_that_begins_while_a_send_is_collected_holds(overtaken) -> None:
    """What is told at that moment is what the partner goes on holding; nothing is withdrawn."""
    assert {name: one["battery"] for name, one in overtaken.items()} == {"ES-1": 41, "ES-2": 80, "SE-1": 80, "SE-2": 80}


def test_a_pause_that_begins_between_two_pages_of_a_full_counts(
    two_cities, monkeypatch: Patch, token: uuid.UUID
) -> None:
    """What moved out of it before its page was read is told anew, so that its copy goes, though another city was paused."""
    monkeypatch.setattr(bridge, "PAGE", 2)
    sent(token)
    begin(country="Spain", city="Vigo")
    reader = fulls.FullReader(token)
    assert reader.read() is not None
    begin(country="Spain", city="Sevilla")
    assert PausedVehicle.objects.filter(vehicle="SE-1").exists()
    change("SE-1", city="Lugo")
    while reader.read() is not None:
        pass
    assert sorted(PausedVehicle.objects.values_list("vehicle", flat=True)) == ["SE-2"]


def test_what_is_kept_counts_as_held(two_cities, token: uuid.UUID) -> None:
    """Left out by a full under one pause and copied by the next before that full has settled, a vehicle is not lost sight of."""
    sent(token)
    begin(**MADRID)
    change("SE-1", city="Madrid")
    _vehicles, reader = read_full(token)
    assert "SE-1" in reader.absent
    end()
    begin(**MADRID)
    bridge.settle(token, reader.versions, reader.absent)
    assert not Vehicle.objects.get(pk="SE-1").listed
    vehicles, _reader = read_full(token)
    assert "SE-1" in vehicles
    assert Vehicle.objects.get(pk="SE-1").listed


def test_a_pause_waits_for_who_has_locked_a_vehicle(two_cities, token) -> None:
    """PostgreSQL: who has locked one writes it, and the pause begins then; neither ends in a deadlock."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time by itself")
    sent(token)
    begun = threading.Thread(target=lambda: (begin(**MADRID), connection.close()))
    with transaction.atomic():
        Vehicle.objects.select_for_update().get(pk="ES-1")
        begun.start()
        # Once it waits for a lock: for the table, or, were it let in, in its own commit.
        until = time.monotonic() + 30
        while not _somebody_waits() and time.monotonic() < until:
            time.sleep(0.02)
        assert _somebody_waits()
        Vehicle.objects.filter(pk="ES-1").update(battery=41)
    begun.join()
    assert Pause.objects.filter(resumed_at=None).count() == 1
    assert PausedVehicle.objects.get(vehicle="ES-1").battery == 41


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE datname = current_database() AND NOT granted"
        )
        return bool(cursor.fetchone()[0])


def test_what_leaves_the_street_in_a_paused_city_stays_at_the_partner(two_cities, token: uuid.UUID) -> None:
    """A vehicle that is no longer offered is withdrawn only when its city goes on."""
    sent(token)
    pause = begin(**MADRID)
    change("ES-1", state="on_trip", battery=3)
    assert bridge.Changes(token).look().leaving == {}
    vehicles, reader = read_full(token)
    assert vehicles["ES-1"]["battery"] == 80
    assert reader.absent == {}
    assert pauses.pause_end(pause=pause, actor=User.objects.get())
    assert bridge.Changes(token).look().leaving == {"ES-1": 2}
    vehicles, reader = read_full(token)
    assert "ES-1" not in vehicles
    assert reader.absent == {"ES-1": 2}


def test_a_change_from_before_the_pause_may_arrive_with_a_full(two_cities, token: uuid.UUID) -> None:
    """What had changed when the pause began is part of what is kept; a full carries it, and it settles."""
    sent(token)
    change("ES-1", battery=41)
    begin(**MADRID)
    assert bridge.Changes(token).look().offered == {}
    vehicles, reader = read_full(token)
    assert vehicles["ES-1"]["battery"] == 41
    assert reader.versions == {"ES-1": 2}


def test_a_vehicle_that_moves_out_counts_for_its_new_city(two_cities, token: uuid.UUID) -> None:
    """It goes with the next incremental; if it comes back afterwards, it is withdrawn from there and waits."""
    sent(token)
    begin(**MADRID)
    change("ES-1", city="Sevilla")
    assert bridge.Changes(token).look().offered == {"ES-1": 2}
    batch = bridge.Changes(token).collect({"ES-1"})
    assert batch is not None
    bridge.settle(token, batch.versions, {})
    assert read_full(token)[0]["ES-1"]["city"] == "Sevilla"
    change("ES-1", city="Madrid")
    assert bridge.Changes(token).look().leaving == {"ES-1": 3}
    vehicles, reader = read_full(token)
    assert "ES-1" not in vehicles
    bridge.settle(token, reader.versions, reader.absent)
    assert bridge.Changes(token).look().leaving == {}
    assert bridge.backlog(list(pauses.pauses_open())).paused == {("Spain", "Madrid"): 1}
    end()
    assert bridge.Changes(token).look().offered.keys() == {"ES-1"}


def test_what_comes_back_before_it_is_told_is_kept(two_cities, token: uuid.UUID, nothing_grows_stale) -> None:
    """Read in another city, and back in the paused one before that was sent, it is not withdrawn if the message never leaves."""
    sent(token)
    begin(**MADRID)
    change("ES-1", city="Sevilla")
    changes = bridge.Changes(token)
    pending = changes.look()
    change("ES-1", city="Madrid")
    assert changes.collect(pending.offered.keys()) is not None
    vehicles, _reader = read_full(token)
    assert vehicles["ES-1"]["city"] == "Madrid"


def test_a_vehicle_that_moves_in_is_withdrawn_and_waits(two_cities, token: uuid.UUID) -> None:
    """CityTrips held it elsewhere: the next full drops it there, and it stays pending until its new city goes on."""
    sent(token)
    begin(**MADRID)
    change("SE-1", city="Madrid")
    assert bridge.Changes(token).look().leaving == {"SE-1": 2}
    vehicles, reader = read_full(token)
    assert "SE-1" not in vehicles
    bridge.settle(token, reader.versions, reader.absent)
    row = Vehicle.objects.with_citytrips_status().get(pk="SE-1")
    assert (row.listed, row.citytrips_status) == (False, "pending")
    assert bridge.Changes(token).look().offered == {}
    end()
    assert bridge.Changes(token).look().offered.keys() == {"SE-1"}


def test_control_settling_what_a_pause_left_out(two_cities, token: uuid.UUID, monkeypatch: Patch) -> None:
    """Settled like any vehicle that a full leaves out, one that moved in would count as told, and be lost."""
    monkeypatch.setattr(bridge, "_left_out_by_a_pause", lambda absent: {})
    sent(token)
    begin(**MADRID)
    change("SE-1", city="Madrid")
    _vehicles, reader = read_full(token)
    bridge.settle(token, reader.versions, reader.absent)
    end()
    assert bridge.Changes(token).look().offered == {}


def test_a_vehicle_that_moves_and_comes_back_unseen_is_kept(two_cities, token: uuid.UUID) -> None:
    """CityTrips was told nothing meanwhile, so what it is to hold is still what it holds."""
    sent(token)
    begin(**MADRID)
    change("ES-1", city="Sevilla")
    change("ES-1", city="Madrid", battery=41)
    assert bridge.Changes(token).look().offered == {}
    assert read_full(token)[0]["ES-1"]["battery"] == 80


def test_what_was_objected_to_is_left_out_of_a_full_though_it_is_kept(two_cities, token) -> None:
    """A full that was refused goes without it; what it has changed into since makes no difference."""
    sent(token)
    Vehicle.objects.filter(pk="ES-1").update(objected_version=1)
    begin(**MADRID)
    change("ES-1", battery=41)
    reader = fulls.FullReader(token, leave_out_objected=True)
    text = b"".join(iter(reader.read, None))
    assert b"ES-1" not in text
    assert b"ES-2" in text
    assert "ES-1" not in reader.absent
    assert reader.left_out == ["ES-1"]


def test_a_pause_that_ends_between_two_reads_of_a_page_leaves_nothing_out(
    two_cities, monkeypatch: Patch, token: uuid.UUID
) -> None:
    """The copies go with the pause; the page is read again then."""
    sent(token)
    begin(**MADRID)
    read = pauses.copies

    def late(vehicles: list[str]) -> dict[str, tuple[Any, ...]]:
        end()
        return read(vehicles)

    monkeypatch.setattr(pauses, "copies", late)
    assert read_full(token)[0].keys() == {"ES-1", "ES-2", "SE-1", "SE-2"}


def test_a_pause_is_one_row_though_two_begin_it_at_once(two_cities) -> None:
    """The second is told that it was paused already; so is whoever resumes twice."""
    together = threading.Barrier(2)
    made: list[Pause | None] = []

    def act() -> None:
        together.wait()
        try:
            actor = User.objects.get()
            made.append(pauses.pause_begin(**MADRID, reason="road works", actor=actor))
        finally:
            connection.close()

    threads = [threading.Thread(target=act) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(pause is not None for pause in made) == 1
    assert len(made) == 2
    pause = Pause.objects.get()
    assert pauses.pause_end(pause=pause, actor=User.objects.get())
    assert not pauses.pause_end(pause=pause, actor=User.objects.get())
    assert not PausedVehicle.objects.exists()


@pytest.mark.parametrize("wrong", [{"reason": ""}, {"country": "Spain"}, {"city": "Madrid"}])
def test_what_no_pause_may_be(ana: User, wrong: dict[str, str]) -> None:
    """Without a reason, or of half a place, it is refused by the database."""
    with pytest.raises(IntegrityError), transaction.atomic():
        Pause.objects.create(**{**EVERYTHING, "reason": "x", "paused_by": ana, **wrong})


def test_a_city_without_a_name_is_not_everything(ana: User, token: uuid.UUID) -> None:
    """A vehicle whose city is not known is held back by no pause of a city."""
    make("ES-1", city="")
    make("ES-2")
    begin(**MADRID)
    assert bridge.Changes(token).look().offered == {"ES-1": 1}


@pytest.mark.parametrize("number", [10, 500])
def test_the_summary_asks_the_same_for_any_number_of_vehicles(
    ana: User, django_assert_num_queries, number: int
) -> None:
    """What waits because of a pause is counted by the database."""
    for index in range(10):
        make(f"ES-{index}")
    template = Vehicle.objects.get(pk="ES-0")
    for index in range(10, number):
        template.pk = f"ES-{index}"
        template._state.adding = True
        template.save(force_insert=True)
    begin(**MADRID)
    with django_assert_num_queries(7):
        summary = selectors.link_summary()
    (now,) = summary.pauses
    assert (now.waiting, summary.pending) == (number, 0)
