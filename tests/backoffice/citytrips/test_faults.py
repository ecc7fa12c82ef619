"""What each fault does: the real worker over a real socket, against a partner that misbehaves.

Beside a safeguard stands its control: the same story with the safeguard switched off, which then loses, doubles or leaks.
What is patched are times, randomness, and the safeguards themselves.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.db import connection as database
from django.db import transaction
from django.utils import timezone
from websockets.asyncio.client import connect as plain_connect

from backoffice.citytrips import bridge, connection, conversation, messages, session, wakeup, worker
from backoffice.citytrips.connection import Backoff, Connection, Gate
from backoffice.citytrips.lease import LeaseKeeper
from backoffice.citytrips.models import Lease
from backoffice.citytrips.session import Session, State
from backoffice.sandbox.faulty_server import GARBAGE, FaultyServer, Script
from fleet.models import Vehicle
from tests.backoffice.citytrips.faults import (
    AUTHENTICATE,
    FULL,
    INCREMENTAL,
    Scene,
    jitter,
    many,
    play,
    process,
    reasons,
    row,
    states,
)
from tests.backoffice.serving import serving

pytestmark = pytest.mark.django_db(transaction=True)

Patch = pytest.MonkeyPatch


@pytest.fixture
def no_full_after_authentication(monkeypatch: Patch) -> None:
    """Switch off what mends almost any loss, so that another safeguard shows what it does by itself."""
    succeed = Session._receive_success

    def without(self: Session) -> Any:
        effects = succeed(self)
        self._full_wanted = False
        return effects

    monkeypatch.setattr(Session, "_receive_success", without)


def without_the_lease(monkeypatch: Patch) -> None:
    """Switch off every check of the lease."""
    monkeypatch.setattr(LeaseKeeper, "try_acquire", lambda self: True)
    monkeypatch.setattr(LeaseKeeper, "held", property(lambda self: True))
    monkeypatch.setattr(LeaseKeeper, "_renew", lambda self: True)
    monkeypatch.setattr(bridge, "check_token", lambda token: None)


# --- The connection ----------------------------------------------------------------------------------------------


def test_authentication_comes_first_and_unasked(settings, fleet) -> None:
    """The first message is the authentication, which nobody asked for; the full follows the answer."""

    async def story(scene: Scene) -> None:
        await scene.until_equal()

    truth = play(settings, story).truth
    assert [event.command or event.kind for event in truth.events][:3] == ["connected", AUTHENTICATE, FULL]


def test_a_partner_that_does_not_answer_the_authentication_is_left(settings, fleet, monkeypatch, quick_retries) -> None:
    """No answer in time closes the connection with the reason, and the next one goes on as usual."""
    monkeypatch.setattr(session, "ANSWER_TIME", 0.3)

    async def story(scene: Scene) -> None:
        await scene.until(lambda: scene.partner.truth.of("closed"))
        scene.partner.calm()
        await scene.until_equal()

    truth = play(settings, story, script=Script(authentication="ignore")).truth
    assert truth.of("closed")[0].note == "1000 no answer to the authentication within 0.3 s"
    assert reasons("waiting")[0] == "no answer to the authentication within 0.3 s"


def test_control_without_a_time_to_answer(settings, fleet, monkeypatch: Patch, quick_retries) -> None:
    """With no such limit the line hangs on a partner that is awake and silent, though it would take the next one."""
    monkeypatch.setattr(session, "ANSWER_TIME", 1e9)

    async def story(scene: Scene) -> None:
        await scene.until(lambda: scene.partner.truth.of("dropped"))
        scene.partner.calm()
        await asyncio.sleep(2)
        assert scene.partner.truth.connections == 1
        assert scene.batteries() == {}

    play(settings, story, script=Script(authentication="ignore"))


def sent_unauthenticated(settings, monkeypatch: Patch) -> int:
    """How many messages with vehicles are sent between being asked to authenticate and the answer to that."""
    monkeypatch.setattr(session, "ANSWER_TIME", 1.0)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.fault(authentication="ignore")
        scene.partner.forget()
        await scene.until(lambda: scene.partner.truth.of("dropped", AUTHENTICATE))
        await scene.change("ES-1", battery=41)
        await asyncio.sleep(0.5)
        scene.partner.calm()
        await scene.until_equal()

    truth = play(settings, story).truth
    return len(truth.of("objected", INCREMENTAL) + truth.of("objected", FULL))


def test_must_authenticate_stops_what_is_sent(settings, fleet, monkeypatch: Patch, quick_retries) -> None:
    """Between being asked to authenticate and the answer to that, no vehicle is sent, whatever changes."""
    assert sent_unauthenticated(settings, monkeypatch) == 0


def test_control_without_stopping(settings, fleet, monkeypatch: Patch, quick_retries) -> None:
    """A line that answers and goes on meanwhile sends vehicles to a partner that does not know it."""
    become = Session._become

    def stay_live(self: Session, state: State, reason: str) -> Any:
        return [] if (self.state, state) == (State.LIVE, State.AUTHENTICATING) else become(self, state, reason)

    monkeypatch.setattr(Session, "_become", stay_live)
    assert sent_unauthenticated(settings, monkeypatch) > 0


def test_a_full_follows_each_authentication(settings, fleet) -> None:
    """A partner that has lost its memory with its session gets everything again."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.truth.vehicles = {}
        scene.partner.forget()
        await scene.until_equal(3)

    truth = play(settings, story, script=Script(asks_for_full=False)).truth
    assert truth.connections == 1


