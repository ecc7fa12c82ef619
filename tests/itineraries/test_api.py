"""The REST interface of itineraries."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from itineraries import services
from itineraries.models import Itinerary, Publication
from tests.itineraries.servers import answer, says, serving, success
from tests.itineraries.strategies import same, wire

pytestmark = pytest.mark.django_db

LIST = "/api/v1/itineraries/"
JSON: Any = {"content_type": "application/json"}


@pytest.fixture
def client() -> Client:
    user = get_user_model().objects.create_user("ana", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="itineraries"))
    client = Client(raise_request_exception=True)
    client.force_login(user)
    return client


@pytest.fixture
def made(client) -> Any:
    return client.post(LIST, {"document": wire("trip")}, content_type="application/json")


def put(client: Client, url: str, body: Any, etag: str | None) -> Any:
    headers = {} if etag is None else {"If-Match": etag}
    return client.put(url, body, content_type="application/json", headers=headers)


def test_a_document_is_made_and_read_back(client, made):
    """201 with the address, the ETag, and the document equal to what was sent."""
    assert made.status_code == 201
    found = client.get(made["Location"])
    assert found.json() == made.json()
    assert found["ETag"] == made["ETag"] == '"1"'
    body = found.json()
    assert (body["state"], body["url"], same(body["document"], wire("trip"))) == ("ready", None, True)
    assert set(body) == {"id", "state", "url", "document", "problems"}
    assert {problem["level"] for problem in body["problems"]} == {"warning"}


def test_the_document_s_own_address_gives_what_would_be_posted(client, made, settings):
    """Byte for byte."""
    text = client.get(f"{made['Location']}document/").content
    assert same(json.loads(text), wire("trip"))
    settings.CRUSOE_API_KEY = "key"
    with serving(says(success())) as server:
        settings.CRUSOE_API_URL = server.url
        client.post(f"{made['Location']}publish/", content_type="application/json")
    assert server.requests[0][1] == text


def test_a_draft_is_kept_with_its_problems(client):
    """An incomplete document is a draft like any other."""
    body = client.post(LIST, {"document": {"title": "Some day"}}, content_type="application/json").json()
    assert body["state"] == "draft"
    assert {"path", "level", "code", "message"} == set(body["problems"][0])
    assert ("segments", "error", "required") in [(one["path"], one["level"], one["code"]) for one in body["problems"]]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"document": {"price": {"fixedPriceAmount": "7"}}}', "price.fixedPriceAmount"),
        ('{"document": {"a": NaN}}', "a"),
        ('{"document": {"a": 1e999}}', "a"),
        ('{"document": {"a": "\\u0000"}}', "a"),
        ('{"document": {"a": "\\ud800"}}', "a"),
        ('{"document": {"\\ud800": 1}}', "\\ud800"),
        ('{"document": {"a": 1, "a": 1}}', "a"),
        ('{"document": {"_key": 1}}', "_key"),
        ('{"document": []}', ""),
        ('{"document": ' + "[" * 100 + "]" * 100 + "}", "[0]" * 64),
        ('{"document": ' + "[" * 100_000, ""),
        ('{"document": {"a": "' + "x" * 1_100_000 + '"}}', ""),
        ('{"document": {"a": "' + "x" * 5_000_000 + '"}}', ""),
        ("{", ""),
        ('{"document": {}, "document": {}}', "document"),
        ('{"document": {}, "x": "\\u0000"}', "x"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_path(client, text, path):
    """400 with the path, never a 500, and nothing is kept."""
    found = client.post(LIST, text, content_type="application/json")
    assert found.status_code == 400
    assert [problem["path"] for problem in found.json()["problems"]] == [path]
    assert Itinerary.objects.count() == 0


@pytest.mark.parametrize("text", ["", "[]", "5", "null", '"x"', "{}", '{"Document": {}}', '{"document": null}'])
def test_a_request_without_a_document_says_so(client, text):
    """400 in the shape that the OpenAPI document promises."""
    found = client.post(LIST, text, content_type="application/json")
    assert found.status_code == 400
    assert found.json().keys() == {"detail", "problems"}
    assert Itinerary.objects.count() == 0


def test_names_that_nobody_knows_are_refused(client, made):
    """A misspelt name in a body or in the address is 400 with the name, not passed over."""
    url = made["Location"]
    body = {"document": {}, "documnet": 1}
    for found in (
        client.post(LIST, body, **JSON),
        put(client, url, body, "*"),
        client.post(f"{url}publish/", {"documnet": 0}, **JSON),
        client.post(f"{url}resolve/", {"retry": True, "documnet": 0}, **JSON),
        client.get(f"{LIST}?documnet=1"),
        client.get(f"{url}?documnet=1"),
    ):
        assert found.status_code == 400
        assert [problem["path"] for problem in found.json()["problems"]] == ["documnet"]
    assert Itinerary.objects.get().version == 1
    assert client.get(f"{LIST}?format=json").status_code == 200


@pytest.mark.parametrize(
    "position",
    ["junk", "\0", "2020-13-45", "2020-12-05", "2020-12-05T01:02:03", "0001-01-01T00:00:00+14:00", "9" * 400],
)
def test_a_cursor_that_no_page_gave_is_not_found(client, made, position):
    """404, whatever its position is, and never a question that the database cannot answer."""
    cursor = b64encode(urlencode({"p": position}).encode()).decode()
    assert client.get(LIST, {"cursor": cursor}).status_code == 404


@pytest.mark.parametrize("part", ["", "{id}/", "{id}/document/", "{id}/publish/", "{id}/resolve/", "nope/"])
def test_options_are_told(client, made, part):
    """200 on every address, with the methods in Allow."""
    found = client.options(LIST + part.format(id=made.json()["id"]))
    assert found.status_code == 200
    assert "OPTIONS" in found["Allow"]


def test_an_if_match_that_is_no_etag_says_so(client, made):
    """400, not an untruth about somebody else's change; what is an ETag, though none of ours, is 412."""
    for wrong in ("1", '"1', '1"', "x", '"1" "2"', '"1",', '* , "1"'):
        for found in (
            put(client, made["Location"], {"document": {}}, wrong),
            client.delete(made["Location"], headers={"If-Match": wrong}),
        ):
            assert found.status_code == 400, wrong
            assert "If-Match is no ETag" in found.json()["detail"]
    assert put(client, made["Location"], {"document": {}}, '"a-proxy\'s"').status_code == 412


