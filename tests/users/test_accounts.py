"""Accounts of people whom CityTrips brings: found, made, linked, refused."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.test import Client

from tests.users.conftest import PASSWORD
from tests.users.payloads import BIRTH, NOW, data_uri, jpeg, payload, png
from users import accounts, identity_images
from users.accounts import Linked, erased_remember, link, read
from users.applications import Application, Refusal
from users.models import (
    CityTripsAccount,
    CityTripsApplication,
    IdentityImage,
    Obstacle,
    Outcome,
    Review,
    TermsVersion,
    User,
)
from users.recovery import recovery_send
from users.selectors import user_by_email
from users.services import application_review, user_create, user_update

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> Path:
    settings.VAR_DIR = tmp_path
    settings.IDENTITY_KEYS = [Fernet.generate_key().decode()]
    return tmp_path


def ask(at: datetime = NOW, **values: Any) -> Linked | Refusal:
    application = read(payload(**values))
    assert isinstance(application, Application), application
    return link(application, received_at=at)


def linked(at: datetime = NOW, **values: Any) -> Linked:
    answer = ask(at, **values)
    assert isinstance(answer, Linked), answer
    return answer


def refused(**values: Any) -> Refusal:
    answer = ask(**values)
    assert isinstance(answer, Refusal), answer
    return answer


def last_request() -> CityTripsApplication:
    row = CityTripsApplication.objects.order_by("-pk").first()
    assert row is not None
    return row


# --- New people ------------------------------------------------------------------------------------------------------


def test_a_stranger_gets_an_account() -> None:
    """A person without rights, marked as CityTrips', with what was sent beside it."""
    answer = linked()
    person = User.objects.get(pk=answer.user_id)
    assert (answer.created, answer.public_id, answer.flags) == (True, str(person.public_id), ())
    assert (answer.username, answer.email) == ("nuria", "nuria@example.org")
    assert (person.email, person.first_name, person.last_name) == ("nuria@example.org", "Núria", "Ferrer Pons")
    assert (person.is_staff, person.is_superuser, person.groups.count()) == (False, False, 0)
    account = person.citytrips_account
    assert (account.origin, account.linked_at, account.national_id) == ("created", NOW, "12345678Z")
    assert (account.phone, account.birth_date, account.city) == ("+34600111222", BIRTH, "Barcelona")
    assert (account.licence_number, account.licence_expires_on) == ("12345678Z", date(2031, 3, 1))
    row = last_request()
    assert (row.outcome, row.user, row.times, row.review) == (Outcome.CREATED, person, 1, Review.NOTHING)


def test_nobody_knows_the_password_and_recovery_gives_one(client: Client) -> None:
    """What CityTrips sent opens nothing and is stored nowhere; the mail to recover is sent."""
    answer = linked()
    person = User.objects.get(pk=answer.user_id)
    assert not person.check_password(payload()["password"])
    assert client.post("/login/", {"username": "nuria", "password": payload()["password"]}).status_code == 200
    sending = recovery_send(user=person)
    assert sending is not None
    sending.result(timeout=30)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("carla", "carla-2"),
        ("núria ferrer", "núria_ferrer"),
        ("", "nuria"),
        ("   ", "nuria"),
        ("<script>", "script"),
        ("!!!", "citytrips"),
        ("x" * 400, "x" * 130),
        (4711, "4711"),
        (["nuria"], "nuria"),
        ("Ⅷ", "VIII"),
    ],
)
def test_a_user_name_is_made_usable(person: User, sent: Any, expected: str) -> None:
    """A taken one gets a number behind it, what it may not hold is replaced, and none is taken from the address."""
    assert linked(username=sent).username == expected


def test_many_with_one_name_all_get_in() -> None:
    """When the small numbers are used up, the name ends in something random."""
    names = [linked(username="string", email=f"p{number}@example.org", nif="").username for number in range(12)]
    assert names[:3] == ["string", "string-2", "string-3"]
    assert len(set(names)) == 12


def test_odd_values_make_an_account_and_are_put_before_staff() -> None:
    """The account is there, and the request is open for staff with what was odd."""
    answer = linked(phone="?", nif_front_img="front.png", birthdate=1e308)
    assert answer.created
    assert set(answer.flags) == {"phone:unreadable", "nif_front_img:text", "birthdate:wrong_type"}
    row = last_request()
    assert (row.review, set(row.flags)) == (Review.OPEN, set(answer.flags))
    assert row.sent["nif_front_img"] == "front.png"


