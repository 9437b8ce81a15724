"""Watch: what a process does while somebody looks: files opened, SQL statements, bytes read, fsyncs.

Files are seen by an audit hook, whoever opens them; bytes and fsyncs by a Disk that counts its system calls. What
SQLite does with its own files is not among them: its statements are counted instead.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from journal import Disk


@dataclass
class Seen:
    """What happened while a watch was on."""

    opened: list[str] = field(default_factory=list)  # files and folders, by the name they were opened with
    statements: list[str] = field(default_factory=list)
    bytes_read: int = 0
    fsyncs: int = 0

    def opened_like(self, ending: str) -> list[str]:
        """The opened files whose name ends so."""
        return [name for name in self.opened if name.endswith(ending)]

    @property
    def counts(self) -> dict[str, int]:
        """All as numbers."""
        return {
            "files opened": len(self.opened),
            "bytes read": self.bytes_read,
            "fsyncs": self.fsyncs,
            "SQL statements": len(self.statements),
        }


_WATCHES: Final[list[Seen]] = []
_connect: Final = sqlite3.connect
_installed = False


@contextmanager
def watch() -> Iterator[Seen]:
    """Look at this process: what it opens by itself, what it asks SQLite, what CountingDisks read and sync.

    Databases that were open before are not seen: open the store within, as each command does.
    """
    _install()
    seen = Seen()
    _WATCHES.append(seen)
    sqlite3.connect = _connect_seen  # type: ignore[assignment]
    try:
        yield seen
    finally:
        _WATCHES.remove(seen)
        if not _WATCHES:
            sqlite3.connect = _connect


def _install() -> None:
    """An audit hook stays until the process ends: one is enough."""
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _WATCHES and not isinstance(arguments[0], int):
        name = PurePath(os.fsdecode(arguments[0])).name
        for seen in _WATCHES:
            seen.opened.append(name)


def _connect_seen(*arguments: Any, **settings: Any) -> sqlite3.Connection:
    database: sqlite3.Connection = _connect(*arguments, **settings)
    database.set_trace_callback(_trace)
    return database


def _trace(statement: str) -> None:
    for seen in _WATCHES:
        seen.statements.append(statement)


class CountingDisk(Disk):
    """A real disk whose reads and fsyncs are seen."""

    def _read(self, descriptor: int, size: int, start: int) -> bytes:
        data = super()._read(descriptor, size, start)
        for seen in _WATCHES:
            seen.bytes_read += len(data)
        return data

    def _fsync(self, descriptor: int) -> None:
        for seen in _WATCHES:
            seen.fsyncs += 1
        super()._fsync(descriptor)
