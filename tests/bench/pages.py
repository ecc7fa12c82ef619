"""The list of vehicles and the map, at 100,000 vehicles and at 100: as many queries, and the first byte as soon.

One server of each size runs at the same time, and they are asked in turn. The floor is the same server's answer to
``/healthz``, which touches no database.
"""

from __future__ import annotations

import http.client
import json
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tests.bench.report import Row, Table, percentile
from tests.bench.running import SQLITE, Database, Line, Rig, kinds, run_program

SMALL: Final = 100
LARGE: Final = 100_000
BOUND: Final = 2.0
ROUNDS: Final = 40
FLOOR: Final = "/healthz"
_DATA: Final = "/fleet/map/data/?"
_WORLD: Final = _DATA + "west=-180&south=-85&east=180&north=85&zoom=3"
_CITY: Final = _DATA + "west=-3.9&south=40.2&east=-3.4&north=40.6&zoom=11"
# About as many vehicles as the small fleet has in the city, so that the answers are of one size.
_STREETS: Final = {SMALL: _DATA + "west=-3.76&south=40.34&east=-3.65&north=40.46&zoom=13"} | {
    LARGE: _DATA + "west=-3.722&south=40.3800&east=-3.7145&north=40.3807&zoom=18"
}
PAGES: Final = {
    "list of vehicles": "/admin/fleet/vehicle/",
    "list, filtered by state and battery": "/admin/fleet/vehicle/?state=available&charge=enough",
    "list, searched by the beginning of a plate": "/admin/fleet/vehicle/?q=00000",
    "map: the page": "/fleet/map/",
    "map: the whole fleet": _WORLD,
    "map: a city": _CITY,
    "map: some streets": "",
}

# Spread over five cities on three continents, in all states, some sent and some not: the fleet that fill makes is all alike.
_SPREAD: Final = """UPDATE fleet_vehicle SET
  city = CASE {n} % 5 WHEN 0 THEN 'Madrid' WHEN 1 THEN 'Barcelona' WHEN 2 THEN 'Sevilla' WHEN 3 THEN 'Santiago' ELSE 'Sydney' END,
  country = CASE {n} % 5 WHEN 3 THEN 'Chile' WHEN 4 THEN 'Australia' ELSE 'Spain' END,
  latitude = CASE {n} % 5 WHEN 0 THEN 40.35 WHEN 1 THEN 41.35 WHEN 2 THEN 37.35 WHEN 3 THEN -33.5 ELSE -33.9 END
    + ({n} * 7919 % 10007) * 0.00001,
  longitude = CASE {n} % 5 WHEN 0 THEN -3.75 WHEN 1 THEN 2.1 WHEN 2 THEN -6.0 WHEN 3 THEN -70.7 ELSE 151.15 END
    + ({n} * 104729 % 9973) * 0.00001,
  battery = {n} % 101,
  state = CASE {n} % 10 WHEN 6 THEN 'on_trip' WHEN 7 THEN 'reserved' WHEN 8 THEN 'non_operational' ELSE 'available' END"""

_LOGIN: Final = """
import django; django.setup()
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
user, _new = get_user_model().objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
session = import_module(settings.SESSION_ENGINE).SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.create()
print(session.session_key)
"""

_COUNT: Final = """
import django; django.setup()
import json, sys
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
client = Client(HTTP_HOST="127.0.0.1")
client.cookies["sessionid"] = sys.argv[1]
counts = {}
for name, url in json.loads(sys.argv[2]).items():
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(url)
        assert answer.status_code == 200, (url, answer.status_code)
        answer.content
    counts[name] = len(queries)
print(json.dumps(counts))
"""


def pages(fleet: int) -> dict[str, str]:
    """What is asked of a fleet of this size; every address but that of the streets is the same."""
    return {name: url or _STREETS[min(_STREETS, key=lambda one: abs(one - fleet))] for name, url in PAGES.items()}


def spread(database: Database) -> None:
    number = "CAST(substr(id, 4) AS BIGINT)"
    with database.connected() as cursor:
        cursor.execute(_SPREAD.format(n=number))
        cursor.execute("UPDATE fleet_vehicle SET settled_version = version WHERE battery % 7 <> 0")
        cursor.execute("ANALYZE" if database.kind == SQLITE else "VACUUM ANALYZE fleet_vehicle")


