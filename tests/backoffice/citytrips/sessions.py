"""Sessions that are live, and what is sent on them."""

from __future__ import annotations

from backoffice.citytrips import messages
from backoffice.citytrips.exchange import Object, Settle, Timing
from backoffice.citytrips.session import Session

SETTLE = 5.0
FULL_EVERY = 900.0


def live_session(now: float = 0.0, full_every: float = FULL_EVERY) -> Session:
    """A session that is authenticated and whose first full has settled."""
    session = Session(Timing(SETTLE, full_every))
    session.connected(now)
    session.receive(messages.AuthenticationSucceeded(), now)
    send(session, now, full=True)
    finish(session, now)
    return session


def send(session: Session, now: float, *, full: bool, absent: dict[str, int] | None = None, **versions: int) -> int:
    number = session.begin(full=full, versions=None if full else versions, now=now)
    assert number is not None
    session.written(number, versions=versions, absent=absent)
    return number


def finish(session: Session, now: float) -> None:
    """Confirm and settle whatever is under way, and write down what was objected to."""
    session.confirm(session.last_number, now)
    for effect in session.tick(now + SETTLE):
        if isinstance(effect, Object):
            session.objected(effect)
            continue
        assert isinstance(effect, Settle)
        session.settled(effect.number)
