"""CityTrips with faults: it speaks the protocol, does what it is told to, and its truth is the truth."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from backoffice.sandbox.faulty_server import AT_ONCE, GARBAGE, FaultyServer, Script

ROOT = Path(__file__).parents[3]
WIRE = ROOT / "tests" / "wire"


def wire(name: str) -> str:
    return (WIRE / f"citytrips_{name}.json").read_text()


def vehicles(command: str, *ids: str, battery: object = 80) -> str:
    row = {
        "battery": battery, "plate": "1234 BCD", "country": "Spain", "city": "Madrid",
        "location": {"latitude": 40.4, "longitude": -3.7},
    }  # fmt: skip
    return json.dumps({"command": command, "payload": [{"id": one, **row} for one in ids]})


Talk = Callable[[FaultyServer, ClientConnection], Awaitable[None]]


def talk(work: Talk, **options: Any) -> FaultyServer:
    """Run ``work`` with a client that has authenticated and taken the two answers."""

    async def both() -> FaultyServer:
        async with FaultyServer(**options) as partner, asyncio.timeout(20):
            async with connect(partner.url, max_size=None, close_timeout=0.2, ping_interval=None) as client:
                await client.send(wire("authenticate"))
                assert json.loads(await client.recv())["command"] == "s_ext/auth_succesful"
                assert json.loads(await client.recv())["command"] == "s_vehicle/full_request"
                await work(partner, client)
            return partner

    return asyncio.run(both())


async def arrive(client: ClientConnection) -> None:
    """Until what was sent has been acted on."""
    await (await client.ping())


async def hear(client: ClientConnection) -> dict[str, Any]:
    return json.loads(await asyncio.wait_for(client.recv(), 5))


async def end_of(client: ClientConnection) -> int | None:
    """The close code that a connection ends with; None where it breaks."""
    try:
        while True:
            await asyncio.wait_for(client.recv(), 5)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


def test_it_holds_what_it_was_sent() -> None:
    """A full replaces, an incremental adds and changes; the specification's own examples pass, fragmented too."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        await client.send(wire("vehicle_full"))
        await client.send(list(vehicles("s_vehicle/full", "a", "b")))
        await client.send(vehicles("s_vehicle/incremental", "b", "c", battery=7))
        await arrive(client)
        held = {name: row["battery"] for name, row in partner.truth.vehicles.items()}
        assert held == {"a": 80, "b": 7, "c": 7}
        counts = [(event.command, event.vehicles, event.fragments) for event in partner.truth.of("message")]
        assert [count[1:] for count in counts[:1]] == [(1, 1)]
        assert counts[1][2] > 100
        assert partner.truth.messages["s_vehicle/full"] == 2

    talk(work)


def test_it_asks_those_who_are_not_authenticated() -> None:
    """Vehicles before authentication are answered with must_authenticate and not held; the key is kept nowhere."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        partner.forget(tell=False)
        await client.send(vehicles("s_vehicle/full", "a"))
        assert (await hear(client))["command"] == "s_ext/must_authenticate"
        assert partner.truth.vehicles == {}
        key = json.loads(wire("authenticate"))["payload"]["apiKey"]
        assert key not in repr(partner.truth)

    talk(work)


def test_a_key_can_be_refused_in_every_way() -> None:
    """A wrong key, every key, or no answer at all."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        for fault in ({"api_key": "another"}, {"client_id": "another"}, {"authentication": "refuse"}):
            partner.calm()
            partner.fault(**fault)
            await client.send(wire("authenticate"))
            assert (await hear(client))["command"] == "s_ext/auth_error"
        partner.fault(authentication="ignore")
        await client.send(wire("authenticate"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 0.2)
        assert len(partner.truth.of("rejected")) == 3

    talk(work)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (Script(connect="refuse"), InvalidStatus),
        (Script(connect="reset"), (ConnectionError, InvalidMessage)),
        (Script(connect="silence"), TimeoutError),
        (Script(connect="close", close_code=1013), ConnectionClosed),
    ],
)
def test_a_connection_can_fail_in_every_way(script: Script, error: Any) -> None:
    """It is refused with a status, broken off, left without an answer, or closed once it is open."""

    async def attempt() -> None:
        async with (
            FaultyServer(script=script) as partner,
            connect(partner.url, open_timeout=0.3 if error is TimeoutError else 30, close_timeout=0.2) as client,
        ):
            await client.recv()

    with pytest.raises(error):
        asyncio.run(attempt())


