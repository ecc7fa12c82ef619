"""Servers over real sockets that answer as Crusoe does, or as it should not."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Talk = Callable[[socket.socket], None]


@dataclass
class Server:
    """``requests`` are the head and the body of each request that was read; ``connections`` counts all of them.

    ``ended`` counts the connections that are over, with or without a request.
    """

    port: int
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    connections: int = 0
    ended: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def documents(self) -> list[Any]:
        return [json.loads(body) for _head, body in self.requests]


def answer(status: str, body: object = b"", *headers: str, length: int | None = None) -> bytes:
    """An HTTP answer; what is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", "Connection: close", *headers]
    lines.append(f"Content-Length: {len(content) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + content


def success(url: object = "http://mycrusoe.com/trips/1") -> bytes:
    return answer("200 OK", {"success": True, "statusCode": 200, "data": {"url": url}})


def says(*parts: bytes, pause: float = 0.0) -> Talk:
    def talk(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)

    return talk


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@contextlib.contextmanager
def serving(*talks: Talk, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Server]:
    """Each connection gets the next of ``talks``, the last one for all that follow."""
    listener = socket.create_server(("127.0.0.1", port))
    server = Server(listener.getsockname()[1])
    closing = threading.Event()

    def accept() -> None:
        while not closing.is_set():
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            talk = talks[min(server.connections, len(talks) - 1)]
            server.connections += 1
            threading.Thread(target=converse, args=(connection, talk), daemon=True).start()

    def converse(connection: socket.socket, talk: Talk) -> None:
        with contextlib.suppress(OSError), connection:
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            server.requests.append(_read(connection))
            talk(connection)
        server.ended += 1

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        closing.set()
        listener.close()


def _read(connection: socket.socket) -> tuple[str, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            raise ConnectionError
        data += more
    head, _blank, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        if not (more := connection.recv(65536)):
            raise ConnectionError
        body += more
    return head.decode(), body


def tls_of_nobody(folder: Path) -> ssl.SSLContext:
    """TLS with a certificate that nobody vouches for."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@contextlib.contextmanager
def full() -> Iterator[int]:
    """A port whose queue of connections is full: whoever connects hears nothing."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = listener.getsockname()[1]
        for _number in range(16):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0.1)
            try:
                waiting.connect(("127.0.0.1", port))
            except TimeoutError:
                break
        yield port


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
