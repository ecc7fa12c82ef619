"""Vehicles over REST."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from fleet.models import Vehicle, VehicleChange
from fleet.services import rules_update, vehicles_settle
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db

URL = "/api/v1/vehicles/"
SHAPE = {
    "id": "ES-9",
    "battery": 85,
    "plate": "9999 XYZ",
    "country": "Spain",
    "city": "Madrid",
    "location": {"latitude": 40.4, "longitude": -3.7},
}


@pytest.fixture
def client() -> APIClient:
    client = APIClient(raise_request_exception=True)
    client.force_authenticate(get_user_model().objects.create_superuser("ana", "ana@example.org", "x"))
    return client


def blamed(answer: Any) -> list[str]:
    """The fields that an answer names, without those within them."""
    told = answer.json()
    assert isinstance(told["detail"], str)
    return list(dict.fromkeys(path.partition(".")[0] for path in told["errors"]))


def test_a_vehicle_in_citytrips_own_shape(client: APIClient) -> None:
    """GET shows CityTrips' fields as CityTrips names them, and where the vehicle stands."""
    make("ES-1", battery=12)
    answer = client.get(URL + "ES-1/")
    shown = answer.json()
    assert {name: shown[name] for name in SHAPE} == {
        "id": "ES-1",
        "battery": 12,
        "plate": "1234 BCD",
        "country": "Spain",
        "city": "Madrid",
        "location": {"latitude": 40.4168, "longitude": -3.7038},
    }
    assert shown["state"] == "available"
    assert shown["citytrips"] == "withheld"
    assert shown["withheld_because"] == ["battery 12 % is below 20 %"]
    assert answer["ETag"]


def test_citytrips_statuses(client: APIClient) -> None:
    """Each status is shown, and can be asked for."""
    make("1")
    make("2")
    make("3", plate="")
    make("4", state="on_trip", plate="")
    vehicles_settle(versions={"2": 1}, listed=True)
    shown = {row["id"]: row["citytrips"] for row in client.get(URL).json()["results"]}
    assert shown == {"1": "pending", "2": "settled", "3": "withheld", "4": "not_offered"}
    assert [row["id"] for row in client.get(URL, {"citytrips": "settled"}).json()["results"]] == ["2"]


def test_filters(client: APIClient) -> None:
    """State, country, city, battery and time narrow the list, and countries are known by their codes."""
    make("1", battery=5)
    make("2", state="reserved")
    make("3", country="Chile", city="Santiago", latitude=-33.4, longitude=-70.6)

    def ids(**asked: object) -> list[str]:
        return [row["id"] for row in client.get(URL, asked).json()["results"]]

    assert ids(state="reserved") == ["2"]
    assert ids(country="cl") == ["3"]
    assert ids(city="MADRID") == ["1", "2"]
    assert ids(battery_lt=20) == ["1"]
    assert ids(changed_since=(timezone.now() + timedelta(hours=1)).isoformat()) == []
    assert ids(changed_since=(timezone.now() - timedelta(hours=1)).isoformat()) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "asked",
    [{"state": "asleep"}, {"battery_lt": "low"}, {"changed_since": "yesterday"}, {"citty": "Madrid"}, {"city": "\x00"}],
    ids=str,
)
def test_bad_filters(client: APIClient, asked: dict[str, str]) -> None:
    """A filter that means nothing is an error that names it, and not the whole fleet."""
    answer = client.get(URL, asked)
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == set(asked)


@pytest.mark.parametrize("cursor", ["x", "%00", "cD0lMDA=", "cD1hJTIwYg==", "bz0tMQ=="])
def test_bad_cursors(client: APIClient, cursor: str) -> None:
    """A cursor that was tampered with is never a 500."""
    make()
    assert client.get(f"{URL}?cursor={cursor}").status_code in (200, 400, 404)


def test_pages(client: APIClient) -> None:
    """The pages hold every vehicle once."""
    for number in range(5):
        make(f"V:{number}.x")
    ids, url = [], f"{URL}?page_size=2"
    while url:
        page = client.get(url).json()
        ids += [row["id"] for row in page["results"]]
        url = page["next"]
    assert ids == [f"V:{number}.x" for number in range(5)]


@pytest.mark.parametrize("number", [2, 30])
def test_query_count_of_the_list(client: APIClient, number: int) -> None:
    """The list takes two queries, however long it is."""
    for index in range(number):
        make(f"V{index}", battery=index)
    with CaptureQueriesContext(connection) as queries:
        assert len(client.get(URL).json()["results"]) == number
    assert len(queries) == 2


