"""The messages of CityTrips' API, as values and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backoffice.citytrips import messages
from backoffice.citytrips.errors import MessageError

WIRE = Path(__file__).parents[2] / "wire"


def wire(name: str) -> str:
    return (WIRE / f"citytrips_{name}.json").read_text()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("must_authenticate", messages.MustAuthenticate("string")),
        ("auth_succesful", messages.AuthenticationSucceeded()),
        ("auth_error", messages.AuthenticationFailed("string")),
        ("error", messages.Objection("string")),
        ("full_request", messages.FullRequest("string")),
    ],
)
def test_the_specifications_examples_are_read(name: str, expected: object) -> None:
    """Each message of the specification that we receive becomes its value."""
    assert messages.decode(wire(name)) == expected


def test_a_command_of_others_keeps_its_payload() -> None:
    """A command that is no part of the session comes through whole, for its handler."""
    message = messages.decode(wire("user_new"))
    assert isinstance(message, messages.OtherCommand)
    assert message.command == "s_user/new"
    assert message.payload == json.loads(wire("user_new"))["payload"]


@pytest.mark.parametrize("payload", ['"payload": null', '"payload": ""', '"payload": {"more": 1}', '"more": 1'])
def test_success_is_read_with_any_payload(payload: str) -> None:
    """Success comes with null, an empty text, more than is documented, or no payload."""
    text = f'{{"command": "s_ext/auth_succesful", {payload}}}'
    assert messages.decode(text) == messages.AuthenticationSucceeded()


@pytest.mark.parametrize("payload", ["null", "[]", '"x"', "{}", '{"reason": 4}', '{"reason": null, "more": [1]}'])
def test_a_command_counts_though_its_reason_does_not(payload: str) -> None:
    """A reason that is no text is left out, and the command is obeyed all the same."""
    text = f'{{"command": "s_ext/must_authenticate", "payload": {payload}}}'
    assert messages.decode(text) == messages.MustAuthenticate("")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ("", ""),
        ("{", ""),
        ("[]", ""),
        ("3", ""),
        ("null", ""),
        (b"{}", ""),
        ('{"command": "x", "payload": NaN}', ""),
        ('{"command": "x", "payload": -Infinity}', ""),
        ('{"command": "x", "payload": ' + "[" * 100_000 + "]" * 100_000 + "}", ""),
        ('{"command": "x", "payload": ' + "9" * 5000 + "}", ""),
        ("{}", "command"),
        ('{"command": 3}', "command"),
        ('{"command": ""}', "command"),
        ('{"command": null, "payload": 1}', "command"),
    ],
)
def test_what_is_no_message_is_refused_with_its_field(data: str | bytes, field: str) -> None:
    """Whatever breaks the message structure raises one kind of error, which names the field and repeats no value."""
    with pytest.raises(MessageError) as refused:
        messages.decode(data)
    assert refused.value.field == field


@pytest.mark.parametrize("command", [messages.VEHICLES_FULL, messages.VEHICLES_INCREMENTAL])
def test_the_specifications_examples_are_written(command: str) -> None:
    """What we send is the specification's examples, property by property."""
    part = messages.vehicles_part([messages.vehicle("string", 0, "string", "Chile", "string", 0, 0)])
    text = messages.vehicles_begin(command) + part + messages.VEHICLES_END
    assert json.loads(text) == json.loads(wire(command.removeprefix("s_").replace("/", "_")))


def test_authentication_is_written_as_in_the_specification() -> None:
    """The key and the client's id stand where the text puts them."""
    text = messages.authenticate("730f8a96-a92c-4a74-8ce0-e7e4cdfff5ad", "a9eb2bc7-ab7b-40ed-ba01-0238f4b79e13")
    assert json.loads(text) == json.loads(wire("authenticate"))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": ""}, "id"),
        ({"battery": 101}, "battery"),
        ({"battery": -1}, "battery"),
        ({"country": "Peru"}, "country"),
        ({"latitude": float("nan")}, "location"),
        ({"longitude": float("inf")}, "location"),
    ],
)
def test_no_vehicle_outside_the_specification_is_made(change: dict[str, object], field: str) -> None:
    """A vehicle that CityTrips would object to cannot be written; the error names the field."""
    values: dict[str, object] = {
        "id": "a", "battery": 1, "plate": "p", "country": "Spain", "city": "c", "latitude": 1, "longitude": 2,
    }  # fmt: skip
    with pytest.raises(MessageError) as refused:
        messages.vehicle(**{**values, **change})  # type: ignore[arg-type]
    assert refused.value.field == field
