"""Dates, times, zones and durations."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itineraries import document, schedule
from itineraries.document import FlightOption
from tests.itineraries.strategies import wire


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("13:45 PM", time(13, 45)),
        ("09:15 AM", time(9, 15)),
        ("10:20", time(10, 20)),
        ("23:59", time(23, 59)),
        ("00:05 AM", time(0, 5)),
        ("12:00 PM", time(12, 0)),
        ("01:45 PM", time(13, 45)),
        ("12:30 AM", time(0, 30)),
        ("9:15 am", time(9, 15)),
    ],
)
def test_times_are_read_in_each_spelling(text, read):
    """24 hours with AM or PM as in the samples, without as in the prose, and 12 hours where nothing else can be meant."""
    assert schedule.read_time(text) == read


@pytest.mark.parametrize("text", ["", "24:00", "12:60", "13:45 AM", "00:05 PM", "noon", "1345", "10:20:00", "١٠:٢٠"])
def test_what_is_no_time_is_refused(text):
    """ValueError, so that a problem can be told."""
    with pytest.raises(ValueError, match=r"."):
        schedule.read_time(text)


@given(st.times().map(lambda moment: moment.replace(second=0, microsecond=0)), st.dates())
def test_what_is_written_is_read_back(moment, day):
    """The spelling of the samples for every minute and day."""
    assert schedule.read_time(schedule.write_time(moment)) == moment
    assert schedule.read_date(schedule.write_date(day)) == day


def test_dates_are_day_month_year():
    """And nothing else."""
    assert schedule.read_date("19.05.2016") == date(2016, 5, 19)
    for text in ("2016-05-19", "19.5.2016", "9.05.2016", "31.02.2016", "19.05.16", "", "19.05.2016 "):
        with pytest.raises(ValueError, match=r"."):
            schedule.read_date(text)


def flight(*legs: tuple[str, str, str, str]) -> FlightOption:
    """Legs as (from, leaves, to, lands), the moments as "19.05.2016 13:45"."""

    def point(code: str, moment: str) -> dict[str, Any]:
        day, clock = moment.split(" ", 1)
        return {"code": code, "date": day, "time": clock}

    segments = [{"stops": 0, "pointA": point(*leg[:2]), "pointB": point(*leg[2:])} for leg in legs]
    trip = document.parse({"segments": [{"type": "flight", "options": [{"flightSegments": segments}]}]})
    option = trip.segments[0].options[0]
    assert isinstance(option, FlightOption)
    return option


def test_the_sample_s_durations_are_those_of_its_zones():
    """19200 = 9000 + 3000 + 7200: Bucharest is an hour ahead of Frankfurt."""
    option = document.parse(wire("trip")).segments[0].options[0]
    assert isinstance(option, FlightOption)
    totals = schedule.totals(option)
    assert (totals.duration, totals.stops, totals.layovers) == (19200, 0, 1)
    assert [(leg.duration, leg.layover) for leg in totals.legs] == [(9000, None), (7200, 3000)]


def test_layovers_and_stops_are_counted():
    """A layover between each two legs; stops are those of the legs, and not known where one leg's are not."""
    data = wire("trip")
    legs = data["segments"][0]["options"][0]["flightSegments"]
    legs.append(legs[1] | {"stops": 2})
    legs[0]["stops"] = 1

    def counts() -> tuple[Any, Any]:
        option = document.parse(data).segments[0].options[0]
        assert isinstance(option, FlightOption)
        found = schedule.totals(option)
        return found.layovers, found.stops

    assert counts() == (2, 3)
    del legs[1]["stops"]
    assert counts() == (2, None)
    del legs[1:]
    assert counts() == (0, 1)


def test_a_flight_over_the_date_line_takes_the_time_it_takes():
    """It lands on the calendar before it took off."""
    leg = flight(("AKL", "02.01.2026 10:00", "HNL", "01.01.2026 20:00")).flight_segments[0]
    assert schedule.flight_duration(leg) == 9 * 3600


def test_clock_changes_are_counted():
    """The night of 29 March 2026 has an hour less in Madrid."""
    leg = flight(("MAD", "29.03.2026 01:30", "BCN", "29.03.2026 04:30")).flight_segments[0]
    assert schedule.flight_duration(leg) == 2 * 3600


