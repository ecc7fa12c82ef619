"""People: who may log in, the tokens of their programs, what CityTrips sent about them, and the terms they accepted."""

from __future__ import annotations

import unicodedata
import uuid
import zoneinfo
from collections.abc import Collection, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from users.national_ids import LONGEST, national_id_key

# The type checker's stubs know the class as generic; at run time it is not.
if TYPE_CHECKING:
    NullableText = models.CharField[str | None, str | None]
else:
    NullableText = models.CharField


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


class NationalIdField(NullableText):
    """A national id in the form it is compared in, however it is written; null for none, of which there may be many."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"max_length": LONGEST, "null": True, "blank": True, "unique": True, **options})

    def to_python(self, value: Any) -> str | None:
        text = super().to_python(value)
        if not text:
            return None
        if (key := national_id_key(text)) is None:
            raise ValidationError(_("This cannot be a national id."), code="national_id")
        return key

    def pre_save(self, model_instance: models.Model, add: bool) -> str | None:
        value = self.get_prep_value(getattr(model_instance, self.attname))
        setattr(model_instance, self.attname, value)
        return value

    def get_prep_value(self, value: Any) -> str | None:
        value = super().get_prep_value(value)
        return national_id_key(value) if isinstance(value, str) else value


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


class Scope(models.TextChoices):
    """What a token may be used for; the rights of its person bound it as well."""

    ALL = "all", _("Everything the person may do")
    FLEET = "fleet", _("The fleet, with its telemetry")
    TELEMETRY = "telemetry", _("Telemetry of vehicles only")
    ITINERARIES = "itineraries", _("Itineraries")


class ApiToken(models.Model):
    """A program's key to the REST API on a person's behalf. The token itself is shown once and never stored.

    ``digest`` is the SHA-256 of the token, in hexadecimal; a plain hash is enough for 256 random bits. ``hint`` is the
    token's beginning, by which its holder recognises it. ``last_used_at`` is at most a minute late.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens", verbose_name=_("person")
    )
    name = models.CharField(_("name"), max_length=100, help_text=_("What uses it, such as “telemetry gateway”."))
    scope = models.CharField(_("scope"), max_length=16, choices=Scope, default=Scope.ALL)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(_("begins with"), max_length=16, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, editable=False)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="users_apitoken_scope", condition=models.Q(scope__in=["all", "fleet", "telemetry", "itineraries"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and not self.is_expired


class TermsVersion(models.Model):
    """The operator's terms and conditions as they read from a moment on; the newest that has begun is in force."""

    in_force_from = models.DateTimeField(
        _("in force from"),
        default=timezone.now,
        unique=True,
        help_text=_("From then on it can no longer be changed; a later version takes its place."),
    )
    text_en = models.TextField(
        _("text in English"),
        blank=True,
        help_text=_("Paragraphs are parted by an empty line; a line that begins with “# ” is a heading, “- ” a list."),
    )
    text_es = models.TextField(_("text in Spanish"), blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("version of the terms")
        verbose_name_plural = _("terms and conditions")
        ordering = ["-in_force_from"]
        constraints = [
            models.CheckConstraint(
                name="users_termsversion_has_text",
                condition=~models.Q(text_en="") | ~models.Q(text_es=""),
                violation_error_message=_("Write the terms in at least one language."),
            ),
        ]

    def __str__(self) -> str:
        day = date_format(timezone.localtime(self.in_force_from), "DATE_FORMAT")
        return gettext("Terms of %(day)s") % {"day": day}

    def clean(self) -> None:
        super().clean()
        self.text_en, self.text_es = self.text_en.strip(), self.text_es.strip()

    def text_for(self, language: str) -> tuple[str, str]:
        """The language's code and the text in it; in the other one where it was not written in this."""
        texts = {"en": self.text_en, "es": self.text_es}
        order = sorted(texts, key=lambda code: not language.startswith(code))
        return next((code, texts[code]) for code in order if texts[code].strip())

    @property
    def has_begun(self) -> bool:
        return self.in_force_from <= timezone.now()


class Origin(models.TextChoices):
    """How a person came to be one of CityTrips'."""

    CREATED = "created", _("CityTrips brought them")
    LINKED = "linked", _("They were here before")


class CityTripsAccount(models.Model):
    """A person on whose behalf CityTrips may act, and what it sent about them, beside what the operator holds.

    ``email_key`` and ``national_id`` are CityTrips' own, and unique: with them, and with one row a person, the database
    sees to it that the same request made twice at once ends in one account.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="citytrips_account", verbose_name=_("person")
    )
    origin = models.CharField(_("origin"), max_length=8, choices=Origin)
    linked_at = models.DateTimeField(_("CityTrips user since"))
    email = models.EmailField(_("e-mail address at CityTrips"))
    email_key = models.CharField(max_length=320, unique=True, editable=False)
    first_name = models.CharField(_("first name"), max_length=150, blank=True)
    last_name = models.CharField(_("last name"), max_length=150, blank=True)
    national_id = NationalIdField(_("national id"))
    phone = models.CharField(_("phone"), max_length=20, blank=True)
    birth_date = models.DateField(_("birth date"), null=True, blank=True)
    address = models.CharField(_("address"), max_length=300, blank=True)
    zip_code = models.CharField(_("postal code"), max_length=20, blank=True)
    city = models.CharField(_("city"), max_length=100, blank=True)
    country = models.CharField(_("country"), max_length=100, blank=True)
    licence_number = models.CharField(_("driving licence"), max_length=64, blank=True)
    licence_expires_on = models.DateField(_("licence expires on"), null=True, blank=True)
    terms_accepted_at = models.DateTimeField(_("terms accepted at"))
    terms_version = models.ForeignKey(
        TermsVersion, on_delete=models.PROTECT, null=True, blank=True, verbose_name=_("terms accepted")
    )
    terms_url = models.URLField(_("address of the terms"), max_length=500)

    class Meta:
        verbose_name = _("CityTrips account")
        verbose_name_plural = _("CityTrips accounts")
        ordering = ["-linked_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="users_citytripsaccount_origin", condition=models.Q(origin__in=["created", "linked"])
            ),
            models.CheckConstraint(name="users_citytripsaccount_email_key", condition=~models.Q(email_key="")),
        ]

    def __str__(self) -> str:
        return gettext("CityTrips account %(number)s") % {"number": self.pk}


class Outcome(models.TextChoices):
    """What became of a request for an account."""

    CREATED = "created", _("New account")
    LINKED = "linked", _("Linked to a person")
    KNOWN = "known", _("Known already")
    REFUSED = "refused", _("Refused")


class Obstacle(models.TextChoices):
    """Why a request was refused."""

    NONE = "", "–"
    STAFF = "staff", _("The person is staff, and staff are never linked.")
    BLOCKED = "blocked", _("The person's account is blocked.")
    ERASED = "erased", _("The person's data were erased at their wish.")
    TWO_PEOPLE = "two_people", _("The e-mail address and the national id name two people.")


class Review(models.TextChoices):
    """Whether people have to look at something."""

    NOTHING = "nothing", _("Nothing to do")
    OPEN = "open", _("To be looked at")
    DONE = "done", _("Dealt with")


class CityTripsApplication(models.Model):
    """A request for an account as it came from CityTrips, with what became of it; the refused ones too.

    The same request with the same outcome is one row, which counts. ``sent`` holds its properties by the names of CityTrips'
    specification, never the password; ``flags`` are texts ``property:code`` for what was odd about it. ``user`` is whose
    account it is, or who stands in the way, and ``other_user`` the second person where it names two.
    """

    digest = models.CharField(max_length=64, unique=True, editable=False)
    received_at = models.DateTimeField(_("received"), db_index=True)
    last_at = models.DateTimeField(_("received last"))
    times = models.PositiveIntegerField(_("times"), default=1)
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome)
    obstacle = models.CharField(_("reason"), max_length=16, choices=Obstacle, blank=True)
    flags = models.JSONField(_("odd values"), default=list)
    sent = models.JSONField(_("what CityTrips sent"), default=dict)
    email = models.EmailField(_("e-mail address"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        related_name="citytrips_applications",
        verbose_name=_("person"),
    )
    other_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("the other person"),
    )
    terms_version = models.ForeignKey(
        TermsVersion, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("terms accepted")
    )
    review = models.CharField(_("review"), max_length=8, choices=Review, default=Review.NOTHING)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("looked at by"),
    )
    reviewed_at = models.DateTimeField(_("looked at"), null=True)

    class Meta:
        verbose_name = _("CityTrips request")
        verbose_name_plural = _("CityTrips requests")
        ordering = ["-last_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="users_citytripsapplication_outcome",
                condition=models.Q(outcome__in=["created", "linked", "known"], obstacle="", user__isnull=False)
                | (models.Q(outcome="refused") & ~models.Q(obstacle="")),
            ),
            models.CheckConstraint(
                name="users_citytripsapplication_review",
                condition=models.Q(review__in=["nothing", "open"], reviewed_at=None)
                | models.Q(review="done", reviewed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        moment = date_format(timezone.localtime(self.received_at), "SHORT_DATETIME_FORMAT")
        return gettext("Request of %(moment)s") % {"moment": moment}


class ImageKind(models.TextChoices):
    """The identity images by their names in CityTrips' specification."""

    ID_FRONT = "nif_front_img", _("Identity document, front")
    ID_BACK = "nif_back_img", _("Identity document, back")
    LICENCE_FRONT = "license_front_img", _("Driving licence, front")
    LICENCE_BACK = "license_back_img", _("Driving licence, back")


class IdentityImage(models.Model):
    """An identity image of a person. The picture lies encrypted in the file ``name`` (``users.identity_images``).

    ``sha256`` and ``size`` are those of the picture itself.
    """

    account = models.ForeignKey(
        CityTripsAccount, on_delete=models.CASCADE, related_name="images", verbose_name=_("CityTrips account")
    )
    kind = models.CharField(_("picture"), max_length=20, choices=ImageKind)
    format = models.CharField(_("format"), max_length=4, choices=[("PNG", "PNG"), ("JPEG", "JPEG")])
    name = models.CharField(max_length=32, unique=True, editable=False)
    sha256 = models.CharField(max_length=64, editable=False)
    size = models.PositiveIntegerField(_("bytes"))
    width = models.PositiveIntegerField(_("width"))
    height = models.PositiveIntegerField(_("height"))
    received_at = models.DateTimeField(_("received"))

    class Meta:
        verbose_name = _("identity image")
        verbose_name_plural = _("identity images")
        ordering = ["kind", "-received_at", "-id"]
        constraints = [
            models.UniqueConstraint(name="users_identityimage_once", fields=["account", "kind", "sha256"]),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()


class IdentityImageView(models.Model):
    """That somebody looked at an identity image. The name stays when the person is gone."""

    image = models.ForeignKey(IdentityImage, on_delete=models.CASCADE, related_name="views")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", verbose_name=_("person")
    )
    by_name = models.CharField(_("user name"), max_length=150)
    at = models.DateTimeField(_("time"), default=timezone.now)

    class Meta:
        verbose_name = _("look at an identity image")
        verbose_name_plural = _("looks at identity images")
        ordering = ["-at", "-id"]
        default_permissions = ()

    def __str__(self) -> str:
        return self.by_name


class ErasedIdentity(models.Model):
    """That the data of somebody with this e-mail address or national id were erased: a keyed digest, and nothing else.

    By it a request for a person who wished to be gone is known without keeping who that was.
    """

    digest = models.CharField(max_length=64, unique=True)
    erased_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.digest[:8]
