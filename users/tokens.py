"""How programs log into the REST API: by token, within the token's scope and the person's permissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, MethodNotAllowed, PermissionDenied
from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request

from users.models import ApiToken, Scope, User
from users.services import token_digest

if TYPE_CHECKING:  # rest_framework.views imports this module, by its name in the settings
    from rest_framework.views import APIView

USED_EVERY = timedelta(minutes=1)
# A token for the fleet may do what one for telemetry may.
_INCLUDED = {Scope.FLEET: {Scope.FLEET, Scope.TELEMETRY}}


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Token opb_…``. Anything else in that header is left to the next class."""

    keyword = "Token"

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != self.keyword.lower().encode():
            return None
        if len(words) != 2:
            raise AuthenticationFailed(_("The header must be “Authorization: Token ” and the token, without blanks."))
        digest = token_digest(words[1].decode("latin-1"))
        token = ApiToken.objects.select_related("user").filter(digest=digest).first()
        if token is None or not constant_time_compare(token.digest, digest):
            raise AuthenticationFailed(_("This token is not known here."))
        if token.revoked_at is not None:
            raise AuthenticationFailed(_("This token was revoked."))
        if token.expires_at is not None and token.is_expired:
            moment = date_format(timezone.localtime(token.expires_at), "DATETIME_FORMAT")
            raise AuthenticationFailed(_("This token expired at %(moment)s.") % {"moment": moment})
        if not token.user.is_active:
            raise AuthenticationFailed(_("The account of this token is blocked."))
        if not token.user.is_staff:
            raise AuthenticationFailed(_("This token's person is no longer staff."))
        self._note_use(token)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return self.keyword

    @staticmethod
    def _note_use(token: ApiToken) -> None:
        """Write the time of use, unless it was written within the last minute: a busy token must not cost a write each time."""
        now = timezone.now()
        if token.last_used_at is None or token.last_used_at <= now - USED_EVERY:
            ApiToken.objects.filter(pk=token.pk, last_used_at=token.last_used_at).update(last_used_at=now)
            token.last_used_at = now


class ScopedModelPermissions(DjangoModelPermissions):
    """Staff only: the token's scope against the view's ``required_scope``, then the permissions for the view's model.

    A view may name other permissions per method in ``required_permissions``, such as
    ``{"POST": ["fleet.change_vehicle"]}``. Reading needs the permission to view. Sessions have no scope.
    """

    perms_map = {
        **DjangoModelPermissions.perms_map,
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
        "OPTIONS": ["%(app_label)s.view_%(model_name)s"],
    }

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not request.user or not request.user.is_authenticated or not request.user.is_staff:
            return False
        if isinstance(request.auth, ApiToken):
            self._check_scope(request.auth, getattr(view, "required_scope", None))
        own: Mapping[str, Sequence[str]] = getattr(view, "required_permissions", None) or {}
        if request.method is not None and request.method in own:
            return bool(request.user.has_perms(own[request.method]))
        return super().has_permission(request, view)

    def get_required_permissions(self, method: str, model_cls: Any) -> list[str]:
        if method not in self.perms_map:
            raise MethodNotAllowed(method)
        return super().get_required_permissions(method, model_cls)

    @staticmethod
    def _check_scope(token: ApiToken, required: str | None) -> None:
        if token.scope == Scope.ALL:
            return
        if required is None or required not in _INCLUDED.get(Scope(token.scope), {token.scope}):
            raise PermissionDenied(
                _("This token's scope is “%(scope)s”, and this address needs “%(required)s”.")
                % {"scope": token.scope, "required": required or Scope.ALL.value}
            )
