"""The export of what is filtered."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from fleet.exporting import table_response, vehicles_as_csv
from fleet.filters import vehicles_filtered


@require_GET
@never_cache
@login_required
def export(request: HttpRequest) -> StreamingHttpResponse:
    """The vehicles that the list shows for the same address, as CSV."""
    if not (request.user.is_staff and request.user.has_perm("fleet.view_vehicle")):
        raise PermissionDenied
    name = f"fleet-{timezone.localtime():%Y-%m-%d-%H%M}.csv"
    return table_response(request, name, vehicles_as_csv(vehicles_filtered(request.GET)))
