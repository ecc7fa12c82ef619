"""The filters, by the parameters of an address."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.http import QueryDict
from django.utils import timezone

from fleet.filters import FILTERS, vehicles_filtered
from fleet.models import Vehicle
from fleet.selectors import reason_labels
from fleet.services import rules_update, vehicle_update, vehicles_object, vehicles_settle
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


def found(query: str) -> list[str]:
    return list(vehicles_filtered(QueryDict(query)).values_list("pk", flat=True))


@pytest.fixture
def fleet() -> None:
    """Nine vehicles, each the only one of some sort."""
    hours = timezone.now() - timedelta(hours=2)
    make("1", battery=10)
    make("2", battery=None)
    make("3", state="reserved", battery=30, plate="7777 XYZ")
    make("4", plate="", battery=60)
    make("5", country="France", city="Paris", latitude=48.8, longitude=2.3, plate="AB-123-CD")
    make("6", latitude=None, longitude=None, kind="moped", last_signal_at=hours, plate="BB CL 23", vin="WVWzzz1")
    make("7", country="", city="", plate="X1")
    make("8", state="removed", plate="X1")
    make("9", plate="OK 1", last_signal_at=timezone.now())
    rules_update(minimum_battery=20, silence_limit=60)
    vehicles_settle(versions=dict(Vehicle.objects.values_list("pk", "version")), listed=True)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", "123456789"),
        ("state=reserved", "3"),
        ("state=reserved&state=removed", "38"),
        ("state=in_fleet", "12345679"),
        ("availability=offered", "9"),
        ("availability=withheld", "124567"),
        ("availability=battery_low", "1"),
        ("availability=battery_unknown", "2"),
        ("availability=position_unknown", "6"),
        ("availability=plate_unknown", "4"),
        ("availability=country_unknown", "7"),
        ("availability=country_not_served", "5"),
        ("availability=silent", "124567"),
        ("citytrips=settled", "9"),
        ("citytrips=withheld", "124567"),
        ("citytrips=not_offered", "38"),
        ("charge=low", "1"),
        ("charge=enough", "3456789"),
        ("charge=unknown", "2"),
        ("charge=0-19", "1"),
        ("charge=20-49", "3"),
        ("charge=50-79", "4"),
        ("charge=80-100", "56789"),
        ("silent=yes", "1234567"),
        ("silent=no", "89"),
        ("silent=hour", "6"),
        ("silent=day", ""),
        ("silent=never", "1234578"),
        ("city=Paris", "5"),
        ("city=-", "7"),
        ("country=Spain&state=reserved", "3"),
        ("country=-", "7"),
        ("kind=moped", "6"),
        ("plate=duplicate", "12"),
        ("plate=-", "4"),
        ("charge=low&state=reserved", ""),
        ("q=", "123456789"),
        ("state=", "123456789"),
        ("nonsense=1&p=3&o=2", "123456789"),
    ],
)
def test_each_value_finds_its_own(query: str, ids: str) -> None:
    """A filter finds the vehicles it names; a repeated one either, several what all of them name."""
    assert "".join(found(query)) == ids


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("7777", "3"),
        ("7777 xyz", "3"),
        ("7777xyz", "3"),
        ("ab123", "5"),
        ("ab-123", "5"),
        ("bbcl", "6"),
        ("wvwZZZ1", "6"),
        ("9", "9"),
        ("xyz", "3"),
        ("3,9", "39"),
        ("zz1", "6"),
        ("%", ""),
        ("_", ""),
        ("\\", ""),
        ("-", ""),
        ("'", ""),
        ("nowhere", ""),
    ],
)
def test_a_search_finds_beginnings_and_else_parts(words: str, ids: str) -> None:
    """A search finds what begins so, and only where nothing does, what holds it; signs of LIKE are ordinary."""
    assert "".join(vehicles_filtered({"q": [words]}).values_list("pk", flat=True)) == ids


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("bad", ["\x00", "\ud800", "a\udfff", "x" * 100_000, "nonsense", "1 OR 1=1", "٣", ","])
@pytest.mark.parametrize("name", ["q", *(one.name for one in FILTERS)])
def test_a_value_that_is_not_known_finds_nothing(name: str, bad: str) -> None:
    """Whatever an address says, the answer is a list of vehicles: an empty one where it makes no sense."""
    assert list(vehicles_filtered({name: [bad]})) == []


@pytest.mark.usefixtures("fleet")
def test_every_choice_is_understood_and_the_statuses_part_the_fleet() -> None:
    """Each offered value means something, and each vehicle stands in exactly one way with CityTrips."""
    make("10", plate="NEW", last_signal_at=timezone.now())
    make("11", plate="OBJ", last_signal_at=timezone.now())
    vehicles_object(versions={"11": 1})
    told = dict(Vehicle.objects.with_citytrips_status().values_list("pk", "citytrips_status"))
    for one in FILTERS:
        for value, label in one.choices():
            assert one.meaning(value) is not None
            assert one.label(value) == label
    for value in set(told.values()):
        assert set(found(f"citytrips={value}")) == {pk for pk, status in told.items() if status == value}
    assert set(told.values()) == {"settled", "pending", "objected", "withheld", "not_offered"}
    statuses = next(one for one in FILTERS if one.name == "citytrips").choices()
    assert {value for value, _label in statuses} == {*told.values(), "leaving"}
    assert len(reason_labels()) == 7


def test_what_citytrips_still_shows_is_found() -> None:
    """Whatever made it leave, until CityTrips is told; nothing that it never held, nor that it is told already."""
    for vehicle in ("trip", "dead", "told", "here", "new"):
        make(vehicle)
    held = dict.fromkeys(("trip", "dead", "told", "here"), 1)
    vehicles_settle(versions=held, listed=True)
    for vehicle, values in {
        "trip": {"state": "on_trip"},
        "dead": {"battery": None},
        "told": {"state": "on_trip"},
        "here": {"battery": 41},
        "new": {"state": "on_trip"},
    }.items():
        vehicle_update(vehicle=Vehicle.objects.get(pk=vehicle), values=values)
    vehicles_settle(versions={"told": 2}, listed=False)
    assert set(found("citytrips=leaving")) == {"trip", "dead"}
