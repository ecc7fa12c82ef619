"""What is written about the line."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import close_old_connections, connection, transaction
from django.utils import timezone

from backoffice.citytrips import services
from backoffice.citytrips.exchange import State
from backoffice.citytrips.journal import Direction, JournalRecord, Outcome
from backoffice.citytrips.lease import LeaseKeeper
from backoffice.citytrips.models import Alert, JournalEntry, LinkChange, LinkState, Reply, SyncRequest, WorkerPresence
from users.models import User
from users.services import user_create


@pytest.fixture
def ana(db: None) -> User:
    return user_create(username="ana", email="ana@example.com", is_staff=True)


def record(**values: object) -> JournalRecord:
    values = {"direction": Direction.OUT, "command": "s_vehicle/full", "size": 9, "outcome": Outcome.SENT, **values}
    return JournalRecord(**{"at": timezone.now(), **values})


# --- The journal ---


def test_messages_are_written_in_one_insert(ana: User, django_assert_num_queries) -> None:
    """However many messages come together, it is one statement; one that stands there already is passed over."""
    reply = services.reply_create(command="s_user/new", payload={"id": "1"}, about_id=ana.pk)
    twice = record(body={"vehicles": 7}, account_id=ana.pk, reply_id=reply.pk)
    with django_assert_num_queries(1):
        services.journal_add(entries=[twice, *(record() for _ in range(20))])
    services.journal_add(entries=[twice])
    assert JournalEntry.objects.count() == 21
    entry = JournalEntry.objects.get(ref=twice.ref)
    assert (entry.direction, entry.command, entry.outcome) == ("out", "s_vehicle/full", "sent")
    assert (entry.body, entry.account, entry.reply) == ({"vehicles": 7}, ana, reply)


def test_an_outcome_is_written_later(db: None) -> None:
    """What came of a message is written to it by its reference; without a reason the one it has stays."""
    one, other = record(reason="as it was"), record()
    services.journal_add(entries=[one, other])
    services.journal_outcome(refs=[one.ref], outcome=Outcome.SETTLED)
    services.journal_outcome(refs=[other.ref], outcome=Outcome.VOID, reason="the line broke")
    assert list(JournalEntry.objects.order_by("id").values_list("outcome", "reason")) == [
        ("settled", "as it was"),
        ("void", "the line broke"),
    ]


@pytest.mark.django_db(transaction=True)
def test_a_message_outlives_what_it_was_about() -> None:
    """Who was deleted before the message was written down costs that message its link, and the others nothing."""
    ana = user_create(username="ana", email="ana@example.com")
    reply = services.reply_create(command="s_user/new", payload={})
    services.journal_add(
        entries=[
            record(account_id=ana.pk, reply_id=reply.pk + 1),
            record(account_id=ana.pk + 1, sync_request_id=1, reply_id=reply.pk),
        ]
    )
    assert list(JournalEntry.objects.order_by("id").values_list("account", "reply", "sync_request")) == [
        (ana.pk, None, None),
        (None, reply.pk, None),
    ]


# --- Replies ---


def test_a_reply_stays_due_until_it_settles(db: None) -> None:
    """Sent, it is still owed; settled or objected to, it is left alone; sent again by staff, it is owed once more."""
    reply = services.reply_create(command="s_user/new", payload={"id": "1"})

    def state() -> str:
        return Reply.objects.get().state

    assert state() == "due"
    services.replies_sent(ids=[reply.pk])
    assert state() == "sent"
    services.replies_object(ids=[reply.pk])
    assert state() == "objected"
    assert Alert.objects.filter(kind=Alert.Kind.REPLY_OBJECTED, resolved_at=None).count() == 1
    assert services.reply_resend(reply_id=reply.pk)
    assert state() == "sent"
    services.replies_settle(ids=[reply.pk])
    assert state() == "settled"
    services.replies_object(ids=[reply.pk])
    assert state() == "settled"
    assert not services.reply_resend(reply_id=reply.pk + 1)


@pytest.mark.django_db(transaction=True)
def test_a_reply_wakes_the_worker_once_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker looks when the reply can be seen, not before."""
    seen: list[bool] = []
    monkeypatch.setattr(services.wakeup, "wake_worker", lambda: seen.append(not connection.in_atomic_block))
    with transaction.atomic():
        services.reply_create(command="s_user/new", payload={})
        assert seen == []
    assert seen == [True]


# --- Alerts ---


def test_the_same_alert_is_counted(ana: User) -> None:
    """What is open is counted once more; once done, the same thing opens a new one, and who was first keeps it."""
    for _time in range(3):
        services.alert_raise(kind=Alert.Kind.USER_REFUSED, detail="two accounts")
    services.alert_raise(kind=Alert.Kind.USER_REFUSED, detail="a member of staff")
    alert = Alert.objects.get(detail="two accounts")
    assert alert.count == 3
    bea = user_create(username="bea", email="bea@example.com", is_staff=True)
    services.alert_resolve(alert=alert, actor=ana)
    services.alert_resolve(alert=alert, actor=bea)
    alert.refresh_from_db()
    assert alert.resolved_by == ana
    services.alert_raise(kind=Alert.Kind.USER_REFUSED, detail="two accounts")
    assert Alert.objects.filter(detail="two accounts").count() == 2


