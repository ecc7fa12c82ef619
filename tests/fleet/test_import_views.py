"""The pages of imports, as staff use them."""

from __future__ import annotations

import csv
import io
import json
import time
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from fleet import import_jobs, imports, locks
from fleet.models import ImportProblem, ImportRun, ImportState, StagedVehicle, Vehicle
from tests.fleet.factories import make
from tests.fleet.staged import counts, read
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folder(settings, tmp_path: Path) -> None:
    """A folder of its own, in which no other test has left files behind."""
    settings.VAR_DIR = tmp_path / "var"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the work beside the request, so that each test sees what came of it."""
    monkeypatch.setattr(import_jobs, "PATIENCE", 60.0)


def somebody(*permissions: str, is_staff: bool = True) -> Client:
    user = User.objects.create_user(f"u{time.monotonic_ns()}", password="x", is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def client() -> Client:
    return somebody("view_vehicle", "add_vehicle", "change_vehicle")


def upload(client: Client, text: str | bytes, name: str = "fleet.csv", **given: str):
    content = text.encode() if isinstance(text, str) else text
    return client.post(reverse("fleet:import"), {"file": SimpleUploadedFile(name, content), **given}, follow=True)


def address(name: str, run: ImportRun | None = None) -> str:
    run = run or ImportRun.objects.latest("id")
    return reverse(f"fleet:{name}", args=[run.pk])


def test_from_upload_to_result(client: Client) -> None:
    """A file is read and compared, nothing changes before it is applied, and the result shows what did."""
    make("1", battery=50)
    make("2")
    page = upload(client, "id;batería;lat;lon\n1;60;;\n3;0,5;;\n4;70;40,41;-3,7\n").content.decode()
    assert "Apply the import" in page
    assert "looks like a fraction" in page
    assert Vehicle.objects.get(pk="1").battery == 50
    changed = client.get(address("import_run") + "?show=changed").content.decode()
    assert "50 %" in changed
    assert "60 %" in changed
    assert "Retire 1 vehicle" in changed
    result = client.post(address("import_apply"), follow=True).content.decode()
    assert "What was done" in result
    assert counts(ImportRun.objects.get()) == {"added": 1, "changed": 1, "missing": 1, "rejected": 1}
    assert Vehicle.objects.get(pk="1").battery == 60
    assert "3, 70" not in result
    assert ImportRun.objects.get().by is not None


def test_every_tab(client: Client) -> None:
    """Each kind of row has its tab, before and after it is applied, and unknown ones lead to the first."""
    make("1", battery=50)
    make("2", battery=80)
    make("3", battery=80)
    upload(client, "id,battery\n1,60\n2,80\n4,70\n5,x\n", retire_missing="on")
    for tab, words in {"changed": "60 %", "added": "70 %", "unchanged": "1234 BCD", "missing": "Removed"}.items():
        assert words in client.get(address("import_run") + f"?show={tab}").content.decode(), tab
    assert "not a number" in client.get(address("import_run") + "?show=rejected").content.decode()
    assert client.get(address("import_run") + "?show=nonsense&page=x").status_code == 200
    client.post(address("import_apply"), {"retire_missing": "on", "confirmed": "1"})
    assert counts(ImportRun.objects.get())["retired"] == 1
    for tab, words in {"changed": "60 %", "added": "70 %", "retired": "Removed", "rejected": "not a number"}.items():
        assert words in client.get(address("import_run") + f"?show={tab}").content.decode(), tab


def test_a_mass_withdrawal_has_to_be_typed(client: Client) -> None:
    """More than a fifth is retired only where its number was typed; without retiring it needs no such thing."""
    for number in range(4):
        make(str(number))
    upload(client, "id,battery\n0,11\n1,12\n")
    refused = client.post(address("import_apply"), {"retire_missing": "on", "confirmed": "3"})
    assert refused.status_code == 422
    assert "Type 2 to retire" in refused.content.decode()
    assert not Vehicle.objects.filter(battery=11).exists()
    client.post(address("import_apply"), {"retire_missing": "on", "confirmed": " 2 "})
    assert Vehicle.objects.filter(state="removed").count() == 2


def test_headings_by_hand(client: Client) -> None:
    """Where the headings tell no id, they are shown and can be mapped, and the same file is read again."""
    page = upload(client, "Nr,Ladung,plate\n7,55,X1\n").content.decode()
    assert "no heading for the vehicle" in page
    assert "Read again with these" in page
    failed = ImportRun.objects.get()
    twice = {"column_0": "id", "column_1": "id", "column_2": "plate"}
    assert client.post(address("import_again"), twice).status_code == 422
    assert client.post(address("import_again"), {"column_0": "", "column_1": "", "column_2": ""}).status_code == 422
    client.post(address("import_again"), {"column_0": "id", "column_1": "battery", "column_2": ""})
    run = ImportRun.objects.latest("id")
    assert (run.state, counts(run)) == (ImportState.READY, {"added": 1})
    failed.refresh_from_db()
    assert failed.state == ImportState.DISCARDED
    client.post(address("import_apply"))
    vehicle = Vehicle.objects.get()
    assert (vehicle.pk, vehicle.battery, vehicle.plate) == ("7", 55, "")


def test_discard(client: Client) -> None:
    """What was read is forgotten; what was applied cannot be discarded."""
    upload(client, "id\n1\nx y\n")
    assert "nothing was changed" in client.post(address("import_discard"), follow=True).content.decode()
    assert not StagedVehicle.objects.exists()
    assert not ImportProblem.objects.exists()
    assert not list(locks.folder().glob("*.source"))
    assert "Discarded" in client.get(address("import_run")).content.decode()
    upload(client, "id\n1\n")
    client.post(address("import_apply"))
    assert "applied already" in client.post(address("import_discard"), follow=True).content.decode()
    assert "applied or discarded already" in client.post(address("import_apply"), follow=True).content.decode()


def test_undo(client: Client) -> None:
    """An import is taken back from its page, but for what was changed since."""
    make("1", battery=50)
    make("2", battery=50)
    upload(client, "id,battery\n1,60\n2,60\n3,70\n")
    assert client.post(address("import_undo")).status_code == 404
    client.post(address("import_apply"))
    Vehicle.objects.filter(pk="2").update(battery=61)
    page = client.post(address("import_undo"), follow=True).content.decode()
    assert "2 vehicles were set back" in page
    assert "1 stayed as they are" in page
    assert dict(Vehicle.objects.values_list("pk", "battery")) == {"1": 50, "2": 61, "3": 70}
    assert Vehicle.objects.get(pk="3").state == "removed"


def test_the_rejected_as_a_table(client: Client) -> None:
    """The list of rejected rows can be saved, and holds nothing that a spreadsheet would run."""
    upload(client, "id,battery,city\n=1+1,5,x\n2,-5,x\n")
    content = b"".join(client.get(address("import_problems")).streaming_content).decode()
    table = list(csv.reader(io.StringIO(content)))
    assert [row[0] for row in table] == ["line", "2", "3"]
    assert table[1][1] == "'=1+1"


def test_a_feed(client: Client) -> None:
    """A GBFS file is read by itself, with what was found in it; its rows are told by number."""
    bikes = [
        {"bike_id": f"b{number}", "lat": 40.4, "lon": -3.7, "is_reserved": 0, "is_disabled": 1 if number else 2}
        for number in range(3)
    ]
    document = {"version": "2.2", "last_updated": 1_700_000_000, "ttl": 60, "data": {"bikes": bikes}}
    page = upload(client, json.dumps(document), "free_bike_status.json", country="es").content.decode()
    assert "GBFS" in page
    assert "stale" in page
    assert "data.bikes[0].is_disabled" in page
    assert counts(ImportRun.objects.get()) == {"added": 2, "rejected": 1}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Give a file or an address"),
        ({"url": "ftp://x/"}, "begins with http"),
        ({"url": "x" * 3000}, "at most 2000"),
        ({"url": "http://x.test/", "country": "Spian"}, "not a country"),
        ({"url": "http://x.test/", "city": "a\x01b"}, "ontrol characters"),
        ({"url": "http://x.test/", "city": "x" * 90}, "at most 80"),
        ({"url": "http://x.test/", "format": "xml"}, "not one of the available choices"),
    ],
)
def test_what_the_form_refuses(client: Client, given: dict[str, str], words: str) -> None:
    """What cannot be read is told at its field, and nothing begins."""
    answer = client.post(reverse("fleet:import"), given)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not ImportRun.objects.exists()


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n\x00", b"PK\x03\x04x", b"<html>", b"[]", b"{", b"id\n" + b"x" * 2_000_000]
)
def test_files_that_cannot_be_read(client: Client, content: bytes) -> None:
    """A file that is no source is told in words on the import's page; nothing breaks."""
    answer = upload(client, content, "a\u2028b.csv") if content else upload(client, b"\n\n")
    assert answer.status_code == 200
    assert ImportRun.objects.get().state == ImportState.FAILED
    assert "note bad" in answer.content.decode()


