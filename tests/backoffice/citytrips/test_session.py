"""The protocol without I/O, case by case."""

from __future__ import annotations

import pytest

from backoffice.citytrips import messages
from backoffice.citytrips.exchange import (
    Authenticate,
    Changed,
    Close,
    Deliver,
    Full,
    Incremental,
    Object,
    Pending,
    Replies,
    Settle,
    State,
    Timing,
)
from backoffice.citytrips.session import ANSWER_TIME, INCREMENTAL_LIMIT, REMOVAL_GAP, Session
from tests.backoffice.citytrips.sessions import FULL_EVERY, SETTLE, finish, live_session, send


def test_authentication_is_sent_at_once() -> None:
    """A connection that opens authenticates without waiting to be asked."""
    session = Session(Timing(SETTLE, FULL_EVERY))
    assert session.connected(0) == [Changed(State.AUTHENTICATING, ""), Authenticate()]


def test_no_answer_in_ten_seconds_closes() -> None:
    """An authentication that nobody answers closes the connection, and not a moment earlier."""
    session = Session(Timing(SETTLE, FULL_EVERY))
    session.connected(0)
    assert session.next_tick(50) is None, (
        "a large message holds the authentication up, and that is not CityTrips' fault"
    )
    session.authentication_sent(100)
    assert session.next_tick(100) == ANSWER_TIME
    assert session.tick(100 + ANSWER_TIME - 0.1) == []
    (close,) = session.tick(100 + ANSWER_TIME)
    assert isinstance(close, Close)
    assert not close.refused


def test_nothing_is_sent_before_success() -> None:
    """No vehicle leaves before CityTrips has said yes."""
    session = Session(Timing(SETTLE, FULL_EVERY))
    session.connected(0)
    assert session.next_send(Pending(offered={"a": 1}), 0) is None
    assert session.begin(full=False, now=0) is None


def test_a_full_follows_each_authentication() -> None:
    """Success is followed by a full, and after must_authenticate by another one."""
    session = live_session()
    assert session.next_send(Pending(), 1) is None
    assert session.receive(messages.MustAuthenticate("why"), 1) == [
        Changed(State.AUTHENTICATING, "why"),
        Authenticate(),
    ]
    assert session.receive(messages.AuthenticationSucceeded(), 2) == [Changed(State.LIVE, "")]
    assert session.next_send(Pending(), 2) == Full()


def test_a_refused_key_closes_for_good() -> None:
    """auth_error is told apart from every other end of a connection."""
    session = Session(Timing(SETTLE, FULL_EVERY))
    session.connected(0)
    assert session.receive(messages.AuthenticationFailed("no"), 1) == [
        Changed(State.REFUSED, "no"),
        Close("no", refused=True),
    ]


def test_a_second_yes_changes_nothing() -> None:
    """Asked to authenticate while our answer is on its way, we hear yes twice; one full follows."""
    session = Session(Timing(SETTLE, FULL_EVERY))
    session.connected(0)
    assert session.receive(messages.MustAuthenticate(), 0) == [Authenticate()]
    session.receive(messages.AuthenticationSucceeded(), 0)
    send(session, 0, full=True)
    assert session.receive(messages.AuthenticationSucceeded(), 1) == []
    finish(session, 1)
    assert session.next_send(Pending(), 2) is None


def test_a_peer_that_asks_for_ever_is_left() -> None:
    """A peer that answers each authentication by asking for another one is disconnected, not answered without end."""
    session = Session(Timing(SETTLE, FULL_EVERY))
    session.connected(0)
    effects = [session.receive(messages.MustAuthenticate(), 1) for _ in range(100)]
    assert any(isinstance(effect, Close) for effects_ in effects for effect in effects_)


def test_full_requests_are_served_by_the_full_under_way() -> None:
    """A request that arrives while a full is being collected asks for nothing more."""
    session = live_session()
    session.receive(messages.FullRequest(), 10)
    assert session.next_send(Pending(), 10) == Full()
    number = session.begin(full=True, now=10)
    session.receive(messages.FullRequest(), 10)
    assert number is not None
    session.written(number)
    finish(session, 10)
    assert session.next_send(Pending(), 16) is None


def test_a_hundred_full_requests_become_two_fulls() -> None:
    """Requests that arrive while a full is on the wire become one more, sent after the first is confirmed."""
    session = live_session()
    session.receive(messages.FullRequest(), 10)
    first = send(session, 10, full=True)
    for _ in range(100):
        session.receive(messages.FullRequest(), 10)
    assert session.next_send(Pending(), 10) is None
    session.confirm(first, 11)
    assert session.next_send(Pending(), 11) == Full()
    finish_second = send(session, 11, full=True)
    session.confirm(finish_second, 11)
    assert session.next_send(Pending(), 11) is None


