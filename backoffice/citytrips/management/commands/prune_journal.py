"""``prune_journal``: drop what is old of the journal."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import ngettext

from backoffice.citytrips.services import journal_prune

LONGEST: Final = 36_500
"""Days; further back no calendar goes."""


class Command(BaseCommand):
    help = (
        "Drops messages of the journal that are older than so many days, and requests, replies and alerts that "
        "ended before. What is still open stays."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=30, help="how many days are kept (30)")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"]
        if not 1 <= days <= LONGEST:
            raise CommandError(f"--days takes a number from 1 to {LONGEST}")
        dropped = journal_prune(before=timezone.now() - timedelta(days=days))
        words = ngettext(
            "%(count)d row older than %(days)d days was dropped.",
            "%(count)d rows older than %(days)d days were dropped.",
            dropped,
        )
        self.stdout.write(words % {"count": dropped, "days": days})
