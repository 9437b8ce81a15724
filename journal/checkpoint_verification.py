"""Checkpoint verification: does a checkpoint hold what a fresh fold of the log holds at the same seq [J14]?

Each file is read line by line beside the fold of a LogWalk that has come just so far. What cannot be used is told, not
raised: a checkpoint is a cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple, TypeVar

from journal.checkpoint_file import Reading
from journal.checkpoints import Checkpoints, Usable
from journal.errors import DamagedStore, FormatTooNew
from journal.findings import Findings
from journal.index import Index
from journal.log_verification import Stop
from journal.model import Decided, LocalHead

T = TypeVar("T", LocalHead, Decided)


class Comparison:
    """The checkpoints of a store beside a walk through its log; `confirmed` are those that hold, the newest first."""

    def __init__(self, checkpoints: Checkpoints, found: Findings) -> None:
        self.confirmed: list[Usable] = []
        self._checkpoints = checkpoints
        self._found = found

    def stops(self) -> list[Stop]:
        """Where the walk has to stop, in order; what cannot be used is told at once."""
        for path in self._checkpoints.strays():
            self._found.add("stray-file", "info", "no checkpoint: it is not read", path=path)
        usable = [found for seq, path in reversed(self._checkpoints.files()) if (found := self._usable(seq, path))]
        return [Stop(found.position.seq, self._looking_at(found)) for found in usable]

    def _usable(self, seq: int, path: Path) -> Usable | None:
        try:
            found = self._checkpoints.examine(seq, path)
        except (DamagedStore, FormatTooNew) as error:
            self._tell(path, error.message, error.line, seq)
            return None
        if found is None:
            self._found.add("checkpoint-unused", "info", "no record vouches for it: it is not read [J14]", path=path)
        return found

    def _looking_at(self, found: Usable) -> Callable[[Index, int], None]:
        return lambda fold, first_seq: self._compare(found, fold, first_seq)

    def _compare(self, found: Usable, fold: Index, first_seq: int) -> None:
        """Read a checkpoint beside the fold; entities whose newest record is gone with old segments are passed over."""
        differs: list[_Difference] = []
        try:
            with self._checkpoints.reading(found) as reading:
                heads = (head for head in reading.heads() if head.seq >= first_seq)
                differs += _first_difference(reading, heads, fold.all_heads())
                decided = (record for record in reading.decided() if record.seq >= first_seq)
                differs += _first_difference(reading, decided, fold.decisions())
                for _ in chain(decided, reading.lost()):  # to the end, where it is checked
                    pass
        except (DamagedStore, FormatTooNew) as error:
            line, seq = differs[0] if differs else (error.line, found.position.seq)
            self._tell(found.path, error.message, line, seq)
            return
        if differs:
            line, seq = differs[0]
            self._tell(found.path, f"does not hold what the log says of seq {seq}", line, seq)
        else:
            self.confirmed.insert(0, found)

    def _tell(self, path: Path, message: str, line: int | None, seq: int) -> None:
        text = f"{message}; it is passed over [J14]"
        self._found.add("checkpoint-differs", "warning", text, path=path, line=line, seq=seq, fixable=True)


class _Difference(NamedTuple):
    """Where a checkpoint differs from the log first: the line of its file, and the seq that is spoken of."""

    line: int
    seq: int


def _first_difference(reading: Reading, kept: Iterator[T], folded: Iterator[T]) -> list[_Difference]:
    """The first record that one has and the other has not, if any; both are taken up to their ends."""
    found: list[_Difference] = []
    for one, other in zip_longest(kept, folded):
        either = one or other
        if one != other and not found and either is not None:
            found.append(_Difference(reading.line_number, either.seq))
    return found
