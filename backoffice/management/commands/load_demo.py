"""``manage.py load_demo``: an invented fleet, people and itineraries to try the program with."""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from backoffice.citytrips.services import sync_request_create
from backoffice.demo import fleet, itineraries, login, people
from backoffice.first_run import write_private


class Command(BaseCommand):
    help = (
        "Loads 250 vehicles, eight people and four itineraries, all marked as invented and never sent to anything but "
        "the simulators. Run again, it adds what is missing and changes nothing else."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--remove", action="store_true", help="Remove what was loaded, and nothing else.")

    def handle(self, *args: Any, remove: bool, **options: Any) -> None:
        if remove:
            # Itineraries first: they name the people who made them.
            trips, vehicles, persons = itineraries.remove(), fleet.remove(), people.remove()
            login.password_file(settings.VAR_DIR).unlink(missing_ok=True)
            # A deleted row can no longer say that the partner still holds the vehicle; the next full list does.
            sync_request_create(full=True, seconds=3600)
            self.stdout.write(f"Removed {vehicles} vehicles, {persons} people and {trips} itineraries")
            return
        write_private(login.password_file(settings.VAR_DIR), secrets.token_urlsafe(9))
        password = login.password_file(settings.VAR_DIR).read_text().strip()
        persons = people.load(staff_password=password)
        vehicles, trips = fleet.load(), itineraries.load()
        self.stdout.write(f"Loaded {vehicles} vehicles, {persons} people and {trips} itineraries of the demo")
