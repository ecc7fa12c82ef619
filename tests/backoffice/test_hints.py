"""Hints to open pages neither hold up nor break what they follow."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from backoffice import hints
from backoffice.citytrips.models import Alert
from backoffice.citytrips.services import alert_raise
from backoffice.hints import Topic
from itineraries import publishing
from itineraries.models import Publication
from itineraries.services import itinerary_create
from tests.itineraries.pages import SAMPLE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mute_redis() -> Iterator[None]:
    """A layer whose server takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        layer = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [address]}}
        with override_settings(CHANNEL_LAYERS={"default": layer}):
            yield


@pytest.fixture
def heard() -> Iterator[list[frozenset[str]]]:
    """What the pages of this process are told."""
    said: list[frozenset[str]] = []
    hear = said.append
    hints.register(hear)
    yield said
    hints.unregister(hear)


def test_a_layer_that_does_not_answer_holds_up_no_commit(mute_redis: None, heard: list[frozenset[str]]) -> None:
    """Pages of this process are told at once, and who wrote goes on; sent on the spot, the writer would wait."""
    began = time.monotonic()
    with transaction.atomic():
        alert_raise(kind=Alert.Kind.INBOUND_TOO_LARGE)
        assert heard == []
    assert time.monotonic() - began < 20
    assert heard == [frozenset({"alerts"})]
    with pytest.raises(TimeoutError):  # the safeguard off
        async_to_sync(_send_here)()


async def _send_here() -> None:
    async with asyncio.timeout(3):
        await get_channel_layer().group_send(hints.GROUP, {"type": "backoffice.hint"})


@pytest.mark.logs_errors
def test_a_hint_that_fails_breaks_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with telling, what was written stays written, and the writer does not hear of it."""

    def broken(*topics: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(hints, "changed", broken)
    alert_raise(kind=Alert.Kind.INBOUND_TOO_LARGE)
    with transaction.atomic():
        alert_raise(kind=Alert.Kind.INBOUND_TOO_LARGE)
    assert Alert.objects.get().count == 2


def test_what_is_rolled_back_is_not_told(heard: list[frozenset[str]]) -> None:
    """Nobody is sent to look at what never was."""
    with transaction.atomic():
        alert_raise(kind=Alert.Kind.INBOUND_TOO_LARGE)
        transaction.set_rollback(True)
    assert heard == []
    assert not Alert.objects.exists()


def test_a_page_that_is_gone_keeps_nothing_from_the_others(heard: list[frozenset[str]]) -> None:
    """One whose event loop has been closed is passed over."""

    def gone(topics: frozenset[str]) -> None:
        raise RuntimeError("Event loop is closed")

    hints.register(gone)
    try:
        hints.changed(Topic.LINE)
    finally:
        hints.unregister(gone)
    assert heard == [frozenset({"line"})]


def test_what_becomes_of_a_publication_is_told(settings, heard: list[frozenset[str]]) -> None:
    """Claimed, ended, taken for interrupted, resolved: each makes open pages look, once it can be seen."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings.CRUSOE_API_KEY, settings.CRUSOE_API_URL = "a key", f"http://127.0.0.1:{unused.getsockname()[1]}/api"
        trip = itinerary_create(user=None, document=SAMPLE)
        assert publishing.publish(itinerary_id=trip.pk, user=None).state == "not_sent"
    told = frozenset({"itineraries"})
    assert heard == [told] * 2
    Publication.objects.update(state="sending", started_at=timezone.now() - timedelta(days=1))
    assert publishing.sweep() == 1
    publishing.resolve(itinerary_id=trip.pk, user=None, retry=True)
    assert heard == [told] * 4
    assert publishing.sweep() == 0
    assert heard == [told] * 4
