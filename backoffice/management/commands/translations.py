"""``manage.py translations``: collect every string into the catalogues, and compile them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from backoffice import translations


class Command(BaseCommand):
    help = "Collects the strings of the code and the templates into locale/, and compiles the catalogues."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--compile-only", action="store_true", help="Leave the .po files as they are.")

    def handle(self, *args: Any, compile_only: bool, **options: Any) -> None:
        if not compile_only:
            for language, _name in settings.LANGUAGES:
                if language == "en":  # the sources themselves are English
                    continue
                catalogue = translations.update(language)
                missing = sum(1 for message in catalogue if message.id and not message.string)
                self.stdout.write(f"{language}: {len(catalogue)} strings, {missing} without a translation")
        for path in translations.compile_catalogues():
            self.stdout.write(f"Compiled {path.relative_to(settings.BASE_DIR)}")
