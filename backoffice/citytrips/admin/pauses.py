"""Holding back what is sent, and letting it go again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from backoffice.citytrips import pauses
from backoffice.citytrips.admin.columns import ReadOnly, actor_of, chip, exactly
from backoffice.citytrips.models import Pause

if TYPE_CHECKING:
    _PauseAdmin = admin.ModelAdmin[Pause]
else:
    _PauseAdmin = admin.ModelAdmin

EVERYTHING = "everything"


class PauseForm(forms.Form):
    """What is to be held back, and why; the cities are those where vehicles are."""

    place = forms.ChoiceField(label=_("What"))
    reason = forms.CharField(
        label=_("Reason"),
        max_length=300,
        widget=forms.Textarea({"rows": 3}),
        help_text=_("Shown to everybody on the desk, above the vehicles and on the line's page until it is resumed."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = {f"{place.country}/{place.city}": place for place in pauses.places()}
        self.fields["place"].choices = [  # type: ignore[attr-defined]  # typed as any field
            ("", "–"),
            (EVERYTHING, gettext("Everything: all cities")),
            *((key, self._label(place)) for key, place in self._places.items()),
        ]

    @staticmethod
    def _label(place: pauses.Place) -> str:
        vehicles = ngettext("%(count)s vehicle", "%(count)s vehicles", place.vehicles)
        return f"{place.city}, {place.country} ({vehicles % {'count': intcomma(place.vehicles)}})"

    def clean_reason(self) -> str:
        """On one line, without what cannot be shown."""
        reason = " ".join(str(self.cleaned_data["reason"]).split())
        if not reason.isprintable():
            raise forms.ValidationError(gettext("Control characters are not allowed."))
        return reason

    def where(self) -> tuple[str, str]:
        """Country and city; two empty texts for everything."""
        if self.cleaned_data["place"] == EVERYTHING:
            return "", ""
        place = self._places[self.cleaned_data["place"]]
        return place.country, place.city


@admin.register(Pause)
class PauseAdmin(ReadOnly, _PauseAdmin):
    """The pauses of now and before."""

    list_display = ("what", "state_chip", "reason", "began", "by", "ended", "ended_by")
    list_display_links = ("what",)
    list_per_page = 50
    sortable_by = ()
    fields = ("what", "state_chip", "reason", "began", "by", "ended", "ended_by")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pause]:
        return super().get_queryset(request).select_related("paused_by", "resumed_by")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("begin/", view(self.begin_view), name="citytrips_pause_begin"),
            path("<int:pause_id>/end/", view(self.end_view), name="citytrips_pause_end"),
            *super().get_urls(),
        ]

    def begin_view(self, request: HttpRequest) -> HttpResponse:
        """Choose what is to be held back and say why (GET), see what that means (POST), and do it (POST, confirmed)."""
        self._check(request)
        form = PauseForm(request.POST or None)
        context: dict[str, Any] = {"form": form}
        if request.method == "POST" and form.is_valid():
            country, city = form.where()
            if request.POST.get("confirmed") == "1":
                return self._begin(request, country, city, form.cleaned_data["reason"])
            context |= {"asking": True, "country": country, "city": city}
        return self._page(request, "begin", context)

    def _begin(self, request: HttpRequest, country: str, city: str, reason: str) -> HttpResponse:
        pause = pauses.pause_begin(country=country, city=city, reason=reason, actor=actor_of(request))
        if pause is None:
            messages.info(request, gettext("This is paused already."))
        elif pause.of_all:
            messages.success(
                request, gettext("Nothing of the vehicles is sent to CityTrips until somebody resumes it.")
            )
        else:
            words = gettext("What CityTrips shows of %(city)s stays as it is until somebody resumes it.")
            messages.success(request, words % {"city": city})
        return redirect("admin:citytrips_linkstate_changelist")

    def end_view(self, request: HttpRequest, pause_id: int) -> HttpResponse:
        """Ask whether it is meant (GET), and send again what was held back (POST)."""
        self._check(request)
        pause = get_object_or_404(self.get_queryset(request), pk=pause_id)
        if request.method == "POST":
            if pauses.pause_end(pause=pause, actor=actor_of(request)):
                messages.success(request, gettext("What waited is sent now."))
            else:
                messages.info(request, gettext("This was resumed already."))
            return redirect("admin:citytrips_linkstate_changelist")
        if pause.resumed_at:
            return redirect("admin:citytrips_pause_change", pause.pk)
        return self._page(request, "end", {"object": pause, "began": exactly(pause.paused_at)})

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        known = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, f"admin/citytrips/pause/{name}.html", {**known, **context})

    @staticmethod
    def _check(request: HttpRequest) -> None:
        if not request.user.has_perm("citytrips.pause_sending"):
            raise PermissionDenied

    @admin.display(description=_("what"))
    def what(self, pause: Pause) -> str:
        return str(pause)

    @admin.display(description=_("state"))
    def state_chip(self, pause: Pause) -> str:
        return chip("", gettext("Resumed")) if pause.resumed_at else chip("warn", gettext("Paused"))

    @admin.display(description=_("paused"))
    def began(self, pause: Pause) -> str:
        return exactly(pause.paused_at)

    @admin.display(description=_("by"))
    def by(self, pause: Pause) -> str:
        return pause.paused_by.get_username() if pause.paused_by else "–"

    @admin.display(description=_("resumed"))
    def ended(self, pause: Pause) -> str:
        return exactly(pause.resumed_at)

    @admin.display(description=_("resumed by"))
    def ended_by(self, pause: Pause) -> str:
        return pause.resumed_by.get_username() if pause.resumed_by else "–"
