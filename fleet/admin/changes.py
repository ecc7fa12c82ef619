"""All that was done with the fleet, by whoever: to be looked at, and what one action did to be undone as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import ModelAdmin
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from fleet.admin import look
from fleet.admin.actions import NAMED, report, skipped_words
from fleet.history import RECORDED
from fleet.models import VehicleChange
from fleet.undoing import undo_batch
from fleet.wording import field_words, moment_words

if TYPE_CHECKING:
    ChangeModelAdmin = ModelAdmin[VehicleChange]
    _Filter = admin.SimpleListFilter
else:
    ChangeModelAdmin = ModelAdmin
    _Filter = admin.SimpleListFilter


class AuthorFilter(_Filter):
    title = _("by")
    parameter_name = "by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        staff = get_user_model().objects.filter(is_staff=True).order_by("username")[:200]
        return [("-", gettext("a program")), *((str(user.pk), user.get_username()) for user in staff)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[VehicleChange]) -> QuerySet[VehicleChange]:
        value = self.value()
        if value == "-":
            return queryset.filter(by__isnull=True)
        return queryset.filter(by=int(value)) if value else queryset


class FieldFilter(_Filter):
    title = _("field")
    parameter_name = "field"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("added", gettext("Added")), *((name, field_words(name)) for name in RECORDED)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[VehicleChange]) -> QuerySet[VehicleChange]:
        value = self.value()
        if not value:
            return queryset
        if value == "added":
            return queryset.filter(added=True)
        return queryset.filter(added=False, values__has_key=value) if value in RECORDED else queryset.none()


@admin.register(VehicleChange)
class VehicleChangeAdmin(ChangeModelAdmin):
    """Read-only: a change is undone by another one."""

    list_display = ("when", "vehicle_link", "what", "author", "source")
    list_display_links = None
    list_filter = ("origin", AuthorFilter, FieldFilter)
    date_hierarchy = "at"
    search_fields = ("vehicle__id__istartswith", "vehicle__plate__istartswith")
    search_help_text = _("Plate or id of the vehicle")
    list_per_page = 50
    list_select_related = ("by", "vehicle")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ("-id",)

    class Media:
        css = {"all": ["fleet/fleet.css"]}

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.undo_batch_view)
        return [path("batch/<uuid:batch>/undo/", view, name="fleet_vehiclechange_undo_batch"), *super().get_urls()]

    # Who may see a vehicle may see what was done with it.
    def has_view_permission(self, request: HttpRequest, obj: VehicleChange | None = None) -> bool:
        return request.user.has_perm("fleet.view_vehicle") or request.user.has_perm("fleet.change_vehicle")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: VehicleChange | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: VehicleChange | None = None) -> bool:
        return False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A change is shown in the history of its vehicle."""
        change = self.get_object(request, object_id)
        if change is None:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(reverse("admin:fleet_vehicle_history", args=[change.vehicle_id]))

    def undo_batch_view(self, request: HttpRequest, batch: UUID) -> HttpResponse:
        """Show what undoing an action would do, and do it."""
        if not request.user.has_perm("fleet.change_vehicle"):
            raise PermissionDenied
        changes = VehicleChange.objects.filter(batch=batch)
        first = changes.select_related("by", "vehicle").order_by("pk").first()
        if first is None:
            raise Http404
        if request.method == "POST":
            outcome = undo_batch(batch=batch, by=request.user)
            words = ngettext("%(count)s vehicle undone.", "%(count)s vehicles undone.", outcome.changed)
            done = words % {"count": number_format(outcome.changed, use_l10n=True)}
            if outcome.kept:
                done += " " + gettext("What is newer was kept: %(why)s.") % {"why": skipped_words(outcome.kept)}
            report(request, done, outcome)
            return HttpResponseRedirect(reverse("admin:fleet_vehicle_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "count": changes.count(),
            "examples": [(row.vehicle, look.change_lines(row)) for row in changes.select_related("vehicle")[:NAMED]],
            "author": look.author_words(first),
            "first": first,
        }
        return TemplateResponse(request, "admin/fleet/vehiclechange/undo_batch.html", context)

    # --- Columns -------------------------------------------------------------------------------------------------

    @admin.display(description=_("time"), ordering="id")
    def when(self, change: VehicleChange) -> str:
        return moment_words(change.at)

    @admin.display(description=_("vehicle"), ordering="vehicle")
    def vehicle_link(self, change: VehicleChange) -> str:
        url = reverse("admin:fleet_vehicle_history", args=[change.vehicle_id])
        return format_html('<a href="{}">{}</a>', url, change.vehicle)

    @admin.display(description=_("what"))
    def what(self, change: VehicleChange) -> str:
        return look.change_lines(change)

    @admin.display(description=_("by"))
    def author(self, change: VehicleChange) -> str:
        return look.author_words(change)

    @admin.display(description=_("from"), ordering="origin")
    def source(self, change: VehicleChange) -> str:
        return look.origin_chip(change)
