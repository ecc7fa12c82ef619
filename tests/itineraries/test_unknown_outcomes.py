"""An attempt of which nobody knows what became of it: it waits for a person, also after a crash."""

from __future__ import annotations

# ruff: noqa: F811 (the fixture)
import os
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from itineraries import publishing, services
from itineraries.errors import (
    AttemptUnderWay,
    DocumentError,
    NothingToResolve,
)
from itineraries.models import Publication
from itineraries.publishing import publish, resolve, sweep
from tests.itineraries.attempts import KEY, PASSWORD, VALIDATION, attempt, itinerary, outcome  # noqa: F401
from tests.itineraries.servers import answer, says, serving, success

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_unknown_outcome_waits_for_a_person(itinerary, settings):
    """409 until somebody says what became of it; then publishing is free again."""
    first = outcome(itinerary, settings, says(answer("500 Oops", b"")))
    with serving(says(success())) as server:
        with pytest.raises(AttemptUnderWay) as caught:
            attempt(itinerary, settings, server)
        assert caught.value.publication == first
        assert server.connections == 0
        with pytest.raises(AttemptUnderWay):
            services.itinerary_delete(itinerary_id=itinerary.pk, user=None)
        resolve(itinerary_id=itinerary.pk, user=None, retry=True)
        assert itinerary.state == "ready"
        assert server.connections == 0
        assert attempt(itinerary, settings, server).state == "published"
    first.refresh_from_db()
    assert (first.state, first.resolved_at is not None) == ("unknown", True)


def test_an_unknown_outcome_can_be_given_its_address(itinerary, settings):
    """The trip is there: the attempt becomes a publication with that address."""
    outcome(itinerary, settings, says(answer("500 Oops", b"")))
    for wrong in ("javascript:alert(1)", "http://", "https://a b", "ftp://x", "http://[", "http://a/" + "x" * 3000):
        with pytest.raises(DocumentError):
            resolve(itinerary_id=itinerary.pk, user=None, url=wrong)
    resolve(itinerary_id=itinerary.pk, user=None, url="http://mycrusoe.com/trips/9")
    assert itinerary.state == "published"
    with pytest.raises(NothingToResolve):
        resolve(itinerary_id=itinerary.pk, user=None, retry=True)


def test_an_interrupted_attempt_is_swept(itinerary, settings):
    """A process that died while sending leaves `unknown`, once no running one could still be at it."""
    settings.CRUSOE_TIMEOUT = 60
    row = Publication.objects.create(
        itinerary=itinerary, number=1, document={}, fingerprint="x", started_at=timezone.now() - timedelta(seconds=5)
    )
    assert (sweep(), itinerary.state) == (0, "sending")
    Publication.objects.update(started_at=timezone.now() - timedelta(seconds=66))
    assert itinerary.state == "unknown"
    assert (sweep(), sweep()) == (1, 0)
    row.refresh_from_db()
    assert (row.state, "interrupted" in row.detail) == ("unknown", True)
    assert itinerary.state == "unknown"


def test_an_outcome_that_comes_after_the_sweep_is_still_recorded(itinerary, settings):
    """A process that was only asleep knows better than the sweep; but not better than a person."""
    row = Publication.objects.create(
        itinerary=itinerary, number=1, document={}, fingerprint="x", started_at=timezone.now() - timedelta(hours=1)
    )
    sweep()
    publishing._record(row, publishing.Outcome(publishing.PublicationState.PUBLISHED, url="http://a/1"))
    row.refresh_from_db()
    assert (row.state, row.url) == ("published", "http://a/1")
    Publication.objects.update(state="unknown", url="")
    resolve(itinerary_id=itinerary.pk, user=None, url="http://a/2")
    publishing._record(row, publishing.Outcome(publishing.PublicationState.REJECTED))
    row.refresh_from_db()
    assert (row.state, row.url) == ("published", "http://a/2")


PUBLISH = """
import django, sys, uuid
django.setup()
from django.conf import settings
settings.CRUSOE_API_URL, settings.CRUSOE_API_KEY = sys.argv[2], "key"
from itineraries.publishing import publish
publish(itinerary_id=uuid.UUID(sys.argv[1]), user=None)
"""


IN_ONE_TRANSACTION = (
    PUBLISH.partition("publish(")[0]
    + """
from django.db import transaction
atomic = transaction.atomic
transaction.atomic = lambda *_names, **_options: atomic()
with atomic():
    publish(itinerary_id=uuid.UUID(sys.argv[1]), user=None)
"""
)


def killed_with_the_request_on_the_wire(itinerary, settings, program, server):
    """The server has to hold back its answer for longer than this takes."""
    database = connection.settings_dict
    url = (
        f"sqlite:///{database['NAME']}"
        if connection.vendor == "sqlite"
        else f"postgres://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "TEST_DATABASE_URL": url}
    command = [sys.executable, "-c", program, str(itinerary.pk), server.url]
    process = subprocess.Popen(command, env=env, cwd=settings.BASE_DIR)
    try:
        ends = time.monotonic() + 60
        while not server.requests and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    assert len(server.requests) == 1


def test_a_process_that_dies_while_sending_leaves_an_attempt_to_resolve(itinerary, settings):
    """Killed with the request on the wire: the row was committed before, and nobody can publish past it."""
    with serving(lambda _connection: time.sleep(20)) as server:
        killed_with_the_request_on_the_wire(itinerary, settings, PUBLISH, server)
    assert itinerary.state == "sending"
    Publication.objects.update(started_at=timezone.now() - timedelta(minutes=1))
    with pytest.raises(AttemptUnderWay, match="somebody has to say"):
        publish(itinerary_id=itinerary.pk, user=None)
    assert Publication.objects.get().state == "unknown"


def test_control_without_committing_before_a_killed_attempt_is_forgotten_and_sent_again(itinerary, settings):
    """With claim and call in one transaction nothing tells of the request that left."""
    with serving(lambda _connection: time.sleep(20), says(success())) as server:
        killed_with_the_request_on_the_wire(itinerary, settings, IN_ONE_TRANSACTION, server)
        assert (Publication.objects.count(), itinerary.state) == (0, "ready")
        assert attempt(itinerary, settings, server).state == "published"
        assert len(server.requests) == 2


def test_control_without_the_sweep_an_interrupted_trip_is_stuck(itinerary, settings, monkeypatch):
    """Nobody can publish it, nor say what became of it."""
    Publication.objects.create(
        itinerary=itinerary, number=1, document={}, fingerprint="x", started_at=timezone.now() - timedelta(hours=1)
    )
    monkeypatch.setattr(publishing, "sweep", lambda **_of: 0)
    with pytest.raises(AttemptUnderWay):
        publish(itinerary_id=itinerary.pk, user=None)
    with pytest.raises(NothingToResolve):
        resolve(itinerary_id=itinerary.pk, user=None, retry=True)