def test_a_redirect_leads_to_its_target() -> None:
    """A client that follows redirects is authenticated by the other server: what the line must not do."""

    async def attempt() -> tuple[int, int]:
        async with FaultyServer() as target, FaultyServer() as partner:
            partner.fault(connect="redirect", redirect_to=target.url)
            async with connect(partner.url, close_timeout=0.2) as client:
                await client.send(wire("authenticate"))
                await client.recv()
            return partner.truth.authentications, target.truth.authentications

    assert asyncio.run(attempt()) == (0, 1)


def test_the_ends_of_a_connection() -> None:
    """It is closed with a code, or broken off with RST, and the truth says how."""

    async def polite(partner: FaultyServer, client: ClientConnection) -> None:
        assert partner.close(1013, "too busy") == 1
        assert await end_of(client) == 1013

    async def hard(partner: FaultyServer, client: ClientConnection) -> None:
        assert partner.reset() == 1
        assert await end_of(client) is None

    async def later(partner: FaultyServer, client: ClientConnection) -> None:
        partner.fault(reset_after=10_000)
        await client.send("x" * 20_000)
        assert await end_of(client) is None

    assert [event.note for event in talk(polite).truth.of("closed")] == ["1013 too busy"]
    talk(hard)
    assert [event.note for event in talk(later).truth.of("closed")] == ["reset by the script"]


def test_a_stalled_connection_is_a_black_hole() -> None:
    """Neither pongs nor messages come, and no end; nothing is lost when it goes on."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        partner.stall()
        await client.send(vehicles("s_vehicle/full", "a"))
        pong = await client.ping()
        partner.ask()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(pong), 0.3)
        assert partner.truth.vehicles == {}
        partner.resume()
        await asyncio.wait_for(pong, 15)
        assert list(partner.truth.vehicles) == ["a"]

    talk(work)


def test_slow_reading_takes_its_time() -> None:
    """At 400 kB a second 200 kB take about half a second, and so does the pong behind them."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        partner.fault(read_rate=400_000)
        began = asyncio.get_running_loop().time()
        await client.send("x" * 200_000)
        await arrive(client)
        assert 0.3 < asyncio.get_running_loop().time() - began < 15

    talk(work, receive_buffer=16_384)


def test_pongs_can_be_withheld() -> None:
    """Messages are acted on, and pings get no answer."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        partner.fault(pongs="withhold")
        pong = await client.ping()
        await client.send(vehicles("s_vehicle/full", "a"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pong, 0.3)
        while not partner.truth.vehicles:
            await asyncio.sleep(0.01)
        assert list(partner.truth.vehicles) == ["a"]
        assert partner.truth.pings == 1

    talk(work)


def test_what_is_too_large_is_refused_with_1009() -> None:
    """A message over the limit closes the connection with 1009 before its body has come; smaller ones pass."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        partner.fault(limit=1000)
        await client.send(vehicles("s_vehicle/incremental", "a"))
        await client.send(vehicles("s_vehicle/full", *map(str, range(5_000))))
        assert await end_of(client) == 1009
        assert list(partner.truth.vehicles) == ["a"]

    talk(work)


