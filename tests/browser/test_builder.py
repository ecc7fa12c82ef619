"""The itinerary builder in a browser: what its scripts add, and that it works without them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import Site

SAMPLE = json.loads((Path(__file__).parents[1] / "wire" / "crusoe_trip.json").read_text())
TRIP = re.compile(r"/itineraries/[0-9a-f-]{36}/")


def fill(scope: Locator, values: dict[str, str]) -> None:
    """Types into fields by their labels."""
    for label, text in values.items():
        scope.get_by_label(label, exact=True).fill(text)


def press(page: Page, scope: Locator, name: str) -> None:
    """Presses a button of a card and waits until its answer has settled."""
    with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
        scope.get_by_role("button", name=name, exact=True).locator("visible=true").click()
    assert answer.value.ok
    expect(page.locator(".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added")).to_have_count(0)


def add(page: Page, kind: str) -> Locator:
    """Adds a card at the end; the card."""
    count = page.locator(".stop").count()
    page.locator(".between.add").last.get_by_role("button", name=kind, exact=True).click()
    expect(page.locator(".stop")).to_have_count(count + 1)
    expect(page.locator(".htmx-added, .htmx-settling")).to_have_count(0)
    return page.locator(f"#{page.locator('.stop').last.get_attribute('id')}")


def document(page: Page) -> dict:
    return page.request.get(page.url.partition("#")[0] + "document/").json()


def texts(trip: dict) -> set[str]:
    """Every text of a trip that its traveller is meant to read."""
    read = {trip["title"], trip["subtitle"], *trip["milestones"].values(), "50 min in Frankfurt"}
    for card in trip["segments"]:
        read |= {card[name] for name in ("milestone",) if name in card}
        for option in card["options"]:
            read |= {option[name] for name in ("title", "description", "address", "serviceInfo") if name in option}
            for part in (option, *option.get("flightSegments", ())):
                read |= {part[name] for name in ("code",) if name in part}
                read |= {part[point]["name"] for point in ("pointA", "pointB") if point in part}
    return read


@pytest.fixture
def trip(site: Site, page: Page) -> Page:
    """A builder open on a trip of its own, imported from the specification's samples."""
    site.login(page)
    page.goto(site.url + "/itineraries/new/")
    page.get_by_label("Or paste the JSON here").fill(json.dumps(SAMPLE))
    page.get_by_role("button", name="Import", exact=True).click()
    page.wait_for_url(TRIP)
    return page


