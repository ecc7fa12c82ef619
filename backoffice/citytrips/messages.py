"""The messages of CityTrips' API for operators, as values and as JSON.

Every message is a JSON object of ``command`` and ``payload`` ("Message structure"). What the specification calls *Sub*
arrives here and is read by :func:`decode`; what it calls *Pub* is written by :func:`encode`, or, where it may be large,
part by part. Further properties are allowed everywhere, so none is ever refused for being there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar, Final, Never

import orjson

from backoffice.citytrips.errors import MessageError

AUTHENTICATE: Final = "s_ext/authenticate"
VEHICLES_FULL: Final = "s_vehicle/full"
VEHICLES_INCREMENTAL: Final = "s_vehicle/incremental"

COUNTRIES: Final = frozenset({"Chile", "Spain", "Australia"})
"""The values of a vehicle's ``country`` that the specification knows."""


# --- What we receive ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MustAuthenticate:
    """``s_ext/must_authenticate``: authenticate again, at any time."""

    COMMAND: ClassVar = "s_ext/must_authenticate"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuthenticationSucceeded:
    """``s_ext/auth_succesful`` (so spelled)."""

    COMMAND: ClassVar = "s_ext/auth_succesful"


@dataclass(frozen=True, slots=True)
class AuthenticationFailed:
    """``s_ext/auth_error``."""

    COMMAND: ClassVar = "s_ext/auth_error"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Objection:
    """``s_ext/error``: something was wrong; tied to no message."""

    COMMAND: ClassVar = "s_ext/error"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FullRequest:
    """``s_vehicle/full_request``: send all vehicles available."""

    COMMAND: ClassVar = "s_vehicle/full_request"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OtherCommand:
    """Any other command, for whoever is registered to handle it."""

    command: str
    payload: object


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Text or bytes that are no message; ``problem`` says why, without repeating any of it."""

    problem: str


Inbound = MustAuthenticate | AuthenticationSucceeded | AuthenticationFailed | Objection | FullRequest | OtherCommand

_WITH_REASON: Final = {kind.COMMAND: kind for kind in (MustAuthenticate, AuthenticationFailed, Objection, FullRequest)}


def decode(data: str | bytes) -> Inbound:
    """Read one message.

    A payload without a usable ``reason`` is no error: the reason is for people, and the command alone says what to do.
    ``s_ext/auth_succesful`` comes with null, with an empty text or with no payload at all.

    :raises MessageError: it is binary, no JSON, no object, or has no usable ``command``.
    """
    if isinstance(data, bytes):
        raise MessageError("", "a binary frame; messages are text")
    try:
        root = json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise MessageError("", "nested too deeply") from None
    except ValueError:
        raise MessageError("", "not valid JSON") from None
    if not isinstance(root, dict):
        raise MessageError("", "not a JSON object")
    command = root.get("command")
    if not isinstance(command, str) or not command:
        raise MessageError("command", "missing" if command is None else "not a text, or empty")
    payload = root.get("payload")
    if kind := _WITH_REASON.get(command):
        return kind(_reason(payload))
    if command == AuthenticationSucceeded.COMMAND:
        return AuthenticationSucceeded()
    return OtherCommand(command, payload)


def _reason(payload: object) -> str:
    reason = payload.get("reason") if isinstance(payload, dict) else None
    return reason[:500] if isinstance(reason, str) else ""


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


# --- What we send ------------------------------------------------------------------------------------------------


def vehicle(
    id: str, battery: int, plate: str, country: str, city: str, latitude: int | float, longitude: int | float
) -> dict[str, object]:
    """A vehicle as CityTrips sees it ("#5 vehicles"); ``battery`` in per cent, the position in our setting's unit.

    :raises MessageError: a value is outside what the specification allows.
    """
    if not (id and 0 <= battery <= 100 and country in COUNTRIES and latitude - latitude == longitude - longitude == 0):
        raise _vehicle_error(id, battery, country)
    return {
        "id": id,
        "battery": battery,
        "plate": plate,
        "country": country,
        "city": city,
        "location": {"latitude": latitude, "longitude": longitude},
    }


def _vehicle_error(id: str, battery: int, country: str) -> MessageError:
    if not id:
        return MessageError("id", "empty")
    if not 0 <= battery <= 100:
        return MessageError("battery", "not within 0 to 100")
    if country not in COUNTRIES:
        return MessageError("country", "not one of " + ", ".join(sorted(COUNTRIES)))
    return MessageError("location", "not a pair of numbers")


def vehicles_begin(command: str) -> bytes:
    """The beginning of ``s_vehicle/full`` or ``s_vehicle/incremental``, up to the first vehicle."""
    return b'{"command":"%s","payload":[' % command.encode()


def vehicles_part(rows: list[dict[str, object]]) -> bytes:
    """Some vehicles in the midst of such a message; parts are joined by a comma."""
    return orjson.dumps(rows)[1:-1]


VEHICLES_END: Final = b"]}"


def encode(command: str, payload: object) -> str:
    """One message as compact JSON text."""
    return json.dumps(
        {"command": command, "payload": payload}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


def authenticate(client_id: str, api_key: str) -> str:
    """``s_ext/authenticate``."""
    return encode(AUTHENTICATE, {"clientId": client_id, "apiKey": api_key})
