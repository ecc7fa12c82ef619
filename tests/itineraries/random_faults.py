"""Faults of a partner, drawn at random: each attempt meets one, over a real socket, and what became of it is checked.

``run`` needs Django and a database. In the suite it draws a few dozen; ``python -m tests.chaos publishing`` a thousand.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from itineraries import services
from itineraries.models import Publication
from itineraries.publishing import publish
from tests.itineraries.servers import answer, resets, success, unused_port
from tests.itineraries.strategies import wire

KEY, PASSWORD = "canary-key-5b1f", "canary-password-77e0"
TIMEOUT = 0.3
GRACE = 1.0  # seconds that an attempt may end after its deadline

Talk = Callable[[socket.socket], None]


@dataclass
class Wire:
    """What reached the partner: connections, and those on which the head of a request arrived."""

    port: int = 0
    connections: int = 0
    posts: int = 0
    leaked: bool = False


@dataclass(frozen=True)
class Fault:
    """``states`` are those that the attempt may end in; at the deadline it is always ``unknown``."""

    name: str
    states: set[str]
    talk: Talk | None = None
    url: str = "http://robinson:{password}@127.0.0.1:{port}/api"


@dataclass
class Found:
    """``wrong`` has a line for each attempt that did not end as it must."""

    attempts: int = 0
    states: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    most_posts: int = 0
    longest: float = 0.0
    wrong: list[str] = field(default_factory=list)


# --- The faults --------------------------------------------------------------------------------------------------


def _head(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            break
        data += more
    return data


def _after_request(say: Talk) -> Talk:
    """Reads a whole request first."""

    def talk(connection: socket.socket) -> None:
        data = _head(connection)
        length = int(data.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = data.partition(b"\r\n\r\n")[2]
        while len(body) < length:
            body += connection.recv(65536)
        say(connection)

    return talk


def _sends(*parts: bytes, pause: float = 0.0) -> Talk:
    def say(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)

    return _after_request(say)


def _silence(connection: socket.socket) -> None:
    time.sleep(TIMEOUT * 2)


def _reads_then(most: int, then: Talk) -> Talk:
    def talk(connection: socket.socket) -> None:
        if most:
            connection.recv(most)
        then(connection)

    return talk


def _endless(part: bytes, pause: float = 0.0) -> Talk:
    def say(connection: socket.socket) -> None:
        ends = time.monotonic() + TIMEOUT * 3
        while time.monotonic() < ends:
            connection.sendall(part)
            time.sleep(pause)

    return _after_request(say)


def _chunked(*chunks: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


def _close(connection: socket.socket) -> None:
    pass


def draw(chance: random.Random, trap: int) -> Fault:
    """One fault; ``trap`` is a port to which a redirect leads."""
    good = success("http://a.example/1")
    unknown, rejected, published, not_sent = {"unknown"}, {"rejected"}, {"published"}, {"not_sent"}
    cut = chance.randrange(1, len(good))
    refusals = [wire("validation_error"), wire("auth_required"), wire("invalid_auth"), {}, {"message": "No"}, []]
    lies = [
        {"success": False},
        {"success": True},
        {"success": True, "data": {"id": "1"}},
        {"success": "true", "data": {"url": "http://a/"}},
        {"success": True, "data": {"url": "http://a/"}, "statusCode": 500},
        wire("unexpected_error"),
        None,
        [],
        "ok",
        {},
        {"data": {"url": "http://a/"}},
    ]
    status = chance.choice([400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 418, 422, 429, 451])
    failure = chance.choice([500, 501, 502, 503, 504, 507, 520, 599])
    redirect = chance.choice([301, 302, 303, 307, 308])
    length = chance.choice([b"-1", b"x", b"99999999999999999999", b"1e3", b""])
    noise = chance.randbytes(chance.randrange(1, 300))
    location = f"Location: http://127.0.0.1:{trap}/itinerary/create"
    pieces = [good[at : at + 1] for at in range(len(good))]
    return chance.choice(
        [
            Fault("nobody listens", not_sent, None),
            Fault("a name that is not found", not_sent, None, "http://crusoe.invalid/api"),
            Fault("https where plain http is spoken", not_sent, _reads_then(65536, _close), "https://127.0.0.1:{port}/api"),
            Fault("https where noise is spoken", not_sent, _reads_then(100, lambda one: one.sendall(noise)), "https://127.0.0.1:{port}/api"),
            Fault("reset at once", unknown, resets),
            Fault("reset while the request arrives", unknown, _reads_then(chance.randrange(1, 600), resets)),
            Fault("closed while the request arrives", unknown, _reads_then(chance.randrange(1, 600), _close)),
            Fault("never read", unknown, _reads_then(0, _silence)),
            Fault("reset after the request", unknown, _after_request(resets)),
            Fault("closed after the request", unknown, _after_request(_close)),
            Fault("silence", unknown, _after_request(_silence)),
            Fault("a drip", unknown, _sends(*pieces, pause=TIMEOUT / 20)),
            Fault("a drip of heads", unknown, _endless(b"X-More: 1\r\n", TIMEOUT / 20)),
            Fault("a late drip", unknown, _sends(good[:cut], *pieces[cut:], pause=TIMEOUT / 3)),
            Fault("an answer cut off", unknown, _sends(good[:cut])),
            Fault("an answer cut off by a reset", unknown, _after_request(lambda one: (one.sendall(good[:cut]), resets(one))[1])),  # type: ignore[func-returns-value]
            Fault("noise", unknown, _sends(noise)),
            Fault("no JSON", unknown, _sends(answer("200 OK", chance.choice([b"<html>", b"{", b"\xff\xfe", b"NaN"])))),
            Fault("an empty answer", unknown, _sends(answer("200 OK", b""))),
            Fault("success without sense", unknown, _sends(answer("200 OK", chance.choice(lies)))),
            Fault("a redirect", rejected, _sends(answer(f"{redirect} Elsewhere", b"", location))),
            Fault("a refusal", rejected, _sends(answer(f"{status} No", chance.choice(refusals)))),
            Fault("a refusal in a 200", rejected, _sends(answer("200 OK", {"success": False, "statusCode": status}))),
            Fault("a failure", unknown, _sends(answer(f"{failure} Oops", chance.choice([b"", wire("unexpected_error"), good])))),
            Fault("a long answer", unknown, _sends(answer("200 OK", b" " * 1_500_000))),
            Fault("an endless answer", unknown, _endless(answer("200 OK", b" " * 4096, length=10**9))),
            Fault("a small body that swells", unknown, _sends(answer("200 OK", gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip"))),
            Fault("chunks that break off", unknown, _sends(_chunked(b'{"success": true, ') + b"ff\r\nno")),
            Fault("endless interim answers", unknown, _endless(b"HTTP/1.1 100 Continue\r\n\r\n", 0.001)),
            Fault("a thousand heads", unknown, _sends(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n")),
            Fault("one endless head", unknown, _sends(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000)),
            Fault("an odd length", unknown | published, _sends(good.replace(b"Content-Length: ", b"Content-Length: " + length + b"\r\nX: "))),
            Fault("good, but slow", published, _sends(good[:cut], good[cut:], pause=TIMEOUT / 10)),
            Fault("good, in chunks", published, _sends(_chunked(b'{"success": true, "data": ', b'{"url": "http://a/1"}}', b""))),
            Fault("good, twice", published, _sends(good + good)),
        ]
    )  # fmt: skip


@contextlib.contextmanager
def partner(talk: Talk | None) -> Iterator[Wire]:
    """Each connection is talked to so; None listens to nobody."""
    seen = Wire()
    if talk is None:
        seen.port = unused_port()
        yield seen
        return
    listener = socket.create_server(("127.0.0.1", 0))
    seen.port = listener.getsockname()[1]

    def converse(connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection:
            connection.settimeout(TIMEOUT * 4)
            # Looked at before the fault begins, so that a request counts though the fault never reads it.
            arrived = connection.recv(65536, socket.MSG_PEEK)
            if b"POST " in arrived[:10]:
                seen.posts += 1
            seen.leaked = seen.leaked or KEY.encode() in arrived
            talk(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = listener.accept()
                seen.connections += 1
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield seen
    finally:
        # A listener that another thread waits on closes only when it is shut down.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


# --- The run -----------------------------------------------------------------------------------------------------


def run(seed: int, count: int, grace: float = GRACE) -> Found:
    """So many attempts, each of a trip of its own."""
    chance, found = random.Random(seed), Found()
    settings.CRUSOE_API_KEY, settings.CRUSOE_TIMEOUT = KEY, TIMEOUT
    document = wire("trip")
    with partner(_sends(success("http://a.example/trap"))) as trap:
        for number in range(count):
            fault = draw(chance, trap.port)
            itinerary = services.itinerary_create(user=None, document=document)
            with partner(fault.talk) as seen:
                settings.CRUSOE_API_URL = fault.url.format(port=seen.port, password=PASSWORD)
                began = time.monotonic()
                made = publish(itinerary_id=itinerary.pk, user=None)
                taken = time.monotonic() - began
            row = Publication.objects.get(pk=made.pk)
            for wrong in _wrongs(fault, row, seen, taken, grace):
                found.wrong.append(f"{number}: {fault.name}: {wrong}")
            found.attempts += 1
            found.states[row.state] += 1
            found.faults[fault.name] += 1
            found.most_posts = max(found.most_posts, seen.posts)
            found.longest = max(found.longest, taken)
        if trap.connections:
            found.wrong.append(f"{trap.connections} redirects were followed")
    return found


def _wrongs(fault: Fault, row: Publication, seen: Wire, taken: float, grace: float) -> Iterator[str]:
    late = taken >= TIMEOUT
    if row.state not in fault.states and not (late and row.state == "unknown"):
        yield f"ended as {row.state}: {row.detail}"
    if seen.posts > 1:
        yield f"{seen.posts} POSTs"
    if seen.posts and row.state == "not_sent":
        yield "sent, and said not to be"
    if taken > TIMEOUT + grace:
        yield f"took {taken:.1f} s"
    stored = json.dumps([row.reason, row.problems, row.url, row.answer, row.document])
    if KEY in stored or PASSWORD in stored:
        yield "a secret is stored"


def as_json(found: Found) -> dict[str, Any]:
    return {
        "attempts": found.attempts,
        "states": found.states,
        "kinds": len(found.faults),
        "most_posts": found.most_posts,
        "longest": found.longest,
        "wrong": found.wrong,
    }