def test_control_without_a_full_after_authentication(settings, fleet, no_full_after_authentication) -> None:
    """Without it what the partner forgot stays lost."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.truth.vehicles = {}
        scene.partner.forget()
        assert await scene.is_lost()

    play(settings, story, script=Script(asks_for_full=False))


def back_after(settings, down: float, within: float) -> bool:
    """Whether the line is live again so soon after a partner that was away for a while has returned."""
    back: list[bool] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.down()
        await asyncio.sleep(down)
        await scene.partner.up()
        try:
            await scene.is_live(2, within)
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
    assert back_after(settings, 3.5, 1.5)


def test_control_without_that_ceiling(settings, fleet, monkeypatch: Patch) -> None:
    """With pauses that go on doubling the line is still away when the partner has long returned."""
    jitter(monkeypatch, lambda low, high: high)
    monkeypatch.setattr(Backoff, "FIRST", 0.05)
    monkeypatch.setattr(Backoff, "FAILED_CEILING", 60.0)
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    assert not back_after(settings, 3.5, 1.5)


def count_slammed(settings) -> int:
    """Connections within three seconds to a partner that accepts and closes."""

    async def story(scene: Scene) -> None:
        await asyncio.sleep(3)

    return play(settings, story, script=Script(connect="close")).truth.connections


def test_accept_then_close_is_ten_a_minute(settings, fleet, monkeypatch: Patch) -> None:
    """Even if chance made every pause nothing, ten connections a minute are the most."""
    jitter(monkeypatch, lambda low, high: 0.0)
    assert count_slammed(settings) == 10


def test_control_without_the_gate(settings, fleet, monkeypatch: Patch) -> None:
    """Without the gate the same partner is connected to without end."""
    jitter(monkeypatch, lambda low, high: 0.0)
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    assert count_slammed(settings) > 50


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


SECRETS = {
    "password": "canary-password", "nif": "canary-12345678Z", "email": "canary@example.com", "firstname": "Canaria",
    "phone": 34699123456, "address": "Calle Canario 7", "nif_front_img": "Y2FuYXJ5" * 40,
}  # fmt: skip


def everything_logged(settings, caplog: pytest.LogCaptureFixture) -> str:
    """All that is logged, at the most talkative level, while the key and personal data pass."""
    loggers = [logging.getLogger(name) for name in ("", "websockets", "websockets.client", "backoffice", "asyncio")]
    levels = [logger.level for logger in loggers]

    async def story(scene: Scene) -> None:
        await scene.until_equal()
        scene.partner.user(fields=SECRETS)
        scene.partner.user(fields={**SECRETS, "terms_accepted": False})
        scene.partner.say("s_canary/canary", SECRETS)
        scene.partner.say_raw('{"command": "s_ext/error", "payload": "canary')
        scene.partner.forget()
        await scene.is_live(2)
        await asyncio.sleep(1)

    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        play(settings, story, CITYTRIPS_API_KEY="canary-key")
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    return caplog.text


def test_no_log_holds_a_secret_or_a_personal_datum(settings, fleet, caplog: pytest.LogCaptureFixture) -> None:
    """Logs name commands, sizes and outcomes; the key and the contents of messages are in none of them."""
    logged = everything_logged(settings, caplog)
    assert "Sent s_ext/authenticate" in logged
    for secret in ("canary-key", *map(str, SECRETS.values())):
        assert secret not in logged, secret


def test_control_with_the_librarys_own_log(settings, fleet, caplog: pytest.LogCaptureFixture, monkeypatch) -> None:
    """With the library's frames in the log, as it writes them at that level, the key is there to be read."""
    monkeypatch.setattr(connection._frames, "level", logging.DEBUG)
    connection._frames._cache.clear()
    assert "canary-key" in everything_logged(settings, caplog)


