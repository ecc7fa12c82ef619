"""The worker of a whole site, against the simulator over real sockets."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator

import pytest

from backoffice.citytrips import services
from backoffice.citytrips.models import JournalEntry, LinkChange, LinkState, Reply, SyncRequest
from fleet.models import Vehicle
from fleet.services import vehicle_update
from tests.backoffice.citytrips.faults import row
from tests.backoffice.serving import Site, serving, until
from tests.fleet.factories import make
from users.models import User
from users.services import user_create

pytestmark = pytest.mark.django_db(transaction=True)

SOON = 8
"""Seconds; where nothing else is to be done it takes less than two, as docs/figures.md tells."""


@pytest.fixture
def lease() -> str:
    """Seconds: so many that a process that stands still for a moment does not lose it."""
    return "10"


@pytest.fixture
def site(lease: str) -> Iterator[Site]:
    """A site whose line is live, with two vehicles that the simulator holds, and a member of staff at its console."""
    for vehicle in ("ES-1", "ES-2"):
        make(vehicle)
    staff = user_create(username="ana", email="ana@example.com", is_staff=True)
    with serving(CITYTRIPS_LEASE=lease) as running:
        running.login(staff)
        until(lambda: running.partner_holds().keys() == {"ES-1", "ES-2"}, 20)
        until(settled, 20)
        yield running


def settled() -> bool:
    return not Vehicle.objects.pending().exists()


def state() -> str:
    return LinkState.objects.get().state


def test_a_change_arrives_as_an_incremental(site: Site) -> None:
    """A battery that changes is soon with CityTrips, without a full, and settles."""
    fulls = site.partner_received("s_vehicle/full")
    vehicle_update(vehicle=row("ES-1"), values={"battery": 41})
    until(lambda: site.partner_holds()["ES-1"] == 41, SOON)
    assert site.partner_received("s_vehicle/incremental") == 1
    assert site.partner_received("s_vehicle/full") == fulls
    until(settled, 20)
    assert row("ES-1").settled_version == row("ES-1").version == 2


def test_a_vehicle_that_leaves_availability_leaves_the_next_full(site: Site) -> None:
    """A vehicle that is rented is soon gone from CityTrips, and comes back when it is free again."""
    vehicle_update(vehicle=row("ES-1"), values={"state": "on_trip"})
    until(lambda: site.partner_holds().keys() == {"ES-2"}, SOON)
    until(settled, 20)
    assert not row("ES-1").listed
    vehicle_update(vehicle=row("ES-1"), values={"state": "available"})
    until(lambda: site.partner_holds().keys() == {"ES-1", "ES-2"}, SOON)


def test_a_vehicle_that_was_never_told_settles_by_itself(site: Site) -> None:
    """A new vehicle that isn't offered costs no message."""
    before = site.partner_received("s_vehicle/full")
    make("ES-3", state="non_operational")
    until(settled, 20)
    assert site.partner_received("s_vehicle/full") == before


def test_a_dropped_line_comes_back_and_sends_a_full(site: Site) -> None:
    """After the partner has closed the connection it is opened again, and a full follows."""
    fulls = site.partner_received("s_vehicle/full")
    site.partner_does("drop")
    until(lambda: site.partner_received("s_vehicle/full") > fulls, 20)
    waiting = LinkChange.objects.filter(state="waiting")
    until(lambda: list(waiting.values_list("reason", flat=True)) == ["CityTrips closed with 4000"], 20)


def test_must_authenticate_is_obeyed_on_the_open_line(site: Site) -> None:
    """Asked to authenticate in the middle, the line does so and sends a full, without a new connection."""
    fulls = site.partner_received("s_vehicle/full")
    site.partner_does("authenticate")
    until(lambda: site.partner_received("s_vehicle/full") > fulls, 20)
    assert site.output.count("The line is connecting") == 1


