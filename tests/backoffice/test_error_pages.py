"""The pages for what went wrong, and what every page keeps to."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.fleet.factories import make
from tests.outages import no_database
from users.models import User
from users.services import user_create


@pytest.fixture
def ana(db: None) -> User:
    return user_create(username="ana", email="ana@example.org", first_name="Ana", is_staff=True, is_superuser=True)


@pytest.mark.django_db
def test_an_address_without_a_page(client: Client) -> None:
    """404 says so in words, with a way out, and quotes nothing of the address."""
    answer = client.get("/nothing/<script>/")
    page = answer.content.decode()
    assert answer.status_code == 404
    assert "Page not found" in page
    assert 'href="/"' in page
    assert "script>/" not in page.replace("</script>", "")


@pytest.mark.django_db
def test_a_page_one_may_not_see(client: Client) -> None:
    """403 says what to do about it."""
    client.force_login(user_create(username="marta", email="marta@example.org", is_staff=True))
    answer = client.get("/admin/fleet/vehicle/")
    assert answer.status_code == 403
    assert "Not for this account" in answer.content.decode()


@pytest.mark.django_db
def test_a_form_without_its_token(ana: User) -> None:
    """A form that was open too long is refused in words, in the reader's language."""
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/login/", {"username": "ana", "password": "x"})
    assert answer.status_code == 403
    assert "The page was open too long" in answer.content.decode()


@pytest.mark.logs_errors
@pytest.mark.parametrize("language", ["en", "es"])
def test_a_request_that_cannot_be_read(client: Client, language: str) -> None:
    """400 has a page of its own in the reader's language, which needs no session and no database."""
    refused = client.get("/login/", headers={"host": "elsewhere.example", "accept-language": language})
    assert refused.status_code == 400
    assert f'<html lang="{language}">' in refused.content.decode()


@pytest.mark.django_db
@pytest.mark.logs_errors
def test_a_mistake_of_ours(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 is a page that asks nothing of the database or the session, and tells nothing of the mistake."""

    def broken(user: User) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("backoffice.views.desk_for", broken)
    client = Client(raise_request_exception=False)
    client.force_login(ana)
    answer = client.get("/")
    page = answer.content.decode()
    assert answer.status_code == 500
    assert "Something went wrong here" in page
    assert "secret detail" not in page


@pytest.mark.django_db(transaction=True)
@pytest.mark.logs_errors
@pytest.mark.parametrize("path", ["/", "/admin/", "/admin/fleet/vehicle/", "/fleet/map/", "/itineraries/"])
def test_a_database_that_is_away(path: str) -> None:
    """503 with the time to come again, also where it is already missed by who looks up the session; then all is well."""
    client = Client(raise_request_exception=False)
    client.force_login(user_create(username="ana", email="ana@example.org", is_staff=True, is_superuser=True))
    with no_database():
        answer = client.get(path)
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert "The database does not answer" in answer.content.decode()
    assert client.get(path).status_code == 200


@pytest.mark.django_db
def test_no_page_carries_inline_styles_or_scripts(client: Client, ana: User) -> None:
    """The content security policy forbids them, so none may be in the markup."""
    client.force_login(ana)
    make("ES-1")
    for path in ("/", "/admin/", "/admin/fleet/vehicle/", "/admin/fleet/vehicle/ES-1/change/", "/nothing/"):
        page = client.get(path).content.decode()
        assert " style=" not in page, path
        assert "<style" not in page, path
        assert "<script>" not in page, path
        assert " onclick=" not in page, path
