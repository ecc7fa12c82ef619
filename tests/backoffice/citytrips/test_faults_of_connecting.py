"""Getting a connection, and to nobody but CityTrips: what is refused, closed at once, or leads elsewhere."""

from __future__ import annotations

import asyncio
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect as plain_connect

from backoffice.citytrips import connection, line, outage, services, worker
from backoffice.citytrips.connection import Backoff, Gate
from backoffice.citytrips.models import Alert
from backoffice.sandbox.faulty_server import FaultyServer, Script
from tests.backoffice.citytrips.faults import AUTHENTICATE, Patch, Scene, jitter, play, reasons, states

pytestmark = pytest.mark.django_db(transaction=True)


def back_after(settings, monkeypatch: Patch) -> bool:
    """Whether the line is live again within three seconds after a partner has returned that eight tries did not find."""
    back: list[bool] = []
    pauses: list[float] = []
    pause = Backoff.pause

    def note(self: Backoff, **ended: Any) -> float:
        pauses.append(pause(self, **ended))
        return pauses[-1]

    monkeypatch.setattr(Backoff, "pause", note)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.down()
        await scene.until(lambda: len(pauses) >= 8, 30)
        await scene.partner.up()
        try:
            await scene.is_live(2, 3)
        except AssertionError:
            back.append(False)
        else:
            back.append(True)

    play(settings, story)
    return back[0]


def test_a_refused_connect_is_tried_again_soon(settings, fleet, monkeypatch: Patch) -> None:
    """However long the partner was away, it waits for the next try no longer than the ceiling of failed connects."""
    jitter(monkeypatch, lambda low, high: high)
    monkeypatch.setattr(Backoff, "FIRST", 0.05)
    monkeypatch.setattr(Backoff, "FAILED_CEILING", 0.5)
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    assert back_after(settings, monkeypatch)


def test_control_without_that_ceiling(settings, fleet, monkeypatch: Patch) -> None:
    """With pauses that go on doubling the line is still away when the partner has long returned."""
    jitter(monkeypatch, lambda low, high: high)
    monkeypatch.setattr(Backoff, "FIRST", 0.05)
    monkeypatch.setattr(Backoff, "FAILED_CEILING", 60.0)
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    assert not back_after(settings, monkeypatch)


def count_slammed(settings, at_least: int) -> int:
    """Connections to a partner that accepts and closes, in the two seconds after there were so many."""

    async def story(scene: Scene) -> None:
        await scene.until(lambda: scene.partner.truth.connections >= at_least, 40)
        await asyncio.sleep(2)

    return play(settings, story, script=Script(connect="close")).truth.connections


def test_accept_then_close_is_ten_a_minute(settings, fleet, monkeypatch: Patch) -> None:
    """Even if chance made every pause nothing, ten connections a minute are the most."""
    jitter(monkeypatch, lambda low, high: 0.0)
    assert count_slammed(settings, 10) == 10


def test_control_without_the_gate(settings, fleet, monkeypatch: Patch) -> None:
    """Without the gate the same partner is connected to without end."""
    jitter(monkeypatch, lambda low, high: 0.0)
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    assert count_slammed(settings, 51) > 50


def slammed_though_asked(settings, monkeypatch: Patch, script: Script, seconds: float) -> int:
    """Connections to a partner that accepts and goes no further, while people ask again and again for something to be sent;
    until they are more than ten, or so many seconds have passed.
    """
    monkeypatch.setattr(line, "LOOK_EVERY", 0.05)

    async def story(scene: Scene) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and scene.partner.truth.connections <= 10:
            await scene.database(lambda: services.sync_request_create(full=False, seconds=30))
            await asyncio.sleep(0.05)

    return play(settings, story, script=script).truth.connections


GOES_NO_FURTHER = pytest.mark.parametrize(
    "script", [Script(connect="close"), Script(authentication="refuse")], ids=["closes", "refuses the key"]
)


@GOES_NO_FURTHER
def test_requests_do_not_open_the_gate(settings, fleet, monkeypatch: Patch, script: Script) -> None:
    """However often somebody asks, a partner that accepts and closes, or refuses, is connected to ten times a minute at most."""
    assert slammed_though_asked(settings, monkeypatch, script, 5) <= 10


@GOES_NO_FURTHER
def test_control_with_a_gate_that_requests_open(settings, fleet, monkeypatch: Patch, script: Script) -> None:
    """With no gate, whoever asks often enough has the partner connected to as often."""
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    assert slammed_though_asked(settings, monkeypatch, script, 40) > 10


