"""What an answer of Crusoe means for an attempt to publish ("Response structure" and "Errors" of its specification).

The HTTP status is read first, but a ``statusCode`` of 400 to 599 in the body beats a 200. Whatever leaves room for the
trip to be there counts as unknown: it must not be sent again by itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit, urlunsplit

from itineraries.reasons import Reason


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP.

    ``complete`` is false where the body broke off or was too long; then ``body`` is what came of it.
    """

    status: int
    body: bytes
    complete: bool


@dataclass(frozen=True)
class Verdict:
    """``reason.said`` and ``validation_errors`` are as Crusoe sent them, whatever their shape."""

    state: Literal["published", "rejected", "unknown"]
    reason: Reason = field(default_factory=Reason)
    url: str = ""
    validation_errors: list[Any] = field(default_factory=list)


def judge(answer: Answer, *, web_app: str) -> Verdict:
    """``web_app`` is what a relative address of the trip is joined to."""
    body = _object(answer)
    if 300 <= answer.status < 400:
        return Verdict("rejected", Reason("redirect"))
    status = _status(answer, body)
    if status == 401:
        return Verdict("rejected", _unauthorized(body))
    if 400 <= status < 500:
        return _refused(status, body)
    if status >= 500:
        return Verdict("unknown", Reason("failed", {"status": status}, _message(body)))
    if not answer.complete:
        return Verdict("unknown", Reason("broke_off"))
    if body is None:
        return Verdict("unknown", Reason("unreadable"))
    if body.get("success") is not True:
        if _validation_errors(body):
            return _refused(400, body)
        return Verdict("unknown", Reason("unexplained", said=_message(body)))
    url = find_url(body.get("data"), web_app)
    if not url:
        return Verdict("unknown", Reason("no_address"))
    return Verdict("published", url=url)


def find_url(data: Any, web_app: str) -> str:
    """The trip's address: ``url``, else a name that ends in url or link, else the only http(s) text; else empty."""
    if not isinstance(data, dict):
        return _absolute(data, web_app) if _is_http(data) else ""
    texts = {name: value.strip() for name, value in data.items() if isinstance(value, str) and value.strip()}
    named = [value for name, value in texts.items() if name.lower().endswith(("url", "link"))]
    addresses = [value for value in texts.values() if _is_http(value)]
    if "url" in texts:
        return _absolute(texts["url"], web_app)
    if named:
        return _absolute(named[0], web_app)
    return _absolute(addresses[0], web_app) if len(addresses) == 1 else ""


def _absolute(address: str, web_app: str) -> str:
    try:
        parts = urlsplit(urljoin(f"{web_app}/", address.strip()))
    except ValueError:
        return address
    # Crusoe's testing server stands behind a user and password that its own addresses carry.
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _is_http(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower().startswith(("http://", "https://"))


def _object(answer: Answer) -> dict[str, Any] | None:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _status(answer: Answer, body: dict[str, Any] | None) -> int:
    told = body.get("statusCode") if body else None
    if answer.status < 400 and isinstance(told, int) and 400 <= told <= 599:
        return told
    if answer.status < 400 and body is not None and body.get("success") is not True:
        kinds = {"AUTH_REQUIRED": 401, "INVALID_AUTH": 401, "VALIDATION_ERROR": 400, "UNEXPECTED_ERROR": 500}
        return kinds.get(str(body.get("errorType")), answer.status)
    return answer.status


def _unauthorized(body: dict[str, Any] | None) -> Reason:
    match body and body.get("errorType"):
        case "AUTH_REQUIRED":
            return Reason("key_missing")
        case "INVALID_AUTH":
            return Reason("key_unknown")
        case _:
            return Reason("password")


def _refused(status: int, body: dict[str, Any] | None) -> Verdict:
    reason = Reason("refused", {"status": status}, _message(body))
    return Verdict("rejected", reason, validation_errors=_validation_errors(body))


def _validation_errors(body: dict[str, Any] | None) -> list[Any]:
    data = body.get("data") if body else None
    errors = data.get("validationErrors") if isinstance(data, dict) else None
    if errors is None and body:
        errors = body.get("validationErrors")
    return errors if isinstance(errors, list) else []


def _message(body: dict[str, Any] | None) -> str:
    said = body.get("message") if body else None
    return said.strip() if isinstance(said, str) else ""
