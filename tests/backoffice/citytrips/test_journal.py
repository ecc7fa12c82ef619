"""What the journal keeps of a message, and what it never lets through."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backoffice.citytrips import journal

WIRE = Path(__file__).parents[2] / "wire"
KEY = "canary-key 7f"
PASSWORD = "canaryPassword"
SENTENCE = st.lists(
    st.sampled_from(["the", "vehicle", "was", "refused:", "key", "of", "v-12", "(", "é", ""]), max_size=8
)


def payload_of(name: str) -> object:
    return json.loads((WIRE / f"citytrips_{name}.json").read_text())["payload"]


# --- Bodies ---


def test_an_application_leaves_its_field_names() -> None:
    """Of ``s_user/new`` stay which fields were there, the terms and the country: none of the values."""
    body = journal.body("s_user/new", payload_of("user_new"))
    assert body == {"fields": sorted(journal.USER_FIELDS), "terms_accepted": True}
    assert journal.body("s_user/new", {"terms_accepted": "yes", "country": "Chile", "nickname": "x"}) == {
        "fields": ["country", "terms_accepted"],
        "country": "Chile",
    }


@pytest.mark.parametrize("country", ["12.345.678-5", "ana@example.com", "A name", 34, ["Chile"], None, "CHILE12"])
def test_a_country_that_is_none_is_left_out(country: object) -> None:
    """Somebody may have put something else there."""
    assert "country" not in journal.body("s_user/new", {"country": country})


def test_vehicles_are_counted() -> None:
    """A list of vehicles leaves its length, a request for one its reason."""
    assert journal.body("s_vehicle/full", payload_of("vehicle_full")) == {"vehicles": 1}
    assert journal.body("s_vehicle/full_request", {"reason": "I forgot"}) == {"reason": "I forgot"}
    assert journal.body("s_vehicle/full_request", None) == {}


def test_credentials_leave_nothing() -> None:
    """Of ``s_ext/authenticate`` nothing stays, of an error its reason."""
    assert journal.body("s_ext/authenticate", {"clientId": KEY, "apiKey": KEY}) == {}
    assert journal.body("s_ext/error", {"reason": f"no such key {KEY}!", "x": KEY}, secrets=[KEY]) == {
        "reason": "no such key […]!"
    }


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        ({"nif": "1", "b": 2}, {"type": "object", "members": 2}),
        ([1, 2, 3], {"type": "array", "members": 3}),
        ("12345678Z", {"type": "string"}),
        (12345678, {"type": "number"}),
        (True, {"type": "boolean"}),
        (None, {"type": "null"}),
    ],
)
def test_an_unknown_command_leaves_its_shape(payload: object, kept: object) -> None:
    """Nobody knows yet what will stand in there."""
    assert journal.body("s_user/reserve", payload) == kept


def test_a_known_command_with_another_payload_leaves_its_shape() -> None:
    """Neither does a payload that is not what the command takes."""
    assert journal.body("s_user/new", [PASSWORD]) == {"type": "array", "members": 1}
    assert journal.body("s_ext/error", PASSWORD) == {"type": "string"}
    assert journal.body("s_vehicle/full", {"id": PASSWORD}) == {}


# --- Names of commands ---


@pytest.mark.parametrize("name", ["s_user/new", "s_vehicle/full_request", "s_ext/auth_succesful", "a/b/c"])
def test_a_name_of_the_protocol_stays(name: str) -> None:
    assert journal.clean_command(name) == name


@pytest.mark.parametrize(
    "name", ["", "password", "12345678Z", "s_user/12345678", "s_user/New", "ana@example.com", "s_/" + "a" * 60, "a/\n"]
)
def test_any_other_name_does_not(name: str) -> None:
    """A command is the peer's text, so it may be a datum as well."""
    assert journal.clean_command(name) == "(unnamed)"


