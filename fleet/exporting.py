"""Vehicles as a table that is read again unchanged (`sources.csv_file`), written as a stream."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from fleet.models import Vehicle
from fleet.sources.cells import neutralised

# The documented headings first.
COLUMNS: Final = (
    "id",
    "battery",
    "plate",
    "country",
    "city",
    "latitude",
    "longitude",
    "state",
    "kind",
    "model",
    "vin",
    "last_signal_at",
)
_SLICE: Final = 2_000
_LINES_AT_ONCE: Final = 500


class Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def vehicles_as_csv(vehicles: QuerySet[Vehicle]) -> Iterator[str]:
    """Line by line: the headings, then a vehicle each. Begins with a byte order mark, by which spreadsheets know UTF-8."""
    writer = csv.writer(Echo())
    yield "\ufeff" + writer.writerow(COLUMNS)
    for values in vehicles.order_by("id").values_list(*COLUMNS).iterator(_SLICE):
        yield writer.writerow([_cell(value) for value in values])


def _cell(value: Any) -> str:
    """Numbers stay numbers, negative ones too; what a spreadsheet would run is made text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return neutralised(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"  # 0.00001, and not 1e-05, which the import does not take for a number
    return str(value)


def table_response(request: HttpRequest, name: str, lines: Iterator[str]) -> StreamingHttpResponse:
    """A table as a file to save, sent as it is made."""
    parts = _joined(lines)
    response = StreamingHttpResponse(
        # Of an ordinary iterator an asynchronous server would collect everything before it sends anything.
        _beside(parts) if isinstance(request, ASGIRequest) else parts,
        content_type="text/csv; charset=utf-8",
    )
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _joined(lines: Iterator[str]) -> Iterator[str]:
    while part := "".join(islice(lines, _LINES_AT_ONCE)):
        yield part


async def _beside(parts: Iterator[str]) -> AsyncIterator[str]:
    following = sync_to_async(lambda: next(parts, ""))
    while part := await following():
        yield part