def test_the_terms_in_force_are_kept_with_the_account(settings: Any) -> None:
    """Which version, when, and at which address; a later version is noted with the later request."""
    old = TermsVersion.objects.create(in_force_from=NOW - timedelta(days=9), text_en="Old")
    TermsVersion.objects.create(in_force_from=NOW + timedelta(days=9), text_en="Of the future")
    account = User.objects.get(pk=linked().user_id).citytrips_account
    assert (account.terms_version, account.terms_accepted_at) == (old, NOW)
    assert account.terms_url == settings.OPERATOR_TERMS_URL
    later = TermsVersion.objects.create(in_force_from=NOW + timedelta(days=1), text_en="New")
    linked(at=NOW + timedelta(days=2))
    account.refresh_from_db()
    assert account.terms_version == old
    assert last_request().terms_version == later
    with pytest.raises(ProtectedError):
        old.delete()


@pytest.mark.parametrize(
    "values",
    [
        {name: "𝕏" * 500 for name in ("username", "firstname", "lastname", "nif", "zipcode", "city", "address")},
        {name: "ﷺ" * 200 for name in ("username", "firstname", "country", "driver_license_number")},
        {name: "\u202e<b>'\";--%s{}" for name in ("username", "firstname", "city", "nif", "nif_front_img")},
        {"email": f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 60}.org"},
        {"email": "ana@" + "İ" * 63 + ".org"},
        {"email": "ana@ﬁn.org"},
        {"phone": 10**19, "birthdate": -1e19, "license_expiration": 2**53},
        {"nif": "A" * 31 + "1"},
        {"nif_front_img": "data:image/png;base64," + "A" * 3_000_000, "license_back_img": "\0" * 3000},
    ],
)
def test_what_was_understood_can_be_stored(values: dict[str, Any]) -> None:
    """No value that passes the reading fails in the database, and the same again finds the same."""
    first = linked(**values)
    assert linked(**values).user_id == first.user_id


# --- Known people ----------------------------------------------------------------------------------------------------


def test_the_same_request_gets_the_same_person() -> None:
    """Whatever password and however often; the rows count it."""
    first = linked()
    again = [linked(password=f"another {number}") for number in range(3)]
    assert {one.public_id for one in again} == {first.public_id}
    assert not any(one.created for one in again)
    assert (User.objects.count(), CityTripsAccount.objects.count()) == (1, 1)
    assert list(CityTripsApplication.objects.order_by("pk").values_list("outcome", "times")) == [
        ("created", 1),
        ("known", 3),
    ]


def test_an_account_is_found_by_address_in_any_case_and_linked(person: User) -> None:
    """Nothing the operator holds is overwritten, and the person keeps the password."""
    answer = linked(email="CARLA@EXAMPLE.org", username="someone-else")
    person.refresh_from_db()
    assert (answer.created, answer.user_id, answer.username) == (False, person.pk, "carla")
    assert answer.email == "CARLA@EXAMPLE.org"
    assert (person.email, person.first_name, person.last_name, person.national_id) == (
        "Carla@example.org",
        "Carla",
        "",
        None,
    )
    assert person.check_password(PASSWORD)
    account = person.citytrips_account
    assert (account.origin, account.first_name, account.national_id) == ("linked", "Núria", "12345678Z")
    assert last_request().outcome == Outcome.LINKED


def test_an_account_is_found_by_the_operator_s_national_id(person: User) -> None:
    """However either is spelled; staff see that the addresses differ, and CityTrips does not learn the other."""
    user_update(user=person, values={"national_id": "x-1234567-l"})
    answer = linked(nif="X 1234567L")
    assert (answer.user_id, answer.created, answer.email) == (person.pk, False, "nuria@example.org")
    assert answer.flags == ("email:matched_by_national_id",)
    assert last_request().review == Review.OPEN
    assert linked(nif="X 1234567L").flags == ()  # by now the address is known as CityTrips' own


def test_an_account_is_found_by_what_citytrips_sent_before(person: User) -> None:
    """The same request again leads to the same person even after the operator's own address was changed."""
    first = linked(email="carla@example.org", nif="")
    user_update(user=person, values={"email": "moved@example.org"})
    assert linked(email="carla@example.org", nif="").user_id == first.user_id
    number = linked(email="carla@example.org")
    assert number.user_id == first.user_id
    assert linked(email="third@example.org").user_id == first.user_id  # by the id