@pytest.mark.parametrize(
    ("clock", "change"),
    [("01:59 AM", None), ("02:00 AM", "skipped"), ("02:59 AM", "skipped"), ("03:00 AM", None)],
)
def test_a_time_that_the_clock_skips_is_known(clock, change):
    """In Madrid, on 29 March 2026, two o'clock is followed by three."""
    leg = flight(("MAD", f"29.03.2026 {clock}", "BCN", "29.03.2026 04:30")).flight_segments[0]
    assert schedule.clock_change(leg.point_a) == change


@pytest.mark.parametrize(
    ("clock", "change"),
    [("01:59 AM", None), ("02:00 AM", "repeated"), ("02:59 AM", "repeated"), ("03:00 AM", None)],
)
def test_a_time_that_the_clock_shows_twice_is_known(clock, change):
    """In Madrid, on 25 October 2026, three o'clock is followed by two."""
    leg = flight(("MAD", f"25.10.2026 {clock}", "BCN", "25.10.2026 04:30")).flight_segments[0]
    assert schedule.clock_change(leg.point_a) == change


def test_of_a_time_that_comes_twice_the_possible_one_is_meant():
    """The first, unless the flight would land before it took off."""
    first = flight(("MAD", "25.10.2026 01:30", "BCN", "25.10.2026 02:30")).flight_segments[0]
    assert schedule.flight_duration(first) == 3600
    second = flight(("MAD", "25.10.2026 02:40", "BCN", "25.10.2026 02:10")).flight_segments[0]
    assert schedule.flight_duration(second) == 1800
    over = flight(("MAD", "25.10.2026 02:40", "BCN", "25.10.2026 03:10")).flight_segments[0]
    assert schedule.flight_duration(over) == 5400
    unknown = flight(("QQQ", "25.10.2026 02:30", "BCN", "25.10.2026 02:30")).flight_segments[0]
    assert schedule.clock_change(unknown.point_a) is None


def test_an_arrival_before_its_departure_is_negative_never_the_next_day():
    """What to do about it is the reader's business."""
    leg = flight(("MAD", "29.03.2026 10:30", "BCN", "29.03.2026 09:30")).flight_segments[0]
    assert schedule.flight_duration(leg) == -3600


@given(st.integers(631_152_000 // 60, 2_145_744_000 // 60), st.integers(0, 20 * 60))
def test_durations_are_those_of_the_instants(start, minutes):
    """Whatever the zones and their changes: a flight of so many minutes is that long, save where a time comes twice."""
    begin = datetime.fromtimestamp(start * 60, UTC)
    ends = [
        begin.astimezone(ZoneInfo("Australia/Sydney")),
        (begin + timedelta(minutes=minutes)).astimezone(ZoneInfo("America/Santiago")),
    ]
    spelt = [f"{end:%d.%m.%Y} {end:%H:%M}" for end in ends]
    leg = flight(("SYD", spelt[0], "SCL", spelt[1])).flight_segments[0]
    twice = "repeated" in (schedule.clock_change(leg.point_a), schedule.clock_change(leg.point_b))
    assert schedule.flight_duration(leg) == minutes * 60 or twice


def test_without_a_zone_only_one_airport_s_clock_can_be_read():
    """A layover at an unknown airport is known, a flight to it is not."""
    option = flight(
        ("MAD", "01.01.2026 10:00", "QQQ", "01.01.2026 12:00"), ("qqq", "01.01.2026 13:00", "BCN", "01.01.2026 15:00")
    )
    totals = schedule.totals(option)
    assert [leg.duration for leg in totals.legs] == [None, None]
    assert totals.legs[1].layover == 3600
    assert totals.duration == 5 * 3600


def test_what_is_not_there_cannot_be_reckoned():
    """An empty flight has no totals, and no error either."""
    option = document.parse({"segments": [{"type": "flight", "options": [{}]}]}).segments[0].options[0]
    assert isinstance(option, FlightOption)
    assert schedule.totals(option) == schedule.FlightTotals(None, None, None, ())
