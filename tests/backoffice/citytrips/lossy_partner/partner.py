"""CityTrips' side: what it takes, what it does wrong, and what it was ever told."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from backoffice.citytrips import messages
from backoffice.citytrips.exchange import Settle
from tests.backoffice.citytrips.lossy_partner.clock import Order
from tests.backoffice.citytrips.lossy_partner.network import Connection, Fate, Frame, Kind, Pong

if TYPE_CHECKING:
    from tests.backoffice.citytrips.lossy_partner.world import World


class Verdict(StrEnum):
    """What the partner does with a message, other than take it."""

    REFUSE = "refuse"
    TAKE_HALF = "take-half"
    TAKE_AND_OBJECT = "take-and-object"
    DROP = "drop"


VERDICTS = {
    Verdict.REFUSE: "messages refused",
    Verdict.TAKE_HALF: "messages taken by half and refused",
    Verdict.TAKE_AND_OBJECT: "messages taken and objected to",
}


class Partner:
    """CityTrips' side: its list of vehicles, the replies that it has read, and what it's about to do wrong."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.held: dict[str, int] = {}
        self.replies: set[int] = set()
        self.greets = False
        self.verdicts: deque[Verdict] = deque()
        self.mute = 0
        self.refuses_key = 0
        self.twice = False
        self.too_large_until = 0.0
        self.takes_at_most = 0
        self.hole = False
        self.replies_dropped: set[int] = set()
        # The highest version of each vehicle that it has ever been told, and that it has dropped without a word.
        self._told: dict[str, int] = {}
        self._dropped: dict[str, int] = {}
        self._acts_at = 0.0

    # --- What arrives ---

    def arrive(self, connection: Connection, frame: Frame) -> None:
        if not connection.open:
            return
        if frame.kind is Kind.PING:
            connection.answer(Pong(frame.number))
            return
        now = self._world.clock.now
        self._acts_at = max(self._acts_at, now + self._world.delay(self._world.acting))
        if self._acts_at <= now:
            self._act(connection, frame)
        else:
            self._world.clock.at(self._acts_at, self._act, connection, frame, order=Order.ARRIVAL)

    def _act(self, connection: Connection, frame: Frame) -> None:
        if not connection.open:
            return
        if frame.kind is Kind.AUTHENTICATE:
            self._authenticate(connection)
        elif not connection.authenticated:
            frame.fate = Fate.NOT_TAKEN
            connection.answer(messages.MustAuthenticate(), frame)
        elif self._world.clock.now < self.too_large_until and len(frame.versions) > self.takes_at_most:
            connection.break_off(0.0, 1009)
        else:
            self._judge(connection, frame, self.verdicts.popleft() if self.verdicts else None)

    def _authenticate(self, connection: Connection) -> None:
        if self.mute:
            self.mute -= 1
        elif self.refuses_key:
            self.refuses_key -= 1
            connection.answer(messages.AuthenticationFailed("no"))
        else:
            connection.authenticated = True
            for _ in range(2 if self.twice else 1):
                connection.answer(messages.AuthenticationSucceeded())

    def _judge(self, connection: Connection, frame: Frame, verdict: Verdict | None) -> None:
        if verdict is Verdict.DROP:
            self.lose_silently(frame)
            return
        if verdict is None or verdict is Verdict.TAKE_AND_OBJECT:
            self._take(frame)
        else:
            frame.fate = Fate.NOT_TAKEN
            if verdict is Verdict.TAKE_HALF:
                half = dict(list(frame.versions.items())[::2])
                self.held |= half
                self._learn(half)
        if verdict is not None:
            self._world.counts[VERDICTS[verdict]] += 1
            connection.answer(messages.Objection("no"), frame)

    def _take(self, frame: Frame) -> None:
        frame.fate = Fate.TAKEN
        if frame.kind is Kind.FULL:
            self.held = dict(frame.versions)
            self.hole = False
        elif frame.kind is Kind.INCREMENTAL:
            self.held |= frame.versions
        else:
            self.replies.add(frame.reply)
        self._learn(frame.versions)
        self._learn(frame.gone)

    def _learn(self, versions: Mapping[str, int]) -> None:
        for vehicle, version in versions.items():
            self._told[vehicle] = max(version, self._told.get(vehicle, 0))

    def lose_silently(self, frame: Frame) -> None:
        """A message whose pong arrives, or has, is lost, and nothing tells."""
        frame.fate = Fate.NOT_TAKEN
        self._world.counts["silent drops"] += 1
        self.hole = True
        if frame.kind is Kind.REPLY:
            self.replies_dropped.add(frame.reply)
        for versions in (frame.versions, frame.gone):
            for vehicle, version in versions.items():
                self._dropped[vehicle] = max(version, self._dropped.get(vehicle, 0))

    # --- What must hold at every step ---

    def check_had(self, effect: Settle) -> None:
        """What is written down as told, the partner was told, or has lost it without a word."""
        for versions in (effect.versions, effect.absent):
            for vehicle, version in versions.items():
                if max(self._told.get(vehicle, 0), self._dropped.get(vehicle, 0)) < version:
                    self._world.claim(f"{vehicle} at version {version} is written down, and was never told")
        for reply in effect.replies - self.replies - self.replies_dropped:
            self._world.claim(f"reply {reply} is written down, and was never told")

    def check_never_had(self, versions: Mapping[str, int]) -> None:
        """A vehicle whose change settles without a send is none that the partner holds, unless it dropped the removal."""
        for vehicle in versions:
            if vehicle in self.held and not self.hole:
                self._world.claim(f"{vehicle} is held, and counts as never sent")
