"""The simulated Crusoe: its endpoint, its faults, the page of a trip and its half of the console."""

from __future__ import annotations

import copy
import json
import re
import threading
import time
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from backoffice.sandbox import crusoe, crusoe_faults
from backoffice.sandbox.crusoe import Fault, Outcome
from backoffice.sandbox.crusoe_contract import violations
from backoffice.sandbox.crusoe_trip import duration_text, money
from tests.backoffice.serving import until

CREATE = "/sandbox/crusoe/api/itinerary/create"

# Put together from the specification's own samples.
SAMPLE = json.loads((Path(__file__).parents[2] / "wire" / "crusoe_trip.json").read_text())


@pytest.fixture(autouse=True)
def fresh_partner():
    crusoe.reset()
    yield
    crusoe.reset()


def send(document=SAMPLE, key="a key", client=None, **extra):
    headers = {"api-key": key} if key is not None else {}
    body = document if isinstance(document, bytes) else json.dumps(document)
    client = client or Client(enforce_csrf_checks=True)
    return client.post(CREATE, body, content_type="application/json", headers=headers, **extra)


def changed(path, value=...):
    """The sample with one property set, or removed."""
    document = copy.deepcopy(SAMPLE)
    holder = document
    for step in path[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return document


def test_a_valid_itinerary_is_answered_with_the_address_of_its_page():
    """The specification's samples, put together, are accepted, and the absolute address shows the trip."""
    answer = send()
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    assert answer.json()["statusCode"] == 200
    url = answer.json()["data"]["url"]
    assert url.startswith("http://testserver/sandbox/crusoe/trips/")
    assert Client().get(url).status_code == 200


def test_the_page_shows_everything_in_the_document():
    """Every card, leg, layover, price with its discount, milestone and the total stands on the page."""
    page = Client().get(send().json()["data"]["url"]).content.decode()
    for words in (
        "Trip to Barcelona", "Bucharest to Barcelona via Frankfurt", "19 – 26 May 2016", "Trip starts", "Trip ends",
        "LH 1419", "LH 1132", "50 min in Frankfurt", "5 h 20 min", "13:45", "70 EUR", "90 EUR", "OTP", "Lufthansa",
        "SmartRoom Barcelona", "Olzinelles 56-58", "41.3720250384618", "1146179", "200 EUR",
        "UberSelect", "15 EUR", "Barcelona airport", "Arrived in Barcelona",
        "Tibidabo Amusement Park, a magical place to be.", "285 EUR",
    ):  # fmt: skip
        assert words in page, words


def test_the_page_fetches_no_image_of_the_document():
    """An image is named, never loaded, so that looking at a page asks nothing of a third party."""
    page = Client().get(send().json()["data"]["url"]).content.decode()
    assert "<img" not in page
    assert "47494189.jpg" in page


def test_totals_span_the_options():
    """With alternatives of different prices the total is a span; a fixed price stands as it is."""
    two = copy.deepcopy(SAMPLE)
    two["segments"][2]["options"].append(copy.deepcopy(two["segments"][2]["options"][0]))
    two["segments"][2]["options"][1]["price"]["currentAmount"] = 42.5
    assert "285 EUR to 312.50 EUR" in Client().get(send(two).json()["data"]["url"]).content.decode()
    fixed = changed(("price",), {"type": "fixed", "fixedPriceAmount": 1250, "currency": "RON"})
    assert "1,250 RON" in Client().get(send(fixed).json()["data"]["url"]).content.decode()


def test_options_can_be_chosen_and_add_up():
    """Where there is something to choose, each option has a button with its amount; elsewhere there is no script."""
    two = copy.deepcopy(SAMPLE)
    two["segments"][2]["options"].append(copy.deepcopy(two["segments"][2]["options"][0]))
    two["segments"][2]["options"][1]["price"]["currentAmount"] = 1042.5
    page = Client().get(send(two).json()["data"]["url"]).content.decode()
    assert re.findall(r'name="card-(\d)"\s+value="(\d)"\s+data-amount="([\d.]+)"', page) == [
        ("3", "1", "15"),
        ("3", "2", "1042.5"),
    ]
    assert re.findall(r'<span data-amount="(\d+)"', page) == ["70", "200"]
    assert "sandbox/crusoe.js" in page
    assert 'data-currency="EUR"' in page
    assert "sandbox/crusoe.js" not in Client().get(send().json()["data"]["url"]).content.decode()


def test_text_of_the_document_is_escaped():
    """A title made of markup is shown as text."""
    page = Client().get(send(changed(("title",), "<script>alert(1)</script>")).json()["data"]["url"])
    assert b"<script>alert" not in page.content


@pytest.mark.parametrize("key", [None, "", "   "])
def test_a_missing_key_is_auth_required(key):
    """No api-key header, or an empty one, is the specification's AUTH_REQUIRED."""
    answer = send(key=key)
    assert answer.status_code == 401
    assert answer.json() == {"statusCode": 401, "errorType": "AUTH_REQUIRED", "message": "Missing API auth header"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (changed(("title",)), ("title", "required", None)),
        (changed(("title",), ""), ("title", "required", "")),
        (changed(("title",), 5), ("title", "string", 5)),
        (changed(("dateInterval", "from"), "2016-05-19"), ("from", "format", "2016-05-19")),
        (changed(("price", "currency"), "GBP"), ("currency", "enum", "GBP")),
        (changed(("price",)), ("price", "required", None)),
        (changed(("price",), {"type": "fixed", "currency": "EUR"}), ("fixedPriceAmount", "required", None)),
        (changed(("segments", 0, "type"), "boat"), ("type", "enum", "boat")),
        (changed(("segments", 1, "milestone")), ("milestone", "required", None)),
        (changed(("segments", 0, "options", 0, "duration")), ("duration", "required", None)),
        (changed(("segments", 0, "options", 0, "duration"), True), ("duration", "number", True)),
        (changed(("segments", 0, "options", 0, "price", "currentAmount")), ("currentAmount", "required", None)),
        (changed(("segments", 0, "options", 0, "price", "beforeAmount")), ("beforeAmount", "required", None)),
        (
            changed(("segments", 0, "options", 0, "flightSegments", 1, "layoverTime")),
            ("layoverTime", "required", None),
        ),
        (changed(("segments", 0, "options", 0, "flightSegments", 0, "pointA", "code")), ("code", "required", None)),
        (
            changed(("segments", 2, "options", 0, "pointA", "time"), "quarter past"),
            ("time", "format", "quarter past"),
        ),
        (changed(("segments", 3, "options", 0, "image")), ("image", "required", None)),
        (changed(("segments",), {}), ("segments", "array", {})),
    ],
)  # fmt: skip
def test_a_violation_is_answered_with_name_type_and_value(document, expected):
    """Each violation comes as the specification's VALIDATION_ERROR with the property, the rule and the value sent."""
    answer = send(document)
    assert answer.status_code == 400
    assert answer.json()["errorType"] == "VALIDATION_ERROR"
    name, kind, value = expected
    assert answer.json()["data"]["validationErrors"] == [{"name": name, "type": kind, "value": value}]


