"""Vehicles in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.options import ModelAdmin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import QuerySet
from django.forms import ModelForm, Script
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from fleet import services
from fleet.admin import look, vehicle_pages
from fleet.admin.actions import ACTIONS
from fleet.admin.lists import LIST_FILTERS, active_filters, query_of, saved_filters
from fleet.filters import vehicles_found
from fleet.forms import VehicleForm
from fleet.models import Vehicle, VehicleChange, VehicleQuerySet, minimum_battery
from fleet.selectors import plates_shared, vehicles_with_plate
from fleet.vocabulary import CityTripsStatus, Origin

# The type checker's stubs know these classes as generic; at run time they are not.
if TYPE_CHECKING:
    VehicleModelAdmin = ModelAdmin[Vehicle]
else:
    VehicleModelAdmin = ModelAdmin

# So many changes stand on the vehicle's own page.
RECENT = 5


@admin.register(Vehicle)
class VehicleAdmin(VehicleModelAdmin):
    """Vehicles are never deleted here: a removed one leaves the street, and keeps its history."""

    form = VehicleForm
    list_display_links = ("plate_or_none", "code")
    list_filter = LIST_FILTERS
    search_fields = ("id",)  # there is a search; what it looks at is `fleet.filters`' business
    search_help_text = _("Plate, id or VIN")
    ordering = ("id",)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = ACTIONS
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
        js = [Script("fleet/states.js", defer=True)]

    def get_urls(self) -> list[URLPattern]:
        return [*vehicle_pages.urls(self), *super().get_urls()]

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        state = "state_menu" if self.has_change_permission(request) else "state_chip"
        return ("plate_or_none", "code", "city", state, "charge", "last_heard", "citytrips")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Vehicle]:
        """With all that a row shows, so that a list of any length takes the same few queries."""
        queryset = super().get_queryset(request)
        assert isinstance(queryset, VehicleQuerySet)  # noqa: S101 (for the type checker)
        return queryset.with_citytrips_status().annotate(minimum_battery=minimum_battery())

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Vehicle], search_term: str
    ) -> tuple[QuerySet[Vehicle], bool]:
        assert isinstance(queryset, VehicleQuerySet)  # noqa: S101 (for the type checker)
        return vehicles_found(queryset, search_term), False

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The list, with what its rows say of other rows."""
        changelist = super().get_changelist_instance(request)
        rows: list[Vehicle] = list(changelist.result_list)
        shared = plates_shared({vehicle.plate for vehicle in rows if vehicle.plate})
        for vehicle in rows:
            vehicle.plate_is_shared = vehicle.plate in shared  # type: ignore[attr-defined]
        changelist.result_list = rows
        return changelist

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        query = query_of(request.GET)
        context = {
            "active_filters": active_filters(request.GET),
            "saved_filters": saved_filters(request.user),
            "query": query,
            "tools": vehicle_pages.tools(request),
            "states": vehicle_pages.STATES,
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

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

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Vehicle | None = None,
    ) -> HttpResponse:
        """With what one wants to know before typing: whether it is offered, where it is, what was done with it."""
        if obj is not None:
            # As it is in the database: what was typed is not yet so.
            vehicle = self.get_queryset(request).get(pk=obj.pk)
            context.update(
                vehicle=vehicle,
                availability=look.availability_words(vehicle),
                state_chip=look.state_chip(vehicle),
                heard=look.heard_words(vehicle),
                twins=vehicles_with_plate(vehicle.plate, but=vehicle.pk),
                changes=vehicle_pages.entries(
                    VehicleChange.objects.filter(vehicle=vehicle).select_related("by")[:RECENT], request
                ),
                map_url=vehicle_pages.map_url(vehicle),
            )
        return super().render_change_form(request, context, add, change, form_url, obj)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return vehicle_pages.history(self, request, object_id)

    def save_model(self, request: HttpRequest, obj: Vehicle, form: ModelForm[Vehicle], change: bool) -> None:
        """Write what was typed over, and nothing that others have changed since the form was opened."""
        values = {name: form.cleaned_data[name] for name in services.VALUES if name in form.cleaned_data}
        if change:
            typed = {name: value for name, value in values.items() if name in form.changed_data}
            services.vehicle_update(vehicle=obj, values=typed, by=request.user, origin=Origin.PERSON)
        else:
            services.vehicle_create(id=obj.pk, by=request.user, origin=Origin.PERSON, **values)
        obj._state.adding = False
        obj.refresh_from_db()
        twins = vehicles_with_plate(obj.plate, but=obj.pk)
        if twins:
            words = gettext("Another vehicle has the same plate: %(vehicles)s.")
            messages.warning(request, words % {"vehicles": ", ".join(twin.pk for twin in twins)})

    # What changes is written down by the services, with its values; Django's own log would say the same, less well.
    def log_addition(self, request: HttpRequest, obj: Vehicle, message: Any) -> None:  # type: ignore[override]
        pass

    def log_change(self, request: HttpRequest, obj: Vehicle, message: Any) -> None:  # type: ignore[override]
        pass

    # --- Columns and read-only fields ----------------------------------------------------------------------------

    @admin.display(description=_("plate"), ordering="plate")
    def plate_or_none(self, vehicle: Vehicle) -> str:
        if not vehicle.plate:
            return format_html('<span class="mut">{}</span>', gettext("No plate"))
        if getattr(vehicle, "plate_is_shared", False):
            words = gettext("Another vehicle has the same plate")
            return format_html(
                '<b>{}</b> <span class="chip warn" title="{}">{}</span>', vehicle.plate, words, gettext("twice")
            )
        return format_html("<b>{}</b>", vehicle.plate)

    @admin.display(description=_("id"), ordering="id")
    def code(self, vehicle: Vehicle) -> str:
        return format_html("<code>{}</code>", vehicle.pk)

    @admin.display(description=_("state"), ordering="state")
    def state_chip(self, vehicle: Vehicle) -> str:
        return look.state_chip(vehicle)

    @admin.display(description=_("state"), ordering="state")
    def state_menu(self, vehicle: Vehicle) -> str:
        return look.state_menu(vehicle)

    @admin.display(description=_("battery"), ordering="battery")
    def charge(self, vehicle: Vehicle) -> str | None:
        return None if vehicle.battery is None else f"{vehicle.battery} %"

    @admin.display(description=_("last signal"), ordering="last_signal_at")
    def last_heard(self, vehicle: Vehicle) -> str | None:
        return look.heard_words(vehicle)

    @admin.display(description=_("CityTrips"))
    def citytrips(self, vehicle: Vehicle) -> str:
        return look.citytrips_chip(vehicle)

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
