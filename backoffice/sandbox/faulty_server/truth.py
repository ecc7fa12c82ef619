"""What the server knows: what reached it, and what it holds."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; ``payload`` is kept of small messages, and never of an authentication."""

    number: int
    at: float
    connection: int
    kind: str
    command: str = ""
    size: int = 0
    vehicles: int = 0
    began: float = 0.0
    fragments: int = 0
    note: str = ""
    payload: object = None

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "payload"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the operator said of a user."""

    at: float
    connection: int
    command: str
    payload: Any


@dataclass(slots=True)
class Truth:
    """What reached the partner, and what it holds."""

    vehicles: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=100_000))
    replies: list[Answer] = field(default_factory=list)
    arrivals: list[tuple[str, int, float]] | None = None
    messages: Counter[str] = field(default_factory=Counter)
    number: int = 0
    connections: int = 0
    authentications: int = 0
    most_authenticated: int = 0
    dropped: int = 0
    bytes: int = 0
    pings: int = 0

    def add(self, connection: int, kind: str, **more: Any) -> None:
        self.number += 1
        self.events.append(Event(self.number, more.pop("at", None) or time.monotonic(), connection, kind, **more))

    def of(self, kind: str, command: str = "") -> list[Event]:
        """The events of a kind, and of a command where one is named."""
        return [
            event for event in list(self.events) if event.kind == kind and (event.command == command or not command)
        ]

    def received(self, command: str) -> list[Any]:
        """The payloads of the messages of a command, in order; None for large ones."""
        return [event.payload for event in self.of("message", command)]

    def clear(self) -> None:
        """Forget all but the vehicles."""
        self.events.clear()
        self.replies.clear()
        self.messages.clear()
        self.arrivals = None
        self.connections = self.authentications = self.most_authenticated = self.dropped = self.bytes = self.pings = 0
