"""``manage.py create_token``: a token for a program, printed once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from users.models import Scope
from users.selectors import user_by_login
from users.services import token_create


class Command(BaseCommand):
    help = (
        "Prints a new API token of a person, once: it is stored as a hash only. Nothing but the token goes to standard "
        "output."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="The person's user name or e-mail address.")
        parser.add_argument(
            "--scope", choices=Scope.values, default=Scope.ALL.value, help="What it may be used for (default: all)."
        )
        parser.add_argument(
            "--expires", type=int, metavar="DAYS", help="Days from now, 1 to 3650 (default: until it is revoked)."
        )

    def handle(self, *args: Any, username: str, scope: str, expires: int | None, **options: Any) -> None:
        if expires is not None and not 1 <= expires <= 3650:
            raise CommandError("--expires takes a number of days from 1 to 3650")
        user = user_by_login(username)
        if user is None:
            raise CommandError(f"Nobody has the user name or e-mail address {username}")
        expires_at = timezone.now() + timedelta(days=expires) if expires is not None else None
        try:
            row, token = token_create(user=user, name="create_token", scope=scope, expires_at=expires_at)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(token)
        until = f"until {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at else "until it is revoked"
        self.stderr.write(f"For {user.get_username()}, scope {row.scope}, {until}. It is not shown again.")
