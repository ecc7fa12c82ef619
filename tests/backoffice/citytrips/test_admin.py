"""The line in the admin."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backoffice.citytrips import admin, services
from backoffice.citytrips.exchange import State
from backoffice.citytrips.journal import Direction, JournalRecord, Outcome
from backoffice.citytrips.models import Alert, JournalEntry, LinkChange, LinkState, Reply, SyncRequest
from fleet.models import Vehicle
from tests.fleet.factories import make
from users.models import User
from users.services import user_create

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    person = user_create(username="ana", email="ana@example.com", is_staff=True, is_superuser=True)
    client.force_login(person, backend="users.backends.UsernameOrEmailBackend")
    return client


def record(**values: object) -> JournalRecord:
    values = {"direction": Direction.OUT, "command": "s_vehicle/full", "size": 1234, "outcome": Outcome.SENT, **values}
    return JournalRecord(**{"at": timezone.now(), **values})


@pytest.fixture
def onlooker(client: Client) -> Client:
    """Somebody who may look at everything about the line, and neither act nor see people."""
    marta = user_create(username="marta", email="marta@example.com", is_staff=True)
    marta.user_permissions.add(
        *Permission.objects.filter(content_type__app_label="citytrips", codename__startswith="view_")
    )
    client.force_login(marta, backend="users.backends.UsernameOrEmailBackend")
    return client


def test_before_any_worker_there_is_an_empty_list(staff: Client) -> None:
    """A site that has never connected shows an empty list instead of a page that isn't there."""
    assert staff.get("/admin/citytrips/linkstate/").status_code == 200


def test_the_list_is_the_lines_own_page(staff: Client, settings) -> None:
    """The section leads to the line itself, which says that no worker runs although the last state was live."""
    settings.CITYTRIPS_CLIENT_ID, settings.CITYTRIPS_API_KEY = "a client", "a key"
    services.link_change(state=State.LIVE, reason="", at=timezone.now())
    page = staff.get("/admin/citytrips/linkstate/", follow=True)
    assert page.redirect_chain == [("/admin/citytrips/linkstate/1/change/", 302)]
    assert "No worker is running." in page.content.decode()


def test_nobody_writes_there(staff: Client) -> None:
    """Not even a superuser adds, changes or deletes what the worker writes."""
    services.link_change(state=State.LIVE, reason="", at=timezone.now())
    services.sync_request_create(full=True, seconds=1)
    request = SyncRequest.objects.get()
    for path in (
        "linkstate/add/",
        "linkstate/1/delete/",
        "syncrequest/add/",
        f"syncrequest/{request.pk}/delete/",
        "journalentry/add/",
        "reply/add/",
        "alert/add/",
    ):
        assert staff.get(f"/admin/citytrips/{path}").status_code == 403, path
    assert staff.post("/admin/citytrips/linkstate/1/change/", {"state": "refused"}).status_code == 403


