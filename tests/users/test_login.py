"""Login, lock-out and logout, over Django's client."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from urllib.parse import quote

import pytest
from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from tests.users.conftest import PASSWORD
from users.models import User
from users.services import user_create, user_update

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