# --- Reasons ---


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("vehicle v-12 has no plate", "vehicle v-12 has no plate"),
        ("battery 130 is not within 0 to 100", "battery 130 is not within 0 to 100"),
        ("user ana@example.com exists", "user […] exists"),
        ("nif 12345678Z, X1234567L and 12.345.678-5 exist", "nif […] […] and […] exist"),
        ("call +34 600 12 34 56 or (600)123456", "call […] or […]"),
        ("image iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ was odd", "image […] was odd"),
        ("１２３４５６７８", "[…]"),
        ("a\x00b\x1b[31m\u200bc\td", "ab[31mc d"),
        ("the key CANARY-KEY 7F is wrong", "the key […] is wrong"),
        ("what of canary-ke", "what of […]"),
        ("", ""),
    ],
)
def test_what_is_cut_out_of_a_reason(text: str, clean: str) -> None:
    """Numbers of people, addresses, long tokens and our own secrets; what says what is wrong stays."""
    assert journal.clean_reason(text, [KEY]) == clean


def test_a_reason_has_its_length() -> None:
    """At most 500 characters; one that may have been cut before it came loses its last word."""
    assert len(journal.clean_reason("word " * 1000)) <= 500
    assert journal.clean_reason("word " * 98 + "1234561234").endswith("word […]")
    assert "123456" not in journal.clean_reason("word " * 98 + "no. 123456")


def canaries() -> st.SearchStrategy[str]:
    """What must never be seen: ids, phones, addresses, images, keys, each in several spellings."""
    digits = st.text("0123456789", min_size=8, max_size=8)
    dotted = digits.map(lambda d: f"{d[:2]}.{d[2:5]}.{d[5:]}-K")
    spaced = digits.map(lambda d: f"+56 9 {d[:4]} {d[4:]}")
    mail = st.from_regex(r"[a-z]{3,9}\.[a-z]{3,9}@[a-z]{3,9}\.example", fullmatch=True)
    image = st.binary(min_size=60, max_size=300).map(lambda data: base64.b64encode(data).decode())
    return st.one_of(digits.map(lambda d: d + "Z"), digits.map(lambda d: "X-" + d), dotted, spaced, mail, image)


@given(before=SENTENCE, canary=canaries(), after=SENTENCE, glue=st.sampled_from([" ", "=", ": ", "'", ", ", "\n", "["]))
@example(before=["the"] * 120, canary="12.345.678-K", after=[], glue=" ")
def test_no_datum_comes_out_of_a_reason(before: list[str], canary: str, after: list[str], glue: str) -> None:
    """Wherever it stands and whatever it is glued to."""
    clean = journal.clean_reason(f"{' '.join(before)}{glue}{canary}{glue}{' '.join(after)}")
    assert canary not in clean
    assert not any(part in clean for part in canary.replace("+56 9", "").split() if len(part) >= 4)
    assert len(clean) <= 500
    assert clean.isprintable()


@given(text=st.text(max_size=700), secret=st.text("abcdefXYZ019-", min_size=8, max_size=36), at=st.integers(0, 700))
def test_no_secret_comes_out_of_a_reason(text: str, secret: str, at: int) -> None:
    """Neither whole, nor cut at 500 characters on its way here."""
    planted = text[:at] + secret + text[at:]
    for arrived in (planted, planted[:500]):
        clean = journal.clean_reason(arrived, [secret])
        assert secret.casefold() not in clean.casefold()


values = st.recursive(
    st.sampled_from([PASSWORD, KEY, "12345678Z", "ana@example.com", 12345678, 0.5, None, True]),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from([PASSWORD, KEY]), inner)),
    max_leaves=20,
)
commands = st.sampled_from(["s_user/new", "s_user/other", "s_vehicle/full", "s_ext/authenticate", "s_ext/auth_error"])


@given(
    command=commands,
    payload=st.one_of(values, st.dictionaries(st.sampled_from([*sorted(journal.USER_FIELDS), "x", KEY]), values)),
)
def test_no_value_comes_out_of_a_body(command: str, payload: object) -> None:
    """Whatever a payload holds, at whatever depth and under whatever name: none of it is kept."""
    kept = json.dumps(journal.body(command, payload, secrets=[KEY]))
    for canary in (PASSWORD, KEY, "12345678", "example.com"):
        assert canary not in kept