def test_a_refused_key_is_said_and_tried_again_on_request(site: Site) -> None:
    """auth_error shows as refused and nothing is sent; a request to send tries the key again at once."""
    site.partner_does("refuse")
    until(lambda: state() == "refused", 20)
    assert LinkState.objects.get().reason == "the key is refused"
    vehicle_update(vehicle=row("ES-1"), values={"battery": 41})
    time.sleep(1.5)
    assert state() == "refused"
    assert site.partner_holds()["ES-1"] == 80
    site.partner_does("accept")
    request = services.sync_request_create(full=False, seconds=30)
    until(lambda: site.partner_holds()["ES-1"] == 41, 20)
    until(lambda: SyncRequest.objects.get(pk=request.pk).state == "settled", 20)


def test_a_new_user_gets_an_account_and_an_answer(site: Site) -> None:
    """CityTrips' user has an account, whose id is told until it settles; nothing of the person is in the log."""
    site.partner_does("user")
    reply = until(lambda: Reply.objects.filter(settled_at__isnull=False).first(), 20)
    person = User.objects.get(pk=reply.about_id)
    assert reply.payload == {"id": str(person.public_id), "username": person.username, "email": person.email}
    assert site.partner_received("s_user/new") == 1
    assert person.email not in site.output
    asked = until(lambda: JournalEntry.objects.filter(command="s_user/new", direction="in").first(), 20)
    assert (asked.outcome, asked.account_id, asked.reply_id) == ("answered", person.pk, reply.pk)
    assert person.email not in json.dumps(asked.body)
    answered = JournalEntry.objects.filter(command="s_user/new", direction="out")
    until(lambda: list(answered.values_list("outcome", flat=True)) == ["settled"], 20)


def test_the_journal_tells_what_went_over_the_line(site: Site) -> None:
    """Each message in and out is journalled with its size and what came of it, and of the contents only counts."""
    until(lambda: JournalEntry.objects.filter(command="s_vehicle/full", outcome="settled").exists(), 20)
    vehicle_update(vehicle=row("ES-1"), values={"battery": 41})
    until(lambda: JournalEntry.objects.filter(command="s_vehicle/incremental", outcome="settled").exists(), 20)
    entries = JournalEntry.objects.order_by("at").values_list("direction", "command", "outcome")
    assert list(entries)[:2] == [
        ("out", "s_ext/authenticate", "sent"),
        ("in", "s_ext/auth_succesful", "handled"),
    ]
    incremental = JournalEntry.objects.get(command="s_vehicle/incremental")
    assert (incremental.body, incremental.size > 100) == ({"vehicles": 1}, True)


@pytest.mark.parametrize("lease", ["2"])
def test_a_killed_holder_is_followed_by_the_standby(site: Site) -> None:
    """When the process that holds the line is killed, the one that stands by takes over and tells what changed."""
    with serving() as standby:
        standby.login(user_create(username="berta", email="berta@example.com", is_staff=True))
        until(lambda: "standing by" in standby.output, 20)
        time.sleep(2.5)
        assert "This worker holds the line" not in standby.output
        site.stop(signal.SIGKILL)
        vehicle_update(vehicle=row("ES-1"), values={"battery": 41})
        until(lambda: standby.partner_holds().get("ES-1") == 41, 20)


@pytest.mark.parametrize("lease", ["2"])
def test_a_stopped_holder_is_silent_when_it_wakes(site: Site) -> None:
    """A holder that was stopped past its lease closes before it sends again, and the other one keeps the line."""
    with serving() as standby:
        until(lambda: "standing by" in standby.output, 20)
        site.process.send_signal(signal.SIGSTOP)
        until(lambda: "The line is live" in standby.output, 20)
        site.process.send_signal(signal.SIGCONT)
        until(lambda: "The lease is lost" in site.output, 20)
        sent = site.output.count("Sent s_vehicle")
        vehicle_update(vehicle=row("ES-1"), values={"battery": 41})
        until(settled, 20)
        assert site.output.count("Sent s_vehicle") == sent
