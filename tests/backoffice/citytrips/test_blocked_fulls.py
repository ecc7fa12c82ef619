"""What CityTrips finds too large: smaller incrementals, and without fulls all told again, case by case."""

from __future__ import annotations

import pytest

from backoffice.citytrips import messages
from backoffice.citytrips.exchange import (
    Full,
    Incremental,
    Pending,
    Settle,
    TellAgain,
    Timing,
)
from backoffice.citytrips.session import INCREMENTAL_LIMIT, TELL_AGAIN_GAP, Session
from tests.backoffice.citytrips.sessions import FULL_EVERY, live_session, send


def test_a_full_that_is_too_large_is_told_from_an_incremental() -> None:
    """1009 while a full is under way is about the full; otherwise incrementals become smaller."""
    session = live_session()
    session.want_full()
    assert session.begin(full=True, now=10)
    assert session.receive_too_large()
    session.disconnected()
    assert not session.receive_too_large()
    session.connected(11)
    session.receive(messages.AuthenticationSucceeded(), 11)
    session.block_fulls()
    session.begin_telling_again(11)
    offered = {str(number): 1 for number in range(INCREMENTAL_LIMIT)}
    incremental = session.next_send(Pending(offered), 12)
    assert isinstance(incremental, Incremental)
    assert len(incremental.ids) == INCREMENTAL_LIMIT // 2


def test_blocked_fulls_wait_until_they_are_allowed() -> None:
    """While fulls are blocked neither authentication, request nor removal brings one; incrementals go on."""
    session = live_session()
    session.block_fulls()
    session.receive(messages.MustAuthenticate(), 10)
    session.receive(messages.AuthenticationSucceeded(), 10)
    session.receive(messages.FullRequest(), 10)
    session.begin_telling_again(10)
    assert session.next_send(Pending(leaving={"b": 2}), 9 + FULL_EVERY) is None
    assert session.next_send(Pending(offered={"a": 2}), 9 + FULL_EVERY) == Incremental(frozenset("a"))
    session.allow_fulls()
    assert session.next_send(Pending(), 9 + FULL_EVERY) == Full()


def blocked_session(now: float) -> Session:
    """One that has told everything again, since its fulls are blocked."""
    session = live_session()
    session.block_fulls()
    session.receive(messages.FullRequest(), now)
    tell_again(session, now)
    return session


def tell_again(session: Session, now: float) -> None:
    for _look in range(2):
        assert session.next_send(Pending(offered={"a": 2}), now) == TellAgain()
    session.begin_telling_again(now)
    assert session.next_send(Pending(offered={"a": 2}), now) == Incremental(frozenset("a"))
    session.end_telling_again()
    assert session.next_send(Pending(offered={"a": 2}), now) == Incremental(frozenset("a"))


def test_where_no_full_may_be_sent_each_authentication_tells_all_again() -> None:
    """What would have been a full becomes incrementals, without delay, for CityTrips may have forgotten everything."""
    session = blocked_session(10)
    for now in (11, 12):
        session.receive(messages.MustAuthenticate(), now)
        session.receive(messages.AuthenticationSucceeded(), now)
        tell_again(session, now)


def test_where_no_full_may_be_sent_requests_have_all_told_again_now_and_then() -> None:
    """A hundred requests become one telling, and another half a minute after that one began."""
    session = blocked_session(10)
    for _ in range(100):
        session.receive(messages.FullRequest(), 11)
    assert session.next_send(Pending(), 10 + TELL_AGAIN_GAP - 0.1) is None
    tell_again(session, 10 + TELL_AGAIN_GAP)


def test_where_no_full_may_be_sent_time_has_all_told_again() -> None:
    """A loss that nothing reveals is mended as soon as it would be by fulls."""
    session = blocked_session(10)
    assert session.next_send(Pending(), 9.9 + FULL_EVERY) is None
    tell_again(session, 10 + FULL_EVERY)


def test_all_is_told_to_the_end_before_it_is_told_anew() -> None:
    """Begun anew at each authentication, telling a large fleet again would never come to its end."""
    session = blocked_session(10)
    session.receive(messages.MustAuthenticate(), 50)
    session.receive(messages.AuthenticationSucceeded(), 50)
    session.begin_telling_again(50)
    session.receive(messages.MustAuthenticate(), 60)
    session.receive(messages.AuthenticationSucceeded(), 60)
    assert session.next_send(Pending(), 60) is None
    session.end_telling_again()
    tell_again(session, 60)


def test_all_is_told_anew_only_once_it_has_settled() -> None:
    """However often CityTrips asks, and however long it is given to object, what it is told settles in the end."""
    session = Session(Timing(settle=60, full_every=40))
    session.connected(0)
    session.receive(messages.AuthenticationSucceeded(), 0)
    session.block_fulls()
    session.begin_telling_again(0)
    number = send(session, 1, full=False, a=2)
    session.confirm(number, 1)
    session.end_telling_again()
    for now in range(2, 60):
        session.receive(messages.FullRequest(), now)
        assert session.next_send(Pending({"a": 2}), now) is None
    assert session.tick(61) == [Settle(number, False, {"a": 2}, {})]
    session.settled(number)
    tell_again(session, 61)


@pytest.mark.parametrize(("asked", "now"), [(True, 45), (False, 10 + FULL_EVERY)])
def test_what_is_in_flight_is_told_once_more(asked: bool, now: float) -> None:
    """It may have arrived before CityTrips forgot it, or never been acted on. A reply has nothing to do with that."""
    session = blocked_session(10)
    in_flight = send(session, now, full=False, a=2)
    reply = session.begin(full=False, replies=[7], now=now)
    assert reply is not None
    session.written(reply)
    if asked:
        session.receive(messages.FullRequest(), now)
    assert session.next_send(Pending({"a": 2}, replies=[7]), now) == TellAgain()
    session.begin_telling_again(now)
    assert session.in_flight == {reply}
    session.confirm(in_flight, now)
    assert session.next_send(Pending({"a": 2}, replies=[7]), now) == Incremental(frozenset("a"))
