"""What is held back while a city is paused, or everything, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from backoffice.citytrips import bridge, pauses, selectors, services
from backoffice.citytrips.lease import LeaseKeeper
from backoffice.citytrips.models import Pause, PausedVehicle, SyncRequest
from backoffice.citytrips.session import Session
from backoffice.sandbox.faulty_server import Script
from fleet.models import Vehicle
from fleet.services import vehicle_update, vehicles_settle
from tests.backoffice.citytrips.faults import FULL, INCREMENTAL, Scene, play, process
from tests.fleet.factories import make
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

Patch = pytest.MonkeyPatch
MADRID = {"country": "Spain", "city": "Madrid"}
EVERYTHING = {"country": "", "city": ""}


@pytest.fixture
def ana() -> User:
    return User.objects.create_user("ana", "ana@example.com", is_staff=True)


@pytest.fixture
def two_cities(ana: User) -> None:
    """Two vehicles in Madrid and two in Sevilla."""
    for vehicle, city in (("ES-1", "Madrid"), ("ES-2", "Madrid"), ("SE-1", "Sevilla"), ("SE-2", "Sevilla")):
        make(vehicle, city=city)


@pytest.fixture
def token() -> uuid.UUID:
    keeper = LeaseKeeper(10)
    while not keeper.try_acquire():
        pass
    return keeper.token


def begin(**place: str) -> Pause:
    pause = pauses.pause_begin(**{**place, "reason": "road works", "actor": User.objects.get(username="ana")})
    assert pause is not None
    return pause


def end() -> None:
    for pause in pauses.pauses_open():
        assert pauses.pause_end(pause=pause, actor=User.objects.get(username="ana"))


def change(vehicle: str, **values: object) -> None:
    vehicle_update(vehicle=Vehicle.objects.get(pk=vehicle), values=values)


def read_full() -> tuple[dict[str, dict[str, Any]], bridge.FullReader]:
    reader = bridge.FullReader()
    text = b"".join(iter(reader.read, None))
    return {vehicle["id"]: vehicle for vehicle in json.loads(text)["payload"]}, reader


def sent() -> None:
    """All that is offered was sent in a full, which has settled."""
    _vehicles, reader = read_full()
    vehicles_settle(versions=reader.versions, listed=True)


# --- What waits --------------------------------------------------------------------------------------------------


def test_a_paused_city_waits_and_the_others_go_on(two_cities, token: uuid.UUID) -> None:
    """Neither the look nor an incremental knows of what changed in the paused city; a full carries it as it was."""
    sent()
    begin(**MADRID)
    for vehicle in ("ES-1", "SE-1"):
        change(vehicle, battery=41)
    make("ES-9")
    assert bridge.look(token).offered == {"SE-1": 2}
    batch = bridge.collect_incremental({"ES-1", "ES-9", "SE-1"})
    assert batch is not None
    assert batch.versions == {"SE-1": 2}
    vehicles, reader = read_full()
    assert {name: one["battery"] for name, one in vehicles.items()} == {"ES-1": 80, "ES-2": 80, "SE-1": 41, "SE-2": 80}
    assert reader.versions == {"SE-1": 2}
    assert reader.absent == {}


def pending_after_a_full(token: uuid.UUID) -> dict[str, int]:
    """What of a paused city is to be sent on resume, after a full that carried it as it was has settled."""
    sent()
    begin(**MADRID)
    change("ES-1", battery=41)
    _vehicles, reader = read_full()
    bridge.settle(token, reader.versions, reader.absent)
    end()
    return dict(bridge.look(token).offered)


def test_a_full_that_carries_what_was_settles_nothing_that_came_later(two_cities, token: uuid.UUID) -> None:
    """The change is still to be told, and goes on resume without another full."""
    assert pending_after_a_full(token) == {"ES-1": 2}


def test_control_counting_what_came_later_as_told(two_cities, token: uuid.UUID, monkeypatch: Patch) -> None:
    """Settled at the version of now, the change would never be told."""
    sort = bridge.FullReader._sort

    def count(reader: bridge.FullReader, rows: list[Any], kept: Any, since: Any) -> Any:
        carried = sort(reader, rows, kept, since)
        reader.versions |= {row[0]: row[1] for row in rows if row[0] in kept}
        return carried

    monkeypatch.setattr(bridge.FullReader, "_sort", count)
    assert pending_after_a_full(token) == {}


@pytest.fixture(params=["full", "incremental"])
def overtaken(two_cities, request: pytest.FixtureRequest, monkeypatch: Patch) -> dict[str, dict[str, Any]]:
    """A full after a pause that began between the reading of a send and its sending; the vehicle changed once more."""
    sent()
    change("ES-1", battery=41)
    note, begun = bridge.vehicles_object, []

    def begin_before_it_leaves(*, versions: dict[str, int]) -> None:
        note(versions=versions)
        if not begun:
            begun.append(begin(**MADRID))

    monkeypatch.setattr(bridge, "vehicles_object", begin_before_it_leaves)
    if request.param == "full":
        read_full()
    else:
        assert bridge.collect_incremental({"ES-1"}) is not None
    assert begun
    change("ES-1", battery=30)
    vehicles, _reader = read_full()
    return vehicles


def test_a_pause_that_begins_while_a_send_is_collected_holds(overtaken) -> None:
    """What is told at that moment is what the partner goes on holding; nothing is withdrawn."""
    assert {name: one["battery"] for name, one in overtaken.items()} == {"ES-1": 41, "ES-2": 80, "SE-1": 80, "SE-2": 80}


def test_a_pause_that_begins_between_two_pages_of_a_full_counts(two_cities, monkeypatch: Patch) -> None:
    """What moved out of it before its page was read is told anew, so that its copy goes, though another city was paused."""
    monkeypatch.setattr(bridge, "PAGE", 2)
    sent()
    begin(country="Spain", city="Vigo")
    reader = bridge.FullReader()
    assert reader.read() is not None
    begin(country="Spain", city="Sevilla")
    assert PausedVehicle.objects.filter(vehicle="SE-1").exists()
    change("SE-1", city="Lugo")
    while reader.read() is not None:
        pass
    assert sorted(PausedVehicle.objects.values_list("vehicle", flat=True)) == ["SE-2"]


def test_what_is_kept_counts_as_held(two_cities, token: uuid.UUID) -> None:
    """Left out by a full under one pause and copied by the next before that full has settled, a vehicle is not lost sight of."""
    sent()
    begin(**MADRID)
    change("SE-1", city="Madrid")
    _vehicles, reader = read_full()
    assert "SE-1" in reader.absent
    end()
    begin(**MADRID)
    bridge.settle(token, reader.versions, reader.absent)
    assert not Vehicle.objects.get(pk="SE-1").listed
    vehicles, _reader = read_full()
    assert "SE-1" in vehicles
    assert Vehicle.objects.get(pk="SE-1").listed


def test_a_pause_waits_for_who_has_locked_a_vehicle(two_cities) -> None:
    """PostgreSQL: who has locked one writes it, and the pause begins then; neither ends in a deadlock."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time by itself")
    sent()
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
    sent()
    pause = begin(**MADRID)
    change("ES-1", state="on_trip", battery=3)
    assert bridge.look(token).leaving == {}
    vehicles, reader = read_full()
    assert vehicles["ES-1"]["battery"] == 80
    assert reader.absent == {}
    assert pauses.pause_end(pause=pause, actor=User.objects.get())
    assert bridge.look(token).leaving == {"ES-1": 2}
    vehicles, reader = read_full()
    assert "ES-1" not in vehicles
    assert reader.absent == {"ES-1": 2}


