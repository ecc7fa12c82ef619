"""Whether the line has been away for so long that a person should know. No I/O."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from backoffice.citytrips.exchange import State

LONG: Final = 600.0
"""Seconds without being live."""


class News(Enum):
    """What has become true since the last look."""

    LONG = auto()
    OVER = auto()


class Outage:
    """How long the line has not been live, as its holder sees it; an earlier holder's time does not count."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._told: News | None = None

    def look(self, state: State, now: float) -> News | None:
        """Where the line stands at ``now``, in seconds of a clock that never goes back; what is new, until it is told."""
        if state is State.LIVE:
            self._since, news = None, News.OVER
        elif state is State.UNCONFIGURED:
            self._since, news = None, None
        else:
            self._since = now if self._since is None else self._since
            news = News.LONG if now - self._since >= LONG else None
        return None if news is self._told else news

    def told(self, news: News) -> None:
        """It has been written down."""
        self._told = news
