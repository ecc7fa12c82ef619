"""The demo's 250 vehicles: invented, the same ones each time, and standing at the kerbs of real streets."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from backoffice.demo import streets
from backoffice.demo.streets import Street
from fleet.models import Vehicle
from fleet.services import VehicleValues, demo_vehicles_remove, vehicle_create
from fleet.vocabulary import Kind, State

SEED = 250
METRES_A_DEGREE = 111_320
KERB = (3.0, 7.0)  # metres beside the middle of the street

# Letters that plates are made of: no vowels, nothing that is taken for something else.
SPANISH_LETTERS = "BCDFGHJKLMNPRSTVWXYZ"
CHILEAN_LETTERS = "BCDFGHJKLPRSTVWXYZ"
AUSTRALIAN_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
VIN_SIGNS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"


@dataclass(frozen=True)
class City:
    name: str
    country: str
    prefix: str
    vehicles: int
    streets: Mapping[str, Street]


CITIES = (
    City("Madrid", "Spain", "ES", 90, streets.MADRID),
    City("Barcelona", "Spain", "ES", 70, streets.BARCELONA),
    City("Santiago", "Chile", "CL", 50, streets.SANTIAGO),
    City("Sydney", "Australia", "AU", 40, streets.SYDNEY),
)

# What drives, how often, and how the maker's vehicle identification numbers begin.
MODELS: tuple[tuple[Kind, str, int, str], ...] = (
    (Kind.CAR, "Renault Zoe", 16, "VF1AG"),
    (Kind.CAR, "Fiat 500e", 14, "ZFAEF"),
    (Kind.CAR, "Peugeot e-208", 10, "VR3UH"),
    (Kind.CAR, "Kia Niro EV", 9, "KNACC"),
    (Kind.CAR, "BYD Dolphin", 8, "LC0CE"),
    (Kind.MOPED, "Silence S02", 14, "VTLS0"),
    (Kind.MOPED, "NIU NQi GTS", 11, "R1NAA"),
    (Kind.SCOOTER_SEATED, "Askoll eS3", 10, "ZJMES"),
    (Kind.SCOOTER_STANDING, "Segway Max G2", 4, ""),
)
STATES: tuple[tuple[State, int], ...] = (
    (State.AVAILABLE, 66),
    (State.ON_TRIP, 10),
    (State.RESERVED, 6),
    (State.NON_OPERATIONAL, 8),
    (State.NON_CONTACTABLE, 4),
    (State.ELSEWHERE, 2),
    (State.MISSING, 2),
    (State.REMOVED, 2),
)
NOTES = {
    State.NON_OPERATIONAL: ("Scratch on the left door, in the workshop.", "Flat tyre.", "Waiting for a new battery."),
    State.MISSING: ("Reported to the police.", "Not at its last position."),
    State.ELSEWHERE: ("On its way to another city.",),
    State.REMOVED: ("Sold.",),
}


@transaction.atomic
def load() -> int:
    """Make those that are missing, and return how many; a vehicle with a taken id is left alone."""
    there = set(Vehicle.objects.values_list("id", flat=True))
    made = 0
    for id, values in _vehicles(timezone.now()):
        if id not in there:
            vehicle_create(id=id, is_demo=True, **values)
            made += 1
    return made


def remove() -> int:
    """Take the demo's vehicles away, and return how many there were."""
    return demo_vehicles_remove()


def _vehicles(now: datetime) -> Iterator[tuple[str, VehicleValues]]:
    """The vehicles in the order of their ids. Random numbers are drawn alike whatever is there already."""
    chance = random.Random(SEED)  # noqa: S311 (the same vehicles each time)
    numbers: dict[str, int] = {}
    plates: set[str] = set()
    for city in CITIES:
        for _ in range(city.vehicles):
            number = numbers[city.prefix] = numbers.get(city.prefix, 0) + 1
            yield f"{city.prefix}-{number:04}", _vehicle(chance, city, plates, now)