def test_an_address_that_is_private(client: Client) -> None:
    """An address of the own network is refused in words, and its password is not kept."""
    page = client.post(reverse("fleet:import"), {"url": "http://ana:hunter2@127.0.0.1:9/x"}, follow=True)
    text = page.content.decode()
    assert "private address" in text
    assert "hunter2" not in text
    assert "hunter2" not in json.dumps(list(ImportRun.objects.values()), default=str)


def test_who_may(client: Client) -> None:
    """Imports are for staff who may add and change vehicles; others are refused or sent to the login."""
    run = read("id\n1\n")
    pages = [reverse("fleet:import"), address("import_run", run), address("import_problems", run)]
    posts = [address(f"import_{name}", run) for name in ("apply", "discard", "again", "undo")]
    for page in pages:
        assert Client().get(page).status_code == 302
        assert somebody("add_vehicle").get(page).status_code == 403
        assert somebody("add_vehicle", "change_vehicle", is_staff=False).get(page).status_code == 403
        assert client.get(page).status_code == 200
    for page in posts:
        assert Client().post(page).status_code == 302
        assert somebody("view_vehicle", "change_vehicle").post(page).status_code == 403
        assert client.get(page).status_code == 405
    assert client.get(reverse("fleet:import_run", args=[10**9])).status_code == 404
    run.refresh_from_db()
    assert run.state == ImportState.READY


