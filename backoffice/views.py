"""The desk, and the page for what went wrong."""

from __future__ import annotations

import sys

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from backoffice.api import DATABASE_AWAY, RETRY_AFTER
from backoffice.desk import desk_for
from backoffice.live import reload_visitors
from users.models import User


@require_safe
@never_cache
@reload_visitors
@login_required
def desk(request: HttpRequest) -> HttpResponse:
    """The start page of staff, of which an open one fetches the part that changes; others have an account page only."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    if not request.user.is_staff:
        return redirect("users:account")
    context = {"desk": desk_for(request.user)}
    if request.headers.get("HX-Request"):
        return render(request, "backoffice/_desk.html", {**context, "poll": True})
    return render(request, "backoffice/desk.html", context)


def server_error(request: HttpRequest) -> HttpResponse:
    """The page for an error that nobody caught: 503 where the database was away, locked or busy, 500 for a mistake of ours.

    Nothing here asks for anything: neither the database nor who is logged in.
    """
    if isinstance(sys.exc_info()[1], DATABASE_AWAY):
        return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": str(RETRY_AFTER)})
    return HttpResponse(render_to_string("500.html"), status=500)
