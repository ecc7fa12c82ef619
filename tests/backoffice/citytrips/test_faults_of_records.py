"""What is written down of all that passes; no log and no record holds a secret or a personal datum."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from django.db import DataError

from backoffice.citytrips import connection, journal, services
from backoffice.citytrips.models import Alert, JournalEntry, LinkChange, LinkState
from backoffice.sandbox.faulty_server import Script
from tests.backoffice.citytrips.faults import AUTHENTICATE, FULL, INCREMENTAL, Patch, Scene, play, reasons, states

pytestmark = pytest.mark.django_db(transaction=True)

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
        scene.partner.close(1008, "canary-key of canary@example.com")
        await scene.is_live(3)
        await asyncio.sleep(1)

    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        play(settings, story, CITYTRIPS_API_KEY="canary-key")
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    return caplog.text


def test_no_log_holds_a_secret_or_a_personal_datum(
    settings, fleet, quick_retries, caplog: pytest.LogCaptureFixture
) -> None:
    """Logs name commands, sizes and outcomes; the key and the contents of messages are in none of them."""
    logged = everything_logged(settings, caplog)
    assert "Sent s_ext/authenticate" in logged
    for secret in ("canary-key", *map(str, SECRETS.values())):
        assert secret not in logged, secret


def test_control_with_the_librarys_own_log(
    settings, fleet, quick_retries, caplog: pytest.LogCaptureFixture, monkeypatch: Patch
) -> None:
    """With the library's frames in the log, as it writes them at that level, the key is there to be read."""
    monkeypatch.setattr(connection._frames, "level", logging.DEBUG)
    connection._frames._cache.clear()
    assert "canary-key" in everything_logged(settings, caplog)


APPLICANT = {**SECRETS, "country": "Spain"}


def everything_recorded(settings) -> str:
    """All that the line has written down beside the accounts and answers, while secrets came by every way there is."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.user(number=1, fields=APPLICANT)
        scene.partner.user(number=2, fields={**APPLICANT, "terms_accepted": "canary@example.com"})
        scene.partner.say("s_other/thing", APPLICANT)
        scene.partner.say("canary@example.com", APPLICANT)
        scene.partner.say_raw('{"canary@example.com": ')
        scene.partner.error("canary-key was sent for canary@example.com, 34699123456")
        scene.partner.say("s_ext/must_authenticate", {"reason": "canary-key is not canary@example.com"})
        await scene.until(lambda: len(scene.partner.truth.replies) >= 2)
        scene.partner.close(1008, "canary-key of canary@example.com, 34699123456")
        await scene.until_database(lambda: reasons("waiting"))
        await scene.until(lambda: scene.partner.authenticated)
        scene.partner.fault(authentication="refuse")
        scene.partner.say("s_ext/auth_error", {"reason": "canary-key of 34699123456"})
        await scene.until_database(lambda: reasons("refused"))
        await asyncio.sleep(0.5)

    play(settings, story, CITYTRIPS_API_KEY="canary-key")
    rows: list[Any] = []
    for model in (JournalEntry, Alert, LinkChange, LinkState):
        rows += model.objects.values()
    return str(rows)


def test_nothing_recorded_holds_a_secret_or_a_personal_datum(settings, fleet, quick_retries) -> None:
    """Journal, alerts and the line's history hold neither the key nor what is about a person, by whatever way it came."""
    recorded = everything_recorded(settings)
    for secret in ("canary-key", *map(str, SECRETS.values())):
        assert secret not in recorded, secret


def test_control_without_the_allow_list(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """Kept as they come, payloads put people's data before everybody who reads the journal."""
    monkeypatch.setattr(journal, "body", lambda command, payload, **more: {"payload": payload})
    recorded = everything_recorded(settings)
    assert "canary-password" in recorded
    assert "canary@example.com" in recorded


def test_control_with_reasons_as_they_come(settings, fleet, quick_retries, monkeypatch: Patch) -> None:
    """Why CityTrips closes may quote what we sent it."""
    monkeypatch.setattr(connection, "without_secrets", lambda reason: reason)
    assert "canary-key" in everything_recorded(settings)


def test_each_message_is_in_the_journal_with_what_came_of_it(settings, fleet) -> None:
    """Sent and settled, sent and void, received and handled: one entry each."""

    async def story(scene: Scene) -> None:
        await scene.settled()
        scene.partner.add_rule(command=INCREMENTAL)
        await scene.change("ES-1", battery=41)
        await scene.until(lambda: scene.partner.truth.messages[INCREMENTAL])
        scene.partner.forget()
        await scene.is_live(2)
        await scene.until_equal()
        await scene.settled()
        await asyncio.sleep(0.5)

    play(settings, story, script=Script(asks_for_full=False), CITYTRIPS_SETTLE=1.0)
    found = list(JournalEntry.objects.order_by("id").values_list("direction", "command", "outcome"))
    assert found == [
        ("out", AUTHENTICATE, "sent"),
        ("in", "s_ext/auth_succesful", "handled"),
        ("out", FULL, "settled"),
        ("out", INCREMENTAL, "void"),
        ("in", "s_ext/must_authenticate", "handled"),
        ("out", AUTHENTICATE, "sent"),
        ("in", "s_ext/auth_succesful", "handled"),
        ("out", FULL, "settled"),
    ]
    assert JournalEntry.objects.filter(command=FULL).first().body == {"vehicles": 2}


def test_an_entry_that_the_database_refuses_holds_up_no_other(settings, fleet, monkeypatch: Patch) -> None:
    """It is left out, and those before and after it are written once each."""
    link_change = services.link_change

    def refuse(**given: Any) -> None:
        if given["state"] == "authenticating":
            raise DataError("no such text")
        link_change(**given)

    monkeypatch.setattr(services, "link_change", refuse)

    async def story(scene: Scene) -> None:
        await scene.settled()
        await scene.until_database(lambda: "live" in states())

    play(settings, story)
    assert states() == ["connecting", "live", "standby"]
