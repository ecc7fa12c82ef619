"""The groups that staff are put into, and what each may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db import DEFAULT_DB_ALIAS, router

Rule = Callable[[str, str], bool]


def _people(app: str, codename: str) -> bool:
    # No deletion: an account is blocked, and its history stays.
    return app == "users" and codename in {
        "view_user",
        "add_user",
        "change_user",
        "view_apitoken",
        "view_citytripsaccount",
        "view_citytripsapplication",
        "change_citytripsapplication",
        "view_identityimage",
        "view_termsversion",
        "add_termsversion",
        "change_termsversion",
        "delete_termsversion",
    }


def _fleet(app: str, codename: str) -> bool:
    # Of the line they see everything, and hold back what it is sent.
    return app == "fleet" or (app == "citytrips" and (codename.startswith("view_") or codename == "pause_sending"))


def _viewer(app: str, codename: str) -> bool:
    # People's data are nobody's business who only looks on. Of CityTrips' requests they see what became of them.
    if app == "users":
        return codename in {"view_citytripsapplication", "view_termsversion"}
    return app in {"fleet", "itineraries", "citytrips"} and codename.startswith("view_")


# Each answers for one permission: its app's label and its codename ("change_vehicle").
RULES: dict[str, Rule] = {
    "Fleet": _fleet,
    "Itineraries": lambda app, codename: app == "itineraries",
    "People": _people,
    "Viewer": _viewer,
}
APPS = {"fleet", "itineraries", "users", "citytrips"}


def _permissions(label: str, using: str) -> dict[int, str]:
    found = Permission.objects.using(using).filter(content_type__app_label=label)
    return dict(found.values_list("pk", "codename"))


def groups_ensure(sender: AppConfig, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """Give the groups the permissions that this migration brought for one app; ``post_migrate`` calls it.

    Only a permission that is new is given, and a group that staff removed comes back only with such: what staff took
    away or added stays as they left it. So the permissions are made here, before Django's own handler would (this
    app stands before ``django.contrib.auth`` in ``INSTALLED_APPS``).
    """
    if sender.label not in APPS or not router.allow_migrate_model(using, Group):
        return
    known = _permissions(sender.label, using)
    create_permissions(apps.get_app_config(sender.label), verbosity=0, using=using)
    new = {pk: codename for pk, codename in _permissions(sender.label, using).items() if pk not in known}
    for name, rule in RULES.items():
        given = [pk for pk, codename in new.items() if rule(sender.label, codename)]
        if given:
            group, _created = Group.objects.using(using).get_or_create(name=name)
            group.permissions.add(*given)
