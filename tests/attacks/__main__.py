"""Play every attack and print what came of it: hostile feeds one by one, then the tests that docs/security.md names.

Exit 0 when all were answered as told, 1 when one was not.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from tests.attacks.corpus import EVERYTHING
from tests.attacks.paper import ROOT, rows
from tests.attacks.places import Folder
from tests.attacks.playing import play
from tests.doubles.stores import quick_folder


class Line(NamedTuple):
    """One line of the table."""

    kind: str
    attack: str
    answer: str
    held: bool


class Outcomes:
    """How often each test passed and failed, whatever its parameters."""

    def __init__(self) -> None:
        self.passed: defaultdict[str, int] = defaultdict(int)
        self.failed: defaultdict[str, int] = defaultdict(int)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        node = report.nodeid.split("[")[0]
        if report.failed:
            self.failed[node] += 1
        elif report.when == "call" and report.passed:
            self.passed[node] += 1


def hostile_feeds() -> Iterator[Line]:
    """Each row of the corpus, played over a folder."""
    for attack in EVERYTHING:
        with quick_folder() as folder:
            outcome = play(attack, Folder(folder), folder)
        answer = f"{outcome.result}, exit {outcome.exit_code}"
        if outcome.message:
            answer += f", [{attack.rule}]"
        yield Line(attack.kind, attack.name, "; ".join(outcome.problems) or answer, not outcome.problems)


def told_attacks() -> Iterator[Line]:
    """Each row of the paper, by its test."""
    seen, found = Outcomes(), rows()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        pytest.main(["-q", "-p", "no:cacheprovider", *dict.fromkeys(row.node for row in found)], plugins=[seen])
    for row in found:
        passed, failed = seen.passed[row.node], seen.failed[row.node]
        held = bool(passed) and not failed
        yield Line(row.title, row.attack, row.answer if held else f"{failed} of {passed + failed} failed", held)
    if seen.failed:
        sys.stderr.write(said.getvalue())


def table(lines: Sequence[Line]) -> Iterator[str]:
    """The lines in columns."""
    kinds, attacks = max(len(line.kind) for line in lines), max(len(line.attack) for line in lines)
    for line in lines:
        mark = "held" if line.held else "FAILED"
        yield f"{mark:6}  {line.kind:{kinds}}  {line.attack:{attacks}}  {line.answer}"


def main() -> int:
    """Play all, print the table."""
    lines = [*hostile_feeds(), *told_attacks()]
    for text in table(lines):
        print(text)
    failed = sum(not line.held for line in lines)
    print(f"\n{len(lines)} attacks, {failed} not answered as told")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
