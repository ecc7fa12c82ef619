"""Objections, ``s_ext/error``: what goes again, and what is left alone."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from django.db import OperationalError

from backoffice.citytrips import bridge, services, suspects
from backoffice.citytrips.models import Alert, SyncRequest
from backoffice.citytrips.session import Session
from fleet.models import Vehicle
from tests.backoffice.citytrips.faults import FULL, INCREMENTAL, Patch, Scene, many, play, row

pytestmark = pytest.mark.django_db(transaction=True)


def count_objected(settings) -> int:
    """How often within two seconds a vehicle is sent to which the partner objects each time."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL, times=0, drops=True, then={"do": "error", "reason": "bad"})
        await scene.change("ES-1", battery=41)
        await asyncio.sleep(2)

    return play(settings, story).truth.messages[INCREMENTAL]


def test_what_is_objected_to_twice_is_left_alone(settings, fleet) -> None:
    """An error voids what has not settled; it goes once more, and is then put before staff instead of becoming a loop."""
    assert count_objected(settings) == 2
    assert row("ES-1").objected_version == row("ES-1").version
    assert row("ES-1").settled_version < row("ES-1").version
    assert row("ES-2").objected_version is None


def test_a_full_passes_what_was_objected_to(settings, fleet) -> None:
    """A vehicle that is left alone goes again with the next full, and is settled like any other."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL, times=0, drops=True, then={"do": "error", "reason": "bad"})
        await scene.change("ES-1", battery=41)
        await scene.until_database(lambda: row("ES-1").objected_version)
        scene.partner.ask()
        await scene.until_equal()
        await scene.settled()

    play(settings, story)
    shown = Vehicle.objects.with_citytrips_status().get(pk="ES-1")
    assert shown.citytrips_status == "settled"


def test_control_without_counting_objections(settings, fleet, monkeypatch: Patch) -> None:
    """Uncounted, the same vehicle is sent without end."""
    monkeypatch.setattr(suspects, "OBJECTIONS", 10**9)
    assert count_objected(settings) > 5


def fulls_beside_a_bad_one(settings, monkeypatch: Patch) -> list[list[str]]:
    """What the session is told that each full leaves out, to which the partner objects while it carries a certain vehicle."""
    left_out: list[list[str]] = []
    written = Session.written

    def listen(self: Session, number: int, **contents: Any) -> None:
        if "absent" in contents:
            left_out.append(list(contents.get("left_out", ())))
        written(self, number, **contents)

    monkeypatch.setattr(Session, "written", listen)

    async def story(scene: Scene) -> None:
        await scene.settled()
        for command in (INCREMENTAL, FULL):
            scene.partner.add_rule(
                command=command, vehicle="ES-1", times=0, drops=True, then={"do": "error", "reason": "bad"}
            )
        await scene.change("ES-1", battery=41)
        await scene.until_database(lambda: row("ES-1").objected_version)
        left_out.clear()
        scene.partner.ask()
        await scene.until(lambda: len(left_out) == 2)

    play(settings, story)
    return left_out


def test_a_full_that_was_refused_goes_without_what_was_objected_to(settings, fleet, monkeypatch: Patch) -> None:
    """The next one leaves the vehicle out, and the session knows of it."""
    assert fulls_beside_a_bad_one(settings, monkeypatch) == [[], ["ES-1"]]


def test_control_with_the_same_full_again(settings, fleet, monkeypatch: Patch) -> None:
    """Sent as it was it leaves nothing out, and is refused again."""
    monkeypatch.setattr(Session, "leaves_out_objected", property(lambda self: False))
    assert fulls_beside_a_bad_one(settings, monkeypatch) == [[], []]


def test_an_objection_is_written_down_though_the_database_fails(settings, fleet, monkeypatch: Patch) -> None:
    """It is tried until it stands: else each full would carry the vehicle over which it is refused."""
    object_to = bridge.object_to
    tries: list[float] = []

    def fail_at_first(*given: Any) -> None:
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise OperationalError("the database is away")
        object_to(*given)

    monkeypatch.setattr(bridge, "object_to", fail_at_first)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL, times=0, drops=True, then={"do": "error", "reason": "bad"})
        await scene.change("ES-1", battery=41)
        await scene.until_database(lambda: row("ES-1").objected_version == row("ES-1").version)
        await asyncio.sleep(1.5)

    play(settings, story)
    assert len(tries) == 3


def test_a_full_that_is_refused_is_put_before_staff(settings, fleet) -> None:
    """Refused twice, whoever asked for it is told why, and so is everybody; the next that passes ends the alert."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command=FULL, times=0, drops=True, then={"do": "error", "reason": "bad list"})
        request = await scene.database(lambda: services.sync_request_create(full=True, seconds=30))
        await scene.until_database(lambda: SyncRequest.objects.get(pk=request.pk).ended_at)
        answered = await scene.database(lambda: SyncRequest.objects.get(pk=request.pk))
        assert (answered.state, answered.detail) == (SyncRequest.State.REFUSED, "CityTrips objected: bad list")
        alert = await scene.database(Alert.objects.get)
        assert (alert.kind, alert.detail, alert.resolved_at) == (Alert.Kind.FULL_OBJECTED, "bad list", None)
        assert scene.partner.truth.messages[FULL] == 3
        scene.partner.calm()
        scene.partner.ask()
        await scene.until_database(lambda: Alert.objects.get().resolved_at)

    play(settings, story)


def objected_beside_a_bad_one(settings) -> list[str]:
    """The vehicles left alone after eight changed at once and the partner objected to each message that carried one of them."""
    many(8)
    found: list[str] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(
            command=INCREMENTAL, vehicle="ES-3", times=0, drops=True, then={"do": "error", "reason": "bad"}
        )
        await scene.database(lambda: Vehicle.objects.update(battery=41))
        await scene.until_database(lambda: row("ES-3").objected_version, 30)
        await scene.settled_but(1)
        found.extend(
            await scene.database(
                lambda: list(Vehicle.objects.exclude(objected_version=None).order_by("pk").values_list("pk", flat=True))
            )
        )

    play(settings, story)
    return found


def test_an_objection_is_narrowed_down(settings) -> None:
    """An error names no vehicle: the incremental goes again in halves until the bad one stands alone; the others arrive."""
    assert objected_beside_a_bad_one(settings) == ["ES-3"]


def test_control_without_narrowing_down(settings, monkeypatch: Patch) -> None:
    """If an error counted against all that it may be about, everything beside the bad vehicle would be left alone."""
    monkeypatch.setattr(suspects, "STRIKES", 0)
    assert len(objected_beside_a_bad_one(settings)) == 8
