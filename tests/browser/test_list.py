"""The list of vehicles in a browser: what its script adds, and that it works without it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site


@pytest.fixture
def listed(site: Site, page: Page) -> Page:
    """The list, at the available vehicles of a country."""
    site.login(page)
    page.goto(f"{site.url}/admin/fleet/vehicle/?state=available&country=Spain")
    return page


def test_a_state_is_changed_by_the_keyboard(listed: Page) -> None:
    """Arrow, letter and Enter change the row in its place, the focus stays, and the way back is offered."""
    page = listed
    row = page.locator("#result_list tbody tr").first
    vehicle = row.locator("code").inner_text()
    chip = row.locator("a.chip.state")
    expect(chip).to_have_attribute("aria-haspopup", "menu")
    chip.focus()
    page.keyboard.press("ArrowDown")
    menu = page.get_by_role("menu")
    expect(menu.get_by_role("menuitemradio", name="Available")).to_be_focused()
    page.keyboard.press("End")
    expect(menu.get_by_role("menuitemradio", name="Removed")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(menu.get_by_role("menuitemradio", name="Available")).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_have_count(0)
    expect(chip).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("m")
    expect(menu.get_by_role("menuitemradio", name="Missing")).to_be_focused()
    page.keyboard.press("Enter")
    expect(row.locator("a.chip.state")).to_have_text("Missing")
    expect(row.locator("a.chip.state")).to_be_focused()
    expect(page.get_by_role("status").filter(has_text=vehicle)).to_contain_text("Missing")
    page.locator("#row-message").get_by_role("link", name="Undo").click()
    expect(page.locator("main")).to_contain_text("Undoing it sets")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#change-history li").first).to_contain_text("Available")


def test_a_click_elsewhere_closes_the_menu(listed: Page) -> None:
    """One menu at a time, and none after a click beside it; nothing was changed."""
    page = listed
    chips = page.locator("a.chip.state")
    chips.nth(0).click()
    chips.nth(12).click()  # the first menu covers the rows below it
    expect(page.get_by_role("menu")).to_have_count(1)
    page.locator("h1").click()
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(chips.nth(0)).to_have_text("Available")


def test_a_row_that_somebody_else_changed_says_so(site: Site, listed: Page) -> None:
    """The later one is told in the list, and sees the present state."""
    page = listed
    row = page.locator("#result_list tbody tr").nth(1)
    other = page.context.new_page()
    other.goto(site.url + str(row.locator("a.chip.state").get_attribute("href")))
    other.get_by_label("Elsewhere").check()
    other.get_by_role("button", name="Save").click()
    expect(other.locator(".messagelist")).to_contain_text("Elsewhere")
    row.locator("a.chip.state").click()
    page.get_by_role("menuitemradio", name="Reserved").click()
    expect(row.locator("a.chip.state")).to_have_text("Elsewhere")
    expect(page.locator("#row-message.error")).to_contain_text("Somebody else changed this")


def test_a_filter_is_kept_and_dropped(listed: Page) -> None:
    """What is shown is kept under a name, is one click away, and goes again."""
    page = listed
    expect(page.locator(".active-filters a.chip")).to_have_count(2)
    page.get_by_text("Save this filter").click()
    page.get_by_label("Name").fill("Ready in Spain")
    page.locator(".filter.save button").click()
    saved = page.get_by_role("navigation", name="Saved filters")
    expect(saved.get_by_role("link", name="Ready in Spain")).to_have_attribute("aria-current", "true")
    page.locator(".active-filters a.chip", has_text="Country").click()
    expect(page.locator(".active-filters a.chip")).to_have_count(1)
    saved.get_by_role("link", name="Ready in Spain").click()
    page.get_by_role("button", name="Delete “Ready in Spain”").click()
    expect(saved).to_have_count(0)


def test_without_a_script_the_chip_leads_to_a_page(site: Site, browser: Browser) -> None:
    """Everything that the menu does is done by a form as well."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    try:
        page = context.new_page()
        site.login(page)
        page.goto(f"{site.url}/admin/fleet/vehicle/?state=available&country=Chile")
        page.locator("a.chip.state").first.click()
        page.get_by_label("Reserved").check()
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".messagelist")).to_contain_text("Reserved")
        page.locator(".messagelist").get_by_role("link", name="Undo").click()
        page.get_by_role("button", name="Undo").click()
        expect(page.locator(".messagelist")).to_contain_text("the change was undone")
    finally:
        context.close()
