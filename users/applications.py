"""What ``s_user/new`` of CityTrips' specification carries, read without trust and without the database.

Only ``terms_accepted`` and ``email`` are required. Whatever else is odd is left out and *flagged* for staff, and the
account is made all the same. The password is not even looked at.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import phonenumbers
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils import timezone

from users import timestamps
from users.countries import country_code, zones_of
from users.identity_images import Picture, Unreadable, picture_read
from users.models import email_key
from users.national_ids import national_id_fits, national_id_key

TEXTS: Final[Mapping[str, int]] = {
    "username": 150,
    "firstname": 150,
    "lastname": 150,
    "nif": 64,
    "zipcode": 20,
    "city": 100,
    "country": 100,
    "address": 300,
    "driver_license_number": 64,
}
"""The optional texts, and how many characters of each are kept."""

IMAGES: Final = ("nif_front_img", "nif_back_img", "license_front_img", "license_back_img")
_PLAUSIBLE: Final = {
    "birthdate": timestamps.birth_is_plausible,
    "license_expiration": timestamps.expiry_is_plausible,
}
_LONGEST_EMAIL: Final = 254
_LARGEST_NUMBER: Final = 10**20
# Of a huge text only so much of the beginning is read at all.
_LOOKED_AT: Final = 4000


@dataclass(frozen=True, slots=True)
class Flag:
    """Something odd about a property of the message, for staff: its name there, and what is odd (a stable code)."""

    name: str
    code: str

    def __str__(self) -> str:
        return f"{self.name}:{self.code}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no account is linked: ``reason`` is for CityTrips, in English and without personal data.

    ``username`` and ``email`` are what CityTrips sent, by which it knows whom the answer is about. ``needs_staff`` says
    that only people can bring it to an end, and ``user_id`` which account stands in the way, where one does.
    """

    reason: str
    username: str = field(default="", repr=False)
    email: str = field(default="", repr=False)
    needs_staff: bool = False
    user_id: int | None = None


@dataclass(frozen=True, slots=True)
class Application:
    """One request for an account, as it was understood. ``sent`` holds each property as it came, cut to its length.

    ``digest`` is the same for the same request, whatever password it carries. ``phone`` is E.164, ``country_code`` an
    ISO code; what is unknown is empty or None.
    """

    email: str = field(repr=False)
    username: str = field(repr=False)
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    national_id: str | None = field(repr=False)
    phone: str = field(repr=False)
    birth_date: date | None = field(repr=False)
    zip_code: str = field(repr=False)
    city: str = field(repr=False)
    country: str = field(repr=False)
    country_code: str = field(repr=False)
    address: str = field(repr=False)
    licence_number: str = field(repr=False)
    licence_expires_on: date | None = field(repr=False)
    pictures: Mapping[str, Picture] = field(repr=False)
    sent: Mapping[str, str] = field(repr=False)
    flags: tuple[Flag, ...]
    digest: str


def read(payload: object) -> Application | Refusal:
    """The application in a payload of ``s_user/new``; never raises over what stands in it.

    Identity images are decoded in processes of their own, one after the other: up to some seconds. No database.
    """
    if not isinstance(payload, dict):
        return Refusal("the payload must be an object")
    return _Reader({str(name): value for name, value in payload.items()}).read()


def sent_names(payload: object) -> tuple[str, str]:
    """The user name and the e-mail address in a payload, by which CityTrips knows whom an answer is about.

    Cleaned and cut, so that they can be stored and sent; empty for none, and for what is no text.
    """
    sent = payload if isinstance(payload, Mapping) else {}
    username, email = _as_text(sent.get("username")) or "", sent.get("email")
    return (
        _cleaned(username)[: TEXTS["username"]].strip(),
        _cleaned(email)[:_LONGEST_EMAIL] if isinstance(email, str) else "",
    )


