"""Pauses beside whatever else happens, in any order: the real session and tables, and a partner that loses messages.

A message is read page by page, and anything may happen between two pages. The controls are the same with a safeguard off.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from backoffice.citytrips import bridge, fulls, messages, pauses
from backoffice.citytrips.exchange import Full, Incremental, Object, Settle, Timing
from backoffice.citytrips.models import Pause
from backoffice.citytrips.session import Session
from fleet.models import Vehicle
from fleet.services import vehicle_update
from tests.fleet.factories import make
from users.models import User

pytestmark = pytest.mark.django_db

Patch = pytest.MonkeyPatch
CITIES = ("Madrid", "Sevilla", "Valencia")


def change(vehicle: str, **values: object) -> None:
    vehicle_update(vehicle=Vehicle.objects.get(pk=vehicle), values=values)


class Partner:
    """Takes what it is sent, at once or never."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}

    def take(self, text: bytes, *, full: bool) -> None:
        rows = {one["id"]: (one["city"], one["battery"]) for one in json.loads(text)["payload"]}
        self.held = rows if full else self.held | rows


class World:
    """One worker's turns, and what the fleet, staff and the partner do in between.

    With ``sparing`` no full is sent but after an authentication and for what leaves: none that would mend a loss by the way.
    """

    def __init__(self, seed: int, token: uuid.UUID, *, sparing: bool) -> None:
        self.chance = random.Random(seed)
        self.token = token
        self.sparing = sparing
        self.now = 0.0
        self.session = Session(Timing(settle=5.0, full_every=0.0 if sparing else 60.0))
        self.partner = Partner()
        self.changes = bridge.Changes(token)
        self.known: set[int] = set()
        # By pause and vehicle, what the partner may hold of it: what it held when the pause began, and what was copied.
        self.allowed: dict[int, dict[str, set[Any]]] = {}
        self.under_way: list[int] | None = None  # the pauses that began while a message was
        self.reconnect()

    def reconnect(self) -> None:
        self.session.disconnected()
        self.session.connected(self.now)
        self.session.receive(messages.AuthenticationSucceeded(), self.now)

    def happen(self) -> None:
        """Something that the fleet or staff do."""
        vehicles = list(Vehicle.objects.values_list("pk", flat=True))
        match self.chance.choice(["change", "change", "move", "state", "new", "pause", "resume", "all"]):
            case "change" if vehicles:
                change(self.chance.choice(vehicles), battery=self.chance.randrange(20, 101))
            case "move" if vehicles:
                self.move(self.chance.choice(vehicles), self.chance.choice(CITIES))
            case "state" if vehicles:
                change(self.chance.choice(vehicles), state=self.chance.choice(["available", "on_trip"]))
            case "new" if len(vehicles) < 8:
                make(f"ES-{len(vehicles)}", city=self.chance.choice(CITIES))
            case "pause":
                self.pause(self.chance.choice(CITIES))
            case "all" if self.chance.random() < 0.2:
                pauses.pause_begin(country="", city="", reason="x", actor=User.objects.get())
            case "resume":
                found = list(pauses.pauses_open())
                if found:
                    pauses.pause_end(pause=self.chance.choice(found), actor=User.objects.get())
        self.look_at_pauses()

    def look_at_pauses(self) -> None:
        found = {pause.pk for pause in pauses.pauses_open()}
        of_all = pauses.pauses_open().filter(city="").exists()
        if self.session.paused and not of_all:
            self.session.resume()
            self.session._full_wanted = not self.sparing
        elif of_all:
            self.session.pause()
        if self.known - found and not self.sparing:
            self.session.want_full()
        self.known = found

    def pause(self, city: str) -> None:
        held = Vehicle.objects.offered().filter(city=city, listed=True).values_list("pk", "battery")
        kept = {
            vehicle: {self.partner.held[vehicle], (city, battery)}
            for vehicle, battery in held
            if vehicle in self.partner.held
        }
        pause = pauses.pause_begin(country="Spain", city=city, reason="x", actor=User.objects.get())
        if pause is None:
            return
        self.allowed[pause.pk] = kept
        if self.under_way is not None:
            self.under_way.append(pause.pk)

    def move(self, vehicle: str, city: str) -> None:
        """From here on it counts for its new city."""
        if Vehicle.objects.get(pk=vehicle).city != city:
            for kept in self.allowed.values():
                kept.pop(vehicle, None)
        change(vehicle, city=city)

    def check(self) -> None:
        """What CityTrips held of a paused city is neither withdrawn nor changed."""
        for pause in pauses.pauses_open().exclude(city=""):
            for vehicle, allowed in self.allowed[pause.pk].items():
                assert self.partner.held.get(vehicle) in allowed, f"{vehicle} of {pause}"

    def turn(self) -> None:
        """One turn of the line."""
        self.now += self.chance.choice([0.3, 1.0, 6.0])
        for effect in self.session.tick(self.now):
            if isinstance(effect, Object):
                self.session.objected(effect)
                continue
            assert isinstance(effect, Settle)
            bridge.settle(self.token, effect.versions, effect.absent)
            self.session.settled(effect.number)
        self.look_at_pauses()
        self.under_way = []
        self.send()
        self.under_way = None
        self.check()

    def send(self) -> None:
        match self.session.next_send(self.changes.look(), self.now):
            case Full():
                number = self.session.begin(full=True, now=self.now)
                reader = fulls.FullReader(self.token)
                text = self._read(reader.read)
                self.session.written(number, versions=reader.versions, absent=reader.absent)
                self._deliver(number, text, full=True)
            case Incremental(ids):
                if self.chance.random() < 0.3:
                    self.happen()
                batch = self.changes.collect(ids)
                if batch is None:
                    return
                if self.chance.random() < 0.3:
                    self.happen()
                number = self.session.begin(full=False, versions=batch.versions, now=self.now)
                self.session.written(number)
                self._deliver(number, batch.text, full=False)

    def _read(self, read: Callable[[], bytes | None]) -> bytes:
        text = b""
        while (part := read()) is not None:
            text += part
            if self.chance.random() < 0.3:
                self.happen()
        return text

    def _deliver(self, number: int | None, text: bytes, *, full: bool) -> None:
        assert number is not None
        fate = self.chance.random()
        if fate < 0.1:  # lost, and the line with it
            self.reconnect()
        elif fate < 0.2:  # ponged, never acted on, and said so
            self.session.confirm(number, self.now)
            self.session.receive(messages.Objection("no"), self.now)
        else:
            self.partner.take(text, full=full)
            self.session.confirm(number, self.now)
            # What was written before a pause began arrives all the same.
            for pause in self.under_way or []:
                for vehicle, allowed in self.allowed[pause].items():
                    allowed.add(self.partner.held.get(vehicle))

    def drain(self) -> None:
        """Staff resume everything, and nothing more goes wrong."""
        for pause in pauses.pauses_open():
            pauses.pause_end(pause=pause, actor=User.objects.get())
        self.chance.random = lambda: 0.9  # type: ignore[method-assign]
        for _ in range(60):
            self.turn()


