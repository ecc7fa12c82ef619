"""The requests to send now that the holder has taken up, and when each of them is answered. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from backoffice.citytrips.exchange import Pending, Settle


@dataclass(slots=True)
class _Request:
    """Done when nothing is left in ``waits_for``, or, of a full, once one numbered beyond ``after`` has settled."""

    full: bool
    after: int
    waits_for: dict[str, int]


class OpenRequests:
    """The requests under way, by their ids."""

    def __init__(self) -> None:
        self._open: dict[int, _Request] = {}

    def __contains__(self, request_id: int) -> bool:
        return request_id in self._open

    @property
    def first(self) -> int | None:
        """The oldest request under way."""
        return min(self._open, default=None)

    def take_up(self, request_id: int, *, full: bool, pending: Pending, last_number: int) -> None:
        """Take up one request; ``full`` says whether a full is needed for it, as one is where vehicles leave.

        ``pending`` is what CityTrips has not been told now, ``last_number`` the last send's.
        """
        self._open[request_id] = _Request(full, last_number, {**pending.offered, **pending.leaving})

    def keep(self, request_ids: Collection[int]) -> None:
        """Forget those that nobody waits for any more."""
        self._open = {request_id: one for request_id, one in self._open.items() if request_id in request_ids}

    def looked(self, pending: Pending) -> list[int]:
        """What is pending now; the requests that this answers. What is no longer pending needs no send."""
        for request in self._open.values():
            request.waits_for = {
                vehicle: version
                for vehicle, version in request.waits_for.items()
                if vehicle in pending.offered or vehicle in pending.leaving
            }
        return self._close(lambda request: not request.full and not request.waits_for)

    def settled(self, send: Settle) -> list[int]:
        """A send has settled; the requests that this answers."""
        for request in self._open.values():
            for versions in (send.versions, send.absent):
                for vehicle, version in versions.items():
                    if request.waits_for.get(vehicle, version + 1) <= version:
                        del request.waits_for[vehicle]
        return self._close(
            lambda request: send.full and send.number > request.after if request.full else not request.waits_for
        )

    def objected(self, versions: Mapping[str, int], *, fulls: bool = False) -> list[int]:
        """CityTrips does not take these vehicles, or ``fulls``; the requests that fail by it."""
        return self._close(lambda request: bool(request.waits_for.keys() & versions.keys()) or (fulls and request.full))

    def refuse(self, *, fulls_only: bool = False) -> list[int]:
        """Nothing, or with ``fulls_only`` no full, can be sent now; the requests that fail by it."""
        return self._close(lambda request: request.full or not fulls_only)

    def _close(self, is_answered: Callable[[_Request], bool]) -> list[int]:
        answered = [request_id for request_id, request in self._open.items() if is_answered(request)]
        for request_id in answered:
            del self._open[request_id]
        return answered
