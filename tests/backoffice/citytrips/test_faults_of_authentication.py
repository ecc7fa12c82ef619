"""Authentication: unanswered, refused, asked for again, and asked for without end."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from backoffice.citytrips import bridge, connection, fulls, line, services, session
from backoffice.citytrips.connection import Gate
from backoffice.citytrips.exchange import State
from backoffice.citytrips.models import SyncRequest
from backoffice.citytrips.session import Session
from backoffice.sandbox.faulty_server import Script
from tests.backoffice.citytrips.faults import AUTHENTICATE, FULL, INCREMENTAL, Patch, Scene, many, play, reasons, states

pytestmark = pytest.mark.django_db(transaction=True)


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


def count_refusals(settings, at_least: int) -> int:
    """Tries with credentials that are refused, in the three seconds after there were so many, while people ask again and again
    for something to be sent.
    """

    def ask() -> None:
        # As soon as the one before is answered: more of them would be answered one by one, and hold up the tries.
        if not SyncRequest.objects.filter(ended_at=None).exists():
            services.sync_request_create(full=False, seconds=30)

    async def story(scene: Scene) -> None:
        reached, end = False, time.monotonic() + 40
        while time.monotonic() < end:
            if not reached and len(scene.partner.truth.of("rejected")) >= at_least:
                reached, end = True, time.monotonic() + 3
            await scene.database(ask)
            await asyncio.sleep(0.05)

    return len(play(settings, story, script=Script(authentication="refuse")).truth.of("rejected"))


@pytest.fixture
def hours_of_a_minute(monkeypatch: Patch) -> None:
    """What takes an hour takes a minute, and five minutes take a second."""
    for module in (connection, line):
        monkeypatch.setattr(module, "Gate", lambda limit, period: Gate(limit, period / 60))
    monkeypatch.setattr(line, "REFUSED_PAUSE", 1.0)
    monkeypatch.setattr(line, "LOOK_EVERY", 0.05)


def test_a_refused_key_is_tried_twelve_times_an_hour(settings, fleet, hours_of_a_minute) -> None:
    """However often somebody asks, refused credentials are tried at most twelve times an hour; the reason is shown."""
    assert count_refusals(settings, 12) == 12
    assert states()[-2:] == ["refused", "standby"]
    assert set(reasons("refused")) == {"the key is refused"}


def test_control_without_the_gate_of_refusals(settings, fleet, hours_of_a_minute, monkeypatch: Patch) -> None:
    """Without the gate each request is another try, and a partner that counts failures locks the account."""
    monkeypatch.setattr(Gate, "wait", lambda self, now: 0.0)
    assert count_refusals(settings, 21) > 20


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


def is_soon_authenticated_in_a_full(settings, monkeypatch: Patch) -> bool:
    """Whether a partner that forgets us while a full of ten seconds is sent is authenticated to within six seconds."""
    many(40)
    monkeypatch.setattr(bridge, "PAGE", 2)
    read = fulls.FullReader.read
    soon: list[bool] = []

    begun: list[bool] = []

    def read_slowly(self: fulls.FullReader) -> bytes | None:
        begun.append(True)
        time.sleep(0.5)
        return read(self)

    async def story(scene: Scene) -> None:
        await scene.settled()
        monkeypatch.setattr(fulls.FullReader, "read", read_slowly)
        scene.partner.ask()
        await scene.until(lambda: len(begun) > 1)
        scene.partner.forget()
        began = time.monotonic()
        await scene.is_live(2, 20)
        soon.append(time.monotonic() - began < 6)
        monkeypatch.setattr(fulls.FullReader, "read", read)
        await scene.until_equal()

    play(settings, story)
    return soon[0]


def test_must_authenticate_is_heeded_in_a_full(settings, monkeypatch: Patch, quick_retries) -> None:
    """The rest of a long list is not sent to a partner that takes none of it: the connection is made anew."""
    assert is_soon_authenticated_in_a_full(settings, monkeypatch)


def test_control_ending_the_full_first(settings, monkeypatch: Patch, quick_retries) -> None:
    """Nothing can be said in the midst of a message, the key neither."""
    monkeypatch.setattr(Session, "is_live", property(lambda self: True))
    assert not is_soon_authenticated_in_a_full(settings, monkeypatch)


def test_a_full_follows_each_authentication(settings, fleet) -> None:
    """A partner that has lost its memory with its session gets everything again."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.truth.vehicles = {}
        scene.partner.forget()
        await scene.until_equal()

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
        await scene.until(lambda: scene.partner.truth.messages[AUTHENTICATE] > 200, 40)

    assert not [event for event in play(settings, story).truth.of("closed") if "more than" in event.note]
