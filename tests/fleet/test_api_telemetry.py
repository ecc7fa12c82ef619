"""What devices report, over REST."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from fleet.api.telemetry import SignalSerializer, read_signal
from fleet.models import Vehicle
from fleet.telemetry import Signal
from tests.fleet.factories import make
from tests.outages import no_writing
from users.models import Scope
from users.services import token_create, user_create

URL = "/api/v1/vehicles/telemetry/"


def program(name: str = "gateway", scope: str = Scope.TELEMETRY) -> APIClient:
    """A client with a token of its own."""
    user = user_create(username=name, email=f"{name}@example.org", is_staff=True, is_superuser=True)
    _row, token = token_create(user=user, name=name, scope=scope, expires_at=None)
    return APIClient(raise_request_exception=True, headers={"Authorization": f"Token {token}"})


@pytest.fixture
def client(db: None) -> APIClient:
    cache.clear()
    return program()


def counts(told: dict[str, Any]) -> tuple[int, int, int]:
    return told["updated"], told["unchanged"], told["stale"]


def test_telemetry(client: APIClient) -> None:
    """Good signals are applied though others fail, and each failure says which and why."""
    make("1")
    make("2")
    answer = client.post(
        URL,
        [
            {"id": "1", "battery": 44, "location": {"latitude": 40.5, "longitude": -3.6}},
            {"id": "2", "battery": 80},
            {"id": "3", "battery": 80},
            {"id": "1", "battery": 400},
            "what",
            {"id": "2", "location": {"latitude": 0, "longitude": 0}},
            {"id": "2", "at": (timezone.now() + timedelta(minutes=6)).isoformat()},
            {"id": "2", "state": "reserved"},
        ],
    )
    assert answer.status_code == 200
    told = answer.json()
    assert {name: told[name] for name in ("updated", "unchanged", "stale")} == {
        "updated": 2,
        "unchanged": 1,
        "stale": 0,
    }
    assert [(error["index"], error["id"], *error["errors"]) for error in told["errors"]] == [
        (2, "3", "id"),
        (3, "1", "battery"),
        (4, "", "non_field_errors"),
        (5, "2", "location"),
        (6, "2", "at"),
    ]
    assert list(Vehicle.objects.values_list("battery", "latitude", "state")) == [
        (44, 40.5, "available"),
        (80, 40.4168, "reserved"),
    ]


def test_stale_signals(client: APIClient) -> None:
    """A signal older than the last one known changes nothing."""
    make("1", battery=10)
    now = timezone.now()
    assert counts(client.post(URL, [{"id": "1", "battery": 50, "at": now.isoformat()}]).json()) == (1, 0, 0)
    late = [{"id": "1", "battery": 49, "at": (now - timedelta(seconds=5)).isoformat()}]
    assert counts(client.post(URL, late).json()) == (0, 0, 1)
    assert Vehicle.objects.get().battery == 50


def test_signals_of_one_vehicle_are_applied_in_the_order_of_their_times(client: APIClient) -> None:
    """However they lie in the batch, none is lost, and the latest one has the last word."""
    make("1", battery=10)
    now = timezone.now()
    early, late = (now - timedelta(seconds=9)).isoformat(), (now - timedelta(seconds=5)).isoformat()
    body = [
        {"id": "1", "battery": 50, "at": late},
        {"id": "1", "battery": 60, "state": "on_trip", "at": early},
    ]
    assert counts(client.post(URL, body).json()) == (2, 0, 0)
    vehicle = Vehicle.objects.get()
    assert (vehicle.battery, vehicle.state, vehicle.version) == (50, "on_trip", 2)
    assert vehicle.last_signal_at is not None
    assert vehicle.last_signal_at.isoformat() == late


def test_a_batch_that_is_sent_again_changes_nothing(client: APIClient) -> None:
    """Whoever got no answer sends the same again: the vehicles, and what CityTrips hears, stay as they are."""
    now = timezone.now()
    for number in range(3):
        make(str(number), battery=10)
    body = [
        {"id": str(number), "battery": 50 + number, "at": (now + timedelta(milliseconds=number)).isoformat()}
        for number in range(3)
    ] + [{"id": "nobody", "battery": 1}]
    first = client.post(URL, body).json()
    before = list(Vehicle.objects.values())
    again = client.post(URL, body).json()
    assert (counts(first), counts(again)) == ((3, 0, 0), (0, 3, 0))
    assert first["errors"] == again["errors"]
    assert list(Vehicle.objects.values()) == before


def test_there_and_back(client: APIClient) -> None:
    """What a batch changes and changes back tells CityTrips nothing."""
    make("1", battery=50)
    before = Vehicle.objects.get()
    assert counts(client.post(URL, [{"id": "1", "battery": 49}, {"id": "1", "battery": 50}]).json()) == (2, 0, 0)
    after = Vehicle.objects.get()
    assert (after.version, after.updated_at) == (before.version, before.updated_at)


def test_signals_that_tell_nothing_new_stay_quiet(client: APIClient) -> None:
    """A heartbeat moves the last signal, and tells CityTrips nothing."""
    make("1", battery=50)
    client.post(URL, [{"id": "1", "battery": 50}])
    vehicle = Vehicle.objects.get()
    assert vehicle.version == 1
    assert vehicle.last_signal_at is not None


@pytest.mark.parametrize("number", [2, 60])
def test_statements_of_a_batch(client: APIClient, number: int) -> None:
    """A batch takes two statements beside those for the token and the rules, however long it is."""
    for index in range(number):
        make(f"V{index}")
    with CaptureQueriesContext(connection) as queries:
        told = client.post(URL, [{"id": f"V{index}", "battery": 5} for index in range(number)]).json()
    assert told["updated"] == number
    assert len([query for query in queries if "SAVEPOINT" not in query["sql"]]) == 5


def test_too_many_signals(client: APIClient) -> None:
    """More than 5,000 at once are refused as a whole."""
    assert client.post(URL, [{}] * 5001).status_code == 400


def test_signals_that_cannot_be_read(client: APIClient) -> None:
    """Half a character in a batch refuses it as a whole, and says where it is."""
    make("ES-1")
    body = r'[{"id": "ES-1", "battery": 77}, {"id": "\ud800"}]'
    answer = client.post(URL, data=body, content_type="application/json")
    assert answer.status_code == 400
    assert "Item 1" in answer.json()["errors"]["non_field_errors"][0]
    assert Vehicle.objects.get().battery == 80


# --- What an item may be -----------------------------------------------------------------------------------------

ITEMS: list[Any] = [
    {"id": "1"},
    {"id": "1", "battery": None, "location": None},
    {"id": "1", "battery": 55.0},
    {"id": "1", "battery": 0, "location": {"latitude": 41, "longitude": -3.5}},
    {"id": "1", "at": "2026-11-21t16:30:00.123456z"},
    {"id": "1", "at": "2026-11-21 16:30:00+01:00"},
    None,
    [],
    "1",
    {},
    {"id": ""},
    {"id": 1},
    {"id": "a b"},
    {"id": "1\n"},
    {"id": "1", "battery": 55.5},
    {"id": "1", "battery": "55"},
    {"id": "1", "battery": True},
    {"id": "1", "battery": -1},
    {"id": "1", "battery": 10**400},
    {"id": "1", "batery": 5},
    {"id": "1", "state": "asleep"},
    {"id": "1", "state": ["available"]},
    {"id": "1", "state": None},
    {"id": "1", "location": [40, -3]},
    {"id": "1", "location": {}},
    {"id": "1", "location": {"latitude": 40}},
    {"id": "1", "location": {"latitude": "40", "longitude": True}},
    {"id": "1", "location": {"latitude": 10**400, "longitude": -180.001}},
    {"id": "1", "location": {"latitude": 40, "longitude": -3, "altitude": 600}},
    {"id": "1", "at": 1795278600},
    {"id": "1", "at": "2026-11-21T16:30:00"},
    {"id": "1", "at": "2026-11-21"},
    {"id": "1", "at": "2026-W47-6T16:30:00Z"},
    {"id": "1", "at": "2026-02-30T16:30:00Z"},
    {"id": "1", "at": "2026-11-21T16:30:00+24:00"},
    {"id": "1", "at": "0001-01-01T00:00:00+14:00"},
    {"id": "1", "at": None},
]


@pytest.mark.parametrize("item", ITEMS, ids=repr)
def test_an_item_is_read_as_the_schema_describes_it(item: Any) -> None:
    """The quick reader takes and blames exactly what the description of the API does."""
    described = SignalSerializer(data=item)
    known = isinstance(item, dict) and set(item) <= set(described.fields)
    place = item.get("location") if isinstance(item, dict) else None
    known &= not isinstance(place, dict) or set(place) <= {"latitude", "longitude"}
    read = read_signal(0, item)
    assert isinstance(read, Signal) is (described.is_valid() and known)
    if not isinstance(read, Signal) and known:
        assert {path.partition(".")[0] for path in read.errors} == set(described.errors)


@pytest.mark.parametrize(
    "body", [b"[NaN]", b"[Infinity]", b'[{"id": "1", "battery": 1e999}', b"[" * 100_000, b"\xff", b"[1,]", b"", b"{}"]
)
def test_bodies_that_are_no_batch(client: APIClient, body: bytes) -> None:
    """400 with the reason, and nothing is stored."""
    answer = client.generic("POST", URL, body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_a_compressed_body_is_refused_and_not_misread(client: APIClient) -> None:
    """415 says in Accept-Encoding what would be taken."""
    body = gzip.compress(json.dumps([{"id": "1"}]).encode())
    answer = client.generic("POST", URL, body, content_type="application/json", headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer["Accept-Encoding"]) == (415, "identity")
    assert "compressed" in answer.json()["detail"]


# --- Who may send, and how much ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "code"), [("telemetry", 200), ("fleet", 200), ("all", 200), ("itineraries", 403)])
def test_scopes(db: None, scope: str, code: int) -> None:
    """Devices' tokens report, and nothing else; those for the fleet may report too."""
    make("1")
    client = program(scope=scope)
    assert client.post(URL, [{"id": "1", "battery": 5}]).status_code == code
    assert Vehicle.objects.get().battery == (5 if code == 200 else 80)
    reads = {"fleet": 200, "all": 200}.get(scope, 403)
    assert client.get("/api/v1/vehicles/").status_code == reads


