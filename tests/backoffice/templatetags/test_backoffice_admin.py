"""The way back on the admin's pages, and how its lists and forms read."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from backoffice.templatetags.backoffice_admin import without_colon
from tests.fleet.factories import make
from users.services import user_create


@pytest.fixture
def staff(client: Client, db: None) -> Client:
    client.force_login(user_create(username="root", email="root@example.org", is_staff=True, is_superuser=True))
    return client


def crumbs(page: str) -> list[str]:
    found = re.search(r'<nav class="crumbs".*?</nav>', page, re.DOTALL)
    assert found
    return re.findall(r"<a [^>]*>(.*?)</a>", found.group())


@pytest.mark.parametrize(
    ("path", "way"),
    [
        ("/admin/", []),
        ("/admin/fleet/", ["Settings"]),
        ("/admin/fleet/vehicle/", []),
        ("/admin/fleet/vehicle/ES-1/change/", ["Vehicles"]),
        ("/admin/fleet/vehicle/ES-1/history/", ["Vehicles", "1234 BCD (ES-1)"]),
        ("/admin/auth/group/", ["Settings"]),
        ("/admin/auth/group/add/", ["Settings", "Groups"]),
        ("/admin/itineraries/itinerary/", ["Itineraries"]),
        ("/admin/citytrips/syncrequest/", ["CityTrips"]),
    ],
)
def test_the_way_to_a_page(staff: Client, path: str, way: list[str]) -> None:
    """The crumbs name the section, unless the list is the section's own page, then the list and the row."""
    make("ES-1")
    assert crumbs(staff.get(path).content.decode()) == way


def test_labels_have_no_colon() -> None:
    """Only the colon at the label's end goes."""
    assert without_colon('<label for="a:b">At: home:</label>') == '<label for="a:b">At: home</label>'


def test_a_list_says_how_many_there_are_and_a_filter_what_it_is_set_to(staff: Client) -> None:
    """The heading names the things, and each filter is a button that says its present choice."""
    make("ES-1")
    page = " ".join(staff.get("/admin/fleet/vehicle/?state=available").content.decode().split())
    assert "<h1>Vehicles</h1>" in page
    assert "1 vehicle</span>" in page
    assert "<span>State:</span> <b>Available</b>" in page


def test_a_list_without_rows_says_what_to_do(staff: Client) -> None:
    """Nothing found offers to show everything; nothing there offers to add the first."""
    assert "Show everything" in staff.get("/admin/auth/group/?q=nothing").content.decode()
    Group.objects.all().delete()
    page = staff.get("/admin/auth/group/").content.decode()
    assert "No groups yet" in page
    assert 'href="/admin/auth/group/add/"' in page


def test_a_confirmation_names_what_goes(staff: Client) -> None:
    """Before anything is deleted, it is named."""
    group = Group.objects.create(name="Night shift")
    page = staff.get(f"/admin/auth/group/{group.pk}/delete/").content.decode()
    assert "<h1>Delete Night shift</h1>" in page
    assert "This cannot be undone" in page
