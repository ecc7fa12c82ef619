"""The floor under a full: the driver's rows and orjson, as one message over the same kind of socket.

``python -m tests.bench.floor`` connects to ``CITYTRIPS_URL`` with the line's own connection, prints ``ready``, and for each
line on its standard input reads the database by its bare driver, makes the message and sends it; it prints when it began
and when the send returned, as a JSON list. ``--parts`` is no part of it: nothing is settled, listed or journalled.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson
import psycopg

from tests.bench.running import OFFERED


def rows_of(url: str) -> Callable[[], list[tuple[Any, ...]]]:
    """Asks the bare driver, over a connection that is already open."""
    if url.startswith("sqlite:///"):
        lite = sqlite3.connect(url.removeprefix("sqlite:///"))
        return lambda: lite.execute(OFFERED).fetchall()
    cursor = psycopg.connect(url, autocommit=True).cursor()
    return lambda: cursor.execute(OFFERED).fetchall()


def message(rows: list[tuple[Any, ...]]) -> bytes:
    vehicles = [
        {
            "id": id, "battery": battery, "plate": plate, "country": country, "city": city,
            "location": {"latitude": latitude, "longitude": longitude},
        }
        for id, battery, plate, country, city, latitude, longitude in rows
    ]  # fmt: skip
    return orjson.dumps({"command": "s_vehicle/full", "payload": vehicles})


async def main() -> None:
    from backoffice.citytrips.connection import open_connection

    read = rows_of(os.environ["DATABASE_URL"])
    loop = asyncio.get_running_loop()
    async with open_connection(os.environ["CITYTRIPS_URL"], ping_timeout=600) as connection:
        await connection.send('{"command":"s_ext/authenticate","payload":{}}')
        await connection.receive()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while await loop.run_in_executor(None, sys.stdin.readline):
            began = time.monotonic()
            await connection.send(message(read()))
            sys.stdout.write(orjson.dumps([began, time.monotonic()]).decode() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
