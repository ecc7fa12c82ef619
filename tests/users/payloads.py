"""Requests for accounts as CityTrips sends them, and pictures for them; all invented."""

from __future__ import annotations

import base64
import io
import os
from datetime import UTC, date, datetime
from typing import Any

from PIL import Image

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
BIRTH = date(1990, 5, 17)
EXPIRY = date(2031, 3, 1)


def seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def png(width: int = 24, height: int = 16, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), 120).save(out, "PNG")
    return out.getvalue()


def jpeg(width: int = 24, height: int = 16, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(out, "JPEG", **options)
    return out.getvalue()


def noise_png(side: int) -> bytes:
    """A picture that no format makes smaller."""
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(3 * side * side)).save(out, "PNG")
    return out.getvalue()


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def data_uri(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{as_base64(data)}"


def payload(**values: Any) -> dict[str, Any]:
    """A whole request of a Spanish person; ``values`` take the place of its own, and ``...`` leaves one out."""
    whole = {
        "terms_accepted": True,
        "username": "nuria",
        "email": "nuria@example.org",
        "password": "fr0m-C1tyTr1ps-4711",
        "firstname": "Núria",
        "lastname": "Ferrer Pons",
        "nif": "12345678Z",
        "phone": 600111222,
        "birthdate": seconds(BIRTH),
        "zipcode": "08001",
        "city": "Barcelona",
        "country": "Spain",
        "address": "Carrer de la Boqueria 1",
        "driver_license_number": "12345678Z",
        "license_expiration": seconds(EXPIRY),
        "nif_front_img": "",
        "nif_back_img": "",
        "license_front_img": "",
        "license_back_img": "",
        **values,
    }
    return {name: value for name, value in whole.items() if value is not ...}
