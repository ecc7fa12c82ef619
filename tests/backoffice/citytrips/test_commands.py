"""The line's commands, run as people run them."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from backoffice.citytrips import services
from backoffice.citytrips.models import SyncRequest
from fleet.models import Vehicle
from fleet.services import vehicle_update
from tests.backoffice.serving import ROOT, Site, manage, serving, simulator, until, variables
from tests.fleet.factories import make
from users.services import user_create

pytestmark = pytest.mark.django_db(transaction=True)


def unsettled() -> int:
    return Vehicle.objects.pending().count()


@pytest.fixture
def partner() -> Iterator[Site]:
    """A simulator with a console: the site that serves it has no credentials, and so doesn't connect."""
    with serving(CITYTRIPS_API_KEY="") as running:
        running.login(user_create(username="ana", email="ana@example.com", is_staff=True))
        yield running


class TestSyncFleet:
    def test_the_running_worker_serves_it(self) -> None:
        """With a worker alive the command asks, shows progress and waits until everything has settled."""
        make("ES-1")
        with serving(CITYTRIPS_SETTLE="1") as site:
            until(lambda: "The line is live" in site.output, 10)
            vehicle_update(vehicle=Vehicle.objects.get(), values={"battery": 41})
            ended = manage("sync_fleet", "--timeout", "20", CITYTRIPS_URL=site.websocket_url)
            assert ended.returncode == 0, ended.stderr
            assert unsettled() == 0
            assert ended.stdout.splitlines()[-1] == "Settled"
            assert "Sent s_vehicle" not in ended.stderr, "the command itself has sent nothing"

    def test_with_nothing_to_send_it_is_done(self) -> None:
        """With nothing pending the command says so at once; with --full everything goes once more."""
        make("ES-1")
        with serving() as site:
            until(lambda: unsettled() == 0, 20)
            # One after the authentication; another where the partner's own request came after that had left.
            fulls = site.output.count("Sent s_vehicle/full")
            assert manage("sync_fleet").returncode == 0
            assert site.output.count("Sent s_vehicle/full") == fulls
            assert manage("sync_fleet", "--full").returncode == 0
            assert site.output.count("Sent s_vehicle/full") == fulls + 1

    def test_without_a_worker_it_does_the_work(self) -> None:
        """With no worker alive it connects, authenticates, sends, leaves, and gives the lease back."""
        make("ES-1")
        with simulator() as partner:
            ended = manage("sync_fleet", CITYTRIPS_URL=partner.websocket_url)
            assert ended.returncode == 0, ended.stderr
            assert unsettled() == 0
            assert "Sent s_vehicle/full, 1 vehicles" in ended.stderr

    def test_a_refused_key_ends_it_with_status_1(self) -> None:
        """A key that CityTrips refuses is told with its reason, long before the time runs out."""
        make("ES-1")
        with serving() as site:
            site.login(user_create(username="ana", email="ana@example.com", is_staff=True))
            until(lambda: unsettled() == 0, 10)
            site.partner_does("refuse")
            until(lambda: "The line is refused" in site.output, 5)
            ended = manage("sync_fleet", "--full", "--timeout", "30")
        assert ended.returncode == 1
        assert "Refused: the key is refused" in ended.stderr

    def test_without_credentials_it_says_what_is_missing(self) -> None:
        """Where nothing can be sent the command doesn't even ask."""
        ended = manage("sync_fleet", CITYTRIPS_API_KEY="")
        assert ended.returncode == 1
        assert "CITYTRIPS_API_KEY" in ended.stderr
        assert not SyncRequest.objects.exists()

    def test_a_partner_that_is_away_times_out(self) -> None:
        """Where CityTrips cannot be reached it ends with status 1 after its time, and what is pending stays so."""
        make("ES-1")
        ended = manage("sync_fleet", "--timeout", "2", CITYTRIPS_URL="ws://127.0.0.1:1/v1")
        assert ended.returncode == 1
        assert "Not settled within 2 s" in ended.stderr
        assert unsettled() == 1
        assert SyncRequest.objects.get().state == "expired"


def test_an_expired_request_is_not_served() -> None:
    """What nobody waits for any more causes no full when a worker starts."""
    services.sync_request_create(full=True, seconds=-1)
    with serving() as site:
        until(lambda: "Settled" in site.output, 10)
        assert site.output.count("Sent s_vehicle/full") == 1


class TestCheckIntegrations:
    def test_good_credentials(self, partner: Site) -> None:
        """Both partners answer: a table, and status 0."""
        ended = manage(
            "check_integrations",
            CITYTRIPS_URL=partner.websocket_url,
            CRUSOE_API_URL=f"{partner.url}/sandbox/crusoe/api",
            CRUSOE_API_KEY="a key",
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert [line.split()[:2] for line in ended.stdout.splitlines()] == [["CityTrips", "ok"], ["Crusoe", "ok"]]

    def test_bad_credentials(self, partner: Site) -> None:
        """A refused key and a missing one are told apart, and the status is 1."""
        partner.partner_does("refuse")
        ended = manage("check_integrations", CITYTRIPS_URL=partner.websocket_url)
        assert ended.returncode == 1
        citytrips, crusoe = ended.stdout.splitlines()
        assert "CityTrips refuses the credentials: the key is refused" in citytrips
        assert "CRUSOE_API_KEY" in crusoe
        assert ended.stderr == ""

    def test_what_is_no_answer_is_passed_over(self) -> None:
        """Garbage before the answer decides nothing, and what the answer repeats of the key is not printed."""

        def talk(socket: ServerConnection) -> None:
            socket.send("garbage")
            socket.send('{"command": "s_ext/must_authenticate", "payload": {}}')
            key = json.loads(socket.recv())["payload"]["apiKey"]
            socket.send(json.dumps({"command": "s_ext/auth_error", "payload": {"reason": f"{key} is none of ours"}}))
            with contextlib.suppress(ConnectionClosed):
                socket.recv()

        with serve(talk, "127.0.0.1", 0) as server:
            threading.Thread(target=server.serve_forever).start()
            ended = manage(
                "check_integrations",
                CITYTRIPS_URL=f"ws://127.0.0.1:{server.socket.getsockname()[1]}",
                CITYTRIPS_API_KEY="canary-key",
            )
        assert ended.returncode == 1
        assert "CityTrips refuses the credentials: […] is none of ours" in ended.stdout
        assert "canary-key" not in ended.stdout + ended.stderr


class TestRunworker:
    def test_it_needs_redis(self) -> None:
        """Without REDIS_URL one line says what to do instead."""
        ended = manage("runworker", "citytrips", REDIS_URL="")
        assert ended.returncode == 1
        assert len(ended.stderr.strip().splitlines()) == 1
        assert "REDIS_URL" in ended.stderr

    def test_it_keeps_the_line_though_redis_is_away(self) -> None:
        """A Redis that does not answer costs the hints and nothing else; SIGTERM ends the worker with status 0."""
        make("ES-1")
        with simulator() as partner:
            environment = variables(REDIS_URL="redis://127.0.0.1:1/0", CITYTRIPS_URL=partner.websocket_url)
            process = subprocess.Popen(
                [sys.executable, "manage.py", "runworker", "citytrips"],
                cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            try:
                until(lambda: unsettled() == 0, 15)
                process.send_signal(signal.SIGTERM)
                _out, log = process.communicate(timeout=5)
                assert process.returncode == 0, log
                assert "The channel layer does not answer" in log
            finally:
                process.kill()
                process.wait()
