"""`python -m benchmarks`: measure, print a table, and fail when a bound does not hold."""

from __future__ import annotations

import argparse
import itertools
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks import remotes
from benchmarks.figures import FULL, QUICK, Bench, Figure, Section

_WIDTHS = (62, 44)


def main() -> int:
    """Run all measurements; 1 when a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed and size of eventsync.")
    parser.add_argument("--quick", action="store_true", help="smaller histories, a few minutes; not for quoting")
    parser.add_argument("--folder", type=Path, help="where to work: a disk that is like yours, with 4 GB free")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}; least of several runs")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="eventsync-bench-", dir=options.folder) as folder:
        bench = Bench(Path(folder), QUICK if options.quick else FULL)
        for section in itertools.chain(bench.sections(), remotes.sections(bench)):
            failed += _print(section)
    print(f"\n{failed} bounds do not hold" if failed else "\nall bounds hold")
    return 1 if failed else 0


def _print(section: Section) -> int:
    print(f"\n{section.title}")
    for figure in section.figures:
        print(f"  {figure.what:{_WIDTHS[0]}} {figure.value:{_WIDTHS[1]}} {_judged(figure)}".rstrip(), flush=True)
    return sum(figure.holds is False for figure in section.figures)


def _judged(figure: Figure) -> str:
    return "" if figure.holds is None else f"{figure.bound}: {'yes' if figure.holds else 'NO'}"


if __name__ == "__main__":
    sys.exit(main())
