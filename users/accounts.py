"""Accounts for people whom CityTrips brings: ``s_user/new`` of its specification, section "Sub s_user/new".

``read`` understands a payload, ``link`` finds or makes the account. A person is known by the e-mail address or the national
id, as the operator holds them or as CityTrips sent them before. Where the two name two people nobody is linked, and staff
are asked. What the operator holds is never overwritten.

Errors: nothing that stands in a payload raises. :class:`AccountsBusy` means that others wrote the same account again and
again; the caller may try later.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac

from users import identity_images, selectors, services
from users.applications import Application, Flag, Refusal, read, sent_names
from users.models import (
    CityTripsAccount,
    CityTripsApplication,
    ErasedIdentity,
    IdentityImage,
    Obstacle,
    Origin,
    Outcome,
    Review,
    TermsVersion,
    User,
    email_key,
)

__all__ = ["AccountsBusy", "Application", "Linked", "Refusal", "erased_remember", "link", "read", "sent_names"]

log = logging.getLogger(__name__)

ATTEMPTS: Final = 16
"""How often a request looks again after another one was faster."""

# What is sent for it is the same word for all that staff decided: who asks learns nothing about the person.
_REASONS: Final = {
    Obstacle.STAFF: "this account cannot be used through CityTrips; the operator has been told",
    Obstacle.BLOCKED: "this account is closed; the person may ask the operator",
    Obstacle.ERASED: "this account is closed; the person may ask the operator",
    Obstacle.TWO_PEOPLE: "email and nif do not name one account; the operator has been told",
}
_NEED_STAFF: Final = (Obstacle.STAFF, Obstacle.TWO_PEOPLE)
_PLAIN_TYPED: Final = (
    "first_name",
    "last_name",
    "phone",
    "birth_date",
    "address",
    "zip_code",
    "city",
    "country",
    "licence_number",
    "licence_expires_on",
)
_WIRE_NAMES: Final = {
    "first_name": "firstname",
    "last_name": "lastname",
    "birth_date": "birthdate",
    "zip_code": "zipcode",
    "licence_number": "driver_license_number",
    "licence_expires_on": "license_expiration",
}


class AccountsBusy(Exception):
    """The account could not be settled against other requests for the same person; nothing was written."""


@dataclass(frozen=True, slots=True)
class Linked:
    """A person on whose behalf CityTrips may act.

    ``username`` is the account's own, ``email`` what CityTrips sent, by which it knows whom the answer is about: the
    address that the operator holds may be another, and is nobody's business. ``flags`` are ``property:code``.
    """

    user_id: int
    public_id: str
    username: str = field(repr=False)
    email: str = field(repr=False)
    created: bool
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """Whom a request means: nobody, one person, or two; and what stands in the way."""

    people: Sequence[User]
    obstacle: Obstacle = Obstacle.NONE
    by_email: bool = False


def link(application: Application, *, received_at: datetime) -> Linked | Refusal:
    """Find the person or make the account, mark it as CityTrips', and keep what was sent.

    To be called in a transaction, which the caller commits whatever comes back: a refusal too leaves a row for staff. The
    same request gets the same person, however many arrive at once: the database's constraints let one of them write, and
    the others look again.

    :raises AccountsBusy: others were faster `ATTEMPTS` times.
    """
    for _attempt in range(ATTEMPTS):
        try:
            with transaction.atomic():
                return _link(application, received_at)
        except (IntegrityError, DataError, ValidationError):
            # Somebody wrote the same address, id or name since we looked. Their texts quote the values.
            continue
    # Outside of the handler, so that no trace leads to an error that quotes the values.
    raise AccountsBusy(f"the account could not be settled in {ATTEMPTS} attempts")


def _link(application: Application, received_at: datetime) -> Linked | Refusal:
    found = _find(application)
    if found.obstacle:
        return _refuse(application, found, received_at)
    terms = selectors.terms_in_force(received_at)
    if not found.people:
        user, outcome, flags = _create(application), Outcome.CREATED, list[Flag]()
        account = None
    else:
        user = found.people[0]
        account = CityTripsAccount.objects.filter(user=user).first()
        outcome = Outcome.LINKED if account is None else Outcome.KNOWN
        flags = [] if found.by_email else [Flag("email", "matched_by_national_id")]
    if account is None:
        origin = Origin.CREATED if outcome == Outcome.CREATED else Origin.LINKED
        account = _mark(application, user, origin, received_at, terms, flags)
    else:
        _complete(application, account, flags)
    flags = [*application.flags, *flags]
    done = replace(application, flags=tuple(flags))
    row = _record(done, outcome, Obstacle.NONE, user, None, terms, received_at)
    # Each time: what could not be kept when the same request came before may be kept now.
    flags += _keep_pictures(application, account, received_at)
    if row.flags != (now := [str(flag) for flag in flags]):
        if len(now) > len(row.flags):
            row.review, row.reviewed_by, row.reviewed_at = Review.OPEN, None, None
        row.flags = now
        row.save(update_fields=["flags", "review", "reviewed_by", "reviewed_at"])
    return Linked(
        user_id=user.pk,
        public_id=str(user.public_id),
        username=user.username,
        email=application.email,
        created=outcome == Outcome.CREATED,
        flags=tuple(str(flag) for flag in flags),
    )


# --- Who it is -------------------------------------------------------------------------------------------------------


def _find(application: Application) -> _Found:
    """Whom the address and the id name; each found person is held until the transaction ends."""
    key, number = email_key(application.email), application.national_id
    ids = _named("email_key", key)
    others = [pk for pk in _named("national_id", number) if pk not in ids]
    # Held in one order, so that two requests never wait for each other.
    held = {
        one.pk: one for one in User.objects.select_for_update(no_key=True).filter(pk__in=[*ids, *others]).order_by("pk")
    }
    people = [held[pk] for pk in (*ids, *others) if pk in held]
    if not people:
        digests = _erased_digests(key, number)
        erased = ErasedIdentity.objects.filter(digest__in=digests).exists()
        return _Found([], Obstacle.ERASED if erased else Obstacle.NONE)
    if any(person.is_staff or person.is_superuser for person in people):
        return _Found(people, Obstacle.STAFF)
    if len(people) > 1:
        return _Found(people, Obstacle.TWO_PEOPLE)
    if not people[0].is_active:
        return _Found(people, Obstacle.BLOCKED)
    return _Found(people, by_email=bool(ids))


def _named(column: str, value: str | None) -> list[int]:
    """Whom a value names, as the operator holds it or as CityTrips sent it: nobody, one person, or two."""
    if not value:
        return []
    own = User.objects.filter(**{column: value}).values_list("pk", flat=True)
    sent = CityTripsAccount.objects.filter(**{column: value}).values_list("user_id", flat=True)
    return [*dict.fromkeys([*own, *sent])]


def _erased_digests(key: str | None, number: str | None) -> list[str]:
    known = [f"email:{key}" if key else "", f"national_id:{number}" if number else ""]
    return [salted_hmac("users.erased", text, algorithm="sha256").hexdigest() for text in known if text]


def erased_remember(*, user: User, at: datetime | None = None) -> None:
    """Remember that this person's data are erased, by digests of their addresses and ids; call it before erasing them.

    From then on ``link`` refuses whoever comes with one of these.
    """
    account = CityTripsAccount.objects.filter(user=user).first()
    pairs = [(user.email_key, user.national_id)]
    if account is not None:
        pairs.append((account.email_key, account.national_id))
    digests = {digest for pair in pairs for digest in _erased_digests(*pair)}
    rows = [ErasedIdentity(digest=digest, erased_at=at or timezone.now()) for digest in sorted(digests)]
    ErasedIdentity.objects.bulk_create(rows, ignore_conflicts=True)


def _refuse(application: Application, found: _Found, received_at: datetime) -> Refusal:
    first = found.people[0] if found.people else None
    second = found.people[1] if len(found.people) > 1 else None
    _record(application, Outcome.REFUSED, found.obstacle, first, second, None, received_at)
    return Refusal(
        reason=_REASONS[found.obstacle],
        username=application.username,
        email=application.email,
        needs_staff=found.obstacle in _NEED_STAFF,
        user_id=first.pk if first else None,
    )


# --- The account -----------------------------------------------------------------------------------------------------


def _create(application: Application) -> User:
    """A person without rights and without a password that anybody knows; recovery by mail gives them one."""
    return services.user_create(
        username=_free_username(application),
        email=application.email,
        first_name=application.first_name,
        last_name=application.last_name,
    )


def _free_username(application: Application) -> str:
    """What CityTrips sent, without what no user name may hold; with a number behind it where it is taken."""
    wanted = unicodedata.normalize("NFKC", application.username or application.email.partition("@")[0])
    base = re.sub(r"[^\w.@+-]+", "_", wanted).strip("_")[:130] or "citytrips"
    choices = [base, *(f"{base}-{number}" for number in range(2, 10))]
    taken = set(User.objects.filter(username__in=choices).values_list("username", flat=True))
    return next((name for name in choices if name not in taken), f"{base}-{secrets.token_hex(6)}")


def _mark(
    application: Application,
    user: User,
    origin: Origin,
    received_at: datetime,
    terms: TermsVersion | None,
    flags: list[Flag],
) -> CityTripsAccount:
    number = application.national_id
    if number and user.national_id and user.national_id != number:
        # Beside the operator's own it is no proof: kept with the request, and nobody is matched by it.
        flags.append(Flag("nif", "differs"))
        number = None
    return CityTripsAccount.objects.create(
        user=user,
        origin=origin,
        linked_at=received_at,
        email=application.email,
        email_key=email_key(application.email) or "",
        national_id=number,
        terms_accepted_at=received_at,
        terms_version=terms,
        terms_url=settings.OPERATOR_TERMS_URL[:500],
        **{name: getattr(application, name) for name in _PLAIN_TYPED},
    )


def _complete(application: Application, account: CityTripsAccount, flags: list[Flag]) -> None:
    """Fill in what an earlier request left empty; what differs from it stays as it is, and is flagged."""
    filled = []
    for name in (*_PLAIN_TYPED, "national_id"):
        new, old = getattr(application, name), getattr(account, name)
        if not new or new == old:
            continue
        held = account.user.national_id if name == "national_id" else None
        if old or (held and held != new):
            flags.append(Flag("nif" if name == "national_id" else _WIRE_NAMES.get(name, name), "differs"))
        else:
            setattr(account, name, new)
            filled.append(name)
    if filled:
        account.save(update_fields=filled)


# --- What is kept ----------------------------------------------------------------------------------------------------


def _record(
    application: Application,
    outcome: Outcome,
    obstacle: Obstacle,
    user: User | None,
    other: User | None,
    terms: TermsVersion | None,
    received_at: datetime,
) -> CityTripsApplication:
    """The row of this request with this outcome; the same one again is counted."""
    flags = [str(flag) for flag in application.flags]
    same = [application.digest, outcome, obstacle, user and user.pk, other and other.pk, terms and terms.pk, flags]
    digest = hashlib.sha256(json.dumps(same).encode()).hexdigest()
    again = {"times": F("times") + 1, "last_at": received_at}
    if CityTripsApplication.objects.filter(digest=digest).update(**again):
        return CityTripsApplication.objects.get(digest=digest)
    needs_people = bool(flags) or obstacle in _NEED_STAFF
    return CityTripsApplication.objects.create(
        digest=digest,
        received_at=received_at,
        last_at=received_at,
        outcome=outcome,
        obstacle=obstacle,
        flags=flags,
        sent=dict(application.sent),
        email=application.email,
        user=user,
        other_user=other,
        terms_version=terms,
        review=Review.OPEN if needs_people else Review.NOTHING,
    )


def _keep_pictures(application: Application, account: CityTripsAccount, received_at: datetime) -> list[Flag]:
    """Store the pictures that are not kept yet; a flag for each that cannot be."""
    if not application.pictures:
        return []
    flags, kept = [], set(account.images.values_list("kind", "sha256"))
    for kind, picture in application.pictures.items():
        if (kind, picture.sha256) in kept:
            continue
        try:
            name = identity_images.picture_keep(picture)
        except identity_images.StorageError as error:
            log.warning("An identity image of account %s is not kept: %s", account.user.public_id, error)
            flags.append(Flag(kind, "not_kept"))
            continue
        IdentityImage.objects.create(
            account=account,
            kind=kind,
            format=picture.format,
            name=name,
            sha256=picture.sha256,
            size=len(picture.data),
            width=picture.width,
            height=picture.height,
            received_at=received_at,
        )
    return flags