# --- No update is lost -------------------------------------------------------------------------------------------


def loses(settings, blow: Callable[[FaultyServer], object], settle: float) -> bool:
    """A partner takes a change, answers the ping, never acts on it, and then deals a blow; whether the change is lost."""
    lost: list[bool] = []

    async def story(scene: Scene) -> None:
        await scene.until_equal()
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL, drops=True)
        await scene.change("ES-1", battery=41)
        await scene.until(lambda: scene.partner.truth.dropped)
        await asyncio.sleep(0.3)
        blow(scene.partner)
        if settle:
            await scene.until_equal()
            await scene.settled()
        else:
            lost.append(await scene.is_lost())

    play(settings, story, script=Script(asks_for_full=False), CITYTRIPS_SETTLE=settle)
    return lost == [True]


BLOWS = pytest.mark.parametrize(
    "blow",
    [FaultyServer.forget, FaultyServer.error, FaultyServer.reset, FaultyServer.close],
    ids=["forgets the session", "sends an error", "resets", "closes"],
)


@BLOWS
def test_what_has_not_settled_is_sent_again(settings, fleet, no_full_after_authentication, quick_retries, blow) -> None:
    """A pong proves nothing: until a change has settled, whatever speaks against it makes it go again."""
    assert not loses(settings, blow, 1.5)


@BLOWS
def test_control_without_settling(settings, fleet, no_full_after_authentication, quick_retries, blow) -> None:
    """If the pong alone settled it, the change would be lost, and nobody would know."""
    assert loses(settings, blow, 0)


def drop_in_silence(settings, full_every: float) -> bool:
    """A partner takes a change, answers the ping, never acts on it, and nothing ever tells; whether it is lost."""
    lost: list[bool] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL, drops=True)
        await scene.change("ES-1", battery=41)
        await scene.until(lambda: scene.partner.truth.dropped)
        await scene.settled()
        lost.append(await scene.is_lost(3))

    play(settings, story, CITYTRIPS_FULL_EVERY=full_every)
    return lost[0]


def test_a_loss_that_nothing_reveals_is_mended_by_the_next_full(settings, fleet) -> None:
    """A full goes every CITYTRIPS_FULL_EVERY seconds: that is how long such a loss can last."""
    assert not drop_in_silence(settings, 2)


def test_control_without_regular_fulls(settings, fleet) -> None:
    """Turned off, the loss lasts until something else asks for a full."""
    assert drop_in_silence(settings, 0)


def fulls_for_a_hundred_requests(settings, seconds: float, enough: int = 100) -> int:
    """How many fulls a partner gets within so many seconds that asks for a hundred at once; no more than ``enough`` count."""
    before: list[int] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        await asyncio.sleep(0.5)
        before.append(scene.partner.truth.messages[FULL])
        scene.partner.ask(times=100)
        end = time.monotonic() + seconds
        while time.monotonic() < end and scene.partner.truth.messages[FULL] - before[0] < enough:
            await asyncio.sleep(0.05)

    return play(settings, story).truth.messages[FULL] - before[0]


def test_a_hundred_requests_become_two_fulls(settings, fleet) -> None:
    """One that runs and one that waits, however many requests arrive."""
    assert 1 <= fulls_for_a_hundred_requests(settings, 1.5) <= 2


def test_control_without_coalescing(settings, fleet, monkeypatch: Patch) -> None:
    """Served one by one, a hundred requests are a flood of the largest message there is."""
    owed = 0
    receive, begin = Session.receive, Session.begin

    def count(self: Session, message: Any, now: float) -> Any:
        nonlocal owed
        owed += isinstance(message, messages.FullRequest)
        return receive(self, message, now)

    def serve(self: Session, *, full: bool, **more: Any) -> int | None:
        nonlocal owed
        number = begin(self, full=full, **more)
        if full:
            owed = max(owed - 1, 0)
            self._full_wanted = owed > 0
        return number

    monkeypatch.setattr(Session, "receive", count)
    monkeypatch.setattr(Session, "begin", serve)
    assert fulls_for_a_hundred_requests(settings, 30, 20) >= 20


