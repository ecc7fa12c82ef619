"""The fleet's map in a browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.acts import wait_for, wait_until
from tests.browser.conftest import Site

TILES = "https://tiles.invalid/**"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63fccff0bf1e0005"
    "8302ff6ccb5c1f0000000049454e44ae426082"
)
# Whether anything but the ground has been drawn near the middle of the map.
DRAWN = """() => {
  const canvas = document.querySelector(".fleet-dots");
  const { data } = canvas.getContext("2d").getImageData(canvas.width / 2 - 12, canvas.height / 2 - 12, 24, 24);
  const colours = new Set();
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) colours.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
  return colours.size > 2;
}"""


def _open(site: Site, page: Page, query: str = "") -> None:
    page.goto(f"{site.url}/fleet/map/{query}")
    expect(page.locator("#map-when")).to_contain_text(re.compile(r"Updated \d\d:\d\d:\d\d"))
    expect(page.locator("#map-in-view")).not_to_be_empty()


def _requests(page: Page) -> list[str]:
    """What the page asks for of the fleet, from now on."""
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url) if "/fleet/map/data/" in request.url else None)
    return urls


def _hide(page: Page, hidden: bool) -> None:
    page.evaluate(
        "(hidden) => { Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')) }",
        hidden,
    )


def test_a_way_through_the_map(site: Site, page: Page) -> None:
    """From the sections to the map, to a city, to what is withheld there, to one vehicle, and on to its page."""
    site.login(page)
    page.get_by_role("link", name="Map", exact=True).click()
    for city in ("Barcelona", "Santiago", "Sydney"):
        expect(page.locator("#map-cities tr", has_text=city)).to_be_visible()
    page.get_by_role("button", name="Madrid").click()
    expect(page.locator("#map-rows tr").first).to_contain_text("Madrid")
    expect(page.locator("#map-rows", has_text="Sydney")).to_have_count(0)
    everything = page.locator("#map-rows tr").count()

    page.get_by_label("Availability").select_option("withheld")
    expect(page.locator("#map-cities tr", has_text="Madrid").locator("td").nth(1)).to_have_text("0")
    expect(page).to_have_url(re.compile(r"/fleet/map/\?state=in_fleet&availability=withheld#\d+/40\."))
    assert 0 < page.locator("#map-rows tr").count() < everything
    assert "availability=withheld" in (page.get_by_role("link", name="As a list").get_attribute("href") or "")

    name = page.locator("#map-rows button").first
    plate = name.inner_text()
    name.press("Enter")
    card = page.get_by_role("complementary", name="Vehicle")
    expect(card.get_by_role("heading", name=plate)).to_be_focused()
    expect(card).to_contain_text(re.compile("is below|not known|no plate|no signal|never"))
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(page.locator("#map-rows button").first).to_be_focused()
    page.keyboard.press("Enter")
    card.get_by_role("link", name="Open vehicle").click()
    expect(page).to_have_url(re.compile("/admin/fleet/vehicle/.+/change/"))
    page.go_back()
    expect(page.locator("#map-rows tr").first).to_contain_text("Madrid")
    page.get_by_role("link", name="As a list").click()
    expect(page).to_have_url(re.compile(r"/admin/fleet/vehicle/\?.*availability=withheld"))


def test_a_click_on_a_dot_and_on_a_cluster(site: Site, page: Page) -> None:
    """A dot opens its vehicle's card and nothing else closes it but a click beside; a cluster leads nearer."""
    site.login(page)
    _open(site, page, f"?q={site.vehicle_id}")
    middle = page.locator("#map").bounding_box()
    assert middle is not None
    x, y = middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2
    wait_until(page, DRAWN)
    page.mouse.click(x, y)
    card = page.get_by_role("complementary", name="Vehicle")
    expect(card).to_contain_text(site.vehicle_id)
    page.mouse.click(x - 200, y + 100)
    expect(card).to_be_hidden()

    _open(site, page)
    expect(page).to_have_url(re.compile(r"#\d+/"))
    zoom = int(page.url.split("#")[1].split("/")[0])
    page.get_by_role("button", name="Sydney").click()
    expect(page).not_to_have_url(re.compile(f"#{zoom}/"))
    near = int(page.url.split("#")[1].split("/")[0])
    assert near > zoom
    page.get_by_role("button", name="Show all").click()
    expect(page).to_have_url(re.compile(f"#{zoom}/"))


def test_what_changes_moves_on_an_open_map(site: Site, page: Page) -> None:
    """What a colleague does to a vehicle is on the map within seconds, without a reload."""
    site.login(page)
    vehicle = site.vehicle_id
    _open(site, page, f"?q={vehicle}")
    page.locator("#map-rows button").first.click()
    card = page.get_by_role("complementary", name="Vehicle")
    expect(card.locator(".facts")).to_be_visible()
    page.evaluate("window.stillTheSame = true")
    colleague = page.context.new_page()
    colleague.goto(f"{site.url}/admin/fleet/vehicle/{vehicle}/change/")
    latitude = float(colleague.get_by_label("Latitude").input_value())
    colleague.get_by_label("Battery").fill("37")
    colleague.get_by_label("Latitude").fill(f"{latitude + 0.0001:.6f}")
    colleague.get_by_role("button", name="Save", exact=True).click()
    expect(colleague.locator(".messagelist .success")).to_be_visible()
    expect(card).to_contain_text("37 %", timeout=20_000)
    expect(card).to_contain_text(f"{latitude + 0.0001:.5f}")
    expect(page.locator("#map-rows tr")).to_contain_text("37 %")
    wait_until(page, DRAWN)
    assert page.evaluate("window.stillTheSame")


