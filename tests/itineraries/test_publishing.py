"""Publishing: what is claimed, sent once, and kept back."""

from __future__ import annotations

# ruff: noqa: F811 (the fixture)
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from itineraries import publishing, services
from itineraries.errors import (
    AlreadyPublished,
    AttemptUnderWay,
    DemoStaysHere,
    NotConfigured,
    NotPublishable,
    Overtaken,
)
from itineraries.models import Itinerary, Publication
from itineraries.publishing import publish
from tests.backoffice.serving import until
from tests.itineraries.attempts import KEY, PASSWORD, VALIDATION, attempt, itinerary, outcome  # noqa: F401
from tests.itineraries.servers import says, serving, success
from tests.itineraries.strategies import same, wire

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_publication_sends_the_exact_document_once(itinerary, settings):
    """One POST with the document, the key and the password; the row has both the document and the answer."""
    with serving(says(success())) as server:
        made = attempt(itinerary, settings, server)
    (head, _body) = server.requests[0]
    assert len(server.requests) == 1
    assert same(server.documents[0], wire("trip"))
    assert head.startswith("POST /api/itinerary/create HTTP/1.1\r\n")
    assert f"api-key: {KEY}" in head
    assert "Authorization: Basic cm9iaW5zb246dm95YWdlcjIwMTYtaGlkZGVu" in head
    made.refresh_from_db()
    assert (made.state, made.url, made.http_status, made.number) == ("published", "http://mycrusoe.com/trips/1", 200, 1)
    assert same(made.document, wire("trip"))
    assert '"success": true' in made.answer
    assert itinerary.state == "published"


def test_nothing_is_added_dropped_or_rewritten(settings):
    """Other spellings of times, values that are not the computed ones, unknown properties and nulls leave as they came."""
    settings.CRUSOE_API_KEY = KEY
    data = wire("trip") | {"mood": {"x": [1, 2.50, None, True, 70.0]}, "introText": " two\r\nlines ", "subtitle": None}
    del data["price"]["fixedPriceAmount"]
    flight, ride = (data["segments"][card]["options"][0] for card in (0, 2))
    flight |= {"duration": 1, "layovers": 7.0, "info": ""}
    flight["flightSegments"][0]["layoverTime"] = 0
    ride["pointA"]["time"], ride["pointB"]["time"] = "9:15", "09:45 am"
    made = services.itinerary_create(user=None, document=data)
    with serving(says(success())) as server:
        settings.CRUSOE_API_URL = server.url
        publish(itinerary_id=made.pk, user=None)
    assert same(server.documents[0], data)


def test_an_edit_after_publishing_shows_and_can_be_taken_back(itinerary, settings):
    """`changed` is said of another document only; back at the published one, the trip is `published` again."""
    outcome(itinerary, settings, says(success()))
    services.itinerary_replace(itinerary_id=itinerary.pk, user=None, document=wire("trip") | {"title": "Other"})
    assert Itinerary.objects.get().state == "changed"
    services.itinerary_replace(itinerary_id=itinerary.pk, user=None, document=wire("trip"))
    assert Itinerary.objects.get().state == "published"


def test_errors_keep_a_trip_back(itinerary, settings):
    """With errors nothing is claimed and nothing is sent; they are told with their paths."""
    services.itinerary_replace(itinerary_id=itinerary.pk, user=None, document={"title": "Unfinished"})
    with serving(says(success())) as server:
        settings.CRUSOE_API_URL = server.url
        with pytest.raises(NotPublishable) as caught:
            publish(itinerary_id=itinerary.pk, user=None)
    assert "dateInterval.from" in [problem.path for problem in caught.value.problems]
    assert (server.connections, Publication.objects.count()) == (0, 0)


def test_without_a_key_nothing_is_sent(itinerary, settings):
    """The message names the variable."""
    settings.CRUSOE_API_KEY = ""
    with pytest.raises(NotConfigured, match="CRUSOE_API_KEY"):
        publish(itinerary_id=itinerary.pk, user=None)
    assert Publication.objects.count() == 0


def test_ten_clicks_make_one_post(itinerary, settings):
    """While an attempt is under way, every other one is refused; the database sees to it."""
    refused: list[int] = []

    def answers_when_all_others_were_refused(connection: socket.socket) -> None:
        until(lambda: len(refused) == 9, 30)
        connection.sendall(success())

    settings.CRUSOE_TIMEOUT = 60
    with serving(answers_when_all_others_were_refused) as server, ThreadPoolExecutor(10) as pool:
        settings.CRUSOE_API_URL = server.url
        start = threading.Barrier(10)

        def click(number: int) -> str:
            start.wait()
            try:
                return publish(itinerary_id=itinerary.pk, user=None).state
            except AttemptUnderWay:
                refused.append(number)
                return "under way"
            finally:
                connection.close()

        states = sorted(pool.map(click, range(10)))
    assert states == ["published", *["under way"] * 9]
    assert len(server.requests) == 1


