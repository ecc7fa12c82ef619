"""Reading itineraries. Lists never load the documents."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet

from itineraries import problems
from itineraries.document import Trip, load
from itineraries.errors import Problem
from itineraries.models import Itinerary, ItineraryQuerySet, ItineraryState, Publication, SetAside


def itineraries_for_lists() -> ItineraryQuerySet:
    """Every itinerary with its state and its latest address, without its document."""
    return Itinerary.objects.with_state().defer("document")


def itinerary_list(*, search: str = "", state: str = "") -> ItineraryQuerySet:
    """Those whose title holds ``search`` and whose state is ``state``; empty means any."""
    found = itineraries_for_lists()
    if words := search.replace("\0", "").strip():
        found = found.filter(title__icontains=words)
    if state:
        found = found.filter(Q(current_state=state))
    return found


def itinerary_counts() -> Mapping[str, int]:
    """How many itineraries are in each state; all states are there, in the order of ItineraryState."""
    rows = Itinerary.objects.order_by().with_state().values(now=F("current_state")).annotate(count=Count("pk"))
    counted = {row["now"]: row["count"] for row in rows}
    return {state.value: counted.get(state.value, 0) for state in ItineraryState}


def recent_itineraries(limit: int) -> list[Itinerary]:
    """The itineraries that were changed last."""
    return list(itineraries_for_lists().select_related("updated_by").order_by("-updated_at", "pk")[:limit])


def itinerary_get(itinerary_id: UUID) -> Itinerary:
    """With its document and state; raises Itinerary.DoesNotExist."""
    return Itinerary.objects.with_state().get(pk=itinerary_id)


def itinerary_trip(itinerary: Itinerary) -> Trip:
    return load(itinerary.document)


def itinerary_problems(itinerary: Itinerary) -> list[Problem]:
    """Those of the present document."""
    return problems.find(load(itinerary.document))


def publications(itinerary: Itinerary) -> QuerySet[Publication]:
    """The attempts, latest first, without the documents and answers."""
    found = Publication.objects.filter(itinerary=itinerary).select_related("by", "resolved_by")
    return found.defer("document", "answer").order_by("-number")


def latest_published(itinerary: Itinerary) -> Publication | None:
    """The publication that the latest address shows, with its document."""
    return Publication.objects.filter(itinerary=itinerary, state="published").order_by("-number").first()


def is_published(itinerary: Itinerary) -> bool:
    """Whether any address shows exactly the present document."""
    shown = Publication.objects.filter(itinerary=itinerary, state="published", fingerprint=itinerary.fingerprint)
    return shown.exists()


def version_numbers(itinerary: Itinerary) -> list[int]:
    """Those of every attempt, latest first."""
    return list(Publication.objects.filter(itinerary=itinerary).order_by("-number").values_list("number", flat=True))


def set_aside(itinerary: Itinerary) -> QuerySet[SetAside]:
    """The drafts that restorations have replaced, latest first, without their documents."""
    return SetAside.objects.filter(itinerary=itinerary).select_related("by").defer("document")


def refusals(itinerary: Itinerary) -> list[Problem]:
    """What Crusoe refused in the present document; nothing once the document was edited."""
    last = publications(itinerary).first()
    if last is None or last.state != "rejected" or last.fingerprint != itinerary.fingerprint:
        return []
    return last.refusals


def credentials_refused() -> str:
    """What Crusoe said if the latest attempt of all was refused for its key or password; else empty."""
    last = Publication.objects.only("state", "http_status", "reason").order_by("-pk").first()
    return last.detail if last is not None and last.state == "rejected" and last.http_status == 401 else ""
