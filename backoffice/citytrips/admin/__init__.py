"""The line in the admin: what goes over it, to be looked at, and what staff may ask of it."""

from backoffice.citytrips.admin import alerts, journal, line, pauses, replies

__all__ = ["alerts", "journal", "line", "pauses", "replies"]
