"""Vehicles, and the operator's rules for offering them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, Self

from django.core.exceptions import ValidationError
from django.core.validators import (
    MaxValueValidator,
    MinValueValidator,
    ProhibitNullCharactersValidator,
    RegexValidator,
)
from django.db import connection, models
from django.db.models import Case, F, Func, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Length, Now, Upper
from django.db.models.lookups import LessThanOrEqual
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from fleet.countries import SERVED, position_problem
from fleet.vocabulary import ID_PATTERN, UNREACHABLE_IDS, CityTripsStatus, Kind, State, has_controls

DEFAULT_MINIMUM_BATTERY = 20

_no_null = ProhibitNullCharactersValidator()


# Times nearer to the end of the calendar cannot be shown in every time zone.
EARLIEST_SIGNAL = datetime(2000, 1, 1, tzinfo=UTC)
LATEST_SIGNAL = datetime(2100, 1, 1, tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(minutes=5)


def moment_problem(moment: datetime | None, now: datetime) -> str | None:
    """Why a vehicle cannot have been heard at this time, in words; None if it can."""
    if moment is None:
        return None
    if moment < EARLIEST_SIGNAL:
        return gettext("It lies before the year 2000.")
    if moment > now + CLOCK_TOLERANCE:
        return gettext("It lies more than five minutes in the future.")
    return None


class FleetRules(models.Model):
    """What the operator asks of a vehicle before it is offered; a single row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    minimum_battery = models.PositiveSmallIntegerField(
        _("minimum battery"),
        default=DEFAULT_MINIMUM_BATTERY,
        validators=[MaxValueValidator(100)],
        help_text=_("In per cent. A vehicle with less, or whose battery is not known, is not offered."),
    )
    silence_limit = models.PositiveIntegerField(
        _("silence limit"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(60 * 24 * 365)],
        help_text=_("In minutes. A vehicle not heard of for longer is not offered. Empty: no limit."),
    )

    class Meta:
        verbose_name = _("rules of the fleet")
        verbose_name_plural = _("rules of the fleet")
        constraints = [
            models.CheckConstraint(name="fleetrules_single", condition=Q(id=1)),
            models.CheckConstraint(
                name="fleetrules_minimum_battery", condition=Q(minimum_battery__gte=0, minimum_battery__lte=100)
            ),
            models.CheckConstraint(
                name="fleetrules_silence_limit",
                condition=Q(silence_limit__isnull=True) | Q(silence_limit__gte=1, silence_limit__lte=60 * 24 * 365),
            ),
        ]

    def __str__(self) -> str:
        return gettext("Rules of the fleet")

    @property
    def silence(self) -> timedelta | None:
        return None if self.silence_limit is None else timedelta(minutes=self.silence_limit)


def lock_vehicles() -> None:
    """Inside a transaction: nobody else writes a vehicle until it ends. SQLite lets one write at a time by itself."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE fleet_vehicle IN EXCLUSIVE MODE")


def minimum_battery() -> Coalesce:
    """The rules' minimum battery as an SQL expression."""
    return Coalesce(
        Subquery(FleetRules.objects.filter(id=1).values("minimum_battery")[:1]), Value(DEFAULT_MINIMUM_BATTERY)
    )


def offerable() -> Q:
    """What of being offered no rule decides."""
    return Q(~Q(plate=""), state=State.AVAILABLE, latitude__isnull=False, country__in=SERVED)


def is_offered() -> Q:
    """Whether CityTrips is to hold a vehicle, from its own row; the fields' words are `selectors.offer_reasons`."""
    return offerable() & Q(battery__gte=minimum_battery(), silent=False)


class Bytewise(Func):
    """Text in the order of its bytes, in which what begins alike stands together whatever the database's language."""

    arity = 1
    template = '(%(expressions)s COLLATE "C")'

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="(%(expressions)s COLLATE BINARY)", **context)


class Bare(Func):
    """A plate in capitals, without spaces and hyphens.

    The signs stand in the statement itself: SQLite does not see an index's expression in one with parameters.
    """

    arity = 1
    template = "UPPER(REPLACE(REPLACE(%(expressions)s, ' ', ''), '-', ''))"


# What a search looks at, in the very words of the indexes that answer it.
def search_id() -> Bytewise:
    return Bytewise(Upper("id"))


def search_plate() -> Bytewise:
    return Bytewise(Bare("plate"))


def search_vin() -> Bytewise:
    return Bytewise(Upper("vin"))


def _at_most(name: str, length: int) -> models.CheckConstraint:
    """SQLite stores a text of any length where the column says VARCHAR(16)."""
    return models.CheckConstraint(name=f"vehicle_{name}_length", condition=LessThanOrEqual(Length(name), length))


