"""What staff see and change on a vehicle's own pages."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from fleet import services
from fleet.models import SavedFilter, Vehicle, VehicleChange
from tests.fleet.admin.pages import CHANGES, LIST, SAVE_FILTER, acted, signed_in, state_url, told, undo_url
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def test_query_counts_of_pages(client: Client) -> None:
    """A page takes the same few queries, however much there is to show."""
    make("few")
    make("many")
    for number in range(130):
        services.vehicle_update(vehicle=Vehicle(pk="many"), values={"battery": number % 100}, origin="person")
    services.vehicle_update(vehicle=Vehicle(pk="few"), values={"battery": 99}, origin="person")
    for page, most in (("change", 12), ("history", 9), ("state", 6)):
        urls = [reverse(f"admin:fleet_vehicle_{page}", args=[vehicle]) for vehicle in ("few", "many")]
        queries(client, urls[0])
        assert queries(client, urls[0]) == queries(client, urls[1]) <= most, page
    few = queries(client, f"{CHANGES}?q=few")
    assert few == queries(client, f"{CHANGES}?q=many") <= 14
    SavedFilter.objects.bulk_create(
        SavedFilter(name=f"{n}", query="state=available", owner=get_user_model().objects.get()) for n in range(20)
    )
    listed = queries(client, f"{LIST}?state=available&city=Madrid&q=few")
    assert listed == queries(client, f"{LIST}?state=available&city=Madrid&q=m") <= 12


def test_a_vehicle_at_a_glance(client: Client) -> None:
    """Its page begins with whether it is offered, in words, where it is, and what was done with it lately."""
    make(battery=12)
    for number in range(7):
        services.vehicle_update(vehicle=Vehicle(pk="ES-1"), values={"note": str(number)})
    answer = client.get(reverse("admin:fleet_vehicle_change", args=["ES-1"]))
    assert "Withheld: battery 12 % is below 20 %" in answer.content.decode()
    assert len(answer.context["changes"]) == 5
    assert "40.41680, -3.70380" in answer.content.decode()


def test_the_state_changes_in_the_list(client: Client) -> None:
    """The menu's request changes the vehicle with its history, and answers with what its row shows now."""
    make()
    sent = {"state": "reserved", "seen": "available"}
    answer = client.post(state_url(), sent, headers={"Accept": "application/json"})
    assert answer.status_code == 200
    row = json.loads(answer.content)
    assert 'data-state="reserved"' in row["state"]
    assert "Not offered" in row["citytrips"]
    entry = VehicleChange.objects.get(added=False)
    assert (entry.values, entry.by.username, entry.origin) == ({"state": ["available", "reserved"]}, "ana", "person")
    assert undo_url(entry) in row["message"]


def test_a_state_that_somebody_else_changed_meanwhile(client: Client) -> None:
    """Who saw another state is told, and the row shows the present one."""
    make(state="missing")
    sent = {"state": "reserved", "seen": "available"}
    answer = client.post(state_url(), sent, headers={"Accept": "application/json"})
    assert answer.status_code == 409
    row = json.loads(answer.content)
    assert 'data-state="missing"' in row["state"]
    assert "Missing" in row["message"]
    assert Vehicle.objects.get().state == "missing"
    page = client.post(state_url(), sent)
    assert page.status_code == 409
    assert "Somebody else changed this" in page.content.decode()


def test_the_state_has_a_page_of_its_own(client: Client) -> None:
    """Without a script the chip leads to a form that does the same."""
    make()
    assert f'href="{state_url()}"' in client.get(LIST).content.decode()
    assert client.get(state_url()).status_code == 200
    answer = client.post(state_url(), {"state": "elsewhere", "seen": "available"})
    assert answer["Location"] == reverse("admin:fleet_vehicle_change", args=["ES-1"])
    assert Vehicle.objects.get().state == "elsewhere"
    for bad in ({}, {"state": "asleep"}, {"state": "\0"}, {"state": "reserved", "seen": "x"}):
        assert client.post(state_url(), bad).status_code == 409
        assert client.post(state_url(), bad, headers={"Accept": "application/json"}).status_code == 409
    assert client.post(state_url(), {"state": "elsewhere"}).status_code == 302  # nothing to do
    assert VehicleChange.objects.filter(added=False).count() == 1
    assert client.get(state_url("nobody")).status_code == 404


def test_who_may_only_look_changes_nothing(viewer: Client) -> None:
    """No menu, no undo, no actions, and none of their addresses."""
    make()
    services.vehicle_update(vehicle=Vehicle(pk="ES-1"), values={"battery": 3})
    outcome = services.vehicles_set_state(ids=["ES-1"], state="reserved")
    entry = VehicleChange.objects.first()
    assert state_url() not in viewer.get(LIST).content.decode()
    history = viewer.get(reverse("admin:fleet_vehicle_history", args=["ES-1"]))
    assert history.status_code == 200
    assert undo_url(entry) not in history.content.decode()
    batch = reverse("admin:fleet_vehiclechange_undo_batch", args=[outcome.batch])
    for url in (state_url(), undo_url(entry), batch):
        assert viewer.get(url).status_code == 403
        assert viewer.post(url, {"state": "missing"}).status_code == 403
    assert Vehicle.objects.get().state == "reserved"
    assert viewer.get(CHANGES).status_code == 200
    stranger = signed_in("bob", "view_user")
    for url in (CHANGES, reverse("admin:fleet_vehicle_history", args=["ES-1"]), LIST):
        assert stranger.get(url).status_code == 403
    assert stranger.post(SAVE_FILTER, {"name": "x", "query": "state=available"}).status_code == 403


def test_texts_are_shown_as_texts(client: Client) -> None:
    """What somebody typed is never markup, wherever it is shown."""
    bad = "<b>x</b><script>alert(1)</script>"
    make("ES-1", note=bad, city=bad[:80], model="{{ 1 }}{% x %}", plate="<I>")
    services.vehicles_set_state(ids=["ES-1"], state="missing")
    SavedFilter.objects.create(name=bad, query=f"q={bad}", owner=get_user_model().objects.get())
    batch = VehicleChange.objects.first().batch
    message = told(client, acted(client, "set_missing", "ES-1"))
    assert "&lt;I&gt;" in message
    for url in (
        LIST,
        f"{LIST}?city={bad}&q={bad}",
        CHANGES,
        reverse("admin:fleet_vehicle_change", args=["ES-1"]),
        reverse("admin:fleet_vehicle_history", args=["ES-1"]),
        undo_url(VehicleChange.objects.first()),
        reverse("admin:fleet_vehiclechange_undo_batch", args=[batch]),
        state_url(),
    ):
        assert "<script>alert" not in client.get(url).content.decode(), url
