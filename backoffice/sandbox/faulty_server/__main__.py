"""The server as a program of its own: its package says what it answers."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any

from backoffice.sandbox.faulty_server import FaultyServer


class Remote:
    """Lines of JSON that say what to do, and lines that answer."""

    def __init__(self, server: FaultyServer) -> None:
        self.server = server
        self.quit = asyncio.Event()

    async def answer(self, line: str) -> str:
        try:
            request = json.loads(line) if line.lstrip().startswith("{") else {"do": line.strip()}
            answer = {"ok": True, **await self._do(request)}
        except (ValueError, TypeError, OSError) as wrong:
            answer = {"ok": False, "error": str(wrong)}
        return json.dumps(answer, ensure_ascii=False)

    async def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        server, truth = self.server, self.server.truth
        more = dict(request)
        match more.pop("do", None):
            case "state":
                held = {"vehicles": truth.vehicles} if more.get("vehicles", True) else {}
                return server.state() | held
            case "arrivals":
                arrivals, truth.arrivals = truth.arrivals, []
                return {"arrivals": arrivals or []}
            case "events":
                after = more.get("after", 0)
                return {"events": [event.as_json() for event in truth.events if event.number > after]}
            case "replies":
                return {"replies": [asdict(reply) for reply in truth.replies]}
            case "fault":
                server.fault(**more)
            case "rule":
                server.add_rule(**more)
            case "calm":
                server.calm()
            case "clear":
                truth.clear()
            case "down":
                server.down()
            case "up":
                await server.up()
            case "quit":
                self.quit.set()
            case _:
                return {"reached": server.at_once(request)}
        return {}

    async def talk(self, reader: asyncio.StreamReader, write: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        """Answer every line until the end."""
        while line := await reader.readline():
            if line.strip():
                await write(await self.answer(line.decode()) + "\n")


async def _main(options: argparse.Namespace) -> None:
    async with FaultyServer(port=options.port, receive_buffer=options.receive_buffer) as server:
        remote = Remote(server)

        async def controlled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async def write(text: str) -> None:
                writer.write(text.encode())
                await writer.drain()

            with contextlib.suppress(OSError):
                await remote.talk(reader, write)
            writer.close()

        control = None
        if options.control is not None:
            control = await asyncio.start_server(controlled, "127.0.0.1", options.control)
        port = control.sockets[0].getsockname()[1] if control else None
        await _print(json.dumps({"url": server.url, "port": server.port, "control": port}) + "\n")
        stdin = asyncio.StreamReader(limit=64 * 1024 * 1024)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
        talking = asyncio.create_task(remote.talk(stdin, _print))
        if control is None:
            talking.add_done_callback(lambda _task: remote.quit.set())
        await remote.quit.wait()
        talking.cancel()
        if control is not None:
            control.close()


async def _print(text: str) -> None:
    """Not on the event loop: whoever reads may be slow, and a large answer fills the pipe."""
    await asyncio.to_thread(lambda: (sys.stdout.write(text), sys.stdout.flush()))


def main() -> None:
    parser = argparse.ArgumentParser(description="A simulated CityTrips with faults; see the package's documentation.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control", type=int)
    parser.add_argument("--receive-buffer", type=int)
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
