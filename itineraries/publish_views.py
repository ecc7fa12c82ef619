"""Publishing a trip: what stands in the way, the confirmation, the outcome by state, and earlier publications."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from itineraries import changes, document, findings, publishing, selectors, versions
from itineraries.access import staff_with
from itineraries.errors import AttemptUnderWay, DocumentError, ItineraryError, NotAgain, NothingToResolve
from itineraries.models import Itinerary

# The others stand on the page of versions.
SHOWN = 10


@require_http_methods(["GET", "POST"])
@staff_with("publish_itinerary")
def publish(request: HttpRequest, itinerary_id: UUID) -> HttpResponse:
    """Asks, publishes, and tells what became of it."""
    if request.method == "POST":
        try:
            publishing.publish(itinerary_id=itinerary_id, user=request.user, after=_after(request))
        except Itinerary.DoesNotExist:
            raise Http404 from None
        except (AttemptUnderWay, NotAgain) as error:
            return _page(request, itinerary_id, refusal=str(error), status=409)
        except ItineraryError as error:
            return _page(request, itinerary_id, refusal=str(error), status=422)
        return redirect("itineraries:publish", itinerary_id)
    publishing.sweep(itinerary_id=itinerary_id)
    return _page(request, itinerary_id)


@require_POST
@staff_with("publish_itinerary")
def resolve(request: HttpRequest, itinerary_id: UUID) -> HttpResponse:
    """Says what became of an attempt of unknown outcome; "try again" leads to the confirmation."""
    url = request.POST.get("url", "").strip()
    retry = request.POST.get("answer") == "retry"
    if not retry and not url:
        return _page(request, itinerary_id, address_error=_("Give the address of the trip on Crusoe."), status=422)
    try:
        publishing.resolve(itinerary_id=itinerary_id, user=request.user, url=None if retry else url, retry=retry)
    except Itinerary.DoesNotExist:
        raise Http404 from None
    except DocumentError as error:
        return _page(request, itinerary_id, address=url, address_error=error.problems[0].message, status=422)
    except NothingToResolve as error:
        messages.warning(request, str(error))
    return redirect("itineraries:publish", itinerary_id)


def _after(request: HttpRequest) -> int | None:
    """The number of the latest attempt that the form was shown with; None where it carries no number of ours."""
    found = re.fullmatch(r"[0-9]{1,9}", request.POST.get("after", ""))
    return int(found[0]) if found else None


def _page(
    request: HttpRequest,
    itinerary_id: UUID,
    *,
    refusal: str = "",
    address: str = "",
    address_error: str = "",
    status: int = 200,
) -> HttpResponse:
    itinerary = get_object_or_404(Itinerary.objects.with_state(), pk=itinerary_id)
    trip = document.load(itinerary.document)
    found = findings.findings(trip)
    publications = list(selectors.publications(itinerary)[:SHOWN])
    published = selectors.latest_published(itinerary)
    sections, left_out = (
        changes.sections(versions.published_version(published), itinerary.document) if published else ([], 0)
    )
    context: dict[str, Any] = {
        "itinerary": itinerary,
        "errors": [one for one in found if one.is_error],
        "warnings": [one for one in found if not one.is_error],
        "refusals": findings.refusals(itinerary, trip),
        "configuration_problem": publishing.configuration_problem(),
        "publications": publications,
        "last": publications[0] if publications else None,
        "after": publications[0].number if publications else 0,
        "published": published,
        "is_published": published is not None and published.fingerprint == itinerary.fingerprint,
        "changed": sections,
        "left_out": left_out,
        "refusal": refusal,
        "address": address,
        "address_error": address_error,
    }
    return render(request, "itineraries/publish.html", context, status=status)
