"""The addresses of this app's pages."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from django.views.generic import RedirectView

from users import views

app_name = "users"
urlpatterns: list[URLPattern | URLResolver] = [
    path("login/", views.LoginView.as_view(), name="login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("terms/", views.terms, name="terms"),
    path("terms/<int:version_id>/", views.terms, name="terms_version"),
    path("account/", views.account, name="account"),
    path("account/password/", views.PasswordChangeView.as_view(), name="password_change"),
    path("account/tokens/", views.token_create, name="token_create"),
    path("account/tokens/<int:token_id>/revoke/", views.token_revoke, name="token_revoke"),
    path("password-reset/", views.RecoveryView.as_view(), name="password_reset"),
    path("password-reset/done/", views.RecoveryDoneView.as_view(), name="password_reset_done"),
    path("password-reset/<uidb64>/<token>/", views.RecoveryConfirmView.as_view(), name="password_reset_confirm"),
    # Before the admin's own, which would be a second login with other rules.
    path("admin/login/", views.admin_login),
    path("admin/logout/", views.LogoutView.as_view()),
    path("admin/password_change/", RedirectView.as_view(pattern_name="users:password_change")),
]
