"""What is asked of the line."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backoffice.citytrips import selectors, services
from backoffice.citytrips.exchange import State
from backoffice.citytrips.journal import Direction, JournalRecord, Outcome
from backoffice.citytrips.lease import NAME
from backoffice.citytrips.models import JournalEntry, Lease, Reply, WorkerPresence
from users.models import User
from users.services import user_create

pytestmark = pytest.mark.django_db


def add(command: str, **values: object) -> JournalRecord:
    known = {"direction": Direction.IN, "size": 1, "outcome": Outcome.RECEIVED, "at": timezone.now(), **values}
    record = JournalRecord(command=command, **known)
    services.journal_add(entries=[record])
    return record


def find(words: str, *, people: bool = True) -> list[str]:
    found = selectors.journal_search(entries=JournalEntry.objects.all(), words=words, people=people)
    return sorted(found.values_list("command", flat=True))


@pytest.fixture
def journal(db: None) -> User:
    ana = user_create(username="anasofia", email="ana@example.com")
    add("s_user/new", account_id=ana.pk)
    add("s_vehicle/full", reason="too many wheels")
    add("s_vehicle/incremental")
    return ana


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", ["s_user/new", "s_vehicle/full", "s_vehicle/incremental"]),
        ("vehicle", ["s_vehicle/full", "s_vehicle/incremental"]),
        ("S_USER", ["s_user/new"]),
        ("WHEELS", ["s_vehicle/full"]),
        ("anasof", ["s_user/new"]),
        ("ana@example.com", ["s_user/new"]),
        ("nothing of that", []),
    ],
)
def test_messages_are_found(journal: User, words: str, found: list[str]) -> None:
    """By a part of their command, of their reason, or of the account's name or address, in any case."""
    assert find(words) == found


def test_a_message_is_found_by_its_reference(journal: User) -> None:
    """The reference finds that one, and nothing where there is none of it."""
    record = add("s_ext/error")
    assert find(str(record.ref)) == ["s_ext/error"]
    assert find(str(uuid.uuid4())) == []


def test_people_are_not_found_by_whom_they_are_no_business(journal: User) -> None:
    """Who may not see people cannot guess their addresses by searching."""
    assert find("ana@example.com", people=False) == []


def test_commands_are_listed_without_reading_the_journal(journal: User) -> None:
    """However many messages there are, each command stands there once, and it takes one query."""
    for _number in range(20):
        add("s_vehicle/full")
    with CaptureQueriesContext(connection) as queries:
        assert selectors.journal_commands() == ["s_user/new", "s_vehicle/full", "s_vehicle/incremental"]
    assert len(queries) == 1


def test_an_empty_journal_has_no_commands() -> None:
    assert selectors.journal_commands() == []


@pytest.mark.parametrize("state", Reply.State)
def test_replies_are_listed_by_their_state(state: Reply.State) -> None:
    """The list's filter and the chip of a reply say the same."""
    now = timezone.now()
    for settled in (now, None):
        for objected in (now, None):
            for count in (0, 2):
                Reply.objects.create(
                    command="s_user/new", payload={}, settled_at=settled, objected_at=objected, sent_count=count
                )
    listed = set(selectors.replies_in(replies=Reply.objects.all(), state=state))
    assert listed == {reply for reply in Reply.objects.all() if reply.state == state}


def test_the_line_says_who_holds_it_and_who_stands_by() -> None:
    """The holder is the lease's, the others were seen within half a minute."""
    now = timezone.now()
    Lease.objects.update_or_create(name=NAME, defaults={"holder": "a:1", "token": uuid.uuid4(), "renewed_at": now})
    for name, age in (("a:1", 1), ("b:2", 29), ("c:3", 31)):
        WorkerPresence.objects.create(name=name, state="standby", seen_at=now - timedelta(seconds=age))
    services.link_change(state=State.WAITING, reason="", at=now, attempts=4)
    services.fulls_block(vehicles=9, settings_key="")
    with CaptureQueriesContext(connection) as queries:
        summary = selectors.link_summary()
    assert len(queries) <= 7
    assert (summary.holder, summary.standbys, summary.attempts) == ("a:1", ["b:2"], 4)
    assert summary.fulls_blocked is not None
    assert summary.fulls_blocked.vehicles == 9
    Lease.objects.update(renewed_at=now - timedelta(hours=1))
    assert selectors.link_summary().holder == ""
