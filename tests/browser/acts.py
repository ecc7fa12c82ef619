"""What brings a page into a state worth a look: menus opened, forms sent, mistakes made."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Page


def open_first_filter(page: Page) -> None:
    page.locator("details.filter summary").first.click()


def select_first_row(page: Page) -> None:
    page.locator(".action-select").first.check()


def delete_selected(page: Page) -> None:
    page.locator("#action-toggle").check()
    page.select_option("select[name=action]", "delete_selected")
    page.locator(".actions button[type=submit]").click()
    page.wait_for_selector(".delete-confirmation")


TABLE = """id;batería;ciudad;país;lat;lon
IMP-1;80;Cáceres;España;39,47;-6,37
IMP-2;0,8;Cáceres;España;39,47;-6,37
"""


def _import(page: Page, text: str) -> None:
    table = {"name": "flota.csv", "mimeType": "text/csv", "buffer": text.encode()}
    page.get_by_label("File", exact=True).set_input_files(table)  # type: ignore[arg-type]
    page.get_by_role("button", name="Read and compare").click()


def import_nothing(page: Page) -> None:
    page.get_by_role("button", name="Read and compare").click()
    page.get_by_text("Give a file or an address.").wait_for()


def import_table(page: Page) -> None:
    _import(page, TABLE)
    page.get_by_role("button", name="Apply the import").wait_for()


def import_without_id(page: Page) -> None:
    _import(page, TABLE.replace("id;", "Nr;"))
    page.get_by_role("button", name="Read again with these").wait_for()


def import_and_apply(page: Page) -> None:
    import_table(page)
    page.get_by_role("button", name="Apply the import").click()
    page.get_by_role("heading", name="What was done").wait_for()


def wait_for(page: Page, probe: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something has come true, while the page's events are heard."""
    end = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        page.wait_for_timeout(50)


def wait_until(page: Page, script: str, seconds: float = 20) -> None:
    """Wait for a script to say yes. The browser library's own way evaluates a string in the page, which the policy refuses."""
    end = time.monotonic() + seconds
    while not page.evaluate(script):
        assert time.monotonic() < end, f"not within {seconds:g} s: {script}"
        page.wait_for_timeout(50)


def wait_for_map(page: Page) -> None:
    page.locator("#map-when", has_text=":").wait_for()
    wait_until(page, "document.getElementById('map-in-view').textContent !== ''")


def open_map_card(page: Page) -> None:
    wait_for_map(page)
    page.locator("#map-rows button").first.click()
    page.locator("#map-aside .facts").wait_for()


def open_menu(page: Page) -> None:
    page.locator(".nav .foot summary").click()


def open_calendar(page: Page) -> None:
    page.locator(".datetimeshortcuts a", has=page.locator(".date-icon")).first.click()


def open_clock(page: Page) -> None:
    page.locator(".datetimeshortcuts a", has=page.locator(".clock-icon")).first.click()


def save(page: Page) -> None:
    page.locator("[name=_save]").first.click()
    page.wait_for_selector(".errornote")


def save_wrong_battery(page: Page) -> None:
    page.fill("[name=battery]", "400")
    save(page)


def _log_in_wrongly(page: Page, username: str) -> None:
    page.fill("[name=username]", username)
    page.fill("[name=password]", "wrong")
    page.click("main button[type=submit]")
    page.wait_for_load_state("networkidle")


def wrong_password(page: Page) -> None:
    _log_in_wrongly(page, "nobody")


def lock_out(page: Page) -> None:
    while page.locator("[name=username]").count():
        _log_in_wrongly(page, "locked")


def lose_the_cookies(page: Page) -> None:
    page.context.clear_cookies()
    _log_in_wrongly(page, "nobody")


def address_of_nobody(page: Page) -> None:
    """A name that leads here as well, and that the site does not go by."""
    page.goto(page.url.replace("127.0.0.1", "elsewhere.localhost"))


def submit(page: Page) -> None:
    """What the browser itself would object to is for the server to say."""
    page.eval_on_selector_all("main form", "(forms) => forms.forEach((form) => { form.noValidate = true; })")
    page.locator("main form button[type=submit].main").last.click()
    page.wait_for_load_state("networkidle")


def import_nonsense(page: Page) -> None:
    page.get_by_label("Or paste the JSON here").fill('{"title": 1, "segments": [{}]}')
    submit(page)


def make_token(page: Page) -> None:
    page.locator("form[action$='/account/tokens/'] [name=name]").fill("A program")
    page.locator("form[action$='/account/tokens/'] button").click()
    page.wait_for_selector(".people-token")


def submit_token(page: Page) -> None:
    page.eval_on_selector("form[action$='/account/tokens/']", "(form) => { form.noValidate = true; }")
    page.locator("form[action$='/account/tokens/'] button").click()
    page.wait_for_selector("[aria-invalid=true], .errorlist, .err")


def _switch_fault(page: Page, fault: str, field: str = "") -> None:
    origin = "/".join(page.url.split("/")[:3])
    token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
    form = {"csrfmiddlewaretoken": token, "fault": fault, "field": field}
    answer = page.request.post(f"{origin}/sandbox/crusoe/fault/", form=form, headers={"Referer": page.url})
    assert answer.ok


def publish(fault: str, field: str = "") -> Callable[[Page], None]:
    """Publish while the simulated Crusoe has a fault; what was published before stays as it was."""

    def act(page: Page) -> None:
        if page.locator(".outcome").count() == 0:
            _switch_fault(page, fault, field)
            page.get_by_role("button", name="Publish", exact=True).click()
            page.wait_for_selector(".outcome")
            _switch_fault(page, "none")

    return act


def open_published(page: Page) -> None:
    publish("none")(page)
    address = page.locator(".outcome a[href*='/sandbox/crusoe/trips/']").first.get_attribute("href")
    assert address
    page.goto(address)


def resolve_without_address(page: Page) -> None:
    publish("no_url")(page)
    page.get_by_role("button", name="It is there", exact=True).click()
    page.wait_for_selector("#id_address_error")


def press_in_first_card(name: str, appears: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.locator(".stop").first.get_by_role("button", name=name, exact=True).locator("visible=true").click()
        page.wait_for_selector(appears)
        page.wait_for_selector(".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added", state="detached")

    return act


def save_stale(page: Page) -> None:
    page.eval_on_selector(".stop input[name=version]", "(field) => { field.value = '999'; }")
    press_in_first_card("Save", ".stop .note.warn")(page)


def wait_for_operations(page: Page) -> None:
    page.wait_for_selector(".opblock")


def open_operations(page: Page) -> None:
    """One of each method, and one that is tried out with its answer below."""
    wait_for_operations(page)
    for operation in ("itineraries_create", "itineraries_update", "itineraries_destroy", "vehicles_partial_update"):
        page.locator(f"[id$=-{operation}] .opblock-summary-control").click()
    tried = page.locator("[id$=-vehicles_list]")
    tried.locator(".opblock-summary-control").click()
    tried.locator(".try-out__btn").click()
    tried.locator(".btn.execute").click()
    tried.locator(".live-responses-table").wait_for()
    page.locator("[id$=-itineraries_create] .try-out__btn").click()


def open_schemas(page: Page) -> None:
    wait_for_operations(page)
    for name in ("Itinerary", "Vehicle", "VehicleState"):
        page.locator(f"#model-{name} [aria-expanded=false]").first.click()
    page.locator("#model-Vehicle tr [aria-expanded=false]").first.click()


def open_authorizations(page: Page) -> None:
    wait_for_operations(page)
    page.locator(".btn.authorize").first.click()
    page.wait_for_selector(".modal-ux")
