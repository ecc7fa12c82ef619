"""What a payload of ``s_user/new`` is understood as."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.users.payloads import BIRTH, EXPIRY, as_base64, data_uri, payload, png, seconds
from users.applications import IMAGES, TEXTS, Application, Refusal, read, sent_names

WIRE = Path(__file__).parents[1] / "wire" / "citytrips_user_new.json"


def understood(**values: Any) -> Application:
    found = read(payload(**values))
    assert isinstance(found, Application), found
    return found


def flags(application: Application) -> list[str]:
    return [str(flag) for flag in application.flags]


def test_a_whole_request_is_understood() -> None:
    """Every property arrives in its own type, and nothing is odd about it."""
    found = understood()
    assert flags(found) == []
    assert (found.email, found.username, found.first_name, found.last_name) == (
        "nuria@example.org",
        "nuria",
        "Núria",
        "Ferrer Pons",
    )
    assert (found.national_id, found.phone) == ("12345678Z", "+34600111222")
    assert (found.birth_date, found.licence_expires_on) == (BIRTH, EXPIRY)
    assert (found.zip_code, found.city, found.country_code) == ("08001", "Barcelona", "ES")
    assert found.licence_number == "12345678Z"


def test_the_specification_s_own_example_names_what_is_wrong() -> None:
    """Its e-mail address is the word "string"; the refusal says so."""
    found = read(json.loads(WIRE.read_text())["payload"])
    assert isinstance(found, Refusal)
    assert found.reason == "email is not a usable e-mail address"


def test_terms_and_an_address_are_enough() -> None:
    """Everything else may be absent, null or empty."""
    for nothing in (..., None, ""):
        rest = dict.fromkeys((*TEXTS, *IMAGES, "phone", "birthdate", "license_expiration", "password"), nothing)
        found = understood(**rest)
        assert flags(found) == []
        assert found.national_id is None


@pytest.mark.parametrize("accepted", [False, None, ..., 1, "true", "yes", [True], {}])
def test_terms_must_be_accepted_literally(accepted: Any) -> None:
    """Whatever only looks like true is no consent."""
    found = read(payload(terms_accepted=accepted))
    assert found == Refusal("terms_accepted must be true", "nuria", "nuria@example.org")


@pytest.mark.parametrize(
    "email",
    [
        ..., None, "", " ", "string", "a@", "a@b", 7, True, ["a@example.org"], {}, "a\0@example.org", "a@exa\ud800mple.org",
        "a@example.org\nBcc: b@example.org", f"{'a' * 300}@example.org", "x" * 1_000_000, f"a@{'ﷺ' * 40}.org",
    ],
)  # fmt: skip
def test_without_a_usable_address_the_refusal_names_it(email: Any) -> None:
    """The reason begins with the property's name, and repeats nothing of what was sent."""
    found = read(payload(email=email))
    assert isinstance(found, Refusal)
    assert found.reason.startswith("email is ")
    assert "example" not in found.reason


@pytest.mark.parametrize("odd", [None, [], "text", 7, 1e308, True])
def test_a_payload_that_is_no_object_is_refused(odd: Any) -> None:
    """There is nobody to speak of."""
    assert read(odd) == Refusal("the payload must be an object")


def test_neither_the_password_nor_what_is_undocumented_is_kept() -> None:
    """Only documented properties are kept, and of these never the password."""
    found = understood(card_number="4111111111111111")
    kept = json.dumps(dict(found.sent))
    assert "4711" not in kept
    assert "4111" not in kept
    assert "nuria" not in repr(found)


def test_the_password_makes_no_difference() -> None:
    """The same request with another password is the same request; another city makes another."""
    assert understood().digest == understood(password="another").digest
    assert understood().digest != understood(city="Reus").digest


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        (payload(), ("nuria", "nuria@example.org")),
        ({"username": " a\0b\ud800 ", "email": "x" * 400}, ("ab", "x" * 254)),
        ({"username": 7, "email": 7}, ("7", "")),
        ({"username": ["a"], "email": None}, ("", "")),
        (None, ("", "")),
        (["username"], ("", "")),
    ],
)
def test_whom_an_answer_is_about_can_always_be_said(sent: Any, named: tuple[str, str]) -> None:
    """What was sent for a name and an address, as far as it can be stored and sent back."""
    assert sent_names(sent) == named


