"""Crusoe, simulated: the endpoint that takes itineraries, the page it answers with, and faults to switch on.

What was received lives in this process's memory and goes with it, as in a partner's own test environment.
Nothing of the project is imported.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from backoffice.sandbox.access import DISTURB_ITINERARIES, SEE_ITINERARIES, staff_with
from backoffice.sandbox.crusoe_contract import Violation, violations
from backoffice.sandbox.crusoe_faults import (
    FAULT_GROUPS,
    FAULT_LABELS,
    UNHEARD,
    Fault,
    acceptance,
    error,
    hold,
    refusal,
    unkind_error,
)
from backoffice.sandbox.crusoe_trip import trip_page

KEPT = 200


class Outcome(StrEnum):
    """What became of a received request; UNHEARD: accepted, and the sender could not learn of it."""

    ACCEPTED = "accepted"
    UNHEARD = "unheard"
    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    REFUSED = "refused"
    FAILED = "failed"
    UNANSWERED = "unanswered"


OUTCOME_LABELS = {
    Outcome.ACCEPTED: _("Published"),
    Outcome.UNHEARD: _("Published, but the answer does not say so"),
    Outcome.INVALID: _("Refused: validation"),
    Outcome.UNAUTHORIZED: _("Refused: key"),
    Outcome.REFUSED: _("Refused"),
    Outcome.FAILED: _("Failed"),
    Outcome.UNANSWERED: _("Left without an answer"),
}

_REFUSED = {
    Fault.REFUSE_KEY: Outcome.UNAUTHORIZED,
    Fault.MISS_KEY: Outcome.UNAUTHORIZED,
    Fault.PASSWORD: Outcome.UNAUTHORIZED,
    Fault.FORBIDDEN: Outcome.REFUSED,
    Fault.REDIRECT: Outcome.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Received:
    """One request to ``/itinerary/create``; ``document`` is what its body said, None when it was no JSON."""

    id: str
    at: datetime
    title: str
    outcome: Outcome
    document: Any

    @property
    def outcome_label(self) -> str:
        return str(OUTCOME_LABELS[self.outcome])

    @property
    def has_page(self) -> bool:
        return self.outcome in (Outcome.ACCEPTED, Outcome.UNHEARD)


@dataclass(slots=True)
class Faults:
    """The switch; ``field`` is the property that ``FIELD_ERROR`` objects to."""

    kind: Fault = Fault.NONE
    field: str = "title"


@dataclass(slots=True)
class _Memory:
    lock: threading.Lock = field(default_factory=threading.Lock)
    received: deque[Received] = field(default_factory=lambda: deque(maxlen=KEPT))
    faults: Faults = field(default_factory=Faults)


_memory = _Memory()


def faults() -> Faults:
    """The fault that is switched on now (a copy)."""
    with _memory.lock:
        return replace(_memory.faults)


def set_fault(kind: Fault, field_name: str = "title") -> None:
    with _memory.lock:
        _memory.faults = Faults(kind, field_name or "title")


def received() -> list[Received]:
    """What came in, the newest first; at most the last 200."""
    with _memory.lock:
        return list(reversed(_memory.received))


def find(received_id: str) -> Received | None:
    return next((item for item in received() if item.id == received_id), None)


def reset() -> None:
    """Forget everything, and behave."""
    with _memory.lock:
        _memory.received.clear()
        _memory.faults = Faults()


def _remember(document: Any, outcome: Outcome) -> Received:
    title = document.get("title") if isinstance(document, dict) else None
    item = Received(
        id=secrets.token_hex(8),
        at=timezone.now(),
        title=title if isinstance(title, str) else "",
        outcome=outcome,
        document=document,
    )
    with _memory.lock:
        _memory.received.append(item)
    return item


# --- The endpoint ------------------------------------------------------------------------------------------------


def _invalid(fault: Fault, found: list[Violation]) -> HttpResponseBase:
    data = {"validationErrors": [violation.as_json() for violation in found]}
    if fault is Fault.FIELD_ERROR_200:
        return unkind_error(400, "One or more validation errors found", data)
    return error(400, "VALIDATION_ERROR", "One or more validation errors occured", data)


def _first_value(document: Any, name: str) -> Any:
    """A value in the document of a property with this name, the outermost first; None where there is none."""
    level = [document]
    while level:
        for part in level:
            if isinstance(part, dict) and part.get(name) is not None:
                return part[name]
        inner = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [value for values in inner for value in values]
    return None


def _body(request: HttpRequest) -> Any:
    """The body as JSON; None when it is none, or none that a page could show (half a surrogate pair)."""
    try:
        document = json.loads(request.body)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError, RequestDataTooBig):
        return None
    return document


@csrf_exempt
@require_POST
async def create(request: HttpRequest) -> HttpResponseBase:
    """``POST /itinerary/create``: the specification's answers, or those of the fault that is switched on."""
    fault, document = faults(), _body(request)

    def is_on() -> bool:
        return faults().kind is fault.kind

    if not request.headers.get("api-key", "").strip():
        _remember(document, Outcome.UNAUTHORIZED)
        return error(401, "AUTH_REQUIRED", "Missing API auth header")
    if fault.kind is Fault.NO_ANSWER:
        _remember(document, Outcome.UNANSWERED)
        await hold(is_on)
        return HttpResponse(status=504)
    if answer := refusal(fault.kind, request.build_absolute_uri(request.path)):
        _remember(document, _REFUSED.get(fault.kind, Outcome.FAILED))
        return answer
    found = violations(document)
    if fault.kind in (Fault.FIELD_ERROR, Fault.FIELD_ERROR_200):
        found = [Violation(fault.field, "invalid", _first_value(document, fault.field))]
    if found:
        _remember(document, Outcome.INVALID)
        return _invalid(fault.kind, found)
    item = _remember(document, Outcome.UNHEARD if fault.kind in UNHEARD else Outcome.ACCEPTED)
    return await acceptance(fault.kind, request, reverse("sandbox:crusoe_trip", args=[item.id]), is_on)


