"""The command import_fleet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from fleet import imports, locks
from fleet.models import ImportProblem, ImportRun, ImportState, StagedVehicle, Vehicle
from tests.fleet.factories import make

pytestmark = pytest.mark.django_db


def run(path: Path | str, *options: str) -> tuple[int, str, str]:
    out, errors = StringIO(), StringIO()
    try:
        call_command("import_fleet", str(path), *options, stdout=out, stderr=errors, no_color=True)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue(), errors.getvalue()
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    return 0, out.getvalue(), errors.getvalue()


@pytest.fixture(autouse=True)
def folder(settings, tmp_path: Path) -> None:
    """A folder of its own, in which no other test has left files behind."""
    settings.VAR_DIR = tmp_path / "var"


@pytest.fixture
def csv(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "fleet.csv"
        path.write_text(text)
        return path

    return write


def test_a_good_file(csv) -> None:
    """A good file ends with 0 and says what became of its rows."""
    make("1", battery=10)
    status, out, errors = run(csv("id,battery\n1,10\n2,20\n"), "--country", "es", "--city", "Madrid")
    assert (status, errors) == (0, "")
    assert out == "added 1, changed 0, unchanged 1, retired 0, rejected 0\n"
    assert Vehicle.objects.get(pk="2").country == "Spain"


def test_rejected_rows(csv) -> None:
    """A rejected row ends with 1 and is told with its line; the others are merged."""
    status, out, errors = run(csv("id,battery\n1,10\n2,0.5\n"))
    assert status == 1
    assert "rejected 1" in out
    assert errors.startswith("line 3, battery: ")
    assert Vehicle.objects.count() == 1


@pytest.mark.parametrize("source", ["/nowhere/fleet.csv", "/", "http://127.0.0.1:1/fleet.csv", "ftp://x/f"])
def test_nothing_to_read(source: str) -> None:
    """What is not there, or is no file, ends with 2 and one line."""
    status, _out, error = run(source)
    assert status == 2
    assert source in error


def test_no_headings(csv) -> None:
    """A file without headings ends with 2."""
    assert run(csv("1,2,3\n"))[0] == 2


def test_unknown_country(csv) -> None:
    """A country that does not exist is refused before the file is read."""
    status, _out, error = run(csv("id\n1\n"), "--country", "Spian")
    assert status == 2
    assert "--country" in error


def test_dry_run(csv) -> None:
    """A dry run says so and writes nothing."""
    status, out, _errors = run(csv("id\n1\n"), "--dry-run")
    assert status == 0
    assert "nothing was written" in out
    assert not Vehicle.objects.exists()


def test_too_many_to_retire(csv) -> None:
    """Retiring most of a fleet is refused, with the way to do it all the same."""
    for number in range(10):
        make(str(number))
    path = csv("id\n1\n")
    status, _out, error = run(path, "--retire-missing")
    assert status == 1
    assert "9 of 10" in error
    assert "--force" in error
    assert run(path, "--retire-missing", "--force")[0] == 0
    assert Vehicle.objects.filter(state="removed").count() == 9


def test_an_unclosed_quote(csv) -> None:
    """A file with an unclosed quote ends with 2 and its line, and changes nothing."""
    status, _out, error = run(csv('id,city\nu3,"Madrid\nu4,Sevilla\nu5,Vigo\n'))
    assert (status, Vehicle.objects.count()) == (2, 0)
    assert "Line 2 " in error


@pytest.mark.django_db(transaction=True)
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """What is no plain file is refused, and not waited for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    holder = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)  # so that reading from it would wait, but opening would not
    try:
        os.write(holder, b"id\n1\n")

        def read() -> None:
            results.append(run(pipe))
            connection.close()

        reader = threading.Thread(target=read, daemon=True)
        results: list[tuple[int, str, str]] = []
        reader.start()
        reader.join(60)
        assert results
        assert results[0][0] == 2
    finally:
        os.close(holder)


