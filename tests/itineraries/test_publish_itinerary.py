"""The command ``publish_itinerary``."""

from __future__ import annotations

import uuid
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from itineraries import services
from tests.itineraries.servers import answer, says, serving, success
from tests.itineraries.strategies import wire

pytestmark = pytest.mark.django_db(transaction=True)


def run(*ids: Any) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("publish_itinerary", *map(str, ids), stdout=out, stderr=err, no_color=True)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture(autouse=True)
def key(settings) -> None:
    settings.CRUSOE_API_KEY = "key"


def test_the_addresses_are_printed(settings):
    """Status 0 and one address a line when all were published."""
    made = [services.itinerary_create(user=None, document=wire("trip")).pk for _number in range(2)]
    with serving(says(success("http://a/1")), says(success("http://a/2"))) as server:
        settings.CRUSOE_API_URL = server.url
        assert run(*made) == (0, "http://a/1\nhttp://a/2\n", "")


def test_what_is_published_as_it_is_now_is_sent_again_on_demand_only(settings):
    """The present address with a note, and status 0; with --again a second page."""
    made = services.itinerary_create(user=None, document=wire("trip")).pk
    with serving(says(success("http://a/1")), says(success("http://a/2"))) as server:
        settings.CRUSOE_API_URL = server.url
        assert run(made) == (0, "http://a/1\n", "")
        status, out, err = run(made)
        assert (status, out) == (0, "http://a/1\n")
        assert f"{made}: Published already" in err
        assert len(server.requests) == 1
        assert run(made, "--again") == (0, "http://a/2\n", "")
        assert len(server.requests) == 2


def test_each_is_tried_though_others_fail(settings):
    """Status 1, with the reason of each on the other channel."""
    good, rejected = (services.itinerary_create(user=None, document=wire("trip")).pk for _number in range(2))
    draft = services.itinerary_create(user=None).pk
    missing = uuid.uuid4()
    refusal = answer("400 No", wire("validation_error"))
    with serving(says(refusal), says(success("http://a/1"))) as server:
        settings.CRUSOE_API_URL = server.url
        status, out, err = run("nothing", missing, draft, rejected, good)
    assert (status, out) == (1, "http://a/1\n")
    assert "nothing: This is no id" in err
    assert f"{missing}: There is no such itinerary" in err
    assert "dateInterval.from: This is required." in err
    assert f"{rejected}: Rejected." in err
    assert "title: Crusoe requires this." in err
