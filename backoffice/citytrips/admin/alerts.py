"""What the line put before people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from backoffice.citytrips import services
from backoffice.citytrips.admin.columns import ReadOnly, actor_of, chip, exactly, may_act, refuse
from backoffice.citytrips.models import Alert

if TYPE_CHECKING:
    _AlertAdmin = admin.ModelAdmin[Alert]
else:
    _AlertAdmin = admin.ModelAdmin


class OpenFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", gettext("Open")), ("done", gettext("Done"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        if self.value() in ("open", "done"):
            return queryset.filter(resolved_at__isnull=self.value() == "open")
        return queryset


@admin.action(description=_("Done"), permissions=["resolve"])
def resolve(model_admin: AlertAdmin, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
    alerts = list(queryset.filter(resolved_at=None))
    for alert in alerts:
        services.alert_resolve(alert=alert, actor=actor_of(request))
    words = ngettext("%(count)d alert is done.", "%(count)d alerts are done.", len(alerts))
    messages.success(request, words % {"count": len(alerts)})


@admin.register(Alert)
class AlertAdmin(ReadOnly, _AlertAdmin):
    list_display = ("what", "detail", "state_chip", "count", "first", "last", "by")
    list_display_links = ("what",)
    list_filter = (OpenFilter, "kind")
    list_per_page = 50
    sortable_by = ()
    ordering = (F("resolved_at").desc(nulls_first=True), "-last_at", "-id")
    actions = (resolve,)
    fields = ("what", "detail", "state_chip", "count", "first", "last", "done_at", "by")
    readonly_fields = fields

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        return may_act(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        return super().get_queryset(request).select_related("resolved_by")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.done_view)
        return [path("<int:alert_id>/done/", view, name="citytrips_alert_done"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "may_act": may_act(request)}
        return super().change_view(request, object_id, form_url, context)

    def done_view(self, request: HttpRequest, alert_id: int) -> HttpResponse:
        """A person has seen to it; back to the desk where it was said there, else to the list."""
        if refusal := refuse(request, self.has_view_permission(request)):
            return refusal
        services.alert_resolve(alert=get_object_or_404(Alert, pk=alert_id), actor=actor_of(request))
        messages.success(request, gettext("The alert is done."))
        return redirect("desk" if request.POST.get("from") == "desk" else "admin:citytrips_alert_changelist")

    @admin.display(description=_("what"))
    def what(self, alert: Alert) -> str:
        return str(alert.get_kind_display())

    @admin.display(description=_("state"))
    def state_chip(self, alert: Alert) -> str:
        return chip("", gettext("Done")) if alert.resolved_at else chip("warn", gettext("Open"))

    @admin.display(description=_("first"))
    def first(self, alert: Alert) -> str:
        return exactly(alert.first_at)

    @admin.display(description=_("last"))
    def last(self, alert: Alert) -> str:
        return exactly(alert.last_at)

    @admin.display(description=_("done"))
    def done_at(self, alert: Alert) -> str:
        return exactly(alert.resolved_at)

    @admin.display(description=_("done by"))
    def by(self, alert: Alert) -> str:
        return alert.resolved_by.get_username() if alert.resolved_by else "–"
