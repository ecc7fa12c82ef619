"""Each warning, with a case that just has it and one that just has not, on a trip that is otherwise in order."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from itineraries import document, problems
from itineraries.errors import Problem

PACKAGE = Path(problems.__file__).parent


def point(code: str, name: str, moment: str) -> dict[str, Any]:
    day, clock = moment.split(" ", 1)
    return {"code": code, "name": name, "date": day, "time": clock}


def leg(code: str, start: dict[str, Any], end: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"code": code, "duration": 7200, "stops": 0, "pointA": start, "pointB": end, **more}


def flight(*legs: dict[str, Any], price: float = 70) -> dict[str, Any]:
    totals = {"duration": 7200, "stops": 0, "layovers": len(legs) - 1}
    return {"price": {"currentAmount": price}, **totals, "flightSegments": list(legs)}


def ride(start: str, leaves: str, end: str, arrives: str) -> dict[str, Any]:
    def place(name: str, moment: str) -> dict[str, str]:
        return {"name": name, "date": moment[:10], "time": moment[11:]}

    ends = {"pointA": place(start, leaves), "pointB": place(end, arrives)}
    return {"price": {"currentAmount": 15}, "duration": 1800, **ends}


def stay(first: str, last: str, price: float = 200) -> dict[str, Any]:
    return {
        "title": "SmartRoom", "dateInterval": {"from": first, "to": last}, "price": {"currentAmount": price},
        "image": "https://example.com/room.jpg", "description": "A room", "address": "Olzinelles 56, Barcelona",
        "latitude": 41.37, "longitude": 2.13,
    }  # fmt: skip


def card(kind: str, milestone: str, *options: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "milestone": milestone, "options": list(options)}


OUT, RIDE, STAY, WALK, BACK_RIDE, BACK = range(6)


def trip() -> dict[str, Any]:
    """A week in Barcelona, a Thursday to a Thursday, about which there is nothing to say."""
    first = leg("LH 1419", point("OTP", "Bucharest", "19.05.2016 13:45"), point("FRA", "Frankfurt", "19.05.2016 15:15"))
    second = leg(
        "LH 1132", point("FRA", "Frankfurt", "19.05.2016 16:05"), point("BCN", "Barcelona", "19.05.2016 18:05"),
        layoverTime=3000,
    )  # fmt: skip
    home = leg("W6 3162", point("BCN", "Barcelona", "26.05.2016 14:00"), point("OTP", "Bucharest", "26.05.2016 18:10"))
    walk = {"price": {"currentAmount": 20}, "image": "https://example.com/park.jpg", "description": "A park"}
    return {
        "title": "Trip to Barcelona",
        "dateInterval": {"from": "19.05.2016", "to": "26.05.2016"},
        "price": {"type": "dynamic", "currency": "EUR", "fixedPriceAmount": 0},
        "segments": [
            card("flight", "Off we go", flight(first, second)),
            card("carRide", "Arrived", ride("Airport", "19.05.2016 19:00", "Hotel", "19.05.2016 19:30")),
            card("accommodation", "Rest", stay("19.05.2016", "26.05.2016")),
            card("experience", "Things to do", walk),
            card("carRide", "Leaving", ride("Hotel", "26.05.2016 11:00", "Airport", "26.05.2016 11:30")),
            card("flight", "Home", flight(home, price=80)),
        ],
    }


def warnings(data: dict[str, Any]) -> list[Problem]:
    found = problems.find(document.parse(data))
    assert [one for one in found if one.level == "error"] == []
    return found


Edit = Callable[[dict[str, Any]], None]


def put(*steps: Any) -> Edit:
    """An edit that sets what the steps lead to; the last one is the value."""

    def edit(data: Any) -> None:
        *way, name, value = steps
        for step in way:
            data = data[step]
        data[name] = copy.deepcopy(value)

    return edit


def both(*edits: Edit) -> Edit:
    def edit(data: dict[str, Any]) -> None:
        for one in edits:
            one(data)

    return edit


def without(*cards: int) -> Edit:
    def edit(data: dict[str, Any]) -> None:
        data["segments"] = [card for at, card in enumerate(data["segments"]) if at not in cards]

    return edit


def also(at: int, *options: dict[str, Any]) -> Edit:
    """More options of a card."""
    return lambda data: data["segments"][at]["options"].extend(copy.deepcopy(options))


def insert(at: int, *cards: dict[str, Any]) -> Edit:
    def edit(data: dict[str, Any]) -> None:
        data["segments"][at:at] = copy.deepcopy(cards)

    return edit


def at(card: int, *steps: Any) -> Edit:
    """An edit of the card's first option."""
    return put("segments", card, "options", 0, *steps)


