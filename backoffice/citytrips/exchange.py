"""What a session and its caller tell each other: where the line stands, what is to be done, what is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from backoffice.citytrips import messages


class State(StrEnum):
    """Where the line stands. A session knows ``CONNECTING`` to ``REFUSED``; the worker adds the others."""

    UNCONFIGURED = "unconfigured"
    WAITING = "waiting"
    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    LIVE = "live"
    REFUSED = "refused"
    STANDBY = "standby"


# --- What the caller is asked to do ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Send ``s_ext/authenticate`` now."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The line's state is another one now."""

    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; the next one is the caller's business."""

    reason: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Settle:
    """Write down that CityTrips has what send ``number`` carried, then tell the session that it has settled.

    ``versions`` are the vehicles it carried; ``absent`` those that a full left out, and CityTrips therefore dropped. One
    that a later send brought back has a higher version by then, and counts as held.
    """

    number: int
    full: bool
    versions: Mapping[str, int]
    absent: Mapping[str, int]
    replies: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Object:
    """CityTrips objected repeatedly to these versions and replies, or to fulls; they are not sent again as they are.

    To be written down, and then told to the session. Of fulls the next is the one that a removal or the time brings.
    """

    versions: Mapping[str, int]
    reason: str
    replies: frozenset[int] = frozenset()
    fulls: bool = False


@dataclass(frozen=True, slots=True)
class Deliver:
    """A command that is no part of this protocol, for its handler."""

    message: messages.OtherCommand


Effect = Authenticate | Changed | Close | Settle | Object | Deliver


# --- What the caller knows and gets ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pending:
    """What CityTrips has not seen.

    Versions by vehicle, of those offered and of those it holds but should not; and the replies that are due, by id, the
    oldest first.
    """

    offered: Mapping[str, int] = field(default_factory=dict)
    leaving: Mapping[str, int] = field(default_factory=dict)
    replies: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Full:
    """Collect every vehicle offered and send them."""


@dataclass(frozen=True, slots=True)
class TellAgain:
    """CityTrips takes no full: begin to make all pending once more that incrementals may carry, so that they tell it."""


@dataclass(frozen=True, slots=True)
class Incremental:
    """Collect these vehicles and send those that are offered."""

    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Replies:
    """Collect these replies and send them, one message each."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: until a confirmed send settles, and between fulls that nobody asked for (0: never)."""

    settle: float
    full_every: float
