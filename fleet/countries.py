"""Countries: how operators spell them, which of them CityTrips serves, and roughly where they lie.

The list is that of ``s_vehicle/full`` and ``s_vehicle/incremental`` in CityTrips' specification. Pure: no I/O.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from babel import Locale
from django.utils.translation import gettext

SERVED = ("Australia", "Chile", "Spain")


@dataclass(frozen=True)
class Box:
    """A rectangle in decimal degrees; both ends belong to it."""

    south: float
    north: float
    west: float
    east: float

    def holds(self, latitude: float, longitude: float) -> bool:
        return self.south <= latitude <= self.north and self.west <= longitude <= self.east


# Wide on purpose: they catch swapped and misplaced numbers, not a vehicle that has crossed a border.
BOXES = {
    "Spain": (Box(35.1, 43.9, -9.5, 4.5), Box(27.5, 29.6, -18.3, -13.3)),
    "Chile": (Box(-56.1, -17.4, -75.8, -66.3), Box(-27.3, -26.9, -109.6, -109.1), Box(-34.0, -33.4, -81.0, -78.5)),
    "Australia": (Box(-43.8, -10.0, 112.8, 153.9), Box(-31.9, -31.4, 158.9, 159.3), Box(-29.2, -28.8, 167.8, 168.1)),
}
_ISO_3 = {"esp": "Spain", "chl": "Chile", "aus": "Australia"}


def _key(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(character for character in decomposed if character.isalnum())


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    english = Locale("en").territories
    names = dict(_ISO_3)
    for language in ("en", "es", "fr", "de", "it", "pt", "ca"):
        for code, name in Locale(language).territories.items():
            if len(code) == 2 and code.isalpha() and code not in ("EU", "EZ", "UN", "ZZ", "XA", "XB"):
                names.setdefault(_key(name), english[code])
                names.setdefault(code.lower(), english[code])
    return names


def country_named(text: str) -> str | None:
    """The English name of the country that ``text`` means (a name in several languages, or an ISO code), or None.

    >>> country_named("ESPAÑA"), country_named("cl"), country_named("Spian")
    ('Spain', 'Chile', None)
    """
    return _names().get(_key(text))


def country_holds(country: str, latitude: float, longitude: float) -> bool:
    """Whether a position can lie in a country. True for every country whose extent is not known here."""
    boxes = BOXES.get(country)
    return boxes is None or any(box.holds(latitude, longitude) for box in boxes)


def position_problem(country: str, latitude: float | None, longitude: float | None) -> str | None:
    """What is wrong with a position, in words; None if nothing is, or there is none."""
    if latitude is None and longitude is None:
        return None
    if latitude is None or longitude is None:
        return gettext("A position has both a latitude and a longitude.")
    if not (math.isfinite(latitude) and math.isfinite(longitude)):
        return gettext("A position is made of two ordinary numbers.")
    if latitude == 0 and longitude == 0:
        return gettext("The position 0, 0 lies in the Atlantic: it is what a device sends that knows none.")
    if not country_holds(country, latitude, longitude):
        words = {"latitude": latitude, "longitude": longitude, "country": country}
        if country_holds(country, longitude, latitude):
            return gettext("%(latitude)s, %(longitude)s is not in %(country)s: the two may be swapped.") % words
        return gettext("%(latitude)s, %(longitude)s is not in %(country)s.") % words
    return None
