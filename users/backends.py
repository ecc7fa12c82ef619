"""Whom a login's name means, for Django's login and for the counting of failed ones."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from users.models import User, email_key
from users.selectors import user_by_login


class UsernameOrEmailBackend(ModelBackend):
    """Logs in by e-mail address, in any case, or by user name.

    A name that nobody has takes as long as a wrong password: one query and one password hash.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if username is None or password is None:
            return None
        user = user_by_login(username)
        if user is None:
            User().set_password(password)
            return None
        if user.check_password(password) and self.user_can_authenticate(user):
            return user
        return None

    async def aauthenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        return await sync_to_async(self.authenticate)(request, username=username, password=password, **kwargs)


def attempted_account(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """The name that a failed login counts against (django-axes' ``AXES_USERNAME_CALLABLE``).

    All spellings of one account count together; else each spelling of an address would give five more guesses.
    A name that nobody has is counted by its folded form and locked out alike, so that a lock-out tells nothing.
    """
    name = (credentials or request.POST).get("username") or ""
    user = user_by_login(name)
    return user.get_username() if user else (email_key(name) or "")[:255]
