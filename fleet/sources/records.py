"""The one shape in which a source tells of vehicles, whatever its format, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

# What a source may tell of a vehicle; the place of each is its bit in `VehicleRecord.given`.
FIELDS: Final = (
    "plate",
    "vin",
    "kind",
    "model",
    "country",
    "city",
    "latitude",
    "longitude",
    "battery",
    "state",
    "last_signal_at",
)
_BITS: Final[Mapping[str, int]] = {name: 1 << place for place, name in enumerate(FIELDS)}


def bit(name: str) -> int:
    """The bit of a field in `given`."""
    return _BITS[name]


def bits(names: Iterable[str]) -> int:
    """The bits of several fields together."""
    return sum(_BITS[name] for name in set(names))


class VehicleRecord(NamedTuple):
    """What a source says of one vehicle.

    Only the fields whose bit is in `given` were told; the others leave a known vehicle as it is. A given None, or empty
    text, says that the value is not known. `line` is where it stands in the source, counted from 1: the line of a file
    of text, the number of the vehicle in a feed. Latitude and longitude in decimal degrees, battery in per cent.
    """

    line: int
    id: str
    given: int
    plate: str = ""
    vin: str = ""
    kind: str = ""
    model: str = ""
    country: str = ""
    city: str = ""
    latitude: float | None = None
    longitude: float | None = None
    battery: int | None = None
    state: str = ""
    last_signal_at: datetime | None = None

    @property
    def names(self) -> frozenset[str]:
        """The names of the fields that were told."""
        return frozenset(name for name in FIELDS if self.given & _BITS[name])


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why a row was rejected: its line, the heading of the column (empty for the row as a whole), and the reason."""

    line: int
    column: str
    reason: str


class RejectedRow(NamedTuple):
    """A row that cannot be used, with every reason. `id` is what it calls its vehicle: that one is not missing."""

    line: int
    id: str
    problems: tuple[RowProblem, ...]


Row = VehicleRecord | RejectedRow


@dataclass(slots=True)
class Found:
    """What a source turned out to be, in words for people; kept with the run as JSON.

    `headings` pairs each heading of a table with the column it was taken for (empty: passed over). `facts` are pairs of
    a label and a value. `country` is what the source tells of itself as a whole.
    """

    format: str
    headings: list[tuple[str, str]] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    country: str = ""

    def as_json(self) -> dict[str, Any]:
        """Of a feed anything may come, also what no database holds."""
        return {name: _storable(value) for name, value in asdict(self).items()}


def storable(text: str) -> str:
    """A text in signs that can be stored and shown."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def _storable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_storable(one) for one in value]
    return storable(value) if isinstance(value, str) else value


class Reading(Protocol):
    """A source that is open and whose rows can be read once, one after another.

    `found` is complete when the last row was read. `position` counts the bytes read so far of `size`.
    """

    found: Found

    @property
    def size(self) -> int: ...

    @property
    def position(self) -> int: ...

    def rows(self) -> Iterator[Row]:
        """Raises UnreadableSource where nothing more can be made of the source."""


# Told how many bytes have come, of how many (0: not known).
Progress = Callable[[int, int], None]