def test_rules_catch_their_turn() -> None:
    """A rule lets some pass, catches some, and may be for one vehicle or command only; what it drops is still ponged."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        partner.add_rule(command="s_vehicle/full", skip=1, then={"do": "error", "reason": "the second"})
        partner.add_rule(vehicle="bad", times=0, drops=True, then={"do": "error", "reason": "bad"})
        for ids in (["a"], ["b"], ["c"], ["c", "bad"], ["bad"]):
            await client.send(vehicles("s_vehicle/full", *ids))
            await arrive(client)
        reasons = [(await hear(client))["payload"]["reason"] for _ in range(3)]
        assert reasons == ["the second", "bad", "bad"]
        assert list(partner.truth.vehicles) == ["c"]
        assert partner.truth.dropped == 2

    talk(work)


def test_everything_can_be_dropped_though_it_is_ponged() -> None:
    """Frames that arrived and were never acted on: the loss that a pong hides."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        partner.fault(drops=True)
        await client.send(vehicles("s_vehicle/full", "a"))
        await arrive(client)
        assert partner.truth.vehicles == {}
        assert [event.payload[0]["id"] for event in partner.truth.of("dropped")] == ["a"]

    talk(work)


@pytest.mark.parametrize("kind", GARBAGE)
def test_each_kind_of_garbage_arrives(kind: str) -> None:
    """What is no message is sent as it is."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        partner.garbage(kind, times=2)
        for _ in range(2):
            try:
                text = await client.recv()
            except ConnectionClosed:
                pytest.fail("the frame itself is sound")
            sent = GARBAGE[kind]
            assert text == sent

    talk(work)


def test_floods() -> None:
    """As many requests as asked for, of a full and of users: one person again and again, or another each time."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        partner.ask(times=100)
        assert {(await hear(client))["command"] for _ in range(100)} == {"s_vehicle/full_request"}
        partner.user(times=20, number=7)
        assert {(await hear(client))["payload"]["email"] for _ in range(20)} == {"lucia000007@example.com"}
        partner.user(times=20, fields={"terms_accepted": False})
        people = [(await hear(client))["payload"] for _ in range(20)]
        assert len({person["email"] for person in people}) > 10
        assert not any(person["terms_accepted"] for person in people)
        assert people[0].keys() == json.loads(wire("user_new"))["payload"].keys()

    talk(work)


def test_images_are_images() -> None:
    """A user can come with four different pictures of about the size asked for."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        partner.user(images=50_000)
        person = (await hear(client))["payload"]
        pictures = [base64.b64decode(person[name]) for name in person if name.endswith("_img")]
        assert len(set(pictures)) == 4
        for data in pictures:
            assert 40_000 < len(data) < 60_000
            with Image.open(io.BytesIO(data)) as image:
                image.load()

    talk(work)


def test_an_oversize_message_has_the_size_asked_for() -> None:
    """It is one valid message of exactly so many bytes."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        partner.oversize(100_000)
        text = await client.recv()
        assert len(text) == 100_000
        assert json.loads(text)["command"] == "s_test/large"

    talk(work)


