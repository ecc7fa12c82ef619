"""The end: when both are to be equal again, and whether they are."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from backoffice.citytrips.session import REMOVAL_GAP
from backoffice.citytrips.suspects import OBJECTIONS
from tests.backoffice.citytrips.lossy_partner.database import Row
from tests.backoffice.citytrips.lossy_partner.errors import Loss
from tests.backoffice.citytrips.lossy_partner.worker import FLUSH, TURN

if TYPE_CHECKING:
    from tests.backoffice.citytrips.lossy_partner.world import World

RECOVERY = 30.0
"""Seconds after the last fault within which both are equal, where nothing was dropped silently."""


class Promise(StrEnum):
    """When both are equal again after the last fault."""

    SOON = "soon"
    BY_THE_NEXT_REMOVAL = "by the next removal"
    BY_THE_NEXT_FULL = "by the next full"


def settle_down(world: World) -> tuple[Promise, float]:
    """End all faults, and wait until both are equal; how long that took after the last fault, and what was promised.

    :raises Loss: they are not in time, or don't stay so.
    """
    world.calm()
    equal_at = taken = 0.0
    promise = Promise.SOON
    while equal_at <= world.faults_until:  # again if another reply fell due meanwhile
        # And a moment more: two transactions of 0.3 s end a little after 0.6 s.
        world.clock.run_until(max(world.faults_until, world.clock.now) + TURN)
        promise = _promise(world)
        taken = _wait_until_equal(world, _seconds(world, promise))
        equal_at = world.clock.now
        world.wait(world.safeguards.settle + 1)
    if promise is Promise.BY_THE_NEXT_FULL:
        # What was objected to, and so left aside, may have settled meanwhile by a message that was dropped in silence.
        _wait_until_equal(world, _seconds(world, promise))
    if found := differences(world):
        raise Loss("did not stay equal: " + "; ".join(found))
    # What was objected to twice is left alone until it changes, or staff send it again; then it's as good as any other.
    vehicles = [vehicle for vehicle, row in world.database.rows.items() if _is_objected(world, vehicle, row)]
    replies = [number for number, reply in world.database.replies.items() if reply.objected]
    world.counts["vehicles objected to"] += len(vehicles)
    world.counts["replies objected to"] += len(replies)
    for vehicle in vehicles:
        world.change(vehicle, world.database.rows[vehicle].offered)
    for number in replies:
        world.database.send_again(number)
    _wait_until_equal(world, RECOVERY)
    return promise, taken


def _promise(world: World) -> Promise:
    """When both are to be equal, as things stand."""
    session = world.holder.session
    full_refused = session._full_objections >= OBJECTIONS  # the next one is the one that time brings
    if world.partner.hole or full_refused:
        return Promise.BY_THE_NEXT_FULL
    leaving = any(not row.offered and world.database.is_pending(row) for row in world.database.rows.values())
    return Promise.BY_THE_NEXT_REMOVAL if leaving else Promise.SOON


def _seconds(world: World, promise: Promise) -> float:
    match promise:
        case Promise.BY_THE_NEXT_FULL:
            return world.safeguards.full_every + RECOVERY
        case Promise.BY_THE_NEXT_REMOVAL:
            return REMOVAL_GAP + world.safeguards.settle + FLUSH + RECOVERY / 3
        case _:
            return RECOVERY


def _wait_until_equal(world: World, seconds: float) -> float:
    since = world.clock.now
    while found := differences(world):
        if world.clock.now - since >= seconds:
            raise Loss(f"not equal after {seconds:g} s: " + "; ".join(found))
        world.wait(0.5)
    return world.clock.now - since


def _is_objected(world: World, vehicle: str, row: Row) -> bool:
    return world.database.is_pending(row) and row.version in (row.objected, world.objected.get(vehicle))


def differences(world: World) -> list[str]:
    """What the partner holds otherwise than it should, and what is pending; in words."""
    found = []
    rows = world.database.rows
    for vehicle, row in rows.items():
        if _is_objected(world, vehicle, row):
            continue
        held = world.partner.held.get(vehicle)
        expected = row.version if row.offered else None
        if held != expected:
            found.append(f"{vehicle} is held as {held} and is {expected}")
        if world.database.is_pending(row):
            found.append(f"{vehicle} is pending at {row.version}")
    found += [f"{vehicle} is held and is none of ours" for vehicle in world.partner.held if vehicle not in rows]
    for number, reply in world.database.replies.items():
        if not (reply.settled or reply.objected):
            found.append(f"reply {number} is pending")
        elif not reply.objected and number not in world.partner.replies | world.partner.replies_dropped:
            found.append(f"reply {number} was never read")
    return found
