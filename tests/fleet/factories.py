"""Vehicles for tests."""

from __future__ import annotations

from fleet.models import Vehicle
from fleet.services import vehicle_create


def make(id: str = "ES-1", **values: object) -> Vehicle:
    """A vehicle in Madrid that is offered, but for the values given."""
    given: dict[str, object] = {
        "plate": "1234 BCD",
        "country": "Spain",
        "city": "Madrid",
        "latitude": 40.4168,
        "longitude": -3.7038,
        "battery": 80,
        "state": "available",
    }
    return vehicle_create(id=id, **{**given, **values})