@pytest.mark.parametrize(("every", "due"), [(FULL_EVERY, True), (0.0, False)])
def test_a_full_every_so_often(every: float, due: bool) -> None:
    """A full is sent every CITYTRIPS_FULL_EVERY seconds, and never by itself where that is 0."""
    session = live_session(full_every=every)
    assert session.next_send(Pending(), FULL_EVERY - 1) is None
    assert session.next_send(Pending(), FULL_EVERY) == (Full() if due else None)


def test_changes_go_once_at_each_version() -> None:
    """A vehicle in flight at a version isn't sent again at it; changed meanwhile, it is."""
    session = live_session()
    assert session.next_send(Pending(offered={"a": 3, "b": 1}), 1) == Incremental(frozenset("ab"))
    send(session, 1, full=False, a=3, b=1)
    assert session.next_send(Pending(offered={"a": 3, "b": 1}), 2) is None
    assert session.next_send(Pending(offered={"a": 4, "b": 1}), 2) == Incremental(frozenset("a"))


def test_a_send_settles_after_its_pong_and_the_silence() -> None:
    """Without its pong a send never settles; with it, when so many seconds have brought no objection."""
    session = live_session()
    number = send(session, 10, full=False, a=3)
    assert session.tick(1000) == []
    session.confirm(number, 1000)
    assert session.tick(1000 + SETTLE - 0.1) == []
    assert session.next_tick(1000) == SETTLE
    expected = [Settle(number, False, {"a": 3}, {})]
    assert session.tick(1000 + SETTLE) == expected
    assert session.tick(1001 + SETTLE) == expected, "repeated until it is written down"
    session.settled(number)
    assert session.tick(1002 + SETTLE) == []


@pytest.mark.parametrize("trouble", ["must_authenticate", "error", "disconnect"])
def test_trouble_voids_what_has_not_settled(trouble: str) -> None:
    """must_authenticate, an error and the end of the connection each leave an unsettled send pending."""
    session = live_session()
    number = send(session, 10, full=False, a=3)
    session.confirm(number, 11)
    if trouble == "must_authenticate":
        session.receive(messages.MustAuthenticate(), 12)
    elif trouble == "error":
        session.receive(messages.Objection("?"), 12)
    else:
        session.disconnected()
        session.connected(12)
    session.receive(messages.AuthenticationSucceeded(), 13)
    assert [effect for effect in session.tick(100) if isinstance(effect, Settle)] == []
    if trouble != "error":
        send(session, 13, full=True)
    assert session.next_send(Pending(offered={"a": 3}), 100) == Incremental(frozenset("a"))


def test_a_second_objection_leaves_the_version_alone() -> None:
    """What CityTrips objects to twice is told to staff, and not sent again until it changes or a full passes."""
    session = live_session()
    send(session, 10, full=False, a=3)
    assert session.receive(messages.Objection("bad plate"), 11) == []
    assert session.next_send(Pending(offered={"a": 3}), 12) == Incremental(frozenset("a"))
    send(session, 12, full=False, a=3)
    assert session.receive(messages.Objection("bad plate"), 13) == [Object({"a": 3}, "bad plate")]
    assert session.next_send(Pending(offered={"a": 3}), 14) is None
    assert session.next_send(Pending(offered={"a": 4}), 14) == Incremental(frozenset("a"))
    send(session, 15, full=True, a=3)
    finish(session, 15)
    assert session.next_send(Pending(offered={"a": 3}), 21) == Incremental(frozenset("a"))


def test_an_objection_is_asked_for_until_it_is_written_down() -> None:
    """Whatever ends the connection meanwhile: nobody would charge the vehicle again."""
    session = live_session()
    for now in (10, 11):
        send(session, now, full=False, a=3)
        session.receive(messages.Objection("bad plate"), now)
    session.disconnected()
    session.connected(12)
    (again,) = session.tick(13)
    assert again == Object({"a": 3}, "bad plate")
    assert isinstance(again, Object)
    session.objected(again)
    assert session.tick(14) == []


def test_a_full_refused_twice_is_not_sent_a_third_time() -> None:
    """A full that CityTrips objects to goes once more; then staff are told, and it waits for its time."""
    session = live_session()
    session.want_full()
    for again in (True, False):
        assert session.next_send(Pending(), 10) == Full()
        send(session, 10, full=True, a=1)
        told = [] if again else [Object({}, "?", fulls=True)]
        assert session.receive(messages.Objection("?"), 10) == told
        assert session.next_send(Pending(), 10) == (Full() if again else None)
    assert session.next_send(Pending(), 10 + FULL_EVERY) == Full()


