"""What can go wrong with the fleet, beside a value that a field refuses (Django's ``ValidationError``).

FleetError
├── StaleVehicle        the vehicle was changed by somebody else since it was read
├── UnreadableSource    nothing could be read from what was to be imported
└── TooManyRetired      an import would take too large a part of the fleet away
"""

from __future__ import annotations


class FleetError(Exception):
    """The root: its text is meant to be shown."""


class StaleVehicle(FleetError):
    """Raised by an update that names the state it was made from, when the vehicle has moved on."""


class UnreadableSource(FleetError):
    """Raised when a source as a whole cannot be read; a single bad row is reported, not raised."""


class TooManyRetired(FleetError):
    """Raised when more than a fifth of the fleet would be retired without being told to."""

    def __init__(self, message: str, retired: int, total: int) -> None:
        super().__init__(message)
        self.retired = retired
        self.total = total