def test_create(client: APIClient) -> None:
    """A vehicle in CityTrips' shape is added, and available."""
    answer = client.post(URL, SHAPE)
    assert answer.status_code == 201, answer.json()
    assert answer.json()["citytrips"] == "pending"
    assert Vehicle.objects.get().state == "available"


def test_create_knows_its_values_in_part(client: APIClient) -> None:
    """The id alone is enough: the rest may be told later."""
    answer = client.post(URL, {"id": "ES-2"})
    assert answer.status_code == 201, answer.json()
    assert answer.json()["location"] is None
    assert "its battery is not known" in answer.json()["withheld_because"]


def test_create_again(client: APIClient) -> None:
    """An id that exists is refused."""
    make("ES-9")
    answer = client.post(URL, SHAPE)
    assert answer.status_code == 409
    assert blamed(answer) == ["id"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "a b"}, "id"),
        ({"battery": 101}, "battery"),
        ({"battery": 0.85}, "battery"),
        ({"battery": "full"}, "battery"),
        ({"battery": True}, "battery"),
        ({"battery": 10**300}, "battery"),
        ({"plate": "X" * 17}, "plate"),
        ({"plate": "\x00"}, "plate"),
        ({"plate": "\ud800"}, "plate"),
        ({"plate": ["a"]}, "plate"),
        ({"location": [1, 2]}, "location"),
        ({"location": {"latitude": 1}}, "location"),
        ({"location": {"latitude": "nan", "longitude": 1}}, "location"),
        ({"location": {"latitude": 10**400, "longitude": 1}}, "location"),
        ({"location": {"latitude": 0, "longitude": 0}}, "location"),
        ({"location": {"latitude": -33.4, "longitude": -70.6}}, "location"),
        ({"state": "asleep"}, "state"),
        ({"state": {}}, "state"),
        ({"batery": 5}, "batery"),
    ],
    ids=str,
)
def test_bad_values(client: APIClient, change: dict[str, object], field: str) -> None:
    """A bad value is a 400 that names its field, at any way of writing."""
    make("ES-9")
    for answer in (
        client.post(URL, json.dumps({**SHAPE, "id": "ES-10", **change}), content_type="application/json"),
        client.put(URL + "ES-9/", json.dumps({**SHAPE, **change}), content_type="application/json"),
        client.patch(URL + "ES-9/", json.dumps(change), content_type="application/json"),
    ):
        assert answer.status_code == 400
        assert blamed(answer) == [field]


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", '"x"', "NaN", "[" * 20_000, '{"battery": NaN}', '{"a": 1e999}']
)
def test_bodies_that_are_no_vehicle(client: APIClient, body: str) -> None:
    """Whatever is sent, the answer is a 400."""
    make("ES-9")
    for send, url in ((client.post, URL), (client.patch, URL + "ES-9/"), (client.post, URL + "telemetry/")):
        answer = send(url, data=body, content_type="application/json")
        expected = (200,) if body == "[]" and url.endswith("telemetry/") else (400,)
        assert answer.status_code in expected, (url, answer.content)


def test_patch(client: APIClient) -> None:
    """PATCH changes what it names, and what comes of it is shown."""
    make("ES-1")
    vehicles_settle(versions={"ES-1": 1}, listed=True)
    answer = client.patch(URL + "ES-1/", {"battery": 55, "location": None})
    assert answer.status_code == 200
    assert (answer.json()["battery"], answer.json()["location"]) == (55, None)
    assert answer.json()["withheld_because"] == ["its position is not known"]


def test_put_tells_everything_that_citytrips_sees(client: APIClient) -> None:
    """PUT without one of CityTrips' fields is refused; a whole GET can be put back."""
    make("ES-9")
    assert set(blamed(client.put(URL + "ES-9/", {"battery": 5}))) == {"plate", "country", "city", "location"}
    shown = client.get(URL + "ES-9/").json()
    assert client.put(URL + "ES-9/", {**shown, "battery": 4}).json()["battery"] == 4


def test_the_id_stays(client: APIClient) -> None:
    """A vehicle cannot be given another id."""
    make("ES-9")
    assert blamed(client.patch(URL + "ES-9/", {"id": "ES-8"})) == ["id"]


