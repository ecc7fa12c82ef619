"""``python -m tests.bench [NAME …] [--seed N]``: measure, and print tables in Markdown.

The names are the keys of :data:`MEASUREMENTS`; all of them without one. Exit status 1 when a figure is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from tests.bench import changed, documents, failover, fulls, imports, latency, pages, publishing, recovery, telemetry
from tests.bench.report import Table, header

MEASUREMENTS: dict[str, Callable[[int], Table]] = {
    "latency": latency.run,
    "full": fulls.run,
    "slow": fulls.run_slow,
    "million": fulls.run_million,
    "changed": changed.run,
    "recovery": recovery.run,
    "failover": failover.run,
    "telemetry": telemetry.run,
    "documents": documents.run,
    "imports": imports.run,
    "imports-million": imports.run_million,
    "pages": pages.run,
    "publishing": publishing.run,
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of " + ", ".join(MEASUREMENTS))
    parser.add_argument("--seed", type=int, default=20261121)
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(MEASUREMENTS):
        parser.error(f"not a measurement: {', '.join(sorted(unknown))}")
    print(header(["python -m tests.bench", *arguments], given.seed))
    good = True
    for name in given.names or MEASUREMENTS:
        table = MEASUREMENTS[name](given.seed)
        print(table.markdown(), flush=True)
        good = good and table.good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
