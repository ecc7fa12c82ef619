"""An objection names no vehicle: which it is about, case by case."""

from __future__ import annotations

import pytest

from backoffice.citytrips import messages
from backoffice.citytrips.exchange import (
    Full,
    Incremental,
    Object,
    Pending,
    Settle,
)
from backoffice.citytrips.session import Session
from tests.backoffice.citytrips.sessions import SETTLE, finish, live_session, send


class Picky:
    """A partner that objects to every message with one of these vehicles in it, and a fleet that waits to be sent."""

    def __init__(self, session: Session, fleet: int, bad: set[str]) -> None:
        self.session = session
        self.pending = {str(number): 1 for number in range(fleet)}
        self.bad = bad
        self.objected: set[str] = set()
        self.messages = 0

    def run(self, seconds: int) -> None:
        now = 10.0
        while now < 10 + seconds and self.pending:
            now += 0.25
            for effect in self.session.tick(now):
                assert isinstance(effect, Settle)
                self.session.settled(effect.number)
                self.pending = {name: 1 for name in self.pending if name not in effect.versions}
            match self.session.next_send(Pending(offered=self.pending), now):
                case Incremental(ids):
                    self.messages += 1
                    number = send(self.session, now, full=False, **dict.fromkeys(ids, 1))
                    self.session.confirm(number, now)
                    if ids & self.bad:
                        for effect in self.session.receive(messages.Objection("bad plate"), now):
                            assert isinstance(effect, Object)
                            self.session.objected(effect)
                            self.objected |= effect.versions.keys()


@pytest.mark.parametrize("bad", [{"7"}, {"0", "1"}, {"3", "500", "998"}])
def test_an_objection_is_narrowed_down(bad: set[str]) -> None:
    """Of a thousand vehicles sent together those that CityTrips does not take are found, and all others arrive."""
    partner = Picky(live_session(), 1000, bad)
    partner.run(120)
    assert partner.objected == bad
    assert partner.pending.keys() == bad
    assert partner.messages < 100


def test_what_goes_beside_suspects_is_not_blamed() -> None:
    """A change that is under way together with a group of suspects goes again, and becomes no suspect."""
    session = live_session()
    send(session, 10, full=False, a=1, b=1, c=1)
    session.receive(messages.Objection("?"), 10)
    suspects = session.next_send(Pending(offered={"a": 1, "b": 1, "c": 1, "d": 1}), 11)
    assert isinstance(suspects, Incremental)
    assert len(suspects.ids) == 1
    send(session, 11, full=False, **dict.fromkeys(suspects.ids, 1))
    assert session.next_send(Pending(offered={"a": 1, "b": 1, "c": 1, "d": 1}), 11) == Incremental(frozenset("d"))
    send(session, 11, full=False, d=1)
    session.receive(messages.Objection("?"), 11)
    rest = {"a": 1, "b": 1, "c": 1, "d": 1}
    suspects = session.next_send(Pending(offered=rest), 12)
    assert isinstance(suspects, Incremental)
    send(session, 12, full=False, **dict.fromkeys(suspects.ids, 1))
    assert session.next_send(Pending(offered=rest), 12) == Incremental(frozenset("d")), "alone, and at once"


def test_errors_about_everything_end() -> None:
    """A partner that objects to whatever is sent is not asked for ever: in the end all are put before staff."""
    partner = Picky(live_session(), 1000, {str(number) for number in range(1000)})
    partner.run(3600)
    assert len(partner.objected) == 1000
    assert partner.messages < 5000


def test_what_a_full_leaves_out_counts_as_told_by_nothing_before_it() -> None:
    """With a full without it CityTrips drops a vehicle, so an earlier send must not settle it afterwards."""
    session = live_session()
    earlier = send(session, 10, full=False, a=2, b=1)
    session.confirm(earlier, 10)
    full = session.begin(full=True, now=11)
    assert full is not None
    session.written(full, versions={"b": 1}, left_out=["a"])
    session.confirm(full, 11)
    assert session.tick(10 + SETTLE) == [Settle(earlier, False, {"b": 1}, {})]


def test_a_refused_full_goes_without_what_was_objected_to() -> None:
    """Once the vehicle is known that CityTrips does not take, a full without it tells of all the others."""
    session = live_session()
    session.want_full()
    for _ in range(2):
        assert session.next_send(Pending(offered={"a": 1}), 10) == Full()
        send(session, 10, full=True, a=1)
        session.receive(messages.Objection("?"), 10)
    for _ in range(2):
        assert session.next_send(Pending(offered={"a": 1}), 12) == Incremental(frozenset("a"))
        send(session, 12, full=False, a=1)
        session.receive(messages.Objection("?"), 12)
    assert session.leaves_out_objected
    assert session.next_send(Pending(), 13) == Full()
    send(session, 13, full=True)
    finish(session, 13)
    assert not session.leaves_out_objected
