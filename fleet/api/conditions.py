"""Conditional requests: entity tags, If-Match and If-None-Match (RFC 9110, sections 8.8.3 and 13).

A tag has two parts: the data, by which a writer says what he read, and what follows from time and from others (the last
signal, where the vehicle stands with CityTrips). Reading compares the whole. Writing compares the data alone: else a
heartbeat of the device would refuse every change that a person makes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request

from fleet.models import Vehicle

_TAG = re.compile(r'(?:W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)"')
_TAGS = re.compile(rf"[ \t,]*{_TAG.pattern}(?:[ \t]*,[ \t,]*{_TAG.pattern.replace('?P<opaque>', '?:')})*[ \t,]*")

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag of a GET: write only if nobody has changed the vehicle since. `*`: whatever it is now.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag of an earlier answer: 304 without a body if nothing has changed since.",
)


def etag_header(*codes: int) -> OpenApiParameter:
    """The header ETag in the answers with these codes."""
    return OpenApiParameter(
        "ETag", str, OpenApiParameter.HEADER, response=list(codes), description="What `If-Match` is to say."
    )


class PreconditionFailed(APIException):
    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_detail = _("The vehicle was changed by somebody else in the meantime. Read it again.")
    default_code = "precondition_failed"


def entity_tag(vehicle: Vehicle, shown: Mapping[str, Any]) -> str:
    """The strong tag of a vehicle as it is `shown`."""
    volatile = repr((shown["last_signal_at"], shown["citytrips"], shown["withheld_because"]))
    return f'"{_data(vehicle)}.{blake2b(volatile.encode(), digest_size=8).hexdigest()}"'


def _data(vehicle: Vehicle) -> str:
    return f"{int(vehicle.updated_at.timestamp() * 1_000_000):x}"


def is_known(request: Request, tag: str) -> bool:
    """Whether If-None-Match names what would be answered; it compares weakly, so `W/` is no matter."""
    named = _named(request, "If-None-Match")
    return named is not None and (not named or tag.strip('"') in named)


def check_conditions(request: Request, vehicle: Vehicle) -> bool:
    """Whether a write is tied to the state that the request names, and has to fail when that is left meanwhile.

    A weak tag is taken for the strong one that it was made of: RFC 9110 (13.1.1) would have it match nothing, but proxies
    that compress weaken every tag on their way (RFC 9110, 8.8.1), and the data that it names is the same.

    :raises PreconditionFailed: it names another state.
    """
    data = _data(vehicle)
    unwanted = _named(request, "If-None-Match")
    if unwanted is not None and (not unwanted or data in {_part(opaque) for opaque in unwanted}):
        raise PreconditionFailed(_("The vehicle is there, and as If-None-Match says that it must not be."))
    named = _named(request, "If-Match")
    if not named:  # no header, or the asterisk: any state will do
        return False
    if data not in {_part(opaque) for opaque in named}:
        raise PreconditionFailed
    return True


def _part(opaque: str) -> str:
    return opaque.partition(".")[0]


def _named(request: Request, header: str) -> list[str] | None:
    """The tags of a header, weak or not; none for the asterisk, None without the header."""
    text = request.headers.get(header)
    if text is None:
        return None
    if text.strip() == "*":
        return []
    if not _TAGS.fullmatch(text):
        raise ValidationError(
            {header: [gettext('This is no ETag: send it as a GET gave it, with its quotation marks, such as "3".')]}
        )
    return [found["opaque"] for found in _TAG.finditer(text)]
