"""No update is lost: the real session in a world of faults, and the real database under it.

The world is `lossy_partner`. Here it is driven by hypothesis, by some of the random schedules of which ``make chaos`` runs ten
thousand, and by schedules over the real tables. The controls are the same schedules with one safeguard switched off: each of
them has to lose.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from backoffice.citytrips import bridge, fulls, services
from backoffice.citytrips import models as line
from backoffice.citytrips.exchange import Object, Pending, Settle
from backoffice.citytrips.lease import LeaseKeeper
from fleet.models import Vehicle
from fleet.services import vehicle_update
from tests.backoffice.citytrips.lossy_partner.database import PAGE, Database, Reply, Row
from tests.backoffice.citytrips.lossy_partner.ending import differences, settle_down
from tests.backoffice.citytrips.lossy_partner.partner import Verdict
from tests.backoffice.citytrips.lossy_partner.world import LEASE, NOTICED_WITHIN, Action, World
from tests.chaos import schedules
from tests.chaos.schedules import CONTROLS, Schedule, generate, loss_of, play
from tests.fleet.factories import make

SEED = 1


# --- What hypothesis thinks of -----------------------------------------------------------------------------------


class Line(RuleBasedStateMachine):
    """Everything that can happen in the world, in any order; in the end, nothing is lost."""

    world: World

    @initialize(seed=st.integers(0, 1000))
    def start(self, seed: int) -> None:
        self.world = World(seed)

    def act(self, name: str, *arguments: Any, **named: Any) -> None:
        self.world.act(Action(name, arguments, tuple(named.items())))

    @rule(vehicle=st.sampled_from(schedules.VEHICLES), offered=st.booleans(), seconds=st.sampled_from([0.0, 0.3, 2.0]))
    def change(self, vehicle: str, offered: bool, seconds: float) -> None:
        self.act("change", vehicle, offered, seconds)

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 5.5, 12.0]))
    def wait(self, seconds: float) -> None:
        self.act("wait", seconds)

    @rule(slow=st.fixed_dictionaries({}, optional={name: st.just(slow) for name, slow in schedules.SLOW.items()}))
    def pace(self, slow: dict[str, float]) -> None:
        self.act("pace", **slow)

    @rule(count=st.integers(1, 4))
    def new_users(self, count: int) -> None:
        self.act("new_users", count)

    @rule()
    def ask(self) -> None:
        self.act("ask")

    @rule(verdict=st.sampled_from(Verdict), times=st.integers(1, 2))
    def judge(self, verdict: Verdict, times: int) -> None:
        self.act("judge", verdict, times)

    @rule()
    def object(self) -> None:
        self.act("object")

    @rule(keeps_list=st.booleans(), speaks=st.booleans())
    def forget(self, keeps_list: bool, speaks: bool) -> None:
        self.act("forget", keeps_list, speaks)

    @rule(keeps_list=st.booleans(), seconds=st.sampled_from([0.0, 3.0]))
    def restart_partner(self, keeps_list: bool, seconds: float) -> None:
        self.act("restart_partner", keeps_list, seconds)

    @rule(habit=st.sampled_from(["greet", "say_twice"]), on=st.booleans())
    def change_habits(self, habit: str, on: bool) -> None:
        self.act(habit, on)

    @rule(fault=st.sampled_from(["mute", "refuse_key", "reset"]))
    def fail(self, fault: str) -> None:
        self.act(fault)

    @rule(seconds=st.sampled_from([1.0, NOTICED_WITHIN]))
    def half_open(self, seconds: float) -> None:
        self.act("half_open", seconds)

    @rule(vehicles=st.integers(0, 2))
    def too_large(self, vehicles: int) -> None:
        self.act("too_large", 10.0, vehicles)

    @rule(seconds=st.sampled_from([0.0, LEASE]))
    def kill(self, seconds: float) -> None:
        self.act("kill", seconds)

    @rule(fault=st.sampled_from([("stall", 6.5), ("freeze", 2.0), ("stop_database", 3.0)]))
    def stop(self, fault: tuple[str, float]) -> None:
        self.act(*fault)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            settle_down(self.world)


TestLine = Line.TestCase
TestLine.settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)


# --- Random schedules --------------------------------------------------------------------------------------------


def test_random_schedules_lose_nothing() -> None:
    """Partner and database end equal after each schedule; the first few hundred of those that ``make chaos`` runs."""
    result = schedules.run(400, SEED)
    assert [str(lost.schedule) for lost in result.losses] == []
    faults = {"resets", "half-open lines", "sessions forgotten", "workers killed", "silent drops", "messages refused"}
    assert faults <= result.counts.keys()


@pytest.mark.parametrize("name", CONTROLS)
def test_without_a_safeguard_an_update_is_lost(name: str) -> None:
    """With one safeguard off the same kind of schedule loses, and with all of them on that very schedule doesn't."""
    (lost,) = schedules.run(3000, SEED, CONTROLS[name], stop_at=1).losses
    everything_on = replace(lost.schedule, full_every=lost.schedule.full_every or 60.0)
    assert loss_of(lost.schedule, CONTROLS[name].safeguards)
    assert loss_of(everything_on) is None


