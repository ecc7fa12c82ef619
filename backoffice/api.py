"""What the REST API answers where no view of an app does: always JSON with a ``detail``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect, JsonResponse
from django.urls import resolve
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.exceptions import NotFound
from rest_framework.views import exception_handler


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """404 for everybody and every method; only a GET that lacks the last slash is led on."""
    path = request.path_info
    if not path.endswith("/") and request.method in ("GET", "HEAD") and resolve(f"{path}/").func is not not_found:
        return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
    return JsonResponse({"detail": NotFound.default_detail}, status=404)


def _error_as_json(error: Exception, context: dict[str, Any]) -> JsonResponse | None:
    """None where the framework knows no answer: then the mistake is ours."""
    answer = exception_handler(error, context)
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