def test_writing_demands_the_etag(client, made):
    """428 without If-Match, 412 with an old one, and what a proxy makes of an ETag still counts."""
    url = made["Location"]
    assert put(client, url, {"document": {}}, None).status_code == 428
    assert client.delete(url).status_code == 428
    changed = put(client, url, {"document": {"title": "Two"}}, 'W/"1"')
    assert (changed.status_code, changed["ETag"], changed.json()["document"]) == (200, '"2"', {"title": "Two"})
    for stale in ('"1"', '"x"', '"1", "7"', '"99999999999999999999"'):
        refused = put(client, url, {"document": {}}, stale)
        assert (refused.status_code, refused.json()["changed_by"]) == (412, "ana")
        assert client.delete(url, headers={"If-Match": stale}).status_code == 412
    assert put(client, url, {"document": {"title": "Three"}}, '"1", "2"').status_code == 200
    assert put(client, url, {"document": {"title": "Four"}}, "*").status_code == 200
    assert client.delete(url, headers={"If-Match": '"4"'}).status_code == 204
    assert client.get(url).status_code == 404


def test_what_a_get_gives_can_be_put_back(client, made):
    """Other properties than the document are ignored; nothing changed, so the version stays."""
    again = put(client, made["Location"], made.json(), made["ETag"])
    assert (again.status_code, again["ETag"]) == (200, '"1"')


@pytest.mark.parametrize("method", ["get", "put", "delete"])
@pytest.mark.parametrize("name", ["nothing", "00000000-0000-0000-0000-000000000000", "1"])
def test_an_unknown_itinerary_is_not_found_in_json(client, method, name):
    """404 as JSON, whatever the id looks like."""
    found = getattr(client, method)(
        f"{LIST}{name}/", headers={"If-Match": '"1"'}, content_type="application/json", data={"document": {}}
    )
    assert (found.status_code, found["Content-Type"]) == (404, "application/json")
    for part, body in (("publish", {"after": 0}), ("resolve", {"retry": True})):
        found = client.post(f"{LIST}{name}/{part}/", body, content_type="application/json")
        assert found.status_code == 404


