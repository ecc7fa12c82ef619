"""National ids, in the one form in which they are compared. Pure: no I/O."""

from __future__ import annotations

import re
import unicodedata

from stdnum.cl import rut
from stdnum.es import nif

LONGEST = 32
# Fewer characters, none that is a digit, or one digit throughout: what people type who have none, or do not want to say.
_SHORTEST = 5


def _bare(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text[:200]).upper()
    return "".join(character for character in folded if character.isascii() and character.isalnum())


def _spanish(bare: str) -> str | None:
    """A NIF (a DNI, an NIE or a company's), with the zeros before a short DNI that people leave out."""
    short = re.fullmatch(r"(\d{1,7})([A-Z])", bare)
    padded = f"{short[1]:0>8}{short[2]}" if short and len(bare) >= _SHORTEST else bare
    return str(nif.compact(padded)) if nif.is_valid(padded) else None


def _chilean(bare: str) -> str | None:
    """A RUT, without the zeros that some programs put before it."""
    stripped = bare.removeprefix("CL").lstrip("0")
    return str(rut.compact(stripped)) if rut.is_valid(stripped) else None


def national_id_key(text: str) -> str | None:
    """The form in which two national ids are compared; None for none.

    A Spanish NIF or NIE and a Chilean RUT that validate lose their separators, padding and country code; of anything else
    the letters (in upper case) and digits remain. What can be nobody's id ("-", "N/A", "0000000") is none: two people
    who wrote the same of these are not one.

    >>> national_id_key("12.345.678-z"), national_id_key("12.345.678-5"), national_id_key("n/a")
    ('12345678Z', '123456785', None)
    """
    bare = _bare(text)
    if known := _spanish(bare) or _chilean(bare):
        return None if _is_filler(known) else known
    return None if _is_filler(bare) or len(bare) > LONGEST else bare


def _is_filler(bare: str) -> bool:
    digits = [character for character in bare if character.isdigit()]
    return len(bare) < _SHORTEST or not digits or len(set(bare)) == 1 or set(digits) == {"0"}


def national_id_fits(text: str, country: str) -> bool:
    """Whether an id is well-formed for a country by its ISO code; True where its rules are not known here."""
    bare = _bare(text)
    match country:
        case "ES":
            return _spanish(bare) is not None
        case "CL":
            return _chilean(bare) is not None
    return True
