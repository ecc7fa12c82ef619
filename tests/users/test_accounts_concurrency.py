"""The same request many times at once: one account and one id, by the database's own word.

Threads with connections of their own, committed transactions. ``race`` is what a longer run calls as well:
``race(rounds=100, requests=50)``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest
from django.db import close_old_connections, connection, transaction

from tests.users.payloads import NOW, payload
from users import accounts
from users.accounts import AccountsBusy, Linked, link, read
from users.applications import Application, Refusal
from users.models import CityTripsAccount, CityTripsApplication, User
from users.services import user_create

Answer = Linked | Refusal | AccountsBusy
pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(frozen=True)
class Round:
    """What one round of requests for one person ended in."""

    people: int
    accounts: int
    ids: frozenset[str]
    created: int
    failed: int
    counted: int

    @property
    def is_one(self) -> bool:
        return (self.people, self.accounts, len(self.ids), self.created, self.failed) == (1, 1, 1, 1, 0)


def application(**values: Any) -> Application:
    found = read(payload(**values))
    assert isinstance(found, Application)
    return found


def at_once(applications: list[Application], threads: int = 50) -> list[Answer]:
    """Link them all, each in a transaction and on a connection of its own, let go at the same moment."""
    gate = threading.Barrier(min(threads, len(applications)))

    def one(wanted: Application) -> Answer:
        close_old_connections()
        gate.wait(timeout=60)
        try:
            with transaction.atomic():
                return link(wanted, received_at=NOW)
        except AccountsBusy as busy:
            return busy
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=gate.parties) as pool:
        return list(pool.map(one, applications))


def race(*, rounds: int, requests: int, change: Callable[[int], dict[str, Any]] | None = None) -> list[Round]:
    """Rounds of identical requests, each round for a new person; ``change`` gives the properties of a round."""
    ended = []
    for number in range(rounds):
        email = f"racer-{number}@example.org"
        values = {"email": email, "username": f"racer-{number}", "nif": f"PASS{number:06}", "country": "Australia"}
        wanted = application(**{**values, "phone": 0, **(change(number) if change else {})})
        answers = at_once([wanted] * requests, threads=requests)
        linked = [answer for answer in answers if isinstance(answer, Linked)]
        rows = CityTripsApplication.objects.filter(email=email)
        ended.append(
            Round(
                people=User.objects.filter(email=email).count(),
                accounts=CityTripsAccount.objects.filter(email=email).count(),
                ids=frozenset(answer.public_id for answer in linked),
                created=sum(answer.created for answer in linked),
                failed=len(answers) - len(linked),
                counted=sum(rows.values_list("times", flat=True)),
            )
        )
    return ended


def test_identical_requests_at_once_make_one_account() -> None:
    """A hundred at once: one person, one id, one that made it, and every request is counted."""
    (only,) = race(rounds=1, requests=100)
    assert only.is_one, only
    assert only.counted == 100


def test_round_after_round_there_is_one() -> None:
    """Fewer at once and more often, so that the order of the threads differs."""
    for number, one in enumerate(race(rounds=5, requests=12)):
        assert one.is_one, (number, one)


def test_one_person_with_two_addresses_at_once_is_one() -> None:
    """Requests that share only the national id end in one account: the id's own constraint."""
    wanted = [application(email=f"a{number % 2}@example.org", username=f"a{number}") for number in range(12)]
    answers = at_once(wanted)
    assert all(isinstance(answer, Linked) for answer in answers), answers
    assert len({answer.public_id for answer in answers if isinstance(answer, Linked)}) == 1
    assert (User.objects.count(), CityTripsAccount.objects.count()) == (1, 1)


def test_different_people_with_one_user_name_at_once_all_get_in() -> None:
    """Each gets an account, and a name that nobody else has."""
    wanted = [application(email=f"b{number}@example.org", username="string", nif="") for number in range(24)]
    answers = at_once(wanted)
    assert all(isinstance(answer, Linked) for answer in answers), answers
    assert len({answer.username for answer in answers if isinstance(answer, Linked)}) == 24
    assert User.objects.count() == 24


def test_an_existing_person_is_linked_once() -> None:
    """Requests for somebody who is here already: one of them marks the person, the others find the mark."""
    user_create(username="nuria-0", email="nuria@example.org")
    answers = at_once([application()] * 16)
    assert all(isinstance(answer, Linked) for answer in answers), answers
    assert (User.objects.count(), CityTripsAccount.objects.count()) == (1, 1)
    rows = dict(CityTripsApplication.objects.values_list("outcome", "times"))
    assert rows == {"linked": 1, "known": 15}


# --- Controls: the same with a safeguard off -------------------------------------------------------------------------


@pytest.fixture
def stale_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request's first look finds nobody, as it does when all look before any of them writes."""
    find, seen = accounts._find, threading.local()

    def look(wanted: Application) -> accounts._Found:
        if not getattr(seen, "looked", False):
            seen.looked = True
            return accounts._Found([])
        return find(wanted)

    monkeypatch.setattr(accounts, "_find", look)


@pytest.mark.usefixtures("stale_look")
def test_a_look_that_was_too_early_is_mended() -> None:
    """All of them believe that the person is new; the constraints let one through, and the others look again."""
    (only,) = race(rounds=1, requests=8)
    assert only.is_one, only


@pytest.mark.usefixtures("stale_look")
def test_control_without_a_second_look_requests_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without looking again after a constraint spoke, all but one of them fail: this is what the safeguard mends."""
    monkeypatch.setattr(accounts, "ATTEMPTS", 1)
    (only,) = race(rounds=1, requests=8)
    assert (only.people, only.created, only.failed) == (1, 1, 7)


@pytest.mark.usefixtures("stale_look")
def test_control_without_constraints_accounts_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """With keys that no constraint compares, the same requests make a person each."""
    counter = iter(range(1000))
    monkeypatch.setattr(accounts, "email_key", lambda email: f"{next(counter)} {email}")
    create = accounts._create

    def unconstrained(wanted: Application) -> User:
        return create(replace(wanted, email=f"{next(counter)}.{wanted.email}", username=f"racer-{next(counter)}"))

    monkeypatch.setattr(accounts, "_create", unconstrained)
    answers = at_once([replace(application(), national_id=None)] * 8)
    assert len({answer.public_id for answer in answers if isinstance(answer, Linked)}) == 8
