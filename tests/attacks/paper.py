"""The paper: the attacks that docs/security.md tells of, each with the test that plays it.

The tables there are the list. `make attack` plays what they name, and a test sees that all of it is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
PAPER: Final = ROOT / "docs" / "security.md"
_TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_CORPUS: Final = "## Hostile feeds"


class Told(NamedTuple):
    """One row: an attack under a title, our answer, and the test that shows it."""

    title: str
    attack: str
    answer: str
    path: str
    test: str

    @property
    def node(self) -> str:
        """The test, as pytest names it."""
        return f"{self.path}::{self.test}"


def rows() -> list[Told]:
    """The attacks in the order of the paper."""
    return list(_rows(PAPER.read_text(encoding="utf-8")))


def _rows(text: str) -> Iterator[Told]:
    title = ""
    for line in text.splitlines():
        if line.startswith("#"):
            title = line.lstrip("# ")
        found = _TEST.search(line)
        if found is not None and line.startswith("|"):
            attack, answer = (cell.strip() for cell in line.strip("|").split("|")[:2])
            yield Told(title, attack, answer, *found.groups())


def kinds() -> dict[str, str]:
    """The kinds of hostile feeds, and the answer to each."""
    section = PAPER.read_text(encoding="utf-8").split(_CORPUS)[1].split("\n## ")[0]
    cells = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")][1:]
    return {kind.strip(): answer.strip() for kind, answer in cells}
