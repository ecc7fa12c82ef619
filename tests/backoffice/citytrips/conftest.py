"""What several tests of the line begin with."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from backoffice.citytrips import bridge
from backoffice.citytrips.connection import Backoff
from backoffice.citytrips.lease import LeaseKeeper
from backoffice.citytrips.session import Session
from tests.fleet.factories import make
from users.models import User


@pytest.fixture
def fleet() -> None:
    """Two vehicles that are offered."""
    for vehicle in ("ES-1", "ES-2"):
        make(vehicle)


@pytest.fixture
def ana() -> User:
    return User.objects.create_user("ana", "ana@example.com", is_staff=True)


@pytest.fixture
def two_cities(ana: User) -> None:
    """Two vehicles in Madrid and two in Sevilla."""
    for vehicle, city in (("ES-1", "Madrid"), ("ES-2", "Madrid"), ("SE-1", "Sevilla"), ("SE-2", "Sevilla")):
        make(vehicle, city=city)


@pytest.fixture
def token() -> uuid.UUID:
    """The lease's, held."""
    keeper = LeaseKeeper(10)
    while not keeper.try_acquire():
        pass
    return keeper.token


@pytest.fixture
def nothing_grows_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a look has read counts as fresh however long the test takes until it is collected."""
    monkeypatch.setattr(bridge, "FRESH", 3600.0)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between connections a tenth as long."""
    monkeypatch.setattr(Backoff, "FIRST", 0.1)
    monkeypatch.setattr(Backoff, "FAILED_CEILING", 1.0)
    monkeypatch.setattr(Backoff, "CLOSED_CEILING", 6.0)


@pytest.fixture
def no_full_after_authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off what mends almost any loss, so that another safeguard shows what it does by itself."""
    succeed = Session._receive_success

    def without(self: Session) -> Any:
        effects = succeed(self)
        self._full_wanted = False
        return effects

    monkeypatch.setattr(Session, "_receive_success", without)
