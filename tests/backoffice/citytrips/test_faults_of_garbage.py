"""Garbage, a flood of it, and commands that nothing handles."""

from __future__ import annotations

import asyncio

import pytest

from backoffice.citytrips import conversation, session
from backoffice.citytrips.models import Alert, JournalEntry
from backoffice.sandbox.faulty_server import GARBAGE
from tests.backoffice.citytrips.faults import AUTHENTICATE, FULL, INCREMENTAL, Patch, Scene, play, states

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_costs_nothing(settings, fleet, kind: str) -> None:
    """What is no message, or none that we know, is answered with nothing, and the line stays up and works."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.garbage(kind, times=3)
        await scene.change("ES-1", battery=41)
        await scene.until_equal()
        await scene.settled()

    truth = play(settings, story).truth
    assert truth.connections == 1
    assert truth.messages.keys() <= {AUTHENTICATE, FULL, INCREMENTAL}
    assert states() == ["connecting", "authenticating", "live", "standby"]


@pytest.mark.parametrize("kind", ["invalid", "empty", "array", "binary", "nan", "no_command", "odd_command"])
def test_control_without_bearing_garbage(settings, fleet, quick_retries, monkeypatch: Patch, kind: str) -> None:
    """Taken for the end of the conversation, what cannot be read ends it each time."""
    monkeypatch.setattr(conversation, "MessageError", ZeroDivisionError)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.garbage(kind)
        await scene.is_live(2)

    assert play(settings, story).truth.connections > 1


@pytest.mark.parametrize("kind", ["invalid", "unknown_command"])
def test_a_flood_of_garbage_ends_the_connection(settings, fleet, quick_retries, kind: str) -> None:
    """Above a hundred a minute the line is closed with the reason, and opened again after a pause."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.garbage(kind, times=101)
        await scene.is_live(2)

    truth = play(settings, story).truth
    assert truth.of("closed")[0].note == "1000 more than 100 unreadable or unknown messages within a minute"


@pytest.mark.parametrize("kind", ["invalid", "unknown_command"])
def test_control_without_that_limit(settings, fleet, monkeypatch: Patch, kind: str) -> None:
    """Without the limit any amount of it is taken in for ever."""
    monkeypatch.setattr(session, "MEANINGLESS_PER_MINUTE", 10**9)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.garbage(kind, times=1000)
        await asyncio.sleep(1)

    assert play(settings, story).truth.connections == 1


@pytest.mark.parametrize("kind", ["invalid", "empty", "array", "binary", "nan", "no_command", "odd_command"])
def test_garbage_is_journalled_by_type_and_size(settings, fleet, kind: str) -> None:
    """What cannot be read stands in the journal with its size and what is wrong with it, and without any of it."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.garbage(kind)
        await scene.until_database(lambda: JournalEntry.objects.filter(outcome="unreadable").exists())

    play(settings, story)
    entry = JournalEntry.objects.get(outcome="unreadable")
    assert (entry.direction, entry.size) == ("in", len(GARBAGE[kind]))
    assert entry.reason
    assert "s_vehicle" not in f"{entry.command} {entry.reason} {entry.body}"


def test_an_unknown_command_is_journalled_and_told(settings, fleet) -> None:
    """A command that nobody handles yet is in the journal by its name, and before staff."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.garbage("unknown_command", times=2)
        await scene.until_database(lambda: JournalEntry.objects.filter(outcome="unknown").count() == 2)

    play(settings, story)
    assert JournalEntry.objects.filter(outcome="unknown").first().command == "s_booking/new"
    alert = Alert.objects.get()
    assert (alert.kind, alert.detail, alert.count) == (Alert.Kind.UNKNOWN_COMMAND, "s_booking/new", 2)
