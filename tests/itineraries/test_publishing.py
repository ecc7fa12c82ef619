"""Publishing over real sockets: each thing that can happen ends in the state of the table."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from itineraries import publishing, services
from itineraries.errors import (
    AlreadyPublished,
    AttemptUnderWay,
    DemoStaysHere,
    DocumentError,
    NotConfigured,
    NothingToResolve,
    NotPublishable,
    Overtaken,
)
from itineraries.models import Itinerary, Publication
from itineraries.publishing import publish, resolve, sweep
from tests.itineraries.servers import Server, answer, resets, says, serving, success, unused_port
from tests.itineraries.strategies import same, wire

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "a-key-that-nobody-may-see"
PASSWORD = "voyager2016-hidden"


@pytest.fixture
def itinerary(settings) -> Itinerary:
    settings.CRUSOE_API_KEY = KEY
    settings.CRUSOE_TIMEOUT = 2
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
    return stored


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


def test_an_edit_after_publishing_shows_and_can_be_taken_back(itinerary, settings):
    """`changed` is said of another document only; back at the published one, the trip is `published` again."""
    outcome(itinerary, settings, says(success()))
    services.itinerary_replace(itinerary_id=itinerary.pk, user=None, document=wire("trip") | {"title": "Other"})
    assert Itinerary.objects.get().state == "changed"
    services.itinerary_replace(itinerary_id=itinerary.pk, user=None, document=wire("trip"))
    assert Itinerary.objects.get().state == "published"


@pytest.mark.parametrize(
    ("data", "url"),
    [
        ({"url": "http://a.example/1", "link": "http://b.example/2"}, "http://a.example/1"),
        ({"id": "7", "tripLink": "https://b.example/2"}, "https://b.example/2"),
        ({"id": "7", "where": "https://c.example/3"}, "https://c.example/3"),
        ("https://d.example/4", "https://d.example/4"),
        ({"url": "trips/5"}, "http://127.0.0.1:{port}/trips/5"),
        ({"url": "/trips/6"}, "http://127.0.0.1:{port}/trips/6"),
        ({"url": "http://robinson:voyager2016-hidden@dev.mycrusoe.com/7"}, "http://dev.mycrusoe.com/7"),
        ({"url": "javascript:alert(1)"}, "javascript:alert(1)"),
    ],
)
def test_the_address_is_found_where_it_may_stand(itinerary, settings, data, url):
    """`url`, then a name that ends so, then the only address; a relative one is joined to the web app."""
    with serving(says(answer("200 OK", {"success": True, "data": data}))) as server:
        made = attempt(itinerary, settings, server)
    assert (made.state, made.url) == ("published", url.format(port=server.port))
    assert made.is_link == url.startswith("http")


VALIDATION = answer("400 Bad Request", wire("validation_error"))


@pytest.mark.parametrize(
    ("talk", "state", "status", "words"),
    [
        (says(VALIDATION), "rejected", 400, "One or more validation errors occured"),
        (says(answer("401 Unauthorized", wire("auth_required"))), "rejected", 401, "CRUSOE_API_KEY"),
        (says(answer("401 Unauthorized", wire("invalid_auth"))), "rejected", 401, "does not know the API key"),
        (says(answer("401 Unauthorized", b"<html>")), "rejected", 401, "CRUSOE_API_USER"),
        (says(answer("403 Forbidden", {"message": "no"})), "rejected", 403, "“no”"),
        (says(answer("404 Not Found", b"")), "rejected", 404, "404"),
        (says(answer("200 OK", wire("invalid_auth"))), "rejected", 200, "does not know the API key"),
        (says(answer("200 OK", wire("validation_error"))), "rejected", 200, "validation errors"),
        (says(answer("200 OK", wire("unexpected_error"))), "unknown", 200, "Internal server error"),
        (says(answer("500 Internal Server Error", wire("unexpected_error"))), "unknown", 500, "Internal server error"),
        (says(answer("502 Bad Gateway", b"<html>")), "unknown", 502, "502"),
        (says(answer("200 OK", {"success": False})), "unknown", 200, "does not say"),
        (says(answer("200 OK", {"success": False, "message": "Hm"})), "unknown", 200, "“Hm”"),
        (says(answer("200 OK", {"success": True, "data": {}})), "unknown", 200, "no address"),
        (says(answer("200 OK", {"success": True, "data": None})), "unknown", 200, "no address"),
        (says(answer("200 OK", {"success": "yes", "data": {"url": "http://a/"}})), "unknown", 200, "does not say"),
        (says(answer("200 OK", b"")), "unknown", 200, "empty"),
        (says(answer("200 OK", b"<html>")), "unknown", 200, "cannot be read"),
        (says(answer("200 OK", b"[" * 50_000)), "unknown", 200, "cannot be read"),
        (
            says(answer("200 OK", {"success": True, "data": {"url": "http://a/"}}, length=9000)),
            "unknown",
            200,
            "broke off",
        ),
        (says(answer("200 OK", b" " * 2_000_000)), "unknown", 200, "1 MiB"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Ty"), "unknown", 200, "empty"),
        (says(b"nonsense\r\n\r\n"), "unknown", None, "broke"),
        (says(), "unknown", None, "broke"),
        (resets, "unknown", None, "broke"),
    ],
)
def test_each_answer_ends_in_its_state(itinerary, settings, talk, state, status, words):
    """The table of outcomes, answer by answer: one request, one row, and the draft untouched."""
    with serving(talk) as server:
        made = attempt(itinerary, settings, server)
    assert (made.state, made.http_status) == (state, status)
    assert words in made.detail
    assert len(server.requests) == 1
    assert itinerary.state == state
    assert same(Itinerary.objects.get().document, itinerary.document)


def test_validation_errors_stand_at_their_fields(itinerary, settings):
    """A full path is used as it is, a bare name is looked for; each is kept with the attempt."""
    errors = [
        {"name": "title", "type": "required", "value": None},
        {"name": "segments[1].options[0].image", "type": "url", "value": "?"},
        {"name": "segments.2.milestone", "type": "length", "value": "?"},
        {"name": "currentAmount", "type": "max", "value": 200},
        {"name": "nowhere", "type": "required", "value": None},
        "odd",
    ]
    body = wire("validation_error") | {"data": {"validationErrors": errors}}
    made = outcome(itinerary, settings, says(answer("400 Bad Request", body)))
    assert made.state == "rejected"
    paths = [problem["path"] for problem in made.problems]
    # Every part of the sample has a title, so each that the trip has may be meant.
    assert paths[:5] == ["title", *(f"segments[{index}].options[0].title" for index in range(4))]
    assert paths[5:8] == [
        "segments[1].options[0].image",
        "segments[2].milestone",
        "segments[1].options[0].price.currentAmount",
    ]
    assert paths[8:] == ["", ""]
    assert "5 places" in made.problems[0]["message"]


def test_a_redirect_is_not_followed(itinerary, settings):
    """The key would go along: neither a 302 nor a 307 is followed."""
    with serving(says(success())) as other:
        for status in ("302 Found", "307 Temporary Redirect"):
            made = outcome(itinerary, settings, says(answer(status, b"", f"Location: {other.url}/itinerary/create")))
            assert (made.state, "redirects" in made.detail) == ("rejected", True)
    assert other.connections == 0


def test_a_drip_ends_at_the_deadline(itinerary, settings):
    """A body that comes byte by byte, each within any timeout for a read, ends with the deadline: unknown, and one request."""
    settings.CRUSOE_TIMEOUT = 1
    started = time.monotonic()
    with serving(says(*[bytes([byte]) for byte in success()], pause=0.1)) as server:
        made = attempt(itinerary, settings, server)
    assert (made.state, "within 1 seconds" in made.detail) == ("unknown", True)
    assert time.monotonic() - started < 1.8
    assert len(server.requests) == 1


def test_silence_ends_at_the_deadline(itinerary, settings):
    """A server that takes the request and says nothing: unknown."""
    settings.CRUSOE_TIMEOUT = 1
    assert outcome(itinerary, settings, lambda _connection: time.sleep(3)).state == "unknown"


def test_nothing_listening_is_not_sent_and_was_tried_three_times(itinerary, settings):
    """A refused connection: nothing was sent, it was tried again by itself, and staff may try again at once."""
    settings.CRUSOE_API_URL = f"http://127.0.0.1:{unused_port()}/api"
    started = time.monotonic()
    made = publish(itinerary_id=itinerary.pk, user=None)
    assert (made.state, "refused" in made.detail) == ("not_sent", True)
    assert 0.4 <= time.monotonic() - started < 2
    assert itinerary.state == "not_sent"
    with serving(says(success())) as server:
        assert attempt(itinerary, settings, server).number == 2


def test_a_name_that_is_not_found_is_not_sent(itinerary, settings):
    """`.invalid` never resolves."""
    settings.CRUSOE_API_URL = "http://crusoe.invalid/api"
    made = publish(itinerary_id=itinerary.pk, user=None)
    assert (made.state, "crusoe.invalid" in made.detail) == ("not_sent", True)


def test_a_certificate_that_nobody_vouches_for_is_not_sent(itinerary, settings, tmp_path):
    """TLS fails before anything of the request leaves; it is not tried again."""
    certificate = tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"),
            *("-keyout", str(certificate), "-out", str(tmp_path / "public.pem")),
        ],
        check=True,
        capture_output=True,
    )
    certificate.write_text(certificate.read_text() + Path(tmp_path / "public.pem").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(says(success()), tls=context) as server:
        settings.CRUSOE_API_URL = f"https://127.0.0.1:{server.port}/api"
        made = publish(itinerary_id=itinerary.pk, user=None)
    assert (made.state, "secure connection" in made.detail) == ("not_sent", True)
    assert (server.connections, server.requests) == (1, [])


def test_settings_that_cannot_be_used_are_not_sent(itinerary, settings):
    """A key with a line break never reaches the wire, nor the row."""
    settings.CRUSOE_API_KEY = "a-key-\r\nInjected: yes"
    with serving(says(success())) as server:
        made = attempt(itinerary, settings, server)
    assert (made.state, server.requests) == ("not_sent", [])
    assert "Injected" not in made.detail


def test_the_environment_has_no_say(itinerary, settings, monkeypatch):
    """A proxy or a .netrc of the environment is not used."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    assert outcome(itinerary, settings, says(success())).state == "published"


