"""How an exchange with Crusoe can fail to give an answer.

CrusoeError
├── NothingSent        no connection was made, so nothing can have arrived
│   └── TlsFailed      the certificate or the encryption; trying again would not help
└── NoAnswer           the request may have arrived, and what became of it is unknown
    └── DeadlineReached

Their reasons are for people, and hold neither the key nor the password.
"""

from __future__ import annotations

from itineraries.reasons import Reason


class CrusoeError(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class NothingSent(CrusoeError):
    """``passing`` tells whether another try may succeed at once."""

    def __init__(self, reason: Reason, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


class TlsFailed(NothingSent):
    pass


class NoAnswer(CrusoeError):
    pass


class DeadlineReached(NoAnswer):
    pass
