"""The tests that the documentation names are there; ``test_`` is left out of each name."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"


def test_what_shows_the_outcomes_of_publishing() -> None:
    """Each as ``file.py::name``."""
    named = re.findall(r"`([\w/]*test_\w+\.py)::(\w+)`", (DOCS / "crusoe.md").read_text())
    assert len(named) > 80
    missing = []
    for file, name in named:
        path = TESTS / (file if "/" in file else f"itineraries/{file}")
        if not path.exists() or f"def test_{name}(" not in path.read_text():
            missing.append(f"{file}::{name}")
    assert missing == []


def test_what_shows_the_faults_of_the_line() -> None:
    """A row for each fault, with at least one test and one control over a real socket."""
    _before, _head, after = (DOCS / "citytrips.md").read_text().partition("| what happens | shown by | control |\n")
    rows = [line.strip("|").split("|") for line in after.partition("\n\n")[0].splitlines()[1:]]
    assert len(rows) > 25
    there = "".join(path.read_text() for path in (TESTS / "backoffice" / "citytrips").glob("test_faults_of_*.py"))
    for fault, *columns in rows:
        for column in columns:
            named = re.findall(r"`(\w+)`", column)
            assert named, fault
            assert [name for name in named if f"def test_{name}(" not in there] == [], fault
