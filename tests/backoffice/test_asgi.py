"""WebSockets to addresses where none is served."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.backoffice.serving import ROOT, variables

ASK = textwrap.dedent(
    """
    import asyncio, sys
    from backoffice.asgi import application
    from channels.testing import WebsocketCommunicator

    async def ask(path):
        return await WebsocketCommunicator(application, path).connect(timeout=20)

    for path in sys.argv[1:]:
        print(*asyncio.run(ask(path)))
    """
)


@pytest.mark.django_db
@pytest.mark.parametrize(("sandbox", "line"), [("true", "True None"), ("false", "False 4404")])
def test_an_unknown_line_is_closed_before_it_is_accepted(sandbox: str, line: str) -> None:
    """With the simulators and without them, by code 4404 and without a word in the log."""
    paths = ["/", "/nothing", "/sandbox/citytrips/v1/x", "/sandbox/citytrips/v1"]
    done = subprocess.run(
        [sys.executable, "-c", ASK, *paths],
        cwd=ROOT, env=variables(SANDBOX=sandbox), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["False 4404", "False 4404", "False 4404", line]
    assert done.stderr == ""
