"""Many vehicles at once."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from fleet import services
from fleet.models import Vehicle, VehicleChange
from tests.fleet.admin.pages import LIST, acted, told
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


def test_an_action_names_the_skipped_and_offers_to_undo(client: Client) -> None:
    """What was done, who was left out and why, and the way back, which is followed."""
    make("1")
    make("2", state="reserved", plate="HAD IT")
    make("3", state="removed", plate="GONE")
    message = told(client, acted(client, "set_reserved", "1", "2", "3"))
    assert "1 vehicle changed: Reserved." in message
    assert "1 already so (HAD IT)" in message
    assert "1 removed (GONE)" in message
    batch = VehicleChange.objects.get(batch__isnull=False).batch
    url = reverse("admin:fleet_vehiclechange_undo_batch", args=[batch])
    assert f'href="{url}"' in message
    assert "Undo this action?" in client.get(url).content.decode()
    answer = client.post(url)
    assert "1 vehicle undone." in told(client, answer)
    assert Vehicle.objects.get(pk="1").state == "available"
    assert client.get(reverse("admin:fleet_vehiclechange_undo_batch", args=[uuid4()])).status_code == 404


def test_an_action_on_all_of_a_filter_is_set_wise(client: Client) -> None:
    """All that a filter shows are changed, beyond the page, in as many queries however many there are."""

    def cost(number: int, state: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            answer = acted(client, f"set_{state}", "A0", query=f"?city=C{number}", select_across="1")
        assert f"{number} vehicles changed" in told(client, answer)
        return len(captured)

    for number in (60, 300):
        Vehicle.objects.bulk_create(Vehicle(id=f"{number}-{i}", city=f"C{number}") for i in range(number))
    Vehicle.objects.create(id="A0", city="other")
    cost(60, "missing")
    assert cost(60, "reserved") == cost(300, "reserved")
    assert Vehicle.objects.filter(state="reserved").count() == 360
    assert Vehicle.objects.get(pk="A0").state == "available"


def test_moving_asks_where(client: Client) -> None:
    """The page names the vehicles, takes the city, says what cannot be, and moves."""
    for number in range(7):
        make(f"V{number}", plate=f"P{number}")
    ids = [f"V{number}" for number in range(7)]
    page = acted(client, "move", *ids)
    assert page.status_code == 200
    assert "7 vehicles are to move" in page.content.decode()
    assert "and 2 more" in " ".join(page.content.decode().split())
    page = client.post(LIST, {"action": "move", "_selected_action": ids, "apply": "1", "city": " "})
    assert page.context["form"].errors
    page = client.post(LIST, {"action": "move", "_selected_action": ids, "apply": "1", "city": "a\x01"})
    assert page.context["form"].errors
    sent = {"action": "move", "_selected_action": ids, "apply": "1", "city": "Toledo", "country": ""}
    assert "7 vehicles moved: Toledo." in told(client, client.post(LIST, sent))
    sent |= {"country": "Chile", "city": "Santiago"}
    message = told(client, client.post(LIST, sent))
    assert "7 its position is not in Chile (P0, P1, P2, P3, P4 …)" in message
    assert "Undo" not in message
    assert set(Vehicle.objects.values_list("city", "country")) == {("Toledo", "Spain")}


def test_retiring_asks_first(client: Client) -> None:
    """The page says how many; if they have become others meanwhile, it asks again."""
    for number in range(3):
        make(f"V{number}", city="Old")
    page = acted(client, "retire", "V0", query="?city=Old", select_across="1")
    assert "Retire 3 vehicles" in page.content.decode()
    assert Vehicle.objects.filter(state="removed").count() == 0
    make("V3", city="Old")
    sent = {"action": "retire", "_selected_action": ["V0"], "select_across": "1", "apply": "3"}
    page = client.post(f"{LIST}?city=Old", sent)
    assert "Retire 4 vehicles" in page.content.decode()
    assert Vehicle.objects.filter(state="removed").count() == 0
    answer = client.post(f"{LIST}?city=Old", {**sent, "apply": "4"})
    assert "4 vehicles retired." in told(client, answer)
    assert Vehicle.objects.filter(state="removed").count() == 4


def test_sending_again_leaves_out_what_is_not_sent(client: Client, settings) -> None:
    """Only what CityTrips holds or is to hold is sent again; the others are named with the reason."""
    settings.SANDBOX = False
    make("1")
    make("2", battery=3, plate="LOW")
    make("3", state="on_trip", plate="AWAY")
    make("4", state="removed", plate="GONE")
    make("5", state="on_trip")
    services.vehicle_create(id="6", is_demo=True, plate="DEMO")
    Vehicle.objects.filter(pk="5").update(listed=True)
    message = told(client, acted(client, "resend", *"123456"))
    assert "2 vehicles are pending again." in message
    for words in (
        "1 withheld, so not sent (LOW)",
        "1 not offered, so not sent (AWAY)",
        "1 removed (GONE)",
        "1 demo, never sent (DEMO)",
    ):
        assert words in message