@pytest.mark.parametrize("name", ["image", "description", "address", "latitude", "longitude"])
def test_only_a_booking_id_waives_what_a_stay_must_say(name):
    """A stay with a bookingId needs no text of its own; one with only a tripadvisorId does."""
    assert violations(changed(("segments", 1, "options", 0, name))) == []
    without = changed(("segments", 1, "options", 0, name))
    del without["segments"][1]["options"][0]["bookingId"]
    assert [found.name for found in violations(without)] == [name]


@pytest.mark.parametrize(
    "document",
    [
        changed(("subtitle",)), changed(("milestones",)), changed(("introText",), "Welcome"),
        changed(("price", "fixedPriceAmount")), changed(("segments", 0, "options", 0, "price")),
        changed(("segments", 2, "options", 0, "serviceInfo")), changed(("unheard",), {"of": 1}),
        changed(("segments", 2, "options", 0, "pointA", "time"), "10:20"),
    ],
)  # fmt: skip
def test_what_is_optional_may_be_left_out(document):
    """Optional properties, an option without a price, unknown properties and the three spellings of a time pass."""
    assert violations(document) == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b"null", b'"x"', b"\xff", b'{"title": "\\ud800"}', b"[" * 5000, b"1e999", b"{} {}"]
)
def test_a_body_that_is_no_itinerary_is_a_validation_error(body):
    """Whatever is sent, the answer is a 400 of the specification's shape, never a 500."""
    answer = send(body)
    assert answer.status_code == 400
    assert answer.json()["errorType"] == "VALIDATION_ERROR"


def test_numbers_that_no_page_can_show_are_refused():
    """NaN, infinities and integers beyond double precision are no numbers to this partner."""
    for number in (b"NaN", b"Infinity", b"1e999", b"1" + b"0" * 400):
        body = json.dumps(changed(("segments", 0, "options", 0, "duration"), "@")).encode().replace(b'"@"', number)
        assert [error["name"] for error in send(body).json()["data"]["validationErrors"]] == ["duration"]


@pytest.mark.logs_errors  # Django logs every 5xx that it answers
@pytest.mark.parametrize(
    ("fault", "status", "kind", "outcome"),
    [
        (Fault.REFUSE_KEY, 401, "INVALID_AUTH", Outcome.UNAUTHORIZED),
        (Fault.ERROR_500, 500, "UNEXPECTED_ERROR", Outcome.FAILED),
        (Fault.FIELD_ERROR, 400, "VALIDATION_ERROR", Outcome.INVALID),
    ],
)
def test_a_fault_answers_as_the_specification_lists_it(fault, status, kind, outcome):
    """A fault holds until it is switched off, and what it refused is remembered with its outcome."""
    crusoe.set_fault(fault, "currency")
    answer = send()
    assert (answer.status_code, answer.json()["errorType"]) == (status, kind)
    assert crusoe.received()[0].outcome is outcome
    if fault is Fault.FIELD_ERROR:
        errors = answer.json()["data"]["validationErrors"]
        assert errors == [{"name": "currency", "type": "invalid", "value": "EUR"}]
    crusoe.set_fault(Fault.NONE)
    assert send().status_code == 200


