"""The groups that staff are put into."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db.models.signals import post_migrate

from users.groups import RULES
from users.models import User
from users.services import user_create

pytestmark = pytest.mark.django_db


def held(name: str) -> set[str]:
    found = Permission.objects.filter(group__name=name).values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in found}


def migrate_again() -> None:
    for config in apps.get_app_configs():
        post_migrate.send(sender=config, app_config=config, verbosity=0, interactive=False, using="default", apps=apps)


def test_each_group_has_its_permissions_in_every_app() -> None:
    """After the first migration all four groups are there, whatever order the apps stand in."""
    assert (
        set(Group.objects.values_list("name", flat=True)) == set(RULES) == {"Fleet", "Itineraries", "People", "Viewer"}
    )
    assert held("Fleet") >= {f"fleet.{verb}_vehicle" for verb in ("view", "add", "change", "delete")}
    assert held("Itineraries") >= {"itineraries.publish_itinerary"} | {
        f"itineraries.{verb}_itinerary" for verb in ("view", "add", "change", "delete")
    }
    assert held("People") == {"users.view_user", "users.add_user", "users.change_user", "users.view_apitoken"} | {
        "users.view_citytripsaccount",
        "users.view_citytripsapplication",
        "users.change_citytripsapplication",
        "users.view_identityimage",
        *(f"users.{verb}_termsversion" for verb in ("view", "add", "change", "delete")),
    }
    assert held("Viewer") >= {"fleet.view_vehicle", "itineraries.view_itinerary"}
    assert all(".view_" in permission for permission in held("Viewer"))
    # What became of CityTrips' requests, and the terms; nobody's data.
    of_people = {permission for permission in held("Viewer") | held("Fleet") if permission.startswith("users.")}
    assert of_people == {"users.view_citytripsapplication", "users.view_termsversion"}


def test_nobody_gets_rights_over_rights() -> None:
    """No group may change groups or permissions."""
    for name in RULES:
        assert not {one for one in held(name) if one.startswith(("auth.", "admin.", "contenttypes."))}


def test_migrating_again_keeps_what_staff_changed() -> None:
    """What staff took away or added stays so, and a group they removed does not come back."""
    before = {name: held(name) for name in RULES}
    migrate_again()
    assert {name: held(name) for name in RULES} == before
    viewer = Group.objects.get(name="Viewer")
    viewer.permissions.remove(Permission.objects.get(codename="view_itinerary"))
    viewer.permissions.add(Permission.objects.get(codename="view_user"))
    Group.objects.get(name="People").delete()
    migrate_again()
    assert "itineraries.view_itinerary" not in held("Viewer")
    assert "users.view_user" in held("Viewer")
    assert not Group.objects.filter(name="People").exists()


def test_a_permission_that_a_later_version_brings_reaches_the_groups() -> None:
    """A new permission is given to the groups whose it is, and nothing else changes."""
    viewer = Group.objects.get(name="Viewer")
    viewer.permissions.remove(Permission.objects.get(codename="view_itinerary"))
    Permission.objects.get(codename="publish_itinerary").delete()
    migrate_again()
    assert "itineraries.publish_itinerary" in held("Itineraries")
    assert "itineraries.publish_itinerary" not in held("Viewer")
    assert "itineraries.view_itinerary" not in held("Viewer")


@pytest.mark.django_db(transaction=True)
def test_groups_come_back_after_a_flush() -> None:
    """An emptied database gets its groups with its permissions."""
    call_command("flush", interactive=False, verbosity=0)
    user_create(username="one", groups=["Fleet"])
    assert User.objects.get(username="one").has_perm("fleet.change_vehicle")
