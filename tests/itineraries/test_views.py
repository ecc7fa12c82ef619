"""The pages around the builder: who may see them, the list, a new trip, its deletion and its JSON."""

from __future__ import annotations

# ruff: noqa: F811 (the fixtures)
import json
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from itineraries import services
from itineraries.models import Itinerary
from tests.itineraries.pages import (
    EVERYTHING,
    HTMX,
    SAMPLE,
    ana,  # noqa: F401
    blank,  # noqa: F401
    client,  # noqa: F401
    page,
    person,
    queries,
    sample,  # noqa: F401
    signed_in,
)

pytestmark = pytest.mark.django_db


# --- Who may do what ---------------------------------------------------------------------------------------------


ADDRESSES = [
    ("get", "list", False, "view"), ("get", "new", False, "add"), ("get", "airports", False, "view"),
    ("get", "edit", True, "view"), ("post", "trip", True, "change"), ("post", "card_add", True, "change"),
    ("post", "restore", True, "change"), ("get", "publish", True, "publish"), ("post", "publish", True, "publish"),
    ("post", "resolve", True, "publish"), ("get", "delete", True, "delete"), ("post", "delete", True, "delete"),
    ("get", "document", True, "view"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "name", "of_one", "needed"), ADDRESSES)
def test_each_page_asks_for_its_permission(sample, method, name, of_one, needed):
    """Visitors go to the login; staff without the permission, and customers with it, are refused."""
    address = page(name, sample) if of_one else reverse(f"itineraries:{name}")
    assert getattr(Client(), method)(address).status_code == 302
    others = [f"{verb}_itinerary" for verb in EVERYTHING if verb != needed]
    assert getattr(signed_in(person("bob", *others)), method)(address).status_code == 403
    customer = person("eve", f"{needed}_itinerary", is_staff=False)
    assert getattr(signed_in(customer), method)(address).status_code == 403
    assert getattr(signed_in(person("zoe", f"{needed}_itinerary")), method)(address).status_code != 403


def test_a_lost_session_costs_no_typed_text(sample):
    """A save by htmx after the session ended is a 401, not a login page in the card's place."""
    assert Client().post(page("trip", sample), headers=HTMX).status_code == 401


def test_who_may_only_look_is_offered_no_buttons(sample):
    """Without the permission to change, the fields are disabled and nothing can be saved, added or removed."""
    html = signed_in(person("bob", "view_itinerary")).get(page("edit", sample)).content.decode()
    assert 'name="do" value="option_add"' not in html
    assert 'name="kind"' not in html
    assert html.count("<fieldset") == html.count("disabled>") + html.count('class="flight-leg"')


# --- The list ----------------------------------------------------------------------------------------------------


def test_the_empty_list_says_what_to_do(client):
    """With no trips, the page offers to make one."""
    html = client.get(reverse("itineraries:list")).content.decode()
    assert "No trips yet" in html
    assert reverse("itineraries:new") in html


def test_the_list_searches_filters_and_sorts(client, ana, sample, blank):
    """Trips are found by title, by state, and in the wanted order; nonsense parameters are ignored."""
    services.itinerary_create(user=ana, document={"title": "Autumn in Rome"})

    def titles(**query):
        html = client.get(reverse("itineraries:list"), query).content.decode()
        return re.findall(r'<th scope="row">\s*<a[^>]*>([^<]*)</a>', html)

    assert titles(q="barc") == ["Trip to Barcelona"]
    assert titles(state="ready") == ["Trip to Barcelona"]
    assert titles(sort="title") == ["Untitled trip", "Autumn in Rome", "Trip to Barcelona"]
    assert titles(sort="-title") == ["Trip to Barcelona", "Autumn in Rome", "Untitled trip"]
    assert titles(q="nothing of the kind") == []
    assert len(titles(state="nonsense", sort="nonsense", page="nonsense")) == 3
    assert len(titles(q="\0")) == 3


def test_the_list_costs_the_same_however_many_trips(client, ana, sample):
    """A page of the list takes as many queries for one trip as for forty."""
    few = queries(client, reverse("itineraries:list"))
    for number in range(39):
        services.itinerary_create(user=ana, document={"title": f"Trip {number}"})
    assert queries(client, reverse("itineraries:list")) == few
    assert "Page 1 of 2" in client.get(reverse("itineraries:list")).content.decode()


def test_filters_stay_when_turning_pages(client, ana):
    """The link to the next page keeps the search."""
    for number in range(30):
        services.itinerary_create(user=ana, document={"title": f"Trip {number}"})
    assert "q=Trip&amp;page=2" in client.get(reverse("itineraries:list"), {"q": "Trip"}).content.decode()


# --- New, import, export, delete ---------------------------------------------------------------------------------


def test_a_blank_trip_is_one_click(client):
    """A blank trip is made by a POST and opens in the builder."""
    answer = client.post(reverse("itineraries:new"), {"start": "blank"})
    assert answer["Location"] == page("edit", Itinerary.objects.get())


@pytest.mark.parametrize("way", ["text", "file"])
def test_an_imported_trip_goes_out_as_it_came_in(client, way):
    """JSON pasted or uploaded is what the download gives back, to the last digit and unknown property."""
    odd = {**SAMPLE, "mood": {"x": [1, 2.50, None, True]}, "introText": " two\r\nlines "}
    text = json.dumps(odd)
    given = {"text": text} if way == "text" else {"file": SimpleUploadedFile("trip.json", text.encode())}
    answer = client.post(reverse("itineraries:new"), {"start": "import", **given})
    assert answer.status_code == 302
    download = client.get(page("document", Itinerary.objects.get()))
    assert json.loads(download.content) == odd
    assert download["Content-Disposition"] == 'attachment; filename="trip-to-barcelona.json"'


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Choose a file, or paste the JSON."),
        ({"text": "{"}, "This is not JSON: line 1, column 2."),
        ({"text": '{"_key": 1}'}, "reserved"),
        ({"text": '{"segments": [{"type": "boat"}]}'}, "segments[0].type"),
        ({"text": "[1]"}, "must be an object"),
        ({"text": '{"a": NaN}'}, "finite"),
        ({"file": SimpleUploadedFile("x.json", b"\xff\xfe")}, "UTF-8"),
        ({"file": SimpleUploadedFile("x.json", b"")}, "empty"),
    ],
)
def test_an_import_that_cannot_be_kept_says_where_and_keeps_the_text(client, given, words):
    """A wrong document makes no trip; the page names the place and still holds what was pasted."""
    answer = client.post(reverse("itineraries:new"), {"start": "import", **given})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    if text := given.get("text"):
        assert text.replace('"', "&quot;") in answer.content.decode()
    assert not Itinerary.objects.exists()


def test_deletion_asks_first(client, sample):
    """The page asks; the POST deletes and says so in the list."""
    assert "Delete the trip?" in client.get(page("delete", sample)).content.decode()
    answer = client.post(page("delete", sample), follow=True)
    assert "was deleted" in answer.content.decode()
    assert not Itinerary.objects.exists()


def test_an_unknown_trip_is_not_found(client):
    """Every address of a trip that does not exist is a 404."""
    missing = Itinerary()
    for method, name, of_one, _needed in ADDRESSES:
        if of_one:
            assert getattr(client, method)(page(name, missing)).status_code == 404, name
