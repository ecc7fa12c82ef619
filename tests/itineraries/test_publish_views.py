"""Publishing from the pages, against the simulated Crusoe on a real socket."""

from __future__ import annotations

# ruff: noqa: F811 (the fixtures)
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from backoffice.sandbox import crusoe
from backoffice.sandbox.crusoe import Fault
from itineraries import editing, services
from itineraries.models import Itinerary, Publication
from tests.itineraries.pages import (
    SAMPLE,
    ana,  # noqa: F401
    blank,  # noqa: F401
    client,  # noqa: F401
    page,
    posted,
    sample,  # noqa: F401
    signed_in,
)
from tests.itineraries.servers import says, serving, success

pytestmark = pytest.mark.django_db


@pytest.fixture
def crusoe_site(live_server, settings):
    """The simulated Crusoe on a real socket."""
    settings.CRUSOE_API_URL = f"{live_server.url}/sandbox/crusoe/api"
    settings.CRUSOE_API_KEY = "a key"
    settings.CRUSOE_TIMEOUT = 5
    crusoe.reset()
    yield crusoe
    crusoe.reset()


def publish(client, itinerary):
    """What the button of the page as it is now sends; nothing where there is no button."""
    address = page("publish", itinerary)
    return client.post(address, posted(client.get(address).content.decode()).get(address, {}), follow=True)


def test_publishing_shows_the_address_of_a_page_with_the_trip(client, sample, crusoe_site):
    """Confirmed, the trip is sent as it is, and the answer's address opens and stands in the list of publications."""
    assert "Publish to Crusoe" in client.get(page("publish", sample)).content.decode()
    html = publish(client, sample).content.decode()
    url = re.search(r'data-copy="([^"]+)"', html)[1]
    assert f'href="{url}"' in html
    assert "SmartRoom Barcelona" in Client().get(urlsplit(url).path).content.decode()
    assert crusoe_site.received()[0].document == SAMPLE
    assert "Version 1" in client.get(page("edit", sample)).content.decode()
    services.itinerary_edit(
        itinerary_id=sample.pk, user=None, edit=lambda trip: editing.trip_update(trip, {"title": "Another"})
    )
    assert "this address shows it as it was" in client.get(page("publish", sample)).content.decode()


