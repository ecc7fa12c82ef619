"""What we owe CityTrips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from backoffice.citytrips import services
from backoffice.citytrips.admin.columns import ReadOnly, chip, exactly, link_to, may_act, may_see_people
from backoffice.citytrips.admin.journal import EntryInline, readable
from backoffice.citytrips.models import Reply
from backoffice.citytrips.selectors import replies_in

if TYPE_CHECKING:
    _ReplyAdmin = admin.ModelAdmin[Reply]
else:
    _ReplyAdmin = admin.ModelAdmin


_REPLY_CHIPS = {
    Reply.State.DUE: "warn",
    Reply.State.SENT: "info",
    Reply.State.SETTLED: "ok",
    Reply.State.OBJECTED: "bad",
}


class ReplyEntries(EntryInline):
    fk_name = "reply"


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
        return [name for name in self.list_display if name not in self.PERSONAL or may_see_people(request)]

    def get_fields(self, request: HttpRequest, obj: Reply | None = None) -> Any:
        return [name for name in self.fields if name not in self.PERSONAL or may_see_people(request)]

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
        return exactly(reply.created_at)

    @admin.display(description=_("command"))
    def kind(self, reply: Reply) -> str:
        return format_html("<code>{}</code>", reply.command)

    @admin.display(description=_("state"))
    def state_chip(self, reply: Reply) -> str:
        return chip(_REPLY_CHIPS[reply.state], reply.state.label)

    @admin.display(description=_("about"))
    def person(self, reply: Reply) -> str:
        return link_to(reply.about)

    @admin.display(description=_("content"))
    def content(self, reply: Reply) -> str:
        return readable(reply.payload)

    @admin.display(description=_("last sent"))
    def last_sent(self, reply: Reply) -> str:
        return exactly(reply.last_sent_at)

    @admin.display(description=_("settled"))
    def settled(self, reply: Reply) -> str:
        return exactly(reply.settled_at)

    @admin.display(description=_("objected"))
    def objected(self, reply: Reply) -> str:
        return exactly(reply.objected_at)