def test_the_specifications_trip_is_composed_by_hand_and_published(site: Site, page: Page) -> None:
    """Typed card by card, the sample comes out equal, is published, and its address shows it to a visitor."""
    site.login(page)
    page.goto(site.url + "/itineraries/new/")
    page.get_by_role("button", name="Start a blank trip").click()
    page.wait_for_url(TRIP)
    form = page.locator("#trip")
    fill(form, {
        "Title": "Trip to Barcelona", "Subtitle": "Bucharest to Barcelona", "First day": "2016-05-19",
        "Last day": "2016-05-26", "Label at the start": "Trip starts", "Label at the end": "Trip ends",
    })  # fmt: skip
    form.get_by_label("Currency").select_option("EUR")
    form.get_by_label("Price", exact=True).select_option("dynamic")
    expect(form.locator(".unsaved")).to_be_visible()
    press(page, form, "Save")
    expect(page.locator("h1")).to_have_text("Trip to Barcelona")
    expect(form.locator(".unsaved")).to_be_hidden()

    flight = add(page, "Flight")
    fill(flight, {"Title": "Bucharest to Barcelona via Frankfurt", "Price": "70", "Price before": "90"})
    flight.get_by_label("Show as a discount").check()
    fill(flight.locator(".flight-leg").first, {
        "Flight": "LH 1419", "Airline and class": "Lufthansa", "From, airport code": "otp",
        "Departure date": "2016-05-19", "Departure time": "13:45", "To, airport code": "FRA", "To, name": "Frankfurt",
        "Arrival date": "2016-05-19", "Arrival time": "15:15",
    })  # fmt: skip
    press(page, flight, "Add leg")
    fill(flight.locator(".flight-leg").last, {
        "Flight": "LH 1132", "Airline and class": "Lufthansa", "Departure time": "16:05", "To, airport code": "BCN",
        "Arrival date": "2016-05-19", "Arrival time": "18:05",
    })  # fmt: skip
    press(page, flight, "Save")
    hotel = SAMPLE["segments"][1]["options"][0]
    stay = add(page, "Stay")
    fill(stay, {
        "Label before this card": "Arrived at Point B", "Title": hotel["title"], "Check-in": "2016-05-19",
        "Check-out": "2016-05-26", "Booking.com id": "1146179", "Tripadvisor id": "7006624",
        "Address": hotel["address"], "Latitude": "41.3720250384618", "Longitude": "2.13703218836054",
        "Address of the picture": hotel["image"], "Description": hotel["description"], "Price": "200",
        "Price before": "0",
    })  # fmt: skip
    press(page, stay, "Save")
    ride = add(page, "Car ride")
    fill(ride, {
        "Label before this card": "Arrived in Barcelona", "Title": "Barcelona airport to Point B",
        "Service": "UberSelect", "From": "Barcelona airport", "Pick-up date": "2016-05-19", "Pick-up time": "09:15",
        "To": "Point B", "Drop-off date": "2016-05-19", "Drop-off time": "09:45", "Price": "15", "Price before": "0",
    })  # fmt: skip
    press(page, ride, "Save")
    park = SAMPLE["segments"][3]["options"][0]
    experience = add(page, "Experience")
    fill(experience, {
        "Label before this card": "Things to do in Berlin", "Title": park["title"],
        "Address of the picture": park["image"], "Description": park["description"],
    })  # fmt: skip
    press(page, experience, "Save")

    # The text tells 70 from 70.0, which are equal to Python.
    assert json.dumps(document(page), sort_keys=True) == json.dumps(SAMPLE, sort_keys=True)
    page.get_by_role("link", name="Publish", exact=True).click()
    page.get_by_role("button", name="Publish", exact=True).click()
    address = page.locator(".outcome a").get_attribute("href")
    assert address is not None
    page.context.clear_cookies()
    page.goto(address)
    expect(page.get_by_text("285 EUR").first).to_be_visible()
    shown = " ".join(page.locator("body").inner_text().split()).casefold()
    assert not {words for words in texts(SAMPLE) if words.casefold() not in shown}


def test_what_is_typed_during_a_save_is_not_lost_and_not_called_saved(trip: Page) -> None:
    """An edit made while a save is under way stays on the screen, is marked as unsaved, and the next save has it."""

    def slow(route: Route) -> None:
        time.sleep(0.5)
        route.continue_()

    card = trip.locator(f"#{trip.locator('.stop').last.get_attribute('id')}")
    label = card.get_by_label("Label before this card")
    trip.route("**/cards/**", slow)
    label.fill("Typed first")
    with trip.expect_response("**/cards/**"):
        card.get_by_role("button", name="Save", exact=True).click()
        label.fill("Typed during the save")
    trip.unroute("**/cards/**")
    expect(card.locator("input[name=version]")).to_have_value("2")
    expect(label).to_have_value("Typed during the save")
    expect(card.locator(".unsaved")).to_be_visible()
    assert document(trip)["segments"][3]["milestone"] == "Typed first"
    press(trip, card, "Save")
    expect(card.locator(".unsaved")).to_be_hidden()
    assert document(trip)["segments"][3]["milestone"] == "Typed during the save"


def test_moving_and_removing_a_card_leaves_other_cards_text_alone(trip: Page) -> None:
    """A card moves, goes and comes back, while unsaved text in another one stays and the focus keeps its place."""
    other = trip.locator(".stop").first.get_by_label("Label before this card")
    other.fill("Not saved")
    card = trip.locator(f"#{trip.locator('.stop').nth(2).get_attribute('id')}")
    press(trip, card, "Move up")
    expect(trip.locator(".stop h2")).to_have_text(["Flight", "Car ride", "Stay", "Experience"])
    expect(card.get_by_role("button", name="Move up")).to_be_focused()
    press(trip, card, "Remove")
    expect(trip.locator(".stop h2")).to_have_text(["Flight", "Stay", "Experience"])
    expect(trip.get_by_role("button", name="Undo")).to_be_focused()
    trip.keyboard.press("Enter")
    expect(trip.locator(".stop h2")).to_have_text(["Flight", "Car ride", "Stay", "Experience"])
    expect(other).to_have_value("Not saved")