def test_no_two_people_are_linked_by_an_id_that_is_none(person: User) -> None:
    """Who writes "N/A" for an id is not everybody else who does."""
    assert linked(nif="N/A").user_id != linked(nif="N/A", email="b@example.org").user_id


def test_what_differs_later_is_flagged_and_what_was_empty_is_filled_in() -> None:
    """The first word stands; staff see the second beside it."""
    linked(phone=None, city="Barcelona")
    answer = linked(phone=611222333, city="Reus", nif="87654321X")
    account = CityTripsAccount.objects.get()
    assert (account.phone, account.city, account.national_id) == ("+34611222333", "Barcelona", "12345678Z")
    assert set(answer.flags) == {"city:differs", "nif:differs"}
    assert last_request().sent["city"] == "Reus"
    assert last_request().review == Review.OPEN


def test_an_id_beside_the_operator_s_own_matches_nobody(person: User) -> None:
    """Where the operator holds another id, CityTrips' is kept with the request and no later one is matched by it."""
    user_update(user=person, values={"national_id": "X1234567L"})
    answer = linked(email="carla@example.org")
    assert answer.flags == ("nif:differs",)
    assert person.citytrips_account.national_id is None
    assert linked(email="carla@example.org").user_id == person.pk
    assert linked(email="other@example.org").user_id != person.pk


# --- Refused people --------------------------------------------------------------------------------------------------


def test_staff_are_never_linked(staff: User, superuser: User) -> None:
    """By whichever way they are found; staff see the request, CityTrips learns nothing of the person."""
    answer = refused(email="marta@example.org")
    assert (answer.needs_staff, answer.user_id) == (True, staff.pk)
    assert "staff" not in answer.reason
    assert "@" not in answer.reason
    user_update(user=superuser, values={"national_id": "12345678Z"})
    assert refused().user_id == superuser.pk
    assert refused(email="marta@example.org", nif="12345678Z").needs_staff
    assert CityTripsAccount.objects.count() == 0
    row = last_request()
    assert (row.outcome, row.obstacle, row.review, row.times) == (Outcome.REFUSED, Obstacle.STAFF, Review.OPEN, 1)


def test_who_becomes_staff_is_refused_from_then_on() -> None:
    """Also where the account was linked before."""
    person = User.objects.get(pk=linked().user_id)
    user_update(user=person, values={"is_staff": True})
    assert refused().needs_staff


def test_a_blocked_account_is_refused(person: User) -> None:
    """Nothing is linked, and nobody is asked: staff have decided already."""
    user_update(user=person, values={"is_active": False})
    answer = refused(email="carla@example.org")
    assert (answer.reason, answer.needs_staff) == ("this account is closed; the person may ask the operator", False)
    assert CityTripsAccount.objects.count() == 0
    assert (last_request().obstacle, last_request().review) == (Obstacle.BLOCKED, Review.NOTHING)


def test_an_erased_person_is_refused_without_being_remembered() -> None:
    """After erasure the address and the id are refused, and neither can be read anywhere."""
    person = User.objects.get(pk=linked().user_id)
    erased_remember(user=person)
    erased_remember(user=person)
    person.delete()
    assert not CityTripsApplication.objects.exists()
    assert refused(email="NURIA@example.org", nif="").reason == refused(email="new@example.org").reason
    assert last_request().obstacle == Obstacle.ERASED
    assert linked(email="new@example.org", nif="").created


def test_address_and_id_of_two_people_link_neither(person: User) -> None:
    """Both stand in the request for staff, and CityTrips is told without personal data."""
    other = user_create(username="olga", email="olga@example.org", national_id="12345678Z")
    answer = refused(email="carla@example.org")
    assert answer.reason == "email and nif do not name one account; the operator has been told"
    assert (answer.needs_staff, answer.user_id) == (True, person.pk)
    assert (answer.username, answer.email) == ("nuria", "carla@example.org")
    assert CityTripsAccount.objects.count() == 0
    row = last_request()
    assert (row.user, row.other_user, row.review) == (person, other, Review.OPEN)
    user_update(user=other, values={"national_id": None})
    assert linked(email="carla@example.org").user_id == person.pk  # once staff have put it right


def test_a_refused_request_keeps_no_pictures(staff: User, storage: Path) -> None:
    """Pictures are kept with an account only."""
    refused(email="marta@example.org", nif_front_img=data_uri(png()))
    assert not IdentityImage.objects.exists()
    assert not identity_images.folder().exists()


# --- Pictures --------------------------------------------------------------------------------------------------------


