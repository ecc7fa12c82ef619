"""Each person's account page: data, tokens, password; over Django's client."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from tests.users.conftest import PASSWORD
from users.models import ApiToken, User
from users.services import token_create, user_create, user_update

pytestmark = pytest.mark.django_db


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
    client.force_login(person)
    other.force_login(person)
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