# --- Phone -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phone", "country", "expected"),
    [
        (600111222, "Spain", "+34600111222"),
        (34600111222, "España", "+34600111222"),
        (600111222.0, "ES", "+34600111222"),
        ("+34 600 11 12 22", "", "+34600111222"),
        ("0034600111222", "", "+34600111222"),
        (34600111222, "", "+34600111222"),
        (412345678, "Australia", "+61412345678"),
        (56221234567, "Chile", "+56221234567"),
        (34600111222, "Chile", "+34600111222"),
        (0, "Spain", ""),
    ],
)
def test_a_phone_is_read_with_the_country_s_prefix(phone: Any, country: str, expected: str) -> None:
    """E.164, and no flag."""
    found = understood(phone=phone, country=country, nif="")
    assert (found.phone, flags(found)) == (expected, [])


@pytest.mark.parametrize("phone", [7, "none", -600111222, 6e30, True, [600111222]])
def test_an_impossible_phone_is_flagged(phone: Any) -> None:
    """The account is made without a number."""
    found = understood(phone=phone)
    assert found.phone == ""
    assert flags(found) in (["phone:unreadable"], ["phone:wrong_type"])


# --- Timestamps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["seconds", "milliseconds"])
def test_the_unit_is_found_for_the_whole_message(unit: str) -> None:
    """Seconds, or milliseconds where seconds make no sense."""
    times = 1 if unit == "seconds" else 1000
    found = understood(birthdate=seconds(BIRTH) * times, license_expiration=seconds(EXPIRY) * times)
    assert (found.birth_date, found.licence_expires_on, flags(found)) == (BIRTH, EXPIRY, [])


def test_one_date_tells_the_unit_of_the_other() -> None:
    """A birth in early 1970 fits both units; the expiry beside it decides."""
    early = date(1970, 1, 5)
    alone = understood(birthdate=seconds(early) * 1000, license_expiration=None)
    assert alone.birth_date != early
    both = understood(birthdate=seconds(early) * 1000, license_expiration=seconds(EXPIRY) * 1000)
    assert (both.birth_date, both.licence_expires_on) == (early, EXPIRY)


def test_a_forced_unit_is_taken_literally(settings: Any) -> None:
    """What the setting's unit makes implausible is flagged rather than guessed."""
    settings.CITYTRIPS_TIMESTAMPS = "milliseconds"
    found = understood()
    assert found.licence_expires_on == date(1970, 1, 23)
    assert "license_expiration:expired" in flags(found)
    settings.CITYTRIPS_TIMESTAMPS = "seconds"
    found = understood(birthdate=seconds(BIRTH) * 1000)
    assert (found.birth_date, found.licence_expires_on) == (None, EXPIRY)
    assert flags(found) == ["birthdate:implausible"]


def test_births_before_1970_are_negative() -> None:
    """A negative timestamp is an ordinary one."""
    old = date(1948, 12, 31)
    assert understood(birthdate=seconds(old)).birth_date == old
    assert understood(birthdate=seconds(old) * 1000, license_expiration=seconds(EXPIRY) * 1000).birth_date == old
    assert understood(birthdate=0).birth_date == date(1970, 1, 1)


@pytest.mark.parametrize(
    ("country", "zone", "day"),
    [
        ("Spain", "Europe/Madrid", date(1990, 7, 1)),
        ("Spain", "Atlantic/Canary", date(1990, 7, 1)),
        ("Chile", "America/Santiago", date(1990, 1, 31)),
        ("Australia", "Australia/Sydney", date(1990, 2, 1)),
        ("Australia", "Australia/Perth", date(1961, 3, 1)),
        ("", "Europe/Madrid", date(1990, 12, 31)),
    ],
)
def test_a_local_midnight_is_that_day(country: str, zone: str, day: date) -> None:
    """The instant at which a day begins in the person's country is that day; a second later it is the UTC date's."""
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp())
    assert understood(country=country, birthdate=midnight, nif="").birth_date == day
    later = understood(country=country, birthdate=midnight + 1, nif="").birth_date
    assert later == datetime.fromtimestamp(midnight + 1, UTC).date()


def test_a_day_without_midnight_begins_at_one() -> None:
    """In Chile clocks go forward at midnight; a program there sends the first instant that the day has."""
    first = datetime(1997, 10, 12, 3, tzinfo=ZoneInfo("America/Santiago")) - timedelta(hours=2)
    assert first.astimezone(UTC) == datetime(1997, 10, 12, 4, tzinfo=UTC)
    found = understood(country="Chile", nif="", birthdate=int(first.timestamp()))
    assert found.birth_date == date(1997, 10, 12)


@pytest.mark.parametrize("moment", [1e308, 10**30, "soon", True, {}, [0], 10**19, -(10**19), "1990-05-17"])
def test_an_impossible_date_is_flagged(moment: Any) -> None:
    """The account is made without the date."""
    found = understood(birthdate=moment)
    assert found.birth_date is None
    assert [flag.name for flag in found.flags] == ["birthdate"]
    assert found.licence_expires_on == EXPIRY


