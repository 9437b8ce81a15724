"""Index: a SQLite cache of what the mirrors and the journal say together: positions, foreign heads, decisions.

A pure function of mirrors and journal, deletable. Foreign-head upserts and the position they stand for move in one
transaction [F7]. Payloads stay in the mirror; rows hold their places. A verdict is kept with its row until something it
depends on changes, and is then computed anew: NULL means "ask causality".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

from federation.causality import ForeignHead, Judgement
from federation.model import OPEN_VERDICTS
from federation.receipts import RECEIPT_TABLE, Receipt, ReceiptTable
from federation.verification import State
from journal import (
    RECORD_VERSION,
    SCHEMAS_EDITION,
    BlobRef,
    CacheUnreadable,
    Database,
    Disk,
    Position,
    Ref,
    Schema,
    Version,
    drop,
)

# Raised with every change of the tables; a program that reads newer records or payloads has another one.
_LAYOUT: Final = (RECORD_VERSION * 100 + SCHEMAS_EDITION) * 100 + 10
_STATEMENTS: Final = """
CREATE TABLE local (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, c BLOB NOT NULL,
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL) STRICT;
CREATE TABLE origins (origin TEXT PRIMARY KEY, seq INTEGER NOT NULL, place TEXT NOT NULL, notes TEXT NOT NULL) STRICT;
CREATE TABLE heads (origin TEXT NOT NULL, item_type TEXT NOT NULL, item_id TEXT NOT NULL, seq INTEGER NOT NULL,
    entity_rev INTEGER, action TEXT NOT NULL, digest TEXT NOT NULL, root TEXT, context TEXT, claims TEXT,
    tombstone INTEGER NOT NULL, unreadable TEXT, summary TEXT,
    slice INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    verdict TEXT, label TEXT, lie TEXT, root_on TEXT, root_seq INTEGER, waits_on TEXT, waits_seq INTEGER,
    doubtful INTEGER NOT NULL DEFAULT 0, blob TEXT,
    PRIMARY KEY (origin, item_type, item_id)) STRICT, WITHOUT ROWID;
CREATE INDEX heads_entity ON heads (item_type, item_id);
CREATE INDEX heads_asked ON heads (origin, seq) WHERE verdict IS NULL;
CREATE INDEX heads_waiting ON heads (waits_on, waits_seq) WHERE waits_on IS NOT NULL;
CREATE INDEX heads_lying ON heads (origin, seq) WHERE lie IS NOT NULL;
CREATE INDEX heads_doubtful ON heads (doubtful) WHERE doubtful = 1;
CREATE INDEX heads_blob ON heads (origin, blob) WHERE blob IS NOT NULL;
CREATE TABLE blobs (origin TEXT NOT NULL, ref TEXT NOT NULL, missing INTEGER NOT NULL,
    PRIMARY KEY (origin, ref)) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_missing ON blobs (origin) WHERE missing = 1;
