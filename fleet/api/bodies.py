"""What is sent to the fleet's API: JSON of a bounded size, in which nothing is lost and nothing is guessed."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType, ValidationError
from rest_framework.metadata import SimpleMetadata
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.views import APIView

_UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = _("The body is too large. Send less at once.")
    default_code = "too_large"


class NestedTooDeep(ParseError):
    default_detail = _("The JSON is nested too deeply.")


class StrictJsonParser(BaseParser):
    """JSON in which nothing is lost or cannot be kept.

    Depth, a name that is told twice, and characters that neither a database nor an answer can hold (NUL, half of a
    surrogate pair) are errors of the sender's, not of ours.
    """

    media_type = "application/json"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            text = stream.read().decode("utf-8")
            data = json.loads(text, parse_constant=_no_number, object_pairs_hook=_object_of_one_value_each)
            # Such characters come by an escape only: bare ones are neither JSON nor UTF-8.
            if "\\u" in text:
                _check_characters(data)
        except RecursionError:
            raise NestedTooDeep from None
        except ValueError as error:
            raise ParseError(gettext("The body is no JSON: %(reason)s") % {"reason": error}) from None
        return data


def _no_number(name: str) -> None:
    raise ValueError(name)


def _object_of_one_value_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) < len(pairs):
        twice = [name for name, number in Counter(name for name, _value in pairs).items() if number > 1]
        if _storable(twice):
            raise ValidationError({name: [gettext("This field is told twice.")] for name in twice})
    return told


def _storable(value: Any) -> bool:
    """Whether all text in a value can be kept and answered."""
    if isinstance(value, str):
        return not _UNSTORABLE.search(value)
    if isinstance(value, dict):
        return all(_storable(name) and _storable(inner) for name, inner in value.items())
    return all(_storable(inner) for inner in value) if isinstance(value, list) else True


def _check_characters(data: Any) -> None:
    if _storable(data):
        return
    words = gettext("There is a NUL or half of a character (a lone surrogate) in the text.")
    if isinstance(data, dict):
        named = [name for name, value in data.items() if _storable(name) and not _storable(value)]
        raise ValidationError({name: [words] for name in named or ["non_field_errors"]})
    if isinstance(data, list):
        place = next(index for index, item in enumerate(data) if not _storable(item))
        words = gettext("Item %(index)s, counted from 0: %(problem)s") % {"index": place, "problem": words}
    raise ValidationError({"non_field_errors": [words]})


class Metadata(SimpleMetadata):
    """What OPTIONS answers, without the fields of each method: those are in the OpenAPI document."""

    def determine_actions(self, request: Request, view: Any) -> dict[str, Any]:
        return {}


class JsonView(APIView):
    """Refuses a body that is too large, or no JSON, before anything reads it."""

    parser_classes = [StrictJsonParser]
    metadata_class = Metadata

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or len(length) > 15 or int(length) > (settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 10**15):
            raise TooLarge
        kind = request.content_type or ""
        if (
            int(length)
            and request.method not in ("GET", "HEAD", "OPTIONS", "DELETE")
            and kind.split(";")[0].strip().lower() != StrictJsonParser.media_type
        ):
            raise UnsupportedMediaType(kind[:100])
        super().initial(request, *args, **kwargs)
        known = hasattr(self, str(request.method).lower())  # otherwise that the method is none comes first
        if known and not int(length) and request.method in ("POST", "PUT", "PATCH"):
            raise ParseError(gettext("The body is empty."))  # to the framework it would be an object without fields
