"""Tables of figures, with what is needed to run them again."""

from __future__ import annotations

import math
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import redis

from tests import services

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: ``measured`` and ``bound`` in words; ``good`` None where nothing was promised.

    A ``control`` is expected to miss the bound: it is good when it does.
    """

    figure: str
    on: str
    measured: str
    bound: str = ""
    good: bool | None = None
    control: bool = False

    @property
    def verdict(self) -> str:
        if self.good is None:
            return ""
        if self.control:
            return "fails, as it should" if self.good else "**does not fail**"
        return "met" if self.good else "**missed**"


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    rows: Sequence[Row]
    note: str = ""

    @property
    def good(self) -> bool:
        return all(row.good is not False for row in self.rows)

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", "| figure | on | measured | bound | |", "|---|---|---|---|---|"]
        lines += [f"| {row.figure} | {row.on} | {row.measured} | {row.bound} | {row.verdict} |" for row in self.rows]
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines) + "\n"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of them do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def spread(values: Sequence[float], unit: str = "s", digits: int = 2) -> str:
    """Median and range in words."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"median {middle:.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f}, n = {len(values)})"


def header(command: Sequence[str], seed: int) -> str:
    """The machine, the commit and the command, as a list."""
    facts = {
        "command": "`" + " ".join(command) + "`",
        "seed": str(seed),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores, {_memory()} GiB, {_processor()}, {platform.system()} {platform.release()}",
        "software": ", ".join(_versions()),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items()) + "\n"


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (" with changes" if changed else "")


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions() -> list[str]:
    found = [f"Python {sys.version.split()[0]}", f"SQLite {sqlite3.sqlite_version}"]
    if url := services.postgresql():
        with psycopg.connect(url) as connection:
            row = connection.execute("SHOW server_version").fetchone()
            found.append(f"PostgreSQL {str(row[0]).split()[0] if row else ''}")
    if url := services.redis():
        found.append(f"Redis {redis.Redis.from_url(url).info('server')['redis_version']}")
    return found