def test_the_list_is_in_pages_and_asks_once(client):
    """Twenty to a page; as many queries for one itinerary as for twenty-five."""
    counts = []
    for wanted in (1, 25):
        while Itinerary.objects.count() < wanted:
            services.itinerary_create(user=None, document=wire("trip"))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page = client.get(LIST).json()
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert len(page["results"]) == 20
    rest = client.get(page["next"]).json()
    assert len({one["id"] for one in page["results"] + rest["results"]}) == 25
    assert same(rest["results"][0]["document"], wire("trip"))
    assert client.get(LIST + "?cursor=nonsense").status_code == 404


@pytest.mark.parametrize("permission", ["view", "add", "change", "delete", "publish"])
def test_each_request_needs_its_permission(permission):
    """403 without it, for somebody who has all the others."""
    made = services.itinerary_create(user=None)
    user = get_user_model().objects.create_user("some", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="itineraries").exclude(codename=f"{permission}_itinerary")
    )
    client = Client()
    client.force_login(user)
    url = f"{LIST}{made.pk}/"
    etag = {"If-Match": '"1"'}
    asked = {
        "view": [client.get(LIST), client.get(url), client.get(f"{url}document/")],
        "add": [client.post(LIST, {"document": {}}, content_type="application/json")],
        "change": [put(client, url, {"document": {}}, '"1"')],
        # The draft has errors: who may publish is told so.
        "publish": [client.post(f"{url}publish/", **JSON), client.post(f"{url}resolve/")],
        "delete": [client.delete(url, headers=etag)],
    }
    for name, answers in asked.items():
        assert {found.status_code == 403 for found in answers} == {name == permission}, name


def test_nobody_is_let_in_without_a_login():
    """Anonymous requests are refused."""
    assert Client().get(LIST).status_code in (401, 403)


@pytest.mark.logs_errors  # Django logs each 502
@pytest.mark.django_db(transaction=True)
def test_publishing_answers_by_outcome(client, made, settings):
    """201 with the address; 502 with state, detail and problems; 409 while unknown; 422 with errors."""
    settings.CRUSOE_API_KEY = "key"
    url = made["Location"]
    oops = answer("500 Oops", b"")
    with serving(says(answer("400 No", wire("validation_error"))), says(oops), says(success())) as server:
        settings.CRUSOE_API_URL = server.url
        rejected = client.post(f"{url}publish/", content_type="application/json")
        assert (rejected.status_code, rejected.json()["state"]) == (502, "rejected")
        assert rejected.json()["problems"][0]["path"] == "title"
        unknown = client.post(f"{url}publish/", content_type="application/json")
        assert (unknown.status_code, unknown.json()["state"], unknown.json()["problems"]) == (502, "unknown", [])
        again = client.post(f"{url}publish/", content_type="application/json")
        assert (again.status_code, again.json()["state"]) == (409, "unknown")
        assert client.delete(url, headers={"If-Match": "*"}).status_code == 409
        resolved = client.post(f"{url}resolve/", {"retry": True}, content_type="application/json")
        assert (resolved.status_code, resolved.json()["state"]) == (200, "ready")
        published = client.post(f"{url}publish/", content_type="application/json")
        assert (published.status_code, published.json()) == (
            201,
            {"state": "published", "url": "http://mycrusoe.com/trips/1"},
        )
        assert len(server.requests) == 3
    assert client.get(url).json()["url"] == "http://mycrusoe.com/trips/1"
    assert client.get(url)["ETag"] == made["ETag"]
    put(client, url, {"document": {}}, "*")
    errors = client.post(f"{url}publish/", content_type="application/json")
    assert errors.status_code == 422
    assert "title" in [problem["path"] for problem in errors.json()["problems"]]
    put(client, url, {"document": wire("trip") | {"title": "Other"}}, "*")
    settings.CRUSOE_API_KEY = ""
    missing = client.post(f"{url}publish/", content_type="application/json")
    assert (missing.status_code, missing.json()["state"]) == (502, "not_sent")