def wanted() -> dict[str, Any]:
    return {pk: (city, battery) for pk, city, battery in Vehicle.objects.offered().values_list("pk", "city", "battery")}


def live_through(seed: int, token: uuid.UUID, *, sparing: bool) -> World:
    world = World(seed, token, sparing=sparing)
    for _ in range(100):
        world.chance.choice([world.happen, world.turn])()
    world.drain()
    return world


@pytest.mark.parametrize("sparing", [False, True], ids=["fulls", "sparing"])
@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_paused_and_resumed_nothing_is_lost(
    ana: User, token: uuid.UUID, monkeypatch: Patch, seed: int, sparing: bool
) -> None:
    """What was held of a paused city stays so; once all goes on, the partner holds what is offered, and nothing waits."""
    monkeypatch.setattr(bridge, "PAGE", 2)
    world = live_through(seed, token, sparing=sparing)
    assert world.partner.held == wanted()
    assert not Vehicle.objects.pending().exists()


CONTROLS: dict[str, Callable[[Patch], None]] = {
    "nothing is copied": lambda patch: patch.setattr(pauses, "_copy", lambda pause: None),
    "what a pause left out counts as told": lambda patch: patch.setattr(
        bridge, "_left_out_by_a_pause", lambda absent: {}
    ),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_control_without_a_safeguard_of_pauses(ana: User, token: uuid.UUID, monkeypatch: Patch, name: str) -> None:
    """With one of them off, some order of things withdraws or changes what was paused, or loses what waited."""
    CONTROLS[name](monkeypatch)
    monkeypatch.setattr(bridge, "PAGE", 2)
    for seed in range(29, 69):  # the first of these show it
        try:
            world = live_through(seed, token, sparing=True)
        except AssertionError:
            return
        if world.partner.held != wanted() or Vehicle.objects.pending().exists():
            return
        Vehicle.objects.all().delete()
        Pause.objects.all().delete()
    pytest.fail("nothing was lost")
