"""What may be asked about people and their tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import Permission
from django.db.models import Q, QuerySet

from users.models import ApiToken, TermsVersion, User, email_key


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


def terms_in_force(at: datetime) -> TermsVersion | None:
    """The operator's terms at a moment; None where none had been written."""
    return TermsVersion.objects.filter(in_force_from__lte=at).order_by("-in_force_from").first()


def terms_until(at: datetime) -> Sequence[TermsVersion]:
    """Every version that has been in force, newest first; those of the future are nobody's business yet."""
    return list(TermsVersion.objects.filter(in_force_from__lte=at).order_by("-in_force_from"))


def terms_are_here() -> bool:
    """Whether the terms in force are this site's own page, rather than one that OPERATOR_TERMS_URL names elsewhere."""
    return bool(settings.OPERATOR_TERMS_URL.rstrip("/") == f"{settings.SITE_URL}/terms")