def test_removals_go_by_a_full_at_most_every_half_minute() -> None:
    """The first vehicle to leave brings a full at once; those after it are gathered."""
    session = live_session()
    assert session.next_send(Pending(leaving={"a": 2}), 10) == Full()
    send(session, 10, full=True, absent={"a": 2})
    finish(session, 10)
    assert session.next_send(Pending(leaving={"b": 2}), 20) is None
    assert session.next_send(Pending(leaving={"b": 2}), 10 + REMOVAL_GAP) == Full()


def test_a_removal_under_way_asks_for_nothing_more() -> None:
    """A vehicle that a full has left out is not removed again while that full settles."""
    session = live_session()
    number = send(session, 10, full=True, absent={"a": 2})
    session.confirm(number, 10)
    assert session.next_send(Pending(leaving={"a": 2}), 100) is None
    assert session.next_send(Pending(leaving={"a": 3}), 100) == Full()


def test_a_hundred_unreadable_messages_a_minute_are_enough() -> None:
    """Rubbish is borne up to a hundred a minute; then the connection is closed."""
    session = live_session()
    spread = [session.receive(messages.Unreadable("?"), second) for second in range(0, 300, 1)]
    assert spread == [[]] * 300
    flood = [session.receive(messages.Unreadable("?"), 1000) for _ in range(101)]
    assert flood[:100] == [[]] * 100
    assert isinstance(flood[100][0], Close)


def test_other_commands_are_delivered() -> None:
    """A command that is no part of the protocol goes to its handler in every state."""
    session = Session(Timing(SETTLE, FULL_EVERY))
    session.connected(0)
    message = messages.OtherCommand("s_user/new", {})
    assert session.receive(message, 1) == [Deliver(message)]


def test_replies_go_before_vehicles_and_again_until_they_settle() -> None:
    """A reply in flight isn't sent twice; voided, it is; settled, it is done."""
    session = live_session()
    assert session.next_send(Pending(offered={"a": 2}, replies=[7, 8]), 1) == Replies((7, 8))
    number = session.begin(full=False, replies=[7, 8], now=1)
    assert number is not None
    session.written(number)
    assert session.next_send(Pending(replies=[7, 8, 9]), 2) == Replies((9,))
    session.receive(messages.MustAuthenticate(), 3)
    session.receive(messages.AuthenticationSucceeded(), 3)
    assert session.next_send(Pending(replies=[7]), 3) == Replies((7,))
    number = session.begin(full=False, replies=[7], now=3)
    assert number is not None
    session.written(number)
    session.confirm(number, 4)
    assert session.tick(4 + SETTLE) == [Settle(number, False, {}, {}, frozenset([7]))]


def test_a_reply_objected_to_twice_is_put_before_staff() -> None:
    """A reply that CityTrips refuses goes once more, and is then left alone until staff send it again."""
    session = live_session()
    for second in (False, True):
        number = session.begin(full=False, replies=[7], now=1)
        assert number is not None
        session.written(number)
        objected = [Object({}, "no", frozenset([7]))] if second else []
        assert session.receive(messages.Objection("no"), 2) == objected
    assert session.next_send(Pending(replies=[7]), 3) == Replies((7,)), "due again means that staff want it"


def test_an_incremental_has_its_limit() -> None:
    """More vehicles than one message may hold go in several, one after the other."""
    session = live_session()
    offered = {str(number): 1 for number in range(INCREMENTAL_LIMIT + 1)}
    first = session.next_send(Pending(offered), 1)
    assert isinstance(first, Incremental)
    assert len(first.ids) == INCREMENTAL_LIMIT
    send(session, 1, full=False, **dict.fromkeys(first.ids, 1))
    assert session.next_send(Pending(offered), 1) == Incremental(frozenset(offered) - first.ids)


def test_an_error_may_be_about_what_is_still_being_written() -> None:
    """Of several replies the first may be refused while the last is written; a full is judged when it has ended."""
    session = live_session()
    number = session.begin(full=False, replies=[7, 8], now=1)
    assert number is not None
    session.receive(messages.Objection("no"), 1)
    session.written(number)
    session.confirm(number, 1)
    assert session.tick(1 + SETTLE) == []
    assert session.next_send(Pending(replies=[7, 8]), 2) == Replies((7, 8))
    session.want_full()
    number = session.begin(full=True, now=3)
    assert number is not None
    session.receive(messages.Objection("no"), 3)
    session.written(number, versions={"a": 2})
    session.confirm(number, 3)
    assert session.tick(3 + SETTLE) == [Settle(number, True, {"a": 2}, {})]