def legs(card: int, *steps: Any) -> Edit:
    return at(card, "flightSegments", *steps)


def label(at: int, text: str) -> Edit:
    return put("segments", at, "milestone", text)


def nights(first: str, last: str) -> Edit:
    return at(STAY, "dateInterval", {"from": first, "to": last})


def whole(amount: float) -> Edit:
    return put("price", {"type": "fixed", "currency": "EUR", "fixedPriceAmount": amount})


SECOND_STAY = card("accommodation", "Rest more", stay("23.05.2016", "26.05.2016", 120))
O = "segments[%d].options[0]"  # noqa: E741
SECOND_LEG = f"{O % OUT}.flightSegments[1]"
NIGHT_FLIGHT = legs(BACK, 0, leg("X 1", point("BCN", "B", "25.05.2016 23:30"), point("OTP", "B", "26.05.2016 05:00")))
AFTER_MIDNIGHT = legs(BACK, 0, leg("X 1", point("BCN", "B", "26.05.2016 00:30"), point("OTP", "B", "26.05.2016 05:00")))
HOME = point("OTP", "Bucharest", "19.05.2016 23:00")
DAY_TRIP = both(without(RIDE, STAY, WALK, BACK_RIDE), put("dateInterval", "to", "19.05.2016"))
CLUJ = leg("X 1", point("CLJ", "Cluj", "19.05.2016 08:00"), point("OTP", "Bucharest", "19.05.2016 09:00"))
BOOKED = {"bookingId": "1", "dateInterval": {"from": "19.05.2016", "to": "26.05.2016"}, "price": {"currentAmount": 200}}
FREE = {"image": "https://example.com/a.jpg", "description": "Free"}
BACK_IN_TIME = "30.10.2016"


def on(day: str) -> Edit:
    """The trip of one day: a flight only, within Spain."""

    def edit(data: dict[str, Any]) -> None:
        data["dateInterval"] = {"from": day, "to": day}
        start, end = point("MAD", "Madrid", f"{day} 00:30"), point("BCN", "Barcelona", f"{day} 04:30")
        data["segments"] = [card("flight", "Go", flight(leg("IB 1", start, end)))]

    return edit


