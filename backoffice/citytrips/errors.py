"""What can go wrong on the line to CityTrips.

::

    CityTripsError
    ├── MessageError            a message is not what the specification says; names the field
    ├── Retryable               tried again by itself, after a pause
    │   ├── ConnectionFailed    no connection came about
    │   ├── ConnectionLost      an open connection ended; carries the close code
    │   └── LeaseLost           another worker may hold the line now: nothing more may be sent or acknowledged
    └── Refused                 CityTrips does not accept the credentials: tried again rarely, somebody has to act

Their texts are shown to staff and written to logs: they hold no key and no personal data.
"""

from __future__ import annotations


class CityTripsError(Exception):
    """Anything that goes wrong on the line."""


class MessageError(CityTripsError):
    """A message, or a value meant for one, breaks the specification.

    ``field`` is the path of what is wrong, such as ``command`` or ``payload.location.latitude``; empty for the whole.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class Retryable(CityTripsError):
    """Passes, or may pass, by itself."""


class ConnectionFailed(Retryable):
    """The connection could not be opened."""


class ConnectionLost(Retryable):
    """An open connection ended. ``code`` is the close code of RFC 6455, or None where the line broke.

    ``ours`` tells the closes that came from here from those of CityTrips.
    """

    TOO_LARGE = 1009

    def __init__(self, reason: str, code: int | None = None, *, ours: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.ours = ours


class LeaseLost(Retryable):
    """This worker may no longer act for the line."""


class Refused(CityTripsError):
    """CityTrips answered ``s_ext/auth_error``: stays wrong until somebody acts."""