def test_what_the_operator_says_of_a_user_is_kept() -> None:
    """Replies and refusals are told apart by their command."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        await client.send('{"command": "s_user/new", "payload": {"id": "7"}}')
        await client.send('{"command": "s_ext/error", "payload": {"reason": "blocked"}}')
        await arrive(client)
        assert [(one.command, one.payload) for one in partner.truth.replies] == [
            ("s_user/new", {"id": "7"}), ("s_ext/error", {"reason": "blocked"}),
        ]  # fmt: skip

    talk(work)


def test_sockets_authenticated_at_once_are_counted() -> None:
    """Two at a time are seen, and one that the client has left is not counted, though it is stalled."""

    async def attempt() -> list[int]:
        seen = []
        async with FaultyServer() as partner:
            for leave in (False, True):
                partner.truth.clear()
                first = await connect(partner.url, close_timeout=0.1)
                await first.send(wire("authenticate"))
                await first.recv()
                partner.stall()
                if leave:
                    first.transport.abort()
                    await asyncio.sleep(0.1)
                async with connect(partner.url, close_timeout=0.1) as second:
                    await second.send(wire("authenticate"))
                    await second.recv()
                first.transport.abort()
                seen.append(partner.truth.most_authenticated)
        return seen

    assert asyncio.run(attempt()) == [2, 1]


def test_it_can_be_away_and_come_back() -> None:
    """Down, connections are refused; up again, it listens on the same port and still holds what it held."""

    async def work(partner: FaultyServer, client: ClientConnection) -> None:
        await client.send(vehicles("s_vehicle/full", "a"))
        await arrive(client)
        partner.down()
        assert await end_of(client) is None
        with pytest.raises(OSError, match=r"Connect call failed|refused"):
            await connect(partner.url)
        await partner.up()
        async with connect(partner.url, close_timeout=0.1) as again:
            await again.send(wire("authenticate"))
            await again.recv()
        assert list(partner.truth.vehicles) == ["a"]

    talk(work)


# --- The control ---


@pytest.fixture
def program() -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "backoffice.sandbox.faulty_server", "--control", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
        process.kill()


def test_it_is_driven_from_another_process(program: tuple[subprocess.Popen[str], dict[str, Any]]) -> None:
    """By standard input or by the control port: questions, lasting faults, rules and faults at once."""
    process, hello = program

    def ask(request: str | dict[str, Any]) -> dict[str, Any]:
        process.stdin.write((request if isinstance(request, str) else json.dumps(request)) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    async def work() -> None:
        async with connect(hello["url"], close_timeout=0.1) as client:
            await client.send(wire("authenticate"))
            await client.recv()
            await client.recv()
            assert ask("arrivals") == {"ok": True, "arrivals": []}
            await client.send(vehicles("s_vehicle/full", "a", "b"))
            await arrive(client)
            assert ask("state")["vehicles"].keys() == {"a", "b"}
            assert [one[:2] for one in ask("arrivals")["arrivals"]] == [["a", 80], ["b", 80]]
            assert ask({"do": "fault", "limit": 100}) == {"ok": True}
            assert ask({"do": "rule", "command": "s_user/new", "then": {"do": "ask"}}) == {"ok": True}
            assert ask({"do": "state", "vehicles": False})["script"]["limit"] == 100
            assert ask({"do": "say", "command": "s_ext/error", "payload": {"reason": "x"}}) == {
                "ok": True,
                "reached": 1,
            }
            assert (await hear(client))["payload"] == {"reason": "x"}
            assert ask("calm") == {"ok": True}
            for wrong in ("nothing", {"do": "fault", "no": 1}, {"do": "rule", "no": 1}, {"do": "garbage", "kind": "?"}):
                assert ask(wrong)["ok"] is False
            kinds = [event["kind"] for event in ask({"do": "events", "after": 0})["events"]]
            assert kinds == ["connected", "authenticated", "message"]
            await client.send('{"command": "s_user/new", "payload": {"id": "7"}}')
            await arrive(client)
            assert ask("replies")["replies"][0]["payload"] == {"id": "7"}

    asyncio.run(work())
    with socket.create_connection(("127.0.0.1", hello["control"]), 5) as control:
        control.sendall(b"{oops\nquit\n")
        lines = control.makefile().readlines()
    assert [json.loads(line)["ok"] for line in lines] == [False, True]
    assert process.wait(30) == 0


def test_the_end_of_its_input_ends_it() -> None:
    """Without a control port it goes with whoever started it."""
    command = [sys.executable, "-m", "backoffice.sandbox.faulty_server"]
    ended = subprocess.run(command, cwd=ROOT, input="state\n", capture_output=True, text=True, timeout=60, check=True)
    hello, state = map(json.loads, ended.stdout.splitlines())
    assert hello["control"] is None
    assert state["held"] == 0
    assert ended.stderr == ""


def test_every_fault_at_once_is_a_method() -> None:
    """The control's names are those of the server."""
    assert all(callable(getattr(FaultyServer, name)) for name in AT_ONCE)
