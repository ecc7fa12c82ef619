"""The database triggers that raise ``Vehicle.version``, the one number by which nothing CityTrips must hear is missed.

Python never writes ``version``: a stale copy written back by an upsert, a ``save()`` or a hand-written statement would
hide a change for good. In the database there is no way around a trigger.

* an insert gives ``version`` 1 and ``settled_version`` 0, whatever the statement says;
* an update that changes a watched column adds 1, any other leaves ``version`` as it is, whatever the statement says;
* ``settled_version`` never passes ``version``;
* ``pending_at`` is the time of the first change after all was settled.

SQLite rebuilds a table to alter it, and drops its triggers on the way; so they are installed by the migration and
again after every ``migrate``.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "fleet_vehicle"

# What CityTrips sees of a vehicle, what decides whether it is offered, and `touched`, by which a vehicle is made
# pending for a reason outside its row (another minimum battery, staff who send it again).
WATCHED = (
    "plate",
    "country",
    "city",
    "latitude",
    "longitude",
    "battery",
    "state",
    "is_demo",
    "silent",
    "touched",
)


# What the triggers themselves write, whatever a statement says.
_NUMBERS = ("version", "settled_version")


def _sqlite(watched: Sequence[str], timed: bool = True) -> dict[str, str]:
    changed = "(" + " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in watched) + ")"
    version = f"OLD.version + {changed}"
    pending_at = f"""\
    pending_at = CASE WHEN {changed} AND OLD.settled_version >= OLD.version
      THEN strftime('%Y-%m-%d %H:%M:%f', 'now') ELSE NEW.pending_at END,
"""
    # A trigger cannot alter NEW here, so it writes the row once more. The insert's own correction fires the update
    # trigger; -1 tells it from a statement that happens to write 1 and 0. With recursive_triggers off (the default,
    # and what Django leaves) the update trigger does not fire itself; were it on, its condition would end it.
    return {
        f"{TABLE}_version_insert": f"""\
CREATE TRIGGER {TABLE}_version_insert AFTER INSERT ON {TABLE}
WHEN NEW.version <> 1 OR NEW.settled_version <> 0
BEGIN
  UPDATE {TABLE} SET settled_version = -1 WHERE id = NEW.id;
END""",  # noqa: S608 (made of this module's constants)
        f"{TABLE}_version_update": f"""\
CREATE TRIGGER {TABLE}_version_update AFTER UPDATE OF {", ".join((*watched, *_NUMBERS))} ON {TABLE}
WHEN NEW.settled_version = -1 OR NEW.version <> {version} OR NEW.settled_version > {version}
BEGIN
  UPDATE {TABLE} SET
{pending_at if timed else ""}    version = CASE WHEN NEW.settled_version = -1 THEN 1 ELSE {version} END,
    settled_version = CASE WHEN NEW.settled_version = -1 THEN 0 ELSE min(NEW.settled_version, {version}) END
  WHERE id = NEW.id;
END""",  # noqa: S608 (made of this module's constants)
    }


def _postgresql_body(watched: Sequence[str], timed: bool = True) -> str:
    new = ", ".join(f"NEW.{column}" for column in watched)
    old = ", ".join(f"OLD.{column}" for column in watched)
    pending_at = """
    IF OLD.settled_version >= OLD.version THEN
      NEW.pending_at := statement_timestamp();
    END IF;"""
    return f"""
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.version := 1;
    NEW.settled_version := 0;
  ELSIF ROW({new}) IS DISTINCT FROM ROW({old}) THEN
    NEW.version := OLD.version + 1;{pending_at if timed else ""}
  ELSE
    NEW.version := OLD.version;
  END IF;
  NEW.settled_version := LEAST(NEW.settled_version, NEW.version);
  RETURN NEW;
END
"""


def _table_exists(connection: BaseDatabaseWrapper) -> bool:
    with connection.cursor() as cursor:
        return TABLE in connection.introspection.table_names(cursor)


def install(connection: BaseDatabaseWrapper, watched: Sequence[str] = WATCHED, *, timed: bool = True) -> None:
    """Put the triggers in place, or do nothing where there is no table. May be called again and again.

    ``timed`` is False for a table that has no ``pending_at`` yet.
    """
    if not _table_exists(connection):
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Not dropped and made anew: that would wait for every running transaction.
            cursor.execute(
                f"CREATE OR REPLACE FUNCTION {TABLE}_version() RETURNS trigger LANGUAGE plpgsql AS "
                f"$body${_postgresql_body(watched, timed)}$body$"
            )
            if _postgresql_columns(connection) != {*watched, *_NUMBERS}:
                cursor.execute(f"DROP TRIGGER IF EXISTS {TABLE}_version ON {TABLE}")
                # A statement that names none of these columns changes none of them, and is not slowed down.
                cursor.execute(
                    f"CREATE TRIGGER {TABLE}_version BEFORE INSERT OR UPDATE OF {', '.join((*watched, *_NUMBERS))} "
                    f"ON {TABLE} FOR EACH ROW EXECUTE FUNCTION {TABLE}_version()"
                )
        else:
            for name, statement in _sqlite(watched, timed).items():
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
                cursor.execute(statement)


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take the triggers away."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"DROP TRIGGER IF EXISTS {TABLE}_version ON {TABLE}")
            cursor.execute(f"DROP FUNCTION IF EXISTS {TABLE}_version()")
        else:
            for name in _sqlite(WATCHED):
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")


def are_installed(connection: BaseDatabaseWrapper) -> bool:
    """Whether the triggers are there, enabled and as this version of the program wants them; True without a table."""
    if not _table_exists(connection):
        return True
    if connection.vendor == "postgresql":
        columns = _postgresql_columns(connection)
        return columns == {*WATCHED, *_NUMBERS} and _postgresql_function() == _stored_function(connection)
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [TABLE])
        stored = dict(cursor.fetchall())
    return all(stored.get(name) == statement for name, statement in _sqlite(WATCHED).items())


def _postgresql_function() -> str:
    return _postgresql_body(WATCHED)


def _stored_function(connection: BaseDatabaseWrapper) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT prosrc FROM pg_proc WHERE oid = to_regproc(%s)", [f"{TABLE}_version"])
        row = cursor.fetchone()
    return str(row[0]) if row else None


def _postgresql_columns(connection: BaseDatabaseWrapper) -> set[str] | None:
    """The columns whose update fires the trigger, if it is there and enabled."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT array(SELECT attname::text FROM pg_attribute WHERE attrelid = tgrelid AND attnum = ANY (tgattr)) "
            "FROM pg_trigger WHERE tgname = %s AND tgrelid = to_regclass(%s) AND tgenabled <> 'D'",
            [f"{TABLE}_version", TABLE],
        )
        row = cursor.fetchone()
    return set(row[0]) if row else None
