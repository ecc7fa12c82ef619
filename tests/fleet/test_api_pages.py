"""The pages of the list of vehicles."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from fleet.api.pages import FilterSerializer, page_query
from fleet.models import Vehicle
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db

URL = "/api/v1/vehicles/"


@pytest.fixture
def client() -> APIClient:
    client = APIClient(raise_request_exception=True)
    client.force_authenticate(get_user_model().objects.create_superuser("ana", "ana@example.org", "x"))
    return client


def many(number: int, **values: Any) -> None:
    """So many vehicles, quickly; all are changed at the same moment, as by one batch of telemetry."""
    now = timezone.now()
    Vehicle.objects.bulk_create(
        [
            Vehicle(id=f"V{index:05}", city="Madrid", country="Spain", battery=index % 101, **values)
            for index in range(number)
        ]
    )
    Vehicle.objects.update(updated_at=now)


def read(client: APIClient, **asked: Any) -> list[str]:
    ids: list[str] = []
    answer = client.get(URL, asked)
    while True:
        assert answer.status_code == 200, answer.json()
        page = answer.json()
        ids += [row["id"] for row in page["results"]]
        if page["next"] is None:
            return ids
        answer = client.get(page["next"])


@pytest.mark.parametrize("by_time", [False, True], ids=["by id", "by time"])
def test_thousands_of_the_same_moment(client: APIClient, by_time: bool) -> None:
    """The pages hold every vehicle once, though the time of their change tells none from another."""
    many(2500)
    asked = {"changed_since": (timezone.now() - timedelta(hours=1)).isoformat()} if by_time else {}
    assert read(client, page_size=1000, **asked) == [f"V{index:05}" for index in range(2500)]


def test_pages_keep_their_filters(client: APIClient) -> None:
    """The address of the next page asks for the same."""
    many(50)
    assert read(client, battery_lt=25, page_size=7) == [f"V{index:05}" for index in range(25)]


def test_vehicles_that_change_meanwhile(client: APIClient) -> None:
    """In the order of ids no page shifts, whatever comes, goes and changes in between."""
    many(6)
    first = client.get(URL, {"page_size": 3}).json()
    make("A")
    make("V00003b")
    Vehicle.objects.filter(pk="V00001").delete()
    Vehicle.objects.filter(pk="V00004").update(battery=1, updated_at=timezone.now())
    second = client.get(first["next"]).json()
    assert [row["id"] for row in second["results"]] == ["V00003", "V00003b", "V00004"]


def test_a_change_meanwhile_comes_again_and_is_never_left_out(client: APIClient) -> None:
    """Whoever asks for changes hears of each one, also of those that happen while he reads."""
    many(6)
    since = (timezone.now() - timedelta(hours=1)).isoformat()
    first = client.get(URL, {"page_size": 4, "changed_since": since}).json()
    client.patch(f"{URL}V00000/", {"battery": 99})
    client.patch(f"{URL}V00005/", {"battery": 98})
    second = client.get(first["next"]).json()
    assert [(row["id"], row["battery"]) for row in second["results"]] == [("V00004", 4), ("V00000", 99), ("V00005", 98)]
    assert second["next"] is None


def position(*parts: object) -> str:
    return urlsafe_b64encode(json.dumps(parts).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x", "%", "é", "=", "\x00", "W10", position("a b"), position(1), position(None), position("V1", "V2"),
        position("2026-11-21T10:00:00Z", "V1"), position("V1" * 40), urlsafe_b64encode(b"\xff\xff").decode(),
        urlsafe_b64encode(b"[" * 200).decode(), "A" * 400,
    ],
)  # fmt: skip
@pytest.mark.parametrize("since", [None, "2020-01-01T00:00:00Z"])
def test_cursors_that_no_page_gave(client: APIClient, cursor: str, since: str | None) -> None:
    """400 that names the cursor, also for one of the other order."""
    make()
    asked = {"cursor": cursor} | ({"changed_since": since} if since else {})
    answer = client.get(URL, asked)
    if since and cursor == position("2026-11-21T10:00:00Z", "V1"):
        assert answer.status_code == 200
        return
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["cursor"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "2019-12-31T23:59:59Z", "10:00", "2026-11-21T10:00:00"])
def test_a_cursor_from_before_the_filter(client: APIClient, moment: str) -> None:
    """A time that the filter leaves out is none that its pages gave."""
    answer = client.get(URL, {"changed_since": "2020-01-01T00:00:00Z", "cursor": position(moment, "V1")})
    assert answer.status_code == 400


# --- How the database finds a page -------------------------------------------------------------------------------


def plan(**asked: Any) -> str:
    asked_for = FilterSerializer(data=asked)
    assert asked_for.is_valid(), asked_for.errors
    return page_query(asked_for)[:101].explain()


@pytest.fixture
def large() -> None:
    """A fleet that is large enough for an index to pay, and statistics that say so."""
    many(5000)
    now = timezone.now()
    for part in range(50):
        some = Vehicle.objects.filter(pk__gte=f"V{part * 100:05}", pk__lt=f"V{part * 100 + 100:05}")
        some.update(updated_at=now - timedelta(minutes=2 * part))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE fleet_vehicle")


@pytest.mark.parametrize("cursor", [False, True], ids=["first page", "later page"])
def test_a_page_by_id_is_read_from_the_key(large: None, cursor: bool) -> None:
    """However far down it is: nothing before it is read, and nothing is sorted."""
    found = plan(**({"cursor": position("V03000")} if cursor else {}))
    assert "autoindex_fleet_vehicle_1" in found or "fleet_vehicle_pkey" in found
    assert ("id>?" in found or "(id)::text >" in found) is cursor
    assert "Sort" not in found
    assert "TEMP B-TREE" not in found


@pytest.mark.parametrize("cursor", [False, True], ids=["first page", "later page"])
def test_a_page_of_changes_is_read_from_the_index_by_time(large: None, cursor: bool) -> None:
    """The index leads to the first change that is asked for, and holds the order."""
    since = timezone.now() - timedelta(minutes=60)
    later = {"cursor": position((since + timedelta(minutes=20)).isoformat(), "V03000")} if cursor else {}
    found = plan(changed_since=since.isoformat(), **later)
    assert "vehicle_updated_at" in found
    assert "updated_at>?" in found or "(updated_at,id)>(?,?)" in found or "Index Cond" in found
    assert "Sort" not in found
    assert "TEMP B-TREE" not in found
