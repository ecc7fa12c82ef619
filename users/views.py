"""Login, recovery of a password, and each person's account page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse_lazy
from django.utils import timezone, translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.generic import FormView, TemplateView
from django.views.i18n import set_language as django_set_language

from users import recovery, selectors, services
from users.forms import LoginForm, OwnPasswordForm, PreferencesForm, RecoveryForm, TokenForm
from users.models import ApiToken, User
from users.terms_text import blocks_of

# The type checker's stubs know the class as generic; at run time it is not.
if TYPE_CHECKING:
    RecoveryFormView = FormView[RecoveryForm]
else:
    RecoveryFormView = FormView


def _person(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


class LoginView(auth_views.LoginView):
    template_name = "users/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def get_default_redirect_url(self) -> str:
        """The desk for staff; everybody else has an account page only."""
        return resolve_url(settings.LOGIN_REDIRECT_URL if self.request.user.is_staff else "users:account")

    def get_redirect_url(self) -> str:  # type: ignore[override]  # the stubs are a release ahead
        """Where the person wanted to go; never this page, which would send them in a circle."""
        wanted = super().get_redirect_url()
        return "" if urlsplit(wanted).path == self.request.path else wanted

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        # 0: until the browser is closed.
        self.request.session.set_expiry(None if form.cleaned_data["remember"] else 0)
        return response


class LogoutView(auth_views.LogoutView):
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().post(request, *args, **kwargs)
        messages.info(request, _("You are logged out."))
        return response


@never_cache
def admin_login(request: HttpRequest) -> HttpResponse:
    """Where the admin sends whoever may not see it: to the login, or with kind words to the person's own page."""
    wanted = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure()):
        wanted = resolve_url("admin:index")
    if not request.user.is_authenticated:
        return redirect_to_login(wanted)
    if request.user.is_staff:
        return HttpResponseRedirect(wanted)
    messages.info(request, _("That page is for the operator's staff. This is your own."))
    return redirect("users:account")


class PasswordChangeView(auth_views.PasswordChangeView):
    template_name = "users/password_change.html"
    form_class = OwnPasswordForm
    success_url = reverse_lazy("users:account")

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        messages.success(self.request, _("Your password is changed. Other devices are logged out."))
        return super().form_valid(form)


class RecoveryView(RecoveryFormView):
    """Says the same to every address, and as fast."""

    template_name = "users/password_reset.html"
    form_class = RecoveryForm
    success_url = reverse_lazy("users:password_reset_done")

    def form_valid(self, form: RecoveryForm) -> HttpResponse:
        user = selectors.user_by_email(form.cleaned_data["email"])
        if user is not None:
            recovery.recovery_send(user=user, language=translation.get_language() or "")
        return super().form_valid(form)


class RecoveryDoneView(TemplateView):
    template_name = "users/password_reset_done.html"
    extra_context = {"hours": settings.PASSWORD_RESET_TIMEOUT // 3600}


class RecoveryConfirmView(auth_views.PasswordResetConfirmView):
    template_name = "users/password_reset_confirm.html"
    success_url = reverse_lazy("users:login")

    def form_valid(self, form: SetPasswordForm[User]) -> HttpResponse:
        response = super().form_valid(form)
        services.user_unlock(user=form.user)
        messages.success(self.request, _("Your new password is set. Log in with it."))
        return response


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """A person's own page: name, language and time zone; for staff also their tokens."""
    person = _person(request)
    # A copy, so that what was not accepted appears in the form only, and not in the page's head.
    form = PreferencesForm(request.POST or None, instance=User.objects.get(pk=person.pk))
    if request.method == "POST" and form.is_valid():
        services.user_update(user=person, values=form.cleaned_data)
        with translation.override(person.language or translation.get_language()):
            messages.success(request, _("Your settings are saved."))
        return redirect("users:account")
    return _account_page(request, preferences=form)


def _account_page(request: HttpRequest, **extra: Any) -> HttpResponse:
    person = _person(request)
    context = {
        "person": person,
        "preferences": PreferencesForm(instance=person),
        "token_form": TokenForm(),
        "tokens": selectors.tokens_of(person) if person.is_staff else [],
        "new_token": None,
        **extra,
    }
    return render(request, "users/account.html", context)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def token_create(request: HttpRequest) -> HttpResponse:
    """Answers with the page itself rather than a redirect: the token is kept nowhere that a second request could read.

    A GET is somebody whose session had ended, coming back from the login.
    """
    person = _person(request)
    if not person.is_staff:
        raise PermissionDenied
    if request.method != "POST":
        return redirect("users:account")
    form = TokenForm(request.POST)
    if not form.is_valid():
        return _account_page(request, token_form=form)
    values = form.cleaned_data
    _row, token = services.token_create(
        user=person, name=values["name"], scope=values["scope"], expires_at=values["expires_at"]
    )
    return _account_page(request, new_token=token)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def token_revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    if request.method != "POST":
        return redirect("users:account")
    token = ApiToken.objects.filter(pk=token_id, user=_person(request)).first()
    if token is None:
        raise Http404
    services.token_revoke(token=token, actor=_person(request))
    messages.success(request, _("The token “%(name)s” is revoked.") % {"name": token.name})
    return redirect("users:account")


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Django's own, and for a person the choice is kept: their pages follow it on every device."""
    response = django_set_language(request)
    language = request.POST.get("language", "")
    if request.user.is_authenticated and language in dict(settings.LANGUAGES):
        services.user_update(user=_person(request), values={"language": language})
    return response


@require_safe
def terms(request: HttpRequest, version_id: int | None = None) -> HttpResponse:
    """The operator's terms for anybody: the version in force, or one that was.

    Where OPERATOR_TERMS_URL names another page, that is where the terms in force are.
    """
    if version_id is None and not selectors.terms_are_here():
        return redirect(settings.OPERATOR_TERMS_URL)
    versions = selectors.terms_until(timezone.now())
    current = versions[0] if versions else None
    version = next((one for one in versions if one.pk == version_id), None) if version_id is not None else current
    if version is None and version_id is not None:
        raise Http404
    language, text = version.text_for(translation.get_language() or "") if version else ("", "")
    context = {
        "version": version,
        "is_in_force": version == current,
        "language": language,
        "blocks": blocks_of(text),
        "is_wide": True,
        "others": [one for one in versions if one != version],
    }
    return render(request, "users/terms.html", context)
