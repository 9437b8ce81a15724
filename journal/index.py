"""Index: a SQLite cache of the newest record of every local entity, live or deleted, and of all local decisions.

A pure function of the log up to its position; position and effect move in one transaction, so it is never ahead [P1]
and a half-applied gap cannot be seen. Deleted or unreadable, it is built again by replay.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from journal.database import Database, Schema
from journal.disk import Disk
from journal.model import MAX_SEQ, ORIGIN_ACTIONS, RECORD_VERSION, SEGMENT_FORMAT, Decided, LocalHead, Place, Version

# A program that writes newer records must not have its index taken over by one that cannot read them [J12].
_LAYOUT: Final = SEGMENT_FORMAT * 10_000 + RECORD_VERSION * 100 + 3
_ON_ORIGINS: Final = "action IN (" + ", ".join(f"'{action}'" for action in ORIGIN_ACTIONS) + ")"
_STATEMENTS: Final = f"""
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
CREATE TABLE decisions (seq INTEGER PRIMARY KEY, action TEXT NOT NULL, item_type TEXT NOT NULL, item_id TEXT,
    cause TEXT NOT NULL, root TEXT) STRICT;
CREATE INDEX decisions_on_origins ON decisions (seq) WHERE {_ON_ORIGINS};
CREATE TABLE torn (segment INTEGER NOT NULL, offset INTEGER NOT NULL, end INTEGER NOT NULL, broken INTEGER NOT NULL,
    PRIMARY KEY (segment, offset)) STRICT, WITHOUT ROWID;
