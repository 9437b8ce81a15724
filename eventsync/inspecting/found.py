"""Found: what an inspection comes to, as values: rows, facts, faults, and whether the file is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from journal import Finding

_MOST_OF_A_KIND: Final = 1_000  # faults of one kind that are kept; more are counted
_TOO_NEW: Final = "format-too-new"


class Row(NamedTuple):
    """One line, or one entry of a list, of the file. What does not apply is None; all texts are as they stand there."""

    kind: str
    line: int | None = None
    byte: int | None = None
    size_bytes: int | None = None
    seq: int | None = None
    last_seq: int | None = None  # of what stands for several
    ts: str | None = None
    action: str | None = None
    item_type: str | None = None
    item_id: str | None = None
    entity_rev: int | None = None
    batch: tuple[int, int] | None = None
    summary: str | None = None
    chain: str | None = None  # follows, taken, broken
    c: str | None = None
    note: str | None = None  # what is wrong with this one line

    def at(self, line: int, byte: int, size_bytes: int) -> Row:
        """The same row with its place in the file."""
        return self._replace(line=line, byte=byte, size_bytes=size_bytes)


class Fault(NamedTuple):
    """One thing that is wrong, and where in the file; only an error means that the file is damaged."""

    id: str
    severity: str
    message: str
    line: int | None = None
    byte: int | None = None
    seq: int | None = None


class Inspection:
    """One file as it was found: its kind, facts for people, rows that are read as they are taken, and faults."""

    def __init__(self, kind: str, path: Path, size_bytes: int) -> None:
        self.kind = kind
        self.path = path
        self.size_bytes = size_bytes
        self.facts: dict[str, Any] = {}
        self.content: Any = None  # the JSON value of a file that is one
        self.rows: Iterator[Row] = iter(())
        self._faults: list[Fault] = []
        self._counts: Counter[tuple[str, str]] = Counter()

    def tell(
        self,
        kind: str,
        severity: str,
        message: str,
        *,
        line: int | None = None,
        byte: int | None = None,
        seq: int | None = None,
    ) -> None:
        """Add a fault, as long as there are not too many of its kind."""
        self._counts[(kind, severity)] += 1
        if self._counts[(kind, severity)] <= _MOST_OF_A_KIND:
            self._faults.append(Fault(kind, severity, message, line, byte, seq))

    def tell_error(self, kind: str, message: str, **where: int | None) -> None:
        """Add what means that the file is damaged."""
        self.tell(kind, "error", message, **where)

    def tell_too_new(self, message: str) -> None:
        """A later program wrote this: what it means is not guessed [J12]."""
        self.tell(_TOO_NEW, "error", message)

    def take(self, finding: Finding, byte: int | None) -> None:
        """Add what the rooms below found."""
        self.tell(finding.id, finding.severity, finding.message, line=finding.line, byte=byte, seq=finding.seq)

    @property
    def faults(self) -> list[Fault]:
        """Everything that is wrong, and how much more of a kind there is."""
        more = [
            Fault(kind, severity, f"{count - _MOST_OF_A_KIND} more of this kind")
            for (kind, severity), count in self._counts.items()
            if count > _MOST_OF_A_KIND
        ]
        return self._faults + more

    @property
    def is_whole(self) -> bool:
        """Whether nothing that is wrong is an error."""
        return all(severity != "error" for _, severity in self._counts)

    @property
    def is_too_new(self) -> bool:
        """Whether a later program wrote it."""
        return (_TOO_NEW, "error") in self._counts