def test_a_problem_leads_to_its_field_behind_another_option(trip: Page) -> None:
    """Options are tabs; a problem's link opens the right one and puts the focus into the field."""
    flight = trip.locator(f"#{trip.locator('.stop').first.get_attribute('id')}")
    press(trip, flight, "Duplicate option")
    expect(flight.locator("[data-option]:visible legend").first).to_have_text("Option 2")
    flight.locator("[data-option]:visible").get_by_label("Price", exact=True).fill("")
    press(trip, flight, "Save")
    expect(flight.locator("[data-option]:visible legend").first).to_have_text("Option 2")
    flight.locator(".tabs a").first.click()
    expect(flight.locator("[data-option]:visible legend").first).to_have_text("Option 1")
    trip.locator("#problems .error a").first.click()
    expect(flight.locator("[data-option]:visible legend").first).to_have_text("Option 2")
    expect(flight.locator("[data-option]:visible").get_by_label("Price", exact=True)).to_be_focused()


def test_two_tabs_on_one_card_tell_the_later_one_where_it_looks(trip: Page) -> None:
    """Saved at the end of the card, the notice at its beginning comes into view; saved again, the text is kept."""
    other = trip.context.new_page()
    other.goto(trip.url)
    for page, text in ((other, "From the other tab"), (trip, "From this tab")):
        page.locator(".stop").nth(1).get_by_label("Description").fill(text)
        press(page, page.locator(".stop").nth(1), "Save")
    other.close()
    card = trip.locator(".stop").nth(1)
    expect(card.get_by_role("alert")).to_be_in_viewport()
    expect(card.get_by_role("alert")).to_contain_text("Nothing of yours was saved")
    expect(card.locator(".note-line")).to_have_text(["Stored now: From the other tab"])
    assert document(trip)["segments"][1]["options"][0]["description"] == "From the other tab"
    press(trip, card, "Save")
    expect(card.get_by_role("alert")).to_have_count(0)
    assert document(trip)["segments"][1]["options"][0]["description"] == "From this tab"


def test_a_refused_value_comes_into_view(trip: Page) -> None:
    """A label at the top of a long flight that is in order, and a price at its end that is not, in another option."""
    flight = trip.locator(f"#{trip.locator('.stop').first.get_attribute('id')}")
    press(trip, flight, "Duplicate option")
    flight.locator("[data-option]:visible").get_by_label("Stops").first.fill("some")
    flight.locator(".tabs a").first.click()
    press(trip, flight, "Save")
    expect(flight.locator("[data-option]:visible legend").first).to_have_text("Option 2")
    expect(flight.locator(".err")).to_be_in_viewport()


def test_a_failed_save_says_so_and_keeps_the_text(browser: Browser, trip: Page) -> None:
    """Without the server, or after the session ended, the page says that nothing was saved, and what to do."""
    # A page of its own: htmx reports failures to the console, where the fixture's page would count them.
    context = browser.new_context(storage_state=trip.context.storage_state(), reduced_motion="reduce")
    page = context.new_page()
    page.goto(trip.url)
    card = page.locator(f"#{page.locator('.stop').last.get_attribute('id')}")
    label, save = card.get_by_label("Label before this card"), card.get_by_role("button", name="Save", exact=True)
    label.fill("Still here")
    page.route("**/cards/**", lambda route: route.abort())
    save.click()
    expect(page.locator("#not-saved")).to_contain_text("the server does not answer")
    page.unroute("**/cards/**")
    cookies = context.cookies()
    context.clear_cookies(name="sessionid")
    save.click()
    expect(page.locator("#not-saved")).to_contain_text("you are logged out")
    expect(label).to_have_value("Still here")
    context.add_cookies(cookies)
    save.click()
    expect(page.locator("#not-saved")).to_be_hidden()
    assert document(page)["segments"][3]["milestone"] == "Still here"
    context.close()


