"""The admin of itineraries."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from itineraries import services
from itineraries.models import Itinerary, Publication
from tests.itineraries.strategies import wire

pytestmark = pytest.mark.django_db

LIST = "admin:itineraries_itinerary_changelist"


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root", "root@example.com", "x"))
    return client


def made(count: int = 1, state: str = "") -> Itinerary:
    for _number in range(count):
        itinerary = services.itinerary_create(user=None, document=wire("trip"))
        if state:
            Publication.objects.create(
                itinerary=itinerary,
                number=1,
                state=state,
                document={},
                fingerprint=itinerary.fingerprint,
                started_at=timezone.now(),
                url="javascript:alert(1)",
            )
    return itinerary


def test_the_list_shows_states_and_asks_once(client):
    """Titles, states as chips, and as many queries for two itineraries as for ten."""
    counts = []
    for more in (2, 8):
        made(more, "published")
        with CaptureQueriesContext(connection) as queries:
            page = client.get(reverse(LIST)).content.decode()
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert page.count('<span class="chip ok">Published</span>') == 10
    assert not [query for query in queries if '"itineraries_itinerary"."document"' in query["sql"]]


def test_the_list_is_filtered_by_state_and_searched(client):
    """What does not fit is not shown."""
    made()
    services.itinerary_create(user=None, document={"title": "A draft of something"})
    page = client.get(reverse(LIST), {"state": "draft"}).content.decode()
    assert ("A draft of something" in page, "Trip to Barcelona" in page) == (True, False)
    page = client.get(reverse(LIST), {"q": "barcelona"}).content.decode()
    assert ("A draft of something" in page, "Trip to Barcelona" in page) == (False, True)


def test_the_page_is_for_reading_and_leads_to_the_editor(client):
    """No field can be changed here; an address that is no web address is no link."""
    itinerary = made(state="published")
    page = client.get(reverse("admin:itineraries_itinerary_change", args=[itinerary.pk])).content.decode()
    assert reverse("itineraries:edit", args=[itinerary.pk]) in page
    assert 'name="_save"' not in page
    assert "javascript:alert(1)" in page
    assert 'href="javascript:' not in page
    assert client.get(reverse("admin:itineraries_itinerary_add")).status_code == 403


def test_deleting_goes_through_the_service(client):
    """Publications go along, but not while one is active: then the admin says why."""
    itinerary, waiting = made(state="published"), made(state="unknown")
    for one in (itinerary, waiting):
        url = reverse("admin:itineraries_itinerary_delete", args=[one.pk])
        page = client.get(url).content.decode()
        assert ("somebody has to say first what became of it" in page) == (one == waiting)
        client.post(url, {"post": "yes"})
    assert [one.pk for one in Itinerary.objects.all()] == [waiting.pk]
    action = {"action": "delete_selected", "_selected_action": [str(waiting.pk)], "post": "yes"}
    client.post(reverse(LIST), action)
    assert Itinerary.objects.count() == 1
    Publication.objects.update(resolved_at=timezone.now())
    client.post(reverse(LIST), action)
    assert Itinerary.objects.count() == 0


def test_permission_to_delete_itineraries_suffices():
    """Nobody needs a permission for publications besides."""
    user = get_user_model().objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_itinerary", "delete_itinerary"]))
    client = Client()
    client.force_login(user)
    itinerary = made(state="published")
    client.post(reverse("admin:itineraries_itinerary_delete", args=[itinerary.pk]), {"post": "yes"})
    assert Itinerary.objects.count() == 0
