"""The pages beside a vehicle's form: its state by itself, its history with undo, and the filters kept under names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
    QueryDict,
)
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from fleet import services
from fleet.admin import look
from fleet.admin.lists import query_of
from fleet.errors import NotUndoable
from fleet.history import author_id
from fleet.models import LONGEST_QUERY, SavedFilter, Vehicle, VehicleChange
from fleet.undoing import change_plan, change_undo
from fleet.vocabulary import Origin, State

if TYPE_CHECKING:
    from fleet.admin.vehicles import VehicleAdmin

HISTORY_PAGE = 50
MOST_FILTERS = 50
STATES = [(state.value, state.label, look.STATE_TONES.get(state, "")) for state in State]


def urls(site: VehicleAdmin) -> list[URLPattern]:
    def page(view: Any) -> Any:
        def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            answer: HttpResponse = view(site, request, *args, **kwargs)
            return answer

        return site.admin_site.admin_view(wrapped)

    return [
        path("filters/", page(filter_save), name="fleet_vehicle_filter_save"),
        path("filters/<int:key>/delete/", page(filter_delete), name="fleet_vehicle_filter_delete"),
        path("<path:object_id>/state/", page(state), name="fleet_vehicle_state"),
        path("<path:object_id>/history/<int:key>/undo/", page(undo), name="fleet_vehicle_undo"),
    ]


@dataclass(frozen=True)
class Tool:
    """A button of the list that leads to another page about the same vehicles."""

    label: str
    url: str


def tools(request: HttpRequest) -> list[Tool]:
    """The ways from the list to the pages that exist, with what the list shows."""
    query = query_of(request.GET, order=False)
    told = f"?{query}" if query else ""
    found = [
        (gettext("Changes"), look.address("admin:fleet_vehiclechange_changelist"), "", "fleet.view_vehicle"),
        (gettext("Map"), look.address("fleet:map"), told, "fleet.view_vehicle"),
        (gettext("Export"), look.address("fleet:export"), told, "fleet.view_vehicle"),
        (gettext("Import"), look.address("fleet:import"), "", "fleet.change_vehicle"),
    ]
    user = request.user
    return [Tool(label, url + query) for label, url, query, permission in found if url and user.has_perm(permission)]


def map_url(vehicle: Vehicle) -> str | None:
    """Where the map shows this vehicle, if it can."""
    url = look.address("fleet:map")
    return f"{url}?{urlencode({'q': vehicle.pk})}" if url and vehicle.latitude is not None else None


# --- The state by itself -----------------------------------------------------------------------------------------


class StateForm(forms.Form):
    state = forms.ChoiceField(choices=State.choices, widget=forms.RadioSelect)
    # What the page showed, so that nobody takes back what somebody else has just done.
    seen = forms.ChoiceField(choices=State.choices, required=False, widget=forms.HiddenInput)


def state(site: VehicleAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """Change the state of one vehicle: a page of its own, and for the list's menu an answer in JSON."""
    vehicle = _vehicle(site, request, object_id, change=True)
    wants_json = request.headers.get("Accept") == "application/json"
    form = StateForm(request.POST if request.method == "POST" else None, initial={"state": vehicle.state})
    problem = ""
    if form.is_bound and form.is_valid():
        chosen, seen = form.cleaned_data["state"], form.cleaned_data["seen"]
        if seen and seen not in (vehicle.state, chosen):
            words = gettext("Somebody else changed this in the meantime: it is now “%(value)s”.")
            problem = words % {"value": vehicle.get_state_display()}
        else:
            before = vehicle.state
            try:
                services.vehicle_update(
                    vehicle=vehicle, values={"state": chosen}, by=request.user, origin=Origin.PERSON
                )
            except ValidationError as error:
                problem = " ".join(error.messages)
            else:
                vehicle = _vehicle(site, request, object_id, change=True)
                told = _state_told(request, vehicle) if before != chosen else gettext("Nothing was changed.")
                if wants_json:
                    return _row(vehicle, told, 200)
                messages.success(request, told)
                return HttpResponseRedirect(reverse("admin:fleet_vehicle_change", args=[vehicle.pk]))
    elif form.is_bound:
        problem = gettext("This is not a state of MDS 2.0.")
    if wants_json and form.is_bound:
        return _row(vehicle, problem, 409)
    context = {
        **site.admin_site.each_context(request),
        "opts": site.opts,
        "vehicle": vehicle,
        "states": STATES,
        "problem": problem,
    }
    return TemplateResponse(request, "admin/fleet/vehicle/state.html", context, status=409 if problem else 200)


def _state_told(request: HttpRequest, vehicle: Vehicle) -> SafeString:
    entry = VehicleChange.objects.filter(vehicle=vehicle, by=request.user.pk).first()
    words = gettext("%(vehicle)s: %(state)s.") % {"vehicle": vehicle, "state": vehicle.get_state_display()}
    if entry is None:
        return format_html("{}", words)
    url = reverse("admin:fleet_vehicle_undo", args=[vehicle.pk, entry.pk])
    return format_html('{} <a href="{}">{}</a>', words, url, gettext("Undo"))


def _row(vehicle: Vehicle, message: str, status: int) -> JsonResponse:
    """What of the list's row is another now."""
    told = {
        "state": look.state_menu(vehicle),
        "citytrips": look.citytrips_chip(vehicle),
        "message": format_html("{}", message),
    }
    return JsonResponse(told, status=status)


# --- History -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HistoryEntry:
    """A change as a page shows it; `undo_url` is empty where the person may not undo, or it was undone already."""

    change: VehicleChange
    author: str
    origin: SafeString
    lines: SafeString
    undo_url: str
    undone: bool


