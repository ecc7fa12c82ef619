from typing import Any

from django.apps import AppConfig
from django.db import transaction
from django.db.models.signals import post_delete, post_migrate
from django.utils.translation import gettext_lazy as _


class UsersConfig(AppConfig):
    name = "users"
    verbose_name = _("People")

    def ready(self) -> None:
        from users import checks, openapi  # noqa: F401  registers them
        from users.groups import groups_ensure

        post_migrate.connect(groups_ensure, dispatch_uid="users.groups")
        # A signal, since the database deletes images along with their person, past every service.
        post_delete.connect(_forget_file, sender="users.IdentityImage", dispatch_uid="users.images")


def _forget_file(instance: Any, **kwargs: Any) -> None:
    from users.identity_images import picture_remove

    transaction.on_commit(lambda: picture_remove(instance.name))
