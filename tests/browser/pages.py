"""Every page there is, for what is asked of all of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Browser, Page, StorageState

if TYPE_CHECKING:
    from tests.browser.conftest import Site

STAFF = "ana"


@dataclass(frozen=True)
class View:
    """A page, as somebody sees it.

    ``path`` may name what is in the demo data (``{vehicle}``) and what is prepared for these views (``{blank}``);
    ``act`` brings the page into a state worth a look.
    """

    name: str
    path: str
    user: str | None = STAFF
    act: Callable[[Page], None] | None = None
    status: int = 200

    def open(self, page: Page, site: Site) -> None:
        answer = page.goto(site.url + self.address(site))
        assert answer is not None
        assert answer.status == self.status, f"{self.path}: {answer.status}"
        if self.act:
            self.act(page)

    def address(self, site: Site) -> str:
        known = {}
        if "{" in self.path:
            known = {"vehicle": site.vehicle_id, "itinerary": site.itinerary_id, "person": site.ids["person"]}
            known |= {"faulty": site.ids["itineraries"]["Madrid for the Rossi family"]}
        if any("{" + name + "}" in self.path for name in PREPARED):
            known |= prepared(site)
        return self.path.format(**known)


SAMPLE = Path(__file__).parents[1] / "wire" / "crusoe_trip.json"
TRIPS = ("published", "unknown", "refused", "refused_key", "not_sent", "sending", "edited")
CITYTRIPS = ("their_account", "their_request", "their_conflict", "their_picture", "terms", "terms_earlier")
PREPARED = (*TRIPS, "blank", "recovery", "group", "attempt", "mistake", "away", "message", "reply", "alert", *CITYTRIPS)
_prepared: dict[str, dict[str, Any]] = {}


def prepared(site: Site) -> dict[str, Any]:
    """What the demo data lacks, made once for each site: trips to publish, a recovery link, our error page."""
    if site.url not in _prepared:
        said = site.manage("shell", "--no-imports", "-c", PREPARE.format(sample=str(SAMPLE), trips=TRIPS))
        _prepared[site.url] = json.loads(said.splitlines()[-1])
    return _prepared[site.url]


PREPARE = """
import json
from pathlib import Path
from urllib.parse import urlsplit
from axes.models import AccessAttempt
from django.contrib.auth.models import Group
from django.template.loader import render_to_string
from django.utils import timezone
from backoffice.citytrips import services
from backoffice.citytrips.journal import Direction, JournalRecord, Outcome, body
from backoffice.citytrips.models import Alert, JournalEntry
from itineraries.models import Publication
from itineraries.services import itinerary_create
from tests.users.payloads import data_uri, jpeg, payload
from users.accounts import link, read
from users.models import CityTripsAccount, CityTripsApplication, TermsVersion, User
from users.recovery import recovery_link
from users.services import user_update

ana, now = User.objects.get(username="ana"), timezone.now()
sample = json.loads(Path({sample!r}).read_text())
made = {{name: itinerary_create(user=ana, document={{**sample, "title": "A trip: " + name}}) for name in {trips}}}
for state in ("not_sent", "sending"):
    Publication.objects.create(
        itinerary=made[state], number=1, state=state, document={{}}, fingerprint=made[state].fingerprint, by=ana,
        started_at=now, ended_at=None if state == "sending" else now,
        reason={{"code": "name_not_found", "arguments": {{"host": "crusoe.invalid"}}}})
attempt = AccessAttempt.objects.create(
    username="somebody", ip_address="192.0.2.7", user_agent="A browser", path_info="/login/", failures_since_start=2)
replies = [
    services.reply_create(command="s_user/new", payload={{"id": ana.public_id.hex, "email": ana.email}}, about_id=ana.pk)
    for _number in range(3)]
