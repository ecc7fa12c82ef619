"""What is exported comes back as it was, and no spreadsheet runs it."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet import imports
from fleet.exporting import COLUMNS, vehicles_as_csv
from fleet.models import ImportRun, Vehicle, VehicleChange
from fleet.services import vehicle_create
from fleet.sources.cells import neutralised, restored
from fleet.vocabulary import Kind, State, plate_spelled
from tests.fleet.factories import make
from tests.fleet.staged import counts, read
from users.models import User

pytestmark = pytest.mark.django_db

# Without a zone, as the strategy wants its bounds.
FIRST, LAST = (datetime(year, 1, 1) for year in (2001, 2025))  # noqa: DTZ001
# What a person may type: no control characters, and no blanks around it, which are not kept.
TEXT = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" =+-@'\";,%"), max_size=16).map(
    lambda text: " ".join(text.split(" ")).strip()
)
PLATES = TEXT.map(plate_spelled).filter(lambda plate: len(plate) <= 16)
DEGREES = st.floats(-17, 17, allow_nan=False).filter(lambda value: value != 0)
VEHICLES = st.fixed_dictionaries(
    {
        "plate": PLATES,
        "vin": TEXT,
        "model": TEXT,
        "city": TEXT,
        "country": st.sampled_from(["", "France", "Bolivia"]),
        "kind": st.sampled_from(Kind.values),
        "state": st.sampled_from(State.values),
        "battery": st.none() | st.integers(0, 100),
        "last_signal_at": st.none() | st.datetimes(FIRST, LAST, timezones=st.just(UTC)),
    }
)
IDS = st.text("ABC09-._:", min_size=1, max_size=12).filter(lambda id: id not in (".", ".."))


def exported() -> str:
    return "".join(vehicles_as_csv(Vehicle.objects.all()))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(IDS, st.tuples(VEHICLES, st.none() | st.tuples(DEGREES, DEGREES)), min_size=1, max_size=8))
def test_an_export_comes_back_unchanged(fleet: dict[str, tuple[dict[str, object], tuple[float, float] | None]]) -> None:
    """Whatever vehicles hold, an import of their export finds each of them unchanged, and makes them anew elsewhere."""
    VehicleChange.objects.all().delete()
    Vehicle.objects.all().delete()
    for id, (values, position) in fleet.items():
        latitude, longitude = position or (None, None)
        vehicle_create(id=id, latitude=latitude, longitude=longitude, **values)  # type: ignore[arg-type]
    text = exported()
    run = read(text)
    assert counts(run) == {"unchanged": len(fleet)}, text
    before = list(Vehicle.objects.order_by("id").values_list(*COLUMNS))
    VehicleChange.objects.all().delete()
    Vehicle.objects.all().delete()
    again = read(text)
    imports.import_apply(run=again)
    assert counts(ImportRun.objects.get(pk=again.pk)) == {"added": len(fleet)}
    assert list(Vehicle.objects.order_by("id").values_list(*COLUMNS)) == before


@given(st.text())
def test_what_is_neutralised_is_restored(text: str) -> None:
    """The quote before a formula is taken away again, and no text begins as a formula does."""
    assert restored(neutralised(text)) == text
    assert not neutralised(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_numbers_stay_numbers() -> None:
    """A negative coordinate is no formula, and keeps its digits; a city that is one becomes text."""
    make("1", latitude=40.41683333333333, longitude=-3.7038, city="=HYPERLINK(1)")
    (row,) = csv.DictReader(io.StringIO(exported().removeprefix("\ufeff")))
    assert (row["latitude"], row["longitude"]) == ("40.41683333333333", "-3.7038")
    assert row["city"] == "'=HYPERLINK(1)"


def test_small_numbers_are_written_out() -> None:
    """A longitude of 1e-05 is one that the import takes for a number."""
    make("1", country="", latitude=51.4779, longitude=-1e-05)
    (row,) = csv.DictReader(io.StringIO(exported().removeprefix("\ufeff")))
    assert row["longitude"] == "-0.00001"
    assert counts(read(exported())) == {"unchanged": 1}


@pytest.fixture
def ana() -> User:
    return User.objects.create_superuser("ana", password="x")


def test_only_what_is_filtered(ana: User) -> None:
    """The export takes the list's own parameters, and holds what the list shows for them."""
    make("1", battery=10)
    make("2", battery=90, city="Cádiz", latitude=36.5, longitude=-6.3)
    client = Client()
    client.force_login(ana)
    answer = client.get(reverse("fleet:export"), {"city": "Cádiz"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))
    assert [row["id"] for row in rows] == ["2"]
    assert not list(csv.DictReader(io.StringIO(_text(client.get(reverse("fleet:export"), {"state": "nonsense"})))))


def _text(answer: object) -> str:
    return b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]


def test_who_may_export(ana: User) -> None:
    """The export is for staff who may see vehicles."""
    assert Client().get(reverse("fleet:export")).status_code == 302
    client = Client()
    client.force_login(User.objects.create_user("bo", password="x", is_staff=True))
    assert client.get(reverse("fleet:export")).status_code == 403


def test_it_is_one_query(ana: User) -> None:
    """However many vehicles there are, one query reads them."""
    client = Client()
    client.force_login(ana)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert _text(client.get(reverse("fleet:export")))
        return len(captured)

    make("1")
    few = queries()
    for number in range(2, 30):
        make(str(number))
    assert queries() == few


@pytest.mark.django_db(transaction=True)
def test_an_asynchronous_server_sends_it_as_it_is_made(ana: User) -> None:
    """Under ASGI the parts come one by one, and are the same file."""
    from asgiref.sync import async_to_sync

    make("1")

    async def get() -> bytes:
        client = AsyncClient()
        await client.aforce_login(ana)
        answer = await client.get(reverse("fleet:export"))
        assert answer.is_async
        return b"".join([part async for part in answer.streaming_content])

    assert b"1234 BCD" in async_to_sync(get)()