def test_a_token_that_asks_too_often(client: APIClient, settings: Any) -> None:
    """429 says when to come again; another token is not kept waiting, nor the same one at another address."""
    settings.REST_FRAMEWORK = {**configured.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": {"telemetry": 3}}
    other = program("another", Scope.ALL)
    answers = [client.post(URL, []) for _ in range(5)]
    # The minute may have turned in between.
    assert answers[2].status_code == 200
    refused = answers[4] if answers[3].status_code == 429 else [client.post(URL, []) for _ in range(3)][-1]
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert refused.json()["detail"]
    assert other.post(URL, []).status_code == 200
    assert other.get("/api/v1/vehicles/").status_code == 200


def test_a_cache_that_is_away_refuses_nobody(client: APIClient, settings: Any) -> None:
    """A limit that cannot be counted does not hold."""
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"}
    }
    assert client.post(URL, []).status_code == 200


# --- A database that goes away -----------------------------------------------------------------------------------


@pytest.mark.logs_errors
@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away() -> None:
    """503 with Retry-After, and nothing is stored; the same batch is taken once the database is back."""
    cache.clear()
    client = program()
    make("1", battery=80)
    body = [{"id": "1", "battery": 5}]
    with no_writing():
        answer = client.post(URL, body)
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert answer.json()["detail"]
    assert Vehicle.objects.get().battery == 80
    assert counts(client.post(URL, body).json()) == (1, 0, 0)
    assert Vehicle.objects.get().battery == 5