services.replies_sent(ids=[reply.pk for reply in replies])
services.replies_settle(ids=[replies[0].pk])
services.replies_object(ids=[replies[1].pk])
application = json.loads((Path({sample!r}).parent / "citytrips_user_new.json").read_text())["payload"]
services.journal_add(entries=[
    JournalRecord(
        Direction.IN, "s_user/new", 48_213, Outcome.ANSWERED, now, body=body("s_user/new", application),
        account_id=ana.pk, reply_id=replies[1].pk),
    JournalRecord(Direction.OUT, "s_vehicle/full", 31_008, Outcome.SETTLED, now, body={{"vehicles": 240}}),
    JournalRecord(Direction.OUT, "s_vehicle/incremental", 133, Outcome.VOID, now, "the line broke", {{"vehicles": 1}}),
    JournalRecord(Direction.IN, "s_ext/error", 60, Outcome.HANDLED, now, "vehicle ES-1 has no plate", {{}}),
    JournalRecord(Direction.IN, "(unnamed)", 900_000, Outcome.UNREADABLE, now, "nested too deeply", {{}}),
    JournalRecord(Direction.IN, "s_user/reserve", 90, Outcome.UNKNOWN, now, "", {{"type": "object", "members": 3}}),
])
for _time in range(3):
    services.alert_raise(kind=Alert.Kind.USER_REFUSED, detail="An e-mail address and a national id of two people")
services.alert_raise(kind=Alert.Kind.UNKNOWN_COMMAND, detail="s_user/reserve")
done = Alert.objects.get(kind=Alert.Kind.UNKNOWN_COMMAND)
services.alert_resolve(alert=done, actor=ana)
text = "# Renting\\n\\nWhoever rents a vehicle is of age.\\n\\n- Helmets are worn.\\n- Dogs stay at home.\\n\\n" * 3
old, new = (
    TermsVersion.objects.create(in_force_from=now - timezone.timedelta(days=days), text_en=text) for days in (90, 1))
picture = data_uri(jpeg(640, 400))
odd = payload(phone="?", birthdate=1e308, nif_front_img=picture, license_front_img=picture, nif_back_img="back.png")
link(read(odd), received_at=now)
user_update(user=User.objects.get(username="javier"), values={{"national_id": "X1234567L"}})
link(read(payload(email="liam@operator.example", nif="X1234567L")), received_at=now)
print(json.dumps({{
    "their_account": CityTripsAccount.objects.get().pk,
    "their_picture": CityTripsAccount.objects.get().images.first().pk,
    "their_request": CityTripsApplication.objects.get(outcome="created").pk,
    "their_conflict": CityTripsApplication.objects.get(outcome="refused").pk,
    "terms": new.pk,
    "terms_earlier": old.pk,
    "message": JournalEntry.objects.get(account=ana, direction="in").pk,
    "reply": replies[1].pk,
    "alert": Alert.objects.filter(resolved_at=None).first().pk,
    **{{name: str(trip.pk) for name, trip in made.items()}},
    "blank": str(itinerary_create(user=ana).pk),
    "recovery": urlsplit(recovery_link(User.objects.get(username="matias"))).path,
    "group": Group.objects.order_by("pk").first().pk,
    "attempt": attempt.pk,
    "mistake": render_to_string("500.html"),
    "away": render_to_string("503.html"),
}}))
"""


class Sessions:
    """Cookies of people who are logged in; each logs in once, since passwords are slow by design."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self._browser = browser
        self._site = site
        self._known: dict[str, StorageState] = {}

    def of(self, username: str | None) -> StorageState | None:
        if username is None:
            return None
        if username not in self._known:
            if username != STAFF:  # the demo's other people have no password
                self._site.manage(
                    "shell",
                    "--no-imports",
                    "-c",
                    "from users.models import User\n"
                    f"person = User.objects.get(username={username!r})\n"
                    f"person.set_password({self._site.password!r}); person.save()",
                )
            context = self._browser.new_context()
            self._site.login(context.new_page(), username)
            self._known[username] = context.storage_state()
            context.close()
        return self._known[username]


def _open_first_filter(page: Page) -> None:
    page.locator("details.filter summary").first.click()


def _select_first_row(page: Page) -> None:
    page.locator(".action-select").first.check()


def _delete_selected(page: Page) -> None:
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


def _import_nothing(page: Page) -> None:
    page.get_by_role("button", name="Read and compare").click()
    page.get_by_text("Give a file or an address.").wait_for()


def _import_table(page: Page) -> None:
    _import(page, TABLE)
    page.get_by_role("button", name="Apply the import").wait_for()


def _import_without_id(page: Page) -> None:
    _import(page, TABLE.replace("id;", "Nr;"))
    page.get_by_role("button", name="Read again with these").wait_for()


def _import_and_apply(page: Page) -> None:
    _import_table(page)
    page.get_by_role("button", name="Apply the import").click()
    page.get_by_role("heading", name="What was done").wait_for()


