"""The only download: an http or https address into a file, within limits.

An address comes from a person or a feed, and the program stands inside the operator's network, so what it may reach is
checked where it cannot be turned around afterwards: each hop's name is looked up here, every address that is not public
is refused, and the connection goes to the very address that was checked. ``requests`` alone would follow redirects with
the password, take proxies from the environment, let a drip outlast its time limit, and unpack 0.2 MB into 200.

Unreadable sources are told in words of our own: the libraries' errors print addresses with the password in them.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import queue
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import requests
import urllib3
from django.utils.translation import gettext
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.connection import HTTPConnection, HTTPSConnection

from fleet.errors import UnreadableSource
from fleet.sources.records import Progress

LARGEST: Final = 64 * 1024 * 1024
SECONDS: Final = 60.0
MOST_REDIRECTS: Final = 5
LONGEST_ADDRESS: Final = 2000
_CONNECT_SECONDS: Final = 10.0
_CHUNK: Final = 64 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Limits:
    """What a download may take: seconds for all of it, bytes after unpacking; and whether private addresses are meant."""

    seconds: float = SECONDS
    size: int = LARGEST
    private: bool = False


def is_address(source: str) -> bool:
    """Whether a source is an address rather than a file's name."""
    return "://" in source


def shown_address(url: str) -> str:
    """An address as it may be kept and shown: without user and password, and without what follows a `?`'s secrets.

    The query is kept, but the values of what is called a key, token, secret, password or signature are not.
    """
    try:
        parts = urlsplit(url.strip())
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return gettext("an address that cannot be read")
    query = "&".join(_without_secret(part) for part in parts.query.split("&")) if parts.query else ""
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def _without_secret(part: str) -> str:
    name, sign, _value = part.partition("=")
    secret = any(word in name.lower() for word in ("key", "token", "secret", "pass", "sig", "auth"))
    return f"{name}=•••" if sign and secret else part


def fetch(url: str, into: BinaryIO, *, limits: Limits | None = None, progress: Progress | None = None) -> str:
    """Download an address into a file, and return the address that it came from in the end, credentials included.

    Raises UnreadableSource: for another scheme, an address that is not public, an answer that is no success, too large,
    too slow, cut off, or a web page.
    """
    limits = limits or Limits()
    return _Download(limits, into, progress).run(url)


