"""How states look in the pages of itineraries."""

from __future__ import annotations

from django import template

register = template.Library()

_CHIPS = {
    "published": "ok",
    "ready": "ok",
    "changed": "info",
    "sending": "info",
    "unknown": "warn",
    "not_sent": "warn",
    "rejected": "bad",
}


@register.filter
def state_chip(state: str) -> str:
    """The class of the chip for a state of an itinerary or a publication."""
    return _CHIPS.get(state, "")