def wait_until(page: Page, script: str, seconds: float = 15) -> None:
    """Wait for a script to say yes. The browser library's own way evaluates a string in the page, which the policy refuses."""
    end = time.monotonic() + seconds
    while not page.evaluate(script):
        assert time.monotonic() < end, f"not within {seconds:g} s: {script}"
        page.wait_for_timeout(50)


def _wait_for_map(page: Page) -> None:
    page.locator("#map-when", has_text=":").wait_for()
    wait_until(page, "document.getElementById('map-in-view').textContent !== ''")


def _open_map_card(page: Page) -> None:
    _wait_for_map(page)
    page.locator("#map-rows button").first.click()
    page.locator("#map-aside .facts").wait_for()


def _open_menu(page: Page) -> None:
    page.locator(".nav .foot summary").click()


def _open_calendar(page: Page) -> None:
    page.locator(".datetimeshortcuts a", has=page.locator(".date-icon")).first.click()


def _open_clock(page: Page) -> None:
    page.locator(".datetimeshortcuts a", has=page.locator(".clock-icon")).first.click()


def _save(page: Page) -> None:
    page.locator("[name=_save]").first.click()
    page.wait_for_selector(".errornote")


def _save_wrong_battery(page: Page) -> None:
    page.fill("[name=battery]", "400")
    _save(page)


def _log_in_wrongly(page: Page, username: str) -> None:
    page.fill("[name=username]", username)
    page.fill("[name=password]", "wrong")
    page.click("main button[type=submit]")
    page.wait_for_load_state("networkidle")


def _wrong_password(page: Page) -> None:
    _log_in_wrongly(page, "nobody")


def _lock_out(page: Page) -> None:
    while page.locator("[name=username]").count():
        _log_in_wrongly(page, "locked")


def _lose_the_cookies(page: Page) -> None:
    page.context.clear_cookies()
    _log_in_wrongly(page, "nobody")


def _address_of_nobody(page: Page) -> None:
    """A name that leads here as well, and that the site does not go by."""
    page.goto(page.url.replace("127.0.0.1", "elsewhere.localhost"))


def _submit(page: Page) -> None:
    """What the browser itself would object to is for the server to say."""
    page.eval_on_selector_all("main form", "(forms) => forms.forEach((form) => { form.noValidate = true; })")
    page.locator("main form button[type=submit].main").last.click()
    page.wait_for_load_state("networkidle")


def _import_nonsense(page: Page) -> None:
    page.get_by_label("Or paste the JSON here").fill('{"title": 1, "segments": [{}]}')
    _submit(page)


def _make_token(page: Page) -> None:
    page.locator("form[action$='/account/tokens/'] [name=name]").fill("A program")
    page.locator("form[action$='/account/tokens/'] button").click()
    page.wait_for_selector(".people-token")


def _submit_token(page: Page) -> None:
    page.eval_on_selector("form[action$='/account/tokens/']", "(form) => { form.noValidate = true; }")
    page.locator("form[action$='/account/tokens/'] button").click()
    page.wait_for_selector("[aria-invalid=true], .errorlist, .err")


def _switch_fault(page: Page, fault: str, field: str = "") -> None:
    origin = "/".join(page.url.split("/")[:3])
    token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
    form = {"csrfmiddlewaretoken": token, "fault": fault, "field": field}
    answer = page.request.post(f"{origin}/sandbox/crusoe/fault/", form=form, headers={"Referer": page.url})
    assert answer.ok


def _publish(fault: str, field: str = "") -> Callable[[Page], None]:
    """Publish while the simulated Crusoe has a fault; what was published before stays as it was."""

    def act(page: Page) -> None:
        if page.locator(".outcome").count() == 0:
            _switch_fault(page, fault, field)
            page.get_by_role("button", name="Publish", exact=True).click()
            page.wait_for_selector(".outcome")
            _switch_fault(page, "none")

    return act


def _open_published(page: Page) -> None:
    _publish("none")(page)
    address = page.locator(".outcome a[href*='/sandbox/crusoe/trips/']").first.get_attribute("href")
    assert address
    page.goto(address)


def _resolve_without_address(page: Page) -> None:
    _publish("no_url")(page)
    page.get_by_role("button", name="It is there", exact=True).click()
    page.wait_for_selector("#id_address_error")


