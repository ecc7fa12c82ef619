"""The sections of the sidebar."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Permission
from django.test import Client, RequestFactory, override_settings

from backoffice.navigation import sections
from users.models import User
from users.services import user_create

EVERYTHING = ["Desk", "Fleet", "Map", "People", "Itineraries", "CityTrips", "Settings", "Sandbox"]


@pytest.fixture
def superuser(db: None) -> User:
    return user_create(username="root", email="root@example.org", is_staff=True, is_superuser=True)


def labels(user: object, path: str = "/") -> list[str]:
    request = RequestFactory().get(path)
    request.user = user
    return [str(section.label) for section in sections(request)]


def current(user: object, path: str) -> list[str]:
    request = RequestFactory().get(path)
    request.user = user
    return [str(section.label) for section in sections(request) if section.is_current]


def test_a_superuser_sees_every_section_whose_page_exists(superuser: User) -> None:
    """A superuser sees every section whose page exists, in order."""
    assert labels(superuser) == EVERYTHING


def test_a_section_without_a_page_is_not_shown(superuser: User) -> None:
    """The sandbox's section is gone where the sandbox's pages are not served."""
    with override_settings(ROOT_URLCONF="tests.backoffice.bare_urls"):
        assert labels(superuser) == ["Desk", "Settings"]


@pytest.mark.django_db
def test_staff_see_the_sections_they_have_permission_for() -> None:
    """A member of staff sees the desk, the settings and what the permissions allow."""
    marta = user_create(username="marta", email="marta@example.org", is_staff=True)
    assert labels(marta) == ["Desk", "Settings"]
    marta.user_permissions.add(Permission.objects.get(codename="view_vehicle"))
    assert labels(User.objects.get(pk=marta.pk)) == ["Desk", "Fleet", "Map", "Settings", "Sandbox"]


@pytest.mark.django_db
def test_nobody_but_staff_sees_a_section() -> None:
    """Visitors, customers and disabled accounts see none."""
    carla = user_create(username="carla", email="carla@example.org")
    assert labels(AnonymousUser()) == []
    assert labels(carla) == []
    carla.is_staff, carla.is_active = True, False
    assert labels(carla) == []


@pytest.mark.parametrize(
    ("path", "section"),
    [
        ("/", "Desk"),
        ("/admin/fleet/vehicle/", "Fleet"),
        ("/admin/fleet/vehicle/ES-1/change/", "Fleet"),
        ("/admin/fleet/fleetrules/", "Settings"),
        ("/admin/users/user/add/", "People"),
        ("/admin/users/citytripsapplication/", "People"),
        ("/admin/users/apitoken/", "Settings"),
        ("/admin/", "Settings"),
        ("/itineraries/", "Itineraries"),
        ("/admin/itineraries/itinerary/", "Itineraries"),
        ("/admin/citytrips/linkstate/1/change/", "CityTrips"),
        ("/sandbox/", "Sandbox"),
    ],
)
def test_the_section_that_a_page_belongs_to_is_the_current_one(superuser: User, path: str, section: str) -> None:
    """Exactly one section is current: the one that claims the longest part of the page's address."""
    assert current(superuser, path) == [section]


def test_a_page_of_no_section_marks_none(superuser: User) -> None:
    """The account page belongs to no section."""
    assert current(superuser, "/account/") == []


def test_the_current_section_is_marked_for_assistive_technology(superuser: User, client: Client) -> None:
    """The page marks the current section, and has a way past the sections to the content."""
    client.force_login(superuser)
    page = client.get("/admin/").content.decode()
    assert '<a href="/admin/" aria-current="page">Settings</a>' in page
    assert page.count('aria-current="page"') == 1
    assert '<a href="#content-start" class="skip">' in page
    assert 'id="content-start"' in page
