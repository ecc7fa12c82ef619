"""The one place that writes people and their tokens.

A value that cannot be taken raises Django's ``ValidationError`` with the field's name, an address that another person
has taken in the same moment included.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from axes.utils import reset as forget_failed_logins
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from users import identity_images
from users.models import (
    ApiToken,
    CityTripsApplication,
    IdentityImage,
    IdentityImageView,
    Review,
    Scope,
    TermsVersion,
    User,
    email_taken,
)

# By the prefix a token is recognised where it should not be: in a log, a repository, a chat.
TOKEN_PREFIX = "opb_"  # noqa: S105
EDITABLE = frozenset(
    {
        "username",
        "email",
        "first_name",
        "last_name",
        "national_id",
        "time_zone",
        "language",
        "is_active",
        "is_staff",
        "is_superuser",
    }
)


def user_save(*, user: User, fields: Iterable[str] | None = None) -> User:
    """Check and store a person whose attributes were set; with ``fields``, store only these."""
    user.full_clean(exclude=["email_key"])
    try:
        with transaction.atomic():
            user.save(update_fields=None if fields is None else {*fields})
    except IntegrityError as error:
        if user.email_key and User.objects.filter(email_key=user.email_key).exclude(pk=user.pk).exists():
            raise ValidationError({"email": email_taken()}) from error
        if User.objects.filter(username=user.username).exclude(pk=user.pk).exists():
            taken = ValidationError(_("Somebody else has this user name."), code="username_taken")
            raise ValidationError({"username": taken}) from error
        if user.national_id and User.objects.filter(national_id=user.national_id).exclude(pk=user.pk).exists():
            taken = ValidationError(_("Somebody else has this national id."), code="national_id_taken")
            raise ValidationError({"national_id": taken}) from error
        raise
    return user


@transaction.atomic
def user_create(
    *,
    username: str,
    email: str = "",
    password: str | None = None,
    first_name: str = "",
    last_name: str = "",
    national_id: str | None = None,
    time_zone: str = "",
    language: str = "",
    is_staff: bool = False,
    is_superuser: bool = False,
    is_demo: bool = False,
    groups: Iterable[str] = (),
) -> User:
    """Make a person. Without a password the account has one that nobody knows, and recovery gives it another.

    ``groups`` are names of groups that exist; an unknown one raises ``Group.DoesNotExist``.
    """
    user = User(
        username=username,
        email=email,
        first_name=first_name,
        last_name=last_name,
        national_id=national_id,
        time_zone=time_zone,
        language=language,
        is_staff=is_staff,
        is_superuser=is_superuser,
        is_demo=is_demo,
    )
    user.set_password(password)
    user_save(user=user)
    user.groups.set([Group.objects.get(name=name) for name in groups])
    return user


def user_update(*, user: User, values: Mapping[str, object]) -> User:
    """Change some of a person's fields (names as in ``EDITABLE``); others raise ``ValueError``."""
    if unknown := set(values) - EDITABLE:
        raise ValueError(f"not to be changed here: {', '.join(sorted(unknown))}")
    for name, value in values.items():
        setattr(user, name, value)
    return user_save(user=user, fields=values) if values else user


def user_unlock(*, user: User) -> None:
    """Forget the failed logins of a person, who has shown in another way who they are."""
    forget_failed_logins(username=user.get_username())


def token_digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def token_create(
    *, user: User, name: str, scope: str = Scope.ALL, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Make a token for a person; returns its row, and the token itself, which nothing can show again."""
    if not user.is_active:
        raise ValidationError(_("This account is blocked, and a token of it would not work."), code="blocked")
    if expires_at is not None and expires_at <= timezone.now():
        raise ValidationError({"expires_at": ValidationError(_("This moment has passed."), code="past")})
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(
        user=user,
        name=name,
        scope=scope,
        expires_at=expires_at,
        digest=token_digest(token),
        hint=token[: len(TOKEN_PREFIX) + 4],
    )
    row.full_clean()
    row.save()
    return row, token


def token_revoke(*, token: ApiToken, actor: User) -> ApiToken:
    """End a token for good; doing it twice keeps the first moment. Others' tokens are for superusers."""
    if token.user_id != actor.pk and not actor.is_superuser:
        raise PermissionDenied(_("Only its owner or a superuser may revoke a token."))
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())
    token.refresh_from_db()
    return token


def application_review(*, application: CityTripsApplication, actor: User) -> bool:
    """Note that somebody has dealt with a request of CityTrips; False where there was nothing left to deal with."""
    values = {"review": Review.DONE, "reviewed_by": actor, "reviewed_at": timezone.now()}
    return bool(CityTripsApplication.objects.filter(pk=application.pk, review=Review.OPEN).update(**values))


def image_view_note(*, image: IdentityImage, actor: User) -> IdentityImageView:
    """Keep that somebody looks at an identity image; to be written before it is shown."""
    return IdentityImageView.objects.create(image=image, by=actor, by_name=actor.get_username())


def terms_save(*, version: TermsVersion) -> TermsVersion:
    """Check and store a version of the terms; one that has begun stands as it is, and raises ``ValidationError``."""
    version.full_clean()
    begun = TermsVersion.objects.filter(pk=version.pk, in_force_from__lte=timezone.now())
    if version.pk is not None and begun.exists():
        raise ValidationError(_("This version is in force, or was: write a new one."), code="begun")
    version.save()
    return version


@dataclass
class Renewal:
    """How many identity images were encrypted anew, were so already, could not be opened, or were nobody's."""

    renewed: int = 0
    kept: int = 0
    unreadable: int = 0
    removed: int = 0


def images_renew() -> Renewal:
    """Encrypt every identity image with the first of IDENTITY_KEYS, and delete files that belong to nobody.

    Such a file is left where an account was not committed after all. One written within the last day is left alone: its
    row may not have been committed yet.
    """
    done = Renewal()
    yesterday = (timezone.now() - timedelta(days=1)).timestamp()
    old = set(identity_images.pictures_kept_before(yesterday))
    known = set(IdentityImage.objects.values_list("name", flat=True))
    for name in old - known:
        identity_images.picture_remove(name)
        done.removed += 1
    for name in sorted(known):
        try:
            if identity_images.picture_renew(name):
                done.renewed += 1
            else:
                done.kept += 1
        except identity_images.StorageError:
            done.unreadable += 1
    return done
