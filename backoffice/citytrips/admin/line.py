"""Where the line stands, and what staff ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from backoffice.citytrips import services, wakeup
from backoffice.citytrips.admin.columns import ReadOnly, chip, duration, exactly, may_act, refuse
from backoffice.citytrips.admin.journal import EntryInline
from backoffice.citytrips.exchange import State
from backoffice.citytrips.models import Alert, JournalEntry, LinkChange, LinkState, Reply, SyncRequest
from backoffice.citytrips.selectors import (
    LinkSummary,
    last_sync_request,
    link_summary,
    pauses_last,
    sync_requests_open,
)

if TYPE_CHECKING:
    _Inline = admin.TabularInline[LinkChange, LinkState]
    _LinkStateAdmin = admin.ModelAdmin[LinkState]
    _SyncRequestAdmin = admin.ModelAdmin[SyncRequest]
else:
    _Inline = admin.TabularInline
    _LinkStateAdmin = admin.ModelAdmin
    _SyncRequestAdmin = admin.ModelAdmin


_CHIPS = {
    State.UNCONFIGURED: "warn",
    State.WAITING: "warn",
    State.CONNECTING: "info",
    State.AUTHENTICATING: "info",
    State.LIVE: "ok",
    State.REFUSED: "bad",
    State.STANDBY: "info",
}
_REQUEST_CHIPS = {
    SyncRequest.State.WAITING: "info",
    SyncRequest.State.RUNNING: "info",
    SyncRequest.State.SETTLED: "ok",
    SyncRequest.State.REFUSED: "bad",
    SyncRequest.State.EXPIRED: "bad",
}

PAUSES_SHOWN: Final = 10
ASKED_FOR: Final = 120.0
"""Seconds that a request of staff stands: longer than the longest pause between two connections."""


class RequestEntries(EntryInline):
    fk_name = "sync_request"


class LinkChangeInline(ReadOnly, _Inline):
    model = LinkChange
    fields = ("moment", "state", "why")
    readonly_fields = ("moment", "why")
    extra = 0
    SHOWN = 50

    @admin.display(description=_("reason"))
    def why(self, change: LinkChange) -> str:
        return change.reason_in_words or "–"

    @admin.display(description=_("time"))
    def moment(self, change: LinkChange) -> str:
        return exactly(change.at)

    def get_queryset(self, request: HttpRequest) -> Any:
        newest = LinkChange.objects.order_by("-id").values("id")[: self.SHOWN]
        # A sub-query, because the inline filters further, which a slice refuses.
        return super().get_queryset(request).filter(pk__in=list(newest.values_list("id", flat=True)))


@admin.register(LinkState)
class LinkStateAdmin(ReadOnly, _LinkStateAdmin):
    fields = ("now", "began", "tried", "waiting", "full", "incremental", "held_by", "standing_by")
    readonly_fields = fields
    inlines = (LinkChangeInline,)
    PLACES: tuple[tuple[type[Model], Any], ...] = (
        (JournalEntry, _("Journal")),
        (Reply, _("Replies")),
        (Alert, _("Alerts")),
        (SyncRequest, _("Requests to send")),
    )

    @admin.display(description=_("state"))
    def now(self, link: LinkState) -> str:
        """As it is, not as a worker that has died since left it."""
        summary = self._summary(link)
        return format_html('<span class="chip {}">{}</span> {}', _CHIPS[summary.state], summary.label, summary.reason)

    @admin.display(description=_("vehicles waiting to be sent"))
    def waiting(self, link: LinkState) -> str:
        summary = self._summary(link)
        number = str(intcomma(summary.pending))
        if held_back := sum(one.waiting for one in summary.pauses):
            more = gettext("%(count)s more because of a pause") % {"count": intcomma(held_back)}
            number = f"{number}, {more}"
        if not summary.oldest_pending_age:
            return number
        longest = gettext("the first of them for %(duration)s") % {"duration": duration(summary.oldest_pending_age)}
        return f"{number}, {longest}"

    @admin.display(description=_("since"))
    def began(self, link: LinkState) -> str:
        return exactly(self._summary(link).since)

    @admin.display(description=_("attempts since it was live"))
    def tried(self, link: LinkState) -> str:
        return str(intcomma(self._summary(link).attempts))

    @admin.display(description=_("held by"))
    def held_by(self, link: LinkState) -> str:
        return self._summary(link).holder or gettext("Nobody")

    @admin.display(description=_("standing by"))
    def standing_by(self, link: LinkState) -> str:
        return ", ".join(self._summary(link).standbys) or gettext("Nobody")

    @admin.display(description=_("last full"))
    def full(self, link: LinkState) -> str:
        return exactly(link.last_full_at)

    @admin.display(description=_("last incremental"))
    def incremental(self, link: LinkState) -> str:
        return exactly(link.last_incremental_at)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("ask/", view(self.ask_view), name="citytrips_linkstate_ask"),
            path("unblock/", view(self.unblock_view), name="citytrips_linkstate_unblock"),
            *super().get_urls(),
        ]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> LinkState | None:
        """With the line at a glance, which is looked at once for the whole page."""
        link = super().get_object(request, object_id, from_field)
        if link is not None:
            link.__dict__["summary"] = link_summary()
        return link

    @staticmethod
    def _summary(link: LinkState) -> LinkSummary:
        summary: LinkSummary = link.__dict__["summary"]
        return summary

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The line; an open page fetches the part of it that changes."""
        asked = last_sync_request()
        context = {
            "asked": asked,
            "asked_at": exactly(asked.created_at) if asked else "",
            "may_act": may_act(request),
            "may_pause": request.user.has_perm("citytrips.pause_sending"),
            "may_see_pauses": request.user.has_perm("citytrips.view_pause"),
            "pauses_last": pauses_last(PAUSES_SHOWN),
            "places": [
                (reverse(f"admin:citytrips_{model._meta.model_name}_changelist"), label)
                for model, label in self.PLACES
                if request.user.has_perm(f"citytrips.view_{model._meta.model_name}")
            ],
        }
        answer = super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})
        if isinstance(answer, TemplateResponse) and answer.context_data is not None:
            summary = answer.context_data["link"] = self._summary(answer.context_data["original"])
            blocked = summary.fulls_blocked
            answer.context_data["blocked_since"] = exactly(blocked.since) if blocked else ""
            if request.headers.get("HX-Request"):
                answer.template_name = "admin/citytrips/linkstate/_live.html"
        return answer

    def ask_view(self, request: HttpRequest) -> HttpResponse:
        """Have the line send every vehicle (``full=1``), or connect and send what is pending, now."""
        if refusal := refuse(request, self.has_view_permission(request)):
            return refusal
        full = request.POST.get("full") == "1"
        if sync_requests_open().filter(full=full).exists():
            messages.info(request, gettext("This was asked already and is under way."))
        else:
            services.sync_request_create(full=full, seconds=ASKED_FOR)
            wakeup.wake_worker()
            messages.success(request, gettext("The line was asked. What comes of it is shown here."))
        return redirect("admin:citytrips_linkstate_changelist")

    def unblock_view(self, request: HttpRequest) -> HttpResponse:
        """Let the line send full lists of any size again."""
        if refusal := refuse(request, self.has_view_permission(request)):
            return refusal
        services.fulls_unblock()
        wakeup.wake_worker()
        messages.success(request, gettext("Full lists are sent again."))
        return redirect("admin:citytrips_linkstate_changelist")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one line, so its own page stands for the list."""
        if self.has_view_permission(request) and LinkState.objects.filter(id=1).exists():
            return redirect("admin:citytrips_linkstate_change", 1)
        return super().changelist_view(request, extra_context)


@admin.register(SyncRequest)
class SyncRequestAdmin(ReadOnly, _SyncRequestAdmin):
    """What was asked of the line, and the messages by which it was answered."""

    list_display = ("moment", "kind", "state_chip", "what", "ended")
    list_display_links = ("moment",)
    list_filter = ("state",)
    sortable_by = ()
    fields = ("moment", "kind", "state_chip", "what", "ended")
    readonly_fields = fields
    inlines = (RequestEntries,)

    @admin.display(description=_("detail"))
    def what(self, request: SyncRequest) -> str:
        return request.detail_in_words or "–"

    @admin.display(description=_("created"))
    def moment(self, request: SyncRequest) -> str:
        return exactly(request.created_at)

    @admin.display(description=_("asked for"))
    def kind(self, request: SyncRequest) -> str:
        return gettext("Send everything") if request.full else gettext("Send what is pending")

    @admin.display(description=_("state"))
    def state_chip(self, request: SyncRequest) -> str:
        is_void = request.ended_at is None and request.expires_at <= timezone.now()
        state = SyncRequest.State.EXPIRED if is_void else SyncRequest.State(request.state)
        return chip(_REQUEST_CHIPS[state], state.label)

    @admin.display(description=_("ended"))
    def ended(self, request: SyncRequest) -> str:
        return exactly(request.ended_at)
