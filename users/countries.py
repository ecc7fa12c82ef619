"""Countries that people write, as ISO codes, and the time zones in them. Pure: no I/O."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from babel import Locale
from babel.core import get_global

# Those that CityTrips serves; what a country that was not told can be.
SERVED = ("ES", "CL", "AU")
_ISO_3 = {"esp": "ES", "chl": "CL", "aus": "AU"}


def _key(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text[:100].casefold())
    return "".join(character for character in decomposed if character.isalnum())


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    codes = dict(_ISO_3)
    for language in ("en", "es", "ca", "pt", "fr", "de", "it"):
        for code, name in Locale(language).territories.items():
            if len(code) == 2 and code.isalpha() and code not in ("EU", "EZ", "UN", "XA", "XB", "ZZ"):
                codes.setdefault(_key(name), code)
                codes.setdefault(code.lower(), code)
    return codes


def country_code(text: str) -> str:
    """The ISO code of the country that ``text`` means (a name in several languages, or a code); empty for none.

    >>> country_code("ESPAÑA"), country_code("cl"), country_code("Spian")
    ('ES', 'CL', '')
    """
    return _codes().get(_key(text), "")


def zones_of(country: str) -> tuple[str, ...]:
    """The IANA zones of a country by its ISO code; those of all served countries where it is not known."""
    if country:
        return tuple(get_global("territory_zones").get(country, ()))
    return tuple(zone for one in SERVED for zone in zones_of(one))