def test_an_answer_that_repeats_the_secrets_is_kept_without_them(itinerary, settings, caplog):
    """Key and password are in no row and no log line, though Crusoe sends them back."""
    caplog.set_level(logging.DEBUG)
    body = {"statusCode": 400, "message": f"key {KEY} of {PASSWORD}\0", "data": {"validationErrors": [{"name": KEY}]}}
    made = outcome(itinerary, settings, says(answer("400 Bad Request", body)))
    assert made.state == "rejected"
    assert "•••" in made.detail
    assert KEY not in str(made.problems)
    assert KEY not in caplog.text
    assert PASSWORD not in caplog.text


def test_a_short_key_leaves_our_own_words_whole(itinerary, settings):
    """Only what Crusoe sent is searched for the key: not our sentences, nor the paths of the trip."""
    settings.CRUSOE_API_KEY = "c"
    errors = [
        {"name": "segments.1.options[0].price.currentAmount", "type": "cap", "value": 1},
        {"name": "currency", "type": "required"},
        {"name": "other.place", "type": "required"},
    ]
    body = wire("validation_error") | {"message": "c is no key", "data": {"validationErrors": errors}}
    with serving(says(answer("400 Bad Request", body)), says(answer("500 Oops", b""))) as server:
        settings.CRUSOE_API_URL = server.url
        made = publish(itinerary_id=itinerary.pk, user=None)
        assert made.detail == "Crusoe refused the trip (400). “••• is no key”"
        assert [(one["path"], one["message"]) for one in made.problems] == [
            ("segments[1].options[0].price.currentAmount", "Crusoe refuses this value (•••ap)."),
            ("price.currency", "Crusoe requires this."),
            ("other.pla•••e", "Crusoe requires this."),
        ]
        assert "c" not in made.answer
        assert publish(itinerary_id=itinerary.pk, user=None).detail.startswith("Crusoe failed (500)")


