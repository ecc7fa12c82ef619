"""A trip's document and its problems, against reading and writing the same JSON; and what they cost in queries.

``python -m tests.bench.documents`` measures in a process of its own, on the database of ``DATABASE_URL``, and prints the
findings as JSON.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from tests.bench.report import Row, Table
from tests.bench.running import Rig, kinds, run_program

CARDS = (25, 50, 100)
PROMISED = 50
OPTIONS = 3
TIMES = 4
MORE = 10.0
QUERIES = 10
# Twenty cards with five options each: 5^20 choices.
CHOICES = (20, 5)
CHOICES_BOUND = 50.0
SEARCH_BOUND = 5.0
SEARCHES = ("bcn", "mad", "lon", "new york", "saint", "a", "international", "são paulo", "nowhere at all", "zzzz")

_DATE = "%d.%m.%Y"


# --- Trips -------------------------------------------------------------------------------------------------------


def trip(cards: int, options: int) -> dict[str, Any]:
    """A round trip of so many cards, all kinds in turn, day after day, with few oddities in it."""
    start = date(2026, 3, 1)
    segments = [_card(at, start + timedelta(days=at // 4), options) for at in range(cards)]
    return {
        "title": "A trip of many cards",
        "dateInterval": {"from": start.strftime(_DATE), "to": (start + timedelta(days=cards // 4)).strftime(_DATE)},
        "price": {"type": "dynamic", "currency": "EUR", "fixedPriceAmount": 0},
        "segments": segments,
    }


def tangled(cards: int, options: int, seed: int) -> dict[str, Any]:
    """The same with every date drawn at random, so that nearly everything clashes with some options of the others."""
    chance = random.Random(seed)
    made = trip(cards, options)
    made["dateInterval"] = {"from": "01.03.2026", "to": "30.03.2026"}

    def dates() -> list[str]:
        return [f"{day:02}.03.2026" for day in sorted(chance.sample(range(1, 31), 2))]

    for option in (option for card in made["segments"] for option in card["options"]):
        if "dateInterval" in option:
            option["dateInterval"] = dict(zip(("from", "to"), dates(), strict=True))
        for part in option.get("flightSegments", [option] if "pointA" in option else []):
            for name, day in zip(("pointA", "pointB"), dates(), strict=True):
                part[name]["date"] = day
    return made


def _card(at: int, day: date, options: int) -> dict[str, Any]:
    kind = ("flight", "carRide", "accommodation", "experience")[at % 4]
    even = at // 4 % 2 == 0
    airports = [("MAD", "Madrid"), ("BCN", "Barcelona")] if even else [("BCN", "Barcelona"), ("MAD", "Madrid")]
    make = {"flight": _flight, "carRide": _ride, "accommodation": _stay, "experience": _walk}[kind]
    variants = [
        {"title": f"Variant {number + 1}", "price": {"discounted": False, "currentAmount": 70.5 + number}}
        | make(day, airports, number)
        for number in range(options)
    ]
    return {"type": kind, "milestone": f"Day {at // 4 + 1} in {airports[1][1]}", "options": variants}


def _flight(day: date, airports: list[tuple[str, str]], number: int) -> dict[str, Any]:
    def point(code: str, name: str, clock: str) -> dict[str, Any]:
        return {"name": name, "code": code, "date": day.strftime(_DATE), "time": clock}

    (start, start_name), (end, end_name) = airports
    legs = [
        {
            "code": f"IB {100 + number}", "serviceInfo": "Economy", "duration": 4500, "stops": 0,
            "pointA": point(start, start_name, "08:15 AM"), "pointB": point("VLC", "Valencia", "09:30 AM"),
        },
        {
            "code": f"IB {200 + number}", "serviceInfo": "Economy", "duration": 3600, "stops": 0, "layoverTime": 3600,
            "pointA": point("VLC", "Valencia", "10:30 AM"), "pointB": point(end, end_name, "11:30 AM"),
        },
    ]  # fmt: skip
    return {"duration": 11700, "stops": 0, "layovers": 1, "flightSegments": legs}


def _ride(day: date, airports: list[tuple[str, str]], number: int) -> dict[str, Any]:
    def point(name: str, clock: str) -> dict[str, Any]:
        return {"name": name, "date": day.strftime(_DATE), "time": clock}

    return {
        "serviceInfo": "UberX", "duration": 1800,
        "pointA": point(f"{airports[1][1]} airport", f"12:{number:02} PM"), "pointB": point("Hotel", f"12:{number + 30} PM"),
    }  # fmt: skip


def _stay(day: date, airports: list[tuple[str, str]], number: int) -> dict[str, Any]:
    return {
        "dateInterval": {"from": day.strftime(_DATE), "to": (day + timedelta(days=1)).strftime(_DATE)},
        "image": f"https://images.example.com/{number}.jpg", "address": f"Gran Via {number}, {airports[1][1]}",
        "description": "A house in the middle of the town, with a garden, breakfast and a view. " * 3,
        "latitude": 41.3720250384618, "longitude": 2.13703218836054, "tripadvisorId": "",
    }  # fmt: skip


def _walk(day: date, airports: list[tuple[str, str]], number: int) -> dict[str, Any]:
    return {
        "image": f"https://images.example.com/park-{number}.jpg",
        "description": "A magical place to be, on a hill above the town. " * 4,
    }


# --- Measuring, in a process of its own ---------------------------------------------------------------------------


def _taken(work: Callable[[], Any], times: int) -> list[float]:
    """Milliseconds of processor time of each of so many runs, after two that warm up: nothing here waits for anything."""
    found = []
    for run in range(times + 2):
        began = time.process_time()
        work()
        if run >= 2:
            found.append((time.process_time() - began) * 1000)
    return found


def _reckoning(made: dict[str, Any], times: int) -> dict[str, Any]:
    """The floor, and all that the page and the API need of a stored trip, taking turns."""
    from itineraries import document, problems

    text = json.dumps(made)
    stored = document.store(document.parse(json.loads(text)))

    def reckon() -> int:
        tree = document.load(stored)
        document.export(tree)
        return len(problems.find(tree))

    floor, reckoned = [], []
    for _turn in range(times):
        floor += _taken(lambda: json.dumps(json.loads(text)), 3)
        reckoned += _taken(reckon, 3)
    return {"bytes": len(text), "problems": reckon(), "floor": floor, "reckoned": reckoned}


def _queries(cards: int) -> dict[str, int]:
    """How many queries the builder's page and the API's answer take for a trip of so many cards."""
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from itineraries import services

    user, _made = get_user_model().objects.get_or_create(
        username="bench", defaults={"is_superuser": True, "is_staff": True, "email": "bench@example.com"}
    )
    itinerary = services.itinerary_create(user=user, document=trip(cards, OPTIONS))
    page = Client()
    page.force_login(user)
    found = {}
    for name, path in {
        "page": f"/itineraries/{itinerary.pk}/", "API": f"/api/v1/itineraries/{itinerary.pk}/",
    }.items():  # fmt: skip
        for _warm in range(2):
            with CaptureQueriesContext(connection) as captured:
                answer = page.get(path)
            assert answer.status_code == 200, (path, answer.status_code)
        found[name] = len(captured)
    return found


def _searches(times: int) -> dict[str, list[float]]:
    """Finding airports, beside a scan of the same names by the plainest loop there is."""
    import airportsdata

    from itineraries import airports

    plain = [f"{code} {one['city']} {one['name']}".lower() for code, one in airportsdata.load("IATA").items()]
    floor = _taken(lambda: [text for text in plain if "new york" in text], times)
    return {"floor": floor} | {text: _taken(lambda text=text: airports.search(text, 12), times) for text in SEARCHES}


def main(times: int, seed: int) -> None:
    import django

    django.setup()
    found = {
        "reckoning": {str(cards): _reckoning(trip(cards, OPTIONS), times) for cards in CARDS},
        "choices": _reckoning(tangled(*CHOICES, seed), times),
        "queries": {str(cards): _queries(cards) for cards in (5, 50)},
        "searches": _searches(times * 3),
    }
    sys.stdout.write(json.dumps(found) + "\n")


# --- The table ---------------------------------------------------------------------------------------------------


def measure(kind: str, seed: int, times: int = 10) -> dict[str, Any]:
    with Rig() as rig:
        url = rig.databases.blank(kind).url
        printed = run_program(
            "-m",
            "tests.bench.documents",
            str(times),
            str(seed),
            DATABASE_URL=url,
            VAR_DIR=str(rig.folder),
            ALLOWED_HOSTS="testserver",
        )
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return found


def run(seed: int) -> Table:
    rows = []
    for kind in kinds():
        found = measure(kind, seed)
        medians = {}
        for cards, one in found["reckoning"].items():
            floor, taken = statistics.median(one["floor"]), statistics.median(one["reckoned"])
            medians[int(cards)] = taken
            bound = TIMES * floor + MORE
            promised = int(cards) == PROMISED
            rows.append(
                Row(
                    f"document and problems of {cards} cards × {OPTIONS} options ({one['bytes'] / 1000:.0f} kB)", kind,
                    f"{taken:.2f} ms (floor: loads + dumps {floor:.2f} ms)",
                    f"≤ {TIMES} × floor + {MORE:g} = {bound:.2f} ms" if promised else "",
                    taken <= bound if promised else None,
                )
            )  # fmt: skip
        ratio = (medians[CARDS[-1]] / CARDS[-1]) / (medians[CARDS[0]] / CARDS[0])
        figure = f"a card's share with {CARDS[-1]} cards, to that with {CARDS[0]}"
        rows.append(Row(figure, kind, f"{ratio:.2f}", "≤ 1.3", ratio <= 1.3))
        one = found["choices"]
        taken = statistics.median(one["reckoned"])
        figure = (
            f"document and problems of {CHOICES[0]} cards × {CHOICES[1]} options, 5^20 choices, "
            f"dates at random: {one['problems']} problems"
        )
        rows.append(Row(figure, kind, f"{taken:.2f} ms", f"≤ {CHOICES_BOUND:g} ms", taken <= CHOICES_BOUND))
        for name in ("page", "API"):
            few, many = (found["queries"][cards][name] for cards in ("5", "50"))
            good = few == many <= QUERIES
            rows.append(
                Row(f"queries of the {name}, 5 and 50 cards", kind, f"{few} and {many}", f"equal, ≤ {QUERIES}", good)
            )
        searches = {text: statistics.median(taken) for text, taken in found["searches"].items() if text != "floor"}
        slowest = max(searches, key=lambda text: searches[text])
        plain = statistics.median(found["searches"]["floor"])
        rows.append(
            Row(f"airports for what is typed, the slowest of {len(searches)} (“{slowest}”)", kind,
                f"{searches[slowest]:.2f} ms (floor: one scan of all names {plain:.2f} ms)", f"≤ {SEARCH_BOUND:g} ms",
                searches[slowest] <= SEARCH_BOUND)
        )  # fmt: skip
    note = "Times are of the processor: the work waits for nothing, and other work on the machine does not count."
    return Table("A trip's document and its problems", rows, note)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
