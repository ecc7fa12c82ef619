"""The programs that measure, for a few seconds each, so that they do not rot. No figure is held to its bound here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.backoffice.serving import soon
from tests.bench import __main__ as program
from tests.bench import changed, documents, failover, fulls, imports, recovery
from tests.bench.report import Row, Table, header, percentile
from tests.bench.running import SQLITE, Rig, until

pytestmark = pytest.mark.timeout(300)


def test_a_change_is_timed_from_its_commit_to_its_arrival() -> None:
    """Each change that another process commits is found at the partner, later than its commit."""
    with Rig() as rig:
        line = rig.line(SQLITE, 50, settled=True, redis=False, partner={"keep_arrivals": True})
        line.wait_live(line.worker())
        until(lambda: line.ask("counts")["held"] == 50, 60)  # the full is no arrival of a change
        writer = line.writer("changes", rate=50, count=20)
        writer.tell()
        committed = json.loads(writer.line())
        until(line.is_equal, 60)
        arrived = {(vehicle, latitude): at for vehicle, latitude, at in line.ask("arrivals")}
    assert len(committed) == 20
    assert all(arrived[vehicle, latitude] > at for vehicle, latitude, at in committed)


def test_a_full_is_timed_beside_its_floor() -> None:
    """Both send the same bytes; how long they take and what they hold in memory is found."""
    found = fulls.measure(SQLITE, 3000, 2, settled=True, seconds=60)
    assert len(found.taken) == 3
    assert len(found.floor) == 2
    assert min(found.taken + found.floor) > 0
    assert found.size > 3000 * 100


def test_changes_are_timed_by_stage() -> None:
    """A thousand changes in a small fleet: each stage of their way is found."""
    found = changed.measure(SQLITE, 1000, 1500, 1, seed=1)
    assert {fleet: set(taken) for fleet, (taken,) in found.items()} == {
        fleet: {*changed.STAGES, "floor", "told"} for fleet in (1000, 1500)
    }


def test_a_failover_is_timed() -> None:
    """After SIGTERM the other worker is live, and the two were never so at once."""
    found = failover.Found()
    with Rig() as rig:
        failover._tries(rig.line(SQLITE, 20), ["SIGTERM"], found)
    assert len(found.taken["SIGTERM"]) == 1
    assert found.both["SIGTERM"] == [0]


def test_a_document_is_timed_beside_its_floor() -> None:
    """Trips of each size, the choices, the queries and the searches are found; the trips are in order."""
    found = documents.measure(SQLITE, seed=1, times=1)
    assert {int(cards) for cards in found["reckoning"]} == set(documents.CARDS)
    assert all(one["problems"] == 0 and min(one["floor"] + one["reckoned"]) > 0 for one in found["reckoning"].values())
    assert found["choices"]["problems"] > 20
    assert {cards: set(counted) for cards, counted in found["queries"].items()} == {
        cards: {"page", "API"} for cards in ("5", "50")
    }
    assert set(found["searches"]) == {"floor", *documents.SEARCHES}


def test_an_import_is_timed_beside_its_floor() -> None:
    """Both write the same rows; what each step takes, what it holds and who waits for it is found."""
    (found,) = imports.measure(SQLITE, 500, 1, seed=1, prefix="ES-")
    assert found["changed"] == 500
    assert min(found[step] for step in ("floor", "stage", "classify", "merge")) > 0
    taken, imported = imports.waits(SQLITE, 500, seed=1)
    assert imported["changed"] == 500
    assert taken
    assert imports.staged(SQLITE, 2000, seed=1)["added"] == 2000


def test_overlaps_are_summed() -> None:
    """Two sockets that were authenticated at once, one that never was, and one that still is."""
    assert failover.overlap([[0, 1, 5], [2, 3, 9], [2, None, 9], [8.5, 9, None]], 10) == 2


def test_the_busiest_minute_is_any_sixty_seconds() -> None:
    """Not those of a clock."""
    assert recovery.busiest_minute([0, 50, 55, 100, 109, 111]) == 4


def test_percentiles_are_values_that_occurred() -> None:
    assert percentile([3, 1, 2, 4], 0.5) == 2
    assert percentile([3, 1, 2, 4], 0.99) == 4


def test_a_missed_figure_and_a_control_that_passes_are_said() -> None:
    """A table is good when its figures are met and its controls are not."""
    table = Table("A", [Row("f", "SQLite", "2", "1", False), Row("c", "SQLite", "2", "1", False, control=True)])
    assert not table.good
    assert "**missed**" in table.markdown()
    assert "**does not fail**" in table.markdown()


def test_a_table_names_what_it_came_from() -> None:
    """The machine, the commit, the seed and the command stand above the figures."""
    text = header(["python -m tests.bench", "latency"], 7)
    assert all(f"- {name}: " in text for name in ("command", "seed", "commit", "machine", "software"))
    assert "python -m tests.bench latency" in text


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is measured for a name that means nothing."""
    with pytest.raises(SystemExit):
        program.main(["nothing"])
    assert "not a measurement: nothing" in capsys.readouterr().err


def test_the_makefile_knows_both_programs() -> None:
    """`make bench` and `make chaos` run them."""
    text = (Path(__file__).parents[2] / "Makefile").read_text()
    assert re.search(r"^bench:.*\n\t@\$\(PYTHON\) -m tests\.bench", text, re.MULTILINE)
    assert re.search(r"^chaos:.*\n\t@\$\(PYTHON\) -m tests\.chaos", text, re.MULTILINE)


def test_a_half_open_line_is_timed() -> None:
    """A connection that falls silent is given up after interval and timeout, and not at all without pings."""
    with Rig() as rig:
        quick = {"CITYTRIPS_PING_INTERVAL": "0.5", "CITYTRIPS_PING_TIMEOUT": "0.5"}

        def once() -> float:
            taken = recovery._half_open(rig.line(SQLITE, 20, **quick), 0.1)
            assert taken is not None
            return taken

        soon(once, 3)
        control = recovery._half_open(rig.line(SQLITE, 20, **quick), 3.0, "pings", patience=3.0)
    assert control is None