# --- Pages -------------------------------------------------------------------------------------------------------


@require_GET
def trip(request: HttpRequest, received_id: str) -> HttpResponse:
    """The page of an accepted trip, for anyone who has its address."""
    item = find(received_id)
    if item is None or not item.has_page:
        return render(request, "sandbox/crusoe_gone.html", {"kept": KEPT}, status=404)
    return render(request, "sandbox/crusoe_trip.html", {"trip": trip_page(item.document), "received": item})


@require_GET
@staff_with(SEE_ITINERARIES)
def document(request: HttpRequest, received_id: str) -> HttpResponse:
    """The JSON of one request, as it was received."""
    item = find(received_id)
    if item is None:
        raise Http404
    return JsonResponse(item.document, safe=False, json_dumps_params={"indent": 2, "ensure_ascii": False})


@require_POST
@staff_with(DISTURB_ITINERARIES)
def switch_fault(request: HttpRequest) -> HttpResponse:
    """Switch a fault on, or all of them off, and go back to the console."""
    try:
        kind = Fault(request.POST.get("fault", ""))
    except ValueError:
        kind = Fault.NONE
    set_fault(kind, request.POST.get("field", "").strip()[:200])
    return redirect("sandbox:console")


def console_context() -> dict[str, Any]:
    """What ``sandbox/_crusoe.html`` shows: the requests received, the fault that is on, and those to choose from."""
    on = faults()
    return {
        "crusoe_received": received(),
        "crusoe_kept": KEPT,
        "crusoe_fault": on.kind,
        "crusoe_fault_label": FAULT_LABELS[on.kind],
        "crusoe_fault_field": on.field,
        "crusoe_faults": [
            (title, [(kind.value, FAULT_LABELS[kind]) for kind in kinds]) for title, kinds in FAULT_GROUPS
        ],
    }
