"""The invented people."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group

from backoffice.demo import people
from users.models import User
from users.services import token_create, user_create, user_update

pytestmark = pytest.mark.django_db


def test_eight_people_are_made_once() -> None:
    """Loading again adds nothing and changes nothing."""
    assert people.load(staff_password="velero-7-sol") == 8
    user_update(user=User.objects.get(username="lucia"), values={"first_name": "Luz"})
    assert people.load(staff_password="another") == 0
    assert User.objects.filter(is_demo=True).count() == 8
    assert User.objects.get(username="lucia").first_name == "Luz"
    assert User.objects.get(username="ana").check_password("velero-7-sol")


def test_only_staff_have_a_password() -> None:
    """Ana may everything, the viewer only looks, and nobody else can log in."""
    people.load(staff_password="velero-7-sol")
    staff = User.objects.filter(is_staff=True)
    assert {person.username: person.is_superuser for person in staff} == {"ana": True, "viewer": False}
    assert all(person.check_password("velero-7-sol") for person in staff)
    assert not any(person.has_usable_password() for person in User.objects.filter(is_staff=False))
    viewer = User.objects.get(username="viewer")
    assert viewer.has_perm("fleet.view_vehicle")
    assert not viewer.has_perm("fleet.change_vehicle")


def test_without_a_password_nobody_has_one() -> None:
    """staff_password=None makes accounts that only recovery opens."""
    people.load(staff_password=None)
    assert not any(person.has_usable_password() for person in User.objects.all())


def test_a_name_or_address_that_is_taken_is_left_alone() -> None:
    """A real Ana keeps her account, and is not removed with the invented ones."""
    real = user_create(username="ana", email="ana@real.example")
    user_create(username="other", email="LIAM@operator.example")
    assert people.load(staff_password="velero-7-sol") == 6
    real.refresh_from_db()
    assert (real.is_staff, real.is_demo, real.has_usable_password()) == (False, False, False)
    assert people.remove() == 6
    assert set(User.objects.values_list("username", flat=True)) == {"ana", "other"}


def test_removing_takes_them_and_what_is_theirs() -> None:
    """People and their tokens go; groups stay; removing again removes nothing."""
    people.load(staff_password=None)
    token_create(user=User.objects.get(username="ana"), name="x")
    assert people.remove() == 8
    assert people.remove() == 0
    assert not User.objects.exists()
    assert Group.objects.filter(name="Viewer").exists()