def test_pictures_are_kept_once(storage: Path) -> None:
    """Each picture is a row and a file; the same request again adds none, another picture adds one."""
    pictures = {"nif_front_img": data_uri(png()), "license_back_img": data_uri(jpeg())}
    linked(**pictures)
    linked(**pictures)
    assert set(IdentityImage.objects.values_list("kind", "format", "width")) == {
        ("nif_front_img", "PNG", 24),
        ("license_back_img", "JPEG", 24),
    }
    linked(**{**pictures, "nif_front_img": data_uri(png(30, 30))})
    assert IdentityImage.objects.count() == 3
    files = [one for one in (storage / "identity").rglob("*") if one.is_file()]
    assert {one.name for one in files} == set(IdentityImage.objects.values_list("name", flat=True))


def test_without_a_key_the_account_is_made_and_the_picture_is_missed(settings: Any, storage: Path) -> None:
    """Staff see that it was not kept; with a key in place the same request brings it."""
    keys, settings.IDENTITY_KEYS = settings.IDENTITY_KEYS, []
    answer = linked(nif_front_img=data_uri(png()))
    assert (answer.created, answer.flags) == (True, ("nif_front_img:not_kept",))
    assert not (storage / "identity").exists()
    assert (last_request().review, last_request().flags) == (Review.OPEN, ["nif_front_img:not_kept"])
    assert linked(nif_front_img=data_uri(png())).flags == ("nif_front_img:not_kept",)
    settings.IDENTITY_KEYS = keys
    assert linked(nif_front_img=data_uri(png())).flags == ()
    assert IdentityImage.objects.count() == 1
    assert (last_request().times, last_request().flags, last_request().review) == (2, [], Review.OPEN)


def test_a_new_trouble_brings_a_request_back_to_staff(settings: Any, staff: User) -> None:
    """Dealt with, and then a picture cannot be kept: it is to be looked at again."""
    linked()
    linked(nif_front_img=data_uri(png()), phone="?")
    row = last_request()
    application_review(application=row, actor=staff)
    IdentityImage.objects.all().delete()
    settings.IDENTITY_KEYS = []
    linked(nif_front_img=data_uri(png()), phone="?")
    row.refresh_from_db()
    assert (row.times, row.review, row.reviewed_by, row.reviewed_at) == (2, Review.OPEN, None, None)
    assert row.flags == ["phone:unreadable", "nif_front_img:not_kept"]


@pytest.mark.django_db(transaction=True)
def test_pictures_go_with_their_person(storage: Path) -> None:
    """Deleting somebody deletes the files."""
    answer = linked(nif_front_img=data_uri(png()))
    assert [one for one in (storage / "identity").rglob("*") if one.is_file()]
    User.objects.get(pk=answer.user_id).delete()
    assert not [one for one in (storage / "identity").rglob("*") if one.is_file()]


# --- The database's own word -----------------------------------------------------------------------------------------


def test_the_database_refuses_a_second_account_for_one_person() -> None:
    """One row a person, one a CityTrips address, one a national id."""
    first = CityTripsAccount.objects.get(user_id=linked().user_id)
    other = user_create(username="other", email="other@example.org")
    common = {"origin": "linked", "linked_at": NOW, "terms_accepted_at": NOW, "terms_url": "https://x.example"}
    for clash in (
        {"user": first.user, "email_key": "a"},
        {"user": other, "email_key": first.email_key},
        {"user": other, "email_key": "b", "national_id": "12345678-z"},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            CityTripsAccount.objects.create(email="a@example.org", **common, **clash)


def test_the_national_id_of_a_person_is_checked(person: User) -> None:
    """One form however it is typed, nobody else's, and an id at all."""
    user_update(user=person, values={"national_id": "12.345.678-5"})
    assert User.objects.get(national_id="12345678-5") == person
    other = user_create(username="other", email="other@example.org", national_id="")
    assert other.national_id is None
    for wrong in ("123456785", "N/A"):
        with pytest.raises(ValidationError) as caught:
            user_update(user=other, values={"national_id": wrong})
        assert list(caught.value.message_dict) == ["national_id"]


def test_a_request_that_never_comes_through_says_so_without_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """After many attempts the error names neither address nor id, and leads to none that does."""
    linked()
    monkeypatch.setattr(accounts, "_find", lambda application: accounts._Found([]))
    with pytest.raises(accounts.AccountsBusy) as caught:
        ask(username="another")
    assert "nuria" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert user_by_email("nuria@example.org") is not None
