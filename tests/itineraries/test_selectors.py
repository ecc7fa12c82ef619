"""Reading itineraries for lists and the desk."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from itineraries import selectors, services
from itineraries.models import Itinerary, ItineraryState, Publication
from tests.itineraries.strategies import wire

pytestmark = pytest.mark.django_db


def in_state(state: str, title: str = "Trip") -> Itinerary:
    """An itinerary whose last attempt left it in that state."""
    made = services.itinerary_create(user=None, document={} if state == "draft" else wire("trip") | {"title": title})
    attempt = {"changed": "published", "draft": "", "ready": ""}.get(state, state)
    if attempt:
        Publication.objects.create(
            itinerary=made,
            number=1,
            state=attempt,
            document={},
            fingerprint="other" if state == "changed" else made.fingerprint,
            started_at=timezone.now(),
            url=f"http://a/{state}",
            problems=[{"path": "title", "violation": "required", "name": "", "places": 1}],
        )
    return made


def test_counts_have_every_state():
    """Each state is counted, in its order, and those that nothing is in are zero; in one query."""
    assert list(selectors.itinerary_counts().items()) == [(state.value, 0) for state in ItineraryState]
    for state in ItineraryState:
        in_state(state)
    in_state("published")
    with CaptureQueriesContext(connection) as queries:
        counts = selectors.itinerary_counts()
    assert counts == {state.value: 2 if state == "published" else 1 for state in ItineraryState}
    assert len(queries) == 1


def test_the_state_that_is_listed_is_the_state_that_is_told():
    """The annotation and the property agree on every state."""
    for state in ItineraryState:
        made = in_state(state)
        assert (made.state, selectors.itinerary_get(made.pk).state) == (state, state)
        assert [one.pk for one in selectors.itinerary_list(state=state)] == [made.pk]


def test_lists_ask_once_and_load_no_document():
    """As many queries for two as for eight, and never the document."""
    counts = []
    for more in (2, 6):
        for _number in range(more):
            in_state("published")
        with CaptureQueriesContext(connection) as queries:
            found = selectors.recent_itineraries(5)
            assert [(one.state, str(one), one.updated_by) for one in found]
        counts.append(len(queries))
    assert counts == [1, 1]
    assert len(found) == 5
    assert '"itineraries_itinerary"."document"' not in queries[0]["sql"]


def test_search_is_by_title():
    """Without regard to capitals; signs that a database refuses find nothing."""
    in_state("ready", "Seville in May")
    in_state("ready", "Cádiz")
    assert [one.title for one in selectors.itinerary_list(search=" seville ")] == ["Seville in May"]
    assert list(selectors.itinerary_list(search="x\0y")) == []


def test_refusals_go_with_the_document_that_was_refused():
    """What Crusoe refused stands at its field until the document is edited."""
    made = in_state("rejected")
    assert [problem.path for problem in selectors.refusals(made)] == ["title"]
    edited = services.itinerary_replace(itinerary_id=made.pk, user=None, document=wire("trip") | {"title": "Other"})
    assert selectors.refusals(edited) == []
    assert edited.state == "ready"
    assert selectors.refusals(in_state("published")) == []


def test_refused_credentials_are_told_until_an_attempt_goes_otherwise():
    """For the desk: what the last attempt of all met."""
    assert selectors.credentials_refused() == ""
    in_state("rejected")
    Publication.objects.update(http_status=401, reason={"code": "key_unknown"})
    assert selectors.credentials_refused() == "Crusoe does not know the API key: check CRUSOE_API_KEY."
    in_state("published")
    assert selectors.credentials_refused() == ""
