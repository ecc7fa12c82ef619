"""Every page, light and dark: nothing for axe to find, nothing wider than a phone, the keyboard suffices."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser import pages
from tests.browser.conftest import Site, watch
from tests.browser.opening import Sessions, View
from tests.browser.prepared import prepared

WIDE = {"width": 1366, "height": 900}
PHONE = {"width": 390, "height": 844}

AXE = Axe().axe_script

Visit = Callable[[View], Page]


@pytest.fixture(scope="module")
def sessions(browser: Browser, site: Site) -> Sessions:
    return Sessions(browser, site)


@pytest.fixture(scope="module")
def open_page(browser: Browser, sessions: Sessions) -> Iterator[Callable[[str | None], Page]]:
    """A new page of somebody's, in a context of its own."""
    contexts = []

    def open_page(user: str | None) -> Page:
        context = browser.new_context(
            viewport=WIDE,
            color_scheme="light",
            storage_state=sessions.of(user),
            locale="en-GB",
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def visit(open_page: Callable[[str | None], Page], site: Site) -> Iterator[Visit]:
    """Open a page as somebody; no script error and no refusal by the policy is forgiven."""
    complaints = []

    def visit(view: View) -> Page:
        page = open_page(view.user)
        complaints.append(watch(page))
        view.open(page, site)
        return page

    yield visit
    said = [line for lines in complaints for line in lines]
    assert not said, "\n".join(said)


@pytest.fixture(scope="module")
def pages_in_use() -> dict[str | None, tuple[Page, list[str]]]:
    return {}


@pytest.fixture
def look(
    open_page: Callable[[str | None], Page],
    site: Site,
    pages_in_use: dict[str | None, tuple[Page, list[str]]],
) -> Iterator[Visit]:
    """As ``visit``, for those who only look: each person has one page, whose files stay in the browser's cache."""
    looked_at: list[list[str]] = []

    def look(view: View) -> Page:
        if view.user not in pages_in_use:
            page = open_page(view.user)
            page.on("dialog", lambda dialog: dialog.accept())  # the builder asks before unsaved text is left
            pages_in_use[view.user] = page, watch(page)
        page, complaints = pages_in_use[view.user]
        complaints.clear()
        looked_at.append(complaints)
        page.set_viewport_size(WIDE)
        page.emulate_media(color_scheme="light")
        view.open(page, site)
        return page

    yield look
    said = [line for complaints in looked_at for line in complaints]
    assert not said, "\n".join(said)


def findings(page: Page, *rules: str) -> str:
    """What axe finds, by all of its rules or those given."""
    # Without the option it loads our stylesheets once more, from addresses that are none of ours.
    options = {"preload": False, "resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    violations = page.evaluate("async (options) => (await axe.run(options)).violations", options)
    return "\n".join(
        f"{violation['id']} ({violation['impact']}): {violation['help']}\n"
        + "\n".join(f"    {node['html'][:200]}\n    {node['failureSummary'][:400]}" for node in violation["nodes"][:4])
        for violation in violations
    )


def too_wide(page: Page) -> list[str]:
    """What sticks out of a page that can be scrolled sideways."""
    return page.evaluate(
        """() => {
            const root = document.documentElement;
            if (root.scrollWidth <= root.clientWidth) return [];
            const wide = [...document.querySelectorAll("body *")].filter(
                (one) => one.getBoundingClientRect().right > root.clientWidth + 1);
            return [`${root.scrollWidth} px`, ...wide.slice(-5).map((one) => one.outerHTML.slice(0, 120))];
        }"""
    )


def look_at(page: Page) -> None:
    assert findings(page) == "", "light"
    # Themes differ in colours only.
    page.emulate_media(color_scheme="dark")
    assert findings(page, "color-contrast") == "", "dark"
    page.set_viewport_size(PHONE)
    assert too_wide(page) == []


@pytest.mark.parametrize("view", pages.EVERY, ids=lambda view: view.name)
def test_every_page_is_accessible(look: Visit, view: View) -> None:
    """axe finds nothing in either theme, the browser reports nothing, and nothing is wider than a phone."""
    look_at(look(view))


@pytest.mark.parametrize(
    ("name", "heading"), [("mistake", "Something went wrong here"), ("away", "The database does not answer")]
)
def test_the_pages_for_what_goes_wrong_here_are_accessible(visit: Visit, site: Site, name: str, heading: str) -> None:
    """The page of an answer of 500, and that of 503, though nothing here answers with them."""
    page = visit(View("login", "/login/", user=None))
    page.route(f"**/{name}/", lambda route: route.fulfill(body=prepared(site)[name], content_type="text/html"))
    page.goto(f"{site.url}/{name}/")
    expect(page.locator("h1")).to_have_text(heading)
    look_at(page)


def test_the_first_key_leads_past_the_sections(visit: Visit) -> None:
    """The first thing that Tab reaches is the link to the content, and it goes there."""
    page = visit(View("desk", "/"))
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_chosen_theme_stays(visit: Visit) -> None:
    """The theme goes by the system until one is chosen, and then by the choice, on later pages as well."""
    page = visit(View("desk", "/"))
    colour = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.locator(".nav .foot summary").click()
    page.get_by_role("button", name="Theme: as the system").click()
    assert page.evaluate(colour) != light
    page.goto(page.url + "admin/")
    page.locator(".nav .foot summary").click()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate(colour) != light


def test_menus_close_with_escape(visit: Visit) -> None:
    """Escape closes an open filter and gives the focus back to its button."""
    page = visit(View("fleet", "/admin/fleet/vehicle/"))
    button = page.locator("details.filter summary").first
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("details.filter ul").first).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(page.locator("details.filter ul").first).to_be_hidden()
    expect(button).to_be_focused()


def test_the_dialog_of_the_api_page_works_by_keyboard(visit: Visit) -> None:
    """The dialog takes the focus and keeps it; Escape closes it and gives the focus back to its button."""
    page = visit(View("api", "/api/v1/docs/", user=None))
    button = page.locator(".btn.authorize").first
    button.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("input").first).to_be_focused()
    for _stop in range(12):
        page.keyboard.press("Tab")
        expect(dialog.locator(":focus")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()


def test_actions_come_with_the_first_selected_row(visit: Visit) -> None:
    """The bar of actions is there once a row is selected, and gone when none is."""
    page = visit(View("fleet", "/admin/fleet/vehicle/"))
    bar = page.locator(".actions")
    expect(bar).to_be_hidden()
    page.locator(".action-select").first.check()
    expect(bar).to_be_visible()
    expect(bar).to_contain_text("1 of")
    page.locator(".action-select").first.uncheck()
    expect(bar).to_be_hidden()


def test_the_sections_work_on_a_phone(visit: Visit) -> None:
    """On a phone the current section is in sight, and every section can be reached by the keyboard."""
    page = visit(View("settings", "/admin/"))
    page.set_viewport_size(PHONE)
    page.reload()
    expect(page.locator('.nav [aria-current="page"]')).to_be_in_viewport()
    links = page.locator(".nav .links a")
    for number in range(links.count()):
        links.nth(number).focus()
        expect(links.nth(number)).to_be_in_viewport()


def test_the_checks_see_what_is_wrong(visit: Visit) -> None:
    """A label that is missing and a table that is too wide are found: an empty answer means something."""
    page = visit(View("vehicle-add", "/admin/fleet/vehicle/add/"))
    page.evaluate("document.querySelector('label[for=id_plate]').remove()")
    page.evaluate("document.querySelector('fieldset').style.width = '1500px'")
    assert "label (critical)" in findings(page)
    assert too_wide(page)
