"""What the REST API answers to requests that no view takes: JSON that says what was wrong, never a page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from users.models import Scope
from users.services import token_create, user_create

pytestmark = pytest.mark.django_db


@pytest.fixture
def token(db: None) -> dict[str, str]:
    ana = user_create(username="ana", email="ana@example.org", is_staff=True, is_superuser=True)
    _row, token = token_create(user=ana, name="A program", scope=Scope.ALL, expires_at=None)
    return {"Authorization": f"Token {token}"}


def detail(answer: Any) -> str:
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()["detail"]


@pytest.mark.parametrize("path", ["", "nothing/", "nothing", "vehicles/a/b/", "vehicles/a b/", "docs/nothing/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_an_address_without_a_view(method: str, path: str) -> None:
    """404 in JSON, also for whoever is not logged in, whatever the method and the formats they take."""
    client = Client(enforce_csrf_checks=True)
    answer = client.generic(method, f"/api/v1/{path}", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert detail(answer) == "Not found."


def test_an_unknown_address_answers_in_the_readers_language(client: Client) -> None:
    """The words follow Accept-Language, as those of all other errors."""
    answer = client.get("/api/v1/nothing/", headers={"accept-language": "es"})
    assert detail(answer) == "No encontrado."


def test_a_missing_slash_is_mended_where_nothing_gets_lost(client: Client) -> None:
    """A GET is led to the address with the slash; a POST is not, since its body would not go along."""
    answer = client.get("/api/v1/vehicles?city=Madrid")
    assert answer.status_code == 301
    assert answer.headers["Location"] == "/api/v1/vehicles/?city=Madrid"
    answer = client.post("/api/v1/vehicles", {}, content_type="application/json")
    assert answer.status_code == 404
    assert detail(answer) == "Not found."


@pytest.mark.parametrize("path", ["docs/", "schema/", "vehicles/", "itineraries/"])
def test_a_method_that_an_address_does_not_know(client: Client, token: dict[str, str], path: str) -> None:
    """405 in JSON, and Allow says which ones it knows."""
    answer = client.patch(f"/api/v1/{path}", headers=token)
    assert answer.status_code == 405
    assert "PATCH" in detail(answer)
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["docs/", "schema/", "vehicles/", "itineraries/"])
def test_a_format_that_an_address_does_not_speak(client: Client, token: dict[str, str], path: str) -> None:
    """406 in JSON, though that is not what was asked for: better than nothing."""
    answer = client.get(f"/api/v1/{path}", headers={**token, "accept": "image/png"})
    assert answer.status_code == 406
    assert "Accept" in detail(answer)


@pytest.mark.parametrize("path", ["vehicles/", "vehicles/telemetry/", "itineraries/"])
def test_a_body_that_is_not_json(client: Client, token: dict[str, str], path: str) -> None:
    """415 for another type, 400 for broken JSON, however it is broken; each with the reason."""
    address = f"/api/v1/{path}"
    answer = client.post(address, {"plate": "1"}, headers=token)
    assert answer.status_code == 415
    assert "multipart/form-data" in detail(answer)
    for body in (b"{", b'{"id": NaN}', b"\xff", b"[" * 100_000, b"nothing"):
        answer = client.post(address, body, content_type="application/json", headers=token)
        assert answer.status_code == 400, body[:20]
        assert detail(answer)