def test_a_flood_of_different_alerts_is_counted_together(db: None) -> None:
    """A peer that invents a new command for each message fills no table, and hides no other alert."""
    for number in range(200):
        services.alert_raise(kind=Alert.Kind.UNKNOWN_COMMAND, detail=f"s_a/{number}")
    services.alert_raise(kind=Alert.Kind.UNKNOWN_COMMAND, detail="s_a/7")
    services.alert_raise(kind=Alert.Kind.INBOUND_TOO_LARGE)
    assert Alert.objects.count() == services.ALERTS_KEPT + 2
    assert Alert.objects.get(detail="…").count == 200 - services.ALERTS_KEPT
    assert Alert.objects.get(detail="s_a/7").count == 2


@pytest.mark.django_db(transaction=True)
def test_alerts_raised_at_once_are_one() -> None:
    """Twenty threads that raise the same make one row that says twenty."""

    def run() -> None:
        services.alert_raise(kind=Alert.Kind.INBOUND_TOO_LARGE)
        close_old_connections()
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Alert.objects.get().count == 20


# --- The line ---


def test_blocked_fulls_are_before_staff_until_lifted(db: None) -> None:
    """The block stands on the line's row with its size, opens one alert, and ends with it."""
    services.fulls_block(vehicles=50_000, settings_key="k")
    services.link_change(state=State.LIVE, reason="", at=timezone.now(), attempts=3)
    link = LinkState.objects.get()
    assert (link.fulls_blocked_vehicles, link.fulls_blocked_settings, link.attempts) == (50_000, "k", 3)
    assert link.fulls_blocked_at is not None
    assert Alert.objects.get().resolved_at is None
    services.fulls_unblock()
    link.refresh_from_db()
    assert (link.fulls_blocked_at, link.fulls_blocked_vehicles, link.fulls_blocked_settings) == (None, None, "")
    assert Alert.objects.get().resolved_at is not None


def test_what_a_hold_leaves_behind_is_history(db: None) -> None:
    """Written down late, after another worker has taken over, a change says where the line stood then and not now."""
    first, second = LeaseKeeper(10), LeaseKeeper(10)
    assert first.try_acquire()
    services.link_change(state=State.WAITING, reason="no answer", at=timezone.now(), token=first.token)
    assert LinkState.objects.get().state == State.WAITING
    first.release()
    assert second.try_acquire()
    services.link_change(state=State.LIVE, reason="", at=timezone.now(), token=second.token)
    services.link_change(state=State.STANDBY, reason="late", at=timezone.now(), token=first.token)
    assert LinkState.objects.get().state == State.LIVE
    assert [change.state for change in LinkChange.objects.all()] == [State.STANDBY, State.LIVE, State.WAITING]


def test_a_worker_that_is_gone_is_forgotten(db: None) -> None:
    """Each worker has one row; a new one's first sign removes those not seen for a day."""
    old = timezone.now() - timedelta(days=2)
    WorkerPresence.objects.create(name="gone:1", state="standby", seen_at=old)
    for state in (WorkerPresence.State.STANDBY, WorkerPresence.State.HOLDER):
        services.presence(name="here:1", state=state)
    assert list(WorkerPresence.objects.values_list("name", "state")) == [("here:1", "holder")]


# --- What is old ---


@pytest.fixture
def old_and_open(db: None) -> None:
    """Of everything one that ended forty days ago, and one as old that is open."""
    then = timezone.now() - timedelta(days=40)
    services.journal_add(entries=[record(at=then), record(at=then), record()])
    for ended in (then, None):
        request = services.sync_request_create(full=True, seconds=60)
        SyncRequest.objects.filter(pk=request.pk).update(created_at=then, ended_at=ended)
        Alert.objects.create(kind="user_refused", detail=str(ended), first_at=then, last_at=then, resolved_at=ended)
        Reply.objects.create(command="s_user/new", payload={}, created_at=then, settled_at=ended)
    Reply.objects.create(command="s_user/new", payload={}, created_at=then, objected_at=then)


def test_only_what_is_old_and_ended_is_dropped(old_and_open: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches; a reply that CityTrips does not take waits for staff, however long."""
    monkeypatch.setattr(services, "BATCH", 1)
    assert services.journal_prune(before=timezone.now() - timedelta(days=30)) == 5
    assert JournalEntry.objects.count() == 1
    assert SyncRequest.objects.get().ended_at is None
    assert Alert.objects.get().resolved_at is None
    assert Reply.objects.filter(settled_at=None).count() == Reply.objects.count() == 2


def test_the_command_drops_what_is_old(old_and_open: None, capsys: pytest.CaptureFixture[str]) -> None:
    """It says how much; by default thirty days are kept."""
    call_command("prune_journal", days=50)
    assert capsys.readouterr().out == "0 rows older than 50 days were dropped.\n"
    call_command("prune_journal")
    assert capsys.readouterr().out == "5 rows older than 30 days were dropped.\n"
    assert JournalEntry.objects.count() == 1


@pytest.mark.parametrize("days", [0, -1, 10**9])
def test_the_command_keeps_at_least_a_day(old_and_open: None, days: int) -> None:
    """A number of days that is none drops nothing."""
    with pytest.raises(CommandError, match="--days takes a number from 1"):
        call_command("prune_journal", f"--days={days}")
    assert JournalEntry.objects.count() == 3
