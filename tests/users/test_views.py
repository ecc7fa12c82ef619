"""Login, lock-out, logout, and each person's account page, over Django's client."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from urllib.parse import quote

import pytest
from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from tests.users.conftest import PASSWORD
from users.models import ApiToken, User
from users.services import token_create, user_create, user_update

pytestmark = pytest.mark.django_db


def log_in(client: Client, name: str = "carla", password: str = PASSWORD, **values: str):
    return client.post("/login/", {"username": name, "password": password, **values})


# --- Login -----------------------------------------------------------------------------------------------------------


def test_each_lands_where_their_work_is(person: User, staff: User) -> None:
    """Staff come to the desk, everybody else to their account."""
    assert log_in(Client())["Location"] == "/account/"
    assert log_in(Client(), "Marta@Example.org")["Location"] == "/"


def test_a_wrong_login_says_the_same_whatever_was_wrong(client: Client, person: User) -> None:
    """A wrong password, an unknown name and a blocked account read alike."""
    User.objects.create(username="blocked", is_active=False, password=person.password)
    notes = set()
    for name, password in (("carla", "wrong"), ("nobody", PASSWORD), ("blocked", PASSWORD)):
        answer = log_in(client, name, password)
        assert answer.status_code == 200
        notes.add(re.search(r'class="note bad"[^>]*>(.*?)</div>', answer.content.decode(), re.DOTALL)[1])
    assert len(notes) == 1


def test_an_address_longer_than_a_user_name_may_be_typed(client: Client) -> None:
    """The field takes addresses of up to 254 letters."""
    address = "a" * 60 + "@" + ".".join(["b" * 60] * 3) + ".example"
    user_create(username="long", email=address, password=PASSWORD)
    assert 'maxlength="254"' in client.get("/login/").content.decode()
    assert log_in(client, address)["Location"] == "/account/"


@pytest.mark.parametrize(
    "name",
    ["", "\x00", "carla\x00", "x" * 9999, "\ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "replace")],
)
def test_any_name_is_answered_in_words(client: Client, person: User, name: str) -> None:
    """What cannot be a name is a mistake in the form."""
    assert log_in(client, name).status_code == 200


@pytest.mark.parametrize(
    "page", ["/login/", "/password-reset/", "/password-reset/done/", "/account/", "/account/password/"]
)
def test_pages_keep_the_content_security_policy(client: Client, person: User, page: str) -> None:
    """No inline script or style, and no handler in an attribute."""
    client.force_login(person) if page.startswith("/account") else None
    answer = client.get(page)
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", text)


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/", "//evil.example/", "///evil.example", "http:evil.example", "http:///evil.example",
        "\\\\evil.example", "/\\evil.example", "javascript:alert(1)", " //evil.example", "\t//evil.example",
        "https://testserver@evil.example/", "http://testserver.evil.example/", "ftp://testserver/", "\x08//evil.example",
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["field", "address", "admin"])
def test_next_leads_nowhere_else(client: Client, staff: User, wanted: str, way: str) -> None:
    """Whatever ``next`` says, the login ends on this site; in the form, in the address and by the admin's login."""
    if way == "admin":
        answer = client.get(f"/admin/login/?next={quote(wanted)}")
        assert answer["Location"] == "/login/?next=/admin/"
        return
    address = "/login/" if way == "field" else f"/login/?next={quote(wanted)}"
    answer = client.post(
        address, {"username": "marta", "password": PASSWORD, **({"next": wanted} if way == "field" else {})}
    )
    assert answer["Location"] == "/"


def test_next_is_kept_where_it_is_good(client: Client, staff: User) -> None:
    """From the admin through the login back to the page, with its query."""
    first = client.get("/admin/users/user/?q=a%26b")
    assert first["Location"].startswith("/admin/login/?next=")
    second = client.get(first["Location"])
    assert second["Location"].startswith("/login/?next=")
    page = client.get(second["Location"]).content.decode()
    wanted = re.search(r'name="next" value="([^"]+)"', page)[1].replace("&amp;", "&")
    assert log_in(client, "marta", next=wanted)["Location"] == "/admin/users/user/?q=a%26b"