def test_a_file_that_is_too_large(csv, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond the limit ends with 2."""
    monkeypatch.setattr("fleet.sources.opening.LARGEST_FILE", 10)
    assert run(csv("id\n1\n"))[0] == 0
    assert run(csv("id\n1\n2\n3\n4\n5\n"))[0] == 2


@pytest.mark.parametrize("city", ["x" * 200, "a\x00b", "a\nb"], ids=["long", "NUL", "line break"])
def test_a_city_that_cannot_be(csv, city: str) -> None:
    """A city that could not be stored is refused before the file is read."""
    status, _out, error = run(csv("id\n1\n"), "--city", city)
    assert status == 2
    assert "--city" in error
    assert not Vehicle.objects.exists()


def test_nothing_is_left_behind(csv) -> None:
    """What was staged goes with the import; the run stays, with what it did."""
    assert run(csv("id,battery\n1,10\n2,0.5\n"))[0] == 1
    assert not StagedVehicle.objects.exists()
    assert ImportRun.objects.get().state == ImportState.APPLIED
    assert ImportProblem.objects.count() == 1
    assert run(csv("id\n1\n"), "--dry-run")[0] == 0
    assert ImportRun.objects.first().state == ImportState.DISCARDED
    assert not StagedVehicle.objects.exists()
    assert not list(locks.folder().glob("*.source"))


def test_a_failed_import_is_remembered(csv) -> None:
    """Staff see in the list that last night's import could not be read, and why."""
    assert run(csv("plate\n1\n"))[0] == 2
    failed = ImportRun.objects.get()
    assert failed.state == ImportState.FAILED
    assert "id" in failed.failure


def test_a_feed(tmp_path: Path) -> None:
    """A GBFS file is told by itself; --format refuses to take it for a table."""
    path = tmp_path / "free_bike_status.json"
    bike = {"bike_id": "b1", "lat": 40.4, "lon": -3.7, "is_reserved": 0, "is_disabled": 0}
    path.write_text(json.dumps({"version": "2.2", "data": {"bikes": [bike, {**bike, "bike_id": "b2", "lat": 1.0}]}}))
    status, out, errors = run(path, "--country", "ES")
    assert status == 1
    assert out.startswith("added 1,")
    assert errors.startswith("line 2, data.bikes[1].lon: ")
    assert run(path, "--format", "csv")[0] == 2


def test_one_import_of_a_source_at_a_time(csv) -> None:
    """While a source is imported, a second import of it ends with 2 and says who is at it."""
    path = csv("id\n1\n")
    with locks.held(locks.name_of_source(str(path))):
        status, _out, error = run(path)
    assert status == 2
    assert str(os.getpid()) in error
    assert run(path)[0] == 0


def test_a_lock_dies_with_its_process() -> None:
    """After SIGKILL the lock is free, whatever the process left behind."""
    program = (
        "import sys, time\n"
        "from django.conf import settings\n"
        "settings.configure(VAR_DIR=sys.argv[1], USE_TZ=True)\n"
        "from fleet import locks\n"
        "with locks.held('x'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    arguments = [sys.executable, "-c", program, str(locks.folder().parent)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert locks.is_held("x")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert not locks.is_held("x")
    with locks.held("x"):
        pass


def test_no_password_is_kept() -> None:
    """User and password of an address stand in no message and no row."""
    status, out, error = run("http://ana:hunter2@127.0.0.1:1/fleet.csv?token=hunter2")
    assert status == 2
    assert "hunter2" not in out + error
    assert "hunter2" not in json.dumps(list(ImportRun.objects.values()), default=str)


KILLED = """
import os, sys, threading
sys.path.insert(0, os.getcwd())
from tests.fleet.killed import main
main(*sys.argv[1:])
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("moment", ["staging", "merging"])
def test_a_kill_changes_nothing(csv, tmp_path: Path, moment: str) -> None:
    """Killed while it stages or merges, an import leaves fleet and history as they were, and the next one goes through."""
    make("1", battery=50)
    path = csv("id,battery\n" + "".join(f"{number},60\n" for number in range(20_000)))
    name = str(connection.settings_dict["NAME"])
    variables = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "KILLED_DATABASE": name}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), moment], env=variables, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        time.sleep(0.05)
        process.kill()
        process.wait()
    assert list(Vehicle.objects.values_list("id", "battery")) == [("1", 50)]
    killed = ImportRun.objects.get()
    assert killed.state in (ImportState.READING, ImportState.APPLYING)
    assert killed.changes.count() == 0
    ImportRun.objects.update(seen_at="2026-01-01T00:00Z")
    assert imports.is_interrupted(ImportRun.objects.get())
    assert run(path)[0] == 0
    assert Vehicle.objects.filter(battery=60).count() == 20_000
