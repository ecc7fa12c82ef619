"""What Prometheus is told."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from backoffice.citytrips.journal import Direction, Outcome
from backoffice.citytrips.lease import NAME
from backoffice.citytrips.models import JournalEntry, Lease
from tests.fleet.factories import make
from tests.outages import no_database
from users.models import Scope
from users.services import token_create, user_create

Sample = tuple[str, tuple[tuple[str, str], ...]]


def read(answer: Any) -> dict[Sample, float]:
    assert answer.status_code == 200, answer.content
    families = list(plain(answer.content.decode()))
    assert len({family.name for family in families}) == len(families)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(samples: dict[Sample, float], name: str, **labels: str) -> float | None:
    return samples.get((f"backoffice_{name}", tuple(sorted(labels.items()))))


@pytest.mark.django_db
def test_what_the_database_knows(client: Client) -> None:
    """The fleet, the line, the traffic and the publications, each by a bounded number of labels."""
    make("1")
    make("2", battery=5)
    make("3", plate="", state="on_trip")
    make("4", state="removed")
    now = timezone.now()
    Lease.objects.create(name=NAME, holder="here", token="0" * 32, renewed_at=now)
    for _ in range(2):
        JournalEntry.objects.create(direction=Direction.IN, command="s_user/new", outcome=Outcome.FAILED)
    told = read(client.get("/metrics"))
    assert value(told, "database_up") == 1
    assert value(told, "vehicles", state="available") == 2
    assert value(told, "vehicles", state="on_trip") == 1
    assert value(told, "vehicles_offered") == 1
    assert value(told, "vehicles_withheld") == 1
    assert value(told, "vehicles_withheld_for", reason="battery_low") == 1
    assert value(told, "citytrips_pending") == 1
    assert (value(told, "citytrips_oldest_pending_seconds") or 0) > 0
    assert value(told, "citytrips_worker_alive") == 1
    assert value(told, "citytrips_lease_timestamp_seconds") == pytest.approx(now.timestamp(), abs=0.01)
    assert value(told, "citytrips_state", state="unconfigured") == 1
    assert value(told, "citytrips_state", state="live") == 0
    assert value(told, "citytrips_last_full_timestamp_seconds") is None
    assert value(told, "citytrips_messages_last_hour", outcome="failed") == 2
    assert value(told, "citytrips_replies", state="due") == 0
    assert value(told, "publications", state="unknown") == 0
    assert any(name == "process_resident_memory_bytes" for name, _labels in told)


@pytest.mark.django_db
def test_both_formats_can_be_read(client: Client) -> None:
    """Prometheus asks for OpenMetrics and takes the older text; each is valid."""
    assert client.get("/metrics").headers["Content-Type"].startswith("text/plain")
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert list(openmetrics(answer.content.decode()))


@pytest.mark.django_db
def test_query_count(client: Client) -> None:
    """A scrape costs as many queries for many vehicles as for a few."""
    counted = []
    for number in (2, 40):
        for index in range(number):
            make(f"{number}-{index}", state="reserved" if index % 2 else "available")
        with CaptureQueriesContext(connection) as queries:
            client.get("/metrics")
        counted.append(len(queries))
    assert counted[0] == counted[1] <= 16


@pytest.mark.django_db
def test_requests_are_counted_by_view(client: Client) -> None:
    """By the name of the view and the class of the answer: ids, unknown addresses and strange methods make no series."""
    cache.clear()
    for path in (
        "/api/v1/vehicles/A/",
        "/api/v1/vehicles/B/",
        "/api/v1/nothing/",
        "/nothing/at/all",
        "/static/nothing.css",
    ):
        client.get(path)
    client.generic("BREW", "/api/v1/vehicles/")
    client.get("/admin/login/")
    told = read(client.get("/metrics"))
    seen = {
        (labels["view"], labels["method"], labels["status"]): number
        for (name, pairs), number in told.items()
        if name == "backoffice_request_seconds_count" and (labels := dict(pairs))["process"]
    }
    assert seen["api:vehicle-detail", "GET", "4xx"] >= 2
    assert ("api:vehicle-list", "other", "4xx") in seen
    assert ("none", "GET", "4xx") in seen
    assert not [view for view, _method, _status in seen if "nothing" in view or "/" in view]


# --- Who may read them -------------------------------------------------------------------------------------------


def token_of(scope: str) -> dict[str, str]:
    user = user_create(username=scope, email=f"{scope}@example.org", is_staff=True, is_superuser=True)
    _row, token = token_create(user=user, name="prometheus", scope=scope, expires_at=None)
    return {"Authorization": f"Token {token}"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "headers", "code"),
    [
        ("127.0.0.1", {}, 200),
        ("127.8.8.8", {}, 200),
        ("::1", {}, 200),
        ("10.0.0.5", {}, 401),
        ("", {}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "10.0.0.5"}, 401),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}, 401),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 401),
        ("127.0.0.1", {"X-Forwarded-For": ""}, 401),
        ("10.0.0.5", {"Authorization": "Token opb_nothing"}, 401),
    ],
)
def test_strangers_are_refused(client: Client, address: str, headers: dict[str, str], code: int) -> None:
    """Without a token only programs on the machine itself read, and no one through a proxy on it."""
    answer = client.get("/metrics", REMOTE_ADDR=address, headers=headers)
    assert answer.status_code == code
    if code == 401:
        assert answer.headers["WWW-Authenticate"] == "Token"
        assert b"backoffice_" not in answer.content


@pytest.mark.django_db
@pytest.mark.parametrize("scope", list(Scope))
def test_tokens(client: Client, scope: str) -> None:
    """A token of the scope `all` reads from everywhere; others are for what they are for."""
    answer = client.get("/metrics", REMOTE_ADDR="10.0.0.5", headers=token_of(scope))
    assert answer.status_code == (200 if scope == Scope.ALL else 403)


@pytest.mark.django_db
def test_the_caller_needs_neither_name_nor_tls(client: Client) -> None:
    """Prometheus calls by an address that is in no list, over plain http."""
    with override_settings(SECURE_SSL_REDIRECT=True):
        assert client.get("/metrics", headers={"Host": "10.1.2.3:8000"}).status_code == 200
        assert client.post("/metrics").status_code == 405


@pytest.mark.logs_errors
@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away(client: Client) -> None:
    """The metrics say so, instead of missing when they are needed most; a token cannot be looked up then."""
    token = token_of(Scope.ALL)
    with no_database():
        told = read(client.get("/metrics"))
    assert value(told, "database_up") == 0
    assert value(told, "vehicles_offered") is None
    assert any(name == "process_resident_memory_bytes" for name, _labels in told)
    with no_database():
        assert client.get("/metrics", REMOTE_ADDR="10.0.0.5", headers=token).status_code == 503
    assert value(read(client.get("/metrics")), "database_up") == 1
