"""The worker, as ``runworker citytrips`` runs it, with clocks at its stages or with safeguards off.

``python -m tests.bench.worker [--clocks FILE] [--without NAME …]``. A figure's control is the same scenario with the
safeguard off, which is expected to miss the figure; the names are the keys of :data:`SAFEGUARDS`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import django
import orjson


def without_settle() -> None:
    """A send counts as settled when it is written: neither a pong nor time is waited for."""
    from backoffice.citytrips.connection import Connection
    from backoffice.citytrips.exchange import Timing
    from backoffice.citytrips.session import Session

    async def confirm(self: Connection) -> None:
        pass

    original = Session.__init__

    def begin(self: Session, timing: Timing, **more: Any) -> None:
        original(self, Timing(settle=0.0, full_every=timing.full_every), **more)

    Connection.confirm = confirm
    Session.__init__ = begin


def without_full() -> None:
    """No full follows an authentication."""
    from backoffice.citytrips.session import Session

    original = Session._receive_success

    def receive_success(self: Session, *arguments: Any) -> Any:
        effects = original(self, *arguments)
        self._full_wanted = False
        return effects

    Session._receive_success = receive_success


def without_wake() -> None:
    """Nobody is woken: the worker looks once a second."""
    from backoffice.citytrips.conversation import Conversation

    async def wait(self: Conversation) -> None:
        await asyncio.sleep(1.0)

    Conversation._wait_for_work = wait


def without_pings() -> None:
    """Nobody watches over the connection."""
    from backoffice.citytrips.connection import Connection

    async def keep_alive(self: Connection, *arguments: Any) -> None:
        await asyncio.Event().wait()

    Connection.keep_alive = keep_alive


def without_patience() -> None:
    """A ping has the same time to be answered, whatever is under way."""
    from backoffice.citytrips import connection

    connection.SLOWEST = 1e12


def without_streaming() -> None:
    """A full is one frame, behind which pings wait."""
    from backoffice.citytrips.connection import Connection

    async def send_parts(self: Connection, parts: AsyncIterator[bytes]) -> None:
        await self.send(b"".join([part async for part in parts]))

    Connection.send_parts = send_parts


def without_backoff() -> None:
    """The next connection follows at once."""
    from backoffice.citytrips.connection import Backoff

    Backoff.pause = lambda self, **_outcome: 0.0


def without_lease() -> None:
    """Every worker believes that it holds the line."""
    from backoffice.citytrips import lease

    def acquire(self: lease.LeaseKeeper) -> bool:
        lease.Lease.objects.get_or_create(name=lease.NAME, defaults={"token": self.token})
        self._renewed_at = self._clock()
        return True

    lease.LeaseKeeper.try_acquire = acquire
    lease.LeaseKeeper.held = True
    lease.LeaseKeeper._renew = lambda self: True


def without_quiet() -> None:
    """Nothing keeps the WebSocket library from logging whole messages."""
    from backoffice.citytrips import connection

    connection._frames.setLevel(logging.DEBUG)
    logging.getLogger("websockets").setLevel(logging.DEBUG)


def without_accounts() -> None:
    """The program behind ``s_user/new`` breaks, with an error that quotes what it was given."""
    from users import accounts

    def link(application: object, **_more: object) -> None:
        raise RuntimeError(f"cannot link {application!r}")

    accounts.link = link


SAFEGUARDS: dict[str, Callable[[], None]] = {
    name.removeprefix("without_"): function for name, function in globals().items() if name.startswith("without_")
}


def put_clocks(path: Path) -> None:
    """Write a JSON line to ``path`` for each stage that ends: its name, and when it began and ended."""
    from backoffice.citytrips import bridge, fulls
    from backoffice.citytrips.connection import Connection

    output = path.open("ab", buffering=0)

    def note(stage: str, began: float, **more: object) -> None:
        output.write(orjson.dumps({"stage": stage, "began": began, "ended": time.monotonic(), **more}) + b"\n")

    def clocked(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            began = time.monotonic()
            try:
                return original(*arguments, **named)
            finally:
                note(name, began)

        async def wait(*arguments: Any, **named: Any) -> Any:
            began = time.monotonic()
            try:
                return await original(*arguments, **named)
            finally:
                note(name, began)

        setattr(owner, name, wait if asyncio.iscoroutinefunction(original) else call)

    clocked(bridge, "settle")
    for name in ("look", "collect"):
        clocked(bridge.Changes, name)
    clocked(fulls.FullReader, "read")
    for name in ("send", "send_parts", "confirm"):
        clocked(Connection, name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clocks", type=Path)
    parser.add_argument("--without", nargs="*", default=[], choices=SAFEGUARDS)
    given = parser.parse_args()
    django.setup()
    for name in given.without:
        SAFEGUARDS[name]()
    if given.clocks:
        put_clocks(given.clocks)
    from backoffice.citytrips.management.commands.runworker import run_until_signal

    asyncio.run(run_until_signal())


if __name__ == "__main__":
    main()
