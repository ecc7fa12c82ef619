"""What goes wrong in the world."""

from __future__ import annotations


class Loss(AssertionError):
    """An update was lost, or written down as told though the partner never had it."""


class DatabaseDown(Exception):
    """The database does not answer."""


class LineEnded(Exception):
    """The connection is over, for this worker."""
