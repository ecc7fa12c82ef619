"""The page of publishing, while an attempt is under way in another tab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.acts import wait_for
from tests.browser.conftest import Site

SAMPLE = Path(__file__).parents[1] / "wire" / "crusoe_trip.json"


def switch(page: Page, site: Site, fault: str) -> None:
    """In the console, as whoever tries the sandbox does."""
    page.goto(f"{site.url}/sandbox/")
    page.locator(f"button[name=fault][value={fault}]").first.click()
    page.wait_for_load_state()


@pytest.fixture
def late(site: Site, page: Page) -> Iterator[Page]:
    """The page of publishing of a trip of its own, with a Crusoe that answers after three seconds."""
    site.login(page)
    switch(page, site, "late")
    page.goto(site.url + "/itineraries/new/")
    page.get_by_label("Or paste the JSON here").fill(SAMPLE.read_text())
    page.get_by_role("button", name="Import", exact=True).click()
    page.wait_for_url(re.compile(r"/itineraries/[0-9a-f-]{36}/$"))
    page.goto(page.url + "publish/")
    yield page
    switch(page, site, "none")


def test_the_outcome_comes_to_the_page_that_waits_for_it(late: Page) -> None:
    """Who presses in a second tab is told that the trip is being sent, and then what became of it: it is sent once."""
    other = late.context.new_page()
    other.goto(late.url)
    late.get_by_role("button", name="Publish", exact=True).click(no_wait_after=True)
    wait_for(late, lambda: "Being sent" in late.request.get(late.url).text())
    other.get_by_role("button", name="Publish", exact=True).click()
    expect(other.get_by_role("heading", name="Being sent")).to_be_visible()
    expect(other.get_by_role("alert")).to_contain_text("under way")
    for tab in (late, other):
        expect(tab.get_by_role("heading", name="Published")).to_be_visible(timeout=20_000)
        expect(tab.locator("aside")).to_contain_text("Version 1")
        expect(tab.locator("aside")).not_to_contain_text("Version 2")
