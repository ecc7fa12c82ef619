"""The fleet in the admin: lists and forms for staff; every write goes through the services."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import ModelAdmin
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Replace
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import translation
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from fleet import services
from fleet.forms import VehicleForm
from fleet.models import FleetRules, Vehicle, VehicleQuerySet, minimum_battery
from fleet.selectors import Reason, withheld_reasons
from fleet.vocabulary import CityTripsStatus, State

# The type checker's stubs know these classes as generic; at run time they are not.
if TYPE_CHECKING:
    VehicleModelAdmin = ModelAdmin[Vehicle]
    RulesModelAdmin = ModelAdmin[FleetRules]
else:
    VehicleModelAdmin = RulesModelAdmin = ModelAdmin

STATE_TONES = {
    State.AVAILABLE: "ok",
    State.RESERVED: "info",
    State.ON_TRIP: "info",
    State.NON_OPERATIONAL: "bad",
    State.NON_CONTACTABLE: "warn",
    State.MISSING: "bad",
    State.ELSEWHERE: "warn",
}
STATUS_TONES = {
    CityTripsStatus.PENDING: "info",
    CityTripsStatus.SETTLED: "ok",
    CityTripsStatus.OBJECTED: "bad",
    CityTripsStatus.WITHHELD: "warn",
}


def chip(tone: str, label: str) -> SafeString:
    return format_html('<span class="chip {}">{}</span>', tone, label)


class CityTripsFilter(admin.SimpleListFilter):
    title = _("CityTrips")
    parameter_name = "citytrips"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status.value, str(status.label)) for status in CityTripsStatus]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Vehicle]) -> QuerySet[Vehicle]:
        return queryset.filter(Q(("citytrips_status", self.value()))) if self.value() else queryset


class BatteryFilter(admin.SimpleListFilter):
    title = _("battery")
    parameter_name = "charge"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("low", gettext("Below the minimum")),
            ("enough", gettext("Enough")),
            ("unknown", gettext("Not known")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Vehicle]) -> QuerySet[Vehicle]:
        match self.value():
            case "low":
                return queryset.filter(battery__lt=minimum_battery())
            case "enough":
                return queryset.filter(battery__gte=minimum_battery())
            case "unknown":
                return queryset.filter(battery__isnull=True)
        return queryset


def _state_action(state: State) -> Callable[..., None]:
    """The bulk action that reports one state."""

    @admin.action(description=format_lazy(_("Set state: {state}"), state=state.label), permissions=["change"])
    def act(model_admin: VehicleAdmin, request: HttpRequest, queryset: QuerySet[Vehicle]) -> None:
        vehicles = list(queryset.exclude(state=state).only("id", "plate"))
        changed = services.vehicles_set_state(ids=[vehicle.pk for vehicle in vehicles], state=state)
        model_admin.log_many(request, vehicles, ["state"])
        words = ngettext("%(count)s vehicle changed: %(state)s.", "%(count)s vehicles changed: %(state)s.", changed)
        messages.success(request, words % {"count": changed, "state": state.label})

    act.__name__ = f"set_{state.value}"
    return act


@admin.action(description=_("Send to CityTrips again"), permissions=["change"])
def resend(model_admin: VehicleAdmin, request: HttpRequest, queryset: QuerySet[Vehicle]) -> None:
    count = services.vehicles_resend(ids=list(queryset.values_list("pk", flat=True)))
    words = ngettext("%(count)s vehicle is pending again.", "%(count)s vehicles are pending again.", count)
    messages.success(request, words % {"count": count})


@admin.register(Vehicle)
class VehicleAdmin(VehicleModelAdmin):
    """Vehicles are never deleted here: a removed one leaves the street, and keeps its history."""

    form = VehicleForm
    list_display = ("plate_or_none", "code", "city", "state_chip", "charge", "last_heard", "citytrips")
    list_display_links = ("plate_or_none", "code")
    list_filter = ("state", CityTripsFilter, BatteryFilter, "city", "kind")
    search_fields = ("plate", "bare_plate", "id", "vin")
    search_help_text = _("Plate, id or VIN")
    ordering = ("id",)
    list_per_page = 50
    actions = [*(_state_action(state) for state in State), resend]
    readonly_fields = ("citytrips", "held", "created_at", "updated_at", "is_demo")
    fieldsets = (
        (None, {"fields": ("id", "plate", "state", "battery", "last_signal_at")}),
        (_("CityTrips"), {"fields": ("citytrips", "held")}),
        (_("Place"), {"fields": ("country", "city", "latitude", "longitude")}),
        (_("Vehicle"), {"fields": ("kind", "model", "vin", "note")}),
        (_("On record"), {"fields": ("created_at", "updated_at", "is_demo")}),
    )
    add_fieldsets = (fieldsets[0], fieldsets[2], fieldsets[3])

    class Media:
        css = {"all": ["fleet/fleet.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Vehicle]:
        """With all that a row shows, so that a list of any length takes the same few queries."""
        queryset = super().get_queryset(request)
        assert isinstance(queryset, VehicleQuerySet)  # noqa: S101 (for the type checker)
        return queryset.with_citytrips_status().annotate(minimum_battery=minimum_battery())

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Vehicle], search_term: str
    ) -> tuple[QuerySet[Vehicle], bool]:
        """Plates are found with and without their spaces."""
        queryset = queryset.alias(bare_plate=Replace(F("plate"), Value(" "), Value("")))
        return super().get_search_results(request, queryset, search_term)

    def get_fieldsets(self, request: HttpRequest, obj: Vehicle | None = None) -> Any:
        return self.add_fieldsets if obj is None else self.fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Vehicle | None = None) -> Any:
        return self.readonly_fields if obj is None else ("id", *self.readonly_fields)

    def has_delete_permission(self, request: HttpRequest, obj: Vehicle | None = None) -> bool:
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Vehicle | None:
        """The vehicle; held while a change of it is checked and written, so that nothing comes in between."""
        if request.method == "POST" and connection.in_atomic_block:
            Vehicle.objects.select_for_update().filter(pk=object_id).first()
        return super().get_object(request, object_id, from_field)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ValidationError as error:  # somebody changed the vehicle since the form was checked
            messages.error(request, " ".join(error.messages))
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Vehicle, form: ModelForm[Vehicle], change: bool) -> None:
        """Write what was typed over, and nothing that others have changed since the form was opened."""
        values = {name: form.cleaned_data[name] for name in services.VALUES if name in form.cleaned_data}
        if change:
            typed = {name: value for name, value in values.items() if name in form.changed_data}
            services.vehicle_update(vehicle=obj, values=typed)
        else:
            services.vehicle_create(id=obj.pk, **values)
        obj._state.adding = False
        obj.refresh_from_db()

    def log_many(self, request: HttpRequest, vehicles: list[Vehicle], fields: list[str]) -> None:
        """The history of what was done to many at once."""
        with translation.override(None):  # the history translates the names when it is read
            names = [str(capfirst(Vehicle._meta.get_field(name).verbose_name)) for name in fields]  # type: ignore[union-attr]
        LogEntry.objects.log_actions(
            request.user.pk,  # type: ignore[arg-type]
            vehicles,
            CHANGE,
            change_message=[{"changed": {"fields": names}}],
        )

    # --- Columns and read-only fields ----------------------------------------------------------------------------

    @admin.display(description=_("plate"), ordering="plate")
    def plate_or_none(self, vehicle: Vehicle) -> str:
        if not vehicle.plate:
            return format_html('<span class="mut">{}</span>', gettext("No plate"))
        return format_html("<b>{}</b>", vehicle.plate)

    @admin.display(description=_("id"), ordering="id")
    def code(self, vehicle: Vehicle) -> str:
        return format_html("<code>{}</code>", vehicle.pk)

    @admin.display(description=_("state"), ordering="state")
    def state_chip(self, vehicle: Vehicle) -> str:
        return chip(STATE_TONES.get(State(vehicle.state), ""), vehicle.get_state_display())

    @admin.display(description=_("battery"), ordering="battery")
    def charge(self, vehicle: Vehicle) -> str | None:
        return None if vehicle.battery is None else f"{vehicle.battery} %"

    @admin.display(description=_("last signal"), ordering="last_signal_at")
    def last_heard(self, vehicle: Vehicle) -> str | None:
        return str(naturaltime(vehicle.last_signal_at)) if vehicle.last_signal_at else None

    @admin.display(description=_("CityTrips"))
    def citytrips(self, vehicle: Vehicle) -> str:
        status = CityTripsStatus(vehicle.citytrips_status)
        shown = chip(STATUS_TONES.get(status, ""), str(status.label))
        reasons = self._reasons(vehicle) if status == CityTripsStatus.WITHHELD else []
        if not reasons:
            return shown
        words = format_html_join(", ", "{}", ((reason.message,) for reason in reasons))
        return format_html('{} <span class="small mut">{}</span>', shown, words)

    @admin.display(description=_("at CityTrips"))
    def held(self, vehicle: Vehicle) -> str:
        """What CityTrips knows of the vehicle, in words."""
        status, sent = vehicle.citytrips_status, vehicle.settled_version >= vehicle.version
        if status == CityTripsStatus.SETTLED:
            return gettext("CityTrips has the vehicle as it is now.")
        if status == CityTripsStatus.OBJECTED:
            return gettext("CityTrips objected to it twice. It is sent again when it changes, or by “%(action)s”.") % {
                "action": gettext("Send to CityTrips again")
            }
        if status == CityTripsStatus.PENDING:
            if vehicle.listed:
                return gettext("CityTrips has an earlier state of it; the present one is to be sent.")
            return gettext("CityTrips has not got it yet; it is to be sent.")
        if vehicle.listed:
            return gettext("CityTrips may still show it; it is about to be withdrawn.")
        return gettext("CityTrips does not show it.") if sent else gettext("It was never sent to CityTrips.")

    @staticmethod
    def _reasons(vehicle: Vehicle) -> list[Reason]:
        rules = FleetRules(minimum_battery=vehicle.__dict__["minimum_battery"])
        return withheld_reasons(vehicle, rules)


@admin.register(FleetRules)
class FleetRulesAdmin(RulesModelAdmin):
    """The one row of rules."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: FleetRules | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is nothing to list: straight to the rules, which are made with their defaults when first asked for."""
        FleetRules.objects.get_or_create(id=1)
        return HttpResponseRedirect(reverse("admin:fleet_fleetrules_change", args=[1]))

    def save_model(self, request: HttpRequest, obj: FleetRules, form: ModelForm[FleetRules], change: bool) -> None:
        services.rules_update(minimum_battery=obj.minimum_battery, silence_limit=obj.silence_limit)