@pytest.mark.logs_errors  # Django logs each 502
@pytest.mark.django_db(transaction=True)
def test_resolving_takes_an_address_or_a_retry(client, made, settings):
    """Anything else is 400, and 409 where nothing is unknown."""
    settings.CRUSOE_API_KEY = "key"
    url = f"{made['Location']}resolve/"
    assert client.post(url, {"retry": True}, content_type="application/json").status_code == 409
    with serving(says(answer("500 Oops", b""))) as server:
        settings.CRUSOE_API_URL = server.url
        client.post(f"{made['Location']}publish/", content_type="application/json")
    for body in (
        {},
        {"retry": False},
        {"retry": 1},
        {"url": 5},
        {"url": "http://a/", "retry": True},
        {"url": "ftp://a"},
        [],
    ):
        refused = client.post(url, body, content_type="application/json")
        assert refused.status_code == 400
        assert refused.json().keys() == {"detail", "problems"}
        assert "document" not in refused.json()["detail"]
    resolved = client.post(url, {"url": "http://a.example/1"}, content_type="application/json").json()
    assert (resolved["state"], resolved["url"]) == ("published", "http://a.example/1")


@pytest.mark.django_db(transaction=True)
def test_twenty_requests_make_one_publication(made, settings):
    """One 201; every other is 409, whether it came during the attempt or after."""
    settings.CRUSOE_API_KEY = "key"
    url = f"{made['Location']}publish/"
    callers = [Client() for _number in range(20)]
    for caller in callers:
        caller.force_login(get_user_model().objects.get(username="ana"))
    with serving(says(success())) as server, ThreadPoolExecutor(20) as pool:
        settings.CRUSOE_API_URL = server.url
        start = threading.Barrier(20)

        def call(caller: Client) -> int:
            start.wait()
            try:
                return caller.post(url, **JSON).status_code
            finally:
                connection.close()

        assert sorted(pool.map(call, callers)) == [201, *[409] * 19]
    assert (len(server.requests), Publication.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_publishing_the_same_again_takes_the_number_of_the_last_attempt(client, made, settings):
    """409 with the state, the address and what to send; sent so, a second page is made, once."""
    settings.CRUSOE_API_KEY = "key"
    url = f"{made['Location']}publish/"
    with serving(says(success("http://a/1")), says(success("http://a/2"))) as server:
        settings.CRUSOE_API_URL = server.url
        early = client.post(url, {"after": 7}, **JSON)
        assert (early.status_code, early.json()["state"], early.json()["after"]) == (409, None, 0)
        assert client.post(url, {"after": 0}, **JSON).status_code == 201
        assert client.generic("POST", url, b"", "").status_code == 409
        refused = client.post(url, **JSON)
        body = refused.json()
        assert (refused.status_code, body["state"], body["url"], body["after"]) == (409, "published", "http://a/1", 1)
        assert '{"after": 1}' in body["detail"]
        for wrong in (-1, "1", 1.0, True, [1]):
            assert client.post(url, {"after": wrong}, **JSON).status_code == 400
        assert client.post(url, {"after": 1}, **JSON).json()["url"] == "http://a/2"
        assert client.post(url, {"after": 1}, **JSON).json()["after"] == 2
    assert len(server.requests) == 2


def test_the_schema_names_every_request(client):
    """The OpenAPI document has the itineraries' addresses, without complaints of the generator."""
    schema = json.loads(client.get("/api/v1/schema/?format=json").content)
    paths = {path: set(entry) for path, entry in schema["paths"].items() if "itineraries" in path}
    assert paths == {
        "/api/v1/itineraries/": {"get", "post"},
        "/api/v1/itineraries/{itinerary_id}/": {"get", "put", "delete"},
        "/api/v1/itineraries/{itinerary_id}/document/": {"get"},
        "/api/v1/itineraries/{itinerary_id}/publish/": {"post"},
        "/api/v1/itineraries/{itinerary_id}/resolve/": {"post"},
    }
