"""CityTrips' people in the admin: who sees what, pictures, and what nobody finds anywhere."""

from __future__ import annotations

import io
import json
import logging
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.forms.models import model_to_dict
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.users.payloads import NOW, as_base64, data_uri, jpeg, payload, png
from users import accounts
from users.accounts import link, read
from users.applications import Application
from users.models import (
    CityTripsAccount,
    CityTripsApplication,
    IdentityImage,
    IdentityImageView,
    Review,
    TermsVersion,
    User,
)
from users.services import user_create, user_update

pytestmark = pytest.mark.django_db
ACCOUNTS = "/admin/users/citytripsaccount/"
REQUESTS = "/admin/users/citytripsapplication/"
TERMS = "/admin/users/termsversion/"


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> Path:
    settings.VAR_DIR = tmp_path
    settings.IDENTITY_KEYS = [Fernet.generate_key().decode()]
    return tmp_path


def logged_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def people(people_staff: User) -> Client:
    return logged_in(people_staff)


@pytest.fixture
def viewer(db: None) -> Client:
    return logged_in(user_create(username="vera", email="vera@example.org", is_staff=True, groups=["Viewer"]))


def ask(**values: Any) -> accounts.Linked | accounts.Refusal:
    application = read(payload(**values))
    assert isinstance(application, Application)
    return link(application, received_at=NOW)


@pytest.fixture
def account() -> CityTripsAccount:
    ask(nif_front_img=data_uri(png()), license_front_img=data_uri(jpeg()), phone="?")
    return CityTripsAccount.objects.get()


@pytest.fixture
def refused(person: User) -> CityTripsApplication:
    user_create(username="olga", email="olga@example.org", national_id="X1234567L")
    ask(email="carla@example.org", nif="X1234567L")
    return CityTripsApplication.objects.get(outcome="refused")


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


# --- Looking ---------------------------------------------------------------------------------------------------------


def test_people_staff_see_the_account_and_get_from_one_to_the_other(people: Client, account: CityTripsAccount) -> None:
    """The person leads to the CityTrips account and its requests, and both lead back."""
    own = page(people, f"/admin/users/user/{account.user_id}/change/")
    assert f"{ACCOUNTS}{account.pk}/change/" in own
    request = CityTripsApplication.objects.get()
    assert f"{REQUESTS}{request.pk}/change/" in own
    shown = page(people, f"{ACCOUNTS}{account.pk}/change/")
    assert f"/admin/users/user/{account.user_id}/change/" in shown
    assert f"{REQUESTS}{request.pk}/change/" in shown
    assert "12345678Z" in shown
    assert "+34600111222" not in shown  # it could not be read
    asked = page(people, f"{REQUESTS}{request.pk}/change/")
    assert "Phone: cannot be read" in asked
    assert f"/admin/users/user/{account.user_id}/change/" in asked
    assert "that is 17 May 1990" in asked
    assert "None" not in asked
    assert "Not a CityTrips user" in page(people, f"/admin/users/user/{user_create(username='x').pk}/change/")


def test_staff_see_which_two_people_a_request_named(people: Client, refused: CityTripsApplication) -> None:
    """Both are linked to, in words that say what can be done."""
    shown = page(people, f"{REQUESTS}{refused.pk}/change/")
    assert refused.user is not None
    assert refused.other_user is not None
    for one in (refused.user, refused.other_user):
        assert f"/admin/users/user/{one.pk}/change/" in shown
    assert "Neither was linked" in shown
    assert "The e-mail address and the national id name two people" in page(people, REQUESTS)


@pytest.mark.parametrize("term", ["12345678-z", "nuria@example", "Ferrer"])
def test_an_account_is_found(people: Client, account: CityTripsAccount, term: str) -> None:
    """By its id however it is spelled, its address and its name."""
    assert f"{ACCOUNTS}{account.pk}/change/" in page(people, f"{ACCOUNTS}?q={term}")


def test_a_person_is_found_by_the_national_id(people: Client, person: User) -> None:
    """The operator's own, however it is spelled."""
    user_update(user=person, values={"national_id": "X1234567L"})
    assert "carla" in page(people, "/admin/users/user/?q=x-1234567-l")
    assert "carla" not in page(people, "/admin/users/user/?q=x-1234567-l&groups__id__exact=1")
    assert "carla" in page(people, "/admin/users/user/?q=x-1234567-l&is_staff__exact=0")
    assert "carla" not in page(people, "/admin/users/user/?q=x-7654321-l")


