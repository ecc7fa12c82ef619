"""Tripwires for the whole suite: what no test may do unnoticed."""

from __future__ import annotations

import ipaddress
import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.template import engines
from django.utils import translation

TEMPLATES = Path(settings.BASE_DIR) / "templates"

# What takes long on a busy machine is no mistake; pytest's own limit stands. Here, as `given` reads it where it stands.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


class Undefined(str):
    """Django's ``string_if_invalid``: a variable that our own template names and nobody set fails the test.

    Django's and other packages' templates lean on undefined variables, and so do our versions of the admin's.
    """

    __slots__ = ()

    def __contains__(self, item: object) -> bool:
        return item == "%s"

    def __mod__(self, variable: Any) -> str:
        frame = sys._getframe(1)
        while frame is not None:
            node = frame.f_locals.get("self")
            origin = getattr(node, "origin", None)
            if frame.f_code.co_name == "render_annotated" and origin is not None:
                name = Path(getattr(origin, "name", ""))
                if name.is_relative_to(TEMPLATES) and not name.is_relative_to(TEMPLATES / "admin"):
                    pytest.fail(f"{name.relative_to(TEMPLATES)}: the variable {variable} is undefined")
                break
            frame = frame.f_back
        return ""


@pytest.fixture(autouse=True, scope="session")
def undefined_template_variables() -> None:
    engines["django"].engine.string_if_invalid = Undefined("%s")


@pytest.fixture(autouse=True)
def logged_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test during which an error was logged, unless it is marked ``logs_errors``."""
    records: list[logging.LogRecord] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Collect(level=logging.ERROR)
    loggers = [logging.getLogger(), logging.getLogger("django")]  # Django's does not propagate
    for logger in loggers:
        logger.addHandler(handler)
    yield
    for logger in loggers:
        logger.removeHandler(handler)
    if records and request.node.get_closest_marker("logs_errors") is None:
        pytest.fail("errors were logged: " + "; ".join(f"{one.name}: {one.getMessage()}" for one in records))


@pytest.fixture(autouse=True)
def nobody_s_language() -> Iterator[None]:
    """A request leaves its reader's language behind in the thread; the next test begins with the site's own."""
    yield
    translation.deactivate()


def _leaves_the_machine(address: Any) -> bool:
    if not isinstance(address, tuple):
        return False  # a Unix socket
    try:
        return not ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return address[0] != "localhost"


@pytest.fixture(autouse=True)
def outgoing_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that connects to anything but this machine."""
    attempts: list[Any] = []
    connect = socket.socket.connect

    def watched(self: socket.socket, address: Any) -> None:
        if self.type & socket.SOCK_STREAM and _leaves_the_machine(address):
            attempts.append(address)
            raise ConnectionRefusedError(f"a test must not connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    yield
    if attempts:
        pytest.fail(f"connections that leave this machine: {attempts}")
