"""What the server is told to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from backoffice.sandbox import citytrips_contract as contract


@dataclass(slots=True)
class Script:
    """The faults that last until they are taken back."""

    connect: Literal["answer", "refuse", "redirect", "silence", "reset", "close"] = "answer"
    """What a connection meets: an answer; an HTTP ``status``; a redirect to ``redirect_to``; nothing at all; an RST before
    the handshake; or a close with ``close_code`` right after it."""
    status: int = 503
    redirect_to: str = ""
    close_code: int = 1000
    authentication: Literal["accept", "refuse", "ignore"] = "accept"
    """The answer to ``s_ext/authenticate``. A client id or key other than these two is refused in any case."""
    client_id: str = ""
    api_key: str = ""
    asks_for_full: bool = True
    """Whether a ``full_request`` follows each authentication."""
    read_rate: int | None = None
    """Bytes read a second; None: as they come."""
    limit: int | None = None
    """Bytes of a message above which the connection is closed with 1009, once the header has told."""
    lingers: bool = False
    """Whether the connection stays open for a while after that, as some servers leave it."""
    pongs: Literal["send", "withhold"] = "send"
    drops: bool = False
    """Whether vehicles are thrown away when they arrive, though pings are still answered."""
    reset_after: int | None = None
    """Bytes of one connection after which it is broken off with RST."""


@dataclass(slots=True)
class Rule:
    """What happens as a message arrives: the first ``skip`` that fit pass, and the next ``times`` are caught (0: all)."""

    command: str = ""
    """Of this command; empty: a full or an incremental."""
    vehicle: str = ""
    """Only if it carries the vehicle of this id."""
    skip: int = 0
    times: int = 1
    drops: bool = False
    """Whether the message is thrown away instead of being acted on."""
    then: dict[str, Any] = field(default_factory=dict)
    """A fault at once, as in the control, on this connection: ``{"do": "error", "reason": "no"}``."""
    seen: int = 0

    def catches(self, command: str, payload: object) -> bool:
        """Whether it is this message's turn; counts it."""
        if command != self.command if self.command else command not in (contract.FULL, contract.INCREMENTAL):
            return False
        if self.vehicle and not (isinstance(payload, list) and any(_id(row) == self.vehicle for row in payload)):
            return False
        self.seen += 1
        return self.seen > self.skip and not (self.times and self.seen > self.skip + self.times)


def _id(row: object) -> object:
    return row.get("id") if isinstance(row, dict) else None
