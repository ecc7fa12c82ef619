"""The programs that break things, for a few seconds each, so that they do not rot, and the controls of what they show."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from tests.bench.running import ROOT, SQLITE, Rig
from tests.chaos import __main__ as program
from tests.chaos import canaries, kills

pytestmark = pytest.mark.timeout(300)


def test_nothing_is_lost_by_killing_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while starting and while live, on a partner that drops what it has not acted on: equal at the end."""
    monkeypatch.setattr(kills, "EQUAL_WITHIN", 120)  # no figure is measured here
    found = kills.measure(SQLITE, 3, 7, lines=1)
    assert (found.kills, found.lost) == (3, 0)
    assert found.signals > 0
    assert len(found.equal_after) == 1


def test_control_without_settling_a_kill_loses() -> None:
    """Settled when written and with no full afterwards, a change that the partner dropped is never sent again."""
    with Rig() as rig:
        slow = {"delay": 1.5}  # seconds in which a kill loses it
        line = rig.line(SQLITE, 50, settled=True, partner=slow, **kills.SETTINGS)
        result = kills.Result()
        options = ["--without", "full", "settle"]
        # Until it goes wrong: on a busy machine a worker may be killed before it has sent anything.
        for seed in range(1, 7):
            writer = line.writer("steady", rate=50, seed=seed)
            writer.tell()
            killed = kills._kill_some(line, 2, random.Random(seed), options, result)
            writer.tell()
            writer.line()
            kills._check(line, killed, options, result)
            if result.lost:
                break
    assert result.lost > 0


def test_canaries_are_found_in_every_spelling() -> None:
    """What is looked for is found in base64 too, wherever in it the image's comment begins."""
    planted = canaries.canaries(3)
    found: dict[str, int] = {}
    canaries.count(planted.needles(), f"{planted.key} {planted.password} {planted.national_id} {planted.image}", found)
    assert all(found[name] > 0 for name in ("key", "password", "national id", "image"))
    nothing: dict[str, int] = {}
    canaries.count(planted.needles(), "a page that holds none of them", nothing)
    assert not any(nothing.values())


def test_it_runs_without_a_site_s_settings() -> None:
    """Started by hand, as ``make chaos`` does: a few schedules, of which none loses anything."""
    bare = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-m", "tests.chaos", "schedules", "--count", "20"]
    done = subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "### Schedules" in done.stdout


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is broken for a name that means nothing."""
    with pytest.raises(SystemExit):
        program.main(["nothing"])
    assert "not a run: nothing" in capsys.readouterr().err