@pytest.mark.parametrize("wanted", ["/login/", "/login/?next=/login/", "http://testserver/login/"])
def test_whoever_is_logged_in_is_sent_on_and_never_in_a_circle(client: Client, person: User, wanted: str) -> None:
    """Django's own view raises an error where ``next`` is the login itself."""
    client.force_login(person)
    assert client.get("/login/", {"next": wanted})["Location"] == "/account/"
    assert client.get("/login/")["Location"] == "/account/"


def test_whoever_is_not_staff_is_told_so_kindly(client: Client, person: User) -> None:
    """The admin, and each page in it, lead to the person's own page with a word of why."""
    client.force_login(person)
    for page in ("/admin/", "/admin/users/user/", "/admin/login/?next=/admin/"):
        answer = client.get(page, follow=True)
        assert answer.redirect_chain[-1][0] == "/account/"
        assert "for the operator" in answer.content.decode()


def test_staff_pass_the_admin_s_login(client: Client, staff: User) -> None:
    """Staff who are logged in go where they wanted."""
    client.force_login(staff)
    assert client.get("/admin/login/?next=/admin/users/")["Location"] == "/admin/users/"


def test_a_login_needs_the_csrf_token(person: User) -> None:
    """A foreign page cannot log a visitor in, out, or change anything in their name."""
    client = Client(enforce_csrf_checks=True)
    assert log_in(client).status_code == 403
    client.force_login(person)
    for page in (
        "/logout/",
        "/account/",
        "/account/password/",
        "/account/tokens/",
        "/password-reset/",
        "/language/setlang/",
    ):
        assert client.post(page, {}).status_code == 403, page


def test_a_login_ends_with_the_browser_unless_wanted(client: Client, person: User) -> None:
    """The cookie has no date; with the box ticked it lives two weeks."""
    log_in(client)
    assert client.cookies["sessionid"]["max-age"] == ""
    assert client.cookies["sessionid"]["httponly"]
    other = Client()
    log_in(other, remember="on")
    assert other.cookies["sessionid"]["max-age"] == 14 * 24 * 3600


def test_a_login_changes_the_session_s_key(client: Client, person: User) -> None:
    """A key that somebody planted before the login is worth nothing after it."""
    session = client.session
    session["x"] = 1
    session.save()
    planted = session.session_key
    log_in(client)
    assert client.cookies["sessionid"].value != planted
    assert not Session.objects.filter(session_key=planted).exists()


def test_logging_out_takes_a_post(client: Client, person: User) -> None:
    """A link cannot log anybody out; the button ends at the login with a word."""
    client.force_login(person)
    assert client.get("/logout/").status_code == 405
    answer = client.post("/logout/", follow=True)
    assert answer.redirect_chain[-1][0] == "/login/"
    assert "You are logged out" in answer.content.decode()
    assert client.get("/account/")["Location"] == "/login/?next=/account/"


def test_a_blocked_person_is_out_at_once(client: Client, person: User) -> None:
    """Blocking ends the sessions that are open."""
    client.force_login(person)
    assert client.get("/account/").status_code == 200
    user_update(user=person, values={"is_active": False})
    assert client.get("/account/").status_code == 302


# --- Lock-out --------------------------------------------------------------------------------------------------------


def fail(client: Client, times: int, name: str = "carla", address: str = "192.0.2.1", **headers: str):
    for _ in range(times):
        answer = client.post(
            "/login/", {"username": name, "password": "wrong"}, REMOTE_ADDR=address, headers=headers or None
        )
    return answer


def test_the_fifth_wrong_password_locks_out_and_says_what_to_do(client: Client, person: User) -> None:
    """429, how long, and the way round by mail; the right password does not help until then."""
    assert fail(client, 4).status_code == 200
    answer = fail(client, 1)
    text = answer.content.decode()
    assert answer.status_code == 429
    assert "Wait 15 minutes" in text
    assert 'href="/password-reset/"' in text
    right = client.post("/login/", {"username": "carla", "password": PASSWORD}, REMOTE_ADDR="192.0.2.1")
    assert right.status_code == 429


