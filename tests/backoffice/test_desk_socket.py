"""The WebSocket by which open pages hear that something has changed, over real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.sessions import SessionMiddlewareStack
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.db import connections
from django.test import Client, override_settings
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from backoffice import consumers
from backoffice.asgi import application
from backoffice.citytrips.models import LinkState
from backoffice.hints import Topic, changed
from tests.backoffice.serving import Site, manage, serving, soon, until
from users.models import User
from users.services import user_create

pytestmark = pytest.mark.django_db(transaction=True)

# Without credentials the line says so once, and is quiet from then on.
QUIET = {"CITYTRIPS_CLIENT_ID": "", "CITYTRIPS_API_KEY": "", "CITYTRIPS_LEASE": "30"}


@pytest.fixture
def ana() -> User:
    return user_create(username="ana", email="ana@example.com", is_staff=True)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(**QUIET, REDIS_URL=settings.REDIS_URL) as site:
        until(lambda: LinkState.objects.filter(state="unconfigured").exists(), 60)
        yield site


@pytest.fixture
def no_listener() -> Iterator[None]:
    """For a consumer on an event loop of the test's own: what hears other processes over Redis outlives such a loop."""
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}):
        yield


def session_of(user: User) -> str:
    client = Client()
    client.force_login(user, backend="users.backends.UsernameOrEmailBackend")
    return client.cookies["sessionid"].value


@contextmanager
def page(site: Site, session: str = "", origin: str | None = "same") -> Iterator[ClientConnection]:
    """An open page's WebSocket."""
    host = urlsplit(site.url).netloc
    headers = {"Cookie": f"sessionid={session}"} if session else {}
    origin = site.url if origin == "same" else origin
    with connect(f"ws://{host}/live/", origin=origin, additional_headers=headers, proxy=None) as socket:
        yield socket


def hints(socket: ClientConnection, seconds: float) -> list[list[str]]:
    """What it is told within so many seconds, with the times' gaps left out."""
    said = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            said.append(json.loads(socket.recv(timeout=left))["changed"])
        except TimeoutError:
            break
    return said


def quiet(socket: ClientConnection) -> None:
    """Wait until the site's own start has been told."""
    assert json.loads(socket.recv(timeout=30)) == {"changed": []}
    while hints(socket, 1):
        pass


async def first_word(served: Any, headers: list[tuple[bytes, bytes]]) -> Any:
    socket = WebsocketCommunicator(served, "/live/", headers=headers)
    await socket.connect(timeout=30)
    said = await socket.receive_json_from(timeout=30)
    await socket.disconnect(timeout=30)
    await sync_to_async(connections.close_all)()
    return said


def test_strangers_hear_nothing(site: Site) -> None:
    """Who is not logged in is told so by code 4401; so is a session that never was."""
    for session in ("", "x" * 32):
        with page(site, session) as socket, pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == consumers.NOT_LOGGED_IN


def test_customers_hear_nothing(site: Site) -> None:
    """Who is no member of the staff is told so by code 4403."""
    customer = user_create(username="bea", email="bea@example.com")
    with page(site, session_of(customer)) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=30)
    assert closed.value.rcvd
    assert closed.value.rcvd.code == consumers.NOT_STAFF


@pytest.mark.usefixtures("no_listener")
def test_foreign_pages_are_refused(site: Site, ana: User) -> None:
    """A page of another site, though it comes with a login of ours, is not even let in; nor is who names no page."""
    session = session_of(ana)
    for origin in ("https://evil.example", "null", "http://[", None):
        with pytest.raises(InvalidStatus) as refused, page(site, session, origin=origin):
            pass
        assert refused.value.response.status_code in (400, 403)
    # The safeguard off: by the cookie alone it would be let in.
    headers = [(b"origin", b"https://evil.example"), (b"cookie", f"sessionid={session}".encode())]
    assert asyncio.run(first_word(SessionMiddlewareStack(consumers.LiveConsumer.as_asgi()), headers)) == {"changed": []}
    assert "Traceback" not in site.output


