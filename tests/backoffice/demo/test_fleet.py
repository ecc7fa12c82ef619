"""The demo's vehicles."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter

import pytest

from backoffice.demo import fleet as demo
from fleet.models import Vehicle
from fleet.services import vehicle_create

pytestmark = pytest.mark.django_db


def test_load_is_idempotent() -> None:
    """250 vehicles are made once; run again, nothing is made and nothing changes."""
    assert demo.load() == 250
    before = list(Vehicle.objects.values("id", "plate", "battery", "latitude", "version", "last_signal_at"))
    assert demo.load() == 0
    assert list(Vehicle.objects.values("id", "plate", "battery", "latitude", "version", "last_signal_at")) == before


def test_the_same_vehicles_each_time() -> None:
    """Removed and loaded again, also beside a gap, they are the same vehicles."""
    columns = ("id", "plate", "vin", "battery", "latitude", "longitude", "state")
    demo.load()
    before = list(Vehicle.objects.values_list(*columns))
    Vehicle.objects.filter(city="Barcelona").delete()
    assert demo.load() == 70
    assert list(Vehicle.objects.values_list(*columns)) == before
    assert demo.remove() == 250
    assert demo.load() == 250
    assert list(Vehicle.objects.values_list(*columns)) == before


def test_real_vehicles_are_left_alone() -> None:
    """A vehicle of the operator's own with the same id is neither changed nor removed."""
    vehicle_create(id="ES-0001", plate="1 REAL")
    assert demo.load() == 249
    assert demo.remove() == 249
    assert Vehicle.objects.get().plate == "1 REAL"


def test_all_are_marked() -> None:
    """Every vehicle of the demo is marked as invented."""
    demo.load()
    assert not Vehicle.objects.filter(is_demo=False).exists()


def test_the_demo_shows_every_case() -> None:
    """Every state, and each usual reason to withhold a vehicle, is there to be seen; most are offered."""
    demo.load()
    assert Vehicle.objects.values("state").distinct().count() == 8
    statuses = Counter(vehicle.citytrips_status for vehicle in Vehicle.objects.with_citytrips_status())
    assert statuses["pending"] > 100
    assert statuses["withheld"] > 10
    assert Vehicle.objects.filter(battery__lt=20, state="available").exists()
    assert Vehicle.objects.filter(battery=None).exists()
    assert Vehicle.objects.filter(latitude=None).exists()


@pytest.mark.parametrize(
    ("country", "pattern"),
    [
        ("Spain", r"\d{4} [B-DF-HJ-NP-TV-Z]{3}"),
        ("Chile", r"[B-DF-HJ-LPR-TV-Z]{3,4}·\d\d"),
        ("Australia", r"[A-Z]{3} \d\d[A-Z]?"),
    ],
)
def test_plates_are_those_of_the_country(country: str, pattern: str) -> None:
    """Plates follow their country's pattern, and no two are the same."""
    demo.load()
    plates = list(Vehicle.objects.filter(country=country).exclude(plate="").values_list("plate", flat=True))
    assert [plate for plate in plates if not re.fullmatch(pattern, plate)] == []
    assert len(plates) == len(set(plates)) > 30


def test_vehicles_stand_at_kerbs() -> None:
    """Each vehicle stands a few metres beside one of its city's streets."""
    demo.load()
    for city in demo.CITIES:
        pieces = [(start, end) for street in city.streets.values() for start, end in itertools.pairwise(street)]
        for vehicle in Vehicle.objects.filter(city=city.name, latitude__isnull=False):
            distance = min(_distance(vehicle.latitude, vehicle.longitude, *piece) for piece in pieces)
            assert distance < 8, vehicle.pk


def _distance(latitude: float, longitude: float, start: tuple[float, float], end: tuple[float, float]) -> float:
    """Metres from a point to a piece of street."""
    scale = 111_320, 111_320 * math.cos(math.radians(start[0]))
    north, east = (end[0] - start[0]) * scale[0], (end[1] - start[1]) * scale[1]
    up, right = (latitude - start[0]) * scale[0], (longitude - start[1]) * scale[1]
    along = max(0.0, min(1.0, (up * north + right * east) / (north**2 + east**2)))
    return math.hypot(up - along * north, right - along * east)
