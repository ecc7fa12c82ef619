"""What keeps a trip from being published, and what would look odd."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from itineraries import document, problems
from tests.itineraries.strategies import documents, wire


def found(data: Any, level: str) -> set[tuple[str, str]]:
    return {(one.path, one.code) for one in problems.find(document.parse(data)) if one.level == level}


def edited(edit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    data: dict[str, Any] = wire("trip")
    edit(data)
    return data


def after(edit: Callable[[dict[str, Any]], None], level: str) -> set[tuple[str, str]]:
    """The problems that an edit of the sample adds."""
    return found(edited(edit), level) - found(wire("trip"), level)


def option(data: dict[str, Any], card: int) -> dict[str, Any]:
    chosen: dict[str, Any] = data["segments"][card]["options"][0]
    return chosen


def put(*steps: Any, value: Any = None, gone: bool = False) -> Callable[[dict[str, Any]], None]:
    """An edit that sets or removes what the steps lead to."""

    def edit(data: Any) -> None:
        for step in steps[:-1]:
            data = data[step]
        if gone:
            del data[steps[-1]]
        else:
            data[steps[-1]] = value

    return edit


def test_the_samples_have_no_error_and_two_oddities():
    """The specification's own trip can be published; its ride leaves before the flight lands, and Berlin is elsewhere."""
    assert found(wire("trip"), "error") == set()
    assert found(wire("trip"), "warning") == {
        ("segments[1].options[0].bookingId", "may_be_replaced"),
        ("segments[2].options[0].pointA.time", "before_landing"),
        ("segments[3].milestone", "other_city"),
        ("segments[3].options[0].price", "no_price"),
    }


def test_an_empty_draft_misses_what_is_required():
    """And nothing of cards that are not there."""
    assert found({}, "error") == {
        ("title", "required"),
        ("dateInterval.from", "required"),
        ("dateInterval.to", "required"),
        ("price.currency", "required"),
        ("price.type", "required"),
        ("segments", "required"),
    }


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("flight", ["duration", "stops", "layovers", "flightSegments"]),
        (
            "accommodation",
            ["dateInterval.from", "dateInterval.to", "image", "description", "address", "latitude", "longitude"],
        ),
        (
            "carRide",
            ["duration", *(f"{point}.{name}" for point in ("pointA", "pointB") for name in ("name", "date", "time"))],
        ),
        ("experience", ["image", "description"]),
    ],
)
def test_each_kind_of_card_misses_its_own(kind, names):
    """The title, the price and the texts that may be left out are not missed."""
    data = wire("main") | {"segments": [{"type": kind, "options": [{}]}]}
    assert found(data, "error") == {(f"segments[0].options[0].{name}", "required") for name in names}


def test_a_leg_misses_its_own_and_a_later_one_its_layover():
    """Codes of airports are required for flights; the first leg needs no layover."""
    data = wire("main") | {"segments": [wire("flight")]}
    data["segments"][0]["options"][0]["flightSegments"] = [{}, {}]
    leg = ["code", "duration", "stops"]
    points = [f"{point}.{name}" for point in ("pointA", "pointB") for name in ("name", "code", "date", "time")]
    inside = "segments[0].options[0].flightSegments"
    expected = {(f"{inside}[{index}].{name}", "required") for index in (0, 1) for name in leg + points}
    assert found(data, "error") == expected | {(f"{inside}[1].layoverTime", "required")}


def test_every_card_but_the_first_needs_its_label():
    """So moving a card changes which one needs it."""
    data = wire("trip")
    data["segments"].reverse()
    assert found(data, "error") == {("segments[3].milestone", "required")}


FLIGHT, STAY, RIDE = (("segments", card, "options", 0) for card in range(3))


@pytest.mark.parametrize(
    ("edit", "path", "code"),
    [
        (put("title", value="  "), "title", "required"),
        (put("segments", value=[]), "segments", "required"),
        (put("segments", 1, "milestone", value="  "), "segments[1].milestone", "required"),
        (
            lambda data: data.update(milestones={"price": data.pop("price")}),
            "price.currency",
            "required",
        ),
        (put("segments", 1, "options", value=[]), "segments[1].options", "required"),
        (put("dateInterval", "to", value="18.05.2016"), "dateInterval.to", "order"),
        (put("dateInterval", "to", value="2016-05-26"), "dateInterval.to", "date"),
        (put("dateInterval", "to", value="31.02.2016"), "dateInterval.to", "date"),
        (put("price", value={"type": "fixed", "currency": "EUR"}), "price.fixedPriceAmount", "required"),
        (put(*FLIGHT, "price", "currentAmount", gone=True), "segments[0].options[0].price.currentAmount", "required"),
        (put(*FLIGHT, "price", "beforeAmount", gone=True), "segments[0].options[0].price.beforeAmount", "required"),
        (put(*FLIGHT, "price", "beforeAmount", value=70), "segments[0].options[0].price.beforeAmount", "discount"),
        (put(*FLIGHT, "flightSegments", value=[]), "segments[0].options[0].flightSegments", "required"),
        (put(*STAY, "dateInterval", "to", value="18.05.2016"), "segments[1].options[0].dateInterval.to", "order"),
        (put(*RIDE, "pointA", "time", value="25:00"), "segments[2].options[0].pointA.time", "time"),
        (put(*RIDE, "pointA", gone=True), "segments[2].options[0].pointA.name", "required"),
    ],
)
def test_each_breach_of_the_contract_is_an_error(edit, path, code):
    """One at a time, on the sample."""
    assert (path, code) in after(edit, "error")