def test_the_simulator_stays_open_to_programs(site: Site) -> None:
    """An operator's program sends no Origin, and CityTrips' address asks for none."""
    with connect(site.websocket_url, proxy=None) as socket:
        socket.send('{"command": "s_ext/authenticate", "payload": {"clientId": "", "apiKey": ""}}')
        assert json.loads(socket.recv(timeout=30))["command"].startswith("s_ext/")


def test_staff_hear_of_a_change_within_a_second(site: Site, ana: User) -> None:
    """A change that a request of somebody else makes is heard at once, and of it nothing but what kind it is."""
    site.login(ana)
    with page(site, session_of(ana)) as socket:

        def once() -> float:
            while hints(socket, 1):
                pass
            answer = site.session.post(
                f"{site.url}/admin/citytrips/linkstate/ask/",
                data={"full": "1"},
                headers={"X-CSRFToken": "c" * 32},
                timeout=30,
                allow_redirects=False,
            )
            assert answer.status_code == 302
            began = time.monotonic()
            assert json.loads(socket.recv(timeout=30)) == {"changed": ["line"]}
            return time.monotonic() - began

        quiet(socket)
        soon(once, 1)


def test_a_storm_is_gathered(site: Site, ana: User) -> None:
    """However much changes, a page is told so about twice a second."""
    site.login(ana)
    with page(site, session_of(ana)) as socket:
        quiet(socket)
        began = time.monotonic()
        number = 0
        while number <= 10 or time.monotonic() - began < 2:
            number += 1
            answer = site.session.post(
                f"{site.url}/api/v1/vehicles/",
                json={"id": f"v-{number}", "state": "available"},
                headers={"X-CSRFToken": "c" * 32, "Referer": site.url},
                timeout=30,
            )
            assert answer.status_code == 201, answer.text
        seconds = time.monotonic() - began
        told = hints(socket, 1)
    assert {topic for topics in told for topic in topics} == {"fleet"}
    assert len(told) <= (seconds + 1) / consumers.GATHER + 1


@pytest.mark.usefixtures("no_listener")
@pytest.mark.parametrize(("gap", "least", "most"), [(consumers.GATHER, 2, 100), (0, 20, 100)])
def test_without_the_gathering_each_change_is_a_message(
    ana: User, monkeypatch: pytest.MonkeyPatch, gap: float, least: int, most: int
) -> None:
    """A hundred changes in a second are three messages; with the safeguard off they are nearly as many as they are."""
    monkeypatch.setattr(consumers, "GATHER", gap)
    cookie = f"sessionid={session_of(ana)}".encode()

    async def count() -> tuple[int, float]:
        socket = WebsocketCommunicator(
            application, "/live/", headers=[(b"origin", b"http://testserver"), (b"cookie", cookie)]
        )
        await socket.connect(timeout=30)
        assert await socket.receive_json_from(timeout=30) == {"changed": []}
        began = time.monotonic()
        for _change in range(100):
            changed(Topic.FLEET)
            await asyncio.sleep(0.01)
        taken = time.monotonic() - began
        said = 0
        while not await socket.receive_nothing(timeout=0.1):
            assert await socket.receive_json_from() == {"changed": ["fleet"]}
            said += 1
        await socket.disconnect(timeout=30)
        await sync_to_async(connections.close_all)()
        return said, taken

    said, taken = asyncio.run(count())
    # One at once, and one after each gap; a machine that is busy takes longer than a second for the hundred.
    assert least <= said <= (taken / gap + 2 if gap else most)


def test_a_site_ends_though_pages_are_open(ana: User) -> None:
    """The end of the process closes them, and nothing is an error."""

    def once() -> float:
        with serving(**QUIET, REDIS_URL=settings.REDIS_URL) as site, page(site, session_of(ana)) as socket:
            assert json.loads(socket.recv(timeout=30)) == {"changed": []}
            status, seconds = site.stop()
            assert status == 0
            assert "Traceback" not in site.output
            return seconds

    soon(once, 3)