def test_success_without_a_url():
    """The fault answers success with empty data, though the trip has its page."""
    crusoe.set_fault(Fault.NO_URL)
    assert send().json() == {"success": True, "statusCode": 200, "data": {}}
    assert Client().get(reverse("sandbox:crusoe_trip", args=[crusoe.received()[0].id])).status_code == 200


@pytest.mark.logs_errors  # the 504
def test_no_answer_holds_the_line_until_the_fault_is_switched_off():
    """While the fault is on the request stays open; the document was received all the same."""
    crusoe.set_fault(Fault.NO_ANSWER)
    answers = []
    sender = threading.Thread(target=lambda: answers.append(send()))
    sender.start()
    until(crusoe.received, 30)
    sender.join(0.6)
    assert sender.is_alive()
    assert crusoe.received()[0].outcome is Outcome.UNANSWERED
    crusoe.set_fault(Fault.NONE)
    sender.join(30)
    assert answers[0].status_code == 504


@pytest.mark.logs_errors  # the 504
def test_no_answer_ends_at_the_limit(monkeypatch):
    """A held line is let go at the limit, so that a forgotten fault holds no request for ever."""
    monkeypatch.setattr(crusoe_faults, "HOLD_LIMIT", 0.3)
    crusoe.set_fault(Fault.NO_ANSWER)
    began = time.monotonic()
    assert send().status_code == 504
    assert time.monotonic() - began < 50


def test_the_last_200_are_kept_when_many_arrive_at_once():
    """Requests from several threads are all counted, and only the newest 200 stay."""
    threads = [
        threading.Thread(target=lambda: [send({"title": "x"}, client=Client()) for _n in range(60)]) for _t in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(crusoe.received()) == crusoe.KEPT == 200


def test_a_page_that_was_forgotten_says_so():
    """An address of an earlier run, or of a refused document, is a 404 that explains itself."""
    assert b"no longer here" in Client().get("/sandbox/crusoe/trips/0123456789abcdef/").content
    send(changed(("title",)))
    answer = Client().get(reverse("sandbox:crusoe_trip", args=[crusoe.received()[0].id]))
    assert answer.status_code == 404


def test_only_post_creates():
    """The endpoint answers a GET with 405."""
    assert Client().get(CREATE).status_code == 405


@pytest.mark.django_db
class TestConsole:
    @pytest.fixture
    def staff(self):
        client = Client()
        client.force_login(get_user_model().objects.create_user("ana", is_staff=True, is_superuser=True))
        return client

    def test_staff_switch_faults(self, staff):
        """A button of the console switches a fault on, and the console's context tells which."""
        answer = staff.post(reverse("sandbox:crusoe_fault"), {"fault": "field_error", "field": "currency"})
        assert answer.status_code == 302
        assert crusoe.faults() == crusoe.Faults(Fault.FIELD_ERROR, "currency")
        assert crusoe.console_context()["crusoe_fault"] == "field_error"
        staff.post(reverse("sandbox:crusoe_fault"), {"fault": "no such fault"})
        assert crusoe.faults().kind is Fault.NONE

    def test_visitors_and_customers_switch_nothing(self):
        """The switch sends a visitor to the login and refuses a person who is not staff."""
        client = Client()
        assert client.post(reverse("sandbox:crusoe_fault"), {"fault": "error_500"}).status_code == 302
        client.force_login(get_user_model().objects.create_user("bob"))
        assert client.post(reverse("sandbox:crusoe_fault"), {"fault": "error_500"}).status_code == 403
        assert crusoe.faults().kind is Fault.NONE

    def test_the_received_document_is_shown_to_staff(self, staff):
        """What was received can be read as it came; strangers cannot read it."""
        send()
        address = reverse("sandbox:crusoe_document", args=[crusoe.received()[0].id])
        assert staff.get(address).json() == SAMPLE
        assert Client().get(address).status_code == 302
        assert staff.get(reverse("sandbox:crusoe_document", args=["none"])).status_code == 404

    def test_the_console_lists_what_came_in(self, rf, staff):
        """The partial renders the received trips with title, outcome and links, and the empty list says what to do."""
        from django.template.loader import render_to_string

        request = rf.get("/")
        assert "Nothing received yet" in render_to_string(
            "sandbox/_crusoe.html", {**crusoe.console_context(), "disturbs_itineraries": True}, request
        )
        send()
        send(changed(("title",)))
        page = render_to_string(
            "sandbox/_crusoe.html", {**crusoe.console_context(), "disturbs_itineraries": True}, request
        )
        assert "Trip to Barcelona" in page
        assert "Refused: validation" in page
        assert page.count("/sandbox/crusoe/trips/") == 1


def test_amounts_and_lengths_are_written_for_people():
    """Whole amounts have no decimals, others two; lengths are hours and minutes."""
    assert [money(70, "EUR"), money(13.5, "EUR"), money(1250.0, "USD")] == ["70 EUR", "13.50 EUR", "1,250 USD"]
    assert [duration_text(s) for s in (0, 3000, 7200, 19200)] == ["0 min", "50 min", "2 h", "5 h 20 min"]
