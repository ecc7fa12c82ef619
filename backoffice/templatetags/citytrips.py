"""Tags about the line to CityTrips, for pages of every part."""

from __future__ import annotations

from django import template
from django.template.context import RequestContext

from backoffice.citytrips.selectors import pauses_now

register = template.Library()


@register.inclusion_tag("backoffice/_pauses.html", takes_context=True)
def pause_banner(context: RequestContext) -> dict[str, object]:
    """What staff hold back from CityTrips, with the way to let it go for who may; nothing while nothing is."""
    return {"pauses": pauses_now(), "may_resume": context["request"].user.has_perm("citytrips.pause_sending")}
