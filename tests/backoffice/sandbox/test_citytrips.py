"""CityTrips, simulated: what it answers, what it holds, and who may look."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.test import Client

from backoffice.asgi import application
from backoffice.sandbox import views
from backoffice.sandbox.citytrips import Line, Partner
from tests.backoffice.serving import serving, until
from users.services import user_create

WIRE = Path(__file__).parents[2] / "wire"


def wire(name: str) -> str:
    return (WIRE / f"citytrips_{name}.json").read_text()


class Wire:
    """A partner with one line; what the partner says is kept."""

    def __init__(self) -> None:
        self.partner = Partner()
        self.said: list[dict[str, Any]] = []
        self.dropped = 0
        self.line = Line(say=lambda text: self.said.append(json.loads(text)), drop=self.drop)
        self.partner.connect(self.line)

    def drop(self) -> None:
        self.dropped += 1

    def send(self, text: str | bytes) -> list[dict[str, Any]]:
        return [json.loads(reply) for reply in self.partner.receive(self.line, text)]

    def authenticate(self) -> None:
        self.send(wire("authenticate"))


def vehicles(command: str, *ids: str, **change: object) -> str:
    row = {
        "battery": 80, "plate": "1234 BCD", "country": "Spain", "city": "Madrid",
        "location": {"latitude": 40.4, "longitude": -3.7},
    }  # fmt: skip
    return json.dumps({"command": command, "payload": [{"id": one, **row, **change} for one in ids]})


def test_authentication_is_answered_and_a_full_asked_for() -> None:
    """Any credentials are good; success is spelled as the specification spells it, and a full is asked for."""
    first, second = Wire().send(wire("authenticate"))
    assert first == json.loads(wire("auth_succesful"))
    assert second["command"] == "s_vehicle/full_request"


@pytest.mark.parametrize(
    "payload", [{}, None, [], {"clientId": "a"}, {"clientId": "", "apiKey": "b"}, {"clientId": 1, "apiKey": 2}]
)
def test_credentials_that_are_none_are_refused(payload: object) -> None:
    """Without a client id and a key there is no authentication."""
    (answer,) = Wire().send(json.dumps({"command": "s_ext/authenticate", "payload": payload}))
    assert answer["command"] == "s_ext/auth_error"


def test_nothing_is_taken_before_authentication() -> None:
    """Whoever sends vehicles without being authenticated is asked to authenticate, and nothing is held."""
    wire_ = Wire()
    (answer,) = wire_.send(wire("vehicle_full"))
    assert answer["command"] == "s_ext/must_authenticate"
    assert wire_.partner.find("") == []


def test_a_full_replaces_and_an_incremental_adds() -> None:
    """After a full only its vehicles are held; an incremental changes and adds, and removes none."""
    wire_ = Wire()
    wire_.authenticate()
    assert wire_.send(vehicles("s_vehicle/full", "a", "b")) == []
    assert wire_.send(vehicles("s_vehicle/incremental", "b", "c", battery=7)) == []
    assert {held.id: held.data["battery"] for held in wire_.partner.find("")} == {"a": 80, "b": 7, "c": 7}
    wire_.send(vehicles("s_vehicle/full", "c"))
    assert [held.id for held in wire_.partner.find("")] == ["c"]


def test_the_specifications_own_examples_are_taken() -> None:
    """The specification's examples of what an operator sends pass."""
    wire_ = Wire()
    wire_.authenticate()
    assert wire_.send(wire("vehicle_full")) == []
    assert wire_.send(wire("vehicle_incremental")) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"battery": 101}, "payload[0].battery"),
        ({"battery": 50.5}, "payload[0].battery"),
        ({"battery": True}, "payload[0].battery"),
        ({"battery": None}, "payload[0].battery"),
        ({"country": "Peru"}, "payload[0].country"),
        ({"plate": 1}, "payload[0].plate"),
        ({"location": {"latitude": "40"}}, "payload[0].location.latitude"),
        ({"location": None}, "payload[0].location.latitude"),
    ],
)
def test_a_vehicle_that_breaks_the_schema_is_objected_to(change: dict[str, object], where: str) -> None:
    """A value outside the specification brings an error that says where, and nothing of that message is held."""
    wire_ = Wire()
    wire_.authenticate()
    (answer,) = wire_.send(vehicles("s_vehicle/full", "a", **change))
    assert answer["command"] == "s_ext/error"
    assert answer["payload"]["reason"].startswith(where)
    assert wire_.partner.find("") == []


