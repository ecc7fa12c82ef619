"""Which vehicle an objection is about: CityTrips' errors name no message and no vehicle.

The vehicles of the incremental that an error may be about become *suspects*: they are sent again in groups of half the size,
one group after the other, and a group that is objected to is halved again, until the vehicle that CityTrips does not take
stands alone. The others are not made to pay for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

OBJECTIONS: Final = 2
"""So many objections to what was sent alone, and it's left alone: a vehicle until it changes or a full passes."""
STRIKES: Final = 200
"""Objections in a row with nothing settled in between, beyond which they are about no vehicle in particular."""


@dataclass(frozen=True, slots=True)
class _Suspicion:
    """Against one version of a vehicle: how many it was together with at least, and how often it was objected to alone."""

    version: int
    size: int
    alone: int


class Suspects:
    """The vehicles of which CityTrips may not take one."""

    def __init__(self) -> None:
        self._found: dict[str, _Suspicion] = {}  # by vehicle
        self._strikes = 0

    def strike(self) -> None:
        """CityTrips has objected once more; before :meth:`charge`."""
        self._strikes += 1

    def charge(self, versions: Mapping[str, int]) -> dict[str, int]:
        """Count an objection against vehicles that were sent together; those that are given up."""
        given_up = {}
        for vehicle, version in versions.items():
            before = self._suspicion(vehicle, version) or _Suspicion(version, len(versions), 0)
            alone = OBJECTIONS if self._strikes > STRIKES else before.alone + (len(versions) == 1)
            self._found[vehicle] = _Suspicion(version, min(before.size, len(versions)), alone)
            if alone >= OBJECTIONS:
                given_up[vehicle] = version
        return given_up

    def clear(self, versions: Mapping[str, int], *, full: bool) -> None:
        """A send has settled: CityTrips takes these."""
        self._strikes = 0
        for vehicle, version in versions.items():
            if (found := self._found.get(vehicle)) and (full or found.version <= version):
                del self._found[vehicle]

    def are_among(self, versions: Mapping[str, int]) -> bool:
        """Whether one of these is a suspect as it is."""
        return any(self._suspicion(vehicle, version) for vehicle, version in versions.items())

    def next_group(self, due: Mapping[str, int]) -> Sequence[str]:
        """Of what is due, the suspects to send next; none if there are none, or if they are given up."""
        if not self._found:
            return ()
        found = {vehicle: self._suspicion(vehicle, version) for vehicle, version in due.items()}
        sizes = {vehicle: one.size for vehicle, one in found.items() if one and one.alone < OBJECTIONS}
        if not sizes:
            return ()
        # The smallest group first: errors come at once, and silence takes its time.
        smallest = min(sizes.values())
        group = (vehicle for vehicle, size in sizes.items() if size == smallest)
        return list(islice(group, max(1, smallest // 2)))

    def others(self, due: Mapping[str, int]) -> Iterable[str]:
        """Of what is due, those that nothing is held against."""
        return (vehicle for vehicle, version in due.items() if not self._suspicion(vehicle, version))

    def _suspicion(self, vehicle: str, version: int) -> _Suspicion | None:
        found = self._found.get(vehicle)
        return found if found and found.version == version else None