def test_people_are_narrowed_to_citytrips_own(people: Client, person: User) -> None:
    """Those whom CityTrips brought, those who were here before, and the others."""
    ask()
    ask(email="carla@example.org", nif="")
    user_create(username="third", email="third@example.org")

    def shown(value: str) -> list[bool]:
        text = page(people, f"/admin/users/user/?citytrips={value}")
        return [f">{name}</a>" in text for name in ("nuria", "carla", "third")]

    assert shown("created") == [True, False, False]
    assert shown("linked") == [False, True, False]
    assert shown("no") == [False, False, True]
    assert shown("") == [True, True, True]


def test_staff_write_a_national_id(people: Client, person: User) -> None:
    """It is kept in one form; nobody else's, and no nonsense."""
    address = f"/admin/users/user/{person.pk}/change/"
    sent = {"username": "carla", "email": person.email, "first_name": "Carla", "is_active": "on"}
    assert people.post(address, {**sent, "national_id": "12.345.678-5"}).status_code == 302
    person.refresh_from_db()
    assert person.national_id == "123456785"
    user_create(username="other", email="other@example.org", national_id="X1234567L")
    for wrong, words in (("X-1234567-L", "already exists"), ("n/a", "cannot be a national id")):
        answer = people.post(address, {**sent, "national_id": wrong})
        assert answer.status_code == 200
        assert words in answer.content.decode()
    assert people.post(address, {**sent, "national_id": ""}).status_code == 302
    person.refresh_from_db()
    assert person.national_id is None


def test_who_only_looks_on_sees_what_became_of_requests_and_nobody_s_data(
    viewer: Client, account: CityTripsAccount, refused: CityTripsApplication
) -> None:
    """Outcome, flags and times; no name, address, id, picture or link to a person, and no search that tells them."""
    request = CityTripsApplication.objects.exclude(pk=refused.pk).get()
    for address in (
        REQUESTS,
        f"{REQUESTS}{request.pk}/change/",
        f"{REQUESTS}{refused.pk}/change/",
        TERMS,
    ):
        shown = page(viewer, address)
        for secret in (
            "nuria",
            "Núria",
            "Ferrer",
            "carla",
            "olga",
            "12345678Z",
            "X1234567L",
            "Boqueria",
            "/users/user/",
        ):
            assert secret not in shown, (address, secret)
    assert "Phone: cannot be read" in page(viewer, f"{REQUESTS}{request.pk}/change/")
    with_hits, without = (page(viewer, f"{REQUESTS}?q={term}") for term in ("nuria@example.org", "nobody@example.org"))
    assert with_hits.count("/change/") == without.count("/change/")
    image = account.images.first()
    assert image is not None
    own = (ACCOUNTS, f"{ACCOUNTS}{account.pk}/change/", f"{ACCOUNTS}pictures/{image.pk}/")
    for address in (*own, f"{own[-1]}file/"):
        assert viewer.get(address).status_code == 403
    assert viewer.post(f"{REQUESTS}{refused.pk}/review/").status_code == 403
    assert not IdentityImageView.objects.exists()


@pytest.mark.parametrize(
    "address",
    [ACCOUNTS, REQUESTS, TERMS, f"{ACCOUNTS}pictures/1/", f"{ACCOUNTS}pictures/1/file/", f"{REQUESTS}1/review/"],
)
def test_nobody_else_comes_in(address: str, staff: User, person: User) -> None:
    """Visitors and customers are sent away, and staff of the fleet are refused."""
    assert Client().get(address).status_code == 302
    assert logged_in(person).get(address).status_code == 302
    assert logged_in(staff).get(address).status_code in (403, 405)


