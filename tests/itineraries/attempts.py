"""What the tests of publishing share: a trip to publish, and attempts at servers over real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from itineraries import services
from itineraries.models import Itinerary, Publication
from itineraries.publishing import publish
from tests.itineraries.servers import Server, answer, serving
from tests.itineraries.strategies import wire

KEY = "a-key-that-nobody-may-see"
PASSWORD = "voyager2016-hidden"
VALIDATION = answer("400 Bad Request", wire("validation_error"))


@pytest.fixture
def itinerary(settings) -> Itinerary:
    settings.CRUSOE_API_KEY = KEY
    settings.CRUSOE_TIMEOUT = 30
    return services.itinerary_create(user=None, document=wire("trip"))


def attempt(itinerary: Itinerary, settings: Any, server: Server, path: str = "/api") -> Publication:
    settings.CRUSOE_API_URL = f"http://robinson:{PASSWORD}@127.0.0.1:{server.port}{path}"
    return publish(itinerary_id=itinerary.pk, user=None)


def outcome(itinerary: Itinerary, settings: Any, *talks: Any) -> Publication:
    """The attempt's row as it was stored, after publishing to a server that talks so."""
    with serving(*talks) as server:
        made = attempt(itinerary, settings, server)
    stored = Publication.objects.get(pk=made.pk)
    assert stored.state == made.state
    assert stored.ended_at is not None
    assert not [one for one in (stored.detail, stored.url, stored.answer) if KEY in one or PASSWORD in one]
    assert KEY not in str([stored.reason, stored.problems])
    return stored