def test_staff_ask_the_line_to_send(staff: Client) -> None:
    """The button leaves a request for the worker, once however often it is pressed, and the page shows what comes of it."""
    services.link_change(state=State.LIVE, reason="", at=timezone.now())
    for _press in range(2):
        page = staff.post("/admin/citytrips/linkstate/ask/", {"full": "1"}, follow=True).content.decode()
    request = SyncRequest.objects.get()
    assert request.full
    assert "This was asked already" in page
    assert "Waiting for the worker" in page
    services.sync_request_end(request_id=request.pk, state=SyncRequest.State.SETTLED)
    part = staff.get("/admin/citytrips/linkstate/1/change/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "Settled" in part
    staff.post("/admin/citytrips/linkstate/ask/", {"full": "0"})
    assert SyncRequest.objects.filter(full=False, ended_at=None).count() == 1


def test_a_request_that_nobody_took_is_timed_out(staff: Client) -> None:
    """Without a worker, a request does not seem to wait for ever."""
    services.link_change(state=State.LIVE, reason="", at=timezone.now())
    services.sync_request_create(full=True, seconds=-1)
    assert "Timed out" in staff.get("/admin/citytrips/linkstate/1/change/").content.decode()


def test_only_who_changes_vehicles_asks(client: Client) -> None:
    """Whoever may only look at the line sees no buttons, and cannot ask in another way."""
    services.link_change(state=State.LIVE, reason="", at=timezone.now())
    marta = user_create(username="marta", email="marta@example.com", is_staff=True)
    marta.user_permissions.add(Permission.objects.get(codename="view_linkstate"))
    client.force_login(marta, backend="users.backends.UsernameOrEmailBackend")
    page = client.get("/admin/citytrips/linkstate/1/change/")
    assert page.status_code == 200
    assert "Send everything now" not in page.content.decode()
    assert client.post("/admin/citytrips/linkstate/ask/", {"full": "1"}).status_code == 403
    assert client.get("/admin/citytrips/linkstate/ask/").status_code == 405
    assert not SyncRequest.objects.exists()


def test_times_of_the_line_have_seconds(staff: Client) -> None:
    """A line that comes and goes does so within one minute."""
    at = timezone.now().replace(second=42)
    services.link_change(state=State.LIVE, reason="", at=at)
    assert f"{timezone.localtime(at):%H:%M:%S}" in staff.get("/admin/citytrips/linkstate/1/change/").content.decode()


def test_a_long_history_costs_the_same(staff: Client) -> None:
    """The line's page shows the last fifty changes, with the same queries for ten and for a hundred."""
    counts = []
    for size in (10, 100):
        while LinkChange.objects.count() < size:
            services.link_change(state=State.LIVE, reason="", at=timezone.now() - timedelta(hours=1))
        with CaptureQueriesContext(connection) as queries:
            page = staff.get("/admin/citytrips/linkstate/1/change/").content.decode()
        counts.append(len(queries))
        assert page.count('class="field-moment"') == min(size, 50)
    assert counts[0] == counts[1]


def test_the_history_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that comes and goes fills no table: only so many changes are kept."""
    monkeypatch.setattr(LinkChange, "KEPT", 5)
    for number in range(12):
        services.link_change(state=State.WAITING, reason=str(number), at=timezone.now())
    assert [change.reason for change in LinkChange.objects.all()] == ["11", "10", "9", "8", "7"]


def test_the_line_says_what_staff_ask_first(staff: Client) -> None:
    """How often it was tried, who holds it, who stands by, and how long the first vehicle has waited."""
    services.link_change(state=State.WAITING, reason="no answer", at=timezone.now(), attempts=1234)
    services.presence(name="here:2", state="standby")
    page = staff.get("/admin/citytrips/linkstate/1/change/").content.decode()
    for words in ("1,234", "Nobody", "here:2", "Vehicles waiting to be sent"):
        assert words in page, words
    assert "Full lists are blocked" not in page


def test_staff_lift_a_block(staff: Client) -> None:
    """Blocked fulls are said with their size, and the button lets them go again."""
    services.fulls_block(vehicles=60_000, settings_key="k")
    page = staff.get("/admin/citytrips/linkstate/1/change/").content.decode()
    assert "Full lists are blocked since" in page
    assert "60,000 vehicles" in page
    assert "What stops being offered stays on show there" in page
    make("ES-1", state="on_trip")
    Vehicle.objects.update(listed=True)
    page = staff.get("/admin/citytrips/linkstate/1/change/").content.decode()
    assert "1 vehicle is no longer offered and still shown there" in page
    assert "/admin/fleet/vehicle/?citytrips=leaving" in page
    assert staff.get("/admin/citytrips/linkstate/unblock/").status_code == 405
    page = staff.post("/admin/citytrips/linkstate/unblock/", follow=True).content.decode()
    assert "Full lists are sent again." in page
    assert LinkState.objects.get().fulls_blocked_at is None


def test_onlookers_do_nothing(onlooker: Client) -> None:
    """Who may only look sees no buttons, and cannot act in another way."""
    services.fulls_block(vehicles=60_000, settings_key="k")
    reply = services.reply_create(command="s_user/new", payload={})
    alert = Alert.objects.get()
    page = onlooker.get("/admin/citytrips/linkstate/1/change/").content.decode()
    assert "Full lists are blocked since" in page
    assert "Allow full lists again" not in page
    for path, button in (
        (f"reply/{reply.pk}/change/", f"/reply/{reply.pk}/resend/"),
        (f"alert/{alert.pk}/change/", f"/alert/{alert.pk}/done/"),
    ):
        assert button not in onlooker.get(f"/admin/citytrips/{path}").content.decode()
    for path in ("linkstate/unblock/", f"reply/{reply.pk}/resend/", f"alert/{alert.pk}/done/"):
        assert onlooker.post(f"/admin/citytrips/{path}").status_code == 403, path
    for path, action in (("reply", "resend"), ("alert", "resolve")):
        onlooker.post(f"/admin/citytrips/{path}/", {"action": action, "_selected_action": [1, reply.pk, alert.pk]})
    assert LinkState.objects.get().fulls_blocked_at is not None
    assert Alert.objects.get().resolved_at is None


# --- The journal ---


def test_an_empty_journal_says_what_comes(staff: Client) -> None:
    page = staff.get("/admin/citytrips/journalentry/").content.decode()
    assert "Each message to and from CityTrips is written down here" in page


def test_a_message_leads_to_what_it_is_about(staff: Client) -> None:
    """Its page shows the redacted content readably and links the account, the request and the reply."""
    ana = User.objects.get()
    reply = services.reply_create(command="s_user/new", payload={"id": "1"}, about_id=ana.pk)
    request = services.sync_request_create(full=True, seconds=5)
    services.journal_add(
        entries=[
            record(
                body={"vehicles": 1500}, reason="odd", account_id=ana.pk, reply_id=reply.pk, sync_request_id=request.pk
            )
        ]
    )
    entry = JournalEntry.objects.get()
    page = staff.get(f"/admin/citytrips/journalentry/{entry.pk}/change/").content.decode()
    for words in (
        f"/admin/users/user/{ana.pk}/change/",
        f"/admin/citytrips/reply/{reply.pk}/change/",
        f"/admin/citytrips/syncrequest/{request.pk}/change/",
        "&quot;vehicles&quot;: 1500",
        "1,234",
        str(entry.ref),
    ):
        assert words in page, words
    for path in (f"reply/{reply.pk}", f"syncrequest/{request.pk}"):
        page = staff.get(f"/admin/citytrips/{path}/change/").content.decode()
        assert f"/admin/citytrips/journalentry/{entry.pk}/change/" in page


def test_where_a_handler_failed_is_shown_in_lines(staff: Client) -> None:
    """The lines of code stand as lines, and what they say is text."""
    where = '  File "commands.py", line 1\n    <b>act</b>\n'
    services.journal_add(entries=[record(outcome=Outcome.FAILED, body={"type": "null", "traceback": where})])
    page = staff.get(f"/admin/citytrips/journalentry/{JournalEntry.objects.get().pk}/change/").content.decode()
    assert "line 1\n    &lt;b&gt;act&lt;/b&gt;" in page
    assert "traceback" not in page


def test_who_may_not_see_people_sees_none_in_the_journal(onlooker: Client) -> None:
    """Neither the account of a message, nor whom a reply is about, nor what it says, nor by searching."""
    bea = user_create(username="bea-of-all", email="bea@example.com")
    reply = services.reply_create(command="s_user/new", payload={"email": "bea@example.com"}, about_id=bea.pk)
    services.journal_add(entries=[record(command="s_user/new", account_id=bea.pk, reply_id=reply.pk)])
    entry = JournalEntry.objects.get()
    for path in (
        "journalentry/",
        f"journalentry/{entry.pk}/change/",
        "reply/",
        f"reply/{reply.pk}/change/",
    ):
        page = onlooker.get(f"/admin/citytrips/{path}").content.decode()
        assert "s_user/new" in page
        assert "bea" not in page, path
    assert "Nothing matches" in onlooker.get("/admin/citytrips/journalentry/?q=bea-of-all").content.decode()


def test_messages_are_filtered(staff: Client) -> None:
    """By direction, command, outcome and age; what no filter knows leads back to the whole list."""
    services.journal_add(
        entries=[
            record(command="s_ext/error", direction=Direction.IN, outcome=Outcome.HANDLED),
            record(command="s_vehicle/full", at=timezone.now() - timedelta(days=2)),
        ]
    )

    def count(query: str) -> int:
        return staff.get(f"/admin/citytrips/journalentry/?{query}", follow=True).content.decode().count("field-kind")

    for query in ("direction__exact=in", "command=s_ext/error", "outcome__exact=handled", "age=hour", "q=error"):
        assert count(query) == 1, query
    for query in ("", "age=week", "age=x", "body__vehicles=1"):
        assert count(query) == 2, query


def test_a_long_journal_costs_the_same(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many queries for fifty messages as for five, and no more are counted than anybody looks at."""
    ana = User.objects.get()
    counts = []
    for size in (5, 45):
        reply = services.reply_create(command="s_user/new", payload={})
        services.journal_add(entries=[record(account_id=ana.pk, reply_id=reply.pk) for _ in range(size)])
        for query in ("", "?q=vehicle"):
            with CaptureQueriesContext(connection) as queries:
                page = staff.get(f"/admin/citytrips/journalentry/{query}").content.decode()
            counts.append(len(queries))
    assert page.count("field-kind") == 50
    assert counts[:2] == counts[2:]
    assert max(counts) <= 10
    monkeypatch.setattr(admin.journal.CappedPaginator, "MOST", 20)
    page = staff.get("/admin/citytrips/journalentry/").content.decode()
    assert "The newest 20 that match are listed." in page


# --- Replies and alerts ---


def test_staff_send_a_reply_again(staff: Client) -> None:
    """After a question, or many at once from the list."""
    one, other = (services.reply_create(command="s_user/new", payload={}) for _ in range(2))
    services.replies_object(ids=[one.pk, other.pk])
    assert f"/reply/{one.pk}/resend/" in staff.get(f"/admin/citytrips/reply/{one.pk}/change/").content.decode()
    assert "again?" in staff.get(f"/admin/citytrips/reply/{one.pk}/resend/").content.decode()
    assert Reply.objects.filter(objected_at=None).count() == 0
    page = staff.post(f"/admin/citytrips/reply/{one.pk}/resend/", follow=True).content.decode()
    assert "as soon as the line is live" in page
    assert list(Reply.objects.filter(objected_at=None)) == [one]
    page = staff.post(
        "/admin/citytrips/reply/", {"action": "resend", "_selected_action": [one.pk, other.pk]}, follow=True
    ).content.decode()
    assert "2 replies are sent again." in page
    assert Reply.objects.filter(objected_at=None).count() == 2
    assert staff.get("/admin/citytrips/reply/999/resend/").status_code == 404


def test_replies_show_where_they_stand(staff: Client) -> None:
    """As chips, and the list is filtered by them."""
    replies = [services.reply_create(command="s_user/new", payload={}) for _ in range(4)]
    services.replies_sent(ids=[reply.pk for reply in replies[1:]])
    services.replies_settle(ids=[replies[2].pk])
    services.replies_object(ids=[replies[3].pk])
    page = staff.get("/admin/citytrips/reply/").content.decode()
    for chip in ("chip warn", "chip info", "chip ok", "chip bad"):
        assert page.count(f'class="{chip}"') == 1, chip
    for state in Reply.State:
        page = staff.get(f"/admin/citytrips/reply/?state={state}").content.decode()
        assert page.count("field-kind") == 1, state
    assert staff.get("/admin/citytrips/reply/?state=x", follow=True).status_code == 200


def test_an_alert_is_done_by_somebody(staff: Client) -> None:
    """It keeps who said so, and goes behind what is open; from the desk one returns to the desk."""
    for detail in ("one", "two", "three"):
        services.alert_raise(kind=Alert.Kind.USER_REFUSED, detail=detail)
    one, two, three = Alert.objects.order_by("id")
    assert f"/alert/{one.pk}/done/" in staff.get(f"/admin/citytrips/alert/{one.pk}/change/").content.decode()
    answer = staff.post(f"/admin/citytrips/alert/{one.pk}/done/", {"from": "desk"})
    assert answer.headers["Location"] == "/"
    answer = staff.post(f"/admin/citytrips/alert/{two.pk}/done/", {"from": "https://elsewhere.example/"})
    assert answer.headers["Location"] == "/admin/citytrips/alert/"
    one.refresh_from_db()
    assert one.resolved_by == User.objects.get()
    page = staff.get("/admin/citytrips/alert/").content.decode()
    assert page.index("three") < page.index("two")
    assert page.count("field-state_chip") == 3
    assert staff.get("/admin/citytrips/alert/?state=open").content.decode().count("field-state_chip") == 1
    staff.post("/admin/citytrips/alert/", {"action": "resolve", "_selected_action": [three.pk, two.pk]})
    assert not Alert.objects.filter(resolved_at=None).exists()
    assert staff.get(f"/admin/citytrips/alert/{one.pk}/done/").status_code == 405


@pytest.mark.parametrize("model", ["reply", "alert", "syncrequest"])
def test_lists_cost_the_same_at_any_length(staff: Client, model: str) -> None:
    """Two rows or twenty: the same queries."""
    ana = User.objects.get()
    counts = []
    for size in (2, 20):
        for number in range(size):
            services.reply_create(command="s_user/new", payload={}, about_id=ana.pk)
            services.alert_raise(kind=Alert.Kind.USER_REFUSED, detail=f"{size} {number}")
            services.alert_resolve(alert=Alert.objects.first(), actor=ana)
            services.sync_request_create(full=True, seconds=1)
        with CaptureQueriesContext(connection) as queries:
            assert staff.get(f"/admin/citytrips/{model}/").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