@dataclass
class Site:
    """A running server with a fleet of its own, and somebody who is logged in."""

    line: Line
    session: str
    address: str

    @classmethod
    def start(cls, rig: Rig, kind: str, fleet: int) -> Site:
        line = rig.line(kind, fleet, settled=True)
        spread(line.database)
        session = run_program("-c", _LOGIN, **line.environment).split()[-1]
        # Without credentials the worker of the same process rests.
        process = line.start(
            "manage.py", "serve", "--port", "0", CITYTRIPS_CLIENT_ID="", CITYTRIPS_API_KEY="", PYTHONUNBUFFERED="1"
        )  # fmt: skip
        while not (found := re.search(r"Listening on (http://\S+?)/?$", process.line())):
            pass
        return cls(line, session, urlsplit(found[1]).netloc)

    def count(self, urls: dict[str, str]) -> dict[str, int]:
        """The queries of each page."""
        told = run_program("-c", _COUNT, self.session, json.dumps(urls), **self.line.environment)
        return dict(json.loads(told.splitlines()[-1]))

    def first_byte(self, url: str) -> float:
        """Seconds until the answer begins.

        :raises RuntimeError: it is no 200.
        """
        with closing(http.client.HTTPConnection(self.address, timeout=60)) as connection:
            connection.connect()
            started = time.perf_counter()
            connection.request("GET", url, headers={"Cookie": f"sessionid={self.session}", "Accept-Encoding": "gzip"})
            answer = connection.getresponse()
            answer.read(1)
            taken = time.perf_counter() - started
            answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{url}: {answer.status}")
        return taken


@dataclass(frozen=True)
class Page:
    """One page at both sizes: seconds to the first byte, the first time ever and later on, and the number of queries."""

    name: str
    small: Sequence[float]
    large: Sequence[float]
    first: float
    queries: tuple[int, int]

    @property
    def ratio(self) -> float:
        return statistics.median(self.large) / statistics.median(self.small)


def measure(rig: Rig, kind: str, small: int, large: int, rounds: int) -> Iterator[Page]:
    sizes = (small, large)
    sites = {fleet: Site.start(rig, kind, fleet) for fleet in sizes}
    queries = {fleet: sites[fleet].count(pages(fleet)) for fleet in sizes}
    for fleet in sizes:
        sites[fleet].first_byte("/")  # what a process loads once is none of the pages' own
    for name in PAGES:
        taken: dict[int, list[float]] = {fleet: [] for fleet in sizes}
        first = {fleet: sites[fleet].first_byte(pages(fleet)[name]) for fleet in sizes}
        for _ in range(rounds):
            for fleet in sizes:
                taken[fleet].append(sites[fleet].first_byte(pages(fleet)[name]))
        yield Page(name, taken[small], taken[large], first[large], (queries[small][name], queries[large][name]))
    floor = [sites[large].first_byte(FLOOR) for _ in range(rounds)]
    yield Page("floor: " + FLOOR, floor, floor, floor[0], (0, 0))


def run(_seed: int) -> Table:
    rows = []
    with Rig() as rig:
        for kind in kinds():
            for page in measure(rig, kind, SMALL, LARGE, ROUNDS):
                low, high = statistics.median(page.small) * 1000, statistics.median(page.large) * 1000
                if page.name.startswith("floor"):
                    rows.append(Row(page.name, kind, f"{high:.1f} ms"))
                    continue
                words = (
                    f"{high:.0f} ms (p95 {percentile(page.large, 0.95) * 1000:.0f}, the first time {page.first * 1000:.0f}); "
                    f"at {SMALL}: {low:.0f} ms; {page.ratio:.2f} ×"
                )
                rows.append(Row(f"{page.name}: first byte", kind, words, f"≤ {BOUND:g} ×", page.ratio <= BOUND))
                few, many = page.queries
                rows.append(Row(f"{page.name}: queries", kind, f"{many}; at {SMALL}: {few}", "no more", many <= few))
            rig.close_lines()
    return Table(
        f"Pages at {LARGE:,} vehicles beside those at {SMALL}",
        rows,
        note=f"Medians of {ROUNDS}, over HTTP on the same machine. The map's whole fleet is counted at most a tenth of the "
        "time; between two counts the last one is shown, and the page says of when it is.",
    )
