"""Index: a SQLite cache of the newest record of every local entity, live or deleted.

A pure function of the log up to its position; position and effect move in one transaction, so it is never ahead [P1] and
a half-applied gap cannot be seen. Deleted or unreadable, it is built again by replay. WAL with synchronous=NORMAL: after a
power cut it may be behind, never torn.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from journal.model import LocalHead, Place, Version

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE position (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, c BLOB NOT NULL,
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL) STRICT;
CREATE TABLE entities (item_type TEXT NOT NULL, item_id TEXT NOT NULL, folded_id TEXT NOT NULL,
    entity_rev INTEGER NOT NULL, seq INTEGER NOT NULL, c TEXT NOT NULL,
    origin TEXT NOT NULL, version_seq INTEGER NOT NULL, version_digest TEXT NOT NULL, context TEXT NOT NULL,
    claims TEXT NOT NULL, deleted INTEGER NOT NULL, private INTEGER NOT NULL, summary TEXT,
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    PRIMARY KEY (item_type, item_id)) STRICT, WITHOUT ROWID;
CREATE INDEX entities_folded ON entities (item_type, folded_id);
CREATE INDEX entities_seq ON entities (seq);
CREATE TABLE torn (segment INTEGER NOT NULL, offset INTEGER NOT NULL, end INTEGER NOT NULL, broken INTEGER NOT NULL,
    PRIMARY KEY (segment, offset)) STRICT, WITHOUT ROWID;
"""
_COLUMNS: Final = (
    "item_type, item_id, entity_rev, seq, c, origin, version_seq, version_digest, context, claims, deleted, private, "
    "summary, segment, offset, length"
)


class Position(NamedTuple):
    """How far the log was applied: last good seq and c, where its line ends, and the file size seen then."""

    seq: int
    c: bytes
    segment: int
    offset: int
    size: int


class Index:
    """The open cache of one store."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = _connect(path)

    def close(self) -> None:
        """Close the database file."""
        self._db.close()

    def position(self) -> Position | None:
        """How far the log was applied; None in a new index."""
        row = self._db.execute("SELECT seq, c, segment, offset, size FROM position").fetchone()
        return Position(*row) if row else None

    def apply(self, heads: Iterable[LocalHead], position: Position, torn: Iterable[tuple[int, int, int, bool]]) -> None:
        """Move position and effect in one transaction [P1]; heads in log order, the later of one entity wins."""
        with self._db:
            self._db.executemany(
                f"INSERT OR REPLACE INTO entities (folded_id, {_COLUMNS}) VALUES (?{', ?' * 16})",
                (_row(head) for head in heads),
            )
            self._db.executemany("INSERT OR REPLACE INTO torn VALUES (?, ?, ?, ?)", torn)
            self._db.execute("INSERT OR REPLACE INTO position VALUES (1, ?, ?, ?, ?, ?)", position)

    def head(self, item_type: str, item_id: str) -> LocalHead | None:
        """The newest record of one entity, live or tombstone, or None when it never was here."""
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM entities WHERE item_type = ? AND item_id = ?", (item_type, item_id)
        ).fetchone()
        return _head(row) if row else None

    def heads(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], LocalHead]:
        """The newest records of many entities at once; those that never were here are left out."""
        found: dict[tuple[str, str], LocalHead] = {}
        for start in range(0, len(keys), 400):
            some = keys[start : start + 400]
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM entities WHERE (item_type, item_id) IN (VALUES {', '.join(['(?, ?)'] * len(some))})",
                [part for key in some for part in key],
            )
            found.update(((row[0], row[1]), _head(row)) for row in rows)
        return found

    def same_id_in_other_case(self, item_type: str, item_id: str) -> str | None:
        """An id that differs from this one only in case, if the type has one [J10]."""
        row = self._db.execute(
            "SELECT item_id FROM entities WHERE item_type = ? AND folded_id = ? AND item_id <> ?",
            (item_type, item_id.lower(), item_id),
        ).fetchone()
        return row[0] if row else None

    def all_heads(self, item_type: str | None = None) -> Iterator[LocalHead]:
        """All heads, tombstones too, by type and id."""
        where, arguments = ("", ()) if item_type is None else ("WHERE item_type = ?", (item_type,))
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM entities {where} ORDER BY item_type, item_id", arguments
        )
        return map(_head, rows)

    def heads_after(self, seq: int) -> Iterator[LocalHead]:
        """Heads whose newest record came after `seq`, in log order: what a projection behind the index lacks [P1]."""
        return map(_head, self._db.execute(f"SELECT {_COLUMNS} FROM entities WHERE seq > ? ORDER BY seq", (seq,)))

    def bad_ranges(self) -> list[tuple[int, int, int, bool]]:
        """Ranges of the log that belong to no record, as found: (segment, offset, end, broken)."""
        rows = self._db.execute("SELECT segment, offset, end, broken FROM torn ORDER BY segment, offset")
        return [(segment, offset, end, bool(broken)) for segment, offset, end, broken in rows]


def drop(path: Path) -> None:
    """Delete an index and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    """Open the cache; one that is unreadable or of another layout is dropped and begun anew [J11]."""
    try:
        return _open(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise
        drop(path)
        return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=10, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        layout = db.execute("PRAGMA user_version").fetchone()[0]
        if layout == 0:
            with db:
                db.execute("BEGIN IMMEDIATE")
                if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                    for statement in _SCHEMA.split(";"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        elif layout != _SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"layout {layout}")
        db.execute("SELECT count(*) FROM position").fetchone()
    except BaseException:
        db.close()
        raise
    path.chmod(0o600)
    return db


def _row(head: LocalHead) -> tuple[Any, ...]:
    return (
        head.item_id.lower(),
        head.item_type,
        head.item_id,
        head.entity_rev,
        head.seq,
        head.c,
        *head.version,
        _dump(head.context),
        _dump(head.claims),
        int(head.deleted),
        int(head.private),
        head.summary,
        *head.place,
    )


def _head(row: Sequence[Any]) -> LocalHead:
    return LocalHead(
        item_type=row[0],
        item_id=row[1],
        entity_rev=row[2],
        seq=row[3],
        c=row[4],
        version=Version(row[5], row[6], row[7]),
        context=json.loads(row[8]),
        claims=json.loads(row[9]),
        deleted=bool(row[10]),
        private=bool(row[11]),
        summary=row[12],
        place=Place(row[13], row[14], row[15]),
    )


def _dump(vector: Mapping[str, int]) -> str:
    return json.dumps(vector, separators=(",", ":"), sort_keys=True)