def arrives_without_hints(settings, monkeypatch: Patch) -> bool:
    """Whether a change arrives within three seconds while Redis is down and no hint comes from anywhere."""
    arrived: list[bool] = []

    class Broken:
        async def receive(self, channel: str) -> object:
            raise ConnectionError("down")

    monkeypatch.setattr(worker, "get_channel_layer", Broken)
    monkeypatch.setattr(wakeup, "register", lambda wake: None)

    async def story(scene: Scene) -> None:
        await scene.settled()
        await asyncio.sleep(1)  # what was settled wakes the worker once more
        await scene.change("ES-1", battery=41)
        await asyncio.sleep(3)
        arrived.append(scene.batteries()["ES-1"] == 41)

    play(settings, story)
    return arrived[0]


def test_without_a_channel_layer_changes_still_arrive(settings, fleet, monkeypatch: Patch) -> None:
    """With Redis down and no hint from anywhere the worker looks every second."""
    assert arrives_without_hints(settings, monkeypatch)


def test_control_without_looking_unasked(settings, fleet, monkeypatch: Patch) -> None:
    """A worker that waits to be told waits as long as nobody tells it."""
    monkeypatch.setattr(conversation, "LOOK_EVERY", 1e9)
    assert not arrives_without_hints(settings, monkeypatch)


@contextmanager
def database_locked() -> Iterator[None]:
    """Nobody else can write to the database, and on PostgreSQL nobody can read the lease either."""
    locked, free = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic(), database.cursor() as cursor:
                if database.vendor == "postgresql":
                    cursor.execute(f"LOCK TABLE {Lease._meta.db_table} IN ACCESS EXCLUSIVE MODE")
                else:
                    Lease.objects.update(name="citytrips")
                locked.set()
                free.wait(20)
        finally:
            database.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(10)
    try:
        yield
    finally:
        free.set()
        thread.join()


def closes_without_database(settings) -> bool:
    """Whether the socket is closed while the lease cannot be renewed for longer than it lasts."""
    closed: list[bool] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        with database_locked():
            try:
                await scene.until(lambda: not scene.partner.authenticated, 3)
            except AssertionError:
                closed.append(False)
            else:
                closed.append(True)
        if closed[0]:
            await scene.is_live(2, 20)

    play(settings, story, CITYTRIPS_LEASE=1.0)
    return closed[0]


def test_the_socket_closes_when_the_lease_cannot_be_renewed(settings, fleet, quick_retries) -> None:
    """With the database away nothing is acknowledged and the line is given up; it comes back with the database."""
    assert closes_without_database(settings)


def test_control_without_watching_the_lease(settings, fleet, monkeypatch: Patch) -> None:
    """Unwatched, the socket would stay open while another worker may be opening its own."""
    without_the_lease(monkeypatch)
    assert not closes_without_database(settings)


