"""What the lists and pages of the line show alike, and who may act there."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import ngettext

from users.models import User


def exactly(moment: datetime | None) -> str:
    """The date and the time with its seconds, in which the line's changes differ."""
    if moment is None:
        return "–"
    local = timezone.localtime(moment)
    return f"{date_format(local, 'SHORT_DATE_FORMAT')} {local:%H:%M:%S}"


def duration(passed: timedelta) -> str:
    """A time that has passed: in seconds below a minute."""
    seconds = int(passed.total_seconds())
    if seconds < 60:
        return ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds}
    return str(timesince(timezone.now() - passed))


def chip(tone: str, label: object) -> SafeString:
    return format_html('<span class="chip {}">{}</span>', tone, label)


def link_to(thing: Model | None, label: object = None) -> str:
    """A way to a row's own page."""
    if thing is None:
        return "–"
    url = reverse(f"admin:{thing._meta.app_label}_{thing._meta.model_name}_change", args=[thing.pk])
    return format_html('<a href="{}">{}</a>', url, label or thing)


def may_act(request: HttpRequest) -> bool:
    """Whether a person may ask something of the line: who looks after the fleet may."""
    return request.user.has_perm("fleet.change_vehicle")


def may_see_people(request: HttpRequest) -> bool:
    return request.user.has_perm("users.view_user")


def refuse(request: HttpRequest, may_view: bool) -> HttpResponse | None:
    """What keeps a person from acting here by this request; None if nothing does.

    :raises PermissionDenied: the person may not.
    """
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not (may_view and may_act(request)):
        raise PermissionDenied
    return None


class ReadOnly:
    """What the worker writes, nobody else does."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def actor_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101  the admin admits nobody else
    return request.user