@pytest.mark.skipif(not settings.REDIS_URL, reason="other processes are heard through Redis")
@pytest.mark.parametrize(
    ("key", "heard"), [(settings.SECRET_KEY, [["alerts"]]), ("another", [])], ids=["same key", "another key"]
)
def test_other_processes_are_heard_and_other_sites_are_not(site: Site, ana: User, key: str, heard: list[Any]) -> None:
    """What a command or a worker elsewhere writes is heard as well; a site of another key may share the Redis."""
    with page(site, session_of(ana)) as socket:
        quiet(socket)
        done = manage(
            "shell", "-c",
            "import time; from backoffice.citytrips.services import alert_raise\n"
            "alert_raise(kind='user_refused', detail='x'); time.sleep(3)",
            REDIS_URL=settings.REDIS_URL, SECRET_KEY=key, **QUIET,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert hints(socket, 2) == heard


@pytest.mark.skipif(not settings.REDIS_URL, reason="with the in-memory layer there is none to lose")
def test_without_the_layer_own_changes_are_still_heard(ana: User) -> None:
    """Redis is away: the page stays connected, its own process's changes arrive, and nothing is an error."""
    with serving(**QUIET, REDIS_URL="redis://127.0.0.1:1/0") as site, page(site, session_of(ana)) as socket:
        quiet(socket)
        site.login(ana)
        site.session.post(
            f"{site.url}/admin/citytrips/linkstate/ask/",
            data={"full": "1"}, headers={"X-CSRFToken": "c" * 32}, timeout=30, allow_redirects=False,
        )  # fmt: skip
        until(lambda: ["line"] in hints(socket, 1), 30)
        assert "Traceback" not in site.output


@pytest.mark.usefixtures("no_listener")
def test_whoever_is_blocked_is_shown_out(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open page's session is looked at again and again; without the look it would hear for ever."""
    cookie = f"sessionid={session_of(ana)}".encode()

    async def close_code(seconds: float) -> int | None:
        headers = [(b"origin", b"http://testserver"), (b"cookie", cookie)]
        socket = WebsocketCommunicator(application, "/live/", headers=headers)
        await socket.connect(timeout=30)
        assert await socket.receive_json_from(timeout=30) == {"changed": []}
        await database_sync_to_async(User.objects.filter(pk=ana.pk).update)(is_active=False)
        try:
            said = await socket.receive_output(timeout=seconds)
        except TimeoutError:
            return None
        finally:
            await sync_to_async(connections.close_all)()
        assert said["type"] == "websocket.close"
        return int(said["code"])

    assert asyncio.run(close_code(1)) is None
    User.objects.filter(pk=ana.pk).update(is_active=True)
    monkeypatch.setattr(consumers, "CHECK_EVERY", 0.1)
    assert asyncio.run(close_code(30)) == consumers.NOT_LOGGED_IN


def test_what_counts_as_a_session_of_staff(ana: User) -> None:
    """Neither a login that has ended nor one of somebody who was blocked or is no member of the staff any more."""
    session = session_of(ana)
    assert consumers.refusal(session) is None
    User.objects.filter(pk=ana.pk).update(is_staff=False)
    assert consumers.refusal(session) == consumers.NOT_STAFF
    User.objects.filter(pk=ana.pk).update(is_staff=True, is_active=False)
    assert consumers.refusal(session) == consumers.NOT_LOGGED_IN
    User.objects.filter(pk=ana.pk).update(is_active=True)
    client = Client()
    client.cookies["sessionid"] = session
    client.post("/logout/")
    assert consumers.refusal(session) == consumers.NOT_LOGGED_IN
    assert consumers.refusal(None) == consumers.NOT_LOGGED_IN
