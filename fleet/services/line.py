"""What the line to CityTrips notes on the vehicles."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db import connection, transaction

from fleet.models import Vehicle


def vehicles_list(*, ids: Collection[str]) -> int:
    """Note, before a send leaves, that CityTrips may from now on hold these vehicles; returns how many were new."""
    written = 0
    wanted = sorted(ids)
    with transaction.atomic():
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            written += Vehicle.objects.filter(pk__in=part, listed=False).update(listed=True)
    return written


def vehicles_settle(*, versions: Mapping[str, int], listed: bool) -> None:
    """Note that a send which carried (`listed`), or as a full left out, these versions of vehicles has settled.

    `settled_version` only grows, and only to a version that the row has reached: the number of a vehicle that was
    deleted and made anew says nothing about it. A full that left a vehicle out unlists it only if the vehicle is
    still as it was then; a later send may have carried it.
    """
    if listed:
        listing, differs = "%s", "NOT listed"
    else:
        listing, differs = "CASE WHEN version = %s THEN FALSE ELSE listed END", "listed"
    statement = f"""
        UPDATE fleet_vehicle SET
          settled_version = CASE WHEN settled_version < %s THEN %s ELSE settled_version END,
          listed = {listing}
        WHERE id = %s AND version >= %s AND (settled_version < %s OR {differs})
    """  # noqa: S608 (made of the two constants above)
    # In one order, so that two such statements never wait for each other.
    rows = [
        (version, version, True if listed else version, id, version, version)
        for id, version in sorted(versions.items())
    ]
    if not rows:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(statement, rows)


def vehicles_unlist(*, versions: Mapping[str, int]) -> None:
    """Note that CityTrips dropped these versions of vehicles though they are offered: they become pending again."""
    rows = [(id, version) for id, version in sorted(versions.items())]
    if not rows:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE fleet_vehicle SET listed = FALSE, touched = touched + 1 WHERE id = %s AND version = %s", rows
        )


def vehicles_object(*, versions: Mapping[str, int]) -> None:
    """Note that CityTrips objected to these versions; they show as objected until they change or settle."""
    rows = [(version, id, version) for id, version in sorted(versions.items())]
    if not rows:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany("UPDATE fleet_vehicle SET objected_version = %s WHERE id = %s AND version = %s", rows)
