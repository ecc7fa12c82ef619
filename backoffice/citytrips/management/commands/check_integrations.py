"""``check_integrations``: whether both partners answer and accept our credentials."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.translation import gettext

from backoffice.citytrips import messages, selectors
from backoffice.citytrips.connection import open_connection, without_secrets
from backoffice.citytrips.errors import CityTripsError, MessageError
from backoffice.citytrips.session import ANSWER_TIME
from itineraries.publishing import probe


class Command(BaseCommand):
    help = (
        "Connects to CityTrips and authenticates, asks Crusoe, prints a table. Exit status: 0 both good, 1 otherwise."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        results = [("CityTrips", *self._citytrips()), ("Crusoe", *self._crusoe())]
        for name, good, detail in results:
            self.stdout.write(f"{name:<10} {gettext('ok') if good else gettext('failed'):<8} {detail}")
        if not all(good for _name, good, _detail in results):
            sys.exit(1)

    def _citytrips(self) -> tuple[bool, str]:
        if missing := selectors.missing_credentials():
            return False, gettext("Not set: %(variables)s") % {"variables": ", ".join(missing)}
        began = time.monotonic()
        try:
            answer = asyncio.run(_authenticate())
        except CityTripsError as wrong:
            return False, str(wrong)
        except TimeoutError:
            return False, gettext("No answer to the authentication within %(seconds)g s.") % {"seconds": ANSWER_TIME}
        if isinstance(answer, messages.AuthenticationFailed):
            return False, gettext("CityTrips refuses the credentials: %(reason)s") % {
                "reason": without_secrets(answer.reason) or "—"
            }
        words = gettext("Connected and authenticated in %(seconds).1f s.")
        return True, words % {"seconds": time.monotonic() - began}

    def _crusoe(self) -> tuple[bool, str]:
        found = probe()
        return found.ok, str(found.detail)


async def _authenticate() -> messages.AuthenticationSucceeded | messages.AuthenticationFailed:
    """Authenticate on a connection of its own; messages that are no answer to that are passed over."""
    async with (
        asyncio.timeout(ANSWER_TIME),
        open_connection(settings.CITYTRIPS_URL, ping_timeout=settings.CITYTRIPS_PING_TIMEOUT) as connection,
    ):
        await connection.send(messages.authenticate(settings.CITYTRIPS_CLIENT_ID, settings.CITYTRIPS_API_KEY))
        while True:
            try:
                message = messages.decode(await connection.receive())
            except MessageError:
                continue
            if isinstance(message, messages.AuthenticationSucceeded | messages.AuthenticationFailed):
                return message