# What just has the warning, at which place, and what is next to it and has none.
CASES: list[tuple[str, Edit, str, Edit]] = [
    ("overlap", both(insert(3, SECOND_STAY), nights("19.05.2016", "24.05.2016")), f"{O % 3}.dateInterval.from",
     both(insert(3, SECOND_STAY), nights("19.05.2016", "23.05.2016"))),
    ("no_bed", nights("19.05.2016", "25.05.2016"), f"{O % STAY}.dateInterval.to",
     both(nights("19.05.2016", "25.05.2016"), NIGHT_FLIGHT, without(BACK_RIDE))),
    ("no_bed", nights("20.05.2016", "26.05.2016"), f"{O % STAY}.dateInterval.from",
     both(nights("20.05.2016", "26.05.2016"),
          legs(OUT, 1, "pointB", point("BCN", "Barcelona", "20.05.2016 06:00")),
          at(RIDE, ride("Airport", "20.05.2016 07:00", "Hotel", "20.05.2016 07:30")))),
    ("no_bed", without(RIDE, STAY), "dateInterval", both(without(RIDE, STAY), on("19.05.2016"))),
    ("no_bed", both(insert(3, SECOND_STAY), nights("19.05.2016", "22.05.2016")), f"{O % 2}.dateInterval.to",
     both(insert(3, SECOND_STAY), nights("19.05.2016", "23.05.2016"))),
    ("airport_change", legs(OUT, 1, "pointA", "code", "HHN"), f"{SECOND_LEG}.pointA.code",
     legs(OUT, 1, "pointA", "code", " fra ")),
    ("airport_change", both(legs(BACK, 0, "pointA", "code", "GRO"), without(RIDE, BACK_RIDE)),
     f"{O % 3}.flightSegments[0].pointA.code", both(legs(BACK, 0, "pointA", "code", "GRO"), without(RIDE))),
    ("airport_unknown", legs(BACK, 0, "pointB", "code", "QQQ"), f"{O % BACK}.flightSegments[0].pointB.code",
     legs(BACK, 0, "pointB", "code", "otp")),
    ("backwards", legs(BACK, 0, "pointB", "time", "14:59 PM"), f"{O % BACK}.flightSegments[0].pointB.time",
     legs(BACK, 0, "pointB", "time", "15:00 PM")),
    ("backwards", at(RIDE, "pointB", "time", "18:59 PM"), f"{O % RIDE}.pointB.time", at(RIDE, "pointB", "time", "19:00")),
    ("short_layover", legs(OUT, 1, "pointA", "time", "15:54 PM"), f"{SECOND_LEG}.layoverTime",
     legs(OUT, 1, "pointA", "time", "15:55 PM")),
    ("long_layover",
     both(legs(OUT, 1, leg("X 1", point("FRA", "F", "20.05.2016 15:16"), point("BCN", "B", "20.05.2016 18:05"), layoverTime=1)),
          at(RIDE, ride("Airport", "20.05.2016 19:00", "Hotel", "20.05.2016 19:30"))), f"{SECOND_LEG}.layoverTime",
     both(legs(OUT, 1, leg("X 1", point("FRA", "F", "20.05.2016 15:15"), point("BCN", "B", "20.05.2016 18:05"), layoverTime=1)),
          at(RIDE, ride("Airport", "20.05.2016 19:00", "Hotel", "20.05.2016 19:30")))),
    ("no_such_time", both(on("27.03.2016"), legs(OUT, 0, "pointA", "time", "02:30 AM")),
     f"{O % 0}.flightSegments[0].pointA.time", both(on("27.03.2016"), legs(OUT, 0, "pointA", "time", "03:00 AM"))),
    ("time_twice", both(on(BACK_IN_TIME), legs(OUT, 0, "pointA", "time", "02:59 AM")), f"{O % 0}.flightSegments[0].pointA.time",
     both(on(BACK_IN_TIME), legs(OUT, 0, "pointA", "time", "03:00 AM"))),
    ("outside_trip", nights("18.05.2016", "26.05.2016"), f"{O % STAY}.dateInterval.from",
     nights("19.05.2016", "26.05.2016")),
    ("outside_trip", both(nights("19.05.2016", "27.05.2016"), without(BACK_RIDE, BACK)), f"{O % STAY}.dateInterval.to",
     both(nights("19.05.2016", "27.05.2016"), without(BACK_RIDE, BACK), put("dateInterval", "to", "27.05.2016"))),
    ("before_landing", at(RIDE, "pointA", "time", "18:04 PM"), f"{O % RIDE}.pointA.time",
     at(RIDE, "pointA", "time", "18:05 PM")),
    ("before_landing", both(DAY_TRIP, legs(1, 0, leg("X 1", point("BCN", "B", "19.05.2016 18:04"), HOME))),
     f"{O % 1}.flightSegments[0].pointA.time",
     both(DAY_TRIP, legs(1, 0, leg("X 1", point("BCN", "B", "19.05.2016 18:05"), HOME)))),
    ("after_take_off", at(BACK_RIDE, "pointB", "time", "14:01 PM"), f"{O % BACK_RIDE}.pointB.time",
     at(BACK_RIDE, "pointB", "time", "14:00 PM")),
    ("after_flight_home",
     both(legs(BACK, 0, leg("X 1", point("BCN", "B", "25.05.2016 14:00"), point("OTP", "B", "25.05.2016 18:00"))), without(BACK_RIDE)),
     f"{O % STAY}.dateInterval.to", both(AFTER_MIDNIGHT, without(BACK_RIDE))),
    ("other_weekday", label(STAY, "Friday: arrived"), "segments[2].milestone", label(STAY, "thursday: arrived")),
    ("other_weekday", label(OUT, "El miércoles salimos"), "segments[0].milestone", label(OUT, "El Jueves salimos")),
    ("other_weekday", both(label(WALK, "Sonntag"), put("dateInterval", "to", "21.05.2016"), nights("19.05.2016", "21.05.2016"),
                           without(BACK_RIDE, BACK)), "segments[3].milestone",
     both(label(WALK, "Samstag"), put("dateInterval", "to", "21.05.2016"), nights("19.05.2016", "21.05.2016"),
          without(BACK_RIDE, BACK))),
    ("other_city", label(WALK, "Things to do in Berlin"), "segments[3].milestone",
     label(WALK, "Things to do in Barcelona")),
    ("other_city", label(STAY, "Llegada a Málaga"), "segments[2].milestone", label(STAY, "Llegada a Barcelona")),
    ("wrong_city", both(insert(OUT, card("flight", "First", flight(CLUJ))), label(4, "Rest in Cluj-Napoca")),
     "segments[4].milestone", label(WALK, "Change in Frankfurt")),
    ("far_price", whole(299.99), "price.fixedPriceAmount", whole(300)),
    ("far_price", whole(500.01), "price.fixedPriceAmount", whole(500)),
    ("far_price", both(whole(149), at(STAY, "price", {})), "price.fixedPriceAmount",
     both(whole(9000), at(STAY, "price", {}))),
    ("web_page", at(WALK, "image", "https://en.wikipedia.org/wiki/Tibidabo#/media/File:Tibidabo_(7923343396).jpg"),
     f"{O % WALK}.image", at(WALK, "image", "https://upload.wikimedia.org/wikipedia/commons/a/ae/Tibidabo.jpg?x=1")),
    ("web_page", at(STAY, "image", "https://example.com/room.html"), f"{O % STAY}.image",
     at(STAY, "image", "https://example.com/html/room")),
    ("no_address", at(STAY, "image", "example.com/room.jpg"), f"{O % STAY}.image",
     at(STAY, "image", "http://example.com/room.jpg")),
    ("no_price", put("segments", WALK, "options", 0, FREE), f"{O % WALK}.price",
     both(whole(380), put("segments", WALK, "options", 0, FREE))),
    ("may_be_replaced", at(STAY, "tripadvisorId", "7006624"), f"{O % STAY}.tripadvisorId",
     at(STAY, "tripadvisorId", "")),
    ("may_stay_blank", put("segments", STAY, "options", 0, BOOKED), f"{O % STAY}.bookingId", at(STAY, "bookingId", "")),
]  # fmt: skip


