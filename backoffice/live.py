"""Pages of which a part is fetched again while they are open."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django_htmx.http import HttpResponseClientRefresh


def reload_visitors(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A part of a page cannot show the login: where the session has ended, the whole page is to load again."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.headers.get("HX-Request") and not request.user.is_authenticated:
            return HttpResponseClientRefresh()
        return view(request, *args, **kwargs)

    return guarded