def test_a_line_that_is_down_for_long_is_put_before_staff(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """Once, however long it lasts; what was put before staff ends by itself when the line is live again."""
    monkeypatch.setattr(worker, "HOUSEKEEPING_EVERY", 0.1)

    def opened() -> list[tuple[str, int]]:
        return list(Alert.objects.filter(resolved_at=None).values_list("kind", "count"))

    async def story(scene: Scene) -> None:
        await scene.settled()
        await scene.until_database(lambda: "live" in states())
        monkeypatch.setattr(outage, "LONG", 1.0)  # not before: getting there may take its time as well
        await asyncio.sleep(1.5)
        assert await scene.database(opened) == []
        scene.partner.down()
        await scene.until_database(opened)
        await asyncio.sleep(1)
        assert await scene.database(opened) == [("line_down", 1)]
        await scene.partner.up()
        await scene.is_live(2)
        await scene.until_database(lambda: not opened())

    play(settings, story)
    assert Alert.objects.get().resolved_by is None


def redirected(settings) -> FaultyServer:
    """The target of a partner that redirects, after three attempts or once it has been authenticated to."""
    targets: list[FaultyServer] = []

    async def story(scene: Scene) -> None:
        async with FaultyServer() as target:
            targets.append(target)
            scene.partner.fault(connect="redirect", redirect_to=target.url)
            before = scene.partner.truth.connections
            await scene.until(lambda: scene.partner.truth.connections >= before + 3 or target.truth.authentications, 20)

    play(settings, story, script=Script(connect="refuse"))
    return targets[0]


def test_a_redirect_is_refused(settings, fleet, quick_retries) -> None:
    """Nothing reaches the target of a redirect, and the reason is told."""
    assert redirected(settings).truth.connections == 0
    assert "redirected with HTTP 307; redirects are not followed" in reasons("waiting")


def test_control_with_redirects_followed(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """As the library does it by itself, the key reaches the target."""
    monkeypatch.setattr(connection, "_Connect", plain_connect)
    assert redirected(settings).truth.authentications == 1


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate for 127.0.0.1 that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "both.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_a_certificate_that_nobody_vouches_for_is_refused(settings, fleet, self_signed, quick_retries) -> None:
    """TLS is verified: whoever stands between us and CityTrips gets no key."""

    async def story(scene: Scene) -> None:
        await scene.until_database(lambda: len(reasons("waiting")) >= 2)

    assert play(settings, story, ssl=self_signed).truth.authentications == 0
    assert "certificate" in reasons("waiting")[0].lower()


def test_control_without_verification(settings, fleet, self_signed, monkeypatch: Patch) -> None:
    """Unverified, the key is given to whoever answers."""
    verified = connection._Connect
    unverified = ssl._create_unverified_context()
    monkeypatch.setattr(connection, "_Connect", lambda url, **more: verified(url, ssl=unverified, **more))

    async def story(scene: Scene) -> None:
        await scene.is_live()

    play(settings, story, ssl=self_signed)


def proxied(settings, monkeypatch: Patch) -> int:
    """Connections that reached a proxy which the environment names, by when the partner was reached or the proxy was."""
    reached: list[int] = []

    async def story(scene: Scene) -> None:
        async with FaultyServer() as proxy:
            for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            scene.partner.fault(connect="answer")
            await scene.until(lambda: scene.partner.truth.authentications or proxy.truth.connections)
            reached.append(proxy.truth.connections)

    play(settings, story, script=Script(connect="refuse"))
    return reached[0]


def test_no_proxy_is_used(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """A variable of the environment leads the line nowhere else."""
    assert proxied(settings, monkeypatch) == 0


def test_control_with_the_librarys_proxy(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """Left to itself the library goes to whatever the environment names."""
    ours = connection._Connect
    monkeypatch.setattr(connection, "_Connect", lambda url, **more: ours(url, **{**more, "proxy": True}))
    assert proxied(settings, monkeypatch) > 0


def test_a_line_that_was_live_for_long_comes_back_soon(settings, fleet, monkeypatch: Patch) -> None:
    """Also where it ends while it authenticates anew, as when CityTrips starts again: its pauses begin anew."""
    lived: list[float] = []
    pause = Backoff.pause

    def note(self: Backoff, *, accepted: bool, live_for: float = 0.0) -> float:
        lived.append(live_for)
        return pause(self, accepted=accepted, live_for=live_for)

    monkeypatch.setattr(Backoff, "pause", note)

    async def story(scene: Scene) -> None:
        await scene.settled()
        await asyncio.sleep(0.5)
        scene.partner.fault(authentication="ignore")
        scene.partner.forget()
        await scene.until(lambda: scene.partner.truth.of("dropped", AUTHENTICATE))
        scene.partner.reset()
        await scene.until(lambda: lived)

    play(settings, story)
    assert lived[0] > 0.5
