"""The line in the admin: what goes over it, to be looked at, and what staff may ask of it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from django.contrib import admin, messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import F, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from backoffice.citytrips import services, wakeup
from backoffice.citytrips.journal import Direction, Outcome
from backoffice.citytrips.models import Alert, JournalEntry, LinkChange, LinkState, Reply, SyncRequest
from backoffice.citytrips.selectors import (
    LinkSummary,
    journal_commands,
    journal_search,
    last_sync_request,
    link_summary,
    replies_in,
    sync_requests_open,
)
from backoffice.citytrips.session import State
from users.models import User

if TYPE_CHECKING:
    _Inline = admin.TabularInline[LinkChange, LinkState]
    _EntryInline = admin.TabularInline[JournalEntry, Model]
    _LinkStateAdmin = admin.ModelAdmin[LinkState]
    _SyncRequestAdmin = admin.ModelAdmin[SyncRequest]
    _JournalAdmin = admin.ModelAdmin[JournalEntry]
    _ReplyAdmin = admin.ModelAdmin[Reply]
    _AlertAdmin = admin.ModelAdmin[Alert]
    _Paginator = Paginator[Any]
else:
    _Inline = _EntryInline = admin.TabularInline
    _LinkStateAdmin = _SyncRequestAdmin = _JournalAdmin = _ReplyAdmin = _AlertAdmin = admin.ModelAdmin
    _Paginator = Paginator

_CHIPS = {
    State.UNCONFIGURED: "warn",
    State.WAITING: "warn",
    State.CONNECTING: "info",
    State.AUTHENTICATING: "info",
    State.LIVE: "ok",
    State.REFUSED: "bad",
    State.STANDBY: "info",
}
_OUTCOME_CHIPS = {
    Outcome.RECEIVED: "info",
    Outcome.HANDLED: "ok",
    Outcome.ANSWERED: "ok",
    Outcome.UNKNOWN: "warn",
    Outcome.UNREADABLE: "bad",
    Outcome.FAILED: "bad",
    Outcome.SENT: "info",
    Outcome.SETTLED: "ok",
    Outcome.VOID: "warn",
    Outcome.OBJECTED: "bad",
}
_REPLY_CHIPS = {
    Reply.State.DUE: "warn",
    Reply.State.SENT: "info",
    Reply.State.SETTLED: "ok",
    Reply.State.OBJECTED: "bad",
}
_REQUEST_CHIPS = {
    SyncRequest.State.WAITING: "info",
    SyncRequest.State.RUNNING: "info",
    SyncRequest.State.SETTLED: "ok",
    SyncRequest.State.REFUSED: "bad",
    SyncRequest.State.EXPIRED: "bad",
}

ASKED_FOR: Final = 120.0
"""Seconds that a request of staff stands: longer than the longest pause between two connections."""


def _exactly(moment: datetime | None) -> str:
    """The date and the time with its seconds, in which the line's changes differ."""
    if moment is None:
        return "–"
    local = timezone.localtime(moment)
    return f"{date_format(local, 'SHORT_DATE_FORMAT')} {local:%H:%M:%S}"


def _in_words(duration: timedelta) -> str:
    """A time that has passed: in seconds below a minute."""
    seconds = int(duration.total_seconds())
    if seconds < 60:
        return ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds}
    return str(timesince(timezone.now() - duration))


def _chip(tone: str, label: object) -> SafeString:
    return format_html('<span class="chip {}">{}</span>', tone, label)


def _link(thing: Model | None, label: object = None) -> str:
    """A way to a row's own page."""
    if thing is None:
        return "–"
    url = reverse(f"admin:{thing._meta.app_label}_{thing._meta.model_name}_change", args=[thing.pk])
    return format_html('<a href="{}">{}</a>', url, label or thing)


def may_act(request: HttpRequest) -> bool:
    """Whether a person may ask something of the line: who looks after the fleet may."""
    return request.user.has_perm("fleet.change_vehicle")


def _may_see_people(request: HttpRequest) -> bool:
    return request.user.has_perm("users.view_user")


def _refuse(request: HttpRequest, may_view: bool) -> HttpResponse | None:
    """What keeps a person from acting here by this request; None if nothing does.

    :raises PermissionDenied: the person may not.
    """
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not (may_view and may_act(request)):
        raise PermissionDenied
    return None


