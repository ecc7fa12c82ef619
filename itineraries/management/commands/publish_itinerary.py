"""``manage.py publish_itinerary ID [ID …]``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from itineraries.errors import AlreadyPublished, ItineraryError, NotPublishable
from itineraries.models import Itinerary, Publication, PublicationState
from itineraries.publishing import publish


class Command(BaseCommand):
    help = (
        "Publish itineraries on Crusoe and print their addresses. What is published as it is now is not sent again. "
        "Status 0 if all are published, else 1."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ids", nargs="+", metavar="ID", help="the itinerary's id, as in its address")
        parser.add_argument(
            "--again", action="store_true", help="send also what is published as it is now, which makes a second page"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # Each is tried, though others fail.
        if not all([self._published(text, options["again"]) for text in options["ids"]]):
            raise SystemExit(1)

    def _published(self, text: str, again: bool) -> bool:
        try:
            attempt = self._publish(UUID(text), again)
        except ValueError:
            return self._failed(text, _("This is no id of an itinerary."))
        except Itinerary.DoesNotExist:
            return self._failed(text, _("There is no such itinerary."))
        except AlreadyPublished as error:
            self.stderr.write(f"{text}: {_('Published already as it is now; nothing was sent (--again sends it).')}")
            self.stdout.write(error.url)
            return True
        except NotPublishable as error:
            lines = [f"{problem.path}: {problem.message}" for problem in error.problems if problem.path]
            return self._failed(text, "\n  ".join([str(error), *lines]))
        except ItineraryError as error:
            return self._failed(text, str(error))
        if attempt.state != PublicationState.PUBLISHED:
            lines = [f"{problem.path}: {problem.message}" for problem in attempt.refusals]
            said = f"{attempt.get_state_display()}. {attempt.detail}"
            return self._failed(text, "\n  ".join([said, *lines]))
        self.stdout.write(attempt.url)
        return True

    def _publish(self, itinerary_id: UUID, again: bool) -> Publication:
        try:
            return publish(itinerary_id=itinerary_id, user=None)
        except AlreadyPublished as error:
            if not again:
                raise
            return publish(itinerary_id=itinerary_id, user=None, after=error.number)

    def _failed(self, text: str, reason: str) -> bool:
        self.stderr.write(f"{text}: {reason}")
        return False