class VehicleQuerySet(models.QuerySet["Vehicle"]):
    def offered(self) -> Self:
        """Those that CityTrips is to hold."""
        return self.filter(is_offered())

    def pending(self) -> Self:
        """Those with a change that no settled send carried; answered from a partial index."""
        return self.filter(version__gt=F("settled_version"))

    def leaving(self) -> Self:
        """Those that CityTrips may still show though they are no longer offered."""
        # Not "not offered", which where the battery is unknown would be unknown itself.
        is_gone = Case(When(is_offered(), then=False), default=True, output_field=models.BooleanField())
        return self.pending().filter(Q(is_gone), listed=True)

    def with_citytrips_status(self) -> Self:
        """Fill `citytrips_status` in the database, once for the whole list."""
        return self.annotate(
            citytrips_status=Case(
                When(~Q(state=State.AVAILABLE), then=Value(CityTripsStatus.NOT_OFFERED.value)),
                # Asked in the affirmative: an unknown battery makes "not offered" unknown rather than true.
                When(is_offered() & Q(settled_version__gte=F("version")), then=Value(CityTripsStatus.SETTLED.value)),
                When(is_offered() & Q(objected_version=F("version")), then=Value(CityTripsStatus.OBJECTED.value)),
                When(is_offered(), then=Value(CityTripsStatus.PENDING.value)),
                default=Value(CityTripsStatus.WITHHELD.value),
                output_field=models.CharField(),
            )
        )