def test_if_match(client: APIClient) -> None:
    """A change made from an old state is refused with 412, and one from the present state is not."""
    make("ES-1")
    old = client.get(URL + "ES-1/")["ETag"]
    new = client.patch(URL + "ES-1/", {"battery": 44}, headers={"If-Match": old})
    assert new.status_code == 200
    assert new["ETag"] != old
    for write in (client.patch, client.delete):
        assert write(URL + "ES-1/", {"battery": 33}, headers={"If-Match": old}).status_code == 412
    put = client.put(URL + "ES-1/", {**SHAPE, "id": "ES-1"}, headers={"If-Match": old})
    assert put.status_code == 412
    assert put.json()["detail"]
    assert Vehicle.objects.get().battery == 44


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("{tag}", 200),
        ('"x", {tag}', 200),
        ("{tag},", 200),
        ("*", 200),
        (" * ", 200),
        ("W/{tag}", 200),
        ('W/"x"', 412),
        ('"x"', 412),
        ('"*"', 412),
        ('"a,b", "c"', 412),
        ("", 400),
        ("{bare}", 400),
        ('"x" {tag}', 400),
        ("w/{tag}", 400),
        ("*, {tag}", 400),
    ],
)
def test_what_if_match_may_say(client: APIClient, header: str, code: int) -> None:
    """The asterisk, one tag or several; one that a proxy has weakened counts, and what is no tag is told."""
    make("ES-1")
    tag = client.get(URL + "ES-1/")["ETag"]
    told = header.format(tag=tag, bare=tag.strip('"'))
    answer = client.patch(URL + "ES-1/", {"battery": 33}, headers={"If-Match": told})
    assert answer.status_code == code
    assert Vehicle.objects.get().battery == (33 if code == 200 else 80)
    if code == 400:
        assert blamed(answer) == ["If-Match"]


def test_a_heartbeat_refuses_no_change(client: APIClient) -> None:
    """What devices and CityTrips do meanwhile is no reason for 412, though the answer to a GET is another."""
    make("ES-1")
    seen = client.get(URL + "ES-1/")["ETag"]
    vehicles_settle(versions={"ES-1": 1}, listed=True)
    client.post(URL + "telemetry/", [{"id": "ES-1"}])
    answer = client.get(URL + "ES-1/", headers={"If-None-Match": seen})
    assert (answer.status_code, answer.json()["citytrips"]) == (200, "settled")
    assert answer["ETag"] != seen
    assert client.patch(URL + "ES-1/", {"battery": 7}, headers={"If-Match": seen}).status_code == 200


def test_if_none_match(client: APIClient) -> None:
    """304 without a body while nothing has changed, 200 after; rules count, for they are in the answer."""
    make("ES-1", battery=30)
    tag = client.get(URL + "ES-1/")["ETag"]
    for header in (tag, f'"x", W/{tag}', "*"):
        for method in (client.get, client.head):
            answer = method(URL + "ES-1/", headers={"If-None-Match": header})
            assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", tag)
    rules_update(minimum_battery=40, silence_limit=None)
    assert client.get(URL + "ES-1/", headers={"If-None-Match": tag}).status_code == 200
    assert client.get(URL + "ES-1/", headers={"If-None-Match": "x"}).status_code == 400


def test_a_write_that_must_meet_nothing(client: APIClient) -> None:
    """`If-None-Match: *` keeps a PUT from overwriting what is there."""
    make("ES-9")
    answer = client.put(URL + "ES-9/", {**SHAPE, "battery": 1}, headers={"If-None-Match": "*"})
    assert answer.status_code == 412
    assert Vehicle.objects.get().battery == 80


def test_head_and_options(client: APIClient) -> None:
    """HEAD is a GET without the body; OPTIONS names the methods."""
    make("ES-1")
    for path in ("", "ES-1/"):
        head = client.head(URL + path)
        assert (head.status_code, head.content) == (200, b"")
    assert client.head(URL + "ES-1/")["ETag"]
    assert client.options(URL)["Allow"] == "GET, POST, HEAD, OPTIONS"
    assert client.options(URL + "ES-1/")["Allow"] == "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"
    assert client.options(URL + "telemetry/")["Allow"] == "POST, OPTIONS"
    assert client.put(URL, {}).status_code == client.get(URL + "telemetry/").status_code == 405