@pytest.mark.django_db(transaction=True)
def test_twenty_clicks_on_a_page_make_one_publication(ana, sample, settings):
    """However many times, and by however many people, the form of one page is sent, Crusoe hears of it once."""
    people = [signed_in(ana) for _number in range(20)]
    address = page("publish", sample)
    settings.CRUSOE_API_KEY = "a key"
    form = posted(people[0].get(address).content.decode())[address]
    with serving(says(success())) as server, ThreadPoolExecutor(20) as pool:
        settings.CRUSOE_API_URL = server.url
        start = threading.Barrier(20)

        def click(person):
            start.wait()
            try:
                return person.post(address, form).status_code
            finally:
                connection.close()

        assert sorted(pool.map(click, people)) == [302, *[409] * 19]
    assert (len(server.requests), sample.publications.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_a_second_page_is_made_from_a_fresh_form_only(client, sample, settings):
    """The form of before is refused with the address; the fresh one says what another click makes, and makes it."""
    address = page("publish", sample)
    settings.CRUSOE_API_KEY = "a key"
    form = posted(client.get(address).content.decode())[address]
    with serving(says(success("http://a.example/1")), says(success("http://a.example/2"))) as server:
        settings.CRUSOE_API_URL = server.url
        assert client.post(address, form).status_code == 302
        for old in (form, {}, {"after": "x"}):
            again = client.post(address, old)
            html = again.content.decode()
            assert again.status_code == 409
            assert 'href="http://a.example/1"' in html
            assert "once more makes a second page" in html
        assert "othing was sent" in html
        assert client.post(address, posted(html)[address]).status_code == 302
        html = client.get(address).content.decode()
        assert 'href="http://a.example/1"' in html
        assert 'href="http://a.example/2"' in html
    assert len(server.requests) == 2


def test_a_trip_with_errors_is_not_sent(client, blank, crusoe_site):
    """The page lists the errors with links to their fields, offers no button, and a POST is refused."""
    html = client.get(page("publish", blank)).content.decode()
    assert f'href="{page("edit", blank)}#id_trip-title"' in html
    assert "Publish to Crusoe" not in html
    answer = publish(client, blank)
    assert answer.status_code == 422
    assert "The trip has errors" in answer.content.decode()
    assert crusoe_site.received() == []


@pytest.mark.django_db(transaction=True)
def test_without_a_key_the_page_says_what_to_set(client, sample, settings):
    """Publishing that is not configured names the variable."""
    settings.CRUSOE_API_KEY = ""
    assert "CRUSOE_API_KEY" in client.get(page("publish", sample)).content.decode()
    assert publish(client, sample).status_code == 422


def test_what_crusoe_refuses_stands_at_its_field_until_the_trip_is_edited(client, sample, crusoe_site):
    """A validation error of Crusoe's is shown with its place, on both pages, for as long as the document is the same."""
    crusoe_site.set_fault(Fault.FIELD_ERROR, "currency")
    html = publish(client, sample).content.decode()
    assert "Crusoe refused it" in html
    assert "Correct what is named here" in html
    assert f'href="{page("edit", sample)}#id_trip-currency"' in html
    assert "Try again" in html
    at_field = r'<div class="problems" id="id_trip-currency_problems"><p class="error">Crusoe '
    assert re.search(at_field, client.get(page("edit", sample)).content.decode())
    services.itinerary_edit(
        itinerary_id=sample.pk, user=None, edit=lambda trip: editing.trip_update(trip, {"title": "Another"})
    )
    assert not re.search(at_field, client.get(page("edit", sample)).content.decode())


@pytest.mark.parametrize("answer", ["address", "retry"])
def test_an_unknown_outcome_waits_for_a_person(client, sample, crusoe_site, answer):
    """Nothing is sent again before somebody says whether the trip is there."""
    crusoe_site.set_fault(Fault.NO_URL)
    html = publish(client, sample).content.decode()
    assert "Nobody knows whether it arrived" in html
    assert "Publish to Crusoe" not in html
    assert publish(client, sample).status_code == 409
    assert len(crusoe_site.received()) == 1
    crusoe_site.set_fault(Fault.NONE)
    if answer == "retry":
        html = client.post(page("resolve", sample), {"answer": "retry", "url": ""}, follow=True).content.decode()
        assert "Publish to Crusoe" in html
        assert "Did not arrive" in html
        assert "Outcome unknown" not in html
        assert "Published" in publish(client, sample).content.decode()
        assert len(crusoe_site.received()) == 2
    else:
        wrong = client.post(page("resolve", sample), {"answer": "address", "url": "javascript:alert(1)"})
        assert wrong.status_code == 422
        assert 'value="javascript:alert(1)"' in wrong.content.decode()
        assert client.post(page("resolve", sample), {"answer": "address", "url": ""}).status_code == 422
        address = {"answer": "address", "url": "https://mycrusoe.com/t/1"}
        html = client.post(page("resolve", sample), address, follow=True).content.decode()
        assert 'href="https://mycrusoe.com/t/1"' in html
        again = client.post(page("resolve", sample), address, follow=True)
        assert "No attempt of this trip has an unknown outcome." in again.content.decode()


@pytest.mark.django_db(transaction=True)
def test_when_nothing_was_sent_the_reason_and_a_retry_are_offered(client, sample, settings):
    """A partner that refuses the connection leaves the trip not sent, to be tried again by a button."""
    settings.CRUSOE_API_URL = "http://127.0.0.1:9/sandbox/crusoe/api"
    settings.CRUSOE_API_KEY = "a key"
    html = publish(client, sample).content.decode()
    assert "Nothing was sent" in html
    assert "can be sent again at once" in html
    assert "Try again" in html


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.REFUSE_KEY, "check CRUSOE_API_KEY"),
        (Fault.MISS_KEY, "set CRUSOE_API_KEY"),
        (Fault.PASSWORD, "check CRUSOE_API_USER and CRUSOE_API_PASSWORD"),
    ],
)
def test_a_refused_key_is_nobody_s_mistake_in_the_trip(client, sample, crusoe_site, fault, words):
    """The page says which setting it is, and that the trip needs no correction; the desk says so to everybody."""
    crusoe_site.set_fault(fault)
    html = publish(client, sample).content.decode()
    assert words in html
    assert "Nothing in the trip is wrong" in html
    assert "Correct what is named here" not in html
    desk = client.get("/").content.decode()
    assert "nothing can be published. It says:" in desk
    assert words in desk


@pytest.mark.django_db(transaction=True)
def test_an_address_that_is_no_link_is_shown_as_text(ana, client, sample, settings, monkeypatch):
    """On each page that tells it; with every address taken for a link, a click would run what Crusoe sent."""
    ana.is_superuser = True
    ana.save()
    settings.CRUSOE_API_KEY = "a key"
    with serving(says(success("javascript:alert(1)"))) as server:
        settings.CRUSOE_API_URL = server.url
        publish(client, sample)
    assert sample.state == "published"
    telling = [page("publish", sample), page("versions", sample), page("version", sample, 1)]
    telling.append(reverse("admin:itineraries_itinerary_change", args=[sample.pk]))
    others = [page("edit", sample), reverse("itineraries:list"), "/"]
    shown = [client.get(address).content.decode() for address in (*telling, *others)]
    assert ["javascript:alert(1)" in html for html in shown[: len(telling)]] == [True] * len(telling)
    assert not [html for html in shown if 'href="javascript:' in html]
    monkeypatch.setattr(Publication, "is_link", True)
    assert 'href="javascript:' in client.get(telling[0]).content.decode()


def test_a_trip_under_way_or_unknown_is_not_deleted(client, sample, crusoe_site):
    """Deletion waits until it is known what became of an attempt, and says so."""
    crusoe_site.set_fault(Fault.NO_URL)
    publish(client, sample)
    html = client.post(page("delete", sample), follow=True).content.decode()
    assert "It is not known whether" in html
    assert Itinerary.objects.exists()
