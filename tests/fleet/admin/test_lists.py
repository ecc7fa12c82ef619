"""The list of vehicles: its filters, their addresses, and those kept under names."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from fleet.filters import FILTERS, vehicles_filtered
from fleet.models import SavedFilter
from tests.fleet.admin.pages import LIST, SAVE_FILTER, told
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "query",
    [
        *(f"{one.name}={value}" for one in FILTERS if one.words is None for value, _label in one.choices()),
        "city=Madrid",
        "city=-",
        "country=Chile&city=Santiago",
        "state=available&state=reserved",
        "state=nonsense",
        "q=ES-1",
        "q=1234+bcd",
        "q=%2C",
        "q=cd&charge=low",
        "city=Nowhere&o=1",
    ],
)
def test_the_list_shows_what_its_address_says(client: Client, query: str) -> None:
    """The list shows exactly the vehicles that the same parameters name on the map and in an export."""
    make("ES-1")
    make("ES-2", battery=3, state="reserved", city="")
    make("CL-1", country="Chile", city="Santiago", latitude=-33.4, longitude=-70.6, plate="BB CL 23", battery=None)
    make("CL-2", country="", city="", latitude=None, longitude=None, plate="", state="removed")
    answer = client.get(f"{LIST}?{query}")
    assert answer.status_code == 200
    shown = {vehicle.pk for vehicle in answer.context["cl"].result_list}
    assert shown == set(vehicles_filtered(answer.wsgi_request.GET).values_list("pk", flat=True))


def test_active_filters_are_chips_that_take_themselves_away(client: Client) -> None:
    """Each value that is set is shown in words, with the address without it."""
    make()
    query = "q=1234&state=available&state=reserved&city=Madrid&charge=enough&p=1"
    answer = client.get(f"{LIST}?{query}")
    chips = [(chip.label, chip.value) for chip in answer.context["active_filters"]]
    assert chips == [
        ("search", "1234"),
        ("state", "Available"),
        ("state", "Reserved"),
        ("battery", "Enough"),
        ("city", "Madrid"),
    ]
    assert answer.context["active_filters"][1].without == "?q=1234&state=reserved&charge=enough&city=Madrid"
    for chip in answer.context["active_filters"]:
        assert client.get(LIST + chip.without).status_code == 200
        assert escape(chip.without) in answer.content.decode()


@pytest.mark.parametrize(
    "query",
    [
        "p=99999999999999999999999",
        "p=-1",
        "p=x",
        "o=99.-99",
        "o=x",
        "q=%00",
        "q=%F0%9F%9A%97",
        "q=" + "x" * 5000,
        "q=" + "%2C".join("abc" for _ in range(300)),
        "state=%ED%A0%80",
        "city=%27%22%3E%3Cscript%3E",
        "plate=duplicate&plate=-&plate=x",
        "silent=yes&silent=never&silent=zzz",
        "all=&_popup=1",
        "e=1",
        "charge=99999-9999999",
        "&".join(f"state={i}" for i in range(500)),
    ],
)
def test_a_hostile_address_is_no_error_of_ours(client: Client, query: str) -> None:
    """Whatever stands in the address, the list answers, or leads back to itself."""
    make()
    answer = client.get(f"{LIST}?{query}")
    assert answer.status_code in (200, 302, 400)
    assert b"<script>" not in answer.content.replace(b"<script>\n", b"")


def test_a_plate_twice_is_pointed_out(client: Client) -> None:
    """The list and the form say that another vehicle has the same plate; it is no error, and removed ones do not count."""
    make("1", plate="SAME")
    make("2", plate="SAME")
    make("3", plate="GONE")
    make("4", plate="GONE", state="removed")
    assert client.get(LIST).content.decode().count("Another vehicle has the same plate") == 2
    page = client.get(reverse("admin:fleet_vehicle_change", args=["1"])).content.decode()
    assert "Another vehicle has the same plate:" in page
    assert reverse("admin:fleet_vehicle_change", args=["2"]) in page
    assert "same plate" not in client.get(reverse("admin:fleet_vehicle_change", args=["3"])).content.decode()


def test_buttons_lead_to_the_same_vehicles(client: Client, viewer: Client) -> None:
    """Map and export take the filters of the list along; who may only look is not offered to import."""
    tools = {tool.label: tool.url for tool in client.get(f"{LIST}?state=available&o=1&p=1").context["tools"]}
    assert tools["Map"].endswith("/fleet/map/?state=available")
    assert tools["Export"].endswith("?state=available")
    assert "Import" in tools
    assert "Import" not in [tool.label for tool in viewer.get(LIST).context["tools"]]


def test_a_filter_is_kept_shown_and_dropped(client: Client, viewer: Client) -> None:
    """A person's filter is kept in one spelling, replaced under its name, and its owner's to delete; shared, all see it."""
    make()
    sent = {"name": " Empty ", "query": "charge=low&junk=1&p=3&state=available&csrfmiddlewaretoken=x"}
    answer = client.post(SAVE_FILTER, sent)
    assert answer["Location"] == f"{LIST}?state=available&charge=low"
    kept = SavedFilter.objects.get()
    assert (kept.name, kept.query, kept.shared) == ("Empty", "state=available&charge=low", False)
    assert "Empty" not in viewer.get(LIST).content.decode()
    client.post(SAVE_FILTER, {"name": "Empty", "query": "charge=unknown", "shared": "on"})
    kept.refresh_from_db()
    assert (kept.query, kept.shared) == ("charge=unknown", True)
    assert 'href="?charge=unknown"' in viewer.get(LIST).content.decode()
    delete = reverse("admin:fleet_vehicle_filter_delete", args=[kept.pk])
    assert viewer.post(delete).status_code == 404
    assert client.get(delete).status_code == 405
    assert client.post(delete).status_code == 302
    assert not SavedFilter.objects.exists()


@pytest.mark.parametrize(
    "sent",
    [
        {"name": "", "query": "state=available"},
        {"name": "x" * 61, "query": "state=available"},
        {"name": "a\0b", "query": "state=available"},
        {"name": "x", "query": ""},
        {"name": "x", "query": "junk=1"},
        {"name": "x", "query": "state=\0"},
        {"name": "x", "query": "state=%00"},
        {"name": "x", "query": "city=" + "y" * 3000},
        {"name": "x", "query": "&".join(f"city={n}" for n in range(5000))},
        {},
    ],
    ids=lambda sent: str(sent)[:40],
)
def test_a_filter_that_cannot_be_kept(client: Client, sent: dict[str, str]) -> None:
    """It is said, and nothing is kept."""
    answer = client.post(SAVE_FILTER, sent)
    assert answer.status_code == 302
    assert not SavedFilter.objects.exists()
    assert "was not kept" in told(client, answer)