def test_history_says_who(db: None) -> None:
    """A change over the API is written down with the token's person; what devices report is not."""
    ana = get_user_model().objects.create_superuser("ana", "ana@example.org", "x")
    client = APIClient()
    client.force_authenticate(ana)
    client.post(URL, SHAPE)
    client.patch(URL + "ES-9/", {"battery": 12})
    client.delete(URL + "ES-9/")
    client.post(URL + "telemetry/", [{"id": "ES-9", "battery": 99}])
    changes = list(VehicleChange.objects.order_by("id").values_list("by", "origin", "added"))
    assert changes == [(ana.pk, "api", True), (ana.pk, "api", False), (ana.pk, "api", False)]


def test_delete(client: APIClient) -> None:
    """DELETE removes the vehicle from the street, not from the records."""
    make("ES-1")
    assert client.delete(URL + "ES-1/").status_code == 204
    assert Vehicle.objects.get().state == "removed"
    assert client.delete(URL + "ES-1/").status_code == 204
    assert client.delete(URL + "ES-7/").status_code == 404


def test_permissions() -> None:
    """Without a login nothing is shown; without the permission nothing is changed."""
    make("ES-1")
    assert APIClient().get(URL).status_code in (401, 403)
    viewer = APIClient()
    viewer.force_authenticate(get_user_model().objects.create_user("eva", "eva@example.org"))
    assert viewer.get(URL).status_code == 403
    assert viewer.patch(URL + "ES-1/", {"battery": 5}).status_code == 403
    assert viewer.post(URL + "telemetry/", []).status_code == 403


# --- What cannot be kept -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "1999-12-31T23:00:00Z", "9999-12-31T23:59:59", "2090-01-01"]
)
@pytest.mark.parametrize("zone", ["UTC", "America/Santiago", "Pacific/Auckland"])
def test_times_that_cannot_be(client: APIClient, moment: str, zone: str) -> None:
    """A last signal before 2000 or of the future is refused wherever it is told, in every time zone."""
    make("ES-1")
    with timezone.override(zone):
        for answer in (
            client.post(URL, {"id": "ES-2", "last_signal_at": moment}),
            client.patch(URL + "ES-1/", {"last_signal_at": moment}),
        ):
            assert answer.status_code == 400
            assert blamed(answer) == ["last_signal_at"]
        told = client.post(URL + "telemetry/", [{"id": "ES-1", "at": moment}]).json()
        assert [list(error["errors"]) for error in told["errors"]] == [["at"]]
    assert Vehicle.objects.get().last_signal_at is None


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "9999-12-31T23:59:59-11:00"])
@pytest.mark.parametrize("zone", ["UTC", "America/Santiago", "Pacific/Auckland"])
def test_changed_since_the_end_of_time(client: APIClient, moment: str, zone: str) -> None:
    """A time that not every zone can show is no filter."""
    with timezone.override(zone):
        assert blamed(client.get(URL, {"changed_since": moment})) == ["changed_since"]


def test_the_last_signal_may_be_a_little_ahead(client: APIClient) -> None:
    """A clock that is ahead by less than five minutes is borne with, and one by more is not."""
    make("ES-1")
    for minutes, code in ((4, 200), (6, 400)):
        told = {"last_signal_at": (timezone.now() + timedelta(minutes=minutes)).isoformat()}
        assert client.patch(URL + "ES-1/", told).status_code == code


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (r'{"\ud800": 1}', "non_field_errors"),
        (r'{"\ud800": 1, "\ud800": 2}', "non_field_errors"),
        (r'{"id": "a", "state": "\ud800"}', "state"),
        (r'{"id": "\u0000"}', "id"),
        (r'{"id": "a", "location": {"\udfff": 1}}', "location"),
        ('{"id": "a", "battery": 1, "battery": 2}', "battery"),
        ('{"id": "a", "location": {"latitude": 1, "longitude": 2, "altitude": 3}}', "location"),
        ('{"id": "a", "location": {"latitude": true, "longitude": 2}}', "location"),
        (r'{"id": "a", "city": "Ma\u0007drid"}', "city"),
        (r'{"id": "a", "note": "a\u001bb"}', "note"),
        ('{"id": "telemetry"}', "id"),
        ('{"id": "."}', "id"),
        ('{"id": ".."}', "id"),
    ],
)
def test_what_cannot_be_kept(client: APIClient, body: str, field: str) -> None:
    """Text, names and ids that could not be kept as they were sent are refused, and nothing is stored."""
    answer = client.post(URL, data=body, content_type="application/json")
    assert answer.status_code == 400
    assert blamed(answer) == [field]
    assert not Vehicle.objects.exists()


