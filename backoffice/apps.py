from axes.apps import AppConfig as AxesConfig
from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps
from django.utils.translation import gettext_lazy as _


class BackofficeConfig(AppConfig):
    name = "backoffice"
    verbose_name = _("Backoffice")
    default = True

    def ready(self) -> None:
        from backoffice import checks, hints  # noqa: F401  registers the checks
        from fleet.events import vehicles_changed
        from itineraries.events import publications_changed

        vehicles_changed.connect(hints.fleet_changed, dispatch_uid="backoffice.hints")
        publications_changed.connect(hints.publications_changed, dispatch_uid="backoffice.hints")


class AdminConfig(admin_apps.AdminConfig):
    """Django's admin on our site, which refuses in words what Django's would fail over."""

    default = False  # Django's marks itself, and a subclass inherits the mark
    default_site = "backoffice.admin.BackofficeAdminSite"


class LoginAttemptsConfig(AxesConfig):
    """django-axes under a name that says what it keeps."""

    verbose_name = _("Login attempts")