def test_the_lock_out_ends_after_a_quarter_of_an_hour(client: Client, person: User) -> None:
    """Fifteen minutes after the last attempt the right password works."""
    fail(client, 5)
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=15, seconds=1))
    right = client.post("/login/", {"username": "carla", "password": PASSWORD}, REMOTE_ADDR="192.0.2.1")
    assert right["Location"] == "/account/"


def test_an_attempt_while_locked_out_begins_the_wait_anew(client: Client, person: User) -> None:
    """As the page says."""
    fail(client, 5)
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=14))
    fail(client, 1)
    assert AccessAttempt.objects.get().attempt_time > timezone.now() - timedelta(minutes=1)


def test_spellings_of_an_address_give_no_more_guesses(client: Client, person: User) -> None:
    """Upper case, the address and the user name all count against one account."""
    for name in ("carla", "carla@example.org", "CARLA@example.org", "Carla@EXAMPLE.org"):
        assert fail(client, 1, name).status_code == 200
    assert fail(client, 1, " carla@example.ORG").status_code == 429
    assert AccessAttempt.objects.get().failures_since_start == 5


def test_names_that_nobody_has_are_locked_out_alike(client: Client, person: User) -> None:
    """A lock-out does not tell whether there is an account."""
    known, unknown = fail(client, 5), fail(Client(), 5, "nobody@example.org")
    assert known.status_code == unknown.status_code == 429
    pages = [re.sub(rb'value="\w{64}"', b"", answer.content) for answer in (known, unknown)]
    assert pages[0] == pages[1]


def test_a_stranger_locks_out_himself_only(client: Client, person: User) -> None:
    """The person logs in from elsewhere, and others log in from the stranger's address."""
    fail(client, 6)
    elsewhere = Client().post("/login/", {"username": "carla", "password": PASSWORD}, REMOTE_ADDR="192.0.2.2")
    assert elsewhere["Location"] == "/account/"
    user_create(username="other", password=PASSWORD)
    other = Client().post("/login/", {"username": "other", "password": PASSWORD}, REMOTE_ADDR="192.0.2.1")
    assert other["Location"] == "/account/"


def test_a_right_password_forgets_the_wrong_ones(client: Client, person: User) -> None:
    """Four wrong, one right by address, four wrong again: still not locked out."""
    fail(client, 4)
    right = client.post("/login/", {"username": "CARLA@example.org", "password": PASSWORD}, REMOTE_ADDR="192.0.2.1")
    assert right["Location"] == "/account/"
    assert fail(Client(), 4).status_code == 200


def test_a_made_up_forwarding_header_gives_no_more_guesses(client: Client, person: User) -> None:
    """A client that is no trusted proxy is counted by its own address, whatever it claims."""
    for last in range(4):
        fail(client, 1, **{"X-Forwarded-For": f"198.51.100.{last}"})
    assert fail(client, 1, **{"X-Forwarded-For": "198.51.100.9"}).status_code == 429


def test_behind_a_trusted_proxy_each_client_is_counted_alone(client: Client, person: User, settings) -> None:
    """All come from the proxy's address, and only the guesser is locked out; addresses he puts in front change nothing."""
    settings.TRUSTED_PROXIES = [ipaddress.ip_network("10.0.0.0/8")]
    for number in range(5):
        guess = fail(client, 1, address="10.0.0.7", **{"X-Forwarded-For": f"203.0.113.{number}, 192.0.2.1"})
    assert guess.status_code == 429
    assert AccessAttempt.objects.get().ip_address == "192.0.2.1"
    person_s = Client().post(
        "/login/",
        {"username": "carla", "password": PASSWORD},
        REMOTE_ADDR="10.0.0.7",
        headers={"X-Forwarded-For": "192.0.2.2"},
    )
    assert person_s["Location"] == "/account/"


def test_attempts_keep_no_password(client: Client, person: User) -> None:
    """What was typed as a password is written down nowhere."""
    client.post("/login/", {"username": "carla", "password": "nearly-right-99"})
    assert "nearly-right-99" not in repr(AccessAttempt.objects.values().get())


# --- Account ---------------------------------------------------------------------------------------------------------


