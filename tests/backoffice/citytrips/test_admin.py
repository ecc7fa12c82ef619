"""The line in the admin."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backoffice.citytrips import services
from backoffice.citytrips.models import LinkChange, SyncRequest
from backoffice.citytrips.session import State
from users.services import user_create

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    person = user_create(username="ana", email="ana@example.com", is_staff=True, is_superuser=True)
    client.force_login(person, backend="users.backends.UsernameOrEmailBackend")
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
