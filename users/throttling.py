"""How often a program may ask: a generous limit for each token, so that one gone wild does not take the site along."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from users.models import ApiToken

if TYPE_CHECKING:  # rest_framework.views imports this module, by its name in the settings
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

WINDOW = 60  # seconds


class TokenThrottle(BaseThrottle):
    """So many requests a minute, by token (or person) and the view's ``required_scope``.

    The numbers are ``DEFAULT_THROTTLE_RATES`` of ``REST_FRAMEWORK``. They are counted in the cache, which all processes
    share where there is Redis and each has for itself where there is none. While the cache is away nothing is limited:
    a limit is no reason to refuse work.
    """

    def allow_request(self, request: Request, view: APIView) -> bool:
        scope = getattr(view, "required_scope", None)
        most = api_settings.DEFAULT_THROTTLE_RATES.get(scope) if scope else None
        if most is None:
            return True
        self._now = time.time()
        try:
            return self._count(f"requests:{scope}:{_who(request)}:{int(self._now // WINDOW)}") <= int(most)
        except Exception as wrong:  # whatever the cache's driver raises
            logger.warning("The cache does not answer (%s), so requests are not counted", type(wrong).__name__)
            return True

    def wait(self) -> float:
        """Seconds until the next minute begins."""
        return math.ceil(WINDOW - self._now % WINDOW)

    @staticmethod
    def _count(key: str) -> int:
        if cache.add(key, 1, timeout=2 * WINDOW):
            return 1
        try:
            return cache.incr(key)
        except ValueError:  # it went out of the cache between the two lines
            return 1


def _who(request: Request) -> str:
    if isinstance(request.auth, ApiToken):
        return request.auth.digest[:32]
    return f"person-{request.user.pk}"
