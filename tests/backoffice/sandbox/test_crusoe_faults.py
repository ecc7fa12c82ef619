"""Each fault of the simulated Crusoe, switched on from the console of a running site, ends as the console says."""

from __future__ import annotations

import time

import pytest
from django.contrib.auth import get_user_model

from backoffice.sandbox.crusoe_faults import FAULT_GROUPS, FAULT_LABELS, UNHEARD, Fault
from itineraries import services
from itineraries.publishing import publish
from tests.backoffice.serving import serving
from tests.itineraries.strategies import wire

pytestmark = pytest.mark.django_db(transaction=True)

STATES = ("rejected", "unknown", "published")


def test_every_fault_can_be_switched_on_once():
    """No fault is without its button, and none stands in two groups."""
    shown = [fault for _title, faults in FAULT_GROUPS for fault in faults]
    # These two have a form of their own, and no button.
    assert sorted([*shown, Fault.NONE, Fault.FIELD_ERROR]) == sorted(Fault)
    assert set(FAULT_LABELS) == set(Fault)


def test_each_fault_ends_as_the_console_says(settings):
    """Rejected, unknown or published, over a real socket; where the trip was taken all the same, its page is there."""
    settings.CRUSOE_API_KEY, settings.CRUSOE_TIMEOUT = "a key", 1
    ana = get_user_model().objects.create_user("ana", is_staff=True)
    with serving() as site:
        site.login(ana)
        settings.CRUSOE_API_URL = f"{site.url}/sandbox/crusoe/api"

        def switch(fault: Fault) -> None:
            data = {"fault": fault.value, "field": "currency"}
            headers = {"X-CSRFToken": "c" * 32}
            answer = site.session.post(f"{site.url}/sandbox/crusoe/fault/", data, headers=headers, timeout=30)
            assert answer.status_code == 200

        wrong = {}
        for state, (_title, faults) in zip(STATES, FAULT_GROUPS, strict=True):
            for fault in (*faults, *([Fault.FIELD_ERROR] if state == "rejected" else [])):
                itinerary = services.itinerary_create(user=None, document=wire("trip") | {"title": fault.value})
                switch(fault)
                # Where it waits for nothing, only the machine could make it late.
                settings.CRUSOE_TIMEOUT = 3 if state == "unknown" else 30
                began = time.monotonic()
                made = publish(itinerary_id=itinerary.pk, user=None)
                if made.state != state or time.monotonic() - began > settings.CRUSOE_TIMEOUT + 10:
                    wrong[fault] = (made.state, made.detail, time.monotonic() - began)
                if fault in (Fault.FIELD_ERROR, Fault.FIELD_ERROR_200):
                    assert [one.path for one in made.refusals] == ["price.currency"]
                if fault in (Fault.LATE, Fault.RELATIVE_URL, Fault.OTHER_NAME):
                    assert site.session.get(made.url, timeout=30).status_code == 200, made.url
                console = site.get("/sandbox/").text
                row = console[console.index(f"<td>{fault.value}</td>") :].partition("</tr>")[0]
                assert ("/sandbox/crusoe/trips/" in row) == (fault in UNHEARD or state == "published"), fault
        assert wrong == {}
        # Lines were broken, each for its sender only: that of the console is the one that it began with.
        switch(Fault.NONE)
        assert site.process.poll() is None
