"""The sections of the sidebar: which there are, who sees them, and which one the page belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Place:
    """A section as the code knows it: shown where its page exists and the person has any of the permissions, if it asks.

    ``covers`` are the beginnings of paths that belong to it, beside the page's own address.
    """

    label: str | Promise
    page: str
    permissions: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A section as the page shows it."""

    label: str | Promise
    url: str
    is_current: bool


PLACES = (
    Place(_("Desk"), "desk"),
    Place(_("Fleet"), "admin:fleet_vehicle_changelist", ("fleet.view_vehicle",), ("/admin/fleet/vehicle", "/fleet/")),
    Place(_("Map"), "fleet:map", ("fleet.view_vehicle",)),
    Place(
        _("People"),
        "admin:users_user_changelist",
        ("users.view_user",),
        ("/admin/users/user/", "/admin/users/citytrips", "/admin/users/identityimage"),
    ),
    Place(_("Itineraries"), "itineraries:list", ("itineraries.view_itinerary",), ("/admin/itineraries/",)),
    Place(
        _("CityTrips"), "admin:citytrips_linkstate_changelist", ("citytrips.view_linkstate",), ("/admin/citytrips/",)
    ),
    Place(_("Settings"), "admin:index"),
    Place(_("Sandbox"), "sandbox:console", ("fleet.view_vehicle", "itineraries.view_itinerary"), covers=("/sandbox/",)),
)


def address(name: str) -> str | None:
    """The address of a named page; None where there is no such page."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return None


def _length_of_match(path: str, url: str, covers: tuple[str, ...]) -> int:
    """How much of ``path`` a section claims: the one that claims most is the current one; the desk claims only itself."""
    if url == "/":
        return int(path == "/")
    return max((len(beginning) for beginning in (url, *covers) if path.startswith(beginning)), default=0)


def _shown_to(user: AbstractUser | AnonymousUser) -> list[tuple[Place, str]]:
    """The sections whose page exists and which the person may see, with its address."""
    return [
        (place, url)
        for place in PLACES
        if (not place.permissions or any(map(user.has_perm, place.permissions)))
        and (url := address(place.page)) is not None
    ]


def place_of(path: str, user: AbstractUser | AnonymousUser) -> tuple[Place, str]:
    """Of the sections that a person may see the one that an address belongs to, and its page; else the desk."""
    return max(_shown_to(user), key=lambda shown: _length_of_match(path, shown[1], shown[0].covers))


def sections(request: HttpRequest) -> list[Section]:
    """What the person may see, in the order of the sidebar; nothing for people who are not staff."""
    user = getattr(request, "user", None)
    if user is None or not user.is_active or not user.is_staff:
        return []
    shown = _shown_to(user)
    claims = [_length_of_match(request.path, url, place.covers) for place, url in shown]
    most = max(claims, default=0)
    return [
        Section(place.label, url, is_current=most > 0 and claim == most)
        for (place, url), claim in zip(shown, claims, strict=True)
    ]


def navigation(request: HttpRequest) -> dict[str, object]:
    """For every template: the name of the house, and the sections, asked for only where they are shown."""
    return {
        "operator_name": settings.OPERATOR_NAME,
        "sections": partial(sections, request),
        "account_url": partial(address, "users:account"),
        "logout_url": partial(address, "users:logout"),
    }
