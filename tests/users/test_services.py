"""The services that write people and tokens."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.utils import timezone

from users.models import ApiToken, User
from users.services import token_create, token_digest, token_revoke, user_create, user_save, user_update


def test_a_person_without_a_password_has_one_that_nobody_knows(db: None) -> None:
    """user_create without a password makes an account that only recovery opens."""
    user = user_create(username="one", email="one@example.org", groups=["Viewer"])
    assert not user.has_usable_password()
    assert [group.name for group in user.groups.all()] == ["Viewer"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"email": "CARLA@example.ORG"}, "email"),
        ({"email": "no address"}, "email"),
        ({"username": "carla"}, "username"),
        ({"username": "a b"}, "username"),
        ({"username": ""}, "username"),
        ({"language": "xx"}, "language"),
        ({"time_zone": "Nowhere"}, "time_zone"),
    ],
)
def test_what_cannot_be_taken_names_its_field(person: User, values: dict[str, str], field: str) -> None:
    """Creating and changing refuse alike, with the field's name, and store nothing."""
    before = User.objects.count()
    with pytest.raises(ValidationError) as refused:
        user_create(**{"username": "other", **values})
    assert set(refused.value.message_dict) == {field}
    assert User.objects.count() == before
    other = user_create(username="other", email="other@example.org")
    with pytest.raises(ValidationError):
        user_update(user=other, values=values)
    other.refresh_from_db()
    assert (other.username, other.email, other.language) == ("other", "other@example.org", "")


@pytest.mark.parametrize(("field", "value"), [("email", "CARLA@Example.org"), ("username", "carla")])
def test_who_comes_second_is_told_which_field(
    person: User, field: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the check could not see, as it happened in the same moment, the database refuses and the field is named."""
    monkeypatch.setattr(User, "full_clean", lambda self, exclude=None: None)
    late = User(username="late", email="late@example.org")
    setattr(late, field, value)
    with pytest.raises(ValidationError) as refused:
        user_save(user=late)
    assert set(refused.value.message_dict) == {field}
    assert User.objects.filter(username="late").count() == 0


def test_only_known_fields_are_changed(person: User) -> None:
    """user_update refuses fields that are not a person's to change here."""
    with pytest.raises(ValueError, match="password"):
        user_update(user=person, values={"password": "x"})


def test_a_change_writes_only_its_fields(person: User) -> None:
    """Two changes of different fields do not undo each other."""
    stale = User.objects.get(pk=person.pk)
    user_update(user=person, values={"first_name": "Clara", "email": "Clara@Example.org"})
    user_update(user=stale, values={"last_name": "Ruiz"})
    person.refresh_from_db()
    assert (person.first_name, person.last_name, person.email_key) == ("Clara", "Ruiz", "clara@example.org")


def test_a_token_is_stored_as_a_hash_only(person: User) -> None:
    """No column holds the token, and each is different."""
    row, token = token_create(user=person, name="gateway")
    _other, second = token_create(user=person, name="gateway")
    assert token != second
    assert token.startswith("opb_")
    assert len(token) >= 40
    assert row.digest == token_digest(token)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM users_apitoken")
        assert token not in repr(cursor.fetchall())


def test_tokens_are_refused_for_blocked_people_and_past_moments(person: User) -> None:
    """A token that could never work is not made."""
    with pytest.raises(ValidationError):
        token_create(user=person, name="x", expires_at=timezone.now() - timedelta(seconds=1))
    user_update(user=person, values={"is_active": False})
    with pytest.raises(ValidationError):
        token_create(user=person, name="x")
    assert not ApiToken.objects.exists()


def test_a_token_is_revoked_by_its_owner_or_a_superuser(person: User, staff: User, superuser: User) -> None:
    """Others may not; revoking twice keeps the first moment."""
    row, _token = token_create(user=person, name="x")
    with pytest.raises(PermissionDenied):
        token_revoke(token=row, actor=staff)
    first = token_revoke(token=row, actor=person).revoked_at
    assert first is not None
    assert token_revoke(token=row, actor=superuser).revoked_at == first


@pytest.mark.django_db(transaction=True)
def test_many_at_once_make_one_account() -> None:
    """Of people created with one address in the same moment one is made, and the others are told the field."""
    start = threading.Barrier(8)

    def create(number: int) -> str:
        try:
            start.wait(10)
            user_create(username=f"person{number}", email="Same@Example.org" if number % 2 else "same@example.ORG")
        except ValidationError as refused:
            return ",".join(refused.message_dict)
        finally:
            connection.close()
        return "made"

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(create, range(8)))
    assert outcomes == ["email"] * 7 + ["made"]
    assert User.objects.filter(email_key="same@example.org").count() == 1
