"""The line in the admin: to be looked at, and to be asked to send or to connect now."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from backoffice.citytrips import services, wakeup
from backoffice.citytrips.models import LinkChange, LinkState, SyncRequest
from backoffice.citytrips.selectors import last_sync_request, link_summary, sync_requests_open
from backoffice.citytrips.session import State

if TYPE_CHECKING:
    _Inline = admin.TabularInline[LinkChange, LinkState]
    _LinkStateAdmin = admin.ModelAdmin[LinkState]
    _SyncRequestAdmin = admin.ModelAdmin[SyncRequest]
else:
    _Inline, _LinkStateAdmin, _SyncRequestAdmin = admin.TabularInline, admin.ModelAdmin, admin.ModelAdmin

_CHIPS = {
    State.UNCONFIGURED: "warn",
    State.WAITING: "warn",
    State.CONNECTING: "info",
    State.AUTHENTICATING: "info",
    State.LIVE: "ok",
    State.REFUSED: "bad",
    State.STANDBY: "info",
}


ASKED_FOR: Final = 120.0
"""Seconds that a request of staff stands: longer than the longest pause between two connections."""


def _exactly(moment: datetime | None) -> str:
    """The date and the time with its seconds, in which the line's changes differ."""
    if moment is None:
        return "–"
    local = timezone.localtime(moment)
    return f"{date_format(local, 'SHORT_DATE_FORMAT')} {local:%H:%M:%S}"


class ReadOnly:
    """What the worker writes, nobody else does."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LinkChangeInline(ReadOnly, _Inline):
    model = LinkChange
    fields = ("moment", "state", "reason")
    readonly_fields = ("moment",)
    extra = 0
    SHOWN = 50

    @admin.display(description=_("time"))
    def moment(self, change: LinkChange) -> str:
        return _exactly(change.at)

    def get_queryset(self, request: HttpRequest) -> Any:
        newest = LinkChange.objects.order_by("-id").values("id")[: self.SHOWN]
        # A sub-query, because the inline filters further, which a slice refuses.
        return super().get_queryset(request).filter(pk__in=list(newest.values_list("id", flat=True)))


@admin.register(LinkState)
class LinkStateAdmin(ReadOnly, _LinkStateAdmin):
    fields = ("now", "began", "waiting", "full", "incremental")
    readonly_fields = fields
    inlines = (LinkChangeInline,)

    @admin.display(description=_("state"))
    def now(self, link: LinkState) -> str:
        """As it is, not as a worker that has died since left it."""
        summary = link_summary()
        return format_html('<span class="chip {}">{}</span> {}', _CHIPS[summary.state], summary.label, summary.reason)

    @admin.display(description=_("vehicles waiting to be sent"))
    def waiting(self, link: LinkState) -> int:
        return link_summary().pending

    @admin.display(description=_("since"))
    def began(self, link: LinkState) -> str:
        return _exactly(link_summary().since)

    @admin.display(description=_("last full"))
    def full(self, link: LinkState) -> str:
        return _exactly(link.last_full_at)

    @admin.display(description=_("last incremental"))
    def incremental(self, link: LinkState) -> str:
        return _exactly(link.last_incremental_at)

    def get_urls(self) -> list[URLPattern]:
        ask = path("ask/", self.admin_site.admin_view(self.ask_view), name="citytrips_linkstate_ask")
        return [ask, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The line; an open page fetches the part of it that changes."""
        asked = last_sync_request()
        context = {
            "asked": asked,
            "asked_at": _exactly(asked.created_at) if asked else "",
            "link": link_summary(),
            "may_ask": request.user.has_perm("fleet.change_vehicle"),
        }
        answer = super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})
        if request.headers.get("HX-Request") and isinstance(answer, TemplateResponse):
            answer.template_name = "admin/citytrips/linkstate/_live.html"
        return answer

    def ask_view(self, request: HttpRequest) -> HttpResponse:
        """Have the line send every vehicle (``full=1``), or connect and send what is pending, now."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) and request.user.has_perm("fleet.change_vehicle")):
            raise PermissionDenied
        full = request.POST.get("full") == "1"
        if sync_requests_open().filter(full=full).exists():
            messages.info(request, gettext("This was asked already and is under way."))
        else:
            services.sync_request_create(full=full, seconds=ASKED_FOR)
            wakeup.wake_worker()
            messages.success(request, gettext("The line was asked. What comes of it is shown here."))
        return redirect("admin:citytrips_linkstate_changelist")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one line, so its own page stands for the list."""
        if self.has_view_permission(request) and LinkState.objects.filter(id=1).exists():
            return redirect("admin:citytrips_linkstate_change", 1)
        return super().changelist_view(request, extra_context)


@admin.register(SyncRequest)
class SyncRequestAdmin(ReadOnly, _SyncRequestAdmin):
    list_display = ("created_at", "full", "state", "detail", "ended_at")
    list_filter = ("state",)