def _vehicle(chance: random.Random, city: City, plates: set[str], now: datetime) -> VehicleValues:
    kind, model, _weight, maker = chance.choices(MODELS, weights=[entry[2] for entry in MODELS])[0]
    state = chance.choices([state for state, _ in STATES], weights=[weight for _, weight in STATES])[0]
    latitude, longitude = _position(chance, city)
    position_known = chance.random() > 0.015
    return {
        "plate": _plate(chance, city.country, kind, plates),
        "vin": maker + "".join(chance.choices(VIN_SIGNS, k=12)) if maker else "",
        "kind": kind.value,
        "model": model,
        "country": city.country,
        "city": city.name,
        "latitude": latitude if position_known else None,
        "longitude": longitude if position_known else None,
        "battery": _battery(chance),
        "state": state.value,
        "last_signal_at": now - _silence(chance, state),
        "note": chance.choice(NOTES.get(state, ("",))),
    }


def _battery(chance: random.Random) -> int | None:
    luck = chance.random()
    if luck < 0.015:
        return None
    if luck < 0.13:
        return chance.randint(2, 19)
    return min(100, round(chance.triangular(20, 103, 82)))


def _silence(chance: random.Random, state: State) -> timedelta:
    if state in (State.NON_CONTACTABLE, State.MISSING):
        return timedelta(hours=chance.uniform(5, 70))
    if state == State.REMOVED:
        return timedelta(days=chance.uniform(20, 200))
    return timedelta(seconds=chance.expovariate(1 / 150))


def _plate(chance: random.Random, country: str, kind: Kind, taken: set[str]) -> str:
    """A plate in the country's present pattern that no other vehicle here has; kick scooters have none."""
    if kind == Kind.SCOOTER_STANDING:
        return ""
    while True:
        digits = "".join(chance.choices("0123456789", k=4))
        if country == "Spain":
            # The series of the years since 2019.
            plate = f"{digits} {chance.choice('LMN')}{''.join(chance.choices(SPANISH_LETTERS, k=2))}"
        elif country == "Chile":
            # Four letters on cars, three on what has two wheels.
            letters = "".join(chance.choices(CHILEAN_LETTERS, k=3 if kind == Kind.CAR else 2))
            plate = f"{chance.choice('PRST')}{letters}·{digits[:2]}"
        elif kind == Kind.CAR:
            letters = "".join(chance.choices(AUSTRALIAN_LETTERS, k=3))
            plate = f"{chance.choice('EF')}{letters[:2]} {digits[:2]}{letters[2]}"
        else:
            plate = f"{''.join(chance.choices(AUSTRALIAN_LETTERS, k=3))} {digits[:2]}"
        if plate not in taken:
            taken.add(plate)
            return plate


def _position(chance: random.Random, city: City) -> tuple[float, float]:
    """A place at the kerb of one of the city's streets, longer ones more often."""
    pieces = [(start, end) for street in city.streets.values() for start, end in itertools.pairwise(street)]
    lengths = [math.hypot(*_metres(start, end)) for start, end in pieces]
    place = chance.choices(range(len(pieces)), weights=lengths)[0]
    (start, end), length = pieces[place], lengths[place]
    north, east = _metres(start, end)
    along, aside = chance.random(), chance.uniform(*KERB) * chance.choice((-1, 1))
    # At right angles to the street: its direction, turned.
    north, east = north * along - east / length * aside, east * along + north / length * aside
    latitude = start[0] + north / METRES_A_DEGREE
    longitude = start[1] + east / (METRES_A_DEGREE * math.cos(math.radians(start[0])))
    return round(latitude, 6), round(longitude, 6)


def _metres(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    """How far north and east one point lies of another."""
    north = (end[0] - start[0]) * METRES_A_DEGREE
    return north, (end[1] - start[1]) * METRES_A_DEGREE * math.cos(math.radians(start[0]))