def test_progress(client: Client) -> None:
    """While it is read the page asks for its progress; when that ends it is loaded anew."""
    run = imports.import_create(source="fleet.csv", upload=io.BytesIO(b"id\n1\n"))
    ImportRun.objects.filter(pk=run.pk).update(rows=5000, position=50, size=100)
    page = client.get(address("import_run")).content.decode()
    assert 'hx-trigger="every 1s"' in page
    assert "5,000 rows" in page
    polled = client.get(address("import_run"), headers={"HX-Request": "true"})
    assert polled.content.decode().lstrip().startswith("<section")
    imports.import_read(run=run)
    assert client.get(address("import_run"), headers={"HX-Request": "true"})["HX-Refresh"] == "true"


def test_an_interrupted_reading_is_told(client: Client) -> None:
    """Where the process that read has died, the page says so and offers to read again."""
    run = imports.import_create(source="fleet.csv", upload=io.BytesIO(b"id\n1\n"))
    with locks.held(locks.name_of_run(run.pk)):
        ImportRun.objects.update(seen_at="2026-01-01T00:00Z")
        assert "Interrupted" not in client.get(address("import_run")).content.decode()
    page = client.get(address("import_run")).content.decode()
    assert "has ended before it was done" in page
    client.post(address("import_again", run))
    assert ImportRun.objects.latest("id").state == ImportState.READY


def test_an_interrupted_merge_is_told(client: Client) -> None:
    """Where the process that applied has died, it can be applied again."""
    run = read("id\n1\n")
    ImportRun.objects.update(state=ImportState.APPLYING, seen_at="2026-01-01T00:00Z")
    assert "apply it again" in client.get(address("import_run")).content.decode()
    client.post(address("import_apply", run))
    assert Vehicle.objects.count() == 1


@pytest.mark.logs_errors
def test_a_fault_of_the_program_is_told(client: Client) -> None:
    """An error that nobody expected ends the import with a word, and is logged."""
    with mock.patch("fleet.staging.classify", side_effect=RuntimeError):
        page = upload(client, "id\n1\n").content.decode()
    assert "did not expect" in page
    assert not StagedVehicle.objects.exists()


def test_a_page_takes_the_same_queries_for_many_rows(client: Client) -> None:
    """Fifty rows or two, ten imports or one: the pages ask the database as often."""

    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path).status_code == 200
        return len(captured)

    make("1", battery=50)
    make("same", battery=60)
    make("gone")
    few = read("id,battery\n1,60\nsame,60\nnew,1\nx y,1\n")
    listed = queries(reverse("fleet:import"))
    many = read("id,battery\n" + "".join(f"{number},60\n" for number in range(1, 80)) + "same,60\n" + "x y,1\n" * 60)
    for _more in range(8):
        read("id\n1\n")
    assert queries(reverse("fleet:import")) == listed
    for tab in ("changed", "added", "unchanged", "missing", "rejected"):
        paths = [address("import_run", run) + f"?show={tab}" for run in (few, many)]
        assert queries(paths[0]) == queries(paths[1]), tab
        assert queries(paths[1]) < 18
    imports.import_apply(run=many)
    assert queries(address("import_run", many) + "?show=added") < 18


def test_old_imports_are_pruned(client: Client) -> None:
    """What nobody applied is forgotten after a week, and so are imports that did nothing; the others stay."""
    applied, idle = read("id\n1\n"), read("id\n2\n")
    imports.import_apply(run=applied)
    imports.import_discard(run=idle)
    read("id\n3\n")
    ImportRun.objects.update(created_at=timezone.now() - timedelta(days=8))
    recent = read("id\n4\n")
    assert set(ImportRun.objects.values_list("pk", flat=True)) == {applied.pk, recent.pk}
    assert StagedVehicle.objects.count() == 1
    assert len(list(locks.folder().glob("*.source"))) == 1