def most_at_once(settings) -> int:
    """Sockets authenticated at a time, of two workers, while the partner breaks off and the first worker goes."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.add_worker()
        await asyncio.sleep(0.5)
        for _ in range(2):
            before = scene.partner.truth.authentications
            scene.partner.reset()
            await scene.is_live(before + 1)
        await asyncio.sleep(0.5)
        before = scene.partner.truth.authentications
        holder = scene.workers.pop(0)
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)
        await scene.is_live(min(before + 1, 4))
        await scene.change("ES-1", battery=41)
        await scene.until_equal()

    return play(settings, story).truth.most_authenticated


def test_two_workers_have_one_socket(settings, fleet, quick_retries) -> None:
    """One holds the line and the other stands by, takes over when the first ends, and the two never speak at once."""
    assert most_at_once(settings) == 1


def test_control_without_the_lease(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """Without it both are authenticated at the same time."""
    without_the_lease(monkeypatch)
    assert most_at_once(settings) == 2


# --- What each fault does ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_resets_at_any_moment_lose_nothing(settings, fleet, quick_retries, monkeypatch: Patch, seed: int) -> None:
    """However the line breaks while vehicles change, come and go, in the end the partner holds what is offered."""
    monkeypatch.setattr(session, "REMOVAL_GAP", 0.5)
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    chance = random.Random(seed)

    async def story(scene: Scene) -> None:
        await scene.settled()
        partner = scene.partner
        for _ in range(8):
            partner.fault(reset_after=chance.randrange(100, 3000) if chance.random() < 0.5 else None)
            for _ in range(chance.randrange(1, 4)):
                state = chance.choice(["available", "available", "on_trip"])
                await scene.change(chance.choice(["ES-1", "ES-2"]), battery=chance.randrange(101), state=state)
            await asyncio.sleep(chance.random() / 2)
            chance.choice([partner.reset, partner.close, partner.forget, partner.error, partner.ask])()
        partner.calm()
        await scene.until_equal(15)

    play(settings, story)


def lost_by_resets(settings, monkeypatch: Patch) -> bool:
    """Whether a change is lost for good that was written to a line on which nothing moved any more, and which then broke.

    Three times, and nothing but the change itself is sent: no full that would mend the loss by the way.
    """
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    lost: list[bool] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        for battery in (41, 42, 43):
            live = scene.partner.truth.authentications
            scene.partner.stall()
            await scene.change("ES-1", battery=battery)
            await asyncio.sleep(0.4)
            scene.partner.reset()
            await scene.is_live(live + 1)
        lost.append(await scene.is_lost(1.5))
        if not lost[0]:
            await scene.until_equal()

    play(settings, story, script=Script(asks_for_full=False), CITYTRIPS_FULL_EVERY=0, CITYTRIPS_PING_TIMEOUT=2.0)
    return lost[0]


def test_what_a_reset_cuts_off_is_sent_again(
    settings, fleet, no_full_after_authentication, quick_retries, monkeypatch: Patch
) -> None:
    """What was written and never ponged stays pending, and needs no full to arrive after all."""
    assert not lost_by_resets(settings, monkeypatch)


def test_control_without_waiting_for_the_pong(
    settings, fleet, no_full_after_authentication, quick_retries, monkeypatch: Patch
) -> None:
    """Written down as told once it is written, a change that the reset cuts off is lost."""
    write = Session.written

    def count_on(self: Session, number: int, **more: Any) -> None:
        write(self, number, **more)
        self.confirm(number, -1e9)

    monkeypatch.setattr(Session, "written", count_on)
    assert lost_by_resets(settings, monkeypatch)


NO_FULL = """
from backoffice.citytrips.session import Session
succeed = Session._receive_success
def without(self):
    effects = succeed(self)
    self._full_wanted = False
    return effects