def test_a_change_from_before_the_pause_may_arrive_with_a_full(two_cities, token: uuid.UUID) -> None:
    """What had changed when the pause began is part of what is kept; a full carries it, and it settles."""
    sent()
    change("ES-1", battery=41)
    begin(**MADRID)
    assert bridge.look(token).offered == {}
    vehicles, reader = read_full()
    assert vehicles["ES-1"]["battery"] == 41
    assert reader.versions == {"ES-1": 2}


def test_a_vehicle_that_moves_out_counts_for_its_new_city(two_cities, token: uuid.UUID) -> None:
    """It goes with the next incremental; if it comes back afterwards, it is withdrawn from there and waits."""
    sent()
    begin(**MADRID)
    change("ES-1", city="Sevilla")
    assert bridge.look(token).offered == {"ES-1": 2}
    batch = bridge.collect_incremental({"ES-1"})
    assert batch is not None
    bridge.settle(token, batch.versions, {})
    assert read_full()[0]["ES-1"]["city"] == "Sevilla"
    change("ES-1", city="Madrid")
    assert bridge.look(token).leaving == {"ES-1": 3}
    vehicles, reader = read_full()
    assert "ES-1" not in vehicles
    bridge.settle(token, reader.versions, reader.absent)
    assert bridge.look(token).leaving == {}
    assert bridge.backlog(list(pauses.pauses_open())).paused == {("Spain", "Madrid"): 1}
    end()
    assert bridge.look(token).offered.keys() == {"ES-1"}


