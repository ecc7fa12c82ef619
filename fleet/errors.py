"""What can go wrong with the fleet, beside a value that a field refuses (Django's ``ValidationError``).

FleetError
├── StaleVehicle        the vehicle was changed by somebody else since it was read
├── NotUndoable         a change cannot be taken back: it is already, or the vehicle was changed since
├── UnreadableSource    nothing could be read from what was to be imported
├── TooManyRetired      an import would take too large a part of the fleet away
├── ImportUnderWay      the same source is being imported at this moment
└── NotApplicable       an import is not, or no longer, in a state to be applied, read again or discarded
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class FleetError(Exception):
    """The root: its text is meant to be shown."""


class StaleVehicle(FleetError):
    """Raised by an update that names the state it was made from, when the vehicle has moved on."""


class NotUndoable(FleetError):
    """Raised when a change is not to be taken back as it stands; nothing was changed.

    `contested` names the fields that were changed since; empty where there is nothing left to take back.
    """

    def __init__(self, message: str, contested: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.contested = contested


class UnreadableSource(FleetError):
    """Raised when a source as a whole cannot be read; a single bad row is reported, not raised.

    `found` (`fleet.sources.records.Found`) is what was found out of it all the same, such as its headings.
    """

    def __init__(self, message: str, found: Any = None) -> None:
        super().__init__(message)
        self.found = found


class TooManyRetired(FleetError):
    """Raised when more than a fifth of the fleet would be retired without being told to."""

    def __init__(self, message: str, retired: int, total: int) -> None:
        super().__init__(message)
        self.retired = retired
        self.total = total


class ImportUnderWay(FleetError):
    """Raised when another process holds the lock of a source."""


class NotApplicable(FleetError):
    """Raised when an import was applied or discarded already, or what was read of it is gone."""
