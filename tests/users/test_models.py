"""How a person is told from another, in every way of writing one."""

from __future__ import annotations

import io
import os
from unittest import mock

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Lower
from hypothesis import given
from hypothesis import strategies as st

from users.models import ApiToken, User, email_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ana@Example.ORG", "ana@example.org"),
        ("info@STRASSE.example", "info@straße.example"),
        ("info@ΟΔΥΣΣΕΥΣ.example", "info@οδυσσευς.example"),
        ("info@ΠΑΠΆΚΗΣ.example", "info@παπάκησ.example"),
        ("info@İzmir.example", "info@i̇zmir.example"),
        ("info@МОСКВА.example", "info@москва.example"),
        ("info@ﬁlm.example", "info@FILM.example"),
        ("info@café.example", "info@CAFE\u0301.example"),
        ("  ana@example.org ", "ana@example.org"),
    ],
)
def test_addresses_that_differ_in_case_only_are_one(one: str, other: str) -> None:
    """Case, composition and compatibility forms do not tell addresses apart, in any script."""
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mike@example.org", "mıke@example.org"),  # dotless
        ("info@izmir.example", "info@İzmir.example"),  # dotted capital
        ("info@müller.example", "info@mueller.example"),
        ("ana@example.org", "ana@examp1e.org"),
        ("а@example.org", "a@example.org"),  # Cyrillic, Latin
    ],
)
def test_addresses_that_only_look_alike_are_two(one: str, other: str) -> None:
    """Letters that look alike are not the same letter."""
    assert email_key(one) != email_key(other)


@given(st.text(max_size=60))
def test_folding_twice_changes_nothing(text: str) -> None:
    """A folded address is its own folded form."""
    once = email_key(text)
    assert once is None or email_key(once) == once


def test_no_address_has_no_key(db: None) -> None:
    """Any number of people may have no address."""
    first, second = User.objects.create_user("one"), User.objects.create_user("two", "")
    assert first.email_key is second.email_key is None


def test_every_way_of_saving_keeps_the_key(db: None) -> None:
    """save, save(update_fields), create, update, update_or_create, bulk_create and bulk_update keep email_key right."""
    person = User.objects.create(username="one", email="One@Example.org")

    def stored() -> tuple[str, str | None]:
        return User.objects.values_list("email", "email_key").get(pk=person.pk)

    assert stored() == ("One@Example.org", "one@example.org")
    person.email = "Two@Example.org"
    person.save(update_fields=["email"])
    assert stored()[1] == "two@example.org"
    User.objects.filter(pk=person.pk).update(email="THREE@example.org")
    assert stored()[1] == "three@example.org"
    User.objects.update_or_create(username="one", defaults={"email": "FOUR@example.org"})
    assert stored()[1] == "four@example.org"
    person.email = "FIVE@example.org"
    User.objects.bulk_update([person], ["email"])
    assert stored()[1] == "five@example.org"
    (made,) = User.objects.bulk_create([User(username="bulk", email="BULK@example.org")])
    made.refresh_from_db()
    assert made.email_key == "bulk@example.org"
    User.objects.bulk_create(
        [User(username="one", email="SIX@example.org")],
        update_conflicts=True,
        update_fields=["email"],
        unique_fields=["username"],
    )
    assert stored() == ("SIX@example.org", "six@example.org")
    User.objects.filter(pk=person.pk).update(email="")
    assert stored() == ("", None)


def test_an_address_computed_by_the_database_is_refused(db: None) -> None:
    """update(email=F(…)) cannot keep the key, so it is refused."""
    with pytest.raises(TypeError, match="takes text"):
        User.objects.update(email=Lower(F("email")))
    with pytest.raises(TypeError, match="takes text"):
        User.objects.update(email=Value("a@example.org"))


def test_saving_other_fields_leaves_the_address_alone(db: None, django_assert_num_queries) -> None:
    """save(update_fields=…) of a row loaded without its address reads no address."""
    User.objects.create(username="one", email="one@example.org")
    person = User.objects.only("pk", "first_name").get(username="one")
    with django_assert_num_queries(1):
        person.save(update_fields=["first_name"])


@pytest.mark.parametrize("key", ["NULL", "''"])
def test_the_database_wants_a_key_beside_an_address(db: None, key: str) -> None:
    """Raw SQL that sets an address without its key breaks a constraint."""
    User.objects.create(username="one")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE users_user SET email = 'x@example.org', email_key = {key}")


def test_one_address_belongs_to_one_person(db: None) -> None:
    """Another spelling of a taken address is refused by the form's check, by the manager, and by the database."""
    User.objects.create_user("one", "info@STRASSE.example")
    with pytest.raises(ValidationError) as refused:
        User(username="two", email="INFO@straße.example", password="!").full_clean(exclude=["email_key"])
    assert set(refused.value.message_dict) == {"email"}
    with pytest.raises(ValidationError):
        User.objects.create_user("two", "INFO@straße.example")
    with pytest.raises(IntegrityError), transaction.atomic():
        User(username="two", email="INFO@straße.example").save()


def test_an_address_whose_folded_form_is_too_long_is_refused(db: None) -> None:
    """One letter may fold to eighteen: what would not fit the column is refused with the field's name."""
    domain = ".".join(["ﷺ" * 60] * 3)
    with pytest.raises(ValidationError) as refused:
        User(username="one", email=f"a@{domain}.example", password="!").full_clean(exclude=["email_key"])
    assert set(refused.value.message_dict) == {"email"}


def test_an_unknown_time_zone_is_refused(db: None) -> None:
    """Only IANA names are taken."""
    with pytest.raises(ValidationError) as refused:
        User(username="one", password="!", time_zone="Mars/Olympus").full_clean()
    assert set(refused.value.message_dict) == {"time_zone"}


def test_a_scope_that_does_not_exist_is_refused_by_the_database(person: User) -> None:
    """A token's scope is one of four."""
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiToken.objects.create(user=person, name="x", scope="everything", digest="d" * 64, hint="opb_")


def _createsuperuser(username: str, email: str) -> None:
    with mock.patch.dict(os.environ, DJANGO_SUPERUSER_PASSWORD="velero-naranja-7"):
        call_command("createsuperuser", "--noinput", username=username, email=email, stdout=io.StringIO())


def test_createsuperuser_works_and_names_a_taken_address(db: None) -> None:
    """Django's command makes a superuser, and says in one line that an address is taken."""
    _createsuperuser("boss", "Boss@Example.org")
    boss = User.objects.get(username="boss")
    assert (boss.is_superuser, boss.is_staff, boss.email_key) == (True, True, "boss@example.org")
    with pytest.raises(CommandError, match="Somebody else"):
        _createsuperuser("boss2", "BOSS@example.org")


def test_names_are_natural_keys_and_public_ids_differ(db: None) -> None:
    """Each person has a public id of their own."""
    first, second = User.objects.create_user("one"), User.objects.create_user("two")
    assert first.public_id != second.public_id
    assert User.objects.get_by_natural_key("one") == first