def test_a_vehicle_that_moves_in_is_withdrawn_and_waits(two_cities, token: uuid.UUID) -> None:
    """CityTrips held it elsewhere: the next full drops it there, and it stays pending until its new city goes on."""
    sent()
    begin(**MADRID)
    change("SE-1", city="Madrid")
    assert bridge.look(token).leaving == {"SE-1": 2}
    vehicles, reader = read_full()
    assert "SE-1" not in vehicles
    bridge.settle(token, reader.versions, reader.absent)
    row = Vehicle.objects.with_citytrips_status().get(pk="SE-1")
    assert (row.listed, row.citytrips_status) == (False, "pending")
    assert bridge.look(token).offered == {}
    end()
    assert bridge.look(token).offered.keys() == {"SE-1"}


def test_control_settling_what_a_pause_left_out(two_cities, token: uuid.UUID, monkeypatch: Patch) -> None:
    """Settled like any vehicle that a full leaves out, one that moved in would count as told, and be lost."""
    monkeypatch.setattr(bridge, "_left_out_by_a_pause", lambda absent: {})
    sent()
    begin(**MADRID)
    change("SE-1", city="Madrid")
    _vehicles, reader = read_full()
    bridge.settle(token, reader.versions, reader.absent)
    end()
    assert bridge.look(token).offered == {}


def test_a_vehicle_that_moves_and_comes_back_unseen_is_kept(two_cities, token: uuid.UUID) -> None:
    """CityTrips was told nothing meanwhile, so what it is to hold is still what it holds."""
    sent()
    begin(**MADRID)
    change("ES-1", city="Sevilla")
    change("ES-1", city="Madrid", battery=41)
    assert bridge.look(token).offered == {}
    assert read_full()[0]["ES-1"]["battery"] == 80


def test_what_was_objected_to_is_left_out_of_a_full_though_it_is_kept(two_cities) -> None:
    """A full that was refused goes without it; what it has changed into since makes no difference."""
    sent()
    Vehicle.objects.filter(pk="ES-1").update(objected_version=1)
    begin(**MADRID)
    change("ES-1", battery=41)
    reader = bridge.FullReader(leave_out_objected=True)
    text = b"".join(iter(reader.read, None))
    assert b"ES-1" not in text
    assert b"ES-2" in text
    assert "ES-1" not in reader.absent


def test_a_pause_that_ends_between_two_reads_of_a_page_leaves_nothing_out(two_cities, monkeypatch: Patch) -> None:
    """The copies go with the pause; the page is read again then."""
    sent()
    begin(**MADRID)
    read = pauses.copies

    def late(vehicles: list[str]) -> dict[str, tuple[Any, ...]]:
        end()
        return read(vehicles)

    monkeypatch.setattr(pauses, "copies", late)
    assert read_full()[0].keys() == {"ES-1", "ES-2", "SE-1", "SE-2"}


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
    assert bridge.look(token).offered == {"ES-1": 1}


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


# --- Over a real socket ------------------------------------------------------------------------------------------


