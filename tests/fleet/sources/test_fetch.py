"""Downloads from a real HTTP server on this machine, with what goes wrong on the way."""

from __future__ import annotations

import gzip
import io
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from fleet.errors import UnreadableSource
from fleet.sources import fetch as module
from fleet.sources.fetch import Limits, fetch, is_public, shown_address

HERE = Limits(private=True, seconds=10)
Answer = Callable[[socket.socket, str], None]


class Server:
    """Answers each connection by a function of the socket and the request's head; keeps the heads."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.heads: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _address = self._listener.accept()
                threading.Thread(target=self._talk, args=[connection], daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (part := connection.recv(4096)):
                head += part
            self.heads.append(head.decode())
            self._answer(connection, head.decode())

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Server]]:
    servers: list[Server] = []

    def start(answer: Answer) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def plain(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return lambda connection, head: connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)


def got(url: str, limits: Limits = HERE) -> bytes:
    into = io.BytesIO()
    fetch(url, into, limits=limits)
    return into.getvalue()


def refusal(url: str, limits: Limits = HERE) -> str:
    with pytest.raises(UnreadableSource) as error:
        got(url, limits)
    return str(error.value)


def test_a_file(serve) -> None:
    """What the server sends is what is kept, packed or not."""
    assert got(serve(plain(b"id\n1\n")).url + "/fleet.csv") == b"id\n1\n"
    packed = plain(gzip.compress(b"id\n1\n" * 100), "Content-Encoding: gzip")
    assert got(serve(packed).url) == b"id\n1\n" * 100


def test_private_addresses_are_refused(serve) -> None:
    """Without the setting nothing on this machine or its network is asked, and the setting is named."""
    server = serve(plain(b"secret"))
    for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "127.1"):
        told = refusal(f"http://{host}:{server.port}/", Limits(seconds=5))
        assert "FETCH_PRIVATE_ADDRESSES" in told or "no host named" in told or "does not accept" in told, host
    assert server.heads == []


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "192.168.1.1", "172.16.5.5", "169.254.169.254", "127.0.0.1", "0.0.0.0", "224.0.0.1", "100.64.0.1",
        "::1", "fe80::1", "fc00::1", "::ffff:10.0.0.1", "2002:a00:1::", "64:ff9b::a00:1", "ff02::1", "255.255.255.255",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    """Those of this machine, of its network and of nobody, also where they hide in another."""
    assert not is_public(ipaddress.ip_address(address))


def test_public_addresses() -> None:
    """Those of the network that everybody can reach."""
    assert is_public(ipaddress.ip_address("8.8.8.8"))
    assert is_public(ipaddress.ip_address("2a00:1450:4003:80a::200e"))


def test_a_name_that_means_another_address_a_moment_later(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the address that was checked: the name is looked up once."""
    server = serve(plain(b"secret"))
    asked: list[str] = []

    def rebound(host: str, port: int, **more: object) -> list[object]:
        asked.append(host)
        address = "8.8.8.8" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    tried: list[object] = []

    def connect(self: socket.socket, address: object) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(module.socket, "getaddrinfo", rebound)
    monkeypatch.setattr(socket.socket, "connect", connect)
    assert "does not accept" in refusal(f"http://rebind.test:{server.port}/", Limits(seconds=5))
    assert tried == [("8.8.8.8", server.port)]
    assert len(asked) == 1


