"""Generated itineraries: whole and partial documents in Crusoe's shape, with unknown properties of any kind in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

WIRE = Path(__file__).parents[1] / "wire"


def wire(name: str) -> Any:
    """A message of the specification, word for word."""
    return json.loads((WIRE / f"crusoe_{name}.json").read_text())


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
numbers = (
    st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, 70, 70.0, 1e5, 1e16, 1e22, 1e23, 1e300, 5e-324, 41.3720250384618, -0.0, 10**22])
)
scalars = st.none() | st.booleans() | text | numbers
# Names that the tree could take for its own, as well as any others.
names = text.filter(lambda name: not name.startswith("_")) | st.sampled_from(
    ["date_interval", "from_", "point_a", "data", "key", "version", "model_fields", "copy", "type_", "flightSegments2"]
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
extras = st.dictionaries(names, values, max_size=2)

amounts = st.none() | st.integers(0, 10**6) | st.floats(0, 1e9)
texts = st.none() | text
flags = st.none() | st.booleans()
# Such as the rules read: also the ends of the calendar, where reckoning with zones overflows.
days = texts | st.sampled_from(["19.05.2016", "20.05.2016", "01.01.0001", "31.12.9999", "31.02.2016", "27.03.2016"])
clocks = texts | st.sampled_from(["13:45 PM", "09:15 AM", "00:00", "23:59 PM", "02:30 AM", "25:00"])
codes = texts | st.sampled_from(["OTP", "FRA", "akl", "HNL", "QQQ", "BCN"])


def _object(**properties: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the properties (``from_`` stands for ``from``), and strangers that do not clash with them."""
    known = {name.rstrip("_"): strategy for name, strategy in properties.items()}
    return st.builds(
        lambda strange, given: {**{n: v for n, v in strange.items() if n not in known}, **given},
        extras,
        st.fixed_dictionaries({}, optional=known),
    )


def _list(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.lists(items, max_size=3)


def _or_null(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


_interval = _or_null(_object(from_=days, to=days))
_point = _or_null(_object(name=texts, code=codes, date=days, time=clocks))
_option = {
    "title": texts,
    "info": texts,
    "price": _or_null(_object(currentAmount=amounts, discounted=flags, beforeAmount=amounts)),
}
_leg = _object(
    code=texts, serviceInfo=texts, duration=amounts, stops=amounts, pointA=_point, pointB=_point, layoverTime=amounts
)
_options = {
    "flight": _object(**_option, duration=amounts, stops=amounts, layovers=amounts, flightSegments=_list(_leg)),
    "accommodation": _object(
        **_option,
        dateInterval=_interval,
        image=texts,
        description=texts,
        address=texts,
        latitude=st.none() | st.floats(-90, 90) | st.integers(-90, 90),
        longitude=st.none() | st.floats(-180, 180),
        bookingId=texts,
        tripadvisorId=texts,
    ),
    "carRide": _object(**_option, serviceInfo=texts, duration=amounts, pointA=_point, pointB=_point),
    "experience": _object(**_option, image=texts, description=texts),
}


def _card(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    body = _object(milestone=texts, options=_list(_options[kind]))
    return body.map(lambda card: {**card, "type": kind})


cards = st.sampled_from(sorted(_options)).flatmap(_card)
documents = _object(
    title=texts,
    subtitle=texts,
    dateInterval=_interval,
    introText=texts,
    milestones=_or_null(_object(start=texts, end=texts)),
    price=_or_null(
        _object(
            currency=st.sampled_from([None, "RON", "USD", "EUR"]),
            type=st.sampled_from([None, "dynamic", "fixed"]),
            fixedPriceAmount=amounts,
        )
    ),
    segments=_list(cards),
)


def same(one: Any, other: Any) -> bool:
    """Equal by value, with true and 1 apart, as JSON has them; 70 and 70.0 too, below 1e16."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, int) and abs(one) >= 1e16:
        return one == other  # PostgreSQL writes such a float without its exponent
    return type(one) is type(other) and one == other
