"""The fleet in the admin: lists and forms for staff; every write goes through the services."""

from fleet.admin import changes, rules, vehicles

__all__ = ["changes", "rules", "vehicles"]
