"""The command import_fleet."""

from __future__ import annotations

import os
import threading
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from fleet.models import Vehicle
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


@pytest.mark.parametrize("source", ["/nowhere/fleet.csv", "/", "https://example.org/fleet.csv"])
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


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """What is no plain file is refused, and not waited for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    holder = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)  # so that reading from it would wait, but opening would not
    try:
        os.write(holder, b"id\n1\n")
        reader = threading.Thread(target=lambda: results.append(run(pipe)), daemon=True)
        results: list[tuple[int, str, str]] = []
        reader.start()
        reader.join(5)
        assert results
        assert results[0][0] == 2
    finally:
        os.close(holder)


def test_a_file_that_is_too_large(csv, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond the limit ends with 2."""
    monkeypatch.setattr("fleet.management.commands.import_fleet.LARGEST", 10)
    assert run(csv("id\n1\n"))[0] == 0
    assert run(csv("id\n1\n2\n3\n4\n5\n"))[0] == 2


@pytest.mark.parametrize("city", ["x" * 200, "a\x00b", "a\nb"], ids=["long", "NUL", "line break"])
def test_a_city_that_cannot_be(csv, city: str) -> None:
    """A city that could not be stored is refused before the file is read."""
    status, _out, error = run(csv("id\n1\n"), "--city", city)
    assert status == 2
    assert "--city" in error
    assert not Vehicle.objects.exists()
