"""Objections, ``s_ext/error``: what goes again, and what is left alone."""

from __future__ import annotations

import asyncio

import pytest

from backoffice.citytrips import session
from fleet.models import Vehicle
from tests.backoffice.citytrips.faults import INCREMENTAL, Patch, Scene, many, play, row

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
    monkeypatch.setattr(session, "OBJECTIONS", 10**9)
    assert count_objected(settings) > 5


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
    monkeypatch.setattr(session, "STRIKES", 0)
    assert len(objected_beside_a_bad_one(settings)) == 8
