"""What load balancers and supervisors ask: whether the process lives, and whether it can serve.

They call by address and not by name, over plain http, and above all while something is broken. So they are answered
before anything that knows host names, redirects to TLS or reads a session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from backoffice.citytrips.selectors import link_summary
from backoffice.metrics import metrics

logger = logging.getLogger(__name__)

LAYER_PATIENCE = 2.0  # seconds


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers; nothing else is asked."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """503 with the reason while the database is away.

    A missing channel layer or worker is ``degraded``, with 200: it must take no web process down, since all pages work.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        reasons = [] if link_summary().worker_alive else ["no worker holds the line to CityTrips"]
    except DatabaseError as wrong:
        logger.warning("The database does not answer (%s)", type(wrong).__name__)
        return JsonResponse({"status": "unavailable", "reason": "the database does not answer"}, status=503)
    if not async_to_sync(_layer_answers)():
        reasons.append("the channel layer does not answer")
    if reasons:
        return JsonResponse({"status": "degraded", "reason": "; ".join(reasons)})
    return JsonResponse({"status": "ok"})


async def _layer_answers() -> bool:
    """Sends to a group that nobody is in, which asks the layer's server and leaves nothing behind."""
    try:
        async with asyncio.timeout(LAYER_PATIENCE):
            await get_channel_layer().group_send("readyz", {"type": "readyz"})
    except Exception as wrong:  # whatever the layer's driver raises, the answer is no
        logger.warning("The channel layer does not answer (%s)", type(wrong).__name__)
        return False
    return True


VIEWS: dict[str, Callable[[HttpRequest], HttpResponseBase]] = {
    "/healthz": healthz,
    "/readyz": readyz,
    "/metrics": metrics,
}


class HealthMiddleware:
    """Answers ``GET /healthz``, ``GET /readyz`` and ``GET /metrics``; stands before every other middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        view = VIEWS.get(request.path_info, self.get_response)
        return view(request)
