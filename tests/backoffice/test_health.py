"""What load balancers are told."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection
from django.test import Client, override_settings
from django.utils import timezone

from backoffice.citytrips.lease import NAME
from backoffice.citytrips.models import Lease
from users.models import User


def test_healthz_asks_nothing(client: Client) -> None:
    """The process answers without the database."""
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.django_db
def test_readyz_is_degraded_without_a_worker(client: Client) -> None:
    """Without a worker the pages work, so the answer is 200 and says what is missing."""
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "degraded", "reason": "no worker holds the line to CityTrips"}


@pytest.mark.django_db
def test_readyz_is_ok_with_a_worker(client: Client) -> None:
    """With a database, a channel layer and a worker, all is well."""
    Lease.objects.update_or_create(
        name=NAME, defaults={"holder": "here", "token": "0" * 32, "renewed_at": timezone.now()}
    )
    assert client.get("/readyz").json() == {"status": "ok"}


@pytest.mark.django_db
def test_readyz_is_degraded_without_a_channel_layer(client: Client) -> None:
    """A Redis that does not answer takes no web process down."""
    Lease.objects.update_or_create(
        name=NAME, defaults={"holder": "here", "token": "0" * 32, "renewed_at": timezone.now()}
    )
    nowhere = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]},
        }
    }
    with override_settings(CHANNEL_LAYERS=nowhere):
        answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "degraded", "reason": "the channel layer does not answer"}


@pytest.mark.django_db
@pytest.mark.logs_errors
def test_readyz_is_unavailable_without_the_database(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database is away, a load balancer is told to send nobody."""

    def away(*args: object) -> None:
        raise DatabaseError("the server closed the connection: password=secret")

    with connection.execute_wrapper(away):
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "reason": "the database does not answer"}


@pytest.mark.django_db
@pytest.mark.logs_errors
def test_a_caller_with_a_session_is_told_the_same(client: Client) -> None:
    """The session stands in the database that is away; it is not read."""
    client.force_login(User.objects.create(username="one"))

    def away(*args: object) -> None:
        raise DatabaseError("gone")

    with connection.execute_wrapper(away):
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.logs_errors
@pytest.mark.django_db
def test_the_caller_needs_neither_name_nor_tls(client: Client, path: str) -> None:
    """A load balancer calls by an address that is in no list, over plain http; it takes a redirect for an illness."""
    with override_settings(SECURE_SSL_REDIRECT=True):
        assert client.get(path, headers={"Host": "10.1.2.3:8000"}).status_code == 200
        assert client.get("/", headers={"Host": "10.1.2.3:8000"}).status_code == 400


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.django_db
def test_they_are_only_read(client: Client, path: str) -> None:
    """They answer HEAD, which load balancers send, and refuse to be posted to."""
    assert client.head(path).status_code == 200
    assert client.post(path).status_code == 405
