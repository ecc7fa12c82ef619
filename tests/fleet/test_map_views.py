"""The map's page, what it is told, and the card of a vehicle."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet import map_snapshots, mapping
from fleet.filters import vehicles_filtered
from fleet.map_views import tile_sources
from fleet.services import vehicles_object, vehicles_settle
from tests.fleet.factories import make
from tests.fleet.map_fleets import scatter

pytestmark = pytest.mark.django_db

PAGE = reverse("fleet:map")
DATA = reverse("fleet:map_data")
BACKEND = "users.backends.UsernameOrEmailBackend"
MADRID = {"west": "-3.9", "south": "40.2", "east": "-3.5", "north": "40.6", "zoom": "12"}
NAMES = ("west", "south", "east", "north", "zoom")


def card(pk: str = "ES-1") -> str:
    return reverse("fleet:map_card", args=[pk])


def person(*permissions: str, **values: Any) -> Client:
    user = get_user_model().objects.create_user("berta", "berta@example.org", "x", **values)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user, BACKEND)
    return client


@pytest.fixture
def client() -> Client:
    """A member of staff who may look at vehicles and do nothing else."""
    return person("view_vehicle", is_staff=True)


@pytest.fixture(autouse=True)
def always_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine, no answer is one of an earlier fleet."""
    monkeypatch.setattr(map_snapshots, "CHEAP", 3600.0)


def told(client: Client, **asked: object) -> dict[str, Any]:
    answer = client.get(DATA, asked)
    assert answer.status_code == 200, answer.content
    return json.loads(answer.content)


# --- Who may -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [PAGE, DATA, card()])
def test_the_map_is_for_staff_who_may_see_vehicles(url: str) -> None:
    """Visitors are sent to the login; others are refused."""
    make()
    assert Client().get(url).status_code == 302
    assert person("view_vehicle").get(url).status_code == 403
    get_user_model().objects.all().delete()
    assert person(is_staff=True).get(url).status_code == 403
    get_user_model().objects.all().delete()
    allowed = person("view_vehicle", is_staff=True)
    assert allowed.get(url).status_code == 200
    assert allowed.post(url).status_code == 405


# --- The page ----------------------------------------------------------------------------------------------------


def test_the_page_shows_the_filters_of_its_address(client: Client) -> None:
    """What the address says stands in the form and in the link to the list; removed vehicles are left out unless named."""
    make()
    text = client.get(PAGE, {"charge": "low", "city": "Atlantis", "q": 'a"<b'}).content.decode()
    assert '<option value="in_fleet" selected>' in text
    assert '<option value="low" selected>' in text
    assert '<option value="Atlantis" selected>' in text
    assert 'value="a&quot;&lt;b"' in text
    assert f"{reverse('admin:fleet_vehicle_changelist')}?charge=low&amp;city=Atlantis&amp;q=" in text
    several = client.get(f"{PAGE}?state=available&state=removed").content.decode()
    assert "Available or Removed" in several
    assert "[&quot;available&quot;, &quot;removed&quot;]" in several


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("", None),
        ("https://tile.openstreetmap.org/{z}/{x}/{y}.png", "https://tile.openstreetmap.org"),
        ("https://{s}.tiles.example.org/{z}/{x}/{y}.png", "https://*.tiles.example.org"),
        ("https://tiles-{s}.example.org/{z}/{x}/{y}.png", "https://*.example.org"),
        ("http://10.0.0.7:8080/{z}/{x}/{y}.png?key=1", "http://10.0.0.7:8080"),
    ],
)
def test_the_policy_allows_the_tiles_on_this_page_only(
    client: Client, settings: Any, url: str, source: str | None
) -> None:
    """Pictures come from the tile server on the map, from nowhere else anywhere else, and without tiles not at all."""
    settings.MAP_TILES_URL = url
    assert tile_sources(url) == ([source] if source else [])
    policy = client.get(PAGE).headers["Content-Security-Policy"]
    images = next(part for part in policy.split(";") if part.strip().startswith("img-src"))
    assert images.split() == ["img-src", "'self'", "data:", *([source] if source else [])]
    assert "script-src" not in policy
    assert "example.org" not in client.get(reverse("desk")).headers["Content-Security-Policy"]
    assert client.get(PAGE).headers["Referrer-Policy"] == "strict-origin-when-cross-origin"