class ReadOnly:
    """What the worker writes, nobody else does."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class EntryInline(ReadOnly, _EntryInline):
    """The messages that a row caused, the newest of them."""

    model = JournalEntry
    fields = ("moment", "direction", "kind", "outcome_chip", "why")
    readonly_fields = fields
    extra = 0
    verbose_name_plural = _("messages")
    SHOWN = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[JournalEntry]:
        key = request.resolver_match.kwargs.get("object_id") if request.resolver_match else None
        about = Q((self.fk_name or "", key))
        # A sub-query, because the inline filters further, which a slice refuses.
        newest = JournalEntry.objects.filter(about).order_by("-id").values_list("id", flat=True)[: self.SHOWN]
        return super().get_queryset(request).filter(pk__in=list(newest))

    @admin.display(description=_("time"))
    def moment(self, entry: JournalEntry) -> str:
        return _link(entry, _exactly(entry.at))

    @admin.display(description=_("command"))
    def kind(self, entry: JournalEntry) -> str:
        return format_html("<code>{}</code>", entry.command)

    @admin.display(description=_("outcome"))
    def outcome_chip(self, entry: JournalEntry) -> str:
        return _chip(_OUTCOME_CHIPS[Outcome(entry.outcome)], entry.get_outcome_display())

    @admin.display(description=_("reason"))
    def why(self, entry: JournalEntry) -> str:
        return entry.reason or "–"


class RequestEntries(EntryInline):
    fk_name = "sync_request"


class ReplyEntries(EntryInline):
    fk_name = "reply"


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
        if not summary.oldest_pending_age:
            return number
        longest = gettext("the first of them for %(duration)s") % {"duration": _in_words(summary.oldest_pending_age)}
        return f"{number}, {longest}"

    @admin.display(description=_("since"))
    def began(self, link: LinkState) -> str:
        return _exactly(self._summary(link).since)

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
        return _exactly(link.last_full_at)

    @admin.display(description=_("last incremental"))
    def incremental(self, link: LinkState) -> str:
        return _exactly(link.last_incremental_at)

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
            "asked_at": _exactly(asked.created_at) if asked else "",
            "may_act": may_act(request),
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
            answer.context_data["blocked_since"] = _exactly(blocked.since) if blocked else ""
            if request.headers.get("HX-Request"):
                answer.template_name = "admin/citytrips/linkstate/_live.html"
        return answer

    def ask_view(self, request: HttpRequest) -> HttpResponse:
        """Have the line send every vehicle (``full=1``), or connect and send what is pending, now."""
        if refusal := _refuse(request, self.has_view_permission(request)):
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
        if refusal := _refuse(request, self.has_view_permission(request)):
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

    list_display = ("moment", "kind", "state_chip", "detail", "ended")
    list_display_links = ("moment",)
    list_filter = ("state",)
    sortable_by = ()
    fields = ("moment", "kind", "state_chip", "detail", "ended")
    readonly_fields = fields
    inlines = (RequestEntries,)

    @admin.display(description=_("created"))
    def moment(self, request: SyncRequest) -> str:
        return _exactly(request.created_at)

    @admin.display(description=_("asked for"))
    def kind(self, request: SyncRequest) -> str:
        return gettext("Send everything") if request.full else gettext("Send what is pending")

    @admin.display(description=_("state"))
    def state_chip(self, request: SyncRequest) -> str:
        is_void = request.ended_at is None and request.expires_at <= timezone.now()
        state = SyncRequest.State.EXPIRED if is_void else SyncRequest.State(request.state)
        return _chip(_REQUEST_CHIPS[state], state.label)

    @admin.display(description=_("ended"))
    def ended(self, request: SyncRequest) -> str:
        return _exactly(request.ended_at)


# --- The journal -------------------------------------------------------------------------------------------------


class CappedPaginator(_Paginator):
    """Counts no further than anybody turns pages: a journal of millions is not read through for its length."""

    MOST: Final = 10_000

    @cached_property
    def count(self) -> int:
        return cast("QuerySet[Any]", self.object_list[: self.MOST]).count()


class CommandFilter(admin.SimpleListFilter):
    title = _("command")
    parameter_name = "command"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(command, command) for command in journal_commands()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[JournalEntry]) -> QuerySet[JournalEntry]:
        return queryset.filter(command=self.value()) if self.value() else queryset


class AgeFilter(admin.SimpleListFilter):
    title = _("time")
    parameter_name = "age"
    HOURS = {"hour": 1, "day": 24, "week": 168}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("hour", gettext("Last hour")), ("day", gettext("Last day")), ("week", gettext("Last week"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[JournalEntry]) -> QuerySet[JournalEntry]:
        if hours := self.HOURS.get(self.value() or ""):
            return queryset.filter(at__gte=timezone.now() - timedelta(hours=hours))
        return queryset


@admin.register(JournalEntry)
class JournalEntryAdmin(ReadOnly, _JournalAdmin):
    list_display = ("moment", "way", "kind", "outcome_chip", "what", "length", "person")
    list_display_links = ("moment",)
    list_filter = ("direction", CommandFilter, "outcome", AgeFilter)
    list_per_page = 50
    sortable_by = ()
    search_fields = ("command",)  # a box to search in; what it finds, get_search_results says
    search_help_text = _("Command, reason, account")
    show_full_result_count = False
    paginator = CappedPaginator
    fields = ("moment", "way", "kind", "outcome_chip", "reason", "length", "content", "person", "asked", "owed", "ref")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[JournalEntry]:
        entries = super().get_queryset(request).select_related("sync_request", "reply")
        # Who it was about is for those who may see people.
        return entries.select_related("account") if _may_see_people(request) else entries.defer("account")

    def get_list_display(self, request: HttpRequest) -> Any:
        return [name for name in self.list_display if name != "person" or _may_see_people(request)]

    def get_fields(self, request: HttpRequest, obj: JournalEntry | None = None) -> Any:
        return [name for name in self.fields if name != "person" or _may_see_people(request)]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[JournalEntry], search_term: str
    ) -> tuple[QuerySet[JournalEntry], bool]:
        found = journal_search(entries=queryset, words=search_term, people=_may_see_people(request))
        return found, False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        words = gettext("The newest %(count)s that match are listed.") % {"count": intcomma(CappedPaginator.MOST)}
        context = {"most": CappedPaginator.MOST, "capped": words}
        return super().changelist_view(request, {**(extra_context or {}), **context})

    @admin.display(description=_("time"))
    def moment(self, entry: JournalEntry) -> str:
        return _exactly(entry.at)

    @admin.display(description=_("direction"))
    def way(self, entry: JournalEntry) -> str:
        arrow = "↓" if entry.direction == Direction.IN else "↑"
        return format_html('<span aria-hidden="true">{}</span>\u00a0{}', arrow, entry.get_direction_display())

    @admin.display(description=_("command"))
    def kind(self, entry: JournalEntry) -> str:
        return format_html("<code>{}</code>", entry.command)

    @admin.display(description=_("outcome"))
    def outcome_chip(self, entry: JournalEntry) -> str:
        return _chip(_OUTCOME_CHIPS[Outcome(entry.outcome)], entry.get_outcome_display())

    @admin.display(description=_("what"))
    def what(self, entry: JournalEntry) -> str:
        """The reason, or in a word what it carried."""
        if entry.reason:
            return entry.reason
        match entry.body:
            case {"vehicles": int(vehicles)}:
                return ngettext("%(count)s vehicle", "%(count)s vehicles", vehicles) % {"count": intcomma(vehicles)}
            case {"fields": list(fields)}:
                return ngettext("%(count)d field", "%(count)d fields", len(fields)) % {"count": len(fields)}
            case {"reason": str(reason)}:
                return reason
        return "–"

    @admin.display(description=_("characters"))
    def length(self, entry: JournalEntry) -> str:
        return str(intcomma(entry.size))

    @admin.display(description=_("content"))
    def content(self, entry: JournalEntry) -> str:
        return _readable(entry.body)

    @admin.display(description=_("account"))
    def person(self, entry: JournalEntry) -> str:
        return _link(entry.account)

    @admin.display(description=_("request to send"))
    def asked(self, entry: JournalEntry) -> str:
        return _link(entry.sync_request)

    @admin.display(description=_("reply"))
    def owed(self, entry: JournalEntry) -> str:
        return _link(entry.reply)


def _readable(value: object) -> str:
    """JSON as people read it; where a handler failed stands below it, in lines."""
    where = ""
    if isinstance(value, dict) and isinstance(value.get("traceback"), str):
        where = value["traceback"]
        value = {name: part for name, part in value.items() if name != "traceback"}
    shown = format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True))
    return format_html("{}<pre>{}</pre>", shown, where) if where else shown


# --- Replies -----------------------------------------------------------------------------------------------------


class ReplyStateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in Reply.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Reply]) -> QuerySet[Reply]:
        state = self.value()
        return replies_in(replies=queryset, state=Reply.State(state)) if state else queryset


@admin.action(description=_("Send again"), permissions=["resend"])
def resend(model_admin: ReplyAdmin, request: HttpRequest, queryset: QuerySet[Reply]) -> None:
    count = sum(services.reply_resend(reply_id=reply_id) for reply_id in queryset.values_list("pk", flat=True))
    words = ngettext("%(count)d reply is sent again.", "%(count)d replies are sent again.", count)
    messages.success(request, words % {"count": count})


@admin.register(Reply)
class ReplyAdmin(ReadOnly, _ReplyAdmin):
    """What we owe CityTrips. What a reply says of a person is for those who may see people."""

    list_display = ("moment", "kind", "state_chip", "person", "sent_count", "last_sent")
    list_display_links = ("moment",)
    list_filter = (ReplyStateFilter,)
    list_per_page = 50
    sortable_by = ()
    actions = (resend,)
    fields = ("moment", "kind", "state_chip", "person", "content", "sent_count", "last_sent", "settled", "objected")
    readonly_fields = fields
    inlines = (ReplyEntries,)
    PERSONAL = ("person", "content")

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return may_act(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reply]:
        return super().get_queryset(request).select_related("about")

    def get_list_display(self, request: HttpRequest) -> Any:
        return [name for name in self.list_display if name not in self.PERSONAL or _may_see_people(request)]

    def get_fields(self, request: HttpRequest, obj: Reply | None = None) -> Any:
        return [name for name in self.fields if name not in self.PERSONAL or _may_see_people(request)]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.resend_view)
        return [path("<int:reply_id>/resend/", view, name="citytrips_reply_resend"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "may_act": may_act(request)}
        return super().change_view(request, object_id, form_url, context)

    def resend_view(self, request: HttpRequest, reply_id: int) -> HttpResponse:
        """Ask whether it is meant (GET), and have it sent again (POST)."""
        if not (self.has_view_permission(request) and may_act(request)):
            raise PermissionDenied
        reply = get_object_or_404(Reply, pk=reply_id)
        if request.method == "POST":
            services.reply_resend(reply_id=reply.pk)
            messages.success(request, gettext("The reply is sent again as soon as the line is live."))
            return redirect("admin:citytrips_reply_change", reply.pk)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "object": reply}
        return TemplateResponse(request, "admin/citytrips/reply/resend.html", context)

    @admin.display(description=_("created"))
    def moment(self, reply: Reply) -> str:
        return _exactly(reply.created_at)

    @admin.display(description=_("command"))
    def kind(self, reply: Reply) -> str:
        return format_html("<code>{}</code>", reply.command)

    @admin.display(description=_("state"))
    def state_chip(self, reply: Reply) -> str:
        return _chip(_REPLY_CHIPS[reply.state], reply.state.label)

    @admin.display(description=_("about"))
    def person(self, reply: Reply) -> str:
        return _link(reply.about)

    @admin.display(description=_("content"))
    def content(self, reply: Reply) -> str:
        return _readable(reply.payload)

    @admin.display(description=_("last sent"))
    def last_sent(self, reply: Reply) -> str:
        return _exactly(reply.last_sent_at)

    @admin.display(description=_("settled"))
    def settled(self, reply: Reply) -> str:
        return _exactly(reply.settled_at)

    @admin.display(description=_("objected"))
    def objected(self, reply: Reply) -> str:
        return _exactly(reply.objected_at)


# --- Alerts ------------------------------------------------------------------------------------------------------


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
        services.alert_resolve(alert=alert, actor=_actor(request))
    words = ngettext("%(count)d alert is done.", "%(count)d alerts are done.", len(alerts))
    messages.success(request, words % {"count": len(alerts)})


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101  the admin admits nobody else
    return request.user


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
        if refusal := _refuse(request, self.has_view_permission(request)):
            return refusal
        services.alert_resolve(alert=get_object_or_404(Alert, pk=alert_id), actor=_actor(request))
        messages.success(request, gettext("The alert is done."))
        return redirect("desk" if request.POST.get("from") == "desk" else "admin:citytrips_alert_changelist")

    @admin.display(description=_("what"))
    def what(self, alert: Alert) -> str:
        return str(alert.get_kind_display())

    @admin.display(description=_("state"))
    def state_chip(self, alert: Alert) -> str:
        return _chip("", gettext("Done")) if alert.resolved_at else _chip("warn", gettext("Open"))

    @admin.display(description=_("first"))
    def first(self, alert: Alert) -> str:
        return _exactly(alert.first_at)

    @admin.display(description=_("last"))
    def last(self, alert: Alert) -> str:
        return _exactly(alert.last_at)

    @admin.display(description=_("done"))
    def done_at(self, alert: Alert) -> str:
        return _exactly(alert.resolved_at)

    @admin.display(description=_("done by"))
    def by(self, alert: Alert) -> str:
        return alert.resolved_by.get_username() if alert.resolved_by else "–"
