"""The description of the REST API, and whether the site keeps to it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from itineraries.services import itinerary_create
from tests.fleet.factories import make
from users.models import Scope
from users.services import token_create, user_create

EXAMPLES = 20
"""Requests that are made up for each operation, beside those at the edges of each value."""
VEHICLE = "ES-1"
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def described() -> Any:
    description = json.loads(json.dumps(SchemaGenerator().get_schema(public=True), default=str))
    schema = schemathesis.openapi.from_dict(description)
    schema.app = get_wsgi_application()
    return schema


schema = described()


def test_the_schema_is_valid_and_nothing_in_it_was_guessed(tmp_path: Path) -> None:
    """OpenAPI 3, without a warning: a warning means that the generator made something up."""
    file = tmp_path / "schema.yml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(file))
    text = file.read_text()
    for path in ("/api/v1/vehicles/", "/api/v1/vehicles/telemetry/", "/api/v1/itineraries/{itinerary_id}/publish/"):
        assert path in text


@pytest.fixture
def one_transaction(db: None) -> Iterator[None]:
    """The end of a request leaves the connection, and with it the test's transaction, as Django's own client does."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def operator(one_transaction: None, settings: Any) -> dict[str, str]:
    """A site with a vehicle and a trip; the headers of a program, and the ids that there are."""
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": {}}
    ana = user_create(username="ana", email="ana@example.org", is_staff=True, is_superuser=True)
    make(VEHICLE)
    trip = itinerary_create(user=ana, document={"title": "Chile"})
    _row, token = token_create(user=ana, name="A program", scope=Scope.ALL, expires_at=None)
    return {"token": token, "id": VEHICLE, "itinerary_id": str(trip.pk)}


def aim(case: Case, ids: dict[str, str]) -> None:
    """Let two of three requests meet something that is there, one of them with the state that it has.

    By the request's own bytes, so that the same request is always the same.
    """
    drawn = zlib.crc32(repr((case.path_parameters, case.query, case.body)).encode()) % 3
    if case.path_parameters and drawn:
        for name in case.path_parameters:
            case.path_parameters[name] = ids[name]
        if drawn == 2:
            case.headers["If-Match"] = "*"


@pytest.mark.logs_errors
@pytest.mark.timeout(300)  # hundreds of requests for each operation; some seconds, where nothing else runs
@schema.parametrize()
@settings(max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_site_keeps_to_its_schema(case: Case, operator: dict[str, str]) -> None:
    """Whatever is sent, the answer is one that the schema tells of: its code, its type, its headers and its body.

    So nothing is ever a 500, which no operation has among its answers.
    """
    aim(case, operator)
    answer = case.call(headers={"Authorization": f"Token {operator['token']}"})
    assert answer.status_code != 500
    case.validate_response(answer, checks=CHECKS)
    if case.path.startswith("/api/v1/vehicles/") and not case.path.endswith("/telemetry/"):
        # A trip's document may be anything, and of a batch the good items count.
        case.validate_response(answer, checks=[negative_data_rejection])