def test_a_redirect_to_a_private_address_is_refused(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hop is checked, not only the first."""
    inner = serve(plain(b"secret"))
    outer = serve(plain(b"", f"Location: http://127.0.0.1:{inner.port}/", status="302 Found"))
    # The first hop passes for a public one.
    real = module.is_public
    seen: list[object] = []

    def first_is_public(address) -> bool:
        seen.append(address)
        return True if len(seen) == 1 else real(address)

    monkeypatch.setattr(module, "is_public", first_is_public)
    assert "private address" in refusal(outer.url, Limits(seconds=5))
    assert inner.heads == []
    assert len(outer.heads) == 1


def test_redirects(serve) -> None:
    """Five are followed, also relative ones; a sixth is not."""

    def answer(connection: socket.socket, head: str) -> None:
        step = int(head.split()[1].strip("/") or 0)
        body = plain(b"id\n") if step == 5 else plain(b"", f"Location: /{step + 1}", status="307 Temporary Redirect")
        body(connection, head)

    assert got(serve(answer).url + "/0") == b"id\n"
    endless = serve(plain(b"", "Location: /", status="302 Found"))
    assert "more than 5 times" in refusal(endless.url)
    assert len(endless.heads) == 6
    assert "nowhere" in refusal(serve(plain(b"", status="301 Moved")).url)
    assert "Only http" in refusal(serve(plain(b"", "Location: file:///etc/passwd", status="302 Found")).url)


def test_credentials_go_to_their_own_server_only(serve) -> None:
    """User and password of an address are used for its server, and never for where it redirects to."""
    other = serve(plain(b"id\n"))
    first = serve(plain(b"", f"Location: {other.url}/x", status="302 Found"))
    assert got(first.url.replace("//", "//ana:se%20cret@")) == b"id\n"
    assert "Authorization: Basic YW5hOnNlIGNyZXQ=" in first.heads[0]
    assert "uthorization" not in other.heads[0]


def test_no_password_in_an_error(serve) -> None:
    """Errors name the address without its user, its password and its keys."""
    down = socket.create_server(("127.0.0.1", 0))
    port = down.getsockname()[1]
    down.close()
    told = [
        refusal(f"http://ana:hunter2@127.0.0.1:{port}/a?token=hunter2&x=1"),
        refusal(serve(plain(b"", status="404 Not Found")).url.replace("//", "//ana:hunter2@") + "/?api_key=hunter2"),
        refusal("http://ana:hunter2@[::1/"),
        refusal("ftp://ana:hunter2@x/"),
    ]
    assert not any("hunter2" in text or "ana" in text for text in told), told
    assert "404" in told[1]


def test_a_drip_ends_at_the_limit(serve) -> None:
    """A body, or a head, that comes byte by byte does not outlast the time for all of it."""

    def drip_body(connection: socket.socket, head: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _byte in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)

    def drip_head(connection: socket.socket, head: str) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    for drip in (drip_body, drip_head):
        began = time.monotonic()
        assert "longer than 1 s" in refusal(serve(drip).url, Limits(private=True, seconds=1))
        assert time.monotonic() - began < 8  # a drip takes ten


def test_the_size_is_limited(serve) -> None:
    """Beyond the limit nothing more is taken: told beforehand, told by nobody, or hidden in what is packed."""
    small = Limits(private=True, seconds=10, size=1024 * 1024)
    honest = serve(plain(b"x" * (1024 * 1024 + 1)))
    assert "larger than 1 MiB" in refusal(honest.url, small)

    def endless(connection: socket.socket, head: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    assert "larger than 1 MiB" in refusal(serve(endless).url, small)
    bomb = gzip.compress(b"\0" * (50 * 1024 * 1024))
    into = io.BytesIO()
    with pytest.raises(UnreadableSource, match="larger than 1 MiB"):
        fetch(serve(plain(bomb, "Content-Encoding: gzip")).url, into, limits=small)
    assert into.tell() <= small.size


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (plain(b"<html>", "Content-Type: text/html; charset=utf-8"), "web page"),
        (plain(b"x", "Content-Type: image/png"), "image/png"),
        (plain(b""), "empty"),
        (plain(b"x", "Content-Encoding: br"), "packed in a way"),
        (plain(b"no gzip", "Content-Encoding: gzip"), "unpacked"),
        (plain(gzip.compress(b"x" * 1000)[:-9], "Content-Encoding: gzip"), "unpacked"),
        (plain(b"x", status="500 Oh"), "500 Oh"),
        (plain(b"x", status="206 Partial"), "206"),
        (lambda connection, head: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), "broke off"),
        (lambda connection, head: connection.sendall(b"220 smtp\r\n"), "broke off"),
        (lambda connection, head: None, "broke off"),
    ],
    ids=range(11),
)
def test_answers_that_are_no_source(serve, answer: Answer, words: str) -> None:
    """What is no whole and plain answer is refused, in words."""
    assert words in refusal(serve(answer).url)


@pytest.mark.parametrize(
    "url", ["http://", "http:///x", "file:///etc/passwd", "http://x y/", "gopher://x", "http://[", "http://h:99999/"]
)
def test_addresses_that_are_none(url: str) -> None:
    """What cannot be an address is refused before anything is asked."""
    assert refusal(url)


def test_the_environment_has_no_say(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies of the environment are not used: they would see what was not checked."""
    proxy = serve(plain(b"from the proxy"))
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    assert got(serve(plain(b"direct")).url) == b"direct"


def test_what_is_shown_of_an_address() -> None:
    """No user, no password, and of the query no secret."""
    assert shown_address("https://u:p@h:8/a/b?city=x&api_key=k&sig=s#f") == "https://h:8/a/b?city=x&api_key=•••&sig=•••"
