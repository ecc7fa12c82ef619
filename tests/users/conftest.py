"""People for the tests of this app, and waiting for their mail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from django.core import mail
from django.core.cache import cache
from django.core.mail import EmailMessage

from users.models import User
from users.services import user_create

PASSWORD = "velero-naranja-7"


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def person(db: None) -> User:
    """A customer: neither staff nor in a group."""
    return user_create(username="carla", email="Carla@Example.org", password=PASSWORD, first_name="Carla")


@pytest.fixture
def staff(db: None) -> User:
    return user_create(username="marta", email="marta@example.org", password=PASSWORD, is_staff=True, groups=["Fleet"])


@pytest.fixture
def superuser(db: None) -> User:
    return user_create(username="root", email="root@example.org", password=PASSWORD, is_staff=True, is_superuser=True)


@pytest.fixture
def people_staff(db: None) -> User:
    """Staff who may manage people, and nothing else."""
    return user_create(username="paula", email="paula@example.org", password=PASSWORD, is_staff=True, groups=["People"])


@pytest.fixture
def posted() -> Callable[[int], list[EmailMessage]]:
    """The mails sent so far, once there are as many as asked for; a thread of its own sends them."""

    def wait(count: int) -> list[EmailMessage]:
        deadline = time.monotonic() + 30
        while len(mail.outbox) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(mail.outbox) == count, [one.subject for one in mail.outbox]
        return list(mail.outbox)

    return wait
