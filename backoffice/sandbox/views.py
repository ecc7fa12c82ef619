"""The console: what the simulated partners received, and buttons that make them misbehave. For staff."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from backoffice.sandbox import crusoe
from backoffice.sandbox.access import DISTURB_FLEET, SEE_FLEET, SEE_ITINERARIES, access_context, staff_with
from backoffice.sandbox.citytrips import Partner, partner

PAGE_SIZE = 25
SHOWN_MESSAGES = 25
SHOWN_USERS = 10

_ACTIONS: dict[str, tuple[Any, Callable[[Partner], int]]] = {
    "full": (_("Ask for a full"), Partner.ask_for_full),
    "authenticate": (_("Send must_authenticate"), Partner.demand_authentication),
    "error": (_("Send an error"), Partner.object),
    "object": (_("Object to the next send"), Partner.object_next),
    "forget": (_("Forget the session"), Partner.forget),
    "user": (_("Create a user"), Partner.create_user),
    "users": (_("Ask for one user 20 times"), Partner.flood),
    "drop": (_("Drop the line"), Partner.drop_lines),
    "refuse": (_("Refuse the key"), Partner.refuse),
    "accept": (_("Accept the key again"), Partner.accept),
}


@never_cache
@require_GET
@staff_with(SEE_FLEET, SEE_ITINERARIES)
def console(request: HttpRequest) -> HttpResponse:
    """Both simulators on one page, or the one whose business the person may see."""
    context = {**access_context(request), **_citytrips_context(request), **crusoe.console_context()}
    return render(request, "sandbox/console.html", context)


@never_cache
@require_GET
@staff_with(SEE_FLEET)
def citytrips(request: HttpRequest) -> HttpResponse:
    """The part of the console that the page fetches again every second."""
    return render(request, "sandbox/_citytrips.html", _citytrips_context(request))


@require_POST
@staff_with(DISTURB_FLEET)
def citytrips_action(request: HttpRequest, action: str) -> HttpResponse:
    """Make the simulated CityTrips do something, and go back to the console."""
    if action not in _ACTIONS:
        raise Http404
    label, act = _ACTIONS[action]
    reached = act(partner)
    said = ngettext("%(count)d line reached.", "%(count)d lines reached.", reached) % {"count": reached}
    messages.info(request, gettext("%(action)s: done. %(reached)s") % {"action": label, "reached": said})
    return redirect("sandbox:console")


def _citytrips_context(request: HttpRequest) -> dict[str, Any]:
    word = request.GET.get("q", "")[:100]
    found = partner.find(word)
    hidden = "accept" if not partner.refuses else "refuse"
    return {
        "partner_held": len(partner.vehicles),
        "partner_lines": len(partner.lines),
        "partner_authenticated": sum(line.authenticated for line in partner.lines),
        "partner_refuses": partner.refuses,
        "partner_total": partner.total,
        "partner_objects": partner.objects_next,
        "partner_users": partner.users()[:SHOWN_USERS],
        "partner_messages": partner.messages()[:SHOWN_MESSAGES],
        "partner_actions": [(name, label) for name, (label, _act) in _ACTIONS.items() if name != hidden],
        "partner_page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "partner_word": word,
    }
