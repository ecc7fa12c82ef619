"""Who may look into the sandbox, and who may make a simulated partner misbehave.

What the partners received is the operator's fleet and itineraries, so it is for whoever may see these; their faults
hold up real work, and are for whoever does it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django_htmx.http import HttpResponseClientRefresh

# By name: the sandbox imports nothing of the project.
SEE_FLEET = "fleet.view_vehicle"
SEE_ITINERARIES = "itineraries.view_itinerary"
DISTURB_FLEET = "fleet.change_vehicle"
DISTURB_ITINERARIES = "itineraries.publish_itinerary"

View = Callable[..., HttpResponseBase]


def staff_with(*permissions: str) -> Callable[[View], View]:
    """Staff with any of the permissions. Visitors go to the login, and everybody else is told that it is not for them."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                if request.headers.get("HX-Request"):
                    # A part of a page cannot show the login: the whole page is to go there.
                    return HttpResponseClientRefresh()
                return redirect_to_login(request.get_full_path(), str(settings.LOGIN_URL))
            if not request.user.is_staff or not any(request.user.has_perm(one) for one in permissions):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def access_context(request: HttpRequest) -> dict[str, bool]:
    """Which halves of the console the person sees, and whether with buttons."""
    return {
        "sees_fleet": request.user.has_perm(SEE_FLEET),
        "sees_itineraries": request.user.has_perm(SEE_ITINERARIES),
        "disturbs_fleet": request.user.has_perm(DISTURB_FLEET),
        "disturbs_itineraries": request.user.has_perm(DISTURB_ITINERARIES),
    }
