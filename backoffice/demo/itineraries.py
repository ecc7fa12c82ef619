"""Four invented itineraries of different completeness; the first is the sample of Crusoe's specification.

They carry ``is_demo`` and are published to nothing but the simulator.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from django.contrib.auth import get_user_model

from backoffice.demo.login import STAFF_USERNAME
from itineraries.models import Itinerary
from itineraries.services import itinerary_create, itinerary_delete

Json = dict[str, Any]


def _money(amount: float, before: float | None = None) -> Json:
    return {"discounted": before is not None, "currentAmount": amount, "beforeAmount": before or 0}


def _point(name: str, date: str, time: str, code: str | None = None) -> Json:
    return {"name": name, **({"code": code} if code else {}), "date": date, "time": time}


def _leg(code: str, airline: str, duration: int, start: Json, end: Json, layover: int | None = None) -> Json:
    leg = {"code": code, "serviceInfo": airline, "duration": duration, "stops": 0, "pointA": start, "pointB": end}
    return leg if layover is None else {**leg, "layoverTime": layover}


def _flight(title: str, price: Json, legs: list[Json]) -> Json:
    return {
        "price": price,
        "title": title,
        "duration": sum(leg["duration"] + leg.get("layoverTime", 0) for leg in legs),
        "stops": 0,
        "layovers": len(legs) - 1,
        "flightSegments": legs,
    }


def _stay(title: str, price: Json, dates: tuple[str, str], **place: Any) -> Json:
    return {"price": price, "title": title, "dateInterval": {"from": dates[0], "to": dates[1]}, **place}


# Put together from the specification's sections: the main properties, then a sample of each kind of card.
SPECIFICATION_SAMPLE: Json = {
    "title": "Trip to Barcelona",
    "subtitle": "Bucharest to Barcelona",
    "dateInterval": {"from": "19.05.2016", "to": "26.05.2016"},
    "milestones": {"start": "Trip starts", "end": "Trip ends"},
    "price": {"type": "dynamic", "fixedPriceAmount": 0, "currency": "EUR"},
    "segments": [
        {
            "type": "flight",
            "options": [
                _flight(
                    "Bucharest to Barcelona via Frankfurt",
                    _money(70, before=90),
                    [
                        _leg(
                            "LH 1419",
                            "Lufthansa",
                            9000,
                            _point("Bucharest", "19.05.2016", "13:45 PM", "OTP"),
                            _point("Frankfurt", "19.05.2016", "15:15 PM", "FRA"),
                        ),
                        _leg(
                            "LH 1132",
                            "Lufthansa",
                            7200,
                            _point("Frankfurt", "19.05.2016", "16:05 PM", "FRA"),
                            _point("Barcelona", "19.05.2016", "18:05 PM", "BCN"),
                            layover=3000,
                        ),
                    ],
                )
            ],
        },
        {
            "type": "accommodation",
            "milestone": "Arrived at Point B",
            "options": [
                _stay(
                    "SmartRoom Barcelona",
                    _money(200),
                    ("19.05.2016", "26.05.2016"),
                    bookingId="1146179",
                    tripadvisorId="7006624",
                    image="http://aff.bstatic.com/images/hotel/max500/474/47494189.jpg",
                    address="Olzinelles 56-58",
                    description=(
                        "SmartRoom Barcelona is a budget hotel located in central Barcelona, 1 km from Sants Train "
                        "Station. Decorated in a modern style, each room here will provide you with a flat-screen "
                        "Smart TV with satellite channels."
                    ),
                    latitude=41.3720250384618,
                    longitude=2.13703218836054,
                )
            ],
        },
        {
            "type": "carRide",
            "milestone": "Arrived in Barcelona",
            "options": [
                {
                    "price": _money(15),
                    "title": "Barcelona airport to Point B",
                    "serviceInfo": "UberSelect",
                    "duration": 1800,
                    "pointA": _point("Barcelona airport", "19.05.2016", "09:15 AM"),
                    "pointB": _point("Point B", "19.05.2016", "09:45 AM"),
                }
            ],
        },
        {
            "type": "experience",
            "milestone": "Things to do in Berlin",
            "options": [
                {
                    "title": "Tibidabo Amusement Park",
                    "image": (
                        "https://upload.wikimedia.org/wikipedia/commons/thumb/a/ae/Tibidabo_%287923343396%29.jpg/"
                        "1280px-Tibidabo_%287923343396%29.jpg"
                    ),
                    "description": "Tibidabo Amusement Park, a magical place to be.",
                }
            ],
        },
    ],
}

# Complete and consistent: two flights and two hotels to choose from.
ANDES: Json = {
    "title": "Andes in ten days",
    "subtitle": "Madrid to Santiago de Chile",
    "dateInterval": {"from": "05.03.2027", "to": "15.03.2027"},
    "introText": "Harvest time: vineyards in the valley, and snow still on the peaks above it.",
    "milestones": {"start": "Off we go", "end": "Home again"},
    "price": {"type": "dynamic", "fixedPriceAmount": 0, "currency": "EUR"},
    "segments": [
        {
            "type": "flight",
            "options": [
                _flight(
                    "Direct",
                    _money(890),
                    [
                        _leg(
                            "IB 6833",
                            "Iberia, economy",
                            47100,
                            _point("Madrid", "05.03.2027", "23:55 PM", "MAD"),
                            _point("Santiago", "06.03.2027", "09:00 AM", "SCL"),
                        )
                    ],
                ),
                _flight(
                    "Via Barcelona",
                    _money(640.5, before=720),
                    [
                        _leg(
                            "VY 1005",
                            "Vueling",
                            4800,
                            _point("Madrid", "05.03.2027", "17:30 PM", "MAD"),
                            _point("Barcelona", "05.03.2027", "18:50 PM", "BCN"),
                        ),
                        _leg(
                            "IB 2603",
                            "Level",
                            52200,
                            _point("Barcelona", "05.03.2027", "21:20 PM", "BCN"),
                            _point("Santiago", "06.03.2027", "07:50 AM", "SCL"),
                            layover=9000,
                        ),
                    ],
                ),
            ],
        },
        {
            "type": "carRide",
            "milestone": "Arrived in Santiago",
            "options": [
                {
                    "price": _money(0),
                    "title": "An electric car to drive yourselves",
                    "serviceInfo": "Picked up at the airport, with a child seat",
                    "info": "Driving licence and a deposit of 300 EUR at the counter.",
                    "duration": 2400,
                    "pointA": _point("Santiago airport", "06.03.2027", "10:15 AM"),
                    "pointB": _point("Barrio Italia", "06.03.2027", "10:55 AM"),
                }
            ],
        },
        {
            "type": "accommodation",
            "milestone": "Ten days under the Andes",
            "options": [
                _stay(
                    "A small hotel in Barrio Italia",
                    _money(760),
                    ("06.03.2027", "15.03.2027"),
                    image="https://images.example.com/barrio-italia.jpg",
                    address="Avenida Italia 1200, Santiago",
                    description="Nine rooms around a courtyard with a fig tree. Breakfast until eleven.",
                    latitude=-33.4489,
                    longitude=-70.6247,
                ),
                _stay(
                    "A house at the foot of the hills",
                    _money(1180, before=1300),
                    ("06.03.2027", "15.03.2027"),
                    image="https://images.example.com/cajon-del-maipo.jpg",
                    address="Camino al Volcán 9000, San José de Maipo",
                    description="A house of wood and stone for six, with a terrace over the river.",
                    latitude=-33.6412,
                    longitude=-70.3531,
                ),
            ],
        },
        {
            "type": "experience",
            "milestone": "A day among the vines",
            "options": [
                {
                    "price": _money(65),
                    "title": "Harvest in the Maipo valley",
                    "image": "https://images.example.com/harvest.jpg",
                    "description": "Picking in the morning, and lunch at a long table under the vines.",
                }
            ],
        },
    ],
}

# Half done: a price and a milestone are missing, and the second night has no bed.
SYDNEY: Json = {
    "title": "A long weekend in Sydney",
    "subtitle": "Melbourne to Sydney",
    "dateInterval": {"from": "11.12.2026", "to": "14.12.2026"},
    "price": {"type": "dynamic", "currency": "USD"},
    "segments": [
        {
            "type": "flight",
            "options": [
                _flight(
                    "The early one",
                    _money(120),
                    [
                        _leg(
                            "QF 402",
                            "Qantas",
                            5100,
                            _point("Melbourne", "11.12.2026", "06:30 AM", "MEL"),
                            _point("Sydney", "11.12.2026", "07:55 AM", "SYD"),
                        )
                    ],
                )
            ],
        },
        {"type": "accommodation", "options": [{"title": "Somewhere in Surry Hills", "price": _money(310)}]},
    ],
}

# Only begun.
MADRID: Json = {"title": "Madrid for the Rossi family", "segments": []}

DOCUMENTS = (SPECIFICATION_SAMPLE, ANDES, SYDNEY, MADRID)


def load() -> int:
    """Add the itineraries whose titles are not there yet; returns how many were added."""
    user = get_user_model().objects.get(username=STAFF_USERNAME)
    present = set(Itinerary.objects.filter(is_demo=True).values_list("title", flat=True))
    missing = [document for document in DOCUMENTS if document["title"] not in present]
    for document in missing:
        itinerary_create(user=user, document=deepcopy(document), is_demo=True)
    return len(missing)


def remove() -> int:
    """Remove every itinerary that is marked as invented; returns how many there were."""
    user = get_user_model().objects.filter(username=STAFF_USERNAME).first()
    itineraries = list(Itinerary.objects.filter(is_demo=True))
    for itinerary in itineraries:
        itinerary_delete(itinerary_id=itinerary.pk, user=user)
    return len(itineraries)
