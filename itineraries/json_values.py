"""Which JSON can be kept: names and values that are stored and sent, and come back equal.

Python's reader and the databases are more lenient than a document may be: a NUL or half of a surrogate pair breaks a
database, NaN is no JSON, a number beyond double precision or a name that stands twice loses something silently.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _

from itineraries.errors import DocumentError, Problem

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
# A document full of mistakes would otherwise be answered by megabytes.
MAX_PROBLEMS = 100
# No double needs more significant digits than these to be told from its neighbours.
MAX_DIGITS = 17


def read(text: str | bytes) -> object:
    """JSON text to Python values, with marks where the text says more than a value can hold.

    ``document.parse`` turns the marks into problems with a path: a name that stands twice in an object, a number with more
    digits than double precision has. Raises DocumentError where the text is no JSON, or no UTF-8.
    """
    if len(text) > 4 * MAX_BYTES:
        raise DocumentError([too_large()])
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(text, parse_float=_read_float, parse_int=_read_int, object_pairs_hook=_read_object)
    except UnicodeDecodeError:
        raise DocumentError([Problem("", "error", "json", _("The text is not UTF-8."))]) from None
    except RecursionError:
        raise DocumentError([_too_deep("")]) from None
    except json.JSONDecodeError as error:
        message = _("This is not JSON: line %(line)d, column %(column)d.") % {
            "line": error.lineno,
            "column": error.colno,
        }
        raise DocumentError([Problem("", "error", "json", message)]) from None


def check_values(data: object, *, ours: bool = False) -> None:
    """Raises DocumentError unless every name and value can be stored and sent, and comes back equal.

    ``ours`` lets pass names that begin with ``_``.
    """
    problems: list[Problem] = []
    waiting: list[tuple[str, object, int]] = [("", data, 1)]
    while waiting and len(problems) < MAX_PROBLEMS:
        path, value, depth = waiting.pop()
        if isinstance(value, (dict, list)) and depth > MAX_DEPTH:
            problems.append(_too_deep(path))
        elif isinstance(value, dict):
            if isinstance(value, Doubled):
                message = _("The name “%(name)s” stands here twice.") % {"name": _shown(value.doubled)}
                problems.append(Problem(joined(path, value.doubled), "error", "duplicate", message))
            for name, item in reversed(value.items()):
                problem = _name_problem(path, name, ours)
                problems.extend([problem] if problem else [])
                waiting.append((joined(path, name), item, depth + 1))
        elif isinstance(value, list):
            waiting.extend((f"{path}[{index}]", item, depth + 1) for index, item in reversed([*enumerate(value)]))
        elif found := _value_problem(value):
            problems.append(Problem(path, "error", *found))
    if problems:
        raise DocumentError(problems)


# --- Reading text ------------------------------------------------------------------------------------------------


class Doubled(dict[str, Any]):
    """An object in which a name stands twice; a dict would silently keep the last."""

    doubled = ""


class _Imprecise:
    """A number with more digits than double precision holds."""


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names: set[str] = set()
    marked = Doubled(found)
    for name, _value in pairs:
        if name in names:
            marked.doubled = name
        names.add(name)
    return marked


def _read_float(text: str) -> object:
    number = float(text)
    if not math.isfinite(number):
        return number
    try:
        exact = Decimal(text)
    except InvalidOperation:  # an exponent that not even Decimal takes
        return _Imprecise()
    if not number and exact:
        return _Imprecise()
    digits = len("".join(map(str, exact.as_tuple().digits)).strip("0"))
    return number if digits <= MAX_DIGITS or exact == Decimal(number) else _Imprecise()


def _read_int(text: str) -> object:
    # Python refuses to read an integer of more than 4,300 digits, and a double ends at 309.
    return int(text) if len(text) <= 400 else _Imprecise()


# --- Checking values ---------------------------------------------------------------------------------------------


def _name_problem(path: str, name: object, ours: bool) -> Problem | None:
    if not isinstance(name, str):
        return Problem(path, "error", "name", _("Names must be text."))
    if found := _text_problem(name):
        return Problem(joined(path, name), "error", *found)
    if name.startswith("_") and not ours:
        message = _("Names that begin with “_” are reserved.")
        return Problem(joined(path, name), "error", "name", message)
    return None


def _value_problem(value: object) -> tuple[str, str] | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return _text_problem(value)
    if isinstance(value, float):
        return None if math.isfinite(value) else ("number", _("Not a finite number that double precision holds."))
    if isinstance(value, int):
        return None if is_exact(value) else ("number", _("The number has more digits than double precision holds."))
    if isinstance(value, _Imprecise):
        return "number", _("The number has more digits than double precision holds.")
    return "type", _("This kind of value does not exist in JSON.")


def _text_problem(text: str) -> tuple[str, str] | None:
    if "\0" in text:
        return "character", _("The text holds a NUL character, which cannot be stored.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "character", _("The text holds half of a character (a lone surrogate).")
    return None


def is_exact(number: int) -> bool:
    try:
        return int(float(number)) == number
    except OverflowError:
        return False


def as_bytes(data: object) -> bytes:
    """The JSON as it is sent, and as its size is counted."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def too_large() -> Problem:
    return Problem("", "error", "size", _("The document is larger than 1 MiB."))


def _too_deep(path: str) -> Problem:
    message = _("The document is nested more than %(depth)d levels deep.") % {"depth": MAX_DEPTH}
    return Problem(path, "error", "depth", message)


def _shown(name: str) -> str:
    """A name that can be printed and sent, whatever it holds."""
    shown = name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return shown if len(shown) <= 80 else shown[:79] + "…"


def joined(path: str, name: object) -> str:
    shown = _shown(str(name))
    # A path of 64 long names is nothing that anybody reads.
    return f"{path}.{shown}"[-1000:] if path else shown
