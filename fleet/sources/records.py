"""The one shape in which a source tells of vehicles, whatever its format."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field


@dataclass(frozen=True)
class VehicleRecord:
    """What a source says of one vehicle.

    Only the fields named in `given` were told; the others leave a known vehicle as it is. A given None, or empty text,
    says that the value is not known. `line` is where it stands in the source, counted from 1.
    """

    id: str
    line: int
    given: Set[str]
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


@dataclass(frozen=True)
class RowProblem:
    """Why a row was rejected: its line, the heading of the column (empty for the row as a whole), and the reason."""

    line: int
    column: str
    reason: str


@dataclass
class Source:
    """All that was read. `named` are the ids of every row, the rejected ones too: they are not missing."""

    records: list[VehicleRecord] = field(default_factory=list)
    problems: list[RowProblem] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