class _Download:
    """One download with all its hops."""

    def __init__(self, limits: Limits, into: BinaryIO, progress: Progress | None) -> None:
        self._limits = limits
        self._into = into
        self._progress = progress
        self._deadline = time.monotonic() + limits.seconds
        self._line: socket.socket | None = None  # the connection, held a second time, so that it can be ended

    def run(self, url: str) -> str:
        watch = threading.Timer(self._limits.seconds, self._hang_up)
        watch.daemon = True
        watch.start()
        shown = shown_address(url)
        try:
            return self._follow(url.strip())
        except UnreadableSource:
            raise
        except Exception as error:
            raise UnreadableSource(self._explained(error, shown)) from None
        finally:
            watch.cancel()
            self._close_line()

    def _follow(self, url: str) -> str:
        origin = _checked(url)
        user = _credentials(url)
        for _hop in range(MOST_REDIRECTS + 1):
            parts = _checked(url)
            same = parts[:2] == origin[:2]
            with requests.Session() as session:
                session.trust_env = False
                session.mount("http://", _Adapter(self._connect))
                session.mount("https://", _Adapter(self._connect))
                with session.get(
                    _bare(url),
                    headers={"Accept-Encoding": "gzip", "User-Agent": "operator-backoffice", "Accept": "*/*"},
                    auth=user if same else None,
                    timeout=_CONNECT_SECONDS * 2,
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    if response.status_code not in _REDIRECTS:
                        self._read(response, shown_address(url))
                        return url
                    target = response.headers.get("Location", "")
            if not target:
                raise UnreadableSource(gettext("It redirects to nowhere."))
            following = urljoin(_bare(url), target)
            if parts[0] == "https" and urlsplit(following).scheme == "http":
                raise UnreadableSource(gettext("It redirects from https to http, where anybody could change it."))
            url = following
        raise UnreadableSource(gettext("It redirects more than %(most)s times.") % {"most": MOST_REDIRECTS})

    # --- The answer ----------------------------------------------------------------------------------------------

    def _read(self, response: requests.Response, shown: str) -> None:
        if response.status_code != 200:
            raise UnreadableSource(
                gettext("%(address)s answers %(status)s %(reason)s.")
                % {"address": shown, "status": response.status_code, "reason": (response.reason or "")[:60]}
            )
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in ("text/html", "application/xhtml+xml") or kind.startswith(("image/", "video/", "audio/")):
            raise UnreadableSource(
                gettext("%(address)s is no list of vehicles, it answers with %(kind)s.")
                % {"address": shown, "kind": gettext("a web page") if "html" in kind else kind}
            )
        length = response.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() and len(length) < 16 else 0
        if size > self._limits.size:
            raise self._too_large()
        packed = response.headers.get("Content-Encoding", "").lower()
        if packed not in ("", "identity", "gzip", "x-gzip"):
            raise UnreadableSource(
                gettext("It comes packed in a way that was not asked for: %(way)s.") % {"way": packed[:40]}
            )
        chunks = self._chunks(response)
        total = 0
        for part in _unpacked(chunks, self._limits.size) if packed.endswith("gzip") else chunks:
            total += len(part)
            if total > self._limits.size:
                raise self._too_large()
            self._into.write(part)
            if self._progress:
                self._progress(total, 0 if packed.endswith("gzip") else size)
        if not total:
            raise UnreadableSource(gettext("The answer is empty."))

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        while part := response.raw.read(_CHUNK, decode_content=False):
            self._check_time()
            yield part
        self._check_time()

    def _too_large(self) -> UnreadableSource:
        return UnreadableSource(
            gettext("It is larger than %(size)s MiB.") % {"size": self._limits.size // (1024 * 1024)}
        )

    # --- The connection ------------------------------------------------------------------------------------------

    def _connect(self, host: str, port: int) -> socket.socket:
        """A connection to an address that was checked, whatever the name means a moment later."""
        self._check_time()
        failure: OSError | None = None
        for family, address in self._addresses(host, port):
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.settimeout(min(_CONNECT_SECONDS, max(self._deadline - time.monotonic(), 0.001)))
            try:
                connection.connect(address)
            except OSError as error:
                connection.close()
                failure = error
                continue
            connection.settimeout(_CONNECT_SECONDS * 2)
            self._close_line()
            self._line = socket.socket(fileno=os.dup(connection.fileno()))
            return connection
        raise failure or OSError("no address")

    def _addresses(self, host: str, port: int) -> list[tuple[int, Any]]:
        """What a name means, looked up in a thread: nothing else bounds how long that takes."""
        found: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except Exception as error:
                found.put(error)

        threading.Thread(target=look_up, name="fetch-name", daemon=True).start()
        try:
            answer = found.get(timeout=max(self._deadline - time.monotonic(), 0))
        except queue.Empty:
            raise self._too_slow() from None
        if isinstance(answer, Exception):
            raise UnreadableSource(gettext("There is no host named %(host)s.") % {"host": host})
        addresses = [(family, address) for family, _type, _protocol, _name, address in answer]
        if not self._limits.private:
            for _family, address in addresses:
                if not is_public(ipaddress.ip_address(str(address[0]).partition("%")[0])):
                    raise UnreadableSource(
                        gettext(
                            "%(host)s is a private address (%(address)s). FETCH_PRIVATE_ADDRESSES=true lets imports "
                            "fetch from there."
                        )
                        % {"host": host, "address": address[0]}
                    )
        return addresses

    def _hang_up(self) -> None:
        line = self._line
        if line is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _close_line(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise self._too_slow()

    def _too_slow(self) -> UnreadableSource:
        return UnreadableSource(gettext("It took longer than %(seconds)g s.") % {"seconds": self._limits.seconds})

    def _explained(self, error: Exception, shown: str) -> str:
        if time.monotonic() > self._deadline:
            return str(self._too_slow())
        causes = _causes(error)
        ours = next((cause for cause in causes if isinstance(cause, UnreadableSource)), None)
        if ours is not None:
            return str(ours)
        words: dict[str, object] = {"address": shown}
        tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
        if tls is not None:
            words["reason"] = getattr(tls, "verify_message", "") or tls.reason or "TLS"
            return gettext("%(address)s cannot be trusted: %(reason)s.") % words
        if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            return gettext("%(address)s does not accept connections.") % words
        if any(isinstance(cause, TimeoutError | requests.Timeout) for cause in causes):
            return gettext("%(address)s does not answer.") % words
        if any(isinstance(cause, zlib.error) for cause in causes):
            return gettext("%(address)s answers with what cannot be unpacked.") % words
        return gettext("The connection to %(address)s broke off.") % words


def is_public(address: Address) -> bool:
    """Whether an address is one of the public network; those that stand for another are judged by that one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def _checked(url: str) -> tuple[str, str]:
    """Scheme and host with port of an address that may be asked; raises UnreadableSource."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UnreadableSource(gettext("This is no address that can be read.")) from None
    if parts.scheme not in ("http", "https"):
        raise UnreadableSource(
            gettext("Only http and https addresses are read, not %(scheme)s.") % {"scheme": parts.scheme[:20] or "—"}
        )
    if not parts.hostname or len(url) > LONGEST_ADDRESS or not url.isprintable() or " " in url:
        raise UnreadableSource(gettext("This is no address that can be read."))
    return parts.scheme, f"{parts.hostname}:{port or (443 if parts.scheme == 'https' else 80)}"


def _credentials(url: str) -> HTTPBasicAuth | None:
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return None
    return HTTPBasicAuth(unquote(parts.username or "").encode(), unquote(parts.password or "").encode())


def _bare(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/", parts.query, ""))


def _unpacked(chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
    """What gzip packed, in pieces, so that a small answer cannot fill the memory."""
    unpacker = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        rest = chunk
        while rest:
            yield unpacker.decompress(rest, _CHUNK)
            rest = unpacker.unconsumed_tail
            if unpacker.eof:
                return
    if not unpacker.eof:
        raise zlib.error("cut off")


class _Adapter(HTTPAdapter):
    """Connects as it is told and never twice."""

    def __init__(self, connect: Any) -> None:
        self._connect = connect
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        connect = self._connect

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return connect(self._dns_host, self.port)  # type: ignore[no-any-return]

        class Encrypted(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return connect(self._dns_host, self.port)  # type: ignore[no-any-return]

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