def test_what_may_be_left_out_is_no_error():
    """A free walk has no price; a fixed price needs none on the cards; a Booking.com id waives the hotel's texts."""
    assert after(put(*FLIGHT, "price", gone=True), "error") == set()
    fixed = {"type": "fixed", "currency": "EUR", "fixedPriceAmount": 0}

    def priced(data: dict[str, Any]) -> None:
        data["price"] = fixed
        option(data, 0)["price"] = {}

    assert after(priced, "error") == set()
    assert not [one for one in found(edited(priced), "warning") if one[1] == "no_price"]
    for name in ("image", "description", "address", "latitude", "longitude"):
        assert after(put(*STAY, name, gone=True), "error") == set()

    def reviewed(data: dict[str, Any]) -> None:
        del option(data, 1)["bookingId"], option(data, 1)["image"]

    def blank(data: dict[str, Any]) -> None:
        reviewed(data)
        option(data, 1)["bookingId"] = "  "

    for edit in (reviewed, blank):
        assert after(edit, "error") == {("segments[1].options[0].image", "required")}
        assert after(edit, "warning") == {("segments[1].options[0].tripadvisorId", "may_be_replaced")}
    assert after(put("price", "fixedPriceAmount", gone=True), "error") == set()


LEGS = (*FLIGHT, "flightSegments")
LEG = "segments[0].options[0].flightSegments[1]"


@pytest.mark.parametrize(
    ("edit", "path", "code"),
    [
        (put(*LEGS, 1, "pointA", "time", value="15:45 PM"), f"{LEG}.layoverTime", "short_layover"),
        (put(*LEGS, 1, "pointA", "date", value="21.05.2016"), f"{LEG}.layoverTime", "long_layover"),
        (put(*LEGS, 1, "pointA", "time", value="15:00 PM"), f"{LEG}.pointA.time", "backwards"),
        (put(*LEGS, 1, "pointB", "time", value="15:00 PM"), f"{LEG}.pointB.time", "backwards"),
        (put(*LEGS, 1, "pointA", "code", value="MUC"), f"{LEG}.pointA.code", "airport_change"),
        (put(*LEGS, 1, "pointB", "code", value="QQQ"), f"{LEG}.pointB.code", "airport_unknown"),
        (
            put(*LEGS, 1, "pointB", value={"code": "BCN", "date": "27.03.2016", "time": "02:30 AM"}),
            f"{LEG}.pointB.time",
            "no_such_time",
        ),
        (put(*LEGS, 1, "pointB", "date", value="27.05.2016"), f"{LEG}.pointB.date", "outside_trip"),
        (
            put(*STAY, "dateInterval", "from", value="18.05.2016"),
            "segments[1].options[0].dateInterval.from",
            "outside_trip",
        ),
        (put(*STAY, "image", gone=True), "segments[1].options[0].bookingId", "may_stay_blank"),
        (
            put(*STAY, "image", value="https://en.wikipedia.org/wiki/Barcelona#/media/File:Barcelona_collage.JPG"),
            "segments[1].options[0].image",
            "web_page",
        ),
        (put(*STAY, "image", value="collage.jpg"), "segments[1].options[0].image", "no_address"),
        (put(*STAY, "image", value="http://["), "segments[1].options[0].image", "no_address"),
        (put(*RIDE, "pointB", "time", value="09:00 AM"), "segments[2].options[0].pointB.time", "backwards"),
        (put("segments", 2, "milestone", value="Llegada a Málaga"), "segments[2].milestone", "other_city"),
    ],
)
def test_each_oddity_is_a_warning(edit, path, code):
    """One at a time, on the sample; none of them keeps the trip back."""
    assert (path, code) in after(edit, "warning")


@given(documents)
def test_any_document_can_be_looked_at(data):
    """Whatever a draft holds, its problems can be told, each with a path and words."""
    for one in problems.find(document.parse(data)):
        assert one.message
        assert one.code


@pytest.mark.parametrize("code", ["OTP", "HNL", "AKL"])
@pytest.mark.parametrize("moment", [("01.01.0001", "00:00"), ("31.12.9999", "23:59 PM")])
def test_the_ends_of_the_calendar_break_nothing(code, moment):
    """Reckoning with zones there leaves the years that Python has; seen to raise without the guard."""
    point = {"name": "?", "code": code, "date": moment[0], "time": moment[1]}
    legs = [{"pointA": point, "pointB": point}] * 2
    assert found({"segments": [{"type": "flight", "options": [{"flightSegments": legs}]}]}, "error")


def test_no_document_takes_long_to_look_at():
    """Cards are compared each with each, so a mebibyte of them is bounded; seen to take twenty seconds without the bound."""
    stay = {"type": "accommodation", "options": [{"dateInterval": {"from": "19.05.2016", "to": "19.05.2016"}}]}
    trip = document.parse({"segments": [stay] * 8000})
    started = time.monotonic()
    assert "overlap" not in {one.code for one in problems.find(trip)}
    assert time.monotonic() - started < 10
