"""Crusoe, simulated: the endpoint that takes itineraries, the page it answers with, and faults to switch on.

What was received lives in this process's memory and goes with it, as in a partner's own test environment.
Nothing of the project is imported.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from backoffice.sandbox.access import DISTURB_ITINERARIES, SEE_ITINERARIES, staff_with
from backoffice.sandbox.crusoe_contract import Violation, violations
from backoffice.sandbox.crusoe_trip import trip_page

KEPT = 200
HOLD_LIMIT = 120.0  # seconds that a line is held without an answer, unless the fault is switched off before


class Fault(StrEnum):
    """How the simulated partner misbehaves, until told otherwise."""

    NONE = "none"
    REFUSE_KEY = "refuse_key"
    ERROR_500 = "error_500"
    NO_ANSWER = "no_answer"
    NO_URL = "no_url"
    FIELD_ERROR = "field_error"


FAULT_LABELS = {
    Fault.NONE: _("Behave"),
    Fault.REFUSE_KEY: _("Refuse the key"),
    Fault.ERROR_500: _("Answer 500"),
    Fault.NO_ANSWER: _("Answer nothing"),
    Fault.NO_URL: _("Success without a URL"),
    Fault.FIELD_ERROR: _("Validation error on a field"),
}


class Outcome(StrEnum):
    """What became of a received request."""

    ACCEPTED = "accepted"
    NO_URL = "no_url"
    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    FAILED = "failed"
    UNANSWERED = "unanswered"


OUTCOME_LABELS = {
    Outcome.ACCEPTED: _("Published"),
    Outcome.NO_URL: _("Accepted, answered without a URL"),
    Outcome.INVALID: _("Refused: validation"),
    Outcome.UNAUTHORIZED: _("Refused: key"),
    Outcome.FAILED: _("Answered 500"),
    Outcome.UNANSWERED: _("Left without an answer"),
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
        return self.outcome in (Outcome.ACCEPTED, Outcome.NO_URL)


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


def _error(status: int, kind: str, message: str, data: dict[str, Any] | None = None) -> JsonResponse:
    """An error in the shape of the specification's section "Errors"."""
    body: dict[str, Any] = {"statusCode": status, "errorType": kind, "message": message}
    if data is not None:
        body["data"] = data
    return JsonResponse(body, status=status)


def _invalid(found: list[Violation]) -> JsonResponse:
    data = {"validationErrors": [violation.as_json() for violation in found]}
    return _error(400, "VALIDATION_ERROR", "One or more validation errors occured", data)


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


async def _hold() -> None:
    """Keep the line without an answer while the fault is on, at most for the limit."""
    for _second in range(int(HOLD_LIMIT / 0.1)):
        if faults().kind is not Fault.NO_ANSWER:
            return
        await asyncio.sleep(0.1)


@csrf_exempt
@require_POST
async def create(request: HttpRequest) -> HttpResponse:
    """``POST /itinerary/create``: the specification's answers, or those of the fault that is switched on."""
    fault, document = faults(), _body(request)
    if not request.headers.get("api-key", "").strip():
        _remember(document, Outcome.UNAUTHORIZED)
        return _error(401, "AUTH_REQUIRED", "Missing API auth header")
    if fault.kind is Fault.REFUSE_KEY:
        _remember(document, Outcome.UNAUTHORIZED)
        return _error(401, "INVALID_AUTH", "Invalid API key")
    if fault.kind is Fault.NO_ANSWER:
        _remember(document, Outcome.UNANSWERED)
        await _hold()
        return HttpResponse(status=504)
    if fault.kind is Fault.ERROR_500:
        _remember(document, Outcome.FAILED)
        return _error(500, "UNEXPECTED_ERROR", "Internal server error")
    found = violations(document)
    if fault.kind is Fault.FIELD_ERROR:
        found = [Violation(fault.field, "invalid", _first_value(document, fault.field))]
    if found:
        _remember(document, Outcome.INVALID)
        return _invalid(found)
    if fault.kind is Fault.NO_URL:
        _remember(document, Outcome.NO_URL)
        return JsonResponse({"success": True, "statusCode": 200, "data": {}})
    item = _remember(document, Outcome.ACCEPTED)
    url = request.build_absolute_uri(reverse("sandbox:crusoe_trip", args=[item.id]))
    return JsonResponse({"success": True, "statusCode": 200, "data": {"url": url}})


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
            (kind.value, label) for kind, label in FAULT_LABELS.items() if kind not in (Fault.NONE, Fault.FIELD_ERROR)
        ],
    }