def test_a_log_in_in_another_tab_lets_the_save_through(site: Site, trip: Page) -> None:
    """Logged out meanwhile, and in again beside it: the next save works, though the page has an old token."""
    label = trip.locator(".stop").first.get_by_label("Label before this card")
    label.fill("Typed before the log-out")
    other = trip.context.new_page()
    other.goto(site.url + "/account/")
    other.get_by_role("button", name="Log out").first.click()
    other.wait_for_url(re.compile("/login/"))
    site.login(other)
    other.close()
    press(trip, trip.locator(f"#{trip.locator('.stop').first.get_attribute('id')}"), "Save")
    expect(trip.locator("#not-saved")).to_be_hidden()
    assert document(trip)["segments"][0]["milestone"] == "Typed before the log-out"


def test_a_refused_value_is_not_announced_as_saved(trip: Page) -> None:
    """Who listens hears that something is not saved yet, and after it is mended, that it is; one message is enough."""
    card = trip.locator(f"#{trip.locator('.stop').last.get_attribute('id')}")
    said = trip.locator("#announce")
    field = card.locator(".field").filter(has=trip.get_by_label("Price", exact=True))
    expect(field.locator(".problems p")).to_have_text("No price tag will be shown.")
    card.get_by_label("Price", exact=True).fill("-5")
    press(trip, card, "Save")
    expect(said).to_have_text(re.compile("^Not saved yet, "))
    expect(field.locator(".err")).to_be_visible()
    expect(field.locator(".problems p")).to_have_count(0)
    card.get_by_label("Price", exact=True).fill("5")
    press(trip, card, "Save")
    expect(said).to_have_text(re.compile(r"^Last saved \d\d:\d\d, "))


def test_the_publish_button_says_that_it_sends(site: Site, trip: Page) -> None:
    """While Crusoe is asked, the button says so and cannot be pressed again."""
    trip.get_by_role("link", name="Publish", exact=True).click()
    trip.wait_for_url("**/publish/")
    # The page is looked at as it stands while the answer is awaited, so here nothing is sent.
    trip.evaluate("document.addEventListener('submit', (event) => event.preventDefault())")
    trip.get_by_role("button", name="Publish", exact=True).click()
    expect(trip.get_by_role("button", name="Sending …")).to_be_disabled()


def test_leaving_with_unsaved_text_asks(trip: Page) -> None:
    """A link away from unsaved text asks first; saved, it does not."""
    asked: list[str] = []
    trip.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    form = trip.locator("#trip")
    form.get_by_label("Subtitle").fill("Not saved")
    trip.get_by_role("link", name="Itineraries").first.click()
    expect(form.get_by_label("Subtitle")).to_have_value("Not saved")
    assert asked == ["beforeunload"]
    press(trip, form, "Save")
    trip.get_by_role("link", name="Itineraries").first.click()
    trip.wait_for_url("**/itineraries/")
    assert asked == ["beforeunload"]


def test_airports_are_offered_as_they_are_typed(trip: Page) -> None:
    """The code's field offers airports by city, too."""
    trip.locator(".flight-leg").first.get_by_label("From, airport code").fill("bucha")
    expect(trip.locator("#airports option[value=OTP]")).to_have_count(1)


def test_everything_works_without_scripts(site: Site, browser: Browser, trip: Page) -> None:
    """Saving by Enter, adding, moving, removing and undoing are ordinary posts."""
    context = browser.new_context(java_script_enabled=False, storage_state=trip.context.storage_state())
    page = context.new_page()
    page.goto(trip.url)
    field = page.locator(".stop").nth(1).get_by_label("Label before this card")
    field.fill("Saved by Enter")
    field.press("Enter")
    expect(page.locator(".stop").nth(1).get_by_label("Label before this card")).to_have_value("Saved by Enter")
    assert document(page)["segments"][1]["milestone"] == "Saved by Enter"
    page.locator(".between.add").first.get_by_role("button", name="Experience").click()
    headings = page.locator(".stop h2")
    expect(headings).to_have_text(["Experience", "Flight", "Stay", "Car ride", "Experience"])
    page.locator(".stop").first.get_by_role("button", name="Move down").click()
    expect(headings).to_have_text(["Flight", "Experience", "Stay", "Car ride", "Experience"])
    page.locator(".stop").nth(1).get_by_role("button", name="Remove", exact=True).click()
    expect(headings).to_have_text(["Flight", "Stay", "Car ride", "Experience"])
    page.get_by_role("button", name="Undo").click()
    expect(headings).to_have_text(["Flight", "Experience", "Stay", "Car ride", "Experience"])
    context.close()