def test_a_loss_is_printed_with_its_seed_and_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever sees a loss can repeat it; the status says that there was one."""
    control = ["--control", "one cursor for all vehicles"]
    assert schedules.main(["--count", "250", "--seed", str(SEED), "--processes", "1", *control]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"LOST in schedule \d+ of seed 1: ", printed)
    assert re.search(r"^change [a-e] ", printed, re.MULTILINE)


def test_no_loss_is_printed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a loss there is a table, with the seed and each kind of fault, and the status is 0."""
    assert schedules.main(["--count", "20", "--seed", str(SEED), "--processes", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"| seed | 1 |", "| schedules | 20 |", "| lost updates | 0 |"} <= set(lines)
    assert [line for line in lines if line.startswith("| no periodic fulls | ")]


def test_an_error_about_the_first_of_several_replies_counts() -> None:
    """CityTrips may refuse the first reply while the second is still being written; it is sent again."""
    actions = [
        Action("pace", (), (("writing", 0.5),)),
        Action("wait", (8.0,)),
        Action("new_users", (4,)),
        Action("judge", (Verdict.REFUSE,)),
        Action("wait", (12.0,)),
    ]
    for seed in range(20):
        world, _promise, _seconds = play(Schedule(seed, actions, 60.0))
        assert world.partner.replies == {1, 2, 3, 4}


def test_a_vehicle_objected_to_comes_right_when_it_changes() -> None:
    """Refused twice at the same version, a vehicle waits for its next change, which is sent at once."""
    world = World(SEED)
    for action in [Action("wait", (10.0,)), Action("judge", (Verdict.REFUSE, 2)), Action("change", ("a", True))]:
        world.act(action)
    world.wait(20.0)
    assert world.database.rows["a"].objected == 1
    assert world.partner.held == {}
    world.change("a", True)
    world.wait(10.0)
    assert world.partner.held == {"a": 2}
    assert differences(world) == []


# --- Over the real tables ----------------------------------------------------------------------------------------


class RealDatabase(Database):
    """The world's database by the services, the bridge, the lease and the triggers.

    A vehicle's city holds how often it was changed, which the trigger has to arrive at by itself.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.down_until = 0.0
        self._transactions: dict[str, deque[tuple[bool, float]]] = {}
        self._changes: dict[str, int] = {}

    @property
    def rows(self) -> dict[str, Row]:
        columns = ("pk", "version", "state", "settled_version", "listed", "objected_version")
        return {
            vehicle: Row(version, state == "available", settled, listed, objected or 0)
            for vehicle, version, state, settled, listed, objected in Vehicle.objects.values_list(*columns)
        }

    @property
    def replies(self) -> dict[int, Reply]:
        rows = line.Reply.objects.values_list("pk", "settled_at", "objected_at")
        return {pk: Reply(settled is not None, objected is not None) for pk, settled, objected in rows}

    def _number(self, vehicle: str) -> int:
        return self._changes.get(vehicle, 0) + 1

    def _commit(self, vehicle: str, _number: int) -> None:
        offered, _ = self._transactions[vehicle].popleft()
        number = self._number(vehicle)  # told again meanwhile, it has got another
        values = {"city": str(number), "state": "available" if offered else "reserved"}
        write = make if number == 1 else _update
        assert write(vehicle, **values).version == number
        self._changes[vehicle] = number
        self._world.changed()
        if self._transactions[vehicle]:
            self._begin(vehicle)

    def take_lease(self) -> Any:
        keeper = LeaseKeeper(0)
        while not keeper.try_acquire():
            pass
        return keeper.token

    def changes(self, token: Any) -> Any:
        return RealChanges(token)

    def tell_again(self, token: Any, after: str) -> str | None:
        before = {vehicle: row.version for vehicle, row in self.rows.items()}
        last = bridge.tell_again(token, after)
        for vehicle, row in self.rows.items():
            if row.version != before[vehicle]:
                self._changes[vehicle] = row.version + 1
                assert _update(vehicle, city=str(row.version + 1)).version == row.version + 1
        return last

    def full_reader(self, token: Any, *, leave_out_objected: bool) -> Any:
        return RealFullReader(token, leave_out_objected)

    def mark_listed(self, token: Any, ids: Iterable[str]) -> None:
        pass  # they were, when they were read

    def read_replies(self, ids: Iterable[int]) -> list[int]:
        return [one.id for one in bridge.collect_replies(list(ids))]

    def settle(self, token: Any, effect: Settle) -> None:
        bridge.settle(token, effect.versions, effect.absent, effect.replies)

    def object_to(self, token: Any, effect: Object) -> None:
        bridge.object_to(token, effect.versions, effect.replies)

    def send_again(self, reply: int) -> None:
        assert services.reply_resend(reply_id=reply)

    def add_reply(self) -> None:
        services.reply_create(command="s_user/new", payload={})


def _update(vehicle: str, **values: object) -> Vehicle:
    return vehicle_update(vehicle=Vehicle(pk=vehicle), values=values)


class RealChanges:
    def __init__(self, token: Any) -> None:
        self._changes = bridge.Changes(token)

    def look(self) -> Pending:
        return self._changes.look()

    def read(self, ids: frozenset[str]) -> dict[str, int]:
        batch = self._changes.collect(ids)
        if batch is None:
            return {}
        assert _contents(batch.text) == batch.versions
        return dict(batch.versions)


class RealFullReader:
    def __init__(self, token: Any, leave_out_objected: bool) -> None:
        self._reader = fulls.FullReader(token, leave_out_objected=leave_out_objected)
        self._text = b""
        self.carried: dict[str, int] = {}
        self.unlisted: list[str] = []

    def read(self) -> bool:
        part = self._reader.read()
        if part is not None:
            self._text += part
            return True
        self.carried = _contents(self._text)
        return False

    @property
    def versions(self) -> dict[str, int]:
        return dict(self._reader.versions)

    @property
    def absent(self) -> dict[str, int]:
        return dict(self._reader.absent)

    gone = absent

    @property
    def left_out(self) -> list[str]:
        return self._reader.left_out


def _contents(text: str | bytes) -> dict[str, int]:
    return {vehicle["id"]: int(vehicle["city"]) for vehicle in json.loads(text)["payload"]}


@pytest.mark.django_db
@pytest.mark.parametrize("number", range(12))
def test_schedules_over_the_real_tables_lose_nothing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Services, bridge, lease and triggers converge like the model that ten thousand schedules run on."""
    monkeypatch.setattr(bridge, "PAGE", PAGE)
    play(generate(SEED * 1_000_000 + number), database=RealDatabase)
