"""The rules by which vehicles are offered."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from fleet.models import FleetRules, RulesChange
from tests.fleet.admin.pages import told
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db

RULES = reverse("admin:fleet_fleetrules_change", args=[1])


def test_rules_that_keep_many_back_ask_first(client: Client) -> None:
    """More than a few vehicles withheld: how many is said, and done when saved again, with the same values only."""
    FleetRules.objects.create(id=1)
    for number in range(8):
        make(f"V{number}", battery=40)
    sent = {"minimum_battery": "50", "silence_limit": "", "confirmed": ""}
    page = client.post(RULES, sent)
    assert page.status_code == 200
    assert "8 vehicles are withheld. Save again" in page.content.decode()
    assert FleetRules.objects.get().minimum_battery == 20
    confirmed = page.context["adminform"].form["confirmed"].value()
    page = client.post(RULES, {**sent, "minimum_battery": "60", "confirmed": confirmed})
    assert page.status_code == 200
    answer = client.post(RULES, {**sent, "confirmed": confirmed})
    assert answer.status_code == 302
    assert "8 vehicles are withheld" in told(client, answer)
    assert FleetRules.objects.get().minimum_battery == 50
    change = RulesChange.objects.get()
    assert (change.by.username, change.values) == ("ana", {"minimum_battery": [20, 50]})
    page = client.get(RULES).content.decode()
    assert "20 %" in page
    assert "50 %" in page
    answer = client.post(RULES, {"minimum_battery": "10", "silence_limit": "", "confirmed": ""})
    assert answer.status_code == 302  # what only offers more is simply done
    assert "8 more are offered" in told(client, answer)