class Vehicle(models.Model):
    """A vehicle, under the operator's own id.

    `version` belongs to the database's triggers (`fleet.triggers`), `settled_version`, `listed` and `objected_version`
    to the line to CityTrips, `touched` to the services; `save()` of an existing vehicle leaves them alone. While there is
    something to tell CityTrips, `pending_at` is since when: by the triggers, and by the line where a part of it has arrived.
    """

    LINE_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"version", "settled_version", "listed", "objected_version", "touched", "pending_at"}
    )

    id = models.CharField(
        _("id"),
        primary_key=True,
        max_length=64,
        validators=[
            RegexValidator(
                rf"\A{ID_PATTERN}\Z", _("An id is 1 to 64 letters, digits, or any of . _ : - and has no spaces.")
            )
        ],
        help_text=_("Your own id of the vehicle: letters, digits and . _ : - It cannot be changed later."),
    )
    plate = models.CharField(_("plate"), max_length=16, blank=True, validators=[_no_null])
    vin = models.CharField(
        _("VIN"),
        max_length=32,
        blank=True,
        validators=[_no_null],
        help_text=_("The vehicle identification number, or the serial number of a vehicle that has none."),
    )
    kind = models.CharField(_("kind"), max_length=32, choices=Kind.choices, default=Kind.CAR)
    model = models.CharField(_("model"), max_length=80, blank=True, validators=[_no_null])
    country = models.CharField(
        _("country"),
        max_length=60,
        blank=True,
        validators=[_no_null],
        help_text=_("In English. CityTrips serves Australia, Chile and Spain."),
    )
    city = models.CharField(_("city"), max_length=80, blank=True, validators=[_no_null])
    latitude = models.FloatField(
        _("latitude"),
        null=True,
        blank=True,
        validators=[MinValueValidator(-90), MaxValueValidator(90)],
        help_text=_("Decimal degrees, such as 40.4168"),
    )
    longitude = models.FloatField(
        _("longitude"),
        null=True,
        blank=True,
        validators=[MinValueValidator(-180), MaxValueValidator(180)],
        help_text=_("Decimal degrees, such as -3.7038"),
    )
    battery = models.PositiveSmallIntegerField(
        _("battery"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(100)],
        help_text=_("Per cent, 0 to 100. Empty: not known."),
    )
    state = models.CharField(_("state"), max_length=20, choices=State.choices, default=State.AVAILABLE)
    last_signal_at = models.DateTimeField(_("last signal"), null=True, blank=True)
    silent = models.BooleanField(
        _("silent"),
        default=False,
        editable=False,
        help_text=_("Not heard of for longer than the rules of the fleet allow."),
    )
    note = models.TextField(_("note"), blank=True, max_length=4000, validators=[_no_null])
    is_demo = models.BooleanField(
        _("demo"), default=False, editable=False, help_text=_("Invented; never sent to anything but the sandbox.")
    )

    version = models.BigIntegerField(_("version"), db_default=1, editable=False)
    settled_version = models.BigIntegerField(_("settled version"), db_default=0, editable=False)
    listed = models.BooleanField(_("listed at CityTrips"), db_default=False, editable=False)
    objected_version = models.BigIntegerField(_("objected version"), null=True, editable=False)
    touched = models.BigIntegerField(db_default=0, editable=False)
    pending_at = models.DateTimeField(db_default=Now(), editable=False)

    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = VehicleQuerySet.as_manager()

    class Meta:
        verbose_name = _("vehicle")
        verbose_name_plural = _("vehicles")
        ordering = ["id"]
        indexes = [
            models.Index(name="vehicle_pending", fields=["id"], condition=Q(version__gt=F("settled_version"))),
            models.Index(name="vehicle_plate", fields=["plate"]),
            models.Index(name="vehicle_updated_at", fields=["updated_at", "id"]),
            # Both for the question of who fell silent and who was heard again, asked every few seconds.
            models.Index(name="vehicle_last_signal", fields=["last_signal_at"], condition=Q(silent=False)),
            models.Index(name="vehicle_silent", fields=["id"], condition=Q(silent=True)),
            models.Index(search_id(), name="vehicle_search_id"),
            models.Index(search_plate(), name="vehicle_search_plate"),
            models.Index(search_vin(), name="vehicle_search_vin"),
            # Which places there are, and the vehicles of one. None by state or country: most vehicles share one, and
            # SQLite would then fetch them one by one (80 ms of 100,000) instead of reading all in a row (20 ms).
            models.Index(name="vehicle_city", fields=["city", "country"]),
            models.Index(name="vehicle_place", fields=["latitude", "longitude"]),  # what a part of the map holds
        ]
        constraints = [
            models.CheckConstraint(
                name="vehicle_id",
                condition=Q(id__regex=rf"\A{ID_PATTERN}\Z"),
                violation_error_message=_("An id is 1 to 64 letters, digits, or any of . _ : - and has no spaces."),
            ),
            models.CheckConstraint(
                name="vehicle_battery",
                condition=Q(battery__isnull=True) | Q(battery__gte=0, battery__lte=100),
                violation_error_message=_("The battery is a whole number of per cent from 0 to 100."),
            ),
            models.CheckConstraint(
                name="vehicle_latitude",
                condition=Q(latitude__isnull=True) | Q(latitude__gte=-90, latitude__lte=90),
                violation_error_message=_("The latitude lies between -90 and 90."),
            ),
            models.CheckConstraint(
                name="vehicle_longitude",
                condition=Q(longitude__isnull=True) | Q(longitude__gte=-180, longitude__lte=180),
                violation_error_message=_("The longitude lies between -180 and 180."),
            ),
            models.CheckConstraint(
                name="vehicle_position",
                condition=Q(latitude__isnull=True, longitude__isnull=True)
                | Q(latitude__isnull=False, longitude__isnull=False),
                violation_error_message=_("A position has both a latitude and a longitude."),
            ),
            models.CheckConstraint(
                name="vehicle_state",
                condition=Q(state__in=[value for value, _label in State.choices]),
                violation_error_message=_("This is not a state of MDS 2.0."),
            ),
            models.CheckConstraint(
                name="vehicle_kind",
                condition=Q(kind__in=[value for value, _label in Kind.choices]),
                violation_error_message=_("This is not a kind of vehicle."),
            ),
            models.CheckConstraint(
                name="vehicle_last_signal",
                condition=Q(last_signal_at__isnull=True)
                | Q(last_signal_at__gte=EARLIEST_SIGNAL, last_signal_at__lt=LATEST_SIGNAL),
                violation_error_message=_("A last signal lies in the years 2000 to 2099."),
            ),
            _at_most("plate", 16),
            _at_most("vin", 32),
            _at_most("model", 80),
            _at_most("country", 60),
            _at_most("city", 80),
            _at_most("note", 4000),
            models.CheckConstraint(name="vehicle_version", condition=Q(version__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.plate} ({self.id})" if self.plate else self.id

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """Write the vehicle, without the numbers that are not its own when it exists already."""
        if update_fields is None and not self._state.adding and not kwargs.get("force_insert"):
            left_out = self.LINE_FIELDS | self.get_deferred_fields()
            update_fields = [
                field.name
                for field in self._meta.concrete_fields
                if not field.primary_key and field.attname not in left_out
            ]
        super().save(*args, update_fields=update_fields, **kwargs)

    @cached_property
    def citytrips_status(self) -> str:
        """A value of `CityTripsStatus`; on lists fill it by `with_citytrips_status()`."""
        row = Vehicle.objects.with_citytrips_status().get(pk=self.pk)
        return str(row.__dict__["citytrips_status"])

    def clean(self) -> None:
        """Refuse what cannot be meant.

        That is a position which is half of one, 0,0, or outside the vehicle's own country; a last signal before 2000
        or of the future; control characters; an id that an address cannot hold.
        """
        super().clean()
        problems: dict[str, str] = {}
        position = position_problem(self.country, self.latitude, self.longitude)
        if position:
            problems["latitude" if self.latitude is None else "longitude"] = position
        moment = moment_problem(self.last_signal_at, timezone.now())
        if moment:
            problems["last_signal_at"] = moment
        for name in ("plate", "vin", "model", "country", "city", "note"):
            allowed = "\n\r\t" if name == "note" else ""
            if has_controls(getattr(self, name), allowed):
                problems[name] = gettext("Control characters are not allowed.")
        if self._state.adding and self.pk in UNREACHABLE_IDS:
            problems["id"] = gettext("This id cannot be used: an address that ends in it means something else.")
        if problems:
            raise ValidationError(problems)

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        self.__dict__.pop("citytrips_status", None)
        super().refresh_from_db(*args, **kwargs)