def _press_in_first_card(name: str, appears: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.locator(".stop").first.get_by_role("button", name=name, exact=True).locator("visible=true").click()
        page.wait_for_selector(appears)
        page.wait_for_selector(".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added", state="detached")

    return act


def _save_stale(page: Page) -> None:
    page.eval_on_selector(".stop input[name=version]", "(field) => { field.value = '999'; }")
    _press_in_first_card("Save", ".stop .note.warn")(page)


def _wait_for_operations(page: Page) -> None:
    page.wait_for_selector(".opblock")


def _open_operations(page: Page) -> None:
    """One of each method, and one that is tried out with its answer below."""
    _wait_for_operations(page)
    for operation in ("itineraries_create", "itineraries_update", "itineraries_destroy", "vehicles_partial_update"):
        page.locator(f"[id$=-{operation}] .opblock-summary-control").click()
    tried = page.locator("[id$=-vehicles_list]")
    tried.locator(".opblock-summary-control").click()
    tried.locator(".try-out__btn").click()
    tried.locator(".btn.execute").click()
    tried.locator(".live-responses-table").wait_for()
    page.locator("[id$=-itineraries_create] .try-out__btn").click()


def _open_schemas(page: Page) -> None:
    _wait_for_operations(page)
    for name in ("Itinerary", "Vehicle", "VehicleState"):
        page.locator(f"#model-{name} [aria-expanded=false]").first.click()
    page.locator("#model-Vehicle tr [aria-expanded=false]").first.click()


def _open_authorizations(page: Page) -> None:
    _wait_for_operations(page)
    page.locator(".btn.authorize").first.click()
    page.wait_for_selector(".modal-ux")


VISITORS = [
    View("login", "/login/", user=None),
    View("login-refused", "/login/", user=None, act=_wrong_password),
    View("password-reset", "/password-reset/", user=None),
    View("password-reset-errors", "/password-reset/", user=None, act=_submit),
    View("password-reset-done", "/password-reset/done/", user=None),
    View("password-reset-old-link", "/password-reset/MQ/old/", user=None),
    View("not-found", "/nothing/", user=None, status=404),
    View("not-readable", "/login/", user=None, act=_address_of_nobody),
    View("form-refused", "/login/", user=None, act=_lose_the_cookies),
    View("terms-nothing", "/terms/", user=None),
    View("crusoe-trip-gone", "/sandbox/crusoe/trips/nothing/", user=None, status=404),
    View("api", "/api/v1/docs/", user=None, act=_wait_for_operations),
    View("api-operations", "/api/v1/docs/", user=None, act=_open_operations),
    View("api-schemas", "/api/v1/docs/", user=None, act=_open_schemas),
    View("api-authorizations", "/api/v1/docs/", user=None, act=_open_authorizations),
]
STAFFS = [
    View("desk", "/"),
    View("desk-menu", "/", act=_open_menu),
    View("account", "/account/"),
    View("account-token-errors", "/account/", act=_submit_token),
    View("password-change", "/account/password/"),
    View("password-change-errors", "/account/password/", act=_submit),
    View("settings", "/admin/"),
    View("settings-of-users", "/admin/users/"),
    View("settings-of-fleet", "/admin/fleet/"),
    View("fleet", "/admin/fleet/vehicle/"),
    View("fleet-filter", "/admin/fleet/vehicle/?state=available", act=_open_first_filter),
    View("fleet-selection", "/admin/fleet/vehicle/", act=_select_first_row),
    View("fleet-nothing", "/admin/fleet/vehicle/?q=nothing-like-this"),
    View("vehicle", "/admin/fleet/vehicle/{vehicle}/change/"),
    View("vehicle-errors", "/admin/fleet/vehicle/{vehicle}/change/", act=_save_wrong_battery),
    View("vehicle-add", "/admin/fleet/vehicle/add/"),
    View("vehicle-add-errors", "/admin/fleet/vehicle/add/", act=_save),
    View("vehicle-calendar", "/admin/fleet/vehicle/add/", act=_open_calendar),
    View("vehicle-clock", "/admin/fleet/vehicle/add/", act=_open_clock),
    View("vehicle-popup", "/admin/fleet/vehicle/add/?_popup=1"),
    View("vehicle-history", "/admin/fleet/vehicle/{vehicle}/history/"),
    View("vehicle-gone", "/admin/fleet/vehicle/nothing/change/"),
    View("import", "/fleet/import/"),
    View("import-errors", "/fleet/import/", act=_import_nothing, status=200),
    View("import-preview", "/fleet/import/", act=_import_table),
    View("import-headings", "/fleet/import/", act=_import_without_id),
    View("import-applied", "/fleet/import/", act=_import_and_apply),
    View("map", "/fleet/map/", act=_wait_for_map),
    View("map-card", "/fleet/map/?city=Madrid", act=_open_map_card),
    View("map-nothing", "/fleet/map/?q=nothing-like-this", act=_wait_for_map),
    View("fleet-rules", "/admin/fleet/fleetrules/"),
    View("people", "/admin/users/user/"),
    View("people-filter", "/admin/users/user/", act=_open_first_filter),
    View("people-nothing", "/admin/users/user/?q=nothing-like-this"),
    View("person", "/admin/users/user/{person}/change/"),
    View("person-history", "/admin/users/user/{person}/history/"),
    View("person-add", "/admin/users/user/add/"),
    View("person-add-errors", "/admin/users/user/add/", act=_save),
    View("person-delete", "/admin/users/user/{person}/delete/"),
    View("people-delete", "/admin/users/user/", act=_delete_selected),
    View("citytrips-people-nothing", "/admin/users/citytripsaccount/?q=nothing-like-this"),
    View("citytrips-requests-nothing", "/admin/users/citytripsapplication/?q=nothing-like-this"),
    View("terms-add", "/admin/users/termsversion/add/"),
    View("terms-add-errors", "/admin/users/termsversion/add/", act=_save),
    View("groups", "/admin/auth/group/"),
    View("groups-nothing", "/admin/auth/group/?q=nothing-like-this"),
    View("groups-delete", "/admin/auth/group/", act=_delete_selected),
    View("group-add", "/admin/auth/group/add/"),
    View("group-add-errors", "/admin/auth/group/add/", act=_save),
    View("tokens", "/admin/users/apitoken/"),
    View("tokens-nothing", "/admin/users/apitoken/?q=nothing-like-this"),
    View("logins", "/admin/axes/accessattempt/"),
    View("logins-log", "/admin/axes/accesslog/"),
    View("logins-failures", "/admin/axes/accessfailurelog/"),
    View("line", "/admin/citytrips/linkstate/"),
    View("line-requests", "/admin/citytrips/syncrequest/"),
    View("line-requests-filter", "/admin/citytrips/syncrequest/", act=_open_first_filter),
    View("journal-nothing", "/admin/citytrips/journalentry/?q=nothing-like-this"),
    View("alerts", "/admin/citytrips/alert/"),
    View("itineraries", "/itineraries/"),
    View("itineraries-nothing", "/itineraries/?q=nothing-like-this"),
    View("itinerary", "/itineraries/{itinerary}/"),
    View("itinerary-with-errors", "/itineraries/{faulty}/"),
    View("itinerary-new", "/itineraries/new/"),
    View("itinerary-import-errors", "/itineraries/new/", act=_import_nonsense),
    View("itinerary-publish", "/itineraries/{itinerary}/publish/"),
    View("itinerary-publish-errors", "/itineraries/{faulty}/publish/"),
    View("itinerary-delete", "/itineraries/{itinerary}/delete/"),
    View("itineraries-admin", "/admin/itineraries/itinerary/"),
    View("itineraries-admin-nothing", "/admin/itineraries/itinerary/?q=nothing-like-this"),
    View("sandbox", "/sandbox/"),
    View("sandbox-nothing", "/sandbox/?q=nothing-like-this"),
    View("staff-not-found", "/admin/nothing/", status=404),
]
# These need, or make, what is not in the demo data; so none of them is for somebody else's program.
PREPARING = [
    View("locked-out", "/login/", user=None, act=_lock_out),
    View("password-reset-form", "{recovery}", user=None),
    View("password-reset-form-errors", "{recovery}", user=None, act=_submit),
    View("account-token", "/account/", act=_make_token),
    View("group", "/admin/auth/group/{group}/change/"),
    View("citytrips-person", "/admin/users/citytripsaccount/{their_account}/change/"),
    View("citytrips-picture", "/admin/users/citytripsaccount/pictures/{their_picture}/"),
    View("citytrips-people", "/admin/users/citytripsaccount/"),
    View("citytrips-request", "/admin/users/citytripsapplication/{their_request}/change/"),
    View("citytrips-request-refused", "/admin/users/citytripsapplication/{their_conflict}/change/"),
    View("citytrips-requests", "/admin/users/citytripsapplication/"),
    View("citytrips-requests-filter", "/admin/users/citytripsapplication/", act=_open_first_filter),
    View("citytrips-requests-selection", "/admin/users/citytripsapplication/", act=_select_first_row),
    View("terms-version", "/admin/users/termsversion/{terms}/change/"),
    View("terms-versions", "/admin/users/termsversion/"),
    View("terms", "/terms/", user=None),
    View("terms-earlier", "/terms/{terms_earlier}/", user=None),
    View("login-attempt", "/admin/axes/accessattempt/{attempt}/change/"),
    View("journal-message", "/admin/citytrips/journalentry/{message}/change/"),
    View("journal", "/admin/citytrips/journalentry/"),
    View("journal-filter", "/admin/citytrips/journalentry/", act=_open_first_filter),
    View("reply", "/admin/citytrips/reply/{reply}/change/"),
    View("reply-resend", "/admin/citytrips/reply/{reply}/resend/"),
    View("replies", "/admin/citytrips/reply/"),
    View("replies-selection", "/admin/citytrips/reply/", act=_select_first_row),
    View("alert", "/admin/citytrips/alert/{alert}/change/"),
    View("alerts-open", "/admin/citytrips/alert/?state=open"),
    View("itinerary-blank", "/itineraries/{blank}/"),
    View("itinerary-blank-publish", "/itineraries/{blank}/publish/"),
    View("itinerary-removed", "/itineraries/{edited}/", act=_press_in_first_card("Remove", ".undo")),
    View("itinerary-option", "/itineraries/{edited}/", act=_press_in_first_card("Add option", ".stop .tabs")),
    View("itinerary-stale", "/itineraries/{edited}/", act=_save_stale),
    View("itinerary-published", "/itineraries/{published}/publish/", act=_publish("none")),
    View("itinerary-after-publishing", "/itineraries/{published}/"),
    View("itinerary-refused", "/itineraries/{refused}/publish/", act=_publish("field_error", "title")),
    View("itinerary-refused-key", "/itineraries/{refused_key}/publish/", act=_publish("refuse_key")),
    View("itinerary-unknown", "/itineraries/{unknown}/publish/", act=_publish("no_url")),
    View("itinerary-unknown-errors", "/itineraries/{unknown}/publish/", act=_resolve_without_address),
    View("itinerary-unknown-delete", "/itineraries/{unknown}/delete/"),
    View("itinerary-not-sent", "/itineraries/{not_sent}/publish/"),
    View("itinerary-sending", "/itineraries/{sending}/publish/"),
    View("crusoe-trip", "/itineraries/{published}/publish/", act=_open_published),
    View("sandbox-received", "/sandbox/"),
    View("desk-with-tasks", "/"),
    View("itineraries-in-every-state", "/itineraries/"),
]
VIEWERS = [  # staff who may read, and nothing else
    View("viewer-desk", "/", user="viewer"),
    View("viewer-fleet", "/admin/fleet/vehicle/", user="viewer"),
    View("viewer-vehicle", "/admin/fleet/vehicle/{vehicle}/change/", user="viewer"),
    View("viewer-line", "/admin/citytrips/linkstate/", user="viewer"),
    View("viewer-journal", "/admin/citytrips/journalentry/", user="viewer"),
    View("viewer-citytrips-requests", "/admin/users/citytripsapplication/", user="viewer"),
    View("viewer-citytrips-request", "/admin/users/citytripsapplication/{their_conflict}/change/", user="viewer"),
    View("viewer-itinerary", "/itineraries/{itinerary}/", user="viewer"),
    View("viewer-forbidden", "/admin/fleet/vehicle/add/", user="viewer", status=403),
]
CUSTOMERS = [
    View("customer-account", "/account/", user="lucia"),
    View("customer-forbidden", "/sandbox/", user="lucia", status=403),
]
EVERY = [*VISITORS, *STAFFS, *PREPARING, *VIEWERS, *CUSTOMERS]