def entries(changes: Iterable[VehicleChange], request: HttpRequest) -> list[HistoryEntry]:
    """Changes in words; one query more, for what was undone since."""
    rows = list(changes)
    undone = set(VehicleChange.objects.filter(undoes__in=[row.pk for row in rows]).values_list("undoes", flat=True))
    may_undo = request.user.has_perm("fleet.change_vehicle")
    return [
        HistoryEntry(
            row,
            look.author_words(row),
            look.origin_chip(row),
            look.change_lines(row),
            reverse("admin:fleet_vehicle_undo", args=[row.vehicle_id, row.pk]) if may_undo else "",
            row.pk in undone,
        )
        for row in rows
    ]


def history(site: VehicleAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """What was done with a vehicle: who, when, from where, and the way back."""
    vehicle = _vehicle(site, request, object_id)
    changes = VehicleChange.objects.filter(vehicle=vehicle).select_related("by")
    page = Paginator(changes, HISTORY_PAGE).get_page(request.GET.get("p"))
    context = {
        **site.admin_site.each_context(request),
        "opts": site.opts,
        "object": vehicle,
        "page": page,
        "page_range": page.paginator.get_elided_page_range(page.number),
        "entries": entries(page.object_list, request),
    }
    return TemplateResponse(request, "admin/fleet/vehicle/object_history.html", context)


def undo(site: VehicleAdmin, request: HttpRequest, object_id: str, key: int) -> HttpResponse:
    """Show what undoing a change would do, and do it."""
    vehicle = _vehicle(site, request, object_id, change=True)
    change = get_object_or_404(VehicleChange.objects.select_related("by"), pk=key, vehicle=vehicle)
    problem = ""
    if request.method == "POST":
        try:
            change_undo(change=change, by=request.user, partly=request.POST.get("partly") == "1")
        except NotUndoable as error:
            problem = str(error)
        except ValidationError as error:
            words = gettext("The vehicle would then not be a valid one: %(reasons)s")
            problem = words % {"reasons": " ".join(error.messages)}
        else:
            messages.success(request, gettext("%(vehicle)s: the change was undone.") % {"vehicle": vehicle})
            return HttpResponseRedirect(reverse("admin:fleet_vehicle_history", args=[vehicle.pk]))
        vehicle.refresh_from_db()
    plan = change_plan(change, vehicle)
    context = {
        **site.admin_site.each_context(request),
        "opts": site.opts,
        "object": vehicle,
        "change": change,
        "author": look.author_words(change),
        "told": look.change_lines(change),
        "restored": look.values_lines(plan.restored),
        "contested": look.values_lines({name: (given, now) for name, (now, given) in plan.contested.items()}),
        "problem": problem,
    }
    return TemplateResponse(request, "admin/fleet/vehicle/undo.html", context, status=409 if problem else 200)


def _vehicle(site: VehicleAdmin, request: HttpRequest, object_id: str, *, change: bool = False) -> Vehicle:
    """The vehicle that a page is about, if the person may see it, or change it.

    :raises PermissionDenied: the person may not.
    :raises Http404: there is none.
    """
    allowed = site.has_change_permission(request) if change else site.has_view_or_change_permission(request)
    if not allowed:
        raise PermissionDenied
    vehicle = site.get_queryset(request).filter(pk=object_id).first()
    if vehicle is None:
        raise Http404
    return vehicle


# --- Filters kept under names ------------------------------------------------------------------------------------


class FilterForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = SavedFilter
        fields = ("name", "query", "shared")


def filter_save(site: VehicleAdmin, request: HttpRequest) -> HttpResponse:
    """Keep what the list shows under a name; one of the same name takes its place."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not site.has_view_or_change_permission(request):
        raise PermissionDenied
    query = _query(request.POST.get("query", ""))
    own = SavedFilter.objects.filter(owner=request.user.pk)
    name = request.POST.get("name", "").strip()
    given = {"name": name, "query": query, "shared": request.POST.get("shared", "")}
    form = FilterForm(given, instance=own.filter(name=name).first() if "\0" not in name else None)
    if form.is_valid() and form.instance.pk is None and own.count() >= MOST_FILTERS:
        form.add_error(None, gettext("There are too many already; delete some first."))
    if form.is_valid():
        kept: SavedFilter = form.save(commit=False)
        kept.owner_id = author_id(request.user)
        kept.save()
        messages.success(request, gettext("The filter “%(name)s” is kept.") % {"name": kept.name})
    else:
        reasons = " ".join(str(reason) for each in form.errors.values() for reason in each)
        messages.error(request, gettext("The filter was not kept: %(reasons)s") % {"reasons": reasons})
    return HttpResponseRedirect(_list_url(query))


def filter_delete(site: VehicleAdmin, request: HttpRequest, key: int) -> HttpResponse:
    """Drop one's own filter."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    kept = get_object_or_404(SavedFilter, pk=key, owner=request.user.pk)
    kept.delete()
    messages.success(request, gettext("The filter “%(name)s” was deleted.") % {"name": kept.name})
    return HttpResponseRedirect(_list_url(_query(request.POST.get("query", ""))))


def _query(text: str) -> str:
    """The query in one spelling, with nothing in it but filters."""
    try:
        return query_of(QueryDict(text, mutable=False)) if "\0" not in text and "%00" not in text else ""
    except ValueError:  # too many fields
        return ""


def _list_url(query: str) -> str:
    """The list as it was shown; the whole of it where the query is longer than an address may be."""
    url = reverse("admin:fleet_vehicle_changelist")
    return f"{url}?{query}" if 0 < len(query) <= LONGEST_QUERY else url