Session._receive_success = without
"""


def lost_by_kill(settings, settle: float) -> bool:
    """A worker is killed while a change is on its way; whether the next one, which sends no full, leaves it at that."""
    lost: list[bool] = []

    async def story(scene: Scene) -> None:
        with process() as first:
            await scene.until_equal(20)
            await scene.settled()
            scene.partner.add_rule(command=INCREMENTAL, drops=True)
            await scene.change("ES-1", battery=41)
            await scene.until(lambda: scene.partner.truth.dropped)
            await asyncio.sleep(0.5)
            first.kill()
        with process(NO_FULL):
            await scene.is_live(2, 20)
            if settle:
                await scene.until_equal()
                await scene.settled()
            lost.append(await scene.is_lost())

    truth = play(settings, story, script=Script(asks_for_full=False), workers=0, CITYTRIPS_SETTLE=settle).truth
    assert truth.most_authenticated == 1
    return lost[0]


def test_a_killed_worker_loses_nothing(settings, fleet) -> None:
    """SIGKILL while a change is on its way: the next process sends it, as it never settled, and needs no full for that."""
    assert not lost_by_kill(settings, 2.0)


def test_control_without_settling_before_the_kill(settings, fleet) -> None:
    """If the pong alone settled it, nobody would know after the kill that the partner never acted on it."""
    assert lost_by_kill(settings, 0)


def test_a_holder_that_is_told_to_end_hands_over_at_once(settings, fleet) -> None:
    """SIGTERM: the socket is closed politely, and the one that stands by is live within two seconds."""

    async def story(scene: Scene) -> None:
        with ExitStack() as sites:
            first, second = [
                await asyncio.to_thread(
                    sites.enter_context, serving(CITYTRIPS_URL=scene.partner.url, CITYTRIPS_LEASE="10")
                )
                for _ in range(2)
            ]
            await scene.until_equal()
            await scene.until(lambda: "standing by" in first.output + second.output)
            holder, standby = (first, second) if "standing by" in second.output else (second, first)
            holder.process.terminate()
            await scene.is_live(2, 2)
            assert "This worker holds the line" in standby.output

    truth = play(settings, story, workers=0).truth
    assert truth.most_authenticated == 1
    assert truth.of("closed")[0].note.startswith("1000")


def test_control_without_giving_the_lease_up(settings, fleet, monkeypatch: Patch) -> None:
    """Kept by a worker that has ended, the lease runs out in its own time, and nobody speaks meanwhile."""

    def keep(self: LeaseKeeper) -> None:
        self._stop.set()
        self._renewed_at = None

    monkeypatch.setattr(LeaseKeeper, "release", keep)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.add_worker()
        await asyncio.sleep(0.5)
        scene.workers.pop(0).cancel()
        await asyncio.sleep(2)
        assert scene.partner.truth.authentications == 1

    play(settings, story, CITYTRIPS_LEASE=10.0)


SILENCE = pytest.mark.parametrize(
    "fall_silent",
    [FaultyServer.stall, lambda partner: partner.fault(pongs="withhold")],
    ids=["a black hole", "pongs withheld"],
)


def noticed(settings, fall_silent: Callable[[FaultyServer], object], within: float) -> bool:
    """Whether a line that has fallen silent, without an end, is given up within so many seconds."""
    was: list[bool] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        fall_silent(scene.partner)
        await asyncio.sleep(within)
        was.append(await scene.database(lambda: "no answer to a ping" in reasons("waiting")))
        if was[0]:
            scene.partner.calm()
            await scene.is_live(2)

    play(settings, story)
    return was[0]


@SILENCE
def test_a_black_hole_is_noticed(settings, fleet, quick_retries, fall_silent) -> None:
    """A line on which nothing comes back is given up within the pings' interval and timeout, and opened again."""
    assert noticed(settings, fall_silent, 0.3 + 0.5 + 1)


@SILENCE
def test_control_without_pings(settings, fleet, monkeypatch: Patch, fall_silent) -> None:
    """Without pings the line would look live for as long as nothing is sent."""

    async def never(self: Connection, interval: float) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Connection, "keep_alive", never)
    assert not noticed(settings, fall_silent, 0.3 + 0.5 + 2)


def slow(settings, story: Callable[[Scene], Awaitable[None]]) -> FaultyServer:
    """Play against a partner behind a slow uplink, to which a full of 3,000 vehicles takes about three seconds."""
    many(3000)
    return play(settings, story, script=Script(read_rate=150_000), receive_buffer=16_384)


def test_a_slow_uplink_gets_its_full(settings, quick_retries) -> None:
    """The pings' timeout grows with what is under way, so that a large full arrives once and the line stays."""

    async def story(scene: Scene) -> None:
        await scene.until(lambda: scene.partner.truth.messages[FULL], 20)
        await scene.settled(20)

    truth = slow(settings, story).truth
    assert truth.connections == 1
    assert len(truth.vehicles) == 3000


def test_control_without_the_growing_timeout(settings, quick_retries, monkeypatch: Patch) -> None:
    """With the plain timeout the full is cut off and begun again, and nothing ever settles."""
    monkeypatch.setattr(connection, "SLOWEST", 1e12)

    async def story(scene: Scene) -> None:
        await scene.until(lambda: scene.partner.truth.connections >= 3, 20)
        assert await scene.database(lambda: Vehicle.objects.filter(settled_version__gt=0).count()) == 0

    slow(settings, story)
    assert "no answer to a ping" in reasons("waiting")


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_costs_nothing(settings, fleet, kind: str) -> None:
    """What is no message, or none that we know, is answered with nothing, and the line stays up and works."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.garbage(kind, times=3)
        await scene.change("ES-1", battery=41)
        await scene.until_equal()
        await scene.settled()

    truth = play(settings, story).truth
    assert truth.connections == 1
    assert truth.messages.keys() <= {AUTHENTICATE, FULL, INCREMENTAL}
    assert states() == ["connecting", "authenticating", "live"]


@pytest.mark.parametrize("kind", ["invalid", "empty", "array", "binary", "nan", "no_command", "odd_command"])
def test_control_without_bearing_garbage(settings, fleet, quick_retries, monkeypatch: Patch, kind: str) -> None:
    """Taken for the end of the conversation, what cannot be read ends it each time."""
    monkeypatch.setattr(conversation, "MessageError", ZeroDivisionError)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.garbage(kind)
        await scene.is_live(2)

    assert play(settings, story).truth.connections > 1


def test_a_flood_of_garbage_ends_the_connection(settings, fleet, quick_retries) -> None:
    """Above a hundred a minute the line is closed with the reason, and opened again after a pause."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.garbage("invalid", times=101)
        await scene.is_live(2)

    truth = play(settings, story).truth
    assert truth.of("closed")[0].note == "1000 more than 100 unreadable messages within a minute"


