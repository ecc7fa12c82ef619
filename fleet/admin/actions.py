"""What the list does to many vehicles at once: says what it did, whom it left out and why, and offers to undo it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import format_lazy
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from fleet import services
from fleet.models import Vehicle
from fleet.services import BulkOutcome, Skipped
from fleet.vocabulary import Origin, State

if TYPE_CHECKING:
    from fleet.admin.vehicles import VehicleAdmin

# So many are named of those that were left out for the same reason.
NAMED = 5


def skipped_words(skipped: Sequence[Skipped]) -> str:
    """Those left out, by reason, the first few by name."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for one in skipped:
        groups[one.reason].append(one.name)
    parts = []
    for reason, names in sorted(groups.items(), key=lambda item: -len(item[1])):
        shown = ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
        words = gettext("%(count)s %(reason)s (%(names)s)")
        parts.append(words % {"count": number_format(len(names), use_l10n=True), "reason": reason, "names": shown})
    return "; ".join(parts)


def report(request: HttpRequest, done: str, outcome: BulkOutcome) -> None:
    """Tell what became of an action, with the way to undo it."""
    text: SafeString = format_html("{}", done)
    if outcome.skipped:
        count = len(outcome.skipped)
        words = ngettext("%(count)s left out: %(why)s.", "%(count)s left out: %(why)s.", count)
        why = skipped_words(outcome.skipped)
        text = format_html("{} {}", text, words % {"count": number_format(count, use_l10n=True), "why": why})
    if outcome.batch is not None:
        url = reverse("admin:fleet_vehiclechange_undo_batch", args=[outcome.batch])
        text = format_html('{} <a href="{}">{}</a>', text, url, gettext("Undo"))
    messages.add_message(request, messages.SUCCESS if outcome.changed else messages.WARNING, text)


def _ids(queryset: QuerySet[Vehicle]) -> list[str]:
    return list(queryset.order_by().values_list("pk", flat=True))


def _state_action(state: State) -> Callable[..., None]:
    """The bulk action that reports one state."""

    @admin.action(description=format_lazy(_("Set state: {state}"), state=state.label), permissions=["change"])
    def act(model_admin: VehicleAdmin, request: HttpRequest, queryset: QuerySet[Vehicle]) -> None:
        outcome = services.vehicles_set_state(ids=_ids(queryset), state=state, by=request.user, origin=Origin.PERSON)
        words = ngettext(
            "%(count)s vehicle changed: %(state)s.", "%(count)s vehicles changed: %(state)s.", outcome.changed
        )
        count = number_format(outcome.changed, use_l10n=True)
        report(request, words % {"count": count, "state": state.label}, outcome)

    act.__name__ = f"set_{state.value}"
    return act


@admin.action(description=_("Move to a city …"), permissions=["change"])
def move(model_admin: VehicleAdmin, request: HttpRequest, queryset: QuerySet[Vehicle]) -> HttpResponse | None:
    """Ask which city, then move."""
    form = MoveForm(request.POST if "apply" in request.POST else None)
    if form.is_bound and form.is_valid():
        try:
            outcome = services.vehicles_move(
                ids=_ids(queryset), by=request.user, origin=Origin.PERSON, **form.cleaned_data
            )
        except ValidationError as error:
            form.add_error(None, error)
        else:
            words = ngettext(
                "%(count)s vehicle moved: %(city)s.", "%(count)s vehicles moved: %(city)s.", outcome.changed
            )
            count = number_format(outcome.changed, use_l10n=True)
            report(request, words % {"count": count, "city": form.cleaned_data["city"]}, outcome)
            return None
    return _asking(model_admin, request, queryset, "move", gettext("Move to a city"), form)


@admin.action(description=_("Retire …"), permissions=["change"])
def retire(model_admin: VehicleAdmin, request: HttpRequest, queryset: QuerySet[Vehicle]) -> HttpResponse | None:
    """Say how many leave the fleet, and do it when that is confirmed; once more, if they have become others."""
    count = queryset.count()
    if request.POST.get("apply") == str(count):
        outcome = services.vehicles_retire(ids=_ids(queryset), by=request.user, origin=Origin.PERSON)
        words = ngettext("%(count)s vehicle retired.", "%(count)s vehicles retired.", outcome.changed)
        report(request, words % {"count": number_format(outcome.changed, use_l10n=True)}, outcome)
        return None
    return _asking(model_admin, request, queryset, "retire", gettext("Retire"), None)


@admin.action(description=_("Send to CityTrips again"), permissions=["change"])
def resend(model_admin: VehicleAdmin, request: HttpRequest, queryset: QuerySet[Vehicle]) -> None:
    outcome = services.vehicles_resend(ids=_ids(queryset))
    words = ngettext("%(count)s vehicle is pending again.", "%(count)s vehicles are pending again.", outcome.changed)
    report(request, words % {"count": number_format(outcome.changed, use_l10n=True)}, outcome)


class MoveForm(forms.Form):
    city = forms.CharField(
        label=_("City"), max_length=80, widget=forms.TextInput(attrs={"list": "cities", "autofocus": True})
    )
    country = forms.CharField(
        label=_("Country"),
        max_length=60,
        required=False,
        widget=forms.TextInput(attrs={"list": "countries"}),
        help_text=_("Empty: each keeps its own. A vehicle whose position is not in the country is left out."),
    )


def _asking(
    model_admin: VehicleAdmin,
    request: HttpRequest,
    queryset: QuerySet[Vehicle],
    action: str,
    title: str,
    form: forms.Form | None,
) -> HttpResponse:
    """The page between an action and its doing; it sends the same selection again."""
    count = queryset.count()
    across = request.POST.get("select_across") == "1"
    selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
    names = [str(vehicle) for vehicle in queryset.only("id", "plate").order_by("pk")[:NAMED]]
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": title,
        "action": action,
        "form": form,
        "count": count,
        "names": names,
        "more": count - len(names),
        "across": across,
        # All of a filter are named by the filter; the admin wants one of them all the same.
        "selected": selected[:1] if across else selected,
        "checkbox": ACTION_CHECKBOX_NAME,
        "back": request.get_full_path(),
        "cities": _known("city"),
        "countries": _known("country"),
    }
    return TemplateResponse(request, f"admin/fleet/vehicle/{action}.html", context)


def _known(name: str) -> list[str]:
    found = Vehicle.objects.order_by(name).values_list(name, flat=True).distinct()
    return [value for value in found if value]


ACTIONS = [
    *(_state_action(state) for state in State if state != State.REMOVED),
    move,
    retire,
    resend,
]