CREATE INDEX heads_root_waiting ON heads (root_on, root_seq) WHERE root_on IS NOT NULL;
CREATE TABLE withheld (origin TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (origin, first)) STRICT, WITHOUT ROWID;
CREATE TABLE identity (one INTEGER PRIMARY KEY CHECK (one = 1), origins TEXT NOT NULL) STRICT;
CREATE TABLE marks (origin TEXT NOT NULL, seq INTEGER NOT NULL, c BLOB NOT NULL, t BLOB NOT NULL,
    PRIMARY KEY (origin, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE decisions (origin TEXT NOT NULL, seq INTEGER NOT NULL, digest TEXT NOT NULL, item_type TEXT NOT NULL,
    item_id TEXT NOT NULL, cause_origin TEXT NOT NULL, cause_seq INTEGER NOT NULL, action TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (origin, seq, digest, item_type, item_id, cause_origin, cause_seq)) STRICT, WITHOUT ROWID;
CREATE TABLE counts (origin TEXT PRIMARY KEY, open INTEGER NOT NULL, settled INTEGER NOT NULL) STRICT;
"""
_SCHEMA: Final = Schema(_LAYOUT, RECEIPT_TABLE + _STATEMENTS, "SELECT seq FROM local")
_COLUMNS: Final = (
    "origin, item_type, item_id, seq, entity_rev, action, digest, root, context, claims, tombstone, unreadable, "
    "summary, slice, offset, length, verdict, label, blob, lie"
)
_OPEN: Final = "verdict IN (" + ", ".join(f"'{verdict.value}'" for verdict in sorted(OPEN_VERDICTS)) + ")"


class Row(NamedTuple):
    """A foreign head as the index keeps it; context and claims as JSON text, None for absent."""

    origin: str
    item_type: str
    item_id: str
    seq: int
    entity_rev: int | None
    action: str
    digest: str
    root: str | None
    context: str | None
    claims: str | None
    tombstone: int
    unreadable: str | None
    summary: str | None
    slice: int
    offset: int
    length: int
    verdict: str | None = None
    label: str | None = None
    blob: str | None = None  # a BlobRef as text, of a payload that stands beside the feed
    lie: str | None = None  # origin@seq, which its context says it includes and which cannot be [K4]

    def foreign_head(self) -> ForeignHead:
        """The row as causality reads it; CacheUnreadable when it is not as it was written."""
        try:
            return self._foreign_head()
        except (ValueError, TypeError) as error:
            raise CacheUnreadable(f"not an index: {error}") from error

    def _foreign_head(self) -> ForeignHead:
        return ForeignHead(
            self.origin,
            self.item_type,
            self.item_id,
            self.seq,
            self.digest,
            bool(self.tombstone),
            None if self.root is None else Version.parse(self.root),
            None if self.context is None else json.loads(self.context),
            {} if self.claims is None else json.loads(self.claims),
            self.unreadable,
        )


class Decision(NamedTuple):
    """What we decided about a version of an entity; the entity is "" where our journal cannot hold its id [J10]."""

    origin: str
    seq: int
    digest: str
    item_type: str
    item_id: str
    cause_origin: str  # of the foreign record it was taken on
    cause_seq: int
    action: str  # accept or reject; snooze, which delays; reopen, which undoes each of them
    at: int  # the seq of our record


def database_at(disk: Disk, path: Path) -> Database:
    """The file of an index, made when it is not there; what cannot be read is begun anew [T1]."""
    try:
        return Database.open(disk, path, _SCHEMA)
    except CacheUnreadable:
        drop(disk, path)
        return Database.open(disk, path, _SCHEMA)


class Contents(NamedTuple):
    """All that the index says of one origin, but for its verdicts' reasons."""

    rows: Mapping[tuple[str, str], Row]
    notes: Mapping[str, Any]
    receipts: frozenset[Receipt]


class Index:
    """The open cache."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.path = db.path
        self.receipts = ReceiptTable(db)

    @classmethod
    def open(cls, disk: Disk, path: Path) -> Self:
        """The index at `path`, made when it is not there."""
        return cls(database_at(disk, path))

    @classmethod
    def in_memory(cls) -> Self:
        """An index that nobody else sees."""
        return cls(Database.in_memory(_SCHEMA))

    @classmethod
    def look(cls, disk: Disk, path: Path) -> Self | None:
        """An index as it is, for one who changes no byte; None when there is none. CacheUnreadable when it is none."""
        found = Database.look(disk, path, _SCHEMA)
        return None if found is None else cls(found)

    def close(self) -> None:
        """Close the database file."""
        self._db.close()

    def check(self) -> None:
        """Look at the whole file; CacheUnreadable when it contradicts itself."""
        self._db.check()

    # --- whose it is ---

    def identity(self) -> str | None:
        """Of which identity of the store this index is, None when it is new: another one means to begin anew [I2]."""
        row = self._db.one("SELECT origins FROM identity")
        return row[0] if row else None

    def set_identity(self, origins: str) -> None:
        """Say of which identity it is; what is ours and what is foreign depends on that."""
        with self._db.change() as db:
            db.execute("INSERT OR REPLACE INTO identity VALUES (1, ?)", (origins,))

    # --- positions ---

    def position(self, origin: str) -> tuple[int, str]:
        """How far an origin was materialized: seq, and for bridged origins a place; (0, "") at first."""
        row = self._db.one("SELECT seq, place FROM origins WHERE origin = ?", (origin,))
        return (row[0], row[1]) if row else (0, "")

    def notes(self, origin: str) -> dict[str, Any]:
        """What materializing found worth telling of an origin (lines it could not read, …)."""
        row = self._db.one("SELECT notes FROM origins WHERE origin = ?", (origin,))
        with self._db.reading():
            return json.loads(row[0]) if row else {}

    def local_position(self) -> Position | None:
        """How far the journal's decisions and heads are known here."""
        row = self._db.one("SELECT seq, c, segment, offset, size FROM local")
        return Position(*row) if row else None

    def mark_before(self, origin: str, seq: int) -> State | None:
        """The nearest remembered (seq, c, t) of a feed at or before a seq."""
        row = self._db.one(
            "SELECT seq, c, t FROM marks WHERE origin = ? AND seq <= ? ORDER BY seq DESC LIMIT 1", (origin, seq)
        )
        return State(*row) if row else None

    # --- writing ---

    def flush(
        self,
        origin: str,
        rows: Iterable[Row],
        position: tuple[int, str],
        *,
        receipts: Iterable[Receipt] = (),
        notes: Mapping[str, Any] | None = None,
        blobs: Mapping[BlobRef, bool] = MappingProxyType({}),
    ) -> None:
        """Upsert foreign heads and move the position they stand for, in one transaction [F7].

        `blobs` are those that lines refer to, and whether they are missing. Rows of other origins that were judged by
        what this origin had not yet shown are asked again.
        """
        by_key = sorted(rows, key=lambda row: row[:3])  # as they stand in the table: far fewer pages are touched
        with self._db.change() as db:
            db.executemany(
                f"INSERT INTO heads ({_COLUMNS}) VALUES (?{', ?' * 19}) ON CONFLICT DO UPDATE SET "
                + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[3:])
                + ", root_on = NULL, waits_on = NULL WHERE excluded.seq > heads.seq "
                "OR (excluded.slice, excluded.offset) > (heads.slice, heads.offset)",
                by_key,
            )
            # In the order of their feed: the last word on a version counts.
            db.executemany(
                "INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?, ?)",
                ((origin, *receipt) for receipt in receipts),
            )
            db.executemany(
                "INSERT OR REPLACE INTO blobs VALUES (?, ?, ?)",
                ((origin, str(ref), int(missing)) for ref, missing in blobs.items()),
            )
            db.execute(
                "INSERT OR REPLACE INTO origins VALUES (?, ?, ?, ?)", (origin, *position, json.dumps(notes or {}))
            )
            for waiting in ("waits", "root"):
                db.execute(
                    f"UPDATE heads SET verdict = NULL WHERE {waiting}_on = ? AND {waiting}_seq <= ?",
                    (origin, position[0]),
                )
            db.execute("DELETE FROM counts")

    def forget(self, origin: str) -> None:
        """Drop what was materialized of an origin: its mirror is not the one this was read from."""
        with self._db.change() as db:
            for table in ("heads", "origins", "marks", "receipts", "counts", "blobs"):
                db.execute(f"DELETE FROM {table} WHERE origin = ?", (origin,))
            db.execute("UPDATE heads SET verdict = NULL")  # whatever was judged by what stood there

    def forget_local(self, origin: str) -> None:
        """Drop what was learned of our own journal and feed: they are not the ones this was read from."""
        with self._db.change() as db:
            for table in ("local", "decisions", "withheld", "counts"):
                db.execute(f"DELETE FROM {table}")
            for table in ("origins", "marks", "blobs"):
                db.execute(f"DELETE FROM {table} WHERE origin = ?", (origin,))
            db.execute("UPDATE heads SET verdict = NULL")

    def add_own(
        self, origin: str, withheld: Iterable[tuple[int, int]], blobs: Iterable[BlobRef], position: tuple[int, str]
    ) -> None:
        """Remember which seqs our own feed withholds and which blobs its lines refer to, up to a position in it."""
        with self._db.change() as db:
            db.executemany("INSERT OR REPLACE INTO withheld VALUES (?, ?, ?)", ((origin, *found) for found in withheld))
            db.executemany("INSERT OR REPLACE INTO blobs VALUES (?, ?, 0)", ((origin, str(ref)) for ref in blobs))
            db.execute("INSERT OR REPLACE INTO origins VALUES (?, ?, ?, '{}')", (origin, *position))

    def is_withheld(self, origin: str, seq: int) -> bool:
        """Whether our own feed under an origin has a skip where this record of ours stands."""
        row = self._db.one(
            "SELECT last FROM withheld WHERE origin = ? AND first <= ? ORDER BY first DESC LIMIT 1", (origin, seq)
        )
        return row is not None and seq <= row[0]

    def add_marks(self, origin: str, marks: Iterable[State]) -> None:
        """Remember (c, t) at slice ends, so that an older head is compared without walking from the start."""
        with self._db.change() as db:
            db.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", ((origin, *mark) for mark in marks))

    def apply_local(
        self,
        touched: Iterable[tuple[str, str]],
        unnamed: Iterable[Ref],
        decided: Iterable[Decision],
        position: Position,
    ) -> None:
        """Take in journal records: what they touch is asked again, decisions are kept; with the position.

        `unnamed` are the causes of decisions about entities whose id our journal cannot hold [J10].
        """
        with self._db.change() as db:
            db.executemany("UPDATE heads SET verdict = NULL WHERE item_type = ? AND item_id = ?", set(touched))
            db.executemany("UPDATE heads SET verdict = NULL WHERE origin = ? AND seq = ?", unnamed)
            # In log order: the last word on a version counts.
            db.executemany(f"INSERT OR REPLACE INTO decisions VALUES (?{', ?' * 8})", decided)
            db.execute("INSERT OR REPLACE INTO local VALUES (1, ?, ?, ?, ?, ?)", position)
            db.execute("DELETE FROM counts")

    def set_verdicts(self, judged: Iterable[tuple[Row, Judgement, bool]]) -> None:
        """Keep verdicts until something they depend on changes; True are those that lacked a mirror we cannot read."""
        with self._db.change() as db:
            db.executemany(
                "UPDATE heads SET verdict = ?, label = ?, lie = ?, root_on = ?, root_seq = ?, waits_on = ?, "
                "waits_seq = ?, doubtful = ? WHERE origin = ? AND item_type = ? AND item_id = ?",
                (
                    (
                        str(found.verdict),
                        found.label,
                        None if found.false_entry is None else f"{found.false_entry[0]}@{found.false_entry[1]}",
                        *(found.root_waits_on or (None, None)),
                        *(found.waits_on or (None, None)),
                        int(doubtful),
                        row.origin,
                        row.item_type,
                        row.item_id,
                    )
                    for row, found, doubtful in judged
                ),
            )
            db.execute("DELETE FROM counts")

    def ask_again_after_publish(self, own: Sequence[str]) -> None:
        """What others may have seen of ours, under any origin of ours, is more now."""
        with self._db.change() as db:
            db.execute(
                f"UPDATE heads SET verdict = NULL WHERE lie IS NOT NULL OR waits_on IN ({', '.join('?' * len(own))})",
                own,
            )

    def ask_doubtful_again(self) -> None:
        """What was judged without a mirror that could not be read: it may have been repaired."""
        if self._db.one("SELECT 1 FROM heads WHERE doubtful = 1 LIMIT 1") is not None:
            with self._db.change() as db:
                db.execute("UPDATE heads SET verdict = NULL, doubtful = 0 WHERE doubtful = 1")

    # --- blobs ---

    def blobs(self, origin: str) -> list[BlobRef]:
        """All blobs that the lines of a feed refer to."""
        return [BlobRef.parse(row[0]) for row in self._db.rows("SELECT ref FROM blobs WHERE origin = ?", (origin,))]

    def missing_blobs(self, origin: str, limit: int) -> list[BlobRef]:
        """Those of them that are not in the mirror, or not whole, up to so many."""
        rows = self._db.rows("SELECT ref FROM blobs WHERE origin = ? AND missing = 1 LIMIT ?", (origin, limit))
        return [BlobRef.parse(row[0]) for row in rows]

    def is_missing(self, origin: str, ref: str) -> bool:
        """Whether a payload is not in the mirror."""
        found = self._db.one("SELECT missing FROM blobs WHERE origin = ? AND ref = ?", (origin, ref))
        return found is not None and bool(found[0])

    def set_missing(self, origin: str, refs: Iterable[BlobRef], missing: bool) -> None:
        """Payloads came, or turned out to be lost: whatever depends on them is asked again."""
        texts = list(map(str, refs))
        with self._db.change() as db:
            db.executemany(
                "INSERT OR REPLACE INTO blobs VALUES (?, ?, ?)", ((origin, text, int(missing)) for text in texts)
            )
            db.executemany(
                "UPDATE heads SET verdict = NULL WHERE origin = ? AND blob = ?", ((origin, text) for text in texts)
            )
            db.execute("DELETE FROM counts")

    # --- reading ---

    def unjudged(self, limit: int, *, without: Collection[str] = ()) -> list[Row]:
        """Rows whose verdict must be computed; none of origins whose mirror cannot be read."""
        readable = f"AND origin NOT IN ({', '.join('?' * len(without))}) " if without else ""
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM heads WHERE verdict IS NULL {readable}ORDER BY origin, seq LIMIT ?",
            (*without, limit),
        )
        return [Row(*row) for row in rows]

    def rows(
        self,
        *,
        origin: str | None = None,
        item_type: str | None = None,
        item_id: str | None = None,
        verdict: str | None = None,
        settled_too: bool = False,
    ) -> Iterator[Row]:
        """Rows by origin and seq; only open ones unless `settled_too` or a verdict is named."""
        where, arguments = [], []
        wanted = {"origin": origin, "item_type": item_type, "item_id": item_id, "verdict": verdict}
        for column, value in wanted.items():
            if value is not None:
                where.append(f"{column} = ?")
                arguments.append(value)
        if verdict is None and not settled_too:
            where.append(_OPEN)
        found = self._db.rows(
            f"SELECT {_COLUMNS} FROM heads {'WHERE ' + ' AND '.join(where) if where else ''} ORDER BY origin, seq",
            arguments,
        )
        return (Row(*row) for row in found)

    def row(self, origin: str, item_type: str, item_id: str) -> Row | None:
        """The newest record of one foreign entity."""
        found = self._db.one(
            f"SELECT {_COLUMNS} FROM heads WHERE origin = ? AND item_type = ? AND item_id = ?",
            (origin, item_type, item_id),
        )
        return Row(*found) if found else None

    def has_decisions(self) -> bool:
        """Whether anything was decided at all."""
        return self._db.one("SELECT 1 FROM decisions LIMIT 1") is not None

    def decided_on(self, version: Version, item_type: str, item_id: str) -> dict[Ref, int]:
        """Our seqs that accept or reject this version of this entity, by the record they were taken on [K3] [K5]."""
        found = self._db.rows(
            "SELECT cause_origin, cause_seq, at FROM decisions WHERE origin = ? AND seq = ? AND digest = ? "
            "AND (item_type, item_id) IN (VALUES (?, ?), ('', '')) AND action IN ('accept', 'reject')",
            (*version, item_type, item_id),
        )
        return {Ref(*row[:2]): row[2] for row in found}

    def last_words(self, *actions: str) -> list[Decision]:
        """The decisions that are the last word on what they are about, of these actions."""
        where = f"action IN ({', '.join('?' * len(actions))})"
        return [Decision(*row) for row in self._db.rows(f"SELECT * FROM decisions WHERE {where}", actions)]

    def counts(self, origin: str) -> tuple[int, int]:
        """(open, settled) rows of an origin; counted once and kept until something changes."""
        found = self._db.one("SELECT open, settled FROM counts WHERE origin = ?", (origin,))
        if found is not None:
            return found[0], found[1]
        opened = self._count(f"origin = ? AND {_OPEN}", origin)
        settled = self._count(f"origin = ? AND NOT {_OPEN}", origin)
        with self._db.change() as db:
            db.execute("INSERT OR REPLACE INTO counts VALUES (?, ?, ?)", (origin, opened, settled))
        return opened, settled

    def _count(self, where: str, *arguments: str | int) -> int:
        found = self._db.one(f"SELECT count(*) FROM heads WHERE {where}", arguments)
        return 0 if found is None else int(found[0])

    def open_after(self, origin: str, seq: int) -> list[tuple[str, str, int, int]]:
        """(verdict, item type, tombstone, count) of open rows of an origin after a seq: what a brake looks at."""
        where = f"origin = ? AND seq > ? AND {_OPEN}"
        rows = self._db.rows(f"SELECT verdict, item_type, tombstone FROM heads WHERE {where}", (origin, seq))
        return [(*kind, count) for kind, count in Counter(map(tuple, rows)).items()]

    def contents(self, origin: str) -> Contents:
        """All that is said of an origin, to be compared."""
        rows = self.rows(origin=origin, settled_too=True)
        return Contents(
            {(row.item_type, row.item_id): row for row in rows},
            self.notes(origin),
            frozenset(self.receipts.of(origin)),
        )

    def local_contents(self) -> tuple[frozenset[Decision], frozenset[tuple[int, int]]]:
        """What we decided, and which seqs of ours are withheld."""
        decisions = self._db.rows("SELECT * FROM decisions")
        withheld = self._db.rows("SELECT first, last FROM withheld")
        return frozenset(Decision(*row) for row in decisions), frozenset((first, last) for first, last in withheld)

    def marks(self, origin: str) -> list[State]:
        """All remembered (seq, c, t) of a feed."""
        return [State(*row) for row in self._db.rows("SELECT seq, c, t FROM marks WHERE origin = ?", (origin,))]

    def false_claims(self, origin: str) -> list[tuple[str, str, str]]:
        """Entities (type, id) of an origin and what it says of each that cannot be [K4]."""
        wanted = "SELECT item_type, item_id, lie FROM heads WHERE origin = ? AND lie IS NOT NULL ORDER BY seq"
        return [(row[0], row[1], row[2]) for row in self._db.rows(wanted, (origin,))]

    def flagged_origins(self) -> list[str]:
        """Origins with an entry that cannot be true [K4]."""
        return [row[0] for row in self._db.rows("SELECT DISTINCT origin FROM heads WHERE lie IS NOT NULL ORDER BY 1")]
