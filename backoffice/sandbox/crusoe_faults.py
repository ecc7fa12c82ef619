"""How the simulated Crusoe misbehaves: the faults to switch on, by what a sender has to make of each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.utils.translation import gettext_lazy as _

HOLD_LIMIT = 120.0  # seconds that a line is held without an answer, unless the fault is switched off before
LATE = 3.0  # seconds
DRIP = 0.25  # seconds between two bytes


class Fault(StrEnum):
    """How the simulated partner misbehaves, until told otherwise."""

    NONE = "none"
    # Refused
    FIELD_ERROR = "field_error"
    FIELD_ERROR_200 = "field_error_200"
    REFUSE_KEY = "refuse_key"
    MISS_KEY = "miss_key"
    PASSWORD = "password"  # noqa: S105 (the name of a fault)
    FORBIDDEN = "forbidden"
    REDIRECT = "redirect"
    # Nobody knows
    NO_ANSWER = "no_answer"
    DRIP = "drip"
    BREAK = "break"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    NO_JSON = "no_json"
    NO_REASON = "no_reason"
    NO_URL = "no_url"
    ERROR_500 = "error_500"
    ERROR_200 = "error_200"
    # Published
    LATE = "late"
    RELATIVE_URL = "relative_url"
    OTHER_NAME = "other_name"
    NO_LINK = "no_link"


FAULT_LABELS = {
    Fault.NONE: _("Behave"),
    Fault.FIELD_ERROR: _("Validation error on a field"),
    Fault.FIELD_ERROR_200: _("The same, with HTTP 200"),
    Fault.REFUSE_KEY: _("Refuse the key"),
    Fault.MISS_KEY: _("Miss the key"),
    Fault.PASSWORD: _("Ask for a password"),
    Fault.FORBIDDEN: _("Answer 403"),
    Fault.REDIRECT: _("Redirect"),
    Fault.NO_ANSWER: _("Answer nothing"),
    Fault.DRIP: _("Answer byte by byte"),
    Fault.BREAK: _("Break the line"),
    Fault.TRUNCATED: _("Break off the answer"),
    Fault.EMPTY: _("Empty answer"),
    Fault.NO_JSON: _("Answer with a web page"),
    Fault.NO_REASON: _("Failure without a reason"),
    Fault.NO_URL: _("Success without a URL"),
    Fault.ERROR_500: _("Answer 500"),
    Fault.ERROR_200: _("An error 500 with HTTP 200"),
    Fault.LATE: _("Answer after 3 seconds"),
    Fault.RELATIVE_URL: _("A relative URL"),
    Fault.OTHER_NAME: _("The URL under another name"),
    Fault.NO_LINK: _("A URL that is not http"),
}

# What a sender should make of each, in the order of the console. "Not sent" is nothing that a partner who was reached
# can do.
FAULT_GROUPS = (
    (
        _("Ends as rejected"),
        (
            Fault.FIELD_ERROR_200, Fault.REFUSE_KEY, Fault.MISS_KEY, Fault.PASSWORD, Fault.FORBIDDEN, Fault.REDIRECT,
        ),
    ),
    (
        _("Ends as unknown"),
        (
            Fault.NO_ANSWER, Fault.DRIP, Fault.BREAK, Fault.TRUNCATED, Fault.EMPTY, Fault.NO_JSON, Fault.NO_REASON,
            Fault.NO_URL, Fault.ERROR_500, Fault.ERROR_200,
        ),
    ),
    (_("Ends as published"), (Fault.LATE, Fault.RELATIVE_URL, Fault.OTHER_NAME, Fault.NO_LINK)),
)  # fmt: skip

# Of these the trip is there, though the sender cannot know.
UNHEARD = frozenset({Fault.DRIP, Fault.BREAK, Fault.TRUNCATED, Fault.EMPTY, Fault.NO_JSON, Fault.NO_URL})


def error(status: int, kind: str, message: str, data: dict[str, Any] | None = None) -> JsonResponse:
    """An error in the shape of the specification's section "Errors"."""
    body: dict[str, Any] = {"statusCode": status, "errorType": kind, "message": message}
    if data is not None:
        body["data"] = data
    return JsonResponse(body, status=status)


