"""Lengths of time, for templates."""

from __future__ import annotations

from datetime import timedelta

from django import template

register = template.Library()


@register.filter
def minutes(length: timedelta) -> int:
    """Whole minutes, rounded up: who waits that long has waited long enough."""
    return -(-length // timedelta(minutes=1))