@pytest.mark.parametrize("after", [None, 0])
def test_clicks_that_come_after_the_answer_make_no_second_post(itinerary, settings, after):
    """Twenty at once, of which most are served when the first has ended: one POST, one page, and no way to tell wrong."""
    with serving(says(success())) as server, ThreadPoolExecutor(20) as pool:
        settings.CRUSOE_API_URL = server.url
        start = threading.Barrier(20)

        def click(number: int) -> str:
            start.wait()
            time.sleep(number * 0.02)
            try:
                return publish(itinerary_id=itinerary.pk, user=None, after=after).state
            except (AttemptUnderWay, AlreadyPublished, Overtaken):
                return "refused"
            finally:
                connection.close()

        states = sorted(pool.map(click, range(20)))
    assert states == ["published", *["refused"] * 19]
    assert (len(server.requests), Publication.objects.count()) == (1, 1)


def test_the_same_document_is_published_again_on_purpose_only(itinerary, settings):
    """The refusal has the address and the number; with the number a second page is made, and once."""
    with serving(says(success("http://a/1")), says(success("http://a/2"))) as server:
        attempt(itinerary, settings, server)
        with pytest.raises(AlreadyPublished) as caught:
            publish(itinerary_id=itinerary.pk, user=None)
        assert (caught.value.number, caught.value.url) == (1, "http://a/1")
        assert publish(itinerary_id=itinerary.pk, user=None, after=caught.value.number).url == "http://a/2"
        for stale in (0, 1, 3):
            with pytest.raises(Overtaken) as overtaken:
                publish(itinerary_id=itinerary.pk, user=None, after=stale)
            assert (overtaken.value.number, overtaken.value.url) == (2, "http://a/2")
    assert len(server.requests) == 2


def test_an_edited_document_is_published_without_ado(itinerary, settings):
    """Only what is published exactly so is refused; not an edited trip, nor one that was refused."""
    with serving(says(success("http://a/1")), says(VALIDATION), says(success("http://a/3"))) as server:
        attempt(itinerary, settings, server)
        services.itinerary_replace(itinerary_id=itinerary.pk, user=None, document=wire("trip") | {"title": "Other"})
        assert attempt(itinerary, settings, server).state == "rejected"
        assert attempt(itinerary, settings, server).url == "http://a/3"


def test_a_click_from_before_an_edit_does_not_publish_what_nobody_asked_for(itinerary, settings):
    """The second half of a double click that is served after somebody's edit sends nothing."""
    with serving(says(success())) as server:
        settings.CRUSOE_API_URL = server.url
        publish(itinerary_id=itinerary.pk, user=None, after=0)
        services.itinerary_replace(itinerary_id=itinerary.pk, user=None, document=wire("trip") | {"title": "Other"})
        with pytest.raises(Overtaken):
            publish(itinerary_id=itinerary.pk, user=None, after=0)
    assert len(server.requests) == 1


def test_the_database_itself_keeps_to_one_active_attempt(itinerary):
    """Two `sending` rows, or one beside an unresolved `unknown`, are refused by a constraint."""

    def row(number: int, state: str) -> None:
        Publication.objects.create(
            itinerary=itinerary, number=number, state=state, document={}, fingerprint="", started_at=timezone.now()
        )

    row(1, "unknown")
    for state in ("sending", "unknown"):
        with pytest.raises(IntegrityError), transaction.atomic():
            row(2, state)
    row(2, "rejected")


@pytest.mark.parametrize(
    ("sandbox", "url", "allowed"),
    [
        (True, "http://127.0.0.1:{port}/sandbox/crusoe/api", True),
        (True, "http://127.0.0.1:{port}/sandbox/crusoe/api/", True),
        (False, "http://127.0.0.1:{port}/sandbox/crusoe/api", False),
        (True, "http://127.0.0.1:{port}/api", False),
        (True, "http://127.0.0.1:{port}/sandbox/crusoe/api/../../api", False),
        (True, "http://mycrusoe.com/sandbox/crusoe/api", False),
    ],
)
def test_an_invented_trip_goes_to_the_sandbox_only(settings, itinerary, sandbox, url, allowed):
    """Whatever else the address says, demonstration trips are refused with clear words before anything is sent."""
    settings.SANDBOX = sandbox
    demo = services.itinerary_create(user=None, document=wire("trip"), is_demo=True)
    with serving(says(success())) as server:
        settings.CRUSOE_API_URL = url.format(port=server.port)
        if allowed:
            assert publish(itinerary_id=demo.pk, user=None).state == "published"
        else:
            with pytest.raises(DemoStaysHere, match="sandbox"):
                publish(itinerary_id=demo.pk, user=None)
    assert server.connections == allowed


def test_the_site_s_own_name_counts_as_the_sandbox(settings):
    """The demonstration may run under a name of its own."""
    settings.SANDBOX = True
    settings.SITE_URL = "https://demo.example"
    assert publishing.is_sandbox("https://demo.example/sandbox/crusoe/api")
    assert not publishing.is_sandbox("https://demo.example.evil/sandbox/crusoe/api")
