"""Open pages that follow what happens, by a WebSocket and without it."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Page, WebSocket, expect

from tests.browser.acts import wait_for
from tests.browser.conftest import Site

LINE = "/admin/citytrips/linkstate/1/change/"


def _heard(page: Page) -> list[list[str]]:
    """What the page's WebSocket is told, from now on."""
    said: list[list[str]] = []

    def opened(socket: WebSocket) -> None:
        assert socket.url.endswith("/live/")
        socket.on("framereceived", lambda frame: said.append(json.loads(frame)["changed"]))

    page.on("websocket", opened)
    return said


def _fetches(page: Page, path: str) -> list[str]:
    """The parts of the page that it fetches, from now on."""
    urls: list[str] = []
    page.on(
        "request",
        lambda request: urls.append(request.url) if request.url.endswith(path) and _is_part(request) else None,
    )
    return urls


def _is_part(request: Any) -> bool:
    return "hx-request" in request.headers


def test_an_open_page_of_the_line_shows_a_new_state_by_itself(site: Site, page: Page) -> None:
    """What somebody else asks of the line appears on a page that is open, because it is told, and without a reload."""
    site.login(page)
    said = _heard(page)
    page.goto(site.url + LINE)
    page.evaluate("window.stillTheSame = true")
    wait_for(page, lambda: said)
    assert said[0] == []
    colleague = page.context.new_page()
    colleague.goto(site.url + LINE)
    colleague.get_by_role("button", name="Send everything now").click()
    expect(page.locator(".note", has_text="Send everything")).to_be_visible()
    assert any("line" in topics for topics in said), said
    expect(page.locator(".note", has_text=re.compile("Settled"))).to_be_visible(timeout=20_000)
    assert page.evaluate("window.stillTheSame")


def test_an_open_desk_is_told_of_the_fleet(site: Site, page: Page) -> None:
    """Figures follow too, though not each of their changes is fetched; while it is told, the page seldom asks."""
    site.login(page)
    said = _heard(page)
    fetched = _fetches(page, site.url + "/")
    page.goto(site.url + "/")
    wait_for(page, lambda: fetched)  # what changed while the socket was opened
    page.wait_for_timeout(1_000)
    before = len(fetched)
    page.wait_for_timeout(8_000)
    told = sum(bool(topics) for topics in said)
    assert len(fetched) - before <= 2 + told
    colleague = page.context.new_page()
    colleague.goto(f"{site.url}/admin/fleet/vehicle/{site.vehicle_id}/change/")
    colleague.get_by_label("Battery").fill("41")
    colleague.get_by_role("button", name="Save", exact=True).click()
    expect(colleague.locator(".messagelist .success")).to_be_visible()
    wait_for(page, lambda: any("fleet" in topics for topics in said))


def test_without_the_socket_a_page_goes_on_asking(site: Site, page: Page) -> None:
    """Where no WebSocket comes about, the page asks every few seconds as it always did."""
    site.login(page)
    page.route_web_socket("**/live/", lambda socket: socket.close(code=1011))
    fetched = _fetches(page, site.url + "/")
    page.goto(site.url + "/")
    wait_for(page, lambda: len(fetched) >= 2, 14)  # with a socket, the second would come after a quarter of a minute


def test_a_session_that_has_ended_leads_to_the_login(site: Site, page: Page) -> None:
    """The socket says that nobody is logged in, the page asks at once, and the answer leads to the login."""
    site.login(page)
    said = _heard(page)
    page.goto(site.url + "/")
    wait_for(page, lambda: said)
    page.context.clear_cookies()
    page.evaluate("window.dispatchEvent(new Event('pagehide')); window.dispatchEvent(new Event('pageshow'))")
    # By itself it would ask after a quarter of a minute.
    expect(page).to_have_url(re.compile("/login/"), timeout=10_000)
