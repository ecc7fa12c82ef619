"""What staff are told about a request of CityTrips: its odd values, why it was refused, and what to do."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext

from users.models import ImageKind, Obstacle


def property_label(name: str) -> str:
    """What a property of ``s_user/new`` is called, for people."""
    images = {kind.value: str(kind.label) for kind in ImageKind}
    labels = {
        "username": gettext("User name"),
        "email": gettext("E-mail address"),
        "firstname": gettext("First name"),
        "lastname": gettext("Last name"),
        "nif": gettext("National id"),
        "phone": gettext("Phone"),
        "birthdate": gettext("Birth date"),
        "zipcode": gettext("Postal code"),
        "city": gettext("City"),
        "country": gettext("Country"),
        "address": gettext("Address"),
        "driver_license_number": gettext("Driving licence"),
        "license_expiration": gettext("Licence expires on"),
        **images,
    }
    return labels.get(name, name)


def flag_words(flag: str) -> str:
    """A flag (``property:code``) as a sentence."""
    name, _colon, code = flag.partition(":")
    words = {
        "wrong_type": gettext("is of the wrong type and was left out"),
        "odd_characters": gettext("held characters that cannot be kept; they were left out"),
        "too_long": gettext("was too long and was cut"),
        "unknown_country": gettext("is no country known here"),
        "no_id": gettext("cannot be a national id; nobody is matched by it"),
        "malformed": gettext("is not well-formed for the country"),
        "unreadable": gettext("cannot be read"),
        "implausible": gettext("makes no sense, in seconds or in milliseconds"),
        "expired": gettext("is in the past"),
        "text": gettext("is a text and no picture; nothing is fetched from an address"),
        "too_large": gettext("is larger than 2 MiB and was not kept"),
        "too_many_pixels": gettext("has more than 25 megapixels and was not kept"),
        "not_kept": gettext("could not be kept: look at IDENTITY_KEYS and at the disk; sent again, it is kept"),
        "differs": gettext("differs from what is held already, which stays"),
        "matched_by_national_id": gettext("is not the person's: they were found by the national id"),
    }
    return f"{property_label(name)}: {words.get(code, code)}"


def flags_words(flags: Iterable[str]) -> list[str]:
    return [flag_words(flag) for flag in flags]


def obstacle_advice(obstacle: str) -> str:
    """What staff can do about a refusal; empty where there is nothing."""
    return {
        Obstacle.STAFF.value: gettext(
            "Somebody asked to act on behalf of a staff account. If that person rents vehicles as well, give them a second "
            "account with another address. If nobody here asked for it, tell CityTrips."
        ),
        Obstacle.BLOCKED.value: gettext(
            "Nothing was linked. Unblock the account if CityTrips may act for this person."
        ),
        Obstacle.ERASED.value: gettext(
            "Nothing was linked. If the person wants to come back, add them as a new person; then the request is accepted."
        ),
        Obstacle.TWO_PEOPLE.value: gettext(
            "Neither was linked. Find out whose address and whose national id it is, correct the person who holds the "
            "wrong one, and have CityTrips send the request again."
        ),
    }.get(obstacle, "")
