"""What every request passes through: whose forwarding headers are believed, and the reader's zone and language."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

GetResponse = Callable[[HttpRequest], HttpResponse]

_FORWARDED = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_FORWARDED",
)


Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Either may carry a port, and an IPv6 address then stands in brackets (RFC 7239, section 6).
_WITH_PORT = re.compile(r"^(?:\[(?P<v6>[^\]]+)\](?::\d+)?|(?P<v4>[\d.]+):\d+)$")


def _address(text: str) -> Address | None:
    """The IP address of one hop, or None for what is none ("unknown"). An IPv4 one that came over IPv6 counts as IPv4."""
    if match := _WITH_PORT.match(text):
        text = match["v6"] or match["v4"]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(text: str) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in settings.TRUSTED_PROXIES)


class TrustedProxyMiddleware:
    """Believe ``X-Forwarded-*`` of the addresses in ``TRUSTED_PROXIES``, and remove them from everyone else's requests.

    From a trusted proxy, ``REMOTE_ADDR`` becomes the last address of ``X-Forwarded-For`` that is no trusted proxy: the
    ones before it were written by the client and may say anything.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _is_trusted(request.META.get("REMOTE_ADDR", "")):
            for header in _FORWARDED:
                request.META.pop(header, None)
            return self.get_response(request)
        hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
        client = next((hop for hop in reversed(hops) if not _is_trusted(hop)), None)
        # What is not an address says nothing: then the proxy's own is the best that is known.
        if client is not None and (address := _address(client)) is not None:
            request.META["REMOTE_ADDR"] = str(address)
        return self.get_response(request)


def _zone(name: str) -> zoneinfo.ZoneInfo:
    """A person's zone, or the site's own for none and for one that this machine's time zone data does not know."""
    try:
        return zoneinfo.ZoneInfo(name or settings.TIME_ZONE)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return zoneinfo.ZoneInfo(settings.TIME_ZONE)


class PersonalPreferencesMiddleware:
    """Show times in the person's own zone and, where one was chosen, pages in the person's own language."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            return self.get_response(request)
        if request.user.language:
            translation.activate(request.user.language)
            request.LANGUAGE_CODE = request.user.language
        with timezone.override(_zone(request.user.time_zone)):
            return self.get_response(request)
