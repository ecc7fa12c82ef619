"""What the journal keeps of a message: an allow-list, so that what nobody thought of stays out.

No I/O and no Django. Kept are the command, the size, the outcome, and of the payload what is no personal datum and no
secret: how many vehicles, which of the specification's fields were there, a reason with everything cut out of it that
could be somebody's number, address or key.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from backoffice.citytrips import messages

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]

UNNAMED: Final = "(unnamed)"
"""Stands for a command whose name is none that the protocol could have."""
CUT: Final = "[…]"
"""Stands for what was cut out of a reason."""
LONGEST_REASON: Final = 500

USER_NEW: Final = "s_user/new"
USER_FIELDS: Final = frozenset(
    {
        "terms_accepted", "username", "email", "password", "firstname", "lastname", "nif", "phone", "birthdate",
        "zipcode", "city", "country", "address", "driver_license_number", "license_expiration", "nif_front_img",
        "nif_back_img", "license_front_img", "license_back_img",
    }
)  # fmt: skip
"""The properties of the specification's ``new_user`` ("#4 new_user")."""

_COMMAND: Final = re.compile(r"[a-z]+(?:_[a-z]+)*(?:/[a-z]+(?:_[a-z]+)*)+")
_LONGEST_COMMAND: Final = 60
_CODE: Final = re.compile(r"[A-Z]{2,3}")
_NUMBER: Final = re.compile(r"\d(?:[\s().,/_-]*\d){6,}")
_DIGITS: Final = 7
_LONG: Final = 40
_LONGEST_INPUT: Final = 4_000


class Direction(StrEnum):
    """Seen from here."""

    IN = "in"
    OUT = "out"


class Outcome(StrEnum):
    """What came of a message. The first six are of those that arrive, the others of those that are sent."""

    RECEIVED = "received"
    HANDLED = "handled"
    ANSWERED = "answered"
    UNKNOWN = "unknown"
    UNREADABLE = "unreadable"
    FAILED = "failed"
    SENT = "sent"
    SETTLED = "settled"
    VOID = "void"
    OBJECTED = "objected"


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One message for the journal; ``command``, ``reason`` and ``body`` have been through the functions below.

    ``size`` is in characters; ``at`` has a time zone; ``ref`` is by what its outcome is written later.
    """

    direction: Direction
    command: str
    size: int
    outcome: Outcome
    at: datetime
    reason: str = ""
    body: Mapping[str, JSON] = field(default_factory=dict)
    ref: uuid.UUID = field(default_factory=uuid.uuid4)
    account_id: int | None = None
    sync_request_id: int | None = None
    reply_id: int | None = None


def body(command: str, payload: object, *, secrets: Collection[str] = ()) -> dict[str, JSON]:
    """What is kept of a payload.

    ``s_vehicle/…``: the number of vehicles. ``s_user/new``: whether the terms were accepted, the country, and the names
    of the specification's fields that were there. ``s_ext/…``: the reason, cleaned of ``secrets`` and personal data. Of
    any other: the payload's type and how many members it has.
    """
    if command == USER_NEW and isinstance(payload, dict):
        return _application(payload)
    if command.startswith("s_vehicle/") and isinstance(payload, list):
        return {"vehicles": len(payload)}
    if command.startswith(("s_ext/", "s_vehicle/")) and isinstance(payload, dict | type(None)):
        reason = payload.get("reason") if payload else None
        return {"reason": clean_reason(reason, secrets)} if isinstance(reason, str) and reason else {}
    return _shape(payload)


def _application(payload: Mapping[str, object]) -> dict[str, JSON]:
    kept: dict[str, JSON] = {"fields": [*sorted(USER_FIELDS & payload.keys())]}
    if isinstance(accepted := payload.get("terms_accepted"), bool):
        kept["terms_accepted"] = accepted
    country = payload.get("country")
    if isinstance(country, str) and (country in messages.COUNTRIES or _CODE.fullmatch(country)):
        kept["country"] = country
    return kept


def _shape(payload: object) -> dict[str, JSON]:
    match payload:
        case None:
            return {"type": "null"}
        case bool():
            return {"type": "boolean"}
        case int() | float():
            return {"type": "number"}
        case str():
            return {"type": "string"}
        case dict():
            return {"type": "object", "members": len(payload)}
        case list() | tuple():
            return {"type": "array", "members": len(payload)}
        case _:
            return {"type": "other"}


def clean_command(text: str) -> str:
    """The command where it is a name such as the protocol's; else :data:`UNNAMED`, for it could be anything."""
    return text if len(text) <= _LONGEST_COMMAND and _COMMAND.fullmatch(text) else UNNAMED


def clean_reason(text: str, secrets: Collection[str] = ()) -> str:
    """A reason without what could be a secret or somebody's datum, printable, in at most 500 characters.

    Cut are the ``secrets``, e-mail addresses, words with seven digits or more (national ids, phones, also with dots or
    spaces in between), and words of 40 characters or more. A text that is too long, or that somebody else may have cut
    already, loses its last word: half a secret is not found by its whole.
    """
    whole = _printable(text[:_LONGEST_INPUT])
    for secret in sorted(filter(None, map(_printable, secrets)), key=len, reverse=True):
        whole = re.sub(re.escape(secret), CUT, whole, flags=re.IGNORECASE)
        whole = _without_half(whole, secret)
    words = [CUT if _is_telling(word) else word for word in _without_numbers(whole).split()]
    if len(text) >= LONGEST_REASON and words:
        words[-1] = CUT
    clean = " ".join(words)
    if len(clean) <= LONGEST_REASON:
        return clean
    return clean[: LONGEST_REASON - 1].rsplit(" ", 1)[0] + "…"


def _printable(text: str) -> str:
    """In one spelling of each character; white space as spaces, and nothing that does not show."""
    spelled = unicodedata.normalize("NFKC", text)
    spaced = " ".join(spelled.split())
    return "".join(character for character in spaced if character.isprintable())


def _without_half(text: str, secret: str) -> str:
    """Without the beginning of the secret at the very end, where somebody cut the text."""
    for length in range(min(len(secret), len(text)), 3, -1):
        if text[-length:].casefold() == secret[:length].casefold():
            return text[:-length] + CUT
    return text


def _without_numbers(text: str) -> str:
    """Without the numbers that go over several words, and what is glued to them."""
    kept, done = [], 0
    for found in _NUMBER.finditer(text):
        if found.start() < done:
            continue
        begin = text.rfind(" ", 0, found.start()) + 1
        end = text.find(" ", found.end())
        kept += [text[done : max(begin, done)], CUT]
        done = len(text) if end < 0 else end
    return "".join(kept) + text[done:]


def _is_telling(word: str) -> bool:
    return "@" in word or len(word) >= _LONG or sum(character.isdigit() for character in word) >= _DIGITS
