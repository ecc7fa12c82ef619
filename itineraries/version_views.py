"""Pages about the versions of a trip: which were published and where, what each says, what changed, and back to one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.formats import date_format
from django.utils.text import slugify
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from itineraries import changes, selectors, versions
from itineraries.access import staff_with
from itineraries.document import Json
from itineraries.errors import StaleEdit
from itineraries.models import Itinerary, Publication, SetAside

PAGE_SIZE = 50
DRAFT = "draft"


@dataclass(frozen=True)
class Side:
    """One of the two versions that are compared: ``value`` is how the address names it."""

    value: str
    name: str
    document: Json


@require_GET
@staff_with("view_itinerary")
def version_list(request: HttpRequest, itinerary_id: UUID) -> HttpResponse:
    """Every attempt with its state, time, person and address; two of them, or one and the draft, to compare."""
    itinerary = _itinerary(itinerary_id)
    page = Paginator(selectors.publications(itinerary), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "itinerary": itinerary,
        "page": page,
        "shown_fingerprint": itinerary.fingerprint,
        "latest": selectors.latest_published(itinerary),
        "set_aside": selectors.set_aside(itinerary),
        "can_change": request.user.has_perm("itineraries.change_itinerary"),
    }
    return render(request, "itineraries/versions.html", context)


@require_GET
@staff_with("view_itinerary")
def version(request: HttpRequest, itinerary_id: UUID, number: int) -> HttpResponse:
    """One attempt: the exact document that was sent, and the exact answer."""
    itinerary, publication = _itinerary(itinerary_id), _publication(itinerary_id, number)
    context = {
        "itinerary": itinerary,
        "publication": publication,
        "document": json.dumps(publication.document, ensure_ascii=False, indent=2),
        "is_draft": publication.fingerprint == itinerary.fingerprint,
        "can_change": request.user.has_perm("itineraries.change_itinerary"),
    }
    return render(request, "itineraries/version.html", context)


@require_GET
@staff_with("view_itinerary")
def version_document(request: HttpRequest, itinerary_id: UUID, number: int) -> HttpResponse:
    """What was sent, as a file that can be imported again."""
    publication = _publication(itinerary_id, number)
    text = json.dumps(publication.document, ensure_ascii=False, indent=2)
    answer = HttpResponse(text + "\n", content_type="application/json")
    name = slugify(publication.document.get("title") or "") or "itinerary"
    answer["Content-Disposition"] = f'attachment; filename="{name}-{number}.json"'
    return answer


@require_GET
@staff_with("view_itinerary")
def compare(request: HttpRequest, itinerary_id: UUID) -> HttpResponse:
    """What changed from one version to another, or to the draft, in words."""
    itinerary = _itinerary(itinerary_id)
    numbers = selectors.version_numbers(itinerary)
    latest = selectors.latest_published(itinerary)
    default = str(latest.number) if latest else str(numbers[0]) if numbers else DRAFT
    old, new = (_side(itinerary, request.GET.get(name) or other) for name, other in (("from", default), ("to", DRAFT)))
    sections, left_out = changes.sections(old.document, new.document)
    context = {
        "itinerary": itinerary,
        "old": old,
        "new": new,
        "choices": [
            (DRAFT, _("The draft as it is now")),
            *((str(number), _version_name(number)) for number in numbers),
        ],
        "changed": sections,
        "left_out": left_out,
    }
    return render(request, "itineraries/compare.html", context)


@require_http_methods(["GET", "POST"])
@staff_with("change_itinerary")
def restore(request: HttpRequest, itinerary_id: UUID, number: int) -> HttpResponse:
    """Asks, with what would change, and makes the draft that version."""
    publication = _publication(itinerary_id, number)

    def act(expected_version: int) -> Itinerary:
        return versions.restore(
            itinerary_id=itinerary_id, number=number, user=request.user, expected_version=expected_version
        )

    return _replacement(request, itinerary_id, versions.published_version(publication), _version_name(number), act)


@require_http_methods(["GET", "POST"])
@staff_with("change_itinerary")
def put_back(request: HttpRequest, itinerary_id: UUID, set_aside_id: int) -> HttpResponse:
    """The same for a draft that a restoration had replaced."""
    draft = get_object_or_404(SetAside, itinerary_id=itinerary_id, pk=set_aside_id)

    def act(expected_version: int) -> Itinerary:
        return versions.put_back(
            itinerary_id=itinerary_id, set_aside_id=set_aside_id, user=request.user, expected_version=expected_version
        )

    name = _("The draft of %(time)s") % {"time": date_format(localtime(draft.at), "SHORT_DATETIME_FORMAT")}
    return _replacement(request, itinerary_id, draft.document, name, act)


def _replacement(
    request: HttpRequest, itinerary_id: UUID, document: Json, name: str, act: Callable[[int], Itinerary]
) -> HttpResponse:
    """The confirmation, and what comes of it: a draft that somebody changed meanwhile is shown anew first."""
    stale = None
    if request.method == "POST":
        try:
            act(_number(request.POST.get("version", "")))
        except StaleEdit as error:
            stale = error
        except Itinerary.DoesNotExist:
            raise Http404 from None
        else:
            messages.success(request, _("The draft is now: %(name)s.") % {"name": name})
            return redirect("itineraries:versions", itinerary_id)
    itinerary = _itinerary(itinerary_id)
    sections, left_out = changes.sections(itinerary.document, document)
    context: dict[str, Any] = {
        "itinerary": itinerary,
        "name": name,
        "changed": sections,
        "left_out": left_out,
        "is_published": selectors.is_published(itinerary),
        "stale": stale,
    }
    return render(request, "itineraries/restore.html", context, status=409 if stale else 200)


def _itinerary(itinerary_id: UUID) -> Itinerary:
    return get_object_or_404(Itinerary.objects.with_state(), pk=itinerary_id)


def _publication(itinerary_id: UUID, number: int) -> Publication:
    return get_object_or_404(Publication.objects.select_related("by"), itinerary_id=itinerary_id, number=number)


def _side(itinerary: Itinerary, value: str) -> Side:
    if value == DRAFT:
        return Side(DRAFT, _("The draft as it is now"), itinerary.document)
    number = _number(value)
    return Side(str(number), _version_name(number), versions.published_version(_publication(itinerary.pk, number)))


def _version_name(number: int) -> str:
    return _("Version %(number)d") % {"number": number}


def _number(text: str) -> int:
    """0, which is no version of anything, for what is no number of ours."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
