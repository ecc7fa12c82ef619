"""What CityTrips' specification says of a message: how it is read and written, what breaks it, and what a new user holds.

Nothing of the project is imported: a misreading that both ends shared would cancel itself out.
"""

from __future__ import annotations

import base64
import json
import random
import secrets
import struct
import zlib
from typing import Any

AUTHENTICATE = "s_ext/authenticate"
FULL = "s_vehicle/full"
INCREMENTAL = "s_vehicle/incremental"
USER = "s_user/new"
ERROR = "s_ext/error"
COUNTRIES = ("Chile", "Spain", "Australia")
IMAGES = ("nif_front_img", "nif_back_img", "license_front_img", "license_back_img")


def message(command: str, payload: object) -> str:
    """One message as text."""
    return json.dumps({"command": command, "payload": payload}, ensure_ascii=False)


def parse(text: str | bytes) -> tuple[str, object]:
    """The command and payload of a message.

    :raises ValueError: with words for the operator.
    """
    if isinstance(text, bytes):
        raise ValueError("messages are text")
    try:
        root = json.loads(text)
        if "\\u" in text:
            # Half of a surrogate pair is valid JSON, and no text that a page could show.
            json.dumps(root, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ValueError("not valid JSON") from None
    if not isinstance(root, dict) or not isinstance(root.get("command"), str):
        raise ValueError("not an object with a command")
    return root["command"], root.get("payload")


def has_credentials(payload: object) -> bool:
    """Whether the payload of ``s_ext/authenticate`` holds a client id and a key."""
    credentials = payload if isinstance(payload, dict) else {}
    return all(isinstance(credentials.get(name), str) and credentials[name] for name in ("clientId", "apiKey"))


def vehicles_problem(payload: object) -> str:
    """What breaks the schema of the payload of a full or an incremental; empty where nothing does."""
    if not isinstance(payload, list):
        return "payload: not an array"
    for position, vehicle in enumerate(payload):
        if problem := _vehicle_problem(vehicle):
            return f"payload[{position}]{problem}"
    return ""


def _vehicle_problem(vehicle: object) -> str:
    """What breaks the schema of a vehicle. Decimal degrees pass: the schema's ``integer`` cannot place a car."""
    if not isinstance(vehicle, dict):
        return ": not an object"
    for name in ("id", "plate", "city"):
        if not isinstance(vehicle.get(name), str):
            return f".{name}: not a string"
    battery = vehicle.get("battery")
    if not isinstance(battery, int) or isinstance(battery, bool) or not 0 <= battery <= 100:
        return ".battery: not an integer from 0 to 100"
    if vehicle.get("country") not in COUNTRIES:
        return ".country: not one of " + ", ".join(COUNTRIES)
    location = vehicle.get("location")
    for name in ("latitude", "longitude"):
        value = location.get(name) if isinstance(location, dict) else None
        if not isinstance(value, int | float) or isinstance(value, bool):
            return f".location.{name}: not a number"
    return ""


def new_user(number: int | None = None, **different: object) -> dict[str, Any]:
    """A payload of ``s_user/new`` with every field; the same ``number`` is the same person."""
    number = secrets.randbelow(1_000_000) if number is None else number
    person: dict[str, Any] = {
        "terms_accepted": True,
        "username": f"lucia{number:06}",
        "email": f"lucia{number:06}@example.com",
        "password": secrets.token_urlsafe(18),
        "firstname": "Lucía",
        "lastname": "Fuentes",
        "nif": "",
        "phone": 34600000000 + number,
        "birthdate": 631152000,
        "zipcode": "28004",
        "city": "Madrid",
        "country": "Spain",
        "address": "Calle de Fuencarral 45",
        "driver_license_number": f"{number:08}",
        "license_expiration": 1956528000,
        **dict.fromkeys(IMAGES, ""),
    }
    return person | different


def picture(size: int, seed: int = 0) -> str:
    """A valid PNG of about ``size`` bytes, as base64: noise in grey, which doesn't shrink."""
    side = max(1, int(size**0.5))
    noise = random.Random(seed)  # noqa: S311  # no secret: the same picture for the same seed
    rows = b"".join(b"\0" + noise.randbytes(side) for _ in range(side))
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 0)),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()
