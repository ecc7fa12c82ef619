"""The lease: one holder, and another only when that one must have fallen silent."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from django.db import transaction

from backoffice.citytrips.errors import LeaseLost
from backoffice.citytrips.lease import LeaseKeeper, check_token
from backoffice.citytrips.models import Lease

pytestmark = pytest.mark.django_db(transaction=True)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_takes_it_and_the_second_waits() -> None:
    """A free lease is taken at once; a second worker stands by while the first renews."""
    clock = Clock()
    first, second = LeaseKeeper(10, clock=clock), LeaseKeeper(10, clock=clock)
    assert first.try_acquire()
    assert not second.try_acquire()
    for _ in range(5):
        clock.now += 6
        assert first._renew()
        assert not second.try_acquire()
    assert first.held


def test_a_silent_holder_is_followed_after_the_whole_length() -> None:
    """A standby takes over when the counter has stood still for the lease's length since it saw it."""
    clock = Clock()
    first, second = LeaseKeeper(10, clock=clock), LeaseKeeper(10, clock=clock)
    assert first.try_acquire()
    assert not second.try_acquire()
    clock.now += 7
    assert not first.held, "the holder is silent before anybody else may speak"
    clock.now += 2.9
    assert not second.try_acquire()
    clock.now += 0.1
    assert second.try_acquire()
    assert not first._renew(), "who comes back finds it gone"
    assert second.held


def test_a_standby_that_stood_still_waits_for_the_whole_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look at the clock and the database's answer eight seconds pass, in which the holder has renewed."""
    clock = Clock()
    first, second = LeaseKeeper(10, clock=clock), LeaseKeeper(10, clock=clock)
    assert first.try_acquire()
    get_or_create = Lease.objects.get_or_create

    def answer_late(**given: Any) -> Any:
        clock.now += 6
        assert first._renew()
        clock.now += 2
        return get_or_create(**given)

    with monkeypatch.context() as late:
        late.setattr(Lease.objects, "get_or_create", answer_late)
        assert not second.try_acquire()
    clock.now += 3
    assert not second.try_acquire()
    clock.now += 7
    assert second.try_acquire()


def test_a_lease_given_up_is_free_at_once() -> None:
    """A worker that ends in good order keeps nobody waiting."""
    first, second = LeaseKeeper(10), LeaseKeeper(10)
    assert first.try_acquire()
    first.release()
    assert not first.held
    assert second.try_acquire()


def test_the_loser_hears_of_it() -> None:
    """The thread that renews calls back when the row has another token."""
    keeper = LeaseKeeper(6)
    lost = threading.Event()
    assert keeper.try_acquire()
    keeper.keep(lost.set)
    try:
        assert not lost.wait(7), "it renews"
        Lease.objects.update(token=uuid.uuid4())
        assert lost.wait(20)
    finally:
        keeper.release()


def test_a_renewal_that_hangs_does_not_go_on_in_the_next_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a database that vanished, the lease runs out and is taken anew: one thread renews, not two."""
    keeper = LeaseKeeper(6)
    hangs, back = threading.Event(), threading.Event()
    renew = keeper._renew

    def hang() -> bool:
        hangs.set()
        back.wait(20)
        return keeper.held

    monkeypatch.setattr(keeper, "_renew", hang)
    assert keeper.try_acquire()
    keeper.keep(lambda: None)
    first = keeper._thread
    assert hangs.wait(10)
    keeper.release()
    monkeypatch.setattr(keeper, "_renew", renew)
    assert keeper.try_acquire()
    keeper.keep(lambda: None)
    try:
        back.set()
        assert first
        first.join(10)
        assert not first.is_alive()
        assert keeper._thread
        assert keeper._thread.is_alive()
    finally:
        keeper.release()


def test_nothing_is_acknowledged_under_another_token() -> None:
    """The token is checked inside the transaction that acknowledges; after a hand-over, or none at all, it fails."""
    first, second = LeaseKeeper(10), LeaseKeeper(10)
    with pytest.raises(LeaseLost), transaction.atomic():
        check_token(first.token)
    assert first.try_acquire()
    with transaction.atomic():
        check_token(first.token)
    first.release()
    with pytest.raises(LeaseLost), transaction.atomic():
        check_token(first.token)
    assert second.try_acquire()
    with pytest.raises(LeaseLost), transaction.atomic():
        check_token(first.token)