HALF_A_PAIR = r'{"command": "s_vehicle/full", "payload": [{"id": "\ud800"}]}'


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", b"{}", '{"command": 1}', "[" * 100_000, r'{"command": "\ud800"}', HALF_A_PAIR],
)
def test_what_is_no_message_is_objected_to(text: str | bytes) -> None:
    """Rubbish brings an error and nothing worse."""
    (answer,) = Wire().send(text)
    assert answer["command"] == "s_ext/error"


def test_half_a_surrogate_pair_is_neither_held_nor_kept() -> None:
    """It could be shown on no page: neither as a command, which anybody may send, nor within a vehicle."""
    wire_ = Wire()
    wire_.authenticate()
    for text in (HALF_A_PAIR, r'{"command": "\udfff"}'):
        assert wire_.send(text)[0]["payload"]["reason"] == "not valid JSON"
    assert wire_.partner.find("") == []
    "".join(message.command + message.note for message in wire_.partner.messages()).encode()
    assert wire_.send(r'{"command": "s_vehicle/full", "payload": [], "x": "\ud83d\ude97"}') == []


def test_staff_can_make_it_misbehave() -> None:
    """Each button does what it says."""
    wire_ = Wire()
    wire_.authenticate()
    wire_.partner.ask_for_full()
    wire_.partner.object()
    wire_.partner.create_user()
    wire_.partner.drop_lines()
    wire_.partner.demand_authentication()
    assert [message["command"] for message in wire_.said] == [
        "s_vehicle/full_request",
        "s_ext/error",
        "s_user/new",
        "s_ext/must_authenticate",
    ]
    assert wire_.dropped == 1
    assert wire_.send(wire("vehicle_full"))[0]["command"] == "s_ext/must_authenticate"
    wire_.partner.refuse()
    assert wire_.send(wire("authenticate"))[0]["command"] == "s_ext/auth_error"
    wire_.partner.accept()
    assert wire_.send(wire("authenticate"))[0]["command"] == "s_ext/auth_succesful"


def test_the_next_send_can_be_objected_to() -> None:
    """One send is answered with an error and not held; the one after that is taken as ever."""
    wire_ = Wire()
    wire_.authenticate()
    wire_.partner.object_next()
    (answer,) = wire_.send(vehicles("s_vehicle/full", "a"))
    assert answer["command"] == "s_ext/error"
    assert wire_.partner.find("") == []
    assert wire_.send(vehicles("s_vehicle/full", "a")) == []
    assert len(wire_.partner.find("")) == 1


def test_a_session_can_be_forgotten_in_silence() -> None:
    """Nothing is said until vehicles come: they are not taken, and authentication is asked for."""
    wire_ = Wire()
    wire_.authenticate()
    wire_.partner.forget()
    assert wire_.said == []
    (answer,) = wire_.send(vehicles("s_vehicle/full", "a"))
    assert answer["command"] == "s_ext/must_authenticate"


def test_what_the_operator_says_of_a_user_is_kept() -> None:
    """An id, a refusal, and how many answers to how many requests; what is about nobody is noted."""
    wire_ = Wire()
    wire_.authenticate()
    wire_.partner.flood()
    wire_.partner.create_user()
    assert len({json.dumps(message) for message in wire_.said[:-1]}) == 1
    refused, flooded = wire_.partner.users()
    for _ in range(20):
        answer = {"id": "7", "username": "lucia", "email": flooded.email}
        wire_.send(json.dumps({"command": "s_user/new", "payload": answer}))
    refusal = {"reason": "blocked", "username": "lucia", "email": refused.email}
    wire_.send(json.dumps({"command": "s_ext/error", "payload": refusal}))
    wire_.send('{"command": "s_user/new", "payload": {"id": "8", "email": "nobody@example.com"}}')
    wire_.send('{"command": "s_ext/error", "payload": {"reason": "about nothing"}}')
    wire_.send('{"command": "s_user/new", "payload": null}')
    assert (flooded.times, flooded.answers, flooded.ids, flooded.refusal) == (20, 20, ["7"], "")
    assert (refused.times, refused.answers, refused.ids, refused.refusal) == (1, 1, [], "blocked")
    notes = [message.note for message in wire_.partner.messages()[:3]]
    assert notes == ["about a user that nobody asked for", "", "about a user that nobody asked for"]