def test_whose_map_it_is_is_said(client: Client, settings: Any) -> None:
    """The attribution stands on the map as text, linked as OpenStreetMap asks; without tiles there is none."""
    settings.MAP_TILES_ATTRIBUTION = "© <b>us</b>"
    assert "openstreetmap.org/copyright" in client.get(PAGE).content.decode()
    settings.MAP_TILES_URL = "https://tiles.example.org/{z}/{x}/{y}.png"
    assert "© &lt;b&gt;us" in (text := client.get(PAGE).content.decode())
    assert "openstreetmap.org/copyright" not in text
    settings.MAP_TILES_URL = ""
    assert "© &lt;b&gt;us" not in client.get(PAGE).content.decode()


# --- What is told ------------------------------------------------------------------------------------------------


def test_few_vehicles_are_told_one_by_one(client: Client) -> None:
    """With where they are and how they stand; those elsewhere are counted by city only."""
    make("1", battery=3)
    make("2", latitude=-33.45, longitude=-70.66, country="Chile", city="Santiago")
    make("3", latitude=None, longitude=None)
    make("4", state="removed")
    found = told(client, **MADRID)
    assert found["vehicles"] == [["1", 40.4168, -3.7038, 3, "1234 BCD", 3, "available", "Madrid"]]
    assert (found["count"], found["cells"], found["total"], found["unplaced"], found["fresh"]) == (1, None, 3, 1, True)
    assert found["counts"] == [0, 1, 0, 2, 0, 0]
    assert [(city["name"], sum(city["counts"]), city["unplaced"]) for city in found["cities"]] == [
        ("Santiago", 1, 0),
        ("Madrid", 2, 1),
    ]


def test_without_a_box_the_fleet_is_counted_only(client: Client) -> None:
    """So the page learns where to look first."""
    make()
    found = told(client)
    assert "vehicles" not in found
    assert found["cities"][0]["extent"] == [-3.7038, 40.4168, -3.7038, 40.4168]


