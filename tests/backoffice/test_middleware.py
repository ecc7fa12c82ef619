"""Whose forwarding headers are believed, and in whose zone and language a page is shown."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone, translation

from backoffice.middleware import PersonalPreferencesMiddleware, TrustedProxyMiddleware
from users.models import User

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def shown(request: HttpRequest) -> HttpResponse:
    text = Template("{{ noon|date:'H:i' }} {{ noon|date:'F' }}").render(Context({"noon": NOON}))
    return HttpResponse(f"{text} {request.META['REMOTE_ADDR']} {request.scheme}")


urlpatterns = [path("shown/", shown)]


@pytest.fixture(autouse=True)
def proxies(settings) -> None:
    settings.TRUSTED_PROXIES = [ipaddress.ip_network(one) for one in ("10.0.0.0/8", "2001:db8::/32")]


def through(remote: str, **headers: str) -> HttpRequest:
    """The request as the views see it."""
    seen: list[HttpRequest] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse()

    TrustedProxyMiddleware(view)(RequestFactory().get("/", REMOTE_ADDR=remote, headers=headers))
    return seen[0]


@pytest.mark.parametrize("remote", ["192.0.2.1", "2001:db9::1", "", "unknown", "/run/socket", "11.0.0.1"])
def test_a_stranger_s_forwarding_headers_are_removed(remote: str) -> None:
    """Whoever is no trusted proxy says nothing about addresses, schemes, hosts or ports."""
    request = through(
        remote,
        **{
            "X-Forwarded-For": "198.51.100.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Port": "443", "Forwarded": "for=198.51.100.1",
        },
    )  # fmt: skip
    assert request.META["REMOTE_ADDR"] == remote
    assert not [name for name in request.META if "FORWARDED" in name]
    assert request.scheme == "http"
    assert request.get_host() == "testserver"


@pytest.mark.parametrize(
    ("remote", "header", "seen"),
    [
        ("10.1.2.3", "198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "203.0.113.9, 198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.1.2.3", "10.8.8.8, 198.51.100.1", "198.51.100.1"),
        ("2001:db8::1", "2001:db9:0::7", "2001:db9::7"),
        ("10.1.2.3", "198.51.100.1, unknown", "10.1.2.3"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", " , ,", "10.1.2.3"),
        ("10.1.2.3", "10.4.4.4", "10.1.2.3"),
        ("10.1.2.3", "198.51.100.1:50412", "198.51.100.1"),
        ("2001:db8::1", "[2001:db9::7]:443", "2001:db9::7"),
        ("::ffff:10.1.2.3", "198.51.100.1", "198.51.100.1"),
    ],
)
def test_behind_a_trusted_proxy_the_last_stranger_counts(remote: str, header: str, seen: str) -> None:
    """What stands before it was written by the client; what is no address leaves the proxy's own."""
    assert through(remote, **{"X-Forwarded-For": header}).META["REMOTE_ADDR"] == seen


def test_a_trusted_proxy_tells_the_scheme() -> None:
    """TLS that ended at the proxy counts as TLS."""
    assert through("10.1.2.3", **{"X-Forwarded-Proto": "https"}).scheme == "https"
    assert through("10.1.2.3", **{"X-Forwarded-Proto": "http"}).scheme == "http"


def test_underscores_do_not_smuggle_a_header_in() -> None:
    """A header named with underscores would read as the one with hyphens; Django leaves it out."""
    scope = {
        "type": "http", "method": "GET", "path": "/", "query_string": b"", "client": ("10.1.2.3", 1),
        "headers": [(b"x_forwarded_for", b"198.51.100.1"), (b"x_forwarded_proto", b"https")],
    }  # fmt: skip
    request = ASGIRequest(scope, None)
    assert not [name for name in request.META if "FORWARDED" in name]


@pytest.mark.django_db
@pytest.mark.urls(__name__)
class TestPreferences:
    """Zone and language of the reader."""

    def test_a_visitor_sees_the_site_s_zone_and_the_browser_s_language(self, client: Client) -> None:
        """Nobody is logged in."""
        assert client.get("/shown/", headers={"Accept-Language": "es"}).content.startswith(b"12:00 enero")
        assert client.get("/shown/").content.startswith(b"12:00 January")

    @pytest.mark.parametrize(
        ("zone", "language", "text"),
        [
            ("America/Santiago", "es", "09:00 enero"),
            ("Australia/Sydney", "en", "23:00 January"),
            ("", "", "12:00 enero"),
            ("", "en", "12:00 January"),
        ],
    )
    def test_a_person_sees_their_own(self, client: Client, zone: str, language: str, text: str) -> None:
        """What was chosen goes before the browser's language, and what was not is left to it."""
        client.force_login(User.objects.create(username="one", time_zone=zone, language=language))
        answer = client.get("/shown/", headers={"Accept-Language": "es"})
        assert answer.content.decode().startswith(text)
        assert answer["Content-Language"] == ("es" if "enero" in text else "en")

    def test_a_zone_that_nobody_knows_any_more_is_the_site_s(self, client: Client) -> None:
        """Time zone data changes; a page is shown all the same."""
        client.force_login(User.objects.create(username="one", time_zone="Atlantis/Capital", language="en"))
        assert client.get("/shown/").content.startswith(b"12:00 January")

    def test_one_person_s_zone_and_language_do_not_reach_the_next(self, client: Client) -> None:
        """The thread that answered one person answers a visitor as if it were new."""
        client.force_login(User.objects.create(username="one", time_zone="Australia/Sydney", language="es"))
        client.get("/shown/")
        assert Client().get("/shown/").content.startswith(b"12:00 January")
        assert timezone.get_current_timezone_name() == "UTC"


def test_an_error_in_the_view_puts_the_zone_back(db: None) -> None:
    """Also then the zone is the site's again."""

    def broken(request: HttpRequest) -> HttpResponse:
        assert timezone.get_current_timezone_name() == "Asia/Tokyo"
        raise RuntimeError

    request = RequestFactory().get("/")
    request.user = User(username="one", time_zone="Asia/Tokyo")
    with pytest.raises(RuntimeError), translation.override("en"):
        PersonalPreferencesMiddleware(broken)(request)
    assert timezone.get_current_timezone_name() == "UTC"
