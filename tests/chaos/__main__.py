"""``python -m tests.chaos [NAME …] [--seed N] [--count N]``: break things, and print tables in Markdown.

The names are the keys of :data:`RUNS`; all of them without one. ``--count`` is how many schedules, kills, rounds … each
of them runs. Exit status 1 when something was lost or leaked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from tests.bench.report import Table, header
from tests.chaos import accounts, canaries, deaths, kills, publishing, schedules

RUNS: dict[str, Callable[[int, int | None], Table]] = {
    "kills": kills.run,
    "deaths": deaths.run,
    "canaries": canaries.run,
    "accounts": accounts.run,
    "publishing": publishing.run,
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of schedules, " + ", ".join(RUNS))
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--count", type=int)
    given = parser.parse_args(arguments)
    names = given.names or ["schedules", *RUNS]
    if unknown := set(names) - {"schedules", *RUNS}:
        parser.error(f"not a run: {', '.join(sorted(unknown))}")
    print(header(["python -m tests.chaos", *arguments], given.seed))
    good = True
    for name in names:
        if name == "schedules":
            print("### Schedules\n", flush=True)
            count = [] if given.count is None else ["--count", str(given.count)]
            good = schedules.main(["--seed", str(given.seed), *count]) == 0 and good
            print(flush=True)
        else:
            table = RUNS[name](given.seed, given.count)
            print(table.markdown(), flush=True)
            good = good and table.good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