def test_a_trip_that_is_in_order_has_no_warning():
    """So what the cases below find comes from their edits."""
    assert warnings(trip()) == []


@pytest.mark.parametrize(
    ("code", "edit", "path", "near"), CASES, ids=[f"{number}-{case[0]}" for number, case in enumerate(CASES)]
)
def test_each_warning_is_there_and_next_to_it_is_not(code, edit, path, near):
    """The first edit brings the one warning at its place, the second one is as close as can be and brings none."""
    data = trip()
    edit(data)
    assert [(one.path, one.code) for one in warnings(data)] == [(path, code)]
    data = trip()
    near(data)
    assert [(one.path, one.code) for one in warnings(data)] == []


def test_every_warning_that_can_be_given_has_a_case():
    """The codes of the source, those of the table above, and those that the documentation tells."""
    sources = [
        (PACKAGE / f"{name}.py").read_text() for name in ("consistency", "between_cards", "nights", "milestones")
    ]
    written = re.compile(r'(?:"warning"|_warning\((?:f?"[^"]*"|path|\w+)), "(\w+)"')
    given = {code for source in sources for code in written.findall(source)}
    assert len(given) > 15
    assert given == {code for code, _edit, _path, _near in CASES}
    told = (PACKAGE.parent / "docs" / "itineraries.md").read_text().partition("## Problems")[2]
    assert given == {
        code for row in re.findall(r"^\| (`.*?`) \|", told, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)
    }


# --- Choices of options ------------------------------------------------------------------------------------------


def said(data: dict[str, Any], code: str) -> list[tuple[str, str]]:
    return [(one.path, one.message) for one in warnings(data) if one.code == code]


def test_a_clash_with_one_option_only_names_it():
    """A second flight that lands in time leaves the warning to the first."""
    data = trip()
    at(RIDE, ride("Airport", "19.05.2016 17:00", "Hotel", "19.05.2016 17:30"))(data)
    early = leg("X 1", point("OTP", "B", "19.05.2016 08:00"), point("BCN", "B", "19.05.2016 10:00"))
    also(OUT, flight(early))(data)
    message = "This ride leaves before the flight lands."
    assert said(data, "before_landing") == [
        ("segments[1].options[0].pointA.time", f"{message} This is so with option 1 of card 1.")
    ]
    data["segments"][OUT]["options"].pop()
    assert said(data, "before_landing") == [("segments[1].options[0].pointA.time", message)]


def test_the_option_that_clashes_is_the_place():
    """Of three check-outs, one is after the flight home; of two flights home, one is too early for another."""
    data = trip()
    also(STAY, stay("19.05.2016", "27.05.2016"), stay("19.05.2016", "25.05.2016"))(data)
    late = leg("X 1", point("BCN", "B", "27.05.2016 14:00"), point("OTP", "B", "27.05.2016 18:00"))
    also(BACK, flight(late))(data)
    assert said(data, "after_flight_home") == [
        (
            "segments[2].options[1].dateInterval.to",
            "The check-out is after the flight home has left. This is so with option 1 of card 6.",
        )
    ]


