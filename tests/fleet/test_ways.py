"""Every way in which a vehicle is written, and whether CityTrips must hear of it: one table, before and after a rebuild."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from fleet import services, triggers
from fleet.models import FleetRules, ImportRun, Vehicle, VehicleChange
from fleet.telemetry import Signal, telemetry_receive
from fleet.undoing import change_undo, undo_batch, undo_run
from tests.fleet.factories import make
from tests.fleet.staged import merged

ID = "ES-1"
CSV = "id,plate,vin,country,city,latitude,longitude,battery,state\n"
BACKEND = "users.backends.UsernameOrEmailBackend"


def row() -> Vehicle:
    return Vehicle.objects.get(pk=ID)


def person() -> Any:
    return get_user_model().objects.get_or_create(
        username="ana", defaults={"email": "ana@example.org", "is_staff": True, "is_superuser": True}
    )[0]


def client() -> Client:
    browser = Client()
    browser.force_login(person(), BACKEND)
    return browser


def sql(statement: str, *parameters: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def save(**values: object) -> None:
    vehicle = row()
    for name, value in values.items():
        setattr(vehicle, name, value)
    vehicle.save()


def bulk_update(**values: object) -> None:
    vehicle = row()
    for name, value in values.items():
        setattr(vehicle, name, value)
    Vehicle.objects.bulk_update([vehicle], list(values))


def upsert(**values: object) -> None:
    vehicle = row()
    for name, value in values.items():
        setattr(vehicle, name, value)
    Vehicle.objects.bulk_create(
        [vehicle], update_conflicts=True, unique_fields=["id"], update_fields=[*values, "version"]
    )


def raw_upsert(battery: int) -> None:
    sql(
        "INSERT INTO fleet_vehicle (id, plate, vin, kind, model, country, city, state, silent, note, is_demo, battery, "
        "created_at, updated_at) SELECT id, plate, vin, kind, model, country, city, state, silent, note, is_demo, %s, "
        "created_at, updated_at FROM fleet_vehicle WHERE id = %s "
        "ON CONFLICT (id) DO UPDATE SET battery = EXCLUDED.battery",
        battery,
        ID,
    )


def service(**values: object) -> None:
    services.vehicle_update(vehicle=row(), values=values)


def telemetry(**values: object) -> None:
    telemetry_receive(signals=[Signal(0, ID, values, None)])


def imported(**values: object) -> None:
    given = {"battery": 80, "vin": ""} | values
    merged(f"{CSV}{ID},1234 BCD,{given['vin']},Spain,Madrid,40.4168,-3.7038,{given['battery']},available\n")


def form(**values: object) -> None:
    browser = client()
    page = reverse("admin:fleet_vehicle_change", args=[ID])
    bound = browser.get(page).context["adminform"].form
    sent = {
        each.html_name: "" if each.value() is None else each.value() for each in bound if each.name != "last_signal_at"
    } | {"last_signal_at_0": "", "last_signal_at_1": ""}
    assert browser.post(page, {**sent, **values}).status_code == 302


def action(name: str, **more: str) -> None:
    sent = {"action": name, "_selected_action": ID, **more}
    assert client().post(reverse("admin:fleet_vehicle_changelist"), sent).status_code == 302


def chip(state: str) -> None:
    assert client().post(reverse("admin:fleet_vehicle_state", args=[ID]), {"state": state}).status_code == 302


def api(method: str, **values: object) -> None:
    from users.services import token_create

    _token, key = token_create(user=person(), name="gateway")
    sent = getattr(Client(), method)
    answer = sent(
        f"/api/v1/vehicles/{ID}/",
        values,
        content_type="application/json",
        headers={"Authorization": f"Token {key}"},
    )
    assert answer.status_code in (200, 204), answer.content


def rules(minimum: int, limit: int | None = None) -> None:
    services.rules_update(minimum_battery=minimum, silence_limit=limit)


def undo_last() -> None:
    change_undo(change=VehicleChange.objects.filter(vehicle=ID, added=False).first(), by=None)


def undo_last_batch() -> None:
    undo_batch(batch=VehicleChange.objects.exclude(batch=None).first().batch, by=None)


def undo_last_run() -> None:
    undo_run(run=ImportRun.objects.latest("pk"), by=None)


Doing = Callable[[], object]
# What it is, what is done beforehand, what is done, and by how much the version is to rise.
WAYS: list[tuple[str, Doing | None, Doing, int]] = [
    ("save", None, lambda: save(battery=70), 1),
    ("save of the same", None, lambda: save(battery=80), 0),
    ("save of what CityTrips does not see", None, lambda: save(note="x", vin="y", model="z"), 0),
    ("update()", None, lambda: Vehicle.objects.update(battery=70), 1),
    ("update() by an expression", None, lambda: Vehicle.objects.update(battery=F("battery") - 1), 1),
    ("update() to the same", None, lambda: Vehicle.objects.update(battery=80, plate="1234 BCD"), 0),
    ("update() of a note", None, lambda: Vehicle.objects.update(note="x"), 0),
    ("update() of several", None, lambda: Vehicle.objects.update(battery=70, city="Toledo", state="on_trip"), 1),
    ("update() of the kind", None, lambda: Vehicle.objects.update(kind="moped"), 0),
    ("bulk_update", None, lambda: bulk_update(battery=70), 1),
    ("bulk_update of a note", None, lambda: bulk_update(note="x"), 0),
    ("upsert", None, lambda: upsert(battery=70), 1),
    ("upsert of the same", None, lambda: upsert(battery=80), 0),
    ("raw update", None, lambda: sql("UPDATE fleet_vehicle SET city = 'Toledo'"), 1),
    ("raw update of the version", None, lambda: sql("UPDATE fleet_vehicle SET version = 77"), 0),
    ("raw update of a note", None, lambda: sql("UPDATE fleet_vehicle SET note = 'x'"), 0),
    ("raw upsert", None, lambda: raw_upsert(70), 1),
    ("raw upsert of the same", None, lambda: raw_upsert(80), 0),
    ("service", None, lambda: service(plate="9 X", note="x"), 1),
    ("service, the same spelled otherwise", None, lambda: service(plate=" 1234  bcd", country="españa"), 0),
    ("service, a note", None, lambda: service(note="x", vin="v", model="m", kind="moped"), 0),
    ("telemetry", None, lambda: telemetry(battery=70), 1),
    ("telemetry, a position", None, lambda: telemetry(latitude=40.5, longitude=-3.7), 1),
    ("telemetry of the same", None, lambda: telemetry(battery=80), 0),
    ("import", None, lambda: imported(battery=70), 1),
    ("import of the same", None, lambda: imported(), 0),
    ("import of a VIN", None, lambda: imported(vin="V1"), 0),
    ("API, PATCH", None, lambda: api("patch", battery=70), 1),
    ("API, PATCH of the same", None, lambda: api("patch", battery=80), 0),
    ("API, DELETE", None, lambda: api("delete"), 1),
    ("the form", None, lambda: form(battery="70"), 1),
    ("the form, a note", None, lambda: form(note="x"), 0),
    ("the form, nothing typed", None, lambda: form(), 0),
    ("the chip in the list", None, lambda: chip("reserved"), 1),
    ("the chip, the same state", None, lambda: chip("available"), 0),
    ("action: a state", None, lambda: action("set_reserved"), 1),
    ("action: the same state", None, lambda: action("set_available"), 0),
    ("action: move", None, lambda: action("move", apply="1", city="Toledo", country=""), 1),
    ("action: retire", None, lambda: action("retire", apply="1"), 1),
    ("action: send again", None, lambda: action("resend"), 1),
    ("undo", lambda: service(battery=70), undo_last, 1),
    ("undo of a note", lambda: service(note="x"), undo_last, 0),
    ("undo of an action", lambda: action("retire", apply="1"), undo_last_batch, 1),
    ("undo of an import", lambda: imported(battery=70), undo_last_run, 1),
    ("undo of an import that changed a VIN", lambda: imported(vin="V1"), undo_last_run, 0),
    ("a rule that keeps it back", None, lambda: rules(90), 1),
    ("a rule that offers it again", lambda: rules(90), lambda: rules(20), 1),
    ("a rule that leaves it as it is", None, lambda: rules(50), 0),
    ("the same rules", lambda: rules(50), lambda: rules(50), 0),
    ("a rule, of a vehicle that is not offered anyway", lambda: service(plate=""), lambda: rules(90), 0),
    ("a rule, of a vehicle on a trip", lambda: service(state="on_trip"), lambda: rules(90), 0),
    ("a limit that it has been silent for", None, lambda: rules(20, 10), 1),
    ("a limit within which it was heard", lambda: service(last_signal_at=timezone.now()), lambda: rules(20, 10), 0),
    ("a signal that ends its silence", lambda: rules(20, 10), lambda: telemetry(battery=80), 1),
    (
        "silence that comes with time",
        lambda: (service(last_signal_at=timezone.now()), rules(20, 10)),
        lambda: services.silence_update(now=timezone.now() + timedelta(hours=1)),
        1,
    ),
    (
        "the sweep while nothing is silent",
        lambda: (service(last_signal_at=timezone.now()), rules(20, 10)),
        lambda: services.silence_update(now=timezone.now()),
        0,
    ),
    ("a note of the line: listed", None, lambda: services.vehicles_list(ids=[ID]), 0),
    ("a note of the line: settled", None, lambda: services.vehicles_settle(versions={ID: 1}, listed=True), 0),
    ("a note of the line: objected", None, lambda: services.vehicles_object(versions={ID: 1}), 0),
]


def go(before: Doing | None, doing: Doing, rise: int) -> None:
    """Do it, and compare the version; what does not raise it leaves a settled vehicle settled."""
    make(ID)
    if before is not None:
        before()
    version = row().version
    services.vehicles_settle(versions={ID: version}, listed=True)
    doing()
    after = row()
    assert after.version == version + rise
    assert Vehicle.objects.pending().exists() == bool(rise)


@pytest.mark.django_db
@pytest.mark.parametrize(("before", "doing", "rise"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
def test_version_rises_exactly_when_citytrips_must_hear(before: Doing | None, doing: Doing, rise: int) -> None:
    """The version rises by one whenever what CityTrips sees changes, and at no other time, whatever the way."""
    go(before, doing, rise)


@pytest.mark.django_db(transaction=True)
def test_the_same_after_the_table_was_rebuilt() -> None:
    """A migration that makes the table anew changes nothing of it."""
    if connection.vendor == "sqlite":
        with connection.schema_editor() as editor:
            editor._remake_table(Vehicle)
        assert not triggers.are_installed(connection)
    else:
        with connection.schema_editor() as editor:  # as a migration would, column by column
            field = Vehicle._meta.get_field("note")
            other = field.clone()
            other.set_attributes_from_name("note")
            other.db_collation = "C"
            editor.alter_field(Vehicle, field, other)
            editor.alter_field(Vehicle, other, field)
    call_command("migrate", verbosity=0)
    for name, before, doing, rise in WAYS:
        try:
            go(before, doing, rise)
        except AssertionError as error:
            raise AssertionError(name) from error
        Vehicle.objects.all().delete()
        FleetRules.objects.all().delete()


@pytest.mark.django_db
def test_without_the_triggers_every_way_is_missed() -> None:
    """The safeguard off: no way raises the version any more, and the same comparison tells."""
    triggers.remove(connection)
    try:
        for _name, before, doing, rise in WAYS:
            if rise:
                with pytest.raises(AssertionError):
                    go(before, doing, rise)
                Vehicle.objects.all().delete()
                FleetRules.objects.all().delete()
    finally:
        triggers.install(connection)
