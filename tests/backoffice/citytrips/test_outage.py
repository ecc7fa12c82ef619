"""When a line that is away becomes news."""

from __future__ import annotations

import pytest

from backoffice.citytrips.exchange import State
from backoffice.citytrips.outage import LONG, News, Outage

AWAY = [State.WAITING, State.CONNECTING, State.AUTHENTICATING, State.REFUSED]


@pytest.mark.parametrize("state", AWAY)
def test_long_away_is_news_once(state: State) -> None:
    """Whatever it is doing, once it has not been live for long; and again only after it was live."""
    outage = Outage()
    assert outage.look(state, 100.0) is None
    assert outage.look(state, 100.0 + LONG - 1) is None
    assert outage.look(state, 100.0 + LONG) is News.LONG
    outage.told(News.LONG)
    assert outage.look(state, 100.0 + 3 * LONG) is None
    assert outage.look(State.LIVE, 100.0 + 3 * LONG) is News.OVER
    outage.told(News.OVER)
    assert outage.look(state, 100.0 + 4 * LONG) is None
    assert outage.look(state, 100.0 + 5 * LONG) is News.LONG


def test_what_could_not_be_written_down_is_news_again() -> None:
    """A database that was away when it happened hears of it at the next look."""
    outage = Outage()
    outage.look(State.WAITING, 0.0)
    assert outage.look(State.WAITING, LONG) is News.LONG
    assert outage.look(State.WAITING, LONG + 5) is News.LONG


def test_a_line_that_nobody_has_set_up_is_not_down() -> None:
    """Without credentials there is nothing to wait for, and the time begins with the first try."""
    outage = Outage()
    assert outage.look(State.UNCONFIGURED, 0.0) is None
    assert outage.look(State.UNCONFIGURED, 2 * LONG) is None
    assert outage.look(State.CONNECTING, 2 * LONG) is None
    assert outage.look(State.WAITING, 3 * LONG) is News.LONG