def test_control_without_that_limit(settings, fleet, monkeypatch: Patch) -> None:
    """Without the limit any amount of it is taken in for ever."""
    monkeypatch.setattr(session, "UNREADABLE_PER_MINUTE", 10**9)

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.garbage("invalid", times=1000)
        await asyncio.sleep(1)

    assert play(settings, story).truth.connections == 1


def test_a_flood_of_must_authenticate_ends_the_connection(settings, fleet, quick_retries) -> None:
    """A partner that never stops asking is not answered for ever."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        for _ in range(25):
            scene.partner.forget()
        await scene.until(lambda: scene.partner.truth.of("closed"))
        await scene.until_equal()

    truth = play(settings, story).truth
    assert truth.of("closed")[0].note == "1000 asked to authenticate more than 20 times within a minute"


def test_control_without_counting_authentications(settings, fleet, monkeypatch: Patch) -> None:
    """Uncounted, each request is answered with the key, and with a full, for as long as the partner goes on."""
    monkeypatch.setattr(session, "AUTHENTICATIONS_PER_MINUTE", 10**9)

    async def story(scene: Scene) -> None:
        await scene.settled()
        for _ in range(200):
            scene.partner.forget()
        await scene.until(lambda: scene.partner.truth.messages[AUTHENTICATE] > 200)

    assert play(settings, story).truth.connections == 1


def oversize(settings) -> FaultyServer:
    """Send one message over the inbound limit, and see what comes of the connection within two seconds."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.oversize()
        await asyncio.sleep(2)

    return play(settings, story)


def test_a_message_over_the_limit_is_refused(settings, fleet) -> None:
    """More than 12 MiB in one message closes the connection with 1009 instead of filling the memory."""
    assert oversize(settings).truth.of("closed")[0].note.startswith("1009")
    assert "we closed with 1009" in reasons("waiting")[0]


def test_control_without_the_inbound_limit(settings, fleet, monkeypatch: Patch) -> None:
    """Without the limit it is taken, however large."""
    monkeypatch.setattr(connection, "MAX_INBOUND", None)
    truth = oversize(settings).truth
    assert truth.connections == 1
    assert not truth.of("closed")[0].note.startswith("1009")


def count_objected(settings) -> int:
    """How often within two seconds a vehicle is sent to which the partner objects each time."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL, times=0, drops=True, then={"do": "error", "reason": "bad"})
        await scene.change("ES-1", battery=41)
        await asyncio.sleep(2)

    return play(settings, story).truth.messages[INCREMENTAL]


def test_what_is_objected_to_twice_is_left_alone(settings, fleet) -> None:
    """An error voids what has not settled; it goes once more, and is then put before staff instead of becoming a loop."""
    assert count_objected(settings) == 2
    assert row("ES-1").objected_version == row("ES-1").version
    assert row("ES-1").settled_version < row("ES-1").version
    assert row("ES-2").objected_version is None


def test_a_full_passes_what_was_objected_to(settings, fleet) -> None:
    """A vehicle that is left alone goes again with the next full, and is settled like any other."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL, times=0, drops=True, then={"do": "error", "reason": "bad"})
        await scene.change("ES-1", battery=41)
        await scene.until_database(lambda: row("ES-1").objected_version)
        scene.partner.ask()
        await scene.until_equal()
        await scene.settled()

    play(settings, story)
    shown = Vehicle.objects.with_citytrips_status().get(pk="ES-1")
    assert shown.citytrips_status == "settled"


