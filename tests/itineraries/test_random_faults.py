"""Faults drawn at random end as the table of outcomes says; and what each safeguard keeps off, with it off."""

from __future__ import annotations

# ruff: noqa: F811 (the fixture)
import itertools
import socket
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.db import connection
from django.utils import timezone
from urllib3.exceptions import InsecureRequestWarning
from urllib3.util.retry import Retry

from itineraries import publishing
from itineraries.crusoe import client
from itineraries.document import export, load
from itineraries.models import Publication
from itineraries.publishing import publish
from tests.backoffice.serving import until
from tests.itineraries.attempts import KEY, attempt, itinerary  # noqa: F401
from tests.itineraries.random_faults import GRACE, TIMEOUT, run
from tests.itineraries.servers import answer, says, serving, success, tls_of_nobody, unused_port
from tests.itineraries.strategies import wire

pytestmark = pytest.mark.django_db(transaction=True)


def test_random_faults_end_as_they_must(settings):
    """At most one POST each, every ambiguous one unknown, in time, no redirect, no secret kept."""
    settings.CRUSOE_API_URL = settings.CRUSOE_API_KEY = ""  # so that the settings are put back afterwards
    settings.CRUSOE_TIMEOUT = TIMEOUT
    found = run(seed=20261121, count=60, grace=20)  # the second of the long run is for a machine at rest
    assert found.wrong == []
    assert (found.attempts, found.most_posts) == (60, 1)
    assert set(found.states) == {"published", "rejected", "unknown", "not_sent"}


# --- With each safeguard off -------------------------------------------------------------------------------------


def test_control_the_library_s_own_retries_post_twice(itinerary, settings, monkeypatch):
    """With retries on, a line that breaks after the request makes several POSTs."""
    made = client._Adapter.__init__

    def with_retries(self, connected):
        made(self, connected)
        self.max_retries = Retry(3, allowed_methods=None, backoff_factor=0)

    with serving(says(b"")) as server:
        attempt(itinerary, settings, server)
        assert len(server.requests) == 1
    Publication.objects.all().delete()
    monkeypatch.setattr(client._Adapter, "__init__", with_retries)
    with serving(says(b"")) as server:
        attempt(itinerary, settings, server)
        assert len(server.requests) > 1


def test_control_a_redirect_that_is_followed_takes_the_key_along(itinerary, settings, monkeypatch):
    """Another host receives the document and the key."""
    post = requests.Session.post
    monkeypatch.setattr(
        requests.Session, "post", lambda self, url, **more: post(self, url, **{**more, "allow_redirects": True})
    )
    with serving(says(success())) as other:
        redirect = answer("307 Temporary Redirect", b"", f"Location: {other.url}/itinerary/create")
        with serving(says(redirect)) as server:
            attempt(itinerary, settings, server)
    assert f"api-key: {KEY}" in other.requests[0][0]


def test_control_without_a_deadline_for_the_whole_a_drip_outlasts_it(itinerary, settings, monkeypatch):
    """The library's timeout is one for each read."""
    monkeypatch.setattr(client._Exchange, "run", lambda self: self._exchange())
    settings.CRUSOE_TIMEOUT = 1
    with serving(says(*[bytes([byte]) for byte in success()], pause=0.02)) as server:
        began = time.monotonic()
        assert attempt(itinerary, settings, server).state == "published"
    assert time.monotonic() - began > 1 + GRACE


@pytest.fixture
def without_the_claim(itinerary, monkeypatch):
    """Neither the constraint nor the look behind the row's lock."""
    numbers = itertools.count(1)
    lock = threading.Lock()

    def claim(itinerary_id, user, access, after):
        with lock:
            number = next(numbers)
        return Publication.objects.create(
            itinerary_id=itinerary_id,
            number=number,
            document=export(load(itinerary.document)),
            fingerprint=itinerary.fingerprint,
            started_at=timezone.now(),
        )

    (constraint,) = (one for one in Publication._meta.constraints if one.name == "publication_one_active")
    monkeypatch.setattr(publishing, "_claim", claim)
    with connection.schema_editor() as editor:
        editor.remove_constraint(Publication, constraint)
    yield
    Publication.objects.all().delete()
    with connection.schema_editor() as editor:
        editor.add_constraint(Publication, constraint)


def test_control_without_the_claim_two_clicks_make_two_posts(itinerary, settings, without_the_claim):
    """Both are sent."""
    with serving(says(b"", success(), pause=0.5)) as server, ThreadPoolExecutor(2) as pool:
        settings.CRUSOE_API_URL = server.url

        def click(_number):
            try:
                return publish(itinerary_id=itinerary.pk, user=None).state
            finally:
                connection.close()

        assert list(pool.map(click, range(2))) == ["published", "published"]
    assert len(server.requests) == 2