def test_all_that_is_wrong_is_told_at_once(client: APIClient) -> None:
    """A misspelt name does not hide the other mistakes."""
    answer = client.post(URL, {"id": "a", "batery": 5, "state": "asleep", "location": {"latitude": 91, "x": 1}})
    assert set(answer.json()["errors"]) == {"batery", "state", "location.latitude", "location.longitude", "location.x"}
    assert set(client.get(URL, {"battery_lt": "x", "foo": 1}).json()["errors"]) == {"battery_lt", "foo"}


def test_text_of_several_lines(client: APIClient) -> None:
    """A note has lines, tabs and any script."""
    answer = client.post(URL, {"id": "a", "note": "uno\n\tdós 😀", "city": "Ñuñoa"})
    assert answer.status_code == 201
    assert answer.json()["note"] == "uno\n\tdós 😀"


def test_delete_with_if_match(client: APIClient) -> None:
    """A vehicle is removed from the state that was seen, or not at all."""
    make("ES-1")
    old = client.get(URL + "ES-1/")["ETag"]
    new = client.patch(URL + "ES-1/", {"battery": 44})["ETag"]
    assert client.delete(URL + "ES-1/", headers={"If-Match": old}).status_code == 412
    assert Vehicle.objects.get().state == "available"
    assert client.delete(URL + "ES-1/", headers={"If-Match": new}).status_code == 204
    assert Vehicle.objects.get().state == "removed"


@pytest.mark.parametrize("enforced", [False, True], ids=["token", "session"])
def test_bodies_that_are_not_taken(settings, enforced: bool) -> None:
    """A body that is too large or no JSON is refused in JSON, whatever the way of logging in."""
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    user = get_user_model().objects.create_superuser("ana", "ana@example.org", "x")
    client = APIClient(enforce_csrf_checks=enforced)
    if enforced:
        client.force_login(user, "users.backends.UsernameOrEmailBackend")
    else:
        client.force_authenticate(user)
    make("ES-1")
    for send, url in ((client.post, URL), (client.put, URL + "ES-1/"), (client.post, URL + "telemetry/")):
        large = send(url, data=" " * 1001, content_type="application/json")
        assert (large.status_code, list(large.json())) == (413, ["detail"])
        for kind in ("multipart/form-data", "multipart/form-data; boundary=x", "text/plain", "x"):
            other = send(url, data="--x", content_type=kind)
            assert (other.status_code, list(other.json())) == (415, ["detail"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page_size=0", "page_size"),
        ("page_size=-5", "page_size"),
        ("page_size=1001", "page_size"),
        ("state=missing&state=available", "state"),
    ],
)
def test_queries_that_would_be_half_heeded(client: APIClient, query: str, field: str) -> None:
    """A number of rows that no page has, and a filter that is told twice, are refused."""
    answer = client.get(f"{URL}?{query}")
    assert answer.status_code == 400
    assert blamed(answer) == [field]


# --- Several at once ---------------------------------------------------------------------------------------------


def at_once(number: int, ask: Callable[[int], int]) -> list[int]:
    """The codes of so many requests that start together, each in a thread and on a connection of its own."""
    ready = threading.Barrier(number)

    def one(place: int) -> int:
        try:
            ready.wait(30)
            return ask(place)
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        return sorted(pool.map(one, range(number)))


@pytest.mark.django_db(transaction=True)
def test_the_same_id_at_once(client: APIClient) -> None:
    """Of those who add the same vehicle one does, and the others are told that there is one."""
    codes = at_once(6, lambda _place: client.post(URL, SHAPE).status_code)
    assert codes == [201, *[409] * 5]
    assert VehicleChange.objects.filter(added=True).count() == 1


@pytest.mark.django_db(transaction=True)
def test_changes_from_the_same_state_at_once(client: APIClient) -> None:
    """Of those who saw the same state one writes, and the others are told so: no change is lost unseen."""
    make("ES-1")
    tag = client.get(URL + "ES-1/")["ETag"]

    def ask(place: int) -> int:
        return client.patch(URL + "ES-1/", {"battery": 10 + place}, headers={"If-Match": tag}).status_code

    assert at_once(6, ask) == [200, *[412] * 5]
    assert VehicleChange.objects.filter(added=False).count() == 1
