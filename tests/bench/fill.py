"""Fill an empty database with a fleet that CityTrips has already, or change some of it.

``python -m tests.bench.fill N`` makes N vehicles, all of them offered; they are pending, as in a fleet just imported, or
with ``--settled`` held by CityTrips as they are.
"""

from __future__ import annotations

import argparse

import django


def fill(count: int, *, settled: bool) -> None:
    from django.db import connection, transaction

    from fleet import triggers
    from fleet.models import Vehicle
    from fleet.services import vehicle_create

    vehicle_create(id="V", plate="0000 BCD", country="Spain", city="Madrid", latitude=40.4, longitude=-3.7, battery=80)
    sqlite = connection.vendor == "sqlite"
    number = "printf('%07d', n)" if sqlite else "to_char(n, 'FM0000000')"
    own = {
        "id": f"'ES-' || {number}",
        "plate": f"{number} || ' BCD'",
        "latitude": "40.0 + (n % 10007) * 0.0001",
        "longitude": "-4.0 + (n % 9973) * 0.0001",
        "battery": "20 + n % 81",
        "version": "1",
        "settled_version": "1" if settled else "0",
        "listed": "TRUE" if settled else "FALSE",
    }
    columns = [field.column for field in Vehicle._meta.concrete_fields]
    values = ", ".join(own.get(column, column) for column in columns)
    series = (
        f"WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {count})"
        if sqlite
        else f"WITH series(n) AS (SELECT generate_series(1, {count}))"
    )
    triggers.remove(connection)
    with transaction.atomic(), connection.cursor() as cursor:
        # SQLite wants the WITH before the INSERT, PostgreSQL takes it there too.
        cursor.execute(
            f"{series} INSERT INTO fleet_vehicle ({', '.join(columns)}) "
            f"SELECT {values} FROM series, fleet_vehicle WHERE fleet_vehicle.id = 'V'"
        )
        cursor.execute("DELETE FROM fleet_vehiclechange WHERE vehicle_id = 'V'")
        cursor.execute("DELETE FROM fleet_vehicle WHERE id = 'V'")
    triggers.install(connection)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if sqlite else "VACUUM ANALYZE fleet_vehicle")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--settled", action="store_true")
    given = parser.parse_args()
    django.setup()
    fill(given.count, settled=given.settled)


if __name__ == "__main__":
    main()
