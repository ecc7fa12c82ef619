"""The admin of itineraries: to look, and to delete. Trips are edited on pages of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from itineraries.errors import AttemptUnderWay
from itineraries.models import ACTIVE, Itinerary, ItineraryState, Publication
from itineraries.services import itinerary_delete

if TYPE_CHECKING:  # these classes take their types for the checker only
    _Inline = admin.TabularInline[Publication, Itinerary]
    _Admin = admin.ModelAdmin[Itinerary]
else:
    _Inline = admin.TabularInline
    _Admin = admin.ModelAdmin

CHIPS = {
    ItineraryState.DRAFT: "",
    ItineraryState.READY: "info",
    ItineraryState.SENDING: "info",
    ItineraryState.PUBLISHED: "ok",
    ItineraryState.CHANGED: "warn",
    ItineraryState.UNKNOWN: "warn",
    ItineraryState.REJECTED: "bad",
    ItineraryState.NOT_SENT: "bad",
}


def _chip(state: str, label: str) -> SafeString:
    return format_html('<span class="chip {}">{}</span>', CHIPS[ItineraryState(state)], label)


class StateFilter(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in ItineraryState]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Itinerary]) -> QuerySet[Itinerary]:
        return queryset.filter(Q(current_state=self.value())) if self.value() else queryset


class PublicationInline(_Inline):
    model = Publication
    fields = readonly_fields = ("number", "chip", "address", "what_happened", "started_at", "ended_at", "by")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Itinerary | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Publication]:
        return super().get_queryset(request).select_related("by").defer("document", "answer")

    @admin.display(description=gettext_lazy("state"))
    def chip(self, publication: Publication) -> SafeString:
        return _chip(publication.state, publication.state_label)

    @admin.display(description=gettext_lazy("what happened"))
    def what_happened(self, publication: Publication) -> str:
        return publication.detail

    @admin.display(description=gettext_lazy("address"))
    def address(self, publication: Publication) -> str:
        if not publication.is_link:
            return publication.url
        return format_html('<a href="{0}" rel="noopener noreferrer">{0}</a>', publication.url)


@admin.register(Itinerary)
class ItineraryAdmin(_Admin):
    list_display = (
        "title_or_none",
        "chip",
        "starts_on",
        "ends_on",
        "error_count",
        "warning_count",
        "updated_at",
        "page",
    )
    list_filter = (StateFilter, "is_demo")
    search_fields = ("title",)
    date_hierarchy = "starts_on"
    list_per_page = 50
    fields = readonly_fields = (
        "title_or_none",
        "page",
        "chip",
        "starts_on",
        "ends_on",
        "error_count",
        "warning_count",
        "version",
        "is_demo",
        "created_by",
        "created_at",
        "updated_by",
        "updated_at",
    )
    inlines = (PublicationInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Itinerary]:
        found: QuerySet[Itinerary] = Itinerary.objects.with_state().defer("document").order_by("-updated_at", "id")
        return found.select_related("created_by", "updated_by")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Itinerary | None = None) -> bool:
        return False

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """The publications go along with their itinerary; nobody needs a permission of its own for that."""
        listed, counts, needed, protected = super().get_deleted_objects(objs, request)
        needed.discard(Publication._meta.verbose_name)
        active = Publication.objects.filter(ACTIVE, itinerary__in=list(objs)).select_related("itinerary")
        protected += [f"{attempt.itinerary}: {AttemptUnderWay(attempt)}" for attempt in active]
        return listed, counts, needed, protected

    def delete_model(self, request: HttpRequest, obj: Itinerary) -> None:
        try:
            itinerary_delete(itinerary_id=obj.pk, user=request.user)
        except AttemptUnderWay as error:
            self.message_user(request, f"{obj}: {error}", messages.ERROR)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Itinerary]) -> None:
        for itinerary in queryset:
            self.delete_model(request, itinerary)

    @admin.display(description=gettext_lazy("title"), ordering="title")
    def title_or_none(self, itinerary: Itinerary) -> str:
        return str(itinerary)

    @admin.display(description=gettext_lazy("state"), ordering="current_state")
    def chip(self, itinerary: Itinerary) -> SafeString:
        return _chip(itinerary.state, itinerary.state_label)

    @admin.display(description=gettext_lazy("page"))
    def page(self, itinerary: Itinerary) -> SafeString:
        return format_html('<a href="{}">{}</a>', reverse("itineraries:edit", args=[itinerary.pk]), _("Open"))