def test_a_night_without_a_bed_names_the_choices_that_leave_it():
    """Two stays share the last two nights between them: they are open only where neither of the chosen ones has them."""
    data = trip()
    data["segments"][STAY]["options"] = [stay("19.05.2016", "24.05.2016"), stay("19.05.2016", "26.05.2016")]
    insert(3, card("accommodation", "More", stay("24.05.2016", "26.05.2016"), stay("25.05.2016", "26.05.2016")))(data)
    path = "segments[2].options[0].dateInterval.to"
    assert said(data, "no_bed") == [
        (
            path,
            "There is no bed for the night of 24 May 2016. This is so with option 1 of card 3 and option 2 of card 4.",
        )
    ]
    data["segments"][3]["options"] = data["segments"][3]["options"][:1]
    assert said(data, "no_bed") == []
    del data["segments"][3]
    message = "There is no bed for 2 nights, from 24 May 2016 to 25 May 2016."
    assert said(data, "no_bed") == [(path, f"{message} This is so with option 1 of card 3.")]


def test_a_night_before_a_stay_is_told_at_its_check_in():
    """And one behind it at its check-out, each at the option that leaves it open."""
    data = trip()
    also(STAY, stay("20.05.2016", "25.05.2016"))(data)
    inside = "segments[2].options[1].dateInterval"
    assert [path for path, _message in said(data, "no_bed")] == [f"{inside}.from", f"{inside}.to"]


def test_a_weekday_that_is_wrong_with_one_option_says_so():
    """A stay that begins a day later is a Friday's."""
    data = trip()
    label(STAY, "Arrived on Thursday")(data)
    also(STAY, stay("20.05.2016", "27.05.2016"))(data)
    ((path, message),) = said(data, "other_weekday")
    assert path == "segments[2].milestone"
    assert message.endswith("This is so with option 2 of card 3.")


def test_days_and_amounts_are_in_the_reader_s_language():
    """The same problem, in the words of whoever reads it."""
    data = trip()
    whole(1234.5)(data)
    nights("19.05.2016", "25.05.2016")(data)
    with translation.override("es"):
        spanish = [one.message for one in warnings(data)]
    assert any("25 may 2016" in message for message in spanish)
    at(STAY, "price", "currentAmount", 20000.5)(data)
    english = [message for _path, message in said(data, "far_price")]
    with translation.override("es"):
        spanish = [message for _path, message in said(data, "far_price")]
    assert "20,200.50 EUR" in english[0]
    assert "20.200,50 EUR" in spanish[0]


DAYS = ["01.07.2026", "02.07.2026", "03.07.2026", "04.07.2026", "05.07.2026"]


@st.composite
def stays(draw: Any) -> list[list[tuple[int, int]]]:
    """Cards of stays: for each option the places of its check-in and check-out among DAYS."""
    taken = st.tuples(st.integers(0, 3), st.integers(1, 4)).filter(lambda pair: pair[0] < pair[1])
    return draw(st.lists(st.lists(taken, min_size=1, max_size=3), min_size=1, max_size=4))


def chosen(cards: list[list[tuple[int, int]]]) -> Iterable[list[tuple[int, tuple[int, int]]]]:
    """Every choice of options: (option counted from 1, its nights) of each card."""
    if not cards:
        yield []
        return
    for rest in chosen(cards[1:]):
        for number, taken in enumerate(cards[0], 1):
            yield [(number, taken), *rest]


@settings(max_examples=200)
@given(stays())
def test_the_choices_named_are_exactly_those_that_leave_a_night_open(cards):
    """Against every choice tried in turn: the nights that are told for it are those that none of its stays covers."""
    data = trip()
    data["dateInterval"] = {"from": DAYS[0], "to": DAYS[-1]}
    data["segments"] = [
        card("accommodation", "", *(stay(DAYS[first], DAYS[last]) for first, last in options)) for options in cards
    ]
    told = [one.message for one in problems.find(document.parse(data)) if one.code == "no_bed"]
    for choice in chosen(cards):
        for night in range(4):
            is_open = not any(first <= night < last for _number, (first, last) in choice)
            assert is_open == any(_tells(message, choice, night + 1) for message in told), (choice, night, told)


def _tells(message: str, choice: list[tuple[int, tuple[int, int]]], day: int) -> bool:
    days = [int(found) for found in re.findall(r"(\d+) Jul 2026", message)]
    named = re.findall(r"options? ([\d, and]+) of card (\d+)", message)
    fits = all(choice[int(card) - 1][0] in map(int, re.findall(r"\d+", numbers)) for numbers, card in named)
    return fits and min(days) <= day <= max(days)