def unkind_error(status: int, message: str, data: dict[str, Any] | None = None, *, http: int = 200) -> JsonResponse:
    """An error in the shape of its section "Response structure"."""
    body: dict[str, Any] = {"success": False, "statusCode": status, "message": message}
    if data is not None:
        body["data"] = data
    return JsonResponse(body, status=http)


def refusal(fault: Fault, address: str) -> HttpResponseBase | None:
    """The answer of a fault that looks at no document; None for those that do. ``address`` is that of the endpoint."""
    match fault:
        case Fault.REFUSE_KEY:
            return error(401, "INVALID_AUTH", "Invalid API key")
        case Fault.MISS_KEY:
            return error(401, "AUTH_REQUIRED", "Missing API auth header")
        case Fault.PASSWORD:
            answer = HttpResponse("<html><h1>401 Authorization Required</h1></html>", status=401)
            answer["WWW-Authenticate"] = 'Basic realm="dev"'
            return answer
        case Fault.FORBIDDEN:
            return unkind_error(403, "This company may not publish", http=403)
        case Fault.REDIRECT:
            return HttpResponse(status=307, headers={"Location": f"{address}?elsewhere"})
        case Fault.NO_REASON:
            return JsonResponse({"success": False})
        case Fault.ERROR_500:
            return error(500, "UNEXPECTED_ERROR", "Internal server error")
        case Fault.ERROR_200:
            return unkind_error(500, "Internal server error")
    return None


async def acceptance(fault: Fault, request: HttpRequest, path: str, is_on: Callable[[], bool]) -> HttpResponseBase:
    """The answer to a trip that was taken and stands at ``path``; ``is_on`` tells whether the fault still is."""
    url = request.build_absolute_uri(path)
    good = JsonResponse({"success": True, "statusCode": 200, "data": {"url": url}})
    match fault:
        case Fault.LATE:
            await asyncio.sleep(LATE)
        case Fault.RELATIVE_URL:
            # Relative to the web app, which the endpoint's own address stands under as well.
            trips = path.removeprefix("/sandbox/crusoe/")
            return JsonResponse({"success": True, "statusCode": 200, "data": {"url": trips}})
        case Fault.OTHER_NAME:
            return JsonResponse({"success": True, "statusCode": 200, "data": {"id": 7, "itineraryLink": url}})
        case Fault.NO_LINK:
            return JsonResponse({"success": True, "statusCode": 200, "data": {"url": "crusoe-app://trips/7"}})
        case Fault.NO_URL:
            return JsonResponse({"success": True, "statusCode": 200, "data": {}})
        case Fault.EMPTY:
            return HttpResponse(content_type="application/json")
        case Fault.NO_JSON:
            return HttpResponse("<html><h1>It works!</h1></html>")
        case Fault.BREAK:
            cut(request)
            return HttpResponse(status=502)  # for who asks without a line of his own
        case Fault.TRUNCATED:
            return _streamed(_broken_off(request, good.content), len(good.content))
        case Fault.DRIP:
            return _streamed(_drip(good.content, is_on), len(good.content))
    return good


async def hold(is_on: Callable[[], bool]) -> None:
    """Keep the line without an answer while the fault is on, at most for the limit."""
    for _second in range(int(HOLD_LIMIT / 0.1)):
        if not is_on():
            return
        await asyncio.sleep(0.1)


def cut(request: HttpRequest) -> bool:
    """Breaks the line that a request came on; whether it was found among this process's sockets."""
    scope: dict[str, Any] = getattr(request, "scope", {})
    client = tuple(scope.get("client") or ())
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError, ValueError):
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            # A copy, so that its owner's own is closed by its owner.
            with socket.socket(fileno=os.dup(int(name))) as line:
                if line.getpeername()[:2] == client:
                    line.shutdown(socket.SHUT_RDWR)
                    return True
    return False


def _streamed(parts: AsyncIterator[bytes], length: int) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        parts, content_type="application/json", headers={"Content-Length": str(length), "Connection": "close"}
    )


async def _broken_off(request: HttpRequest, content: bytes) -> AsyncIterator[bytes]:
    yield content[: len(content) // 2]
    await asyncio.sleep(0.1)
    cut(request)


async def _drip(content: bytes, is_on: Callable[[], bool]) -> AsyncIterator[bytes]:
    for at in range(len(content)):
        yield content[at : at + 1]
        if is_on():
            await asyncio.sleep(DRIP)