@pytest.mark.parametrize("age", [5, 13, 121, -3])
def test_nobody_of_such_an_age_drives(age: int) -> None:
    """A birth date that gives an age outside of 14 to 120 is no birth date."""
    born = date(datetime.now(UTC).year - age, 1, 1)
    assert flags(understood(birthdate=seconds(born))) == ["birthdate:implausible"]


def test_an_expired_licence_is_pointed_out() -> None:
    """It is kept, and flagged."""
    found = understood(license_expiration=seconds(date(2020, 1, 1)))
    assert (found.licence_expires_on, flags(found)) == (date(2020, 1, 1), ["license_expiration:expired"])


# --- Texts -----------------------------------------------------------------------------------------------------------


def test_numbers_stand_for_texts() -> None:
    """A postal code sent as a number is a postal code."""
    assert understood(zipcode=28001, driver_license_number=5.0).zip_code == "28001"


def test_odd_texts_are_flagged_and_made_harmless() -> None:
    """What no database takes goes, what is too long is cut, what is no text is left out."""
    found = understood(
        city="Bar\0ce\ud800lona", address="x" * 2_000_000, firstname={"a": 1}, country="Atlantis", phone=0
    )
    assert (found.city, len(found.address), found.first_name, found.country_code) == ("Barcelona", 300, "", "")
    assert sorted(flags(found)) == [
        "address:too_long",
        "city:odd_characters",
        "country:unknown_country",
        "firstname:wrong_type",
    ]
    assert understood(address="One\nTwo").address == "One Two"


@pytest.mark.parametrize(
    ("nif", "country", "key", "flagged"),
    [
        ("12.345.678-z", "Spain", "12345678Z", []),
        ("ES 12345678 Z", "Spain", "12345678Z", []),
        ("x-1234567-l", "Spain", "X1234567L", []),
        ("1234567L", "Spain", "01234567L", []),
        ("12.345.678-5", "Chile", "123456785", []),
        ("012345678-5", "Chile", "123456785", []),
        ("pa 1234567", "Australia", "PA1234567", []),
        ("12345678A", "Spain", "12345678A", ["nif:malformed"]),
        ("N/A", "Spain", None, ["nif:no_id"]),
        ("string", "Spain", None, ["nif:no_id"]),
        ("00000000", "Chile", None, ["nif:no_id"]),
        ("00000000T", "Spain", None, ["nif:no_id"]),
        ("9" * 60, "", None, ["nif:no_id"]),
        ("   ", "Spain", None, []),
        (12345678, "Chile", "12345678", ["nif:malformed"]),
    ],
)
def test_national_ids_are_compared_in_one_form(nif: Any, country: str, key: str | None, flagged: list[str]) -> None:
    """Separators, case and padding make no difference, and what is nobody's id is none."""
    found = understood(nif=nif, country=country, phone=0)
    assert (found.national_id, flags(found)) == (key, flagged)


# --- Images ----------------------------------------------------------------------------------------------------------


def test_images_are_read_from_data_uris_and_base64() -> None:
    """Both are decoded; a name or an address is kept as text, which nobody fetches."""
    found = understood(
        nif_front_img=data_uri(png()),
        nif_back_img=as_base64(png()),
        license_front_img="https://images.example.org/licence.png",
        license_back_img=["x"],
    )
    assert sorted(found.pictures) == ["nif_back_img", "nif_front_img"]
    assert found.sent["license_front_img"] == "https://images.example.org/licence.png"
    assert flags(found) == ["license_front_img:text", "license_back_img:wrong_type"]
    assert not any(as_base64(png())[:20] in value for value in found.sent.values())


# --- Anything at all -------------------------------------------------------------------------------------------------

NUMBERS = st.integers() | st.floats() | st.sampled_from([1e308, -1e308, 10**400, 0, -1])
TEXT = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(
    ["\0", "\ud800", "data:image/png;base64,x", "="]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*payload(), "other"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values=st.dictionaries(NAMES, ANYTHING), rest=st.booleans(), anything=ANYTHING)
def test_no_payload_raises(values: dict[str, Any], rest: bool, anything: Any) -> None:
    """Whatever stands where, there is an application or a refusal; what is kept can be stored and sent."""
    for asked in ({**(payload() if rest else {}), **values}, anything):
        found = read(asked)
        if isinstance(found, Refusal):
            assert found.reason.isascii()
            texts = [found.username, found.email]
        else:
            texts = [*found.sent.values(), found.email, found.username, found.address, found.phone]
            assert len(found.first_name) <= 150
        for text in texts:
            assert "\0" not in text
            text.encode()