class _Reader:
    def __init__(self, payload: Mapping[str, object]) -> None:
        self._payload = payload
        self._flags: list[Flag] = []
        self._sent: dict[str, str] = {}

    def read(self) -> Application | Refusal:
        email = self._payload.get("email")
        named = sent_names(self._payload)
        texts = {name: self._text(name, limit) for name, limit in TEXTS.items()}
        if self._payload.get("terms_accepted") is not True:
            return Refusal("terms_accepted must be true", *named)
        if email is None or email == "":
            return Refusal("email is required", *named)
        if not isinstance(email, str) or not _is_address(email.strip()):
            return Refusal("email is not a usable e-mail address", *named)
        self._sent["email"] = email.strip()
        country = self._country(texts["country"])
        dates = self._dates()
        phone = self._phone(country)
        national_id = self._national_id(texts["nif"], country)
        pictures = self._pictures()
        return Application(
            email=email.strip(),
            username=texts["username"],
            first_name=texts["firstname"],
            last_name=texts["lastname"],
            national_id=national_id,
            phone=phone,
            birth_date=dates.get("birthdate"),
            zip_code=texts["zipcode"],
            city=texts["city"],
            country=texts["country"],
            country_code=country,
            address=texts["address"],
            licence_number=texts["driver_license_number"],
            licence_expires_on=dates.get("license_expiration"),
            pictures=pictures,
            sent=dict(self._sent),
            flags=tuple(self._flags),
            digest=self._digest(),
        )

    def _flag(self, name: str, code: str) -> None:
        self._flags.append(Flag(name, code))

    def _note(self, name: str, value: object, limit: int) -> str:
        """Keep what came under this name, and return it as text; empty for none and for what is no text at all."""
        if value is None or value == "":
            return ""
        text = _as_text(value)
        if text is None:
            self._flag(name, "wrong_type")
            return ""
        cleaned = _cleaned(text)
        if len(cleaned) < len(text[:_LOOKED_AT].strip()):
            self._flag(name, "odd_characters")
        if len(cleaned) > limit:
            self._flag(name, "too_long")
            cleaned = cleaned[:limit].strip()
        self._sent[name] = cleaned
        return cleaned

    def _text(self, name: str, limit: int) -> str:
        return self._note(name, self._payload.get(name), limit)

    def _country(self, text: str) -> str:
        code = country_code(text)
        if text and not code:
            self._flag("country", "unknown_country")
        return code

    def _national_id(self, text: str, country: str) -> str | None:
        key = national_id_key(text)
        if text and key is None:
            self._flag("nif", "no_id")
        elif text and not national_id_fits(text, country):
            self._flag("nif", "malformed")
        return key

    # --- Numbers -------------------------------------------------------------------------------------------------

    def _phone(self, country: str) -> str:
        """In E.164: with the country's own prefix, else as a number that begins with one."""
        text = self._text("phone", 40)
        digits = text.removesuffix(".0")
        if not digits or digits.strip("0") == "":
            return ""
        abroad = re.sub(r"\A(?:\+|00)?", "+", digits)
        for candidate, region in ((digits, country or None), (abroad, None)) if not digits.startswith("-") else ():
            try:
                number = phonenumbers.parse(candidate, region)
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_valid_number(number):
                return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        self._flag("phone", "unreadable")
        return ""

    def _dates(self) -> dict[str, date | None]:
        today = timezone.now().date()
        for name in _PLAUSIBLE:
            text = self._text(name, 40)
            if text and _number(text) is None:
                self._flag(name, "unreadable")
        found = dates_in(self._sent, today=today)
        for name, day in found.items():
            if day is None:
                self._flag(name, "implausible")
        expiry = found.get("license_expiration")
        if expiry is not None and expiry < today:
            self._flag("license_expiration", "expired")
        return found

    # --- Images --------------------------------------------------------------------------------------------------

    def _pictures(self) -> dict[str, Picture]:
        pictures = {}
        for name in IMAGES:
            value = self._payload.get(name)
            if value is None or value == "":
                continue
            if not isinstance(value, str):
                self._flag(name, "wrong_type")
                continue
            try:
                pictures[name] = picture_read(value)
            except Unreadable as error:
                self._flag(name, error.code)
                if error.code == "text":
                    self._note(name, value, 500)
        return pictures

    def _digest(self) -> str:
        images = {name: value for name in IMAGES if isinstance(value := self._payload.get(name), str)}
        hashes = {name: hashlib.sha256(_encoded(text)).hexdigest() for name, text in images.items()}
        return hashlib.sha256(_encoded(json.dumps([self._sent, hashes], sort_keys=True))).hexdigest()


def dates_in(sent: Mapping[str, str], *, today: date) -> dict[str, date | None]:
    """The birth date and the licence's expiry among what was sent, in one unit for both (CITYTRIPS_TIMESTAMPS).

    None is what makes no sense; what is missing or no timestamp is left out.
    """
    asked: dict[str, timestamps.Asked] = {}
    for name, plausible in _PLAUSIBLE.items():
        if (number := _number(sent.get(name, ""))) is not None:
            asked[name] = timestamps.Asked(number, plausible)
    country = country_code(sent.get("country", ""))
    zones = zones_of(country) or zones_of("")
    return timestamps.dates_of(asked, unit=settings.CITYTRIPS_TIMESTAMPS, zones=zones, today=today)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_address(text: str) -> bool:
    # Lower case, in which the domain is kept, may be longer.
    if max(len(text), len(text.lower())) > _LONGEST_EMAIL or text != _cleaned(text):
        return False
    try:
        validate_email(text)
    except ValidationError:
        return False
    # Some single characters fold into many, and some into blanks.
    key = email_key(text) or ""
    return 0 < len(key) <= 320 and " " not in key


def _as_text(value: object) -> str | None:
    """Text, or a number as a person would write it; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not abs(value) < _LARGEST_NUMBER:  # nor NaN, which compares as false
        return None
    return str(int(value)) if value == int(value) else repr(value)


def _number(text: str) -> float | None:
    """A timestamp in its own spelling; None for anything else."""
    return float(text) if re.fullmatch(r"-?\d{1,20}(\.\d{1,20})?", text, re.ASCII) else None


def _cleaned(text: str) -> str:
    """Without what no database or page takes: control characters, lone surrogates, and blanks at the ends.

    Line breaks and tabs become blanks.
    """
    kept = (" " if one in "\r\n\t" else one for one in text[:_LOOKED_AT] if one in "\r\n\t" or _is_printable(one))
    return "".join(kept).strip()


def _is_printable(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs", "Cn", "Co")
