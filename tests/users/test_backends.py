"""Whom a login's name means."""

from __future__ import annotations

from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.hashers import get_hasher
from django.test import RequestFactory

from tests.users.conftest import PASSWORD
from users.backends import UsernameOrEmailBackend, attempted_account
from users.models import User
from users.services import user_create, user_update

backend = UsernameOrEmailBackend()


@pytest.mark.parametrize("name", ["carla", "Carla@Example.org", "CARLA@EXAMPLE.ORG", " carla@example.org"])
def test_a_name_or_an_address_in_any_case_logs_in(person: User, name: str) -> None:
    """The user name, written exactly, and the address in any case."""
    assert backend.authenticate(None, username=name, password=PASSWORD) == person
    assert backend.authenticate(None, username=name, password="wrong") is None


@pytest.mark.parametrize("name", ["", " ", "CARLA", "nobody", "nobody@example.org", "x" * 5000, "\u0130"])
def test_other_names_do_not_log_in(person: User, name: str) -> None:
    """An empty name means nobody, and least of all somebody without an address."""
    user_create(username="no-address", password=PASSWORD)
    assert backend.authenticate(None, username=name, password=PASSWORD) is None


def test_a_blocked_account_does_not_log_in(person: User) -> None:
    """The right password does not open a blocked account."""
    user_update(user=person, values={"is_active": False})
    assert backend.authenticate(None, username="carla", password=PASSWORD) is None


def test_nobody_shadows_an_address_by_choosing_it_as_a_name(person: User) -> None:
    """Where one person's user name is another's address, the address's owner is meant."""
    user_create(username="Carla@Example.org", email="other@example.org", password="something-else-9")
    assert backend.authenticate(None, username="Carla@Example.org", password=PASSWORD) == person
    assert backend.authenticate(None, username="Carla@Example.org", password="something-else-9") is None


@pytest.mark.parametrize("name", ["nobody", "nobody@example.org", "carla", "unusable"])
def test_every_wrong_login_costs_the_same(person: User, name: str, django_assert_num_queries) -> None:
    """An unknown name, a wrong password and an account without one take one query and one password hash each."""
    user_create(username="unusable")
    hashed: list[str] = []
    preferred = type(get_hasher())
    encode = preferred.encode

    def counted(self: object, password: str, salt: str) -> str:
        hashed.append(password)
        return encode(self, password, salt)

    with mock.patch.object(preferred, "encode", counted), django_assert_num_queries(1):
        assert backend.authenticate(None, username=name, password="wrong") is None
    assert len(hashed) == 1


def test_the_asynchronous_login_means_the_same_people(person: User) -> None:
    """aauthenticate takes addresses as authenticate does."""
    found = async_to_sync(backend.aauthenticate)(None, username="CARLA@example.org", password=PASSWORD)
    assert found == person


def test_failed_logins_of_one_account_are_counted_together(person: User) -> None:
    """Spellings of an address, and the user name, are one account; an unknown name is its folded form."""
    request = RequestFactory().post("/login/", {"username": "CARLA@example.org"})
    names = {
        attempted_account(request, {"username": name}) for name in ("carla", "Carla@Example.org", "cArla@example.ORG")
    }
    assert names == {attempted_account(request, None)} == {"carla"}
    assert attempted_account(request, {"username": "Nobody@X.org"}) == "nobody@x.org"
    assert len(attempted_account(request, {"username": "x" * 5000})) == 255
