"""The site as an ASGI application: HTTP by Django, WebSocket by Channels."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
_django = get_asgi_application()

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, Scope  # noqa: E402  the apps must be loaded first
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import OriginValidator  # noqa: E402
from channels.sessions import SessionMiddlewareStack  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import path, re_path  # noqa: E402

from backoffice.consumers import LiveConsumer  # noqa: E402

NO_SUCH_LINE = 4404


async def no_such_line(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Refuse a WebSocket that nothing is served on, before it is accepted; Channels would raise an error over it."""
    await receive()
    await send({"type": "websocket.close", "code": NO_SUCH_LINE, "reason": None})


def own_hosts() -> list[str]:
    """The hosts from whose pages a browser may open a WebSocket with a login; no "any host", which is no restriction."""
    names = {urlsplit(settings.SITE_URL).hostname or "", *settings.ALLOWED_HOSTS}
    return sorted(names - {"", "*"})


# A browser sends its cookies whichever page asks, so who asks is looked at; other programs have no login to lend.
_live = OriginValidator(SessionMiddlewareStack(LiveConsumer.as_asgi()), own_hosts())
_websocket_routes = [path("live/", _live)]
if settings.SANDBOX:
    from backoffice.sandbox.routing import websocket_urlpatterns

    _websocket_routes += websocket_urlpatterns
_websocket_routes.append(re_path("", no_such_line))  # type: ignore[arg-type]  # a consumer, and no view

application = ProtocolTypeRouter({"http": _django, "websocket": URLRouter(_websocket_routes)})
