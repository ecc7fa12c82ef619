"""What the line to CityTrips notes on the vehicles."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import F, Q

from fleet.models import Vehicle

_NOW = {"postgresql": "statement_timestamp()", "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"}


def vehicles_list(*, ids: Collection[str]) -> int:
    """Note, before a send leaves, that CityTrips may from now on hold these vehicles; returns how many were new."""
    return _update(ids, Q(listed=False), listed=True)


def vehicles_settle(*, versions: Mapping[str, int], listed: bool) -> None:
    """Note that a send which carried (`listed`), or as a full left out, these versions of vehicles has settled.

    `settled_version` only grows, and only to a version that the row has reached: the number of a vehicle that was
    deleted and made anew says nothing about it. A full that left a vehicle out unlists it only if the vehicle is
    still as it was then; a later send may have carried it.
    """
    if listed:
        listing, differs = "TRUE", "NOT listed"
    else:
        listing, differs = "CASE WHEN fleet_vehicle.version = given.version THEN FALSE ELSE listed END", "listed"
    _note(
        versions,
        "settled_version = CASE WHEN settled_version < given.version THEN given.version ELSE settled_version END, "
        # What changed since waits no longer than from here on.
        f"pending_at = CASE WHEN settled_version < given.version THEN {_NOW[connection.vendor]} ELSE pending_at END, "
        f"listed = {listing}",
        f"fleet_vehicle.version >= given.version AND (settled_version < given.version OR {differs})",
    )


def vehicles_unlist(*, versions: Mapping[str, int]) -> None:
    """Note that CityTrips dropped these versions of vehicles though they are offered: they become pending again."""
    _note(versions, "listed = FALSE, touched = touched + 1", "fleet_vehicle.version = given.version")


def vehicles_tell_again(*, ids: Collection[str]) -> int:
    """Make vehicles pending that CityTrips has as they are; returns how many were not pending yet."""
    return _update(ids, Q(settled_version__gte=F("version")), touched=F("touched") + 1)


def vehicles_object(*, versions: Mapping[str, int]) -> None:
    """Note that CityTrips objected to these versions; they show as objected until they change or settle."""
    _note(versions, "objected_version = given.version", "fleet_vehicle.version = given.version")


def _update(ids: Collection[str], condition: Q, **values: object) -> int:
    """Update those of the vehicles that meet the condition; how many."""
    written = 0
    wanted = sorted(ids)
    if not wanted:
        return written
    with transaction.atomic(), connection.cursor() as cursor:
        _lock(cursor, wanted)
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            written += Vehicle.objects.filter(condition, pk__in=part).update(**values)
    return written


def _note(versions: Mapping[str, int], assignments: str, condition: str) -> None:
    """Update the vehicles, each with its own `given.version`, in one statement."""
    if not versions:
        return
    given = {
        "postgresql": "SELECT key AS id, CAST(value AS bigint) AS version FROM json_each_text(%s)",
        "sqlite": "SELECT key AS id, value AS version FROM json_each(%s)",
    }[connection.vendor]
    with transaction.atomic(), connection.cursor() as cursor:
        _lock(cursor, versions)
        cursor.execute(
            f"UPDATE fleet_vehicle SET {assignments} FROM ({given}) AS given "  # noqa: S608 (made in this module)
            f"WHERE fleet_vehicle.id = given.id AND {condition}",
            [json.dumps(versions)],
        )


def _lock(cursor: CursorWrapper, ids: Collection[str]) -> None:
    """In the order in which everybody locks vehicles, so that two who do never wait for each other."""
    if connection.features.has_select_for_update:
        cursor.execute("SELECT 1 FROM fleet_vehicle WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [list(ids)])