def test_a_created_user_has_the_specifications_fields() -> None:
    """The person that it makes up has exactly the properties of the specification's example, of the same types."""
    wire_ = Wire()
    wire_.partner.create_user()
    example = json.loads(wire("user_new"))["payload"]
    assert {name: type(value) for name, value in wire_.said[0]["payload"].items()} == {
        name: type(value) for name, value in example.items()
    }


def test_the_last_two_hundred_messages_are_kept() -> None:
    """Old messages go, so that a long run does not fill the memory; the count goes on."""
    wire_ = Wire()
    for _ in range(250):
        wire_.send("{")
    assert (len(wire_.partner.messages()), wire_.partner.total) == (200, 250)


def test_a_socket_without_an_origin_is_taken() -> None:
    """The route stands outside the origin check, and the line is forgotten when it ends."""

    async def talk() -> str:
        socket = WebsocketCommunicator(application, "/sandbox/citytrips/v1")
        assert (await socket.connect(timeout=20))[0]
        await socket.send_to(text_data=wire("authenticate"))
        answer = await socket.receive_from(timeout=20)
        await socket.disconnect()
        return answer

    before = len(views.partner.lines)
    assert json.loads(asyncio.run(talk()))["command"] == "s_ext/auth_succesful"
    assert len(views.partner.lines) == before


# --- The console ---


@pytest.fixture
def partner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Partner]:
    """A fresh partner behind the console."""
    fresh = Partner()
    monkeypatch.setattr(views, "partner", fresh)
    return fresh


@pytest.fixture
def staff(client: Client) -> Client:
    person = user_create(username="ana", email="ana@example.com", is_staff=True, groups=["Fleet", "Itineraries"])
    client.force_login(person, backend="users.backends.UsernameOrEmailBackend")
    return client


