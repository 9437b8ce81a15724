"""Findings: what a check found, as values. Errors are for those who cannot go on; a check goes on and tells it all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final, Literal, NamedTuple

from journal.errors import JournalError

Severity = Literal["error", "warning", "info"]
_MOST_OF_A_KIND: Final = 1_000  # of one kind; the rest is only counted, so that no damage exhausts the memory


class Finding(NamedTuple):
    """One thing that is not as it should be: what, and where. `fixable`: it can be made again from what is intact."""

    id: str
    severity: Severity
    message: str
    path: str | None = None
    line: int | None = None
    seq: int | None = None
    fixable: bool = False

    def __str__(self) -> str:
        where = "" if self.path is None else self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{where}: {self.message}" if where else self.message


class Report(NamedTuple):
    """All that was found, in the order of the checks, and how much was looked at."""

    findings: list[Finding]
    records: int
    last_seq: int

    @property
    def ok(self) -> bool:
        """Whether nothing that was found is an error."""
        return all(finding.severity != "error" for finding in self.findings)


class Findings:
    """Collects what is found."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._counts: Counter[tuple[str, Severity]] = Counter()

    def add(
        self,
        kind: str,
        severity: Severity,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        seq: int | None = None,
        fixable: bool = False,
    ) -> None:
        """Add a finding of a kind, as long as there are not too many of it."""
        self._counts[(kind, severity)] += 1
        if self._counts[(kind, severity)] <= _MOST_OF_A_KIND:
            where = None if path is None else str(path)
            self._found.append(Finding(kind, severity, message, where, line, seq, fixable))

    def withdraw(self, kind: str, path: Path | str, line: int) -> None:
        """Drop what was told of a place: it turned out to be something else."""
        for at in reversed(range(len(self._found))):
            found = self._found[at]
            if (found.id, found.path, found.line) == (kind, str(path), line):
                self._counts[(kind, found.severity)] -= 1
                del self._found[at]
                return

    def add_error(self, kind: str, error: JournalError) -> None:
        """Add what an error says."""
        message = f"{error.message} [{error.rule}]" if error.rule else error.message
        self.add(kind, "error", message, path=error.path, line=error.line, seq=error.seq)

    def all(self) -> list[Finding]:
        """Everything found, and how much more of a kind there was."""
        more = [
            Finding(kind, severity, f"{count - _MOST_OF_A_KIND} more of this kind")
            for (kind, severity), count in self._counts.items()
            if count > _MOST_OF_A_KIND
        ]
        return self._found + more
