"""Publishing over real sockets: each thing that can happen ends in the state of the table."""

from __future__ import annotations

# ruff: noqa: F811 (the fixture)
import contextlib
import logging
import socket
import threading
import time
from typing import Any

import pytest
from django.utils import translation
from django.utils.translation import trans_real

from itineraries import publishing
from itineraries.crusoe import client
from itineraries.models import Itinerary
from itineraries.publishing import publish
from tests.backoffice.serving import until
from tests.itineraries.attempts import KEY, PASSWORD, VALIDATION, attempt, itinerary, outcome  # noqa: F401
from tests.itineraries.servers import answer, full, resets, says, serving, success, tls_of_nobody, unused_port
from tests.itineraries.strategies import same, wire

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("data", "url"),
    [
        ({"link": "http://b.example/2", "url": "http://a.example/1"}, "http://a.example/1"),
        ({"where": "https://c.example/3", "tripLink": "https://b.example/2"}, "https://b.example/2"),
        ({"id": "7", "webURL": "/trips/2"}, "http://127.0.0.1:{port}/trips/2"),
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


@pytest.mark.parametrize(
    ("talk", "state", "status", "words"),
    [
        (says(VALIDATION), "rejected", 400, "One or more validation errors occured"),
        (
            says(
                answer(
                    "400 Bad Request",
                    {"success": False, "statusCode": 400, "message": "One or more validation errors found", "data": {}},
                )
            ),
            "rejected",
            400,
            "validation errors found",
        ),
        (says(answer("401 Unauthorized", wire("auth_required"))), "rejected", 401, "CRUSOE_API_KEY"),
        (says(answer("401 Unauthorized", wire("invalid_auth"))), "rejected", 401, "does not know the API key"),
        (says(answer("401 Unauthorized", b"<html>")), "rejected", 401, "CRUSOE_API_USER"),
        (says(answer("403 Forbidden", {"message": "no"})), "rejected", 403, "“no”"),
        (says(answer("404 Not Found", b"")), "rejected", 404, "404"),
        (says(answer("403 Forbidden", wire("unexpected_error"))), "rejected", 403, "403"),
        (says(answer("503 Unavailable", wire("validation_error"))), "unknown", 503, "503"),
        (
            says(answer("200 OK", {"success": True, "statusCode": 422, "data": {"url": "http://a/"}})),
            "rejected",
            200,
            "422",
        ),
        (says(answer("200 OK", wire("invalid_auth"))), "rejected", 200, "does not know the API key"),
        (says(answer("200 OK", wire("validation_error"))), "rejected", 200, "validation errors"),
        (says(answer("200 OK", wire("unexpected_error"))), "unknown", 200, "Internal server error"),
        (says(answer("500 Internal Server Error", wire("unexpected_error"))), "unknown", 500, "Internal server error"),
        (says(answer("502 Bad Gateway", b"<html>")), "unknown", 502, "502"),
        (says(answer("200 OK", {"success": False})), "unknown", 200, "does not say"),
        (says(answer("200 OK", {"success": False, "message": "Hm"})), "unknown", 200, "“Hm”"),
        (says(answer("200 OK", {"success": True, "data": {}})), "unknown", 200, "no address"),
        (says(answer("200 OK", {"success": True, "data": None})), "unknown", 200, "no address"),
        (
            says(answer("200 OK", {"success": True, "data": {"a": "http://a/", "b": "http://b/"}})),
            "unknown",
            200,
            "no addr",
        ),
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
        {"name": "milestone", "type": "required", "value": None},
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
    assert paths[8:] == ["segments[0].milestone", "", ""]
    assert "5 places" in made.refusals[0].message


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
    assert time.monotonic() - started < 8  # the drip itself takes twice as long
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
    assert 0.4 <= time.monotonic() - started < 20
    assert itinerary.state == "not_sent"
    with serving(says(success())) as server:
        assert attempt(itinerary, settings, server).number == 2


def test_a_partner_that_comes_up_between_two_tries_is_reached(itinerary, settings, monkeypatch):
    """One attempt, one POST, and nobody has to press anything."""
    monkeypatch.setattr(client, "PAUSE", 2.0)
    port, found = unused_port(), []

    def listen() -> None:
        with serving(says(success()), port=port) as server:
            ended.wait(30)
            found.append(server)

    ended = threading.Event()
    partner = threading.Timer(0.2, listen)
    partner.start()
    settings.CRUSOE_API_URL = f"http://127.0.0.1:{port}/api"
    made = publish(itinerary_id=itinerary.pk, user=None)
    ended.set()
    partner.join()
    assert (made.state, made.number, len(found[0].requests)) == ("published", 1, 1)


def test_the_tries_share_one_time_limit(itinerary, settings, monkeypatch):
    """None begins that could not end: what is known not to have been sent stays so, and it took no longer than allowed."""
    settings.CRUSOE_TIMEOUT = 5
    settings.CRUSOE_API_URL = f"http://127.0.0.1:{unused_port()}/api"
    monkeypatch.setattr(client, "PAUSE", 3.0)
    started = time.monotonic()
    assert publish(itinerary_id=itinerary.pk, user=None).state == "not_sent"
    assert 3 <= time.monotonic() - started < 5


def test_look_ups_that_fail_slowly_share_it_too(itinerary, settings, monkeypatch):
    """The deadline is that of all tries together, and beats them; no server can make a look-up slow, so the resolver is."""

    def slow(*_args: Any, **_kwargs: Any) -> Any:
        time.sleep(2)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    settings.CRUSOE_TIMEOUT = 4
    settings.CRUSOE_API_URL = "http://crusoe.invalid/api"
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    started = time.monotonic()
    assert publish(itinerary_id=itinerary.pk, user=None).state == "unknown"
    assert time.monotonic() - started < 6  # two look-ups with a deadline each would end after it


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_that_hangs_ends_at_the_deadline(itinerary, settings, scheme):
    """Before TCP's or TLS's handshake is done, too; unknown, since the try that is left goes on by itself."""
    settings.CRUSOE_TIMEOUT = 1
    with contextlib.ExitStack() as stack:
        if scheme == "http":
            port = stack.enter_context(full())
        else:
            port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        settings.CRUSOE_API_URL = f"{scheme}://127.0.0.1:{port}/api"
        started = time.monotonic()
        made = publish(itinerary_id=itinerary.pk, user=None)
        assert time.monotonic() - started < 10
    assert (made.state, "within 1 seconds" in made.detail) == ("unknown", True)


def test_a_name_that_is_not_found_is_not_sent(itinerary, settings):
    """`.invalid` never resolves; a name server may be slow to say so."""
    settings.CRUSOE_TIMEOUT = 60
    settings.CRUSOE_API_URL = "http://crusoe.invalid/api"
    made = publish(itinerary_id=itinerary.pk, user=None)
    assert (made.state, "crusoe.invalid" in made.detail) == ("not_sent", True)


def test_a_certificate_that_nobody_vouches_for_is_not_sent(itinerary, settings, tmp_path):
    """TLS fails before anything of the request leaves; it is not tried again."""
    with serving(says(success()), tls=tls_of_nobody(tmp_path)) as server:
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


def test_the_environment_has_no_say(itinerary, settings, monkeypatch, tmp_path):
    """A proxy or a .netrc of the environment is not used."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(says(success())) as server:
        settings.CRUSOE_API_URL = server.url
        assert publish(itinerary_id=itinerary.pk, user=None).state == "published"
    assert "authorization" not in server.requests[0][0].lower()


def test_nothing_of_one_exchange_goes_into_the_next(itinerary, settings):
    """A cookie that Crusoe sets is not sent back, and the connection is not kept."""
    cookie = "Set-Cookie: session=1; Path=/"
    with serving(says(answer("400 Bad Request", wire("validation_error"), cookie)), says(success())) as server:
        attempt(itinerary, settings, server)
        attempt(itinerary, settings, server)
    assert (server.connections, len(server.requests)) == (2, 2)
    assert "cookie" not in server.requests[1][0].lower()


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
        assert [(one.path, one.message) for one in made.refusals] == [
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


def test_a_name_that_takes_too_long_ends_at_the_deadline(itinerary, settings, monkeypatch):
    """The look-up is part of the deadline; unknown, since it goes on by itself, though nothing is sent when it ends.

    No server can make a look-up slow, so the resolver is.
    """
    settings.CRUSOE_TIMEOUT = 1
    look_up, released = socket.getaddrinfo, threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        assert threading.current_thread().name != "crusoe" or released.wait(30)
        return look_up(*args, **kwargs)

    with serving(says(success())) as server:
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        started = time.monotonic()
        made = attempt(itinerary, settings, server)
        assert time.monotonic() - started < 10
        released.set()
        until(lambda: server.ended, 30)
    assert (made.state, server.connections, server.requests) == ("unknown", 1, [])


def test_what_happened_is_stored_without_words(itinerary, settings, monkeypatch):
    """A reason and a refusal are codes: who publishes in one language does not decide for those who read in another."""
    body = wire("validation_error") | {"message": "No title"}
    made = outcome(itinerary, settings, says(answer("400 Bad Request", body)))
    assert made.reason == {"code": "refused", "arguments": {"status": 400}, "said": "No title"}
    assert made.problems[0] == {"path": "title", "violation": "required", "name": "title", "places": 5}
    # No catalogue is compiled for tests; this one has one entry.
    monkeypatch.setitem(trans_real.translation("es")._catalog._catalogs[0], "Crusoe requires this.", "Falta esto.")
    with translation.override("es"):
        assert made.refusals[0].message.startswith("Falta esto.")
    assert made.refusals[0].message.startswith("Crusoe requires this.")
