"""What may be asked about people and their tokens."""

from __future__ import annotations

import unicodedata

from django.contrib.auth.models import Permission
from django.db.models import Q, QuerySet

from users.models import ApiToken, User, email_key


def user_by_email(email: str) -> User | None:
    """The person with this address, compared without regard to case; None for nobody and for an empty address."""
    key = email_key(email)
    return User.objects.filter(email_key=key).first() if key else None


def user_by_login(name: str) -> User | None:
    """Whom a login's name means, in one query: the owner of that e-mail address, else the user name, written exactly.

    The address goes first, so that nobody takes over another's login by choosing that person's address as a name.
    """
    key = email_key(name)
    username = unicodedata.normalize("NFKC", name)
    found = User.objects.filter(Q(username=username) | Q(email_key=key, email_key__isnull=False))
    return min(found, key=lambda person: person.email_key != key, default=None)


def tokens_of(user: User) -> QuerySet[ApiToken]:
    """A person's tokens that were not revoked, newest first."""
    return ApiToken.objects.filter(user=user, revoked_at=None)


def may_manage(*, actor: User, person: User) -> bool:
    """Whether ``actor``, who may change people, may change this one.

    Whoever can change a person's e-mail address can become that person by recovering the password. So nobody manages
    a superuser without being one, nor a person who holds a permission that the actor lacks, active or not.
    """
    if actor.is_superuser:
        return True
    if person.is_superuser:
        return False
    held = Permission.objects.filter(Q(group__user=person) | Q(user=person))
    own = Permission.objects.filter(Q(group__user=actor) | Q(user=actor))
    return not held.exclude(pk__in=own.values("pk")).exists()
