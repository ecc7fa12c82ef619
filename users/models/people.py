"""People: who may log in, and how their e-mail addresses are compared."""

from __future__ import annotations

import unicodedata
import uuid
import zoneinfo
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from users.models.fields import NationalIdField


def email_key(email: str) -> str | None:
    """The form in which two e-mail addresses are compared: without regard to case, in any script; None for none.

    Folded in Python, since SQLite's ``lower()`` knows ASCII only. Letters that only look alike stay apart: the Turkish
    dotless ``ı`` is no ``i``. Folding a folded address changes nothing.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email).casefold()).strip()
    return folded or None


@cache
def time_zones() -> frozenset[str]:
    """The names of the IANA zones; read once, since the reading walks through hundreds of files."""
    return frozenset(zoneinfo.available_timezones())


def validate_time_zone(name: str) -> None:
    if name not in time_zones():
        raise ValidationError(_("Not an IANA time zone, such as Europe/Madrid."), code="time_zone")


class UserQuerySet(models.QuerySet["User"]):
    """Keeps ``email_key`` true where rows are written past ``User.save()``."""

    def update(self, **values: Any) -> int:
        """As Django's; an e-mail address must be given as text, since its key cannot be computed by the database."""
        if "email" in values and not (hasattr(values["email"], "resolve_expression") and "email_key" in values):
            if not isinstance(values["email"], str):
                raise TypeError("update(email=…) takes text: the key it is compared by is computed in Python")
            values["email_key"] = email_key(values["email"])
        return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(
        self,
        objs: Iterable[User],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[User]:
        people = list(objs)
        for person in people:
            person.email_key = email_key(person.email)
        if update_fields is not None and "email" in update_fields:
            update_fields = [*dict.fromkeys([*update_fields, "email_key"])]
        return super().bulk_create(people, batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields)

    def bulk_update(self, objs: Iterable[User], fields: Iterable[str], batch_size: int | None = None) -> int:
        people, fields = list(objs), list(fields)
        if "email" in fields:
            for person in people:
                person.email_key = email_key(person.email)
            fields = [*dict.fromkeys([*fields, "email_key"])]
        return super().bulk_update(people, fields, batch_size)

    bulk_update.alters_data = True  # type: ignore[attr-defined]


class UserManager(DjangoUserManager.from_queryset(UserQuerySet)):  # type: ignore[misc]
    """Django's own, with the query set above; an address that is taken is a ValidationError as any other mistake."""

    use_in_migrations = False

    def _create_user(self, username: str, email: str | None, password: str | None, **fields: Any) -> User:
        key = email_key(email or "")
        if key and self.filter(email_key=key).exists():
            raise ValidationError({"email": email_taken()})
        person: User = super()._create_user(username, email, password, **fields)
        return person

    # Django's async twin has code of its own, which knows neither the check above nor the name below.
    async def _acreate_user(self, username: str, email: str | None, password: str | None, **fields: Any) -> User:
        return await sync_to_async(self._create_user)(username, email, password, **fields)


def email_taken() -> ValidationError:
    return ValidationError(_("Somebody else has this e-mail address."), code="email_taken")


class User(AbstractUser):
    """A person: staff, or an account that CityTrips' users rent with.

    ``email_key`` follows ``email`` in every way of saving but raw SQL and an ``F()`` expression, which is refused; the
    database keeps it unique and never empty beside an address.
    """

    public_id = models.UUIDField(_("public id"), default=uuid.uuid4, unique=True, editable=False)
    email = models.EmailField(_("e-mail address"), blank=True)
    # Null for none: unique columns take any number of nulls, and one empty text.
    email_key = models.CharField(max_length=320, null=True, unique=True, editable=False)  # noqa: DJ001
    national_id = NationalIdField(
        _("national id"),
        help_text=_("DNI, NIE, RUT or another country's. Requests of CityTrips are matched by it."),
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        validators=[validate_time_zone],
        help_text=_("Times are shown in it. Empty: the site's own zone."),
    )
    language = models.CharField(
        _("language"),
        max_length=8,
        blank=True,
        choices=settings.LANGUAGES,
        help_text=_("Empty: the browser's language."),
    )
    is_demo = models.BooleanField(
        _("demo"), default=False, editable=False, help_text=_("Invented by load_demo, and removed with it.")
    )

    objects: ClassVar[UserManager] = UserManager()

    class Meta(AbstractUser.Meta):
        verbose_name = _("person")  # type: ignore[assignment]
        verbose_name_plural = _("people")  # type: ignore[assignment]
        constraints = [
            models.CheckConstraint(
                name="users_user_email_key_beside_email",
                condition=models.Q(email="", email_key=None)
                | (~models.Q(email="") & models.Q(email_key__isnull=False) & ~models.Q(email_key="")),
            ),
        ]

    def clean(self) -> None:
        super().clean()
        self.email = self.email.strip()
        self.email_key = email_key(self.email)
        if self.email_key is None:
            return
        if len(self.email_key) > 320:
            raise ValidationError({"email": ValidationError(_("The e-mail address is too long."), code="too_long")})
        if User.objects.filter(email_key=self.email_key).exclude(pk=self.pk).exists():
            raise ValidationError({"email": email_taken()})

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        if update_fields is not None:
            update_fields = {*update_fields}
        if update_fields is None or "email" in update_fields:
            self.email_key = email_key(self.email)
            if update_fields is not None:
                update_fields = {*update_fields, "email_key"}
        super().save(*args, update_fields=update_fields, **kwargs)

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.get_username()