@pytest.mark.parametrize(
    "address",
    [
        f"{ACCOUNTS}?origin__exact=x",
        f"{ACCOUNTS}?q=%00",
        f"{ACCOUNTS}99999999999999999999/change/",
        f"{ACCOUNTS}pictures/99999999/",
        f"{ACCOUNTS}pictures/99999999999999999999/",
        f"{ACCOUNTS}pictures/99999999/file/",
        f"{ACCOUNTS}?national_id__startswith=1",
        f"{REQUESTS}?outcome__exact=%00",
        f"{REQUESTS}nothing/change/",
        f"{REQUESTS}99999999/review/",
        f"{TERMS}99/change/",
        f"/terms/{10**30}/",
        "/terms/0/",
        "/terms/x/",
    ],
)
def test_nonsense_is_no_error_of_ours(superuser: User, address: str) -> None:
    """Whatever stands in the address, nothing answers 500."""
    assert logged_in(superuser).get(address).status_code < 500
    assert logged_in(superuser).post(address, {"_selected_action": "x", "action": "review"}).status_code < 500


def test_lists_take_as_many_queries_for_many_as_for_few(people: Client, refused: CityTripsApplication) -> None:
    """No query for each row."""
    ask()
    TermsVersion.objects.create(in_force_from=NOW, text_en="x")

    def queries(address: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            page(people, address)
        return len(captured)

    before = [queries(address) for address in (ACCOUNTS, REQUESTS, TERMS)]
    for number in range(9):
        ask(email=f"m{number}@example.org", nif="", username=f"m{number}")
        TermsVersion.objects.create(in_force_from=NOW + timedelta(days=number + 1), text_en="x")
    assert [queries(address) for address in (ACCOUNTS, REQUESTS, TERMS)] == before


# --- Dealing with requests -------------------------------------------------------------------------------------------


def test_a_request_is_dealt_with_once(people: Client, people_staff: User, refused: CityTripsApplication) -> None:
    """By the button on its page: who and when are kept, and the button goes."""
    address = f"{REQUESTS}{refused.pk}/change/"
    assert "Mark as dealt with" in page(people, address)
    assert people.post(f"{REQUESTS}{refused.pk}/review/")["Location"] == address
    refused.refresh_from_db()
    assert (refused.review, refused.reviewed_by) == (Review.DONE, people_staff)
    first = refused.reviewed_at
    people.post(f"{REQUESTS}{refused.pk}/review/")
    refused.refresh_from_db()
    assert refused.reviewed_at == first
    assert LogEntry.objects.count() == 1
    assert "Mark as dealt with" not in page(people, address)


def test_many_requests_are_dealt_with_from_the_list(people: Client, refused: CityTripsApplication) -> None:
    """Only those that were open count."""
    ask()
    keys = [str(pk) for pk in CityTripsApplication.objects.values_list("pk", flat=True)]
    answer = people.post(REQUESTS, {"action": "review", "_selected_action": keys}, follow=True)
    assert "1 request is dealt with" in answer.content.decode()


def test_nobody_types_over_a_request_or_an_account(people: Client, account: CityTripsAccount) -> None:
    """There is no form to save, to add or to delete with."""
    request = CityTripsApplication.objects.get()
    for address in (f"{ACCOUNTS}{account.pk}/change/", f"{REQUESTS}{request.pk}/change/"):
        assert 'name="_save"' not in page(people, address)
        assert people.post(address, {"email": "other@example.org"}).status_code == 403
    for address in (f"{ACCOUNTS}add/", f"{REQUESTS}add/", f"{ACCOUNTS}{account.pk}/delete/"):
        assert people.get(address).status_code == 403


def test_a_superuser_deletes_a_person_with_everything_of_theirs(superuser: User, account: CityTripsAccount) -> None:
    """Account, requests and pictures go along, and by themselves they do not."""
    client = logged_in(superuser)
    assert client.get(f"{ACCOUNTS}{account.pk}/delete/").status_code == 403
    client.post(f"/admin/users/user/{account.user_id}/delete/", {"post": "yes"})
    assert not CityTripsAccount.objects.exists()
    assert not CityTripsApplication.objects.exists()
    assert not IdentityImage.objects.exists()


# --- Pictures --------------------------------------------------------------------------------------------------------


def picture(client: Client, image: IdentityImage) -> HttpResponse:
    answer = client.get(f"{ACCOUNTS}pictures/{image.pk}/file/")
    assert isinstance(answer, HttpResponse)
    return answer


def test_a_picture_is_shown_to_whoever_may_see_it_and_each_look_is_kept(
    people: Client, people_staff: User, account: CityTripsAccount
) -> None:
    """Decrypted, never cached, and the look is a row that the account's page shows."""
    image = account.images.get(kind="nif_front_img")
    assert f"{ACCOUNTS}pictures/{image.pk}/" in page(people, f"{ACCOUNTS}{account.pk}/change/")
    assert f'src="{ACCOUNTS}pictures/{image.pk}/file/"' in page(people, f"{ACCOUNTS}pictures/{image.pk}/")
    assert not IdentityImageView.objects.exists()
    answer = picture(people, image)
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(answer.content)).size == (24, 16)
    assert "no-store" in answer["Cache-Control"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"].startswith("inline;")
    look = IdentityImageView.objects.get()
    assert (look.image, look.by, look.by_name) == (image, people_staff, "paula")
    assert "paula · Identity document, front" in page(people, f"{ACCOUNTS}{account.pk}/change/")
    people_staff.delete()
    look.refresh_from_db()
    assert (look.by, look.by_name) == (None, "paula")


def test_a_permission_of_its_own_decides_over_pictures(account: CityTripsAccount, people_staff: User) -> None:
    """Without it neither the picture nor the list of them is there, though the account is."""
    people_staff.groups.get().permissions.remove(
        *people_staff.groups.get().permissions.filter(codename="view_identityimage")
    )
    client = logged_in(User.objects.get(pk=people_staff.pk))
    image = account.images.first()
    assert image is not None
    assert picture(client, image).status_code == 403
    assert client.get(f"{ACCOUNTS}pictures/{image.pk}/").status_code == 403
    shown = page(client, f"{ACCOUNTS}{account.pk}/change/")
    assert "pictures/" not in shown
    assert "12345678Z" in shown
    assert not IdentityImageView.objects.exists()


def test_a_picture_that_cannot_be_opened_is_said_in_words(
    people: Client, account: CityTripsAccount, settings: Any
) -> None:
    """A lost key or file leads back to the account, and no look is kept."""
    settings.IDENTITY_KEYS = [Fernet.generate_key().decode()]
    image = account.images.first()
    assert image is not None
    answer = people.get(f"{ACCOUNTS}pictures/{image.pk}/", follow=True)
    assert "cannot be opened" in answer.content.decode()
    assert picture(people, image).status_code == 404
    assert not IdentityImageView.objects.exists()


# --- Terms -----------------------------------------------------------------------------------------------------------


def test_terms_are_written_before_they_begin_and_stand_from_then_on(people: Client) -> None:
    """A version to come may be changed and deleted, one that has begun neither."""
    later = timezone.now() + timedelta(days=3)
    moment = {"in_force_from_0": later.date().isoformat(), "in_force_from_1": "10:00:00"}
    assert people.post(f"{TERMS}add/", {**moment, "text_en": "", "text_es": " "}).status_code == 200
    refused = people.post(f"{TERMS}add/", {**moment, "text_en": "", "text_es": " "}).content.decode()
    assert "Write the terms in at least one language" in refused
    assert "Constraint" not in refused
    assert not TermsVersion.objects.exists()
    assert people.post(f"{TERMS}add/", {**moment, "text_en": "One"}).status_code == 302
    version = TermsVersion.objects.get()
    change = f"{TERMS}{version.pk}/change/"
    assert people.post(change, {**moment, "text_en": "Two"}).status_code == 302
    assert "To come" in page(people, TERMS)
    TermsVersion.objects.update(in_force_from=NOW - timedelta(days=400))
    assert people.post(change, {**moment, "text_en": "Three"}).status_code == 403
    assert people.get(f"{TERMS}{version.pk}/delete/").status_code == 403
    version.refresh_from_db()
    assert version.text_en == "Two"
    assert "In force" in page(people, TERMS)
    assert f"/terms/{version.pk}/" in page(people, change)


# --- Nobody finds them -----------------------------------------------------------------------------------------------

CANARY_PASSWORD = "canary-Passw0rd-81723"
CANARY_ID = "87654321X"
CANARY_PICTURE = "canary-in-the-picture-5521"


def canary() -> dict[str, Any]:
    text = PngInfo()
    text.add_text("Comment", CANARY_PICTURE)
    out = io.BytesIO()
    Image.new("RGB", (33, 21), (9, 99, 199)).save(out, "PNG", pnginfo=text)
    return payload(password=CANARY_PASSWORD, nif=CANARY_ID, nif_front_img=data_uri(out.getvalue()))


def secrets_of(sent: dict[str, Any]) -> list[str]:
    image: str = sent["nif_front_img"]
    return [
        CANARY_PASSWORD,
        CANARY_ID,
        CANARY_PICTURE,
        as_base64(CANARY_PICTURE.encode())[:20],
        image[-60:],
        image[30:90],
    ]


def test_a_canary_is_in_no_log_trace_row_or_page(
    caplog: pytest.LogCaptureFixture,
    people: Client,
    viewer: Client,
    superuser: User,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    storage: Path,
) -> None:
    """Password, id and picture appear in no log record, exception, page or file; the id is on its page for who may see it."""
    caplog.set_level(logging.DEBUG)
    sent, said = canary(), io.StringIO()
    application = read(sent)
    assert isinstance(application, Application)
    said.write(repr(application) + repr(link(application, received_at=NOW)))
    # The ways in which it goes wrong: no key, a damaged picture, and a race that is never won.
    keys, settings.IDENTITY_KEYS = settings.IDENTITY_KEYS, ["no key"]
    broken = read({**sent, "email": "b@example.org", "nif": "", "nif_back_img": sent["nif_front_img"][:-40] + "AAAA"})
    assert isinstance(broken, Application)
    said.write(repr(link(broken, received_at=NOW)))
    settings.IDENTITY_KEYS = keys
    said.write(repr(read({**sent, "email": CANARY_PASSWORD})) + repr(read({**sent, "terms_accepted": False})))
    with monkeypatch.context() as patched:
        patched.setattr(accounts, "_find", lambda application: accounts._Found([]))
        try:
            link(application, received_at=NOW)
        except accounts.AccountsBusy as error:
            said.write("".join(traceback.format_exception(error)))
    said.write(caplog.text + json.dumps([str(record.__dict__) for record in caplog.records]))
    for secret in secrets_of(sent):
        assert secret not in said.getvalue()
    # Rows: the password and the picture nowhere; the id in its columns and in what was sent.
    for model in apps.get_app_config("users").get_models():
        for row in model._default_manager.all():
            values = model_to_dict(row) if model is not User else {**model_to_dict(row), "password": row.password}
            assert CANARY_PASSWORD not in str(values)
            assert CANARY_PICTURE not in str(values)
    for file in (one for one in storage.rglob("*") if one.is_file()):
        assert not any(secret.encode() in file.read_bytes() for secret in secrets_of(sent))
    # Pages: everybody's lists and forms.
    boss = logged_in(superuser)
    account = CityTripsAccount.objects.get(email="nuria@example.org")
    request = CityTripsApplication.objects.get(email="nuria@example.org", outcome="created")
    own, asked = f"{ACCOUNTS}{account.pk}/change/", f"{REQUESTS}{request.pk}/change/"
    person = f"/admin/users/user/{account.user_id}/"
    for client in (people, boss, viewer):
        for address in (
            ACCOUNTS,
            REQUESTS,
            own,
            asked,
            "/admin/users/user/",
            f"{person}change/",
            f"{person}history/",
            "/",
        ):
            shown = client.get(address).content.decode()
            for secret in secrets_of(sent):
                allowed = secret == CANARY_ID and address in (own, asked) and client is not viewer
                assert (secret in shown) == allowed, (address, secret)
    picture_shown = picture(people, account.images.get())
    assert CANARY_PICTURE.encode() not in picture_shown.content


def test_control_a_trace_that_keeps_its_context_leaks(monkeypatch: pytest.MonkeyPatch, person: User) -> None:
    """What the database says of a clash quotes the address: this is why the error is raised apart from it."""
    ask()
    application = read(payload())
    assert isinstance(application, Application)
    monkeypatch.setattr(accounts, "_find", lambda application: accounts._Found([person]))
    shown = ""
    try:
        accounts._link(application, NOW)
    except Exception as error:
        shown = "".join(traceback.format_exception(error))
    assert "unique" in shown.lower()
    if connection.vendor == "postgresql":
        assert "nuria@example.org" in shown
