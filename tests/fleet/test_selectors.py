"""What is asked of the fleet."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fleet import selectors
from fleet.models import Vehicle
from fleet.services import rules_update, vehicles_object, vehicles_settle
from fleet.vocabulary import CityTripsStatus, State
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


def reasons(vehicle: Vehicle) -> list[str]:
    return [reason.message for reason in selectors.offer_reasons(vehicle)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, []),
        ({"battery": 20}, []),
        ({"battery": 12}, ["battery 12 % is below 20 %"]),
        ({"battery": 0}, ["battery 0 % is below 20 %"]),
        ({"battery": None}, ["its battery is not known"]),
        ({"latitude": None, "longitude": None}, ["its position is not known"]),
        ({"plate": " "}, ["it has no plate"]),
        ({"country": "France", "latitude": 48.8, "longitude": 2.3}, ["CityTrips does not serve France"]),
        ({"country": ""}, ["its country is not known"]),
        ({"state": "on_trip"}, ["it is not available but: On trip"]),
        ({"battery": 3, "plate": ""}, ["battery 3 % is below 20 %", "it has no plate"]),
    ],
    ids=str,
)
def test_why_a_vehicle_is_not_offered(values: dict[str, object], words: list[str]) -> None:
    """Every reason is told in words, and there is none exactly for an offered vehicle."""
    vehicle = make(**values)
    assert reasons(vehicle) == words
    assert Vehicle.objects.offered().exists() == (not words)


def test_words_and_database_agree() -> None:
    """For every combination of what decides, the words, the query, the status and the counts say the same."""
    rules_update(minimum_battery=30, silence_limit=60)
    heard = timezone.now()
    combinations = itertools.product(
        ("", "1234 BCD"),
        ("", "Spain", "France"),
        (None, 0, 29, 30, 100),
        (State.AVAILABLE, State.RESERVED, State.REMOVED),
        (None, heard, heard - timedelta(hours=2)),
        (None, 40.4),
    )
    for number, (plate, country, battery, state, signal, latitude) in enumerate(combinations):
        make(
            f"V{number}",
            plate=plate,
            country=country,
            battery=battery,
            state=state.value,
            last_signal_at=signal,
            latitude=latitude if country != "France" else latitude and 48.8,
            longitude=latitude and (-3.7 if country != "France" else 2.3),
        )
    rules = selectors.fleet_rules()
    offered = set(Vehicle.objects.offered().values_list("pk", flat=True))
    for vehicle in Vehicle.objects.with_citytrips_status():
        withheld = selectors.withheld_reasons(vehicle, rules)
        assert (vehicle.pk in offered) == (not selectors.offer_reasons(vehicle, rules))
        assert (vehicle.citytrips_status == "withheld") == (vehicle.state == "available" and bool(withheld))
        assert (vehicle.citytrips_status == "not_offered") == (vehicle.state != "available")
        for code in selectors.reason_labels():
            told = code in [reason.code for reason in withheld]
            assert told == Vehicle.objects.filter(selectors.reason_condition(code), pk=vehicle.pk).exists()
    assert 0 < len(offered) == selectors.fleet_counts().offered


def test_statuses() -> None:
    """Pending, objected and settled follow the versions, and settling ends an objection."""
    vehicle = make()
    assert vehicle.citytrips_status == CityTripsStatus.PENDING
    vehicles_object(versions={"ES-1": 1})
    vehicle.refresh_from_db()
    assert vehicle.citytrips_status == CityTripsStatus.OBJECTED
    assert selectors.objected_count() == 1
    vehicles_settle(versions={"ES-1": 1}, listed=True)
    assert Vehicle.objects.get().citytrips_status == CityTripsStatus.SETTLED
    vehicles_object(versions={"ES-1": 2})
    Vehicle.objects.update(battery=70)
    assert Vehicle.objects.get().citytrips_status == CityTripsStatus.PENDING


def test_counts() -> None:
    """The desk's figures: the whole fleet without removed vehicles, offered, withheld and why, and states."""
    make("1")
    make("2", battery=5, plate="")
    make("3", battery=None)
    make("4", state="on_trip", battery=2)
    make("5", state="removed", battery=2)
    counts = selectors.fleet_counts()
    assert (counts.total, counts.offered, counts.withheld) == (4, 1, 2)
    assert {tally.code: tally.count for tally in counts.withheld_by_reason} == {
        "battery_low": 1,
        "battery_unknown": 1,
        "plate_unknown": 1,
    }
    assert {tally.code: tally.count for tally in counts.by_state} == {"available": 3, "on_trip": 1}


def test_counts_of_no_fleet() -> None:
    """An empty fleet counts as nothing."""
    counts = selectors.fleet_counts()
    assert (counts.total, counts.offered, counts.withheld, counts.by_state) == (0, 0, 0, [])


def test_low_batteries() -> None:
    """The emptiest come first; what is gone from the street is left out."""
    make("1", battery=19)
    make("2", battery=3, state="non_operational")
    make("3", battery=1, state="removed")
    make("4", battery=20)
    assert [vehicle.pk for vehicle in selectors.low_batteries(5)] == ["2", "1"]
    assert [vehicle.pk for vehicle in selectors.low_batteries(1)] == ["2"]


@pytest.mark.parametrize("number", [3, 40])
def test_query_counts(number: int) -> None:
    """The desk's figures cost the same for any fleet."""
    for index in range(number):
        make(f"V{index}", battery=index % 20)
    with CaptureQueriesContext(connection) as queries:
        selectors.fleet_counts()
        [vehicle.citytrips_status for vehicle in selectors.low_batteries(30)]
    assert len(queries) == 3
