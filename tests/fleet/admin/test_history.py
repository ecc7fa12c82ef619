"""What was done with a vehicle, undoing it, and the changes of the whole fleet."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from fleet import services
from fleet.models import Vehicle, VehicleChange
from tests.fleet.admin.pages import CHANGES, state_url, undo_url
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


def test_history_tells_and_undoes(client: Client) -> None:
    """Who, from where, old and new in words; undo shows what it will do, and does it once."""
    make()
    sent = {"state": "non_operational", "seen": "available"}
    client.post(state_url(), sent)
    entry = VehicleChange.objects.get(added=False)
    url = reverse("admin:fleet_vehicle_history", args=["ES-1"])
    page = client.get(url).content.decode()
    for words in ("Out of service", "By hand", "API", "Added", undo_url(entry)):
        assert words in page
    page = client.get(undo_url(entry)).content.decode()
    assert "Undoing it sets" in page
    answer = client.post(undo_url(entry))
    assert answer["Location"] == url
    assert Vehicle.objects.get().state == "available"
    page = client.get(url).content.decode()
    assert "undone" in page
    assert undo_url(entry) not in page
    again = client.post(undo_url(entry))
    assert again.status_code == 409
    assert "nothing left to undo" in again.content.decode()


def test_undo_keeps_what_is_newer(client: Client) -> None:
    """What was changed since is shown and stays; the rest is undone when that is said."""
    make()
    services.vehicle_update(vehicle=Vehicle(pk="ES-1"), values={"battery": 30, "city": "Toledo"})
    entry = VehicleChange.objects.first()
    services.vehicle_update(vehicle=Vehicle(pk="ES-1"), values={"battery": 29})
    page = client.get(undo_url(entry)).content.decode()
    assert "Changed since" in page
    assert "Undo the rest" in page
    refused = client.post(undo_url(entry))
    assert refused.status_code == 409
    assert "Changed since: battery." in refused.content.decode()
    client.post(undo_url(entry), {"partly": "1"})
    assert Vehicle.objects.values_list("battery", "city").get() == (29, "Madrid")


def test_undo_of_what_would_be_invalid(client: Client) -> None:
    """The reason is said, and nothing changes."""
    make()
    services.vehicle_update(
        vehicle=Vehicle(pk="ES-1"), values={"country": "France", "latitude": None, "longitude": None}
    )
    entry = VehicleChange.objects.first()
    services.vehicle_update(vehicle=Vehicle(pk="ES-1"), values={"latitude": 48.8, "longitude": 2.3})
    answer = client.post(undo_url(entry), {"partly": "1"})
    assert answer.status_code == 409
    assert "not be a valid one" in answer.content.decode()
    assert Vehicle.objects.get().country == "France"


def test_undo_is_of_this_vehicle_only(client: Client) -> None:
    """Another vehicle's change has no page here, and neither has one that is not there."""
    make("A")
    make("B")
    entry = VehicleChange.objects.get(vehicle="A")
    for url in (
        reverse("admin:fleet_vehicle_undo", args=["B", entry.pk]),
        reverse("admin:fleet_vehicle_undo", args=["A", 10**9]),
        reverse("admin:fleet_vehicle_undo", args=["C", entry.pk]),
    ):
        assert client.get(url).status_code == 404
        assert client.post(url).status_code == 404


def test_history_pages(client: Client) -> None:
    """A long history comes in pages; a page that is not there is the nearest one."""
    make()
    for number in range(60):
        services.vehicle_update(vehicle=Vehicle(pk="ES-1"), values={"battery": number})
    url = reverse("admin:fleet_vehicle_history", args=["ES-1"])
    assert len(client.get(url).context["entries"]) == 50
    assert len(client.get(f"{url}?p=2").context["entries"]) == 11
    for page in ("999", "-1", "x", "9" * 30):
        assert client.get(f"{url}?p={page}").status_code == 200


def test_all_changes_in_one_list(client: Client) -> None:
    """The fleet's changes narrow by where they came from, by whom, by field and by vehicle, and cannot be edited."""
    make("A", plate="PLATE")
    make("B")
    client.post(state_url("A"), {"state": "missing"})
    services.vehicle_update(vehicle=Vehicle(pk="B"), values={"battery": 3})
    ana = get_user_model().objects.get(username="ana")

    def found(query: str) -> list[str]:
        answer = client.get(f"{CHANGES}?{query}")
        assert answer.status_code == 200, query
        return sorted(row.vehicle_id for row in answer.context["cl"].result_list)

    assert found("") == ["A", "A", "B", "B"]
    assert found("origin__exact=person") == ["A"]
    assert found(f"by={ana.pk}") == ["A"]
    assert found("by=-") == ["A", "B", "B"]
    assert found("field=battery") == ["B"]
    assert found("field=added") == ["A", "B"]
    assert found("field=nonsense") == []
    assert found("q=plat") == ["A", "A"]
    assert found("q=b") == ["B", "B"]
    entry = VehicleChange.objects.first()
    page = client.get(reverse("admin:fleet_vehiclechange_change", args=[entry.pk]))
    assert page["Location"] == reverse("admin:fleet_vehicle_history", args=["B"])
    assert client.post(reverse("admin:fleet_vehiclechange_delete", args=[entry.pk]), {"post": "yes"}).status_code == 403
    for bad in ("by=x", "by=" + "9" * 30, "by=%F0%9F%9A%97", "at__year=x"):
        assert client.get(f"{CHANGES}?{bad}").status_code in (200, 302, 400)
