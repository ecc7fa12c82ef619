"""Who asks for the fleet's pages in the admin."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.fleet.admin.pages import signed_in


@pytest.fixture
def client() -> Client:
    return signed_in("ana", "view_vehicle", "change_vehicle", "add_vehicle", "view_fleetrules", "change_fleetrules")


@pytest.fixture
def viewer() -> Client:
    return signed_in("eva", "view_vehicle")