def test_a_person_changes_what_is_theirs_and_nothing_else(client: Client, person: User) -> None:
    """Name, language and zone are taken; rights, names and addresses that were smuggled in are not."""
    client.force_login(person)
    answer = client.post(
        "/account/",
        {
            "first_name": "Clara", "last_name": "Ruiz", "language": "es", "time_zone": "America/Santiago",
            "is_staff": "on", "is_superuser": "on", "username": "root", "email": "x@example.org", "groups": "1",
        },
    )  # fmt: skip
    assert answer["Location"] == "/account/"
    person.refresh_from_db()
    assert (person.first_name, person.last_name, person.language) == ("Clara", "Ruiz", "es")
    assert person.time_zone == "America/Santiago"
    assert (person.is_staff, person.is_superuser, person.groups.count()) == (False, False, 0)
    assert (person.username, person.email) == ("carla", "Carla@example.org")
    assert client.get("/account/")["Content-Language"] == "es"


@pytest.mark.parametrize("values", [{"language": "xx"}, {"time_zone": "Mars/Olympus"}, {"first_name": "x" * 151}])
def test_a_mistake_is_shown_at_its_field(client: Client, person: User, values: dict[str, str]) -> None:
    """Nothing is stored, and the page says what was wrong."""
    client.force_login(person)
    answer = client.post("/account/", values)
    assert answer.status_code == 200
    assert answer.content.decode().count('class="field err"') == 1
    assert "<h1>Carla</h1>" in answer.content.decode()


def test_a_zone_that_is_no_longer_offered_stays_chosen(client: Client, person: User) -> None:
    """Saving the page does not change a zone that the list leaves out."""
    user_update(user=person, values={"time_zone": "Etc/GMT+3"})
    client.force_login(person)
    assert '<option value="Etc/GMT+3" selected>' in client.get("/account/").content.decode()


def test_the_chosen_language_holds_for_the_person(client: Client, person: User) -> None:
    """The switch at the foot of each page works for people who had chosen a language before, on every device."""
    user_update(user=person, values={"language": "en"})
    client.force_login(person)
    client.post("/language/setlang/", {"language": "es", "next": "/account/"})
    elsewhere = Client()
    elsewhere.force_login(person)
    assert elsewhere.get("/account/")["Content-Language"] == "es"
    client.post("/language/setlang/", {"language": "xx"})
    person.refresh_from_db()
    assert person.language == "es"
    assert client.get("/language/setlang/").status_code == 405


def test_a_new_password_ends_the_other_sessions(client: Client, person: User) -> None:
    """This device stays logged in; the others are out."""
    other = Client()
    log_in(client), log_in(other)
    assert client.get("/admin/password_change/", follow=True).status_code == 200
    answer = client.post(
        "/account/password/",
        {"old_password": PASSWORD, "new_password1": "otra-clave-8x", "new_password2": "otra-clave-8x"},
    )
    assert answer["Location"] == "/account/"
    assert client.get("/account/").status_code == 200
    assert other.get("/account/").status_code == 302


def test_changing_the_password_needs_the_old_one(client: Client, person: User) -> None:
    """Whoever finds an open session cannot take the account over."""
    client.force_login(person)
    client.post(
        "/account/password/", {"old_password": "wrong", "new_password1": "abc-9-def", "new_password2": "abc-9-def"}
    )
    person.refresh_from_db()
    assert person.check_password(PASSWORD)


# --- Tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_is_shown_once(client: Client, staff: User) -> None:
    """It stands on the page that answers, which is not to be kept, and on no other."""
    client.force_login(staff)
    answer = client.post("/account/tokens/", {"name": "gateway", "scope": "telemetry", "expires": "30"})
    token = re.search(r'class="people-token">(opb_[\w-]+)<', answer.content.decode())[1]
    assert "no-store" in answer["Cache-Control"]
    assert token not in client.get("/account/").content.decode()
    row = ApiToken.objects.get()
    assert (row.user, row.scope, row.name) == (staff, "telemetry", "gateway")
    assert timedelta(days=29) < row.expires_at - timezone.now() <= timedelta(days=30)
    assert client.get("/api/v1/vehicles/", headers={"Authorization": f"Token {token}"}).status_code in (403, 404)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"name": "x", "scope": "root"},
        {"name": "x", "scope": "all", "expires": "9999"},
        {"name": "x" * 101, "scope": "all"},
    ],
)
def test_a_mistake_in_a_token_makes_none(client: Client, staff: User, values: dict[str, str]) -> None:
    """The page comes back with the mistake."""
    client.force_login(staff)
    answer = client.post("/account/tokens/", values)
    assert answer.status_code == 200
    assert "field err" in answer.content.decode()
    assert not ApiToken.objects.exists()


