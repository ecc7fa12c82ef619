"""``manage.py prepare``: everything between an installed program and one that can be started."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

from backoffice import translations
from backoffice.demo import login


class Command(BaseCommand):
    help = (
        "Migrates the database, compiles the translations, collects static files, and, while the simulators are on, "
        "loads the demo data into a database that has no people yet."
    )

    # Made at the end: before, they would miss what this command is about to make.
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        translations.compile_catalogues()
        call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
        call_command("collectstatic", verbosity=0, interactive=False, skip_checks=True)
        self.check(include_deployment_checks=False)
        if settings.SANDBOX and not get_user_model().objects.exists():
            call_command("load_demo", stdout=self.stdout)
        if staff_login := login.staff_login(settings.VAR_DIR):
            name, password = staff_login
            self.stdout.write(f"Sign in at {settings.SITE_URL}/ as {name} with the password {password}")
        elif not get_user_model().objects.filter(is_staff=True, is_active=True).exists():
            self.stdout.write("Nobody can sign in yet: make an account by `.venv/bin/python manage.py createsuperuser`")
