"""What CityTrips asks for beyond the session itself: each command a function, found by its name.

Adding one is one function and the model of its payload, registered by :func:`handles`. Everything here works on the
database and is called off the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from backoffice.citytrips import services
from backoffice.citytrips.journal import Outcome
from backoffice.citytrips.models import Alert
from users import accounts

_Act = TypeVar("_Act", bound=Callable[[Any], "Answer | None"])


PASSING: Final = (OperationalError, InterfaceError, accounts.AccountsBusy)
"""What may keep a command from being handled and passes by itself."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler says back to CityTrips, and whom it is about; sent until it has settled."""

    command: str
    payload: Mapping[str, object]
    about_id: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of an inbound command, for the journal."""

    outcome: Outcome
    reason: str = ""
    reply_id: int | None = None
    about_id: int | None = None


@dataclass(frozen=True, slots=True)
class _Command:
    """``read`` makes a value of the payload, without the database; ``act`` calls services, in a transaction.

    ``fail`` is what to answer where one of the two broke.
    """

    read: Callable[[object], Any]
    act: Callable[[Any], Answer | None]
    fail: Callable[[object], Answer | None]


_commands: dict[str, _Command] = {}


def _itself(payload: object) -> object:
    return payload


def _nothing(payload: object) -> None:
    return None


def handles(
    command: str,
    *,
    read: Callable[[object], Any] = _itself,
    fail: Callable[[object], Answer | None] = _nothing,
) -> Callable[[_Act], _Act]:
    """Register a function for an inbound command that is no part of the session itself.

    It gets what ``read`` makes of the payload, and runs in one transaction with the reply that it returns, if any.
    ``fail`` makes the answer where either of them broke.
    """

    def register(act: _Act) -> _Act:
        _commands[command] = _Command(read, act, fail)
        return act

    return register


def is_handled(command: str) -> bool:
    return command in _commands


def handle(command: str, payload: object) -> Handled:
    """Do what an inbound command asks for."""
    wanted = _commands[command]
    value = wanted.read(payload)
    with transaction.atomic():
        return _owe(wanted.act(value), Outcome.HANDLED)


def give_up(command: str, payload: object) -> Handled:
    """:func:`handle` broke; whoever asked is told so, where an answer is due."""
    with transaction.atomic():
        return _owe(_commands[command].fail(payload), Outcome.FAILED)


def _owe(answer: Answer | None, outcome: Outcome) -> Handled:
    if answer is None:
        return Handled(outcome)
    reply = services.reply_create(command=answer.command, payload=answer.payload, about_id=answer.about_id)
    return Handled(
        Outcome.ANSWERED if outcome is Outcome.HANDLED else outcome, answer.reason, reply.pk, answer.about_id
    )


# --- s_user/new --------------------------------------------------------------------------------------------------


def _not_now(payload: object) -> Answer:
    """There is no message id, so the refusal names the user by what was sent."""
    username, email = accounts.sent_names(payload)
    reason = "internal error; the request may be sent again"
    return Answer(
        settings.CITYTRIPS_USER_REFUSAL, {"reason": reason, "username": username, "email": email}, reason=reason
    )


@handles("s_user/new", read=accounts.read, fail=_not_now)
def user_new(asked: accounts.Application | accounts.Refusal) -> Answer:
    """Make an account for a user of CityTrips, or find the one that the person has; or say why not ("#4 new_user")."""
    found = asked if isinstance(asked, accounts.Refusal) else accounts.link(asked, received_at=timezone.now())
    if isinstance(found, accounts.Linked):
        identity = {"id": found.public_id, "username": found.username, "email": found.email}
        return Answer(settings.CITYTRIPS_USER_REPLY, identity, found.user_id)
    if found.needs_staff:
        services.alert_raise(kind=Alert.Kind.USER_REFUSED, detail=found.reason)
    refused = {"reason": found.reason, "username": found.username, "email": found.email}
    return Answer(settings.CITYTRIPS_USER_REFUSAL, refused, found.user_id, found.reason)
