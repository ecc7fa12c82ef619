from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class UsersConfig(AppConfig):
    name = "users"
    verbose_name = _("People")

    def ready(self) -> None:
        from users import openapi  # noqa: F401  registers the scheme
        from users.groups import groups_ensure

        post_migrate.connect(groups_ensure, dispatch_uid="users.groups")