def test_a_secret_is_not_cut_into_what_is_kept(itinerary, settings):
    """A text that is shortened is searched before: half a key would not be found."""
    for before in (480, 490, 499):
        body = {"statusCode": 400, "message": "x" * before + KEY}
        assert KEY[:8] not in outcome(itinerary, settings, says(answer("400 Bad Request", body))).detail


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
    with serving(says(b"", success(), pause=0.5)) as server, ThreadPoolExecutor(10) as pool:
        settings.CRUSOE_API_URL = server.url
        start = threading.Barrier(10)

        def click(_number: int) -> str:
            start.wait()
            try:
                return publish(itinerary_id=itinerary.pk, user=None).state
            except AttemptUnderWay:
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
    row = Publication.objects.create(
        itinerary=itinerary, number=1, document={}, fingerprint="x", started_at=timezone.now() - timedelta(seconds=5)
    )
    assert (sweep(), itinerary.state) == (0, "sending")
    Publication.objects.update(started_at=timezone.now() - timedelta(seconds=8))
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


@pytest.mark.parametrize(
    ("talk", "ok", "words"),
    [
        (says(VALIDATION), True, "knows the API key"),
        (says(answer("401 Unauthorized", wire("invalid_auth"))), False, "does not know"),
        (says(answer("500 Oops", b"")), False, "failed"),
    ],
)
def test_a_probe_tells_a_good_key_from_a_bad_one(itinerary, settings, talk, ok, words):
    """An empty document makes no trip and says whether the key is known."""
    with serving(talk) as server:
        settings.CRUSOE_API_URL = server.url
        found = publishing.probe()
    assert (found.ok, words in found.detail) == (ok, True)
    assert server.documents == [{}]


