"""Who may see the pages of itineraries: staff with the permission that the page names."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase

View = Callable[..., HttpResponse]


def staff_with(permission: str) -> Callable[[View], Callable[..., HttpResponseBase]]:
    """Sends visitors to the login, and refuses people who are not staff or lack the permission."""

    def decorate(view: View) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                # A login page in place of a card would cost what was typed into it; the page says what happened.
                if getattr(request, "htmx", False):
                    return HttpResponse(status=401)
                return redirect_to_login(request.get_full_path())
            if not (request.user.is_staff and request.user.has_perm(f"itineraries.{permission}")):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return decorate
