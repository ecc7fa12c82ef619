"""What the OpenAPI document says of every operation alike, so that no view has to repeat it, or forgets it."""

from __future__ import annotations

from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What was wrong, in the language of `Accept-Language`.",
    "properties": {
        "detail": {"type": "string", "description": "In words."},
        "errors": {
            "type": "object",
            "description": "Lists of messages by field, where fields are to blame; `location.latitude` lies in another, "
            "and `non_field_errors` are about the whole.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        },
    },
    "required": ["detail"],
}

_ANYWHERE: Final[dict[int, str | Promise]] = {
    400: _("Something of what was sent cannot be taken; nothing was changed."),
    401: _("There is no token, or none that is valid."),
    403: _("The token's scope does not go so far, or the person's permissions don't."),
    406: _("The answer cannot be had in what `Accept` asks for."),
    415: _("The body is compressed, or of a type that is not taken."),
    429: _("The token has asked too often in this minute."),
    503: _("The database is away or busy. Send the same again."),
}
_WITH_A_BODY: Final[dict[int, str | Promise]] = {413: _("The body is too large.")}
_OF_ONE: Final[dict[int, str | Promise]] = {404: _("There is none with this id.")}
_RETRY_AFTER: Final = {"schema": {"type": "integer", "minimum": 0}, "description": "Seconds to wait."}
_METHODS: Final = ("get", "post", "put", "patch", "delete")


def common_answers(result: dict[str, Any], **_given: Any) -> dict[str, Any]:
    """Add the answers that any operation can give, and the shape of an error where a view names none of its own."""
    result["components"].setdefault("schemas", {})["Error"] = ERROR
    for path, operations in result["paths"].items():
        for method in _METHODS:
            if method in operations:
                operations[method]["responses"] = _answers(path, operations[method])
    return result


def _answers(path: str, operation: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, dict[str, Any]] = dict(operation["responses"])
    common = dict(_ANYWHERE)
    if "requestBody" in operation:
        common |= _WITH_A_BODY
    if "{" in path:
        common |= _OF_ONE
    for number, words in common.items():
        told.setdefault(str(number), {"description": str(words)})
    for code, answer in told.items():
        if code >= "400":
            answer.setdefault("content", {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}})
        if code in ("429", "503"):
            answer["headers"] = {"Retry-After": _RETRY_AFTER}
        if code == "401":
            answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string", "enum": ["Token"]}}}
    return dict(sorted(told.items()))
