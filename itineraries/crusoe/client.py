"""The one place that speaks HTTP to Crusoe ("[POST] /itinerary/create" of its specification).

``requests`` is held on a short lead, for reasons that were each measured: its ``timeout`` is one for each read (a
dripping answer outlasts it), the key survives redirects, the environment can put a proxy or a ``.netrc`` in between,
an error's text prints the password of the address, and a small compressed body can fill the memory.
"""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit, urlunsplit

import requests
import urllib3
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError

from itineraries.crusoe.answers import Answer
from itineraries.crusoe.errors import CrusoeError, DeadlineReached, NoAnswer, NothingSent, TlsFailed
from itineraries.json_values import as_bytes
from itineraries.reasons import Reason

MAX_ANSWER = 1024 * 1024
TRIES = 3
PAUSE = 0.2


@dataclass(frozen=True)
class Access:
    """Where Crusoe is and what opens it; ``url`` holds no user and password. ``timeout`` in seconds, for all tries."""

    url: str
    key: str = field(repr=False)
    user: str = field(repr=False)
    password: str = field(repr=False)
    timeout: float

    @property
    def web_app(self) -> str:
        """The address of the web app, which the REST API's stands under."""
        return self.url.removesuffix("/api")

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def redacted(self, text: str, *, least: int = 1) -> str:
        """The text without what opens Crusoe, in case an answer repeats it.

        ``least`` leaves shorter secrets in: a key such as "trips" would make an address useless.
        """
        secrets = {secret for secret in (self.key, self.password, self.user) if len(secret) >= least}
        if self.user or self.password:
            secrets.add(self.basic)
        # As it is, as in JSON, and as in an address.
        spellings = {
            spelling
            for secret in secrets
            for spelling in (
                secret,
                json.dumps(secret)[1:-1],
                quote(secret),
                quote(secret, safe=""),
                quote_plus(secret),
            )
        }
        for spelling in sorted(spellings, key=len, reverse=True):
            text = text.replace(spelling, "•••")
        return text

    @property
    def basic(self) -> str:
        """User and password as HTTP's basic authentication sends them."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def access_from_settings() -> Access:
    parts = urlsplit(settings.CRUSOE_API_URL)
    return Access(
        url=urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", "")),
        key=settings.CRUSOE_API_KEY,
        user=settings.CRUSOE_API_USER or unquote(parts.username or ""),
        password=settings.CRUSOE_API_PASSWORD or unquote(parts.password or ""),
        timeout=settings.CRUSOE_TIMEOUT,
    )


def create_itinerary(document: dict[str, Any], access: Access) -> Answer:
    """POSTs the document as it is; whatever HTTP status comes back is an answer.

    Where no connection can be made, it is tried up to three times; nothing that may have arrived is sent again. All
    of it together ends at ``access.timeout``, the look-up of the name included. Raises NothingSent or NoAnswer.
    """
    body = as_bytes(document)
    deadline = time.monotonic() + access.timeout
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            return _Exchange(access, body, deadline).run()
        except NothingSent as error:
            if last or not error.passing or deadline - time.monotonic() <= PAUSE:
                raise
            time.sleep(PAUSE)
            # A try that began at the deadline would make an unknown outcome of what is known; a sleep may last longer.
            if time.monotonic() >= deadline:
                raise
    raise AssertionError("the last try either answers or raises")


class _Exchange:
    """One try, in a thread of its own: nothing else bounds the look-up of a name, or a drip."""

    def __init__(self, access: Access, body: bytes, deadline: float) -> None:
        self._access = access
        self._body = body
        self._deadline = deadline
        self._socket: socket.socket | None = None
        self._outcome: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()

    def run(self) -> Answer:
        threading.Thread(target=self._work, name="crusoe", daemon=True).start()
        try:
            outcome = self._outcome.get(timeout=max(self._remaining(), 0))
        except queue.Empty:
            self._hang_up()
            raise self._too_late() from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _work(self) -> None:
        try:
            self._outcome.put(self._exchange())
        except Exception as error:
            self._outcome.put(self._explained(error))

    def _exchange(self) -> Answer:
        with requests.Session() as session:
            session.trust_env = False
            session.mount("http://", _Adapter(self._connected))
            session.mount("https://", _Adapter(self._connected))
            with session.post(
                f"{self._access.url}/itinerary/create",
                data=self._body,
                headers=self._headers(),
                timeout=max(self._remaining(), 0.001),
                allow_redirects=False,
                stream=True,
            ) as response:
                return self._read(response)

    def _read(self, response: requests.Response) -> Answer:
        body = bytearray()
        try:
            for chunk in response.iter_content(4096):
                body += chunk
                if len(body) > MAX_ANSWER:
                    return Answer(response.status_code, bytes(body[:MAX_ANSWER]), complete=False)
        except requests.RequestException:
            if self._remaining() <= 0:
                raise
            return Answer(response.status_code, bytes(body), complete=False)
        return Answer(response.status_code, bytes(body), complete=True)

    def _headers(self) -> dict[str, str | bytes]:
        headers: dict[str, str | bytes] = {
            # As bytes: a key may hold what latin-1 does not.
            "api-key": self._access.key.encode(),
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        if self._access.user or self._access.password:
            headers["Authorization"] = f"Basic {self._access.basic}"
        return headers

    def _connected(self, connection: socket.socket) -> None:
        self._socket = connection
        if self._remaining() <= 0:  # the name took too long: nobody waits for this any more
            raise self._too_late()

    def _hang_up(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _remaining(self) -> float:
        return self._deadline - time.monotonic()

    def _too_late(self) -> DeadlineReached:
        return DeadlineReached(Reason("deadline", {"seconds": self._access.timeout}))

    def _explained(self, error: Exception) -> CrusoeError:
        """Which of our errors it is, in words of our own: theirs could print the address with all that is in it."""
        if isinstance(error, CrusoeError):
            return error
        if isinstance(error, requests.Timeout) or self._remaining() <= 0:
            return self._too_late()
        if self._socket is not None:
            return NoAnswer(Reason("broken"))
        host = {"host": self._access.host}
        causes = _causes(error)
        if tls := next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None):
            reason = getattr(tls, "verify_message", "") or tls.reason or ""
            return TlsFailed(Reason("tls", {**host, "reason": reason}))
        if any(isinstance(cause, NameResolutionError) for cause in causes):
            return NothingSent(Reason("name_not_found", host), passing=True)
        if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            return NothingSent(Reason("connection_refused", host), passing=True)
        if isinstance(error, requests.ConnectionError):
            return NothingSent(Reason("no_connection", host), passing=True)
        return NothingSent(Reason("unusable_settings"))


class _Adapter(HTTPAdapter):
    """Tells when a connection stands, encryption included: before that, nothing of the request can have left."""

    def __init__(self, connected: Any) -> None:
        self._tell = connected
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        tell = self._tell

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                tell(self.sock)

        class Encrypted(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                tell(self.sock)

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class EncryptedPool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Encrypted

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": EncryptedPool}


def _causes(error: BaseException | None) -> list[BaseException]:
    """The error, what it was raised from, and what the libraries wrapped in it."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return found