"""
_COLUMNS: Final = (
    "item_type, item_id, entity_rev, seq, c, origin, version_seq, version_digest, context, claims, deleted, private, "
    "summary, segment, offset, length"
)
_PUT_HEAD: Final = f"INSERT OR REPLACE INTO entities (folded_id, {_COLUMNS}) VALUES (?{', ?' * 16})"
_KEYS_AT_ONCE: Final = 400  # SQLite takes at least 999 parameters in one statement


class Position(NamedTuple):
    """How far the log was applied: last good seq and c, where its line ends, and the file size seen then."""

    seq: int
    c: bytes
    segment: int
    offset: int
    size: int


class Torn(NamedTuple):
    """Bytes of a segment that belong to no record; `broken`: records were lost there [J7]."""

    segment: int
    offset: int
    end: int
    broken: bool


_SCHEMA: Final = Schema(_LAYOUT, _STATEMENTS, "SELECT seq FROM position")


class Index:
    """The open cache of one store."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.path = db.path

    @classmethod
    def open(cls, disk: Disk, path: Path) -> Index:
        """Open the index at `path`, made when it is not there.

        Raises CacheUnreadable when it must be dropped and built again, DiskFailed when it cannot be opened.
        """
        return cls(Database.open(disk, path, _SCHEMA))

    @classmethod
    def in_memory(cls) -> Index:
        """An index for one command, which nobody else sees."""
        return cls(Database.in_memory(_SCHEMA))

    @classmethod
    def look(cls, disk: Disk, path: Path) -> Index | None:
        """An index as it is, for one who changes no byte; None when there is none. Raises as `open`."""
        found = Database.look(disk, path, _SCHEMA)
        return None if found is None else cls(found)

    def close(self) -> None:
        """Close the database file."""
        self._db.close()

    def check(self) -> None:
        """Look at the whole file; CacheUnreadable when it contradicts itself."""
        self._db.check()

    def position(self) -> Position | None:
        """How far the log was applied; None in a new index."""
        row = self._db.one("SELECT seq, c, segment, offset, size FROM position", ())
        with self._db.reading():
            return _position(row) if row else None

    def apply(
        self,
        heads: Iterable[LocalHead],
        position: Position,
        torn: Iterable[Torn] = (),
        decided: Iterable[Decided] = (),
    ) -> None:
        """Move position and effect in one transaction [P1]; heads in log order, the later of one entity wins.

        Each is taken up once: heads, decisions, torn ranges. What is raised on the way undoes all of it.
        """
        with self._db.change() as db:
            db.executemany(_PUT_HEAD, (_row(head) for head in heads))
            db.executemany("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?, ?)", decided)
            db.executemany("INSERT OR REPLACE INTO torn VALUES (?, ?, ?, ?)", torn)
            db.execute("INSERT OR REPLACE INTO position VALUES (1, ?, ?, ?, ?, ?)", position)

    def head(self, item_type: str, item_id: str) -> LocalHead | None:
        """The newest record of one entity, live or tombstone, or None when it never was here."""
        if not (item_type.isascii() and item_id.isascii()):  # no id of ours, and maybe no text SQLite takes [J10]
            return None
        row = self._db.one(f"SELECT {_COLUMNS} FROM entities WHERE item_type = ? AND item_id = ?", (item_type, item_id))
        with self._db.reading():
            return _head(row) if row else None

    def heads(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], LocalHead]:
        """The newest records of many entities at once; those that never were here are left out."""
        found: dict[tuple[str, str], LocalHead] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            rows = self._db.rows(
                f"SELECT {_COLUMNS} FROM entities WHERE (item_type, item_id) IN (VALUES {_pairs(len(some))})",
                [part for key in some for part in key],
            )
            with self._db.reading():
                found.update(((row[0], row[1]), _head(row)) for row in rows)
        return found

    def same_id_in_other_case(self, item_type: str, item_id: str) -> str | None:
        """An id that differs from this one only in case, if the type has one [J10]."""
        row = self._db.one(
            "SELECT item_id FROM entities WHERE item_type = ? AND folded_id = ? AND item_id <> ?",
            (item_type, item_id.lower(), item_id),
        )
        return row[0] if row else None

    def all_heads(self, item_type: str | None = None) -> Iterator[LocalHead]:
        """All heads, tombstones too, by type and id."""
        where, arguments = ("", ()) if item_type is None else ("WHERE item_type = ?", (item_type,))
        return self._heads(f"{where} ORDER BY item_type, item_id", arguments)

    def heads_behind(self, item_type: str | None, key: tuple[str, str], most: int) -> list[LocalHead]:
        """The first so many heads behind a type and id, tombstones too: a page of all there are."""
        where, behind = "(item_type, item_id) > (?, ?)", key
        if item_type is not None:
            where, behind = "item_type = ? AND item_id > ?", (item_type, key[1])
        order = "ORDER BY item_type, item_id LIMIT ?"
        rows = self._db.rows(f"SELECT {_COLUMNS} FROM entities WHERE {where} {order}", (*behind, most))
        return [*map(_head, rows)]

    def heads_after(self, seq: int) -> Iterator[LocalHead]:
        """Heads whose newest record came after `seq`, in log order: what a projection behind the index lacks [P1]."""
        return self._heads("WHERE seq > ? ORDER BY seq", (seq,))

    def _heads(self, which: str, arguments: Sequence[Any]) -> Iterator[LocalHead]:
        with self._db.reading():
            yield from map(_head, self._db.rows(f"SELECT {_COLUMNS} FROM entities {which}", arguments))

    def decisions(self, up_to: int = MAX_SEQ, since: int = 0) -> Iterator[Decided]:
        """What was decided about foreign records after a seq and up to another, in log order."""
        rows = self._db.rows(
            "SELECT seq, action, item_type, item_id, cause, root FROM decisions "
            "WHERE seq > ? AND seq <= ? ORDER BY seq",
            (since, up_to),
        )
        return (Decided(*row) for row in rows)

    def decisions_on_origins(self) -> list[Decided]:
        """What was decided about whole origins, in log order; the cost does not grow with other decisions."""
        rows = self._db.rows(
            f"SELECT seq, action, item_type, item_id, cause, root FROM decisions WHERE {_ON_ORIGINS} ORDER BY seq", ()
        )
        return [Decided(*row) for row in rows]

    def bad_ranges(self) -> list[Torn]:
        """Ranges of the log that belong to no record, as found: (segment, offset, end, broken)."""
        rows = self._db.rows("SELECT segment, offset, end, broken FROM torn ORDER BY segment, offset", ())
        return [Torn(segment, offset, end, bool(broken)) for segment, offset, end, broken in rows]

    def first_broken_range(self) -> tuple[int, int, int] | None:
        """The first range of the log where records were damaged: (segment, offset, end) [J7]."""
        row = self._db.one("SELECT segment, offset, end FROM torn WHERE broken ORDER BY segment, offset LIMIT 1", ())
        return None if row is None else (row[0], row[1], row[2])


def _pairs(count: int) -> str:
    return ", ".join(["(?, ?)"] * count)


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


def _position(row: Sequence[Any]) -> Position:
    if [type(value) for value in row] != [int, bytes, int, int, int]:
        raise ValueError("no position")
    return Position(*row)


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
