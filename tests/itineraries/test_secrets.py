"""The key and the address's password, planted as canaries, are looked for wherever somebody could read them."""

from __future__ import annotations

# ruff: noqa: F811 (the fixtures)
import base64
import io
import json
import logging
import traceback
from contextlib import contextmanager
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import reverse

from itineraries import publishing, services
from itineraries.crusoe import client as crusoe_client
from itineraries.errors import ItineraryError
from itineraries.models import Itinerary, Publication
from itineraries.publishing import publish
from tests.itineraries.pages import SAMPLE, ana, client, page  # noqa: F401
from tests.itineraries.servers import answer, resets, says, serving, success, unused_port
from tests.itineraries.strategies import wire

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.logs_errors]

KEY = "canary-key-3f9ac0"
USER = "canary-user-81d2"
PASSWORD = "canary/pass word-c77e"
QUOTED = "canary%2Fpass%20word-c77e"
NEEDLES = (KEY, PASSWORD, QUOTED, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())

SECRETS = {"key": KEY, "password": PASSWORD, "address": f"http://{USER}:{QUOTED}@dev.example/7"}
TALKS = {
    "published at an address that carries them": says(success(f"http://{USER}:{QUOTED}@dev.example/7")),
    "published, and repeated": says(answer("200 OK", {"success": True, "data": {"url": "http://a/1", **SECRETS}})),
    "refused, and repeated": says(
        answer("400 No", {"message": f"{KEY} of {PASSWORD}", "data": {"validationErrors": [
            {"name": KEY, "type": PASSWORD, "value": KEY}, {"name": f"segments[0].{KEY}", "type": "x", "value": PASSWORD},
        ]}})
    ),
    "unauthorized": says(answer("401 No", wire("invalid_auth") | {"message": f"{KEY} is no key"})),
    "a server's own page": says(answer("401 No", f"<html>{USER}:{PASSWORD}".encode())),
    "failed, and repeated": says(answer("500 Oops", {"message": json.dumps(SECRETS)})),
    "a redirect to itself with them": says(answer("302 Found", b"", f"Location: http://{USER}:{QUOTED}@127.0.0.1:1/{KEY}")),
    "no HTTP": says(f"{KEY} {PASSWORD}\r\n\r\n".encode()),
    "a head that repeats them": says(f"HTTP/1.1 200 OK\r\n{KEY}: {PASSWORD}\r\nContent-Length: 5\r\n\r\n".encode()),
    "reset": resets,
}  # fmt: skip


@contextmanager
def everything_logged():
    """Whatever any library logs from here on, at every level, with tracebacks."""
    text = io.StringIO()

    class Keep(logging.Handler):
        def emit(self, record):
            text.write(f"{record.name} {record.getMessage()} {record.args}\n")
            if record.exc_info:
                text.write("".join(traceback.format_exception(record.exc_info[1])))

    handler, loggers = Keep(level=1), [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(1)
        if one.parent is None or not one.propagate:
            one.addHandler(handler)
    try:
        yield text
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
            one.removeHandler(handler)


def stored():
    """Every row of every table, as text."""
    with connection.cursor() as cursor:
        found = {}
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found[table] = "\n".join(str(row) for row in cursor.fetchall())
    return found


def attempts(settings):
    """One attempt at each kind of partner, of a trip of its own; and some that go wrong before and inside of us."""
    settings.CRUSOE_API_KEY, settings.CRUSOE_TIMEOUT = KEY, 1
    said = []

    def one(url):
        settings.CRUSOE_API_URL = url
        try:
            made = publish(itinerary_id=services.itinerary_create(user=None, document=SAMPLE).pk, user=None)
            said.append(f"{made.detail} {made}")
        except ItineraryError as error:
            said.append(f"{error!r} {error}")

    def with_secrets(port, scheme="http"):
        return f"{scheme}://{USER}:{QUOTED}@127.0.0.1:{port}/api"

    for talk in TALKS.values():
        with serving(talk) as server:
            one(with_secrets(server.port))
            said.append(publishing.probe().detail)
    one(with_secrets(unused_port()))
    one(f"http://{USER}:{QUOTED}@crusoe.invalid/api")
    with serving(says(success())) as server:
        one(with_secrets(server.port, "https"))
        with mock.patch.object(crusoe_client.requests.Session, "post", side_effect=ValueError(f"{KEY} {PASSWORD}")):
            one(with_secrets(server.port))
        settings.CRUSOE_API_KEY = f"{KEY}\r\nX: y"
        one(with_secrets(server.port))
        settings.CRUSOE_API_KEY = KEY
    return said


def pages(client):
    """What staff see of it, in pages and over the REST interface."""
    addresses = [
        "/",
        reverse("itineraries:list"),
        reverse("admin:itineraries_itinerary_changelist"),
    ]
    for number, made in enumerate(Itinerary.objects.all()):
        addresses += [page("publish", made), page("version", made, 1), f"/api/v1/itineraries/{made.pk}/"]
        if number % 5 == 0:
            addresses += [page(name, made) for name in ("edit", "versions", "compare", "document")]
            addresses.append(reverse("admin:itineraries_itinerary_change", args=[made.pk]))
    found = {}
    for address in addresses:
        got = client.get(address)
        assert got.status_code == 200, address
        found[address] = got.content.decode()
    return found


def leaks(text):
    return [needle for needle in NEEDLES if needle in text]


def test_no_secret_is_in_a_log_a_page_an_error_or_a_row(ana, client, settings):
    """Whatever the partner does, and whatever fails inside: logs at every level, every table, pages, REST, errors."""
    ana.is_superuser = True
    ana.save()
    with everything_logged() as log:
        said = attempts(settings)
        out, err = io.StringIO(), io.StringIO()
        with serving(TALKS["refused, and repeated"]) as server:
            settings.CRUSOE_API_URL = f"http://{USER}:{QUOTED}@127.0.0.1:{server.port}/api"
            made = services.itinerary_create(user=None, document=SAMPLE)
            with pytest.raises(SystemExit):
                call_command("publish_itinerary", str(made.pk), stdout=out, stderr=err)
    assert Publication.objects.count() == len(TALKS) + 6
    shown = pages(client)
    assert "urllib3" in log.getvalue()  # the libraries were heard
    assert leaks(log.getvalue()) == []
    assert {table: found for table, text in stored().items() if (found := leaks(text))} == {}
    assert {address: found for address, text in shown.items() if (found := leaks(text))} == {}
    assert leaks(" ".join(said) + out.getvalue() + err.getvalue()) == []


def test_control_without_the_search_for_them_they_are_stored(settings, monkeypatch):
    """What a partner repeats would stand in the rows."""
    monkeypatch.setattr(crusoe_client.Access, "redacted", lambda self, text, *, least=1: text)
    attempts(settings)
    assert leaks(stored()["itineraries_publication"]) != []
