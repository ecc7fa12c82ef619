"""The demo data: what it is, that loading it twice adds nothing, and that it goes without a trace."""

from __future__ import annotations

import stat
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command

from backoffice.citytrips.models import SyncRequest
from backoffice.demo import login
from fleet.models import Vehicle
from itineraries.models import Itinerary

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def var(settings: Any, tmp_path: Path) -> Path:
    settings.VAR_DIR = tmp_path
    return tmp_path


def load(*arguments: str) -> str:
    out = StringIO()
    call_command("load_demo", *arguments, stdout=out)
    return out.getvalue()


def test_the_demo_is_as_described() -> None:
    """250 vehicles in four cities, eight people, four itineraries, each marked as invented."""
    load()
    vehicles = Vehicle.objects.filter(is_demo=True)
    assert vehicles.count() == Vehicle.objects.count() == 250
    assert set(vehicles.values_list("city", flat=True)) == {"Madrid", "Barcelona", "Santiago", "Sydney"}
    assert get_user_model().objects.filter(is_demo=True).count() == get_user_model().objects.count() == 8
    assert Itinerary.objects.filter(is_demo=True).count() == Itinerary.objects.count() == 4


def test_the_fleet_is_the_same_on_every_machine() -> None:
    """Seeded: removed and loaded again, every vehicle is what and where it was."""

    def fleet() -> list[tuple[Any, ...]]:
        return list(
            Vehicle.objects.order_by("pk").values_list(
                "pk", "plate", "city", "latitude", "longitude", "battery", "state"
            )
        )

    load()
    before = fleet()
    load("--remove")
    load()
    assert fleet() == before


def test_loading_twice_adds_and_changes_nothing() -> None:
    """A second load keeps what staff changed in the meantime."""
    load()
    Vehicle.objects.filter(pk=Vehicle.objects.order_by("pk").first().pk).update(note="seen by staff")
    assert "Loaded 0 vehicles, 0 people and 0 itineraries" in load()
    assert Vehicle.objects.filter(note="seen by staff").count() == 1


def test_removing_takes_the_invented_and_nothing_else(var: Path) -> None:
    """What staff made stays; what was loaded goes, with its password."""
    load()
    Vehicle.objects.create(id="OURS-1", plate="1234 BCD", country="Spain", city="Madrid", state="available")
    assert "Removed 250 vehicles, 8 people and 4 itineraries" in load("--remove")
    assert list(Vehicle.objects.values_list("pk", flat=True)) == ["OURS-1"]
    assert not get_user_model().objects.exists()
    assert not login.password_file(var).exists()
    # Rows that are gone cannot be pending, so the partner is told by a full list.
    assert SyncRequest.objects.get().full


def test_the_staff_login_works_and_is_for_the_owner_only(var: Path) -> None:
    """The printed password opens the staff account, until it is changed."""
    load()
    name, password = login.staff_login(var) or pytest.fail("no login")
    person = get_user_model().objects.get(username=name)
    assert person.is_staff
    assert person.check_password(password)
    assert stat.S_IMODE(login.password_file(var).stat().st_mode) == 0o600
    person.set_password("one of her own")
    person.save()
    assert login.staff_login(var) is None


def test_the_itineraries_differ_in_completeness() -> None:
    """Two can be published as they are, two have errors."""
    load()
    errors = dict(Itinerary.objects.values_list("title", "error_count"))
    assert errors["Trip to Barcelona"] == 0
    assert errors["Andes in ten days"] == 0
    assert errors["A long weekend in Sydney"] > 0
    assert errors["Madrid for the Rossi family"] > 0
