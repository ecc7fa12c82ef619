"""Pages around the builder: the list, a new trip, its deletion and its JSON."""

from __future__ import annotations

import json
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from itineraries import airports, document, selectors, services
from itineraries.access import staff_with
from itineraries.errors import AttemptUnderWay
from itineraries.forms import ImportForm
from itineraries.models import Itinerary, ItineraryState

PAGE_SIZE = 25
SORTS = {
    "changed": "-updated_at",
    "-changed": "updated_at",
    "title": "title",
    "-title": "-title",
    "starts": "starts_on",
    "-starts": "-starts_on",
}


@require_GET
@staff_with("view_itinerary")
def itinerary_list(request: HttpRequest) -> HttpResponse:
    """The trips, to search, filter by state and sort."""
    search, state, sort = (request.GET.get(name, "").strip() for name in ("q", "state", "sort"))
    state = state if state in ItineraryState.values else ""
    found = selectors.itinerary_list(search=search, state=state).select_related("updated_by")
    found = found.order_by(SORTS.get(sort, SORTS["changed"]), "pk")
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "query": search,
        "state": state,
        "sort": sort if sort in SORTS else "changed",
        "states": ItineraryState.choices,
        "is_filtered": bool(search or state),
        "can_add": request.user.has_perm("itineraries.add_itinerary"),
    }
    return render(request, "itineraries/list.html", context)


@require_http_methods(["GET", "POST"])
@staff_with("add_itinerary")
def itinerary_new(request: HttpRequest) -> HttpResponse:
    """A new trip: blank, or from a JSON file or text."""
    form = ImportForm()
    if request.method == "POST":
        if request.POST.get("start") == "blank":
            itinerary = services.itinerary_create(user=request.user)
            return redirect("itineraries:edit", itinerary.pk)
        form = ImportForm(request.POST, request.FILES)
        if form.is_valid():
            itinerary = services.itinerary_create(user=request.user, document=form.cleaned_data["document"])
            return redirect("itineraries:edit", itinerary.pk)
    return render(request, "itineraries/new.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@staff_with("delete_itinerary")
def itinerary_delete(request: HttpRequest, itinerary_id: UUID) -> HttpResponse:
    """Asks, and deletes."""
    itinerary = get_object_or_404(Itinerary.objects.with_state(), pk=itinerary_id)
    if request.method == "POST":
        try:
            services.itinerary_delete(itinerary_id=itinerary_id, user=request.user)
        except AttemptUnderWay as error:
            messages.error(request, str(error))
            return redirect("itineraries:publish", itinerary_id)
        messages.success(request, _("“%(title)s” was deleted.") % {"title": itinerary})
        return redirect("itineraries:list")
    return render(request, "itineraries/delete.html", {"itinerary": itinerary})


@require_GET
@staff_with("view_itinerary")
def itinerary_document(request: HttpRequest, itinerary_id: UUID) -> HttpResponse:
    """The JSON that publishing would send, as a file."""
    itinerary = get_object_or_404(Itinerary, pk=itinerary_id)
    text = json.dumps(document.export(document.load(itinerary.document)), ensure_ascii=False, indent=2)
    answer = HttpResponse(text + "\n", content_type="application/json")
    name = slugify(itinerary.title) or "itinerary"
    answer["Content-Disposition"] = f'attachment; filename="{name}.json"'
    return answer


@require_GET
@staff_with("view_itinerary")
def airport_options(request: HttpRequest) -> HttpResponse:
    """Airports for what a person has typed so far into whichever field asks."""
    typed = str(next(iter(request.GET.values()), ""))
    found = airports.search(typed[:80], 12) if typed.strip() else []
    if not getattr(request, "htmx", False):
        return JsonResponse([{"code": one.code, "name": one.name, "city": one.city} for one in found], safe=False)
    return render(request, "itineraries/_airports.html", {"airports": found})
