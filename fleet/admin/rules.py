"""The rules of the fleet in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.options import ModelAdmin
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext

from fleet import services
from fleet.admin.look import author_words
from fleet.forms import RulesForm
from fleet.models import FleetRules, RulesChange
from fleet.wording import rules_change_words

if TYPE_CHECKING:
    RulesModelAdmin = ModelAdmin[FleetRules]
else:
    RulesModelAdmin = ModelAdmin

SHOWN = 10


@admin.register(FleetRules)
class FleetRulesAdmin(RulesModelAdmin):
    """The one row of rules."""

    form = RulesForm

    class Media:
        css = {"all": ["fleet/fleet.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: FleetRules | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is nothing to list: straight to the rules, which are made with their defaults when first asked for."""
        FleetRules.objects.get_or_create(id=1)
        return HttpResponseRedirect(reverse("admin:fleet_fleetrules_change", args=[1]))

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: FleetRules | None = None,
    ) -> HttpResponse:
        changes = RulesChange.objects.select_related("by")[:SHOWN]
        context["changes"] = [(one, author_words(one), rules_change_words(one.values)) for one in changes]
        return super().render_change_form(request, context, add, change, form_url, obj)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """It stands below the rules."""
        if self.get_object(request, object_id) is None:
            raise Http404
        return HttpResponseRedirect(reverse("admin:fleet_fleetrules_change", args=[1]))

    def save_model(self, request: HttpRequest, obj: FleetRules, form: ModelForm[FleetRules], change: bool) -> None:
        assert isinstance(form, RulesForm)  # noqa: S101 (for the type checker)
        services.rules_update(minimum_battery=obj.minimum_battery, silence_limit=obj.silence_limit, by=request.user)
        if form.effect is not None and form.effect:
            messages.info(request, gettext("By this change: %(effect)s.") % {"effect": form.effect.words})

    # The services write down what changes.
    def log_change(self, request: HttpRequest, obj: FleetRules, message: Any) -> None:  # type: ignore[override]
        pass
