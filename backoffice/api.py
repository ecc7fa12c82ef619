"""What all of the REST API has in common: its errors, what it takes of a body, and addresses that no view knows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect, JsonResponse
from django.urls import resolve
from django.utils.translation import gettext
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

logger = logging.getLogger(__name__)

ROOT = "/api/v1/"
DATABASE_AWAY = (OperationalError, InterfaceError)
"""What a database raises that is away, is locked, or broke a deadlock."""
RETRY_AFTER = 5
"""Seconds after which a client may try again while the database is away."""


def answer_error(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Every error as ``{"detail": …}``, and with ``errors`` by field where some fields are to blame.

    503 while the database is away, is locked, or broke a deadlock. What was sent was not stored, or (had the connection
    broken in the very commit) cannot be said to be. None where nobody knows an answer: then the mistake is ours.
    """
    if isinstance(error, DATABASE_AWAY):
        logger.warning("The database does not answer (%s)", type(error.__cause__ or error).__name__)
        set_rollback()
        return Response(
            {"detail": gettext("The database does not answer. Send the same again.")},
            status=status.HTTP_503_SERVICE_UNAVAILABLE,
            headers={"Retry-After": str(RETRY_AFTER)},
        )
    answer = exception_handler(error, dict(context))
    if answer is not None and not (isinstance(answer.data, dict) and isinstance(answer.data.get("detail"), str)):
        answer.data = {"detail": gettext("Some of what was sent cannot be taken."), "errors": by_field(answer.data)}
    return answer


def by_field(errors: Any, field: str = "") -> dict[str, list[str]]:
    """Lists of messages by field, however deep the field lies: ``location.latitude``, ``items.3``."""
    if isinstance(errors, Mapping):
        inner = {f"{field}.{name}" if field else str(name): value for name, value in errors.items()}
    elif isinstance(errors, list) and any(isinstance(one, Mapping | list) for one in errors):
        inner = {f"{field}.{place}" if field else str(place): one for place, one in enumerate(errors) if one}
    else:
        messages = [str(one) for one in errors] if isinstance(errors, list) else [str(errors)]
        return {field or "non_field_errors": messages}
    found: dict[str, list[str]] = {}
    for name, value in inner.items():
        for path, messages in by_field(value, name.removesuffix(".non_field_errors")).items():
            found.setdefault(path, []).extend(messages)
    return found


class BodyMiddleware:
    """Gives a body of unknown length its length, without which it would be taken for none; refuses a compressed one.

    The server has the whole of a body before Django is asked, so its end is known even where no header tells it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(ROOT):
            coding = request.headers.get("Content-Encoding", "identity").strip().lower()
            if coding not in ("", "identity"):
                words = gettext("The body is compressed, and such are not taken: send it as it is.")
                # RFC 9110, section 15.5.16: what would have been taken.
                return JsonResponse({"detail": words}, status=415, headers={"Accept-Encoding": "identity"})
            if not request.META.get("CONTENT_LENGTH") and "chunked" in request.headers.get("Transfer-Encoding", ""):
                stream = getattr(request, "_stream", None)
                if stream is not None and stream.seekable():
                    request.META["CONTENT_LENGTH"] = str(stream.seek(0, 2))
                    stream.seek(0)
        return self.get_response(request)


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """404 for everybody and every method; only a GET that lacks the last slash is led on."""
    path = request.path_info
    if not path.endswith("/") and request.method in ("GET", "HEAD") and resolve(f"{path}/").func is not not_found:
        return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
    return JsonResponse({"detail": NotFound.default_detail}, status=404)


def _error_as_json(error: Exception, context: dict[str, Any]) -> JsonResponse | None:
    """None where the framework knows no answer: then the mistake is ours."""
    answer = answer_error(error, context)
    if answer is None:
        return None
    headers = {name: value for name, value in answer.items() if name != "Content-Type"}
    return JsonResponse(answer.data, status=answer.status_code, headers=headers)


class SchemaView(SpectacularAPIView):
    """The schema, in YAML or JSON; its errors would be in the same format."""

    def get_exception_handler(self) -> Callable[..., Any]:
        return _error_as_json


class DocsView(SpectacularSwaggerSplitView):
    """The schema as a page to read and to try; its errors would be HTML."""

    def get_exception_handler(self) -> Callable[..., Any]:
        return _error_as_json