def test_control_without_the_claim_an_unknown_attempt_is_sent_again(itinerary, settings, without_the_claim):
    """The trip that a failing partner took all the same is there twice."""
    with serving(says(answer("500 Oops", b"")), says(success())) as server:
        assert [attempt(itinerary, settings, server).state for _click in range(2)] == ["unknown", "published"]
    assert len(server.requests) == 2


def test_control_without_refusing_repetitions_a_late_click_makes_a_second_page(itinerary, settings, monkeypatch):
    """The constraint does not know of attempts that have ended."""

    def last(itinerary, after):
        return itinerary.publications.count()

    monkeypatch.setattr(publishing, "_refuse_repetition", last)
    with serving(says(success("http://a/1")), says(success("http://a/2"))) as server:
        assert [attempt(itinerary, settings, server).url for _click in range(2)] == ["http://a/1", "http://a/2"]


def test_control_with_one_try_a_partner_that_was_away_for_a_moment_is_missed(itinerary, settings, monkeypatch):
    """A person has to press the button again."""
    monkeypatch.setattr(client, "TRIES", 1)
    port = unused_port()
    settings.CRUSOE_API_URL = f"http://127.0.0.1:{port}/api"
    assert publish(itinerary_id=itinerary.pk, user=None).state == "not_sent"
    with serving(says(success()), port=port) as server:
        assert server.requests == []
        assert publish(itinerary_id=itinerary.pk, user=None).state == "published"


def test_control_without_verification_anybody_gets_the_key(itinerary, settings, monkeypatch, tmp_path):
    """Whoever answers at the address, with a certificate of his own."""
    post = requests.Session.post
    monkeypatch.setattr(
        requests.Session, "post", lambda self, url, **more: post(self, url, **{**more, "verify": False})
    )
    with serving(says(success()), tls=tls_of_nobody(tmp_path)) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureRequestWarning)
        settings.CRUSOE_API_URL = f"https://127.0.0.1:{server.port}/api"
        assert publish(itinerary_id=itinerary.pk, user=None).state == "published"
    assert f"api-key: {KEY}" in server.requests[0][0]


def test_control_without_a_look_at_the_clock_a_slow_name_is_sent_to_late(itinerary, settings, monkeypatch):
    """The trip arrives after somebody could have said that it did not."""
    settings.CRUSOE_TIMEOUT = 1
    look_up, released = socket.getaddrinfo, threading.Event()

    def slow(*args, **kwargs):
        assert threading.current_thread().name != "crusoe" or released.wait(30)
        return look_up(*args, **kwargs)

    monkeypatch.setattr(client._Exchange, "_connected", lambda self, connection: None)
    with serving(says(success())) as server:
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        made = attempt(itinerary, settings, server)
        assert (made.state, server.requests) == ("unknown", [])
        released.set()
        until(lambda: server.requests, 30)
    assert len(server.requests) == 1


def test_control_without_the_limit_an_answer_is_kept_however_long(itinerary, settings, monkeypatch):
    """In the memory and in the row."""
    monkeypatch.setattr(client, "MAX_ANSWER", 10**9)
    with serving(says(answer("200 OK", b" " * 2_000_000))) as server:
        assert len(attempt(itinerary, settings, server).answer) == 2_000_000


def test_control_with_one_session_for_all_cookies_go_along(itinerary, settings, monkeypatch):
    """Crusoe could tell attempts by it, and answer one with what it remembers of another."""
    session = requests.Session()
    monkeypatch.setattr(requests, "Session", lambda: session)
    refusal = answer("400 Bad Request", wire("validation_error"), "Set-Cookie: session=1; Path=/")
    with serving(says(refusal), says(success())) as server:
        attempt(itinerary, settings, server)
        attempt(itinerary, settings, server)
    assert "Cookie: session=1" in server.requests[1][0]


def test_control_the_environment_s_proxy_would_be_used(itinerary, settings, monkeypatch):
    """With the environment trusted, the key goes to whatever proxy it names."""
    with serving(says(success())) as proxy, serving(says(success())) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setattr(
            requests.Session, "trust_env", property(lambda self: True, lambda self, value: None), raising=False
        )
        attempt(itinerary, settings, server)
    assert len(proxy.requests) == 1
    assert f"api-key: {KEY}" in proxy.requests[0][0]