def test_customers_make_no_tokens(client: Client, person: User) -> None:
    """Whoever is not staff sees no tokens and makes none."""
    client.force_login(person)
    assert "API tokens" not in client.get("/account/").content.decode()
    assert client.post("/account/tokens/", {"name": "x", "scope": "all"}).status_code == 403


def test_a_token_is_revoked_by_its_owner_only(client: Client, staff: User, superuser: User) -> None:
    """Others' tokens are not found; one's own disappears from the page."""
    mine, _token = token_create(user=staff, name="mine")
    other, _token = token_create(user=superuser, name="other")
    client.force_login(staff)
    assert client.post(f"/account/tokens/{other.pk}/revoke/").status_code == 404
    page = client.post(f"/account/tokens/{mine.pk}/revoke/", follow=True).content.decode()
    assert "is revoked" in page
    mine.refresh_from_db(), other.refresh_from_db()
    assert mine.revoked_at is not None
    assert other.revoked_at is None


@pytest.mark.parametrize("page", ["/account/tokens/", "/account/tokens/1/revoke/"])
def test_whoever_must_log_in_again_comes_back_to_the_page(client: Client, staff: User, page: str) -> None:
    """The session ended before a button was pressed: after the login the account page is shown, and not an error."""
    away = client.post(page)
    assert away["Location"] == f"/login/?next={page}"
    assert client.post(away["Location"], {"username": "marta", "password": PASSWORD})["Location"] == page
    assert client.get(page)["Location"] == "/account/"


@pytest.mark.parametrize("count", [1, 30])
def test_the_page_asks_the_same_of_the_database_for_any_number_of_tokens(
    client: Client, superuser: User, count: int, django_assert_num_queries
) -> None:
    """Session, person, the form's copy and the tokens."""
    for number in range(count):
        token_create(user=superuser, name=f"token {number}")
    client.force_login(superuser)
    with django_assert_num_queries(4):
        assert client.get("/account/").content.decode().count('class="people-list"') == 1


# --- Changing one's own password -----------------------------------------------------------------------------------


def change_password(client: Client, old: str) -> str:
    new = "faro-amarillo-9"
    sent = {"old_password": old, "new_password1": new, "new_password2": new}
    answer = client.post("/account/password/", sent)
    return "changed" if answer.status_code == 302 else answer.content.decode()


def test_an_old_password_may_be_wrong_five_times(client: Client, person: User) -> None:
    """From then on even the right one is refused, in words, until the time is over; for this account alone."""
    client.force_login(person)
    for number in range(5):
        assert "too often" not in change_password(client, f"guess-{number}")
    for old in ("guess", PASSWORD):
        assert "wrong too often. Wait 15 minutes" in change_password(client, old)
    person.refresh_from_db()
    assert person.check_password(PASSWORD)
    other = Client()
    other.force_login(user_create(username="eva", email="eva@example.org", password=PASSWORD))
    assert change_password(other, PASSWORD) == "changed"
    cache.clear()  # as the time does
    assert change_password(client, PASSWORD) == "changed"


def test_the_right_old_password_begins_the_count_anew(client: Client, person: User) -> None:
    """Four mistakes, a change, and four more lock nobody out."""
    client.force_login(person)
    for old, new in ((PASSWORD, "faro-amarillo-9"), ("faro-amarillo-9", "monte-verde-11")):
        for number in range(4):
            assert "too often" not in change_password(client, f"guess-{number}")
        sent = {"old_password": old, "new_password1": new, "new_password2": new}
        assert client.post("/account/password/", sent).status_code == 302