PUBLISH = """
import django, sys, uuid
django.setup()
from django.conf import settings
settings.CRUSOE_API_URL, settings.CRUSOE_API_KEY = sys.argv[2], "key"
from itineraries.publishing import publish
publish(itinerary_id=uuid.UUID(sys.argv[1]), user=None)
"""


def test_a_process_that_dies_while_sending_leaves_an_attempt_to_resolve(itinerary, settings):
    """Killed with the request on the wire: the row was committed before, and nobody can publish past it."""
    database = connection.settings_dict
    url = (
        f"sqlite:///{database['NAME']}"
        if connection.vendor == "sqlite"
        else f"postgres://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "TEST_DATABASE_URL": url}
    with serving(lambda _connection: time.sleep(20)) as server:
        command = [sys.executable, "-c", PUBLISH, str(itinerary.pk), server.url]
        process = subprocess.Popen(command, env=env, cwd=settings.BASE_DIR)
        try:
            ends = time.monotonic() + 20
            while not server.requests and process.poll() is None and time.monotonic() < ends:
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        assert len(server.requests) == 1
    assert itinerary.state == "sending"
    Publication.objects.update(started_at=timezone.now() - timedelta(minutes=1))
    with pytest.raises(AttemptUnderWay, match="somebody has to say"):
        publish(itinerary_id=itinerary.pk, user=None)
    assert Publication.objects.get().state == "unknown"


def test_a_name_that_takes_too_long_ends_at_the_deadline(itinerary, settings, monkeypatch):
    """The look-up is part of the deadline; unknown, since it goes on by itself, though nothing is sent when it ends.

    No server can make a look-up slow, so the resolver is.
    """
    settings.CRUSOE_TIMEOUT = 1
    look_up = socket.getaddrinfo

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(1.5)
        return look_up(*args, **kwargs)

    with serving(says(success())) as server:
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        started = time.monotonic()
        made = attempt(itinerary, settings, server)
        assert time.monotonic() - started < 1.4
        time.sleep(1)
    assert (made.state, server.connections, server.requests) == ("unknown", 1, [])
