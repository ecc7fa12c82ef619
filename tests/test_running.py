"""``make test`` itself: what it makes of tests that fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.__main__ import FEW, TIMES, tried

TEST = """
from pathlib import Path

def test_{name}():
    with open(Path(__file__).with_suffix(".runs"), "a") as runs:
        runs.write(".")
    assert len(Path(__file__).with_suffix(".runs").read_text()) {condition}

def test_beside():
    assert True
"""


def outcome(folder: Path, *conditions: str) -> tuple[bool, list[int]]:
    """Whether tests that hold on these numbers of their run pass, and how often each was run."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    files = [folder / f"test_{number}.py" for number in range(len(conditions))]
    for number, (file, condition) in enumerate(zip(files, conditions, strict=True)):
        file.write_text(TEST.format(name=number, condition=condition))
    passed = tried("These", ["-p", "xdist", "-n", "2"], {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, folder)
    return passed, [len(file.with_suffix(".runs").read_text()) for file in files]


def test_what_passes_runs_once(tmp_path: Path) -> None:
    """Nothing is run again where nothing failed."""
    assert outcome(tmp_path, "== 1", "> 0") == (True, [1, 1])


@pytest.mark.parametrize(("condition", "runs"), [("< 0", 2), ("== 2", 3), ("in (2, 3)", 4)])
def test_what_fails_again_is_a_failure(tmp_path: Path, condition: str, runs: int) -> None:
    """At whichever of the repetitions it comes again."""
    assert outcome(tmp_path, condition, "> 0") == (False, [runs, 1])


def test_what_fails_once_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It has to pass each time by itself, while the others are left alone; and it is told."""
    assert outcome(tmp_path, "!= 1", "> 0") == (True, [1 + TIMES, 1])
    assert "UNSTABLE: test_0.py::test_0\n" in capfd.readouterr().out


def test_many_failures_are_failures(tmp_path: Path) -> None:
    """Where much is wrong nothing is tried again."""
    assert outcome(tmp_path, *["!= 1"] * (FEW + 1)) == (False, [1] * (FEW + 1))