def test_many_vehicles_are_counted_in_cells(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first of them one by one, for the list."""
    monkeypatch.setattr(mapping, "MOST_VEHICLES", 10)
    scatter(200)
    found = told(client, **MADRID)
    assert sum(sum(counts) for _latitude, _longitude, counts in found["cells"]) == found["count"] > 10
    assert 0 < len(found["vehicles"]) <= mapping.FIRST


@pytest.mark.parametrize(
    "query",
    [
        "", "state=available", "state=available&state=reserved", "charge=low", "city=Madrid", "city=-", "q=V00001",
        "availability=withheld", "citytrips=pending", "silent=never", "kind=car", "state=nonsense", "state=removed",
        "country=Spain&charge=unknown", "plate=-",
    ],
)  # fmt: skip
def test_the_map_shows_what_the_list_shows(client: Client, query: str) -> None:
    """The same parameters mean the same vehicles, though removed ones are on the map only where a state is named."""
    scatter(150)
    asked = QueryDict(query, mutable=True)
    if "state" not in asked:
        asked["state"] = "in_fleet"
    answer = client.get(f"{DATA}?{query}&west=-180&south=-90&east=180&north=90&zoom=3")
    found = json.loads(answer.content)
    expected = vehicles_filtered(asked)
    assert found["total"] == expected.count()
    assert {one[0] for one in found["vehicles"]} == set(
        expected.filter(latitude__isnull=False).values_list("pk", flat=True)
    )


def test_an_unchanged_fleet_costs_no_answer(client: Client) -> None:
    """Whoever has the last answer is told so in a few bytes, until anything of it changes."""
    make()
    first = client.get(DATA, MADRID)
    same = {"HTTP_IF_NONE_MATCH": first.headers["ETag"]}
    again = client.get(DATA, MADRID, **same)
    assert (again.status_code, again.content) == (304, b"")
    vehicles_object(versions={"ES-1": 1})
    changed = client.get(DATA, MADRID, **same)
    assert changed.status_code == 200
    assert json.loads(changed.content)["counts"] == [0, 0, 1, 0, 0, 0]
    assert "no-store" not in first.headers["Cache-Control"]
    assert "private" in first.headers["Cache-Control"]


@pytest.mark.parametrize(
    "asked",
    [
        {"zoom": "12"},
        {**MADRID, "zoom": ""},
        {**MADRID, "zoom": "23"},
        {**MADRID, "zoom": "-1"},
        {**MADRID, "zoom": "1e1"},
        {**MADRID, "zoom": "٣"},
        {**MADRID, "zoom": "9" * 5000},
        {**MADRID, "west": "west"},
        {**MADRID, "west": "nan"},
        {**MADRID, "east": "inf"},
        {**MADRID, "north": "1e308"},
        {**MADRID, "south": "41"},
        {**MADRID, "south": ""},
        {name: value for name, value in MADRID.items() if name != "east"},
        {**MADRID, "west": "'; DROP TABLE fleet_vehicle"},
        {**MADRID, "west": "\x00"},
    ],
)
def test_a_box_that_is_none_is_refused_in_words(client: Client, asked: dict[str, str]) -> None:
    """400, with what a box or a zoom is."""
    answer = client.get(DATA, asked)
    assert answer.status_code == 400
    assert json.loads(answer.content)["detail"]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.dictionaries(
        st.sampled_from(NAMES), st.one_of(st.text(max_size=12), st.floats().map(str), st.integers().map(str))
    ),
    more=st.dictionaries(
        st.sampled_from(["state", "charge", "city", "q", "silent", "kind", "plate"]), st.text(max_size=12)
    ),
)
def test_whatever_is_asked_is_answered(client: Client, asked: dict[str, str], more: dict[str, str]) -> None:
    """No address makes the map fail."""
    full = {**MADRID, **asked} if len(asked) < 3 else asked
    assert client.get(DATA, {**full, **more}).status_code in (200, 400)
    assert client.get(PAGE, more).status_code == 200


def test_boxes_over_the_180th_meridian_and_at_the_poles(client: Client) -> None:
    """Vehicles on both sides of the meridian are in one box, and the poles are no end of the world."""
    for pk, longitude in (("1", 179.9), ("2", -179.9), ("3", 0.5)):
        make(pk, country="", latitude=-17.0, longitude=longitude)
    make("4", country="", latitude=90, longitude=10.0)
    for west, east in (("179", "-179"), ("179", "181"), ("-181", "-179")):
        found = told(client, west=west, south="-20", east=east, north="-10", zoom="5")
        assert [one[0] for one in found["vehicles"]] == ["1", "2"]
    assert told(client, west="-180", south="80", east="180", north="120", zoom="0")["count"] == 1
    assert told(client, west="-180", south="-90", east="180", north="90", zoom="22")["count"] == 4


@pytest.mark.parametrize("number", [100, 10_000])
def test_query_counts(client: Client, number: int) -> None:
    """Page and answer take the same queries whatever the fleet's size; four of the answer's are its own at most."""
    scatter(number)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(PAGE).status_code == 200
    assert len(queries) == 6  # session, person, two for permissions, cities, countries
    for zoom, most in (("3", 2), ("12", 2), ("16", 3)):
        with CaptureQueriesContext(connection) as queries:
            told(client, **{**MADRID, "zoom": zoom})
        assert len(queries) <= 4 + most


# --- The card ----------------------------------------------------------------------------------------------------


def test_the_card_says_what_keeps_a_vehicle_back(client: Client) -> None:
    """Plate, id, state, battery, reasons in words, last signal and where to read on."""
    make(battery=12, last_signal_at=timezone.now() - timedelta(minutes=40), model="e-208", note="Scratch")
    text = client.get(card()).content.decode()
    for words in (
        "1234 BCD",
        "ES-1",
        "Available",
        "Withheld",
        "battery 12 % is below 20 %",
        "40",
        "e-208",
        "Scratch",
        "Madrid",
    ):
        assert words in text
    assert reverse("admin:fleet_vehicle_change", args=["ES-1"]) in text


def test_the_card_of_an_offered_vehicle(client: Client) -> None:
    """It says where CityTrips stands, and of one that is on a trip nothing of what would keep it back."""
    make()
    assert "Pending" in client.get(card()).content.decode()
    vehicles_settle(versions={"ES-1": 1}, listed=True)
    assert "Settled" in client.get(card()).content.decode()
    make("2", state="on_trip", battery=3)
    text = client.get(card("2")).content.decode()
    assert "On trip" in text
    assert "Not offered" in text
    assert "is below" not in text


def test_the_card_escapes_what_it_shows(client: Client) -> None:
    """Whatever stands in a field is text."""
    make(plate="<b>1</b>", model="<script>x()</script>", note='"><img>')
    text = client.get(card()).content.decode()
    assert "<script>x" not in text
    assert "<B>1" not in text
    assert "<img>" not in text


def test_the_card_of_no_vehicle(client: Client) -> None:
    """A vehicle that is gone meanwhile is told, not an error."""
    for pk in ("nobody", "..", "ES 1", "%00", "é" * 100):
        answer = client.get(PAGE + "vehicles/" + pk + "/")
        assert answer.status_code == 404
    assert "any more" in client.get(card("nobody")).content.decode()