def test_without_tiles_the_map_has_a_ground_of_its_own(site: Site, page: Page) -> None:
    """Where no tile can be loaded, it is said once, and everything else works; where they can, nothing is said."""
    site.login(page)
    page.route(TILES, lambda route: route.abort())
    _open(site, page, f"?q={site.vehicle_id}")
    expect(page.locator("#map-note")).to_have_text("The background of the map cannot be loaded.")
    wait_until(page, DRAWN)
    page.unroute(TILES)
    asked: list[str] = []

    def tile(route: Route) -> None:
        asked.append(route.request.headers.get("referer", ""))
        route.fulfill(body=PIXEL, content_type="image/png")

    page.route(TILES, tile)
    _open(site, page, f"?q={site.vehicle_id}")
    wait_until(page, "document.querySelectorAll('.leaflet-tile-loaded').length > 3")
    expect(page.locator("#map-note")).to_be_hidden()
    assert set(asked) == {site.url + "/"}


def test_a_map_set_to_no_tiles_asks_for_none(site: Site, page: Page) -> None:
    """An empty address of tiles is a choice: nothing is asked for, and nothing is missed."""
    site.login(page)
    page.route(TILES, lambda _route: pytest.fail("a tile was asked for"))
    page.add_init_script(
        "new MutationObserver(() => { const page = document.getElementById('map-page');"
        " if (page) page.dataset.tiles = '' }).observe(document, { childList: true, subtree: true })"
    )
    _open(site, page, f"?q={site.vehicle_id}")
    wait_until(page, DRAWN)
    expect(page.locator("#map-note")).to_be_hidden()


def test_nothing_is_asked_for_while_nobody_looks(site: Site, page: Page) -> None:
    """A hidden page rests, and is up to date again as soon as it is seen."""
    site.login(page)
    _open(site, page)
    page.wait_for_timeout(1_000)
    _hide(page, True)
    page.wait_for_timeout(1_000)  # what was asked for just before it was hidden
    asked = _requests(page)
    page.locator("#map-fit").evaluate("(button) => button.click()")
    page.wait_for_timeout(6_500)
    assert not asked
    _hide(page, False)
    wait_for(page, lambda: asked, 4)


def test_one_request_at_a_time(site: Site, page: Page) -> None:
    """However often the map is moved, it waits for one answer before it asks again, and then for the last place."""
    site.login(page)
    _open(site, page, "?city=Madrid")
    page.wait_for_timeout(1_000)
    flying, most = 0, 0

    def slowly(route: Route) -> None:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        page.wait_for_timeout(400)
        flying -= 1  # before the answer: the next may be heard of before we are told that this one has gone on
        route.continue_()

    page.route("**/fleet/map/data/**", slowly)
    asked = _requests(page)
    page.locator("#map").focus()
    for _ in range(8):
        page.keyboard.press("-")
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(250)
    zoom = page.evaluate("location.hash").strip("#").split("/")[0]
    wait_for(page, lambda: asked and f"zoom={zoom}" in asked[-1])
    page.wait_for_timeout(1_000)
    assert most == 1
    assert 1 <= len(asked) < 16  # it was moved sixteen times


def test_a_server_that_does_not_answer_is_told(site: Site, page: Page) -> None:
    """What was there stays, with a notice since when it is old; the notice goes with the next answer."""
    site.login(page)
    page.clock.install()
    page.goto(site.url + "/fleet/map/")
    page.clock.run_for(1_000)
    expect(page.locator("#map-rows tr")).to_have_count(50)
    page.route("**/fleet/map/data/**", lambda route: route.abort())
    for _ in range(8):
        page.clock.run_for(8_000)
    stale = page.locator("#map-stale")
    expect(stale).to_be_visible()
    expect(stale).to_contain_text(re.compile(r"no answer from the server since \d\d:\d\d:\d\d"))
    assert page.locator("#map-rows tr").count() == 50
    page.unroute("**/fleet/map/data/**")
    for _ in range(20):  # in steps shorter than the page's patience, which goes by the same clock
        page.clock.run_for(4_000)
        page.wait_for_timeout(500)
        if stale.is_hidden():
            break
    expect(stale).to_be_hidden()


def test_an_ended_session_leads_to_the_login(site: Site, page: Page) -> None:
    """A map that may not ask any more does not go on showing the fleet."""
    site.login(page)
    _open(site, page)
    page.context.clear_cookies()
    page.get_by_label("State").select_option("available")
    expect(page).to_have_url(re.compile("/login/"))


def test_the_map_fits_a_phone(site: Site, page: Page) -> None:
    """At 390 pixels nothing sticks out, and the card leaves the map's top to be seen."""
    page.set_viewport_size({"width": 390, "height": 844})
    site.login(page)
    _open(site, page, "?city=Madrid")
    page.locator("#map-rows button").first.click()
    expect(page.locator("#map-aside .facts")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    card, frame = page.locator("#map-aside").bounding_box(), page.locator("#map").bounding_box()
    assert card is not None
    assert frame is not None
    assert card["y"] > frame["y"] + 0.2 * frame["height"]
