"""Database: SQLite files that are caches, opened, looked at and dropped in one way.

WAL with synchronous=NORMAL: after a power cut a cache may be behind, never torn. A file that is no such database raises
CacheUnreadable, and its owner drops it and builds it again [T1]; a disk that refuses raises DiskFailed.
"""

from __future__ import annotations

import contextlib
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from journal.disk import Disk
from journal.errors import CacheUnreadable, DiskFailed

_BUSY_SECONDS: Final = 10.0
_BESIDE: Final = ("-wal", "-shm", "-journal")  # what SQLite keeps beside its file


class Schema(NamedTuple):
    """What a cache consists of. A file with another layout number is none of it."""

    layout: int
    statements: str
    probe: str  # a query that fails when the tables are not there


class Database:
    """One open cache."""

    def __init__(self, db: sqlite3.Connection, path: Path | None) -> None:
        self._db = db
        self._close = weakref.finalize(self, db.close)  # also when its owner forgot
        self.path = path

    @classmethod
    def open(cls, disk: Disk, path: Path, schema: Schema) -> Database:
        """Open the cache at `path`, made when it is not there.

        Raises CacheUnreadable when it must be dropped and built again, DiskFailed when it cannot be opened.
        """
        with _translated(path):
            return cls(_open(disk, path, schema), path)

    @classmethod
    def in_memory(cls, schema: Schema) -> Database:
        """A cache for one command, which nobody else sees; SQLite moves it to a temporary file when it grows."""
        db = sqlite3.connect("", check_same_thread=False)
        db.execute("PRAGMA synchronous = OFF")
        _lay_out(db, schema)
        return cls(db, None)

    @classmethod
    def look(cls, disk: Disk, path: Path, schema: Schema) -> Database | None:
        """A cache as it is, for one who changes no byte; None when nothing is there. Raises as `open`."""
        if not disk.size(path):
            return None
        in_use = bool(disk.size(path.with_name(path.name + "-wal")))
        with _translated(path):
            return cls(_look(path, in_use, schema), path)

    def close(self) -> None:
        """Close the file."""
        self._close()

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or on any error none."""
        with _translated(self.path), self._db:
            yield self._db

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """What a row is made into something with: a value that cannot be is one that the file lost [T1]."""
        try:
            yield
        except (ValueError, TypeError, LookupError) as error:
            raise CacheUnreadable(f"not an index: {error}", path=self.path) from error

    def one(self, statement: str, arguments: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""
        with _translated(self.path):
            row: tuple[Any, ...] | None = self._db.execute(statement, arguments).fetchone()
            return row

    def rows(self, statement: str, arguments: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """All rows, as they are asked for."""
        with _translated(self.path):
            # `yield from` would close the cursor, perhaps after the file.
            for row in self._db.execute(statement, arguments):  # noqa: UP028
                yield row

    def check(self) -> None:
        """Look at the whole file; CacheUnreadable when SQLite finds that it contradicts itself."""
        for (found,) in self.rows("PRAGMA integrity_check(1)"):
            if found != "ok":
                raise CacheUnreadable(f"not an index: {found}", path=self.path)


def drop(disk: Disk, path: Path) -> None:
    """Delete a cache and what SQLite keeps beside it."""
    for suffix in ("", *_BESIDE):
        disk.remove(path.with_name(path.name + suffix))


@contextlib.contextmanager
def _translated(path: Path | None) -> Iterator[None]:
    """Errors of SQLite as ours: its file is no such cache, or the disk refused."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if str(error).startswith(("no such", "Could not decode")):
            raise CacheUnreadable(f"not an index: {error}", path=path) from error
        raise DiskFailed(f"index: {error}", path=path) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise CacheUnreadable(f"not an index: {error}", path=path) from error


def _open(disk: Disk, path: Path, schema: Schema) -> sqlite3.Connection:
    disk.make_file(path)  # private before SQLite opens it: what it keeps beside its file gets the same mode
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        if _layout(db) == 0:
            with db:
                db.execute("BEGIN IMMEDIATE")
                if _layout(db) == 0:  # another process may have been faster
                    _lay_out(db, schema)
        _check_layout(db, schema)
    except BaseException:
        db.close()
        raise
    return db


def _look(path: Path, in_use: bool, schema: Schema) -> sqlite3.Connection:
    """Open without changing a byte: at rest SQLite is told that nothing changes, else it keeps to readers' rules."""
    how = "mode=ro" if in_use else "immutable=1"
    db = sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)
    try:
        _check_layout(db, schema)
        db.execute("BEGIN")
        db.execute(schema.probe).fetchone()  # from here on it is one and the same state
    except BaseException:
        db.close()
        raise
    return db


def _layout(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _check_layout(db: sqlite3.Connection, schema: Schema) -> None:
    if _layout(db) != schema.layout:
        raise sqlite3.DatabaseError(f"layout {_layout(db)}, known is {schema.layout}")
    db.execute(schema.probe).fetchone()


def _lay_out(db: sqlite3.Connection, schema: Schema) -> None:
    for statement in schema.statements.split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {schema.layout}")