def held_of_a_paused_city(settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a partner holds of Madrid before its pause, and after changes and a full under it."""
    seen: list[dict[str, Any]] = []

    def madrid(scene: Scene) -> dict[str, Any]:
        return {name: one for name, one in scene.partner.truth.vehicles.items() if name.startswith("ES")}

    async def story(scene: Scene) -> None:
        await scene.until_equal()
        await scene.settled()
        seen.append(madrid(scene))
        await scene.database(lambda: begin(**MADRID))
        await scene.change("ES-1", battery=41)
        await scene.change("ES-2", state="on_trip")
        await scene.database(lambda: make("ES-9"))
        await scene.change("SE-1", battery=42)
        await scene.change("SE-2", state="on_trip")
        before = scene.partner.truth.messages[FULL]
        scene.partner.ask()
        await scene.until(lambda: scene.batteries().get("SE-1") == 42 and "SE-2" not in scene.batteries())
        await scene.until(lambda: scene.partner.truth.messages[FULL] > before)
        await asyncio.sleep(0.5)
        seen.append(madrid(scene))
        assert await scene.database(lambda: Vehicle.objects.pending().filter(pk__in=("ES-1", "ES-2", "ES-9")).count())
        await scene.database(end)
        await scene.until_equal()
        await scene.settled()

    play(settings, story)
    return seen[0], seen[1]


def test_a_paused_city_stays_at_the_partner_as_it_was(settings, two_cities) -> None:
    """Changes, withdrawals and new vehicles wait, though fulls go on for the other cities; on resume all of it goes."""
    before, after = held_of_a_paused_city(settings)
    assert after == before
    assert before.keys() == {"ES-1", "ES-2"}


def test_control_without_keeping_what_was(settings, two_cities, monkeypatch: Patch) -> None:
    """Without the copy the first full withdraws the whole city from CityTrips."""
    monkeypatch.setattr(pauses, "_copy", lambda pause: None)
    before, after = held_of_a_paused_city(settings)
    assert before.keys() == {"ES-1", "ES-2"}
    assert after == {}


def sent_while_all_is_paused(settings) -> int:
    """How many messages with vehicles arrive while everything is paused, and much asks for them."""
    counted: list[int] = []

    async def story(scene: Scene) -> None:
        await scene.until_equal()
        await scene.settled()
        await scene.database(lambda: begin(**EVERYTHING))
        await asyncio.sleep(1.5)  # what was on its way has arrived
        truth = scene.partner.truth
        before = truth.messages[FULL] + truth.messages[INCREMENTAL]
        await scene.change("ES-1", battery=41)
        await scene.change("SE-1", state="on_trip")
        scene.partner.ask(times=3)
        scene.partner.user(number=7)
        scene.partner.forget()
        await scene.is_live(2)
        await scene.until(lambda: truth.replies)
        pings = truth.pings
        scene.partner.reset()
        await scene.is_live(3)
        await scene.until(lambda: truth.pings > pings)
        await asyncio.sleep(1.5)
        counted.append(truth.messages[FULL] + truth.messages[INCREMENTAL] - before)
        fulls = truth.messages[FULL]
        await scene.database(end)
        await scene.until(lambda: truth.messages[FULL] > fulls)
        await scene.until_equal()
        await scene.settled()

    play(settings, story)
    return counted[0]


def test_while_all_is_paused_no_vehicle_is_sent(settings, two_cities, quick_retries) -> None:
    """Authentication, replies and pings go on; on resume all that waited goes, with a full."""
    assert sent_while_all_is_paused(settings) == 0


def test_control_without_heeding_the_pause(settings, two_cities, quick_retries, monkeypatch: Patch) -> None:
    """A session that is not told goes on sending."""
    monkeypatch.setattr(Session, "pause", lambda self: None)
    assert sent_while_all_is_paused(settings) > 0


def held_after_a_kill(settings, patch: str = "") -> dict[str, int]:
    """What a partner holds of a paused city after the worker was killed, and the next one has sent its first full."""
    held: list[dict[str, int]] = []

    async def story(scene: Scene) -> None:
        with process() as first:
            await scene.until_equal(20)
            await scene.settled()
            await scene.database(lambda: begin(**MADRID))
            await scene.change("ES-1", battery=41)
            first.kill()
        scene.partner.truth.vehicles.pop("ES-2")  # so that it shows what the full carries
        with process(patch):
            await scene.is_live(2, 20)
            await scene.until(lambda: scene.partner.truth.of("message", FULL)[-1].connection == 2)
            await scene.change("SE-1", battery=42)
            await scene.until(lambda: scene.batteries()["SE-1"] == 42)
            held.append({name: one for name, one in scene.batteries().items() if name.startswith("ES")})
            if not patch:
                await scene.database(end)
                await scene.until_equal()
                await scene.settled()

    play(settings, story, workers=0, script=Script(asks_for_full=False))
    return held[0]


def test_a_pause_outlives_the_worker(settings, two_cities) -> None:
    """Killed in the midst of a pause, the worker is followed by one that heeds it, and sends what waited on resume."""
    assert held_after_a_kill(settings) == {"ES-1": 80, "ES-2": 80}


FORGETFUL = """
from django.db.models import Q
from backoffice.citytrips import pauses
pauses.in_paused_city = lambda: Q(pk__in=[])
"""


def test_control_with_a_pause_that_only_the_first_worker_knew(settings, two_cities) -> None:
    """A worker that does not look for pauses sends the paused city as it is now."""
    assert held_after_a_kill(settings, FORGETFUL) == {"ES-1": 41, "ES-2": 80}


# --- Whoever asks for something to be sent -----------------------------------------------------------------------


def answer_of(request_id: int) -> tuple[str, str] | None:
    asked = SyncRequest.objects.get(pk=request_id)
    return (asked.state, asked.detail) if asked.ended_at else None


@pytest.mark.parametrize("full", [False, True])
def test_a_request_is_refused_while_all_is_paused(settings, two_cities, full: bool) -> None:
    """Whoever asks is told at once why nothing is sent; whoever had asked before, when the pause begins."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL, times=0, drops=True)
        scene.partner.fault(pongs="withhold")
        await scene.change("ES-1", battery=41)
        early = await scene.database(lambda: services.sync_request_create(full=full, seconds=30))
        await scene.until_database(lambda: SyncRequest.objects.get(pk=early.pk).state == "running")
        await scene.database(lambda: begin(**EVERYTHING))
        late = await scene.database(lambda: services.sync_request_create(full=full, seconds=30))
        for request in (early, late):
            told = await scene.until_database(lambda asked=request: answer_of(asked.pk))
            assert told == ("refused", "sending is paused: road works")
        scene.partner.calm()
        await scene.database(end)
        await scene.until_equal()

    play(settings, story, CITYTRIPS_PING_TIMEOUT=20.0)


@pytest.mark.parametrize("full", [False, True])
def test_a_request_says_what_waits_because_of_a_pause(settings, two_cities, full: bool) -> None:
    """What is not paused is sent and settles; the answer names how many vehicles it was without."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        await scene.database(lambda: begin(**MADRID))
        await scene.change("ES-1", battery=41)
        await scene.change("SE-1", battery=42)
        request = await scene.database(lambda: services.sync_request_create(full=full, seconds=30))
        told = await scene.until_database(lambda: answer_of(request.pk))
        assert told == ("settled", "without 1 vehicles that wait because of a pause")
        assert scene.batteries()["SE-1"] == 42

    play(settings, story)


def test_sync_fleet_tells_of_pauses(settings, two_cities) -> None:
    """The command names what it was without; while everything is paused it fails and says why."""

    async def sync(scene: Scene) -> str:
        written = StringIO()
        await asyncio.to_thread(call_command, "sync_fleet", full=True, timeout=30.0, stdout=written)
        return written.getvalue()

    async def story(scene: Scene) -> None:
        await scene.settled()
        await scene.database(lambda: begin(**MADRID))
        await scene.change("ES-1", battery=41)
        assert (await sync(scene)).endswith("\nSettled: without 1 vehicles that wait because of a pause\n")
        await scene.database(lambda: begin(**EVERYTHING))
        with pytest.raises(CommandError, match="Refused: sending is paused: road works"):
            await sync(scene)

    play(settings, story)


def test_a_request_that_needs_a_full_is_refused_when_fulls_are_blocked(
    settings, two_cities, monkeypatch: Patch
) -> None:
    """A request for changes needs a full where a vehicle leaves; if none is taken, it is told so at once."""

    async def story(scene: Scene) -> None:
        await scene.until_equal()
        await scene.settled()
        scene.partner.fault(limit=300)
        await scene.change("ES-1", state="on_trip")
        request = await scene.database(lambda: services.sync_request_create(full=False, seconds=60))
        told = await scene.until_database(lambda: answer_of(request.pk))
        assert told == ("refused", "CityTrips takes no full list as large as this fleet's")

    play(settings, story)