@pytest.mark.django_db
class TestConsole:
    paths = ("/sandbox/", "/sandbox/citytrips/")

    def test_visitors_are_sent_to_the_login(self, client: Client, partner: Partner) -> None:
        """Whoever is not logged in goes to the login, also by a button; a polling page is told to load anew."""
        for path in self.paths:
            assert client.get(path).headers["Location"].startswith("/login/")
        assert client.post("/sandbox/citytrips/full/").status_code == 302
        assert client.get("/sandbox/citytrips/", headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"

    def test_people_who_are_not_staff_are_refused(self, client: Client, partner: Partner) -> None:
        """An account without access to the admin has none to the console."""
        person = user_create(username="eva", email="eva@example.com")
        client.force_login(person, backend="users.backends.UsernameOrEmailBackend")
        assert [client.get(path).status_code for path in self.paths] == [403, 403]
        assert client.post("/sandbox/citytrips/refuse/").status_code == 403
        assert not partner.refuses

    @pytest.mark.parametrize(
        ("groups", "seen", "pressed"),
        [
            ([], {"console": 403, "part": 403, "document": 403}, {"full": 403, "fault": 403}),
            (["Viewer"], {"console": 200, "part": 200, "document": 404}, {"full": 403, "fault": 403}),
            (["Fleet"], {"console": 200, "part": 200}, {"full": 302, "fault": 403}),
            (["Itineraries"], {"console": 200, "document": 404}, {"full": 403, "fault": 302}),
        ],
    )
    def test_each_sees_and_disturbs_what_is_their_own(
        self, client: Client, partner: Partner, groups: list[str], seen: dict[str, int], pressed: dict[str, int]
    ) -> None:
        """Looking needs the permission to see what was sent, and misbehaving that to do the work it holds up."""
        person = user_create(username="eva", email="eva@example.com", is_staff=True, groups=groups)
        client.force_login(person, backend="users.backends.UsernameOrEmailBackend")
        looks = {"console": "/sandbox/", "part": "/sandbox/citytrips/", "document": "/sandbox/crusoe/received/none/"}
        buttons = {"full": "/sandbox/citytrips/full/", "fault": "/sandbox/crusoe/fault/"}
        assert {name: client.get(looks[name]).status_code for name in seen} == seen
        assert {name: client.post(buttons[name]).status_code for name in pressed} == pressed
        if seen["console"] == 200:
            page = client.get("/sandbox/").content.decode()
            assert {name: address in page for name, address in buttons.items()} == {
                name: status == 302 for name, status in pressed.items()
            }

    def test_it_shows_what_is_held(self, staff: Client, partner: Partner) -> None:
        """Staff see both partners, and the vehicles and messages of the one that is live."""
        wire_ = Wire()
        wire_.partner = partner
        wire_.authenticate()
        wire_.send(vehicles("s_vehicle/full", "ES-1", "ES-2"))
        page = staff.get("/sandbox/").content.decode()
        assert "ES-1" in page
        assert "s_vehicle/full" in page
        assert "Crusoe" in page

    def test_it_shows_what_was_said_of_each_user(self, staff: Client, partner: Partner) -> None:
        """Whoever was asked for is shown with the id that the operator returned, the refusal, or that nothing came yet."""
        wire_ = Wire()
        wire_.partner = partner
        wire_.authenticate()
        for _ in range(3):
            partner.create_user()
        _waiting, refused, made = partner.users()
        wire_.send(json.dumps({"command": "s_user/new", "payload": {"id": "id-of-lucia", "email": made.email}}))
        refusal = {"reason": "<b>blocked</b>", "email": refused.email}
        wire_.send(json.dumps({"command": "s_ext/error", "payload": refusal}))
        page = staff.get("/sandbox/citytrips/").content.decode()
        assert "<code>id-of-lucia</code>" in page
        assert "&lt;b&gt;blocked&lt;/b&gt;" in page
        assert "No answer yet" in page

    def test_vehicles_are_searched_and_paged(self, staff: Client, partner: Partner) -> None:
        """A word in the id, plate or city finds vehicles, and sixty of them take three pages."""
        wire_ = Wire()
        wire_.partner = partner
        wire_.authenticate()
        wire_.send(vehicles("s_vehicle/full", *(f"ES-{number:02}" for number in range(60))))
        assert staff.get("/sandbox/citytrips/").context["partner_page"].paginator.num_pages == 3
        assert staff.get("/sandbox/citytrips/?q=es-07").context["partner_page"].paginator.count == 1
        assert staff.get("/sandbox/citytrips/?q=madrid&page=99").context["partner_page"].number == 3
        assert "No vehicle matches" in staff.get("/sandbox/citytrips/?q=%00<b>").content.decode()

    @pytest.mark.parametrize("action", list(views._ACTIONS))
    def test_each_button_works_without_a_line(self, staff: Client, partner: Partner, action: str) -> None:
        """A button pressed while nobody is connected says so and goes back to the console."""
        answer = staff.post(f"/sandbox/citytrips/{action}/", follow=True)
        assert answer.redirect_chain == [("/sandbox/", 302)]
        assert "0 lines reached" in answer.content.decode()

    def test_buttons_take_post_only(self, staff: Client, partner: Partner) -> None:
        """A link or a prefetch makes nothing misbehave, and an unknown button is not found."""
        assert staff.get("/sandbox/citytrips/refuse/").status_code == 405
        assert staff.post("/sandbox/citytrips/nothing/").status_code == 404
        assert not partner.refuses

    def test_looking_costs_the_same_for_any_number(
        self, staff: Client, partner: Partner, django_assert_max_num_queries: Any
    ) -> None:
        """The part that is fetched every second asks the database for the session, the person and their rights alone."""
        wire_ = Wire()
        wire_.partner = partner
        wire_.authenticate()
        for size in (2, 200):
            wire_.send(vehicles("s_vehicle/full", *map(str, range(size))))
            with django_assert_max_num_queries(4):
                staff.get("/sandbox/citytrips/")


@pytest.mark.django_db(transaction=True)
def test_the_line_answers_for_each_user() -> None:
    """A user asked for twenty times over is answered with one id, and the console shows it."""
    staff = user_create(username="ana", email="ana@example.com", is_staff=True)
    with serving() as site:
        site.login(staff)
        until(lambda: "s_ext/authenticate" in site.get("/sandbox/citytrips/").text, 10)
        site.partner_does("users")
        page = until(lambda: re.search("20 / 20.*", site.get("/sandbox/citytrips/").text, re.DOTALL), 20).group()
        assert page.count("<code>") == 1
