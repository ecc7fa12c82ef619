"""Database work away from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import connections

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class DatabaseThread:
    """One thread that does one unit of work after another over a connection of its own.

    The connection stays open from one unit to the next, since opening one costs more than most of the work; after an error
    it is looked at, and closed if it is of no more use.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, name)

    async def run(
        self, work: Callable[Parameters, Result], *arguments: Parameters.args, **named: Parameters.kwargs
    ) -> Result:
        """Do ``work`` there; its result, or what it raised."""

        def unit() -> Result:
            _drop_what_is_broken()
            return work(*arguments, **named)

        return await asyncio.get_running_loop().run_in_executor(self._executor, unit)

    def close(self) -> None:
        """Take no more work, and close the connection when what runs has ended; nothing is waited for."""
        try:
            self._executor.submit(connections.close_all)
        except RuntimeError:
            return  # closed already
        self._executor.shutdown(wait=False)


def _drop_what_is_broken() -> None:
    for connection in connections.all(initialized_only=True):
        connection.close_at = None  # CONN_MAX_AGE is about requests
        connection.close_if_unusable_or_obsolete()