def test_control_without_counting_objections(settings, fleet, monkeypatch: Patch) -> None:
    """Uncounted, the same vehicle is sent without end."""
    monkeypatch.setattr(session, "OBJECTIONS", 10**9)
    assert count_objected(settings) > 5


def objected_beside_a_bad_one(settings) -> list[str]:
    """The vehicles left alone after eight changed at once and the partner objected to each message that carried one of them."""
    many(8)
    found: list[str] = []

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(
            command=INCREMENTAL, vehicle="ES-3", times=0, drops=True, then={"do": "error", "reason": "bad"}
        )
        await scene.database(lambda: Vehicle.objects.update(battery=41))
        await scene.until_database(lambda: row("ES-3").objected_version, 30)
        await scene.settled_but(1)
        found.extend(
            await scene.database(
                lambda: list(Vehicle.objects.exclude(objected_version=None).order_by("pk").values_list("pk", flat=True))
            )
        )

    play(settings, story)
    return found


def test_an_objection_is_narrowed_down(settings) -> None:
    """An error names no vehicle: the incremental goes again in halves until the bad one stands alone; the others arrive."""
    assert objected_beside_a_bad_one(settings) == ["ES-3"]


def test_control_without_narrowing_down(settings, monkeypatch: Patch) -> None:
    """If an error counted against all that it may be about, everything beside the bad vehicle would be left alone."""
    monkeypatch.setattr(session, "STRIKES", 0)
    assert len(objected_beside_a_bad_one(settings)) == 8


UNLEASED = """
LeaseKeeper.held = property(lambda self: True)
LeaseKeeper._renew = lambda self: True
bridge.check_token = lambda token: None
"""


def sent_after_waking(settings, patch: str) -> tuple[int, bool]:
    """A holder is stopped past its lease and goes on; how many vehicles it sends then, and whether it closes."""
    seen: list[tuple[int, bool]] = []

    async def story(scene: Scene) -> None:
        with process(patch) as first:
            await scene.until_equal(20)
            await scene.settled()
            first.pause()
            with process() as second:
                await scene.is_live(2, 20)
                await scene.change("ES-1", battery=41)
                await scene.until_equal()
                before = scene.partner.truth.number
                first.go_on()
                await scene.change("ES-2", battery=42)
                await asyncio.sleep(2.5)
                await scene.until_equal()
                after = [
                    event for event in scene.partner.truth.events if event.number > before and event.connection == 1
                ]
                sent = sum(event.vehicles for event in after)
                seen.append((sent, any(event.kind == "closed" for event in after)))
                assert second.poll() is None

    play(settings, story, workers=0)
    return seen[0]


def test_a_holder_that_was_stopped_is_silent_when_it_wakes(settings, fleet) -> None:
    """After SIGSTOP past the lease and SIGCONT the worker closes before it sends anything."""
    assert sent_after_waking(settings, "") == (0, True)


def test_control_without_the_check_when_it_wakes(settings, fleet) -> None:
    """Unchecked, the one that was stopped goes on to send on its own socket beside the other."""
    sent, closed = sent_after_waking(settings, UNLEASED)
    assert sent > 0
    assert not closed


def connections_while_the_clock_jumps(settings, monkeypatch: Patch) -> int:
    """Connections of two workers while the machine's clock goes an hour forward and two back."""
    now = timezone.now

    async def story(scene: Scene) -> None:
        await scene.settled()
        for hours, battery in ((1, 41), (-1, 42)):
            monkeypatch.setattr(timezone, "now", lambda hours=hours: now() + timedelta(hours=hours))
            await asyncio.sleep(1.5)
            await scene.change("ES-1", battery=battery)
            await scene.until_equal()

    return play(settings, story, workers=2, CITYTRIPS_LEASE=1.0).truth.connections


def test_the_wall_clock_may_jump(settings, fleet, monkeypatch: Patch) -> None:
    """An hour forward or back changes nothing: the line stays, and so does its holder."""
    assert connections_while_the_clock_jumps(settings, monkeypatch) == 1


def test_control_with_deadlines_by_the_wall_clock(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """A lease that ran by the wall clock would end with the first jump."""
    monkeypatch.setitem(LeaseKeeper.__init__.__kwdefaults__, "clock", lambda: timezone.now().timestamp())
    assert connections_while_the_clock_jumps(settings, monkeypatch) > 1
