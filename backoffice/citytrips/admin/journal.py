"""What went over the line, and what a row caused to go over it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from django.contrib import admin
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from backoffice.citytrips.admin.columns import ReadOnly, chip, exactly, link_to, may_see_people
from backoffice.citytrips.journal import Direction, Outcome
from backoffice.citytrips.models import JournalEntry
from backoffice.citytrips.selectors import journal_commands, journal_search

if TYPE_CHECKING:
    _EntryInline = admin.TabularInline[JournalEntry, Model]
    _JournalAdmin = admin.ModelAdmin[JournalEntry]
    _Paginator = Paginator[Any]
else:
    _EntryInline = admin.TabularInline
    _JournalAdmin = admin.ModelAdmin
    _Paginator = Paginator


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
        return link_to(entry, exactly(entry.at))

    @admin.display(description=_("command"))
    def kind(self, entry: JournalEntry) -> str:
        return format_html("<code>{}</code>", entry.command)

    @admin.display(description=_("outcome"))
    def outcome_chip(self, entry: JournalEntry) -> str:
        return chip(_OUTCOME_CHIPS[Outcome(entry.outcome)], entry.get_outcome_display())

    @admin.display(description=_("reason"))
    def why(self, entry: JournalEntry) -> str:
        return entry.reason_in_words or "–"


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
    fields = ("moment", "way", "kind", "outcome_chip", "why", "length", "content", "person", "asked", "owed", "ref")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[JournalEntry]:
        entries = super().get_queryset(request).select_related("sync_request", "reply")
        # Who it was about is for those who may see people.
        return entries.select_related("account") if may_see_people(request) else entries.defer("account")

    def get_list_display(self, request: HttpRequest) -> Any:
        return [name for name in self.list_display if name != "person" or may_see_people(request)]

    def get_fields(self, request: HttpRequest, obj: JournalEntry | None = None) -> Any:
        return [name for name in self.fields if name != "person" or may_see_people(request)]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[JournalEntry], search_term: str
    ) -> tuple[QuerySet[JournalEntry], bool]:
        found = journal_search(entries=queryset, words=search_term, people=may_see_people(request))
        return found, False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        words = gettext("The newest %(count)s that match are listed.") % {"count": intcomma(CappedPaginator.MOST)}
        context = {"most": CappedPaginator.MOST, "capped": words}
        return super().changelist_view(request, {**(extra_context or {}), **context})

    @admin.display(description=_("time"))
    def moment(self, entry: JournalEntry) -> str:
        return exactly(entry.at)

    @admin.display(description=_("direction"))
    def way(self, entry: JournalEntry) -> str:
        arrow = "↓" if entry.direction == Direction.IN else "↑"
        return format_html('<span aria-hidden="true">{}</span>\u00a0{}', arrow, entry.get_direction_display())

    @admin.display(description=_("command"))
    def kind(self, entry: JournalEntry) -> str:
        return format_html("<code>{}</code>", entry.command)

    @admin.display(description=_("outcome"))
    def outcome_chip(self, entry: JournalEntry) -> str:
        return chip(_OUTCOME_CHIPS[Outcome(entry.outcome)], entry.get_outcome_display())

    @admin.display(description=_("reason"))
    def why(self, entry: JournalEntry) -> str:
        return entry.reason_in_words or "–"

    @admin.display(description=_("what"))
    def what(self, entry: JournalEntry) -> str:
        """The reason, or in a word what it carried."""
        if entry.reason:
            return entry.reason_in_words
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
        return readable(entry.body)

    @admin.display(description=_("account"))
    def person(self, entry: JournalEntry) -> str:
        return link_to(entry.account)

    @admin.display(description=_("request to send"))
    def asked(self, entry: JournalEntry) -> str:
        return link_to(entry.sync_request)

    @admin.display(description=_("reply"))
    def owed(self, entry: JournalEntry) -> str:
        return link_to(entry.reply)


def readable(value: object) -> str:
    """JSON as people read it; where a handler failed stands below it, in lines."""
    where = ""
    if isinstance(value, dict) and isinstance(value.get("traceback"), str):
        where = value["traceback"]
        value = {name: part for name, part in value.items() if name != "traceback"}
    shown = format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True))
    return format_html("{}<pre>{}</pre>", shown, where) if where else shown
