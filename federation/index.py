"""Index: a SQLite cache of what the mirrors and the journal say together: positions, foreign heads, decisions.

A pure function of mirrors and journal, deletable. Foreign-head upserts and the position they stand for move in one
transaction [F7]. Payloads stay in the mirror; rows hold their places. A verdict is kept with its row until something it
depends on changes, and is then computed anew: NULL means "ask causality".
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from federation.causality import ForeignHead, Judgement
from federation.model import OPEN_VERDICTS
from federation.verification import State
from journal import Position, Ref, Version

_LAYOUT: Final = 1
_SCHEMA: Final = """
CREATE TABLE local (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, c BLOB NOT NULL,
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL) STRICT;
CREATE TABLE origins (origin TEXT PRIMARY KEY, seq INTEGER NOT NULL, place TEXT NOT NULL, notes TEXT NOT NULL) STRICT;
CREATE TABLE heads (origin TEXT NOT NULL, item_type TEXT NOT NULL, item_id TEXT NOT NULL, seq INTEGER NOT NULL,
    entity_rev INTEGER, action TEXT NOT NULL, digest TEXT NOT NULL, root TEXT, context TEXT, claims TEXT,
    tombstone INTEGER NOT NULL, unreadable TEXT, summary TEXT,
    slice INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    verdict TEXT, label TEXT, lie TEXT, root_on TEXT, root_seq INTEGER, waits_on TEXT, waits_seq INTEGER,
    PRIMARY KEY (origin, item_type, item_id)) STRICT, WITHOUT ROWID;
CREATE INDEX heads_entity ON heads (item_type, item_id);
CREATE INDEX heads_asked ON heads (origin) WHERE verdict IS NULL;
CREATE INDEX heads_waiting ON heads (waits_on, waits_seq) WHERE waits_on IS NOT NULL;
CREATE INDEX heads_root_waiting ON heads (root_on, root_seq) WHERE root_on IS NOT NULL;
CREATE INDEX heads_root ON heads (root) WHERE root IS NOT NULL;
CREATE TABLE withheld (first INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;
CREATE TABLE marks (origin TEXT NOT NULL, seq INTEGER NOT NULL, c BLOB NOT NULL, t BLOB NOT NULL,
    PRIMARY KEY (origin, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE decisions (origin TEXT NOT NULL, seq INTEGER NOT NULL, digest TEXT NOT NULL, action TEXT NOT NULL,
    PRIMARY KEY (origin, seq, digest)) STRICT, WITHOUT ROWID;
CREATE TABLE receipts (origin TEXT NOT NULL, version_seq INTEGER NOT NULL, action TEXT NOT NULL,
    PRIMARY KEY (origin, version_seq, action)) STRICT, WITHOUT ROWID;
CREATE TABLE counts (origin TEXT PRIMARY KEY, open INTEGER NOT NULL, settled INTEGER NOT NULL) STRICT;
"""
_COLUMNS: Final = (
    "origin, item_type, item_id, seq, entity_rev, action, digest, root, context, claims, tombstone, unreadable, "
    "summary, slice, offset, length, verdict, label"
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

    def foreign_head(self) -> ForeignHead:
        """The row as causality reads it."""
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


class Receipt(NamedTuple):
    """What an origin decided about a version of ours."""

    version_seq: int
    action: str  # accept | reject


class Index:
    """The open cache."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = _connect(path)

    def close(self) -> None:
        """Close the database file."""
        self._db.close()

    # --- positions ---

    def position(self, origin: str) -> tuple[int, str]:
        """How far an origin was materialized: seq, and for bridged origins a place; (0, "") at first."""
        row = self._db.execute("SELECT seq, place FROM origins WHERE origin = ?", (origin,)).fetchone()
        return (row[0], row[1]) if row else (0, "")

    def notes(self, origin: str) -> dict[str, Any]:
        """What materializing found worth telling of an origin (lines it could not read, …)."""
        row = self._db.execute("SELECT notes FROM origins WHERE origin = ?", (origin,)).fetchone()
        return json.loads(row[0]) if row else {}

    def local_position(self) -> Position | None:
        """How far the journal's decisions and heads are known here."""
        row = self._db.execute("SELECT seq, c, segment, offset, size FROM local").fetchone()
        return Position(*row) if row else None

    def mark_before(self, origin: str, seq: int) -> State | None:
        """The nearest remembered (seq, c, t) of a feed at or before a seq."""
        row = self._db.execute(
            "SELECT seq, c, t FROM marks WHERE origin = ? AND seq <= ? ORDER BY seq DESC LIMIT 1", (origin, seq)
        ).fetchone()
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
    ) -> None:
        """Upsert foreign heads and move the position they stand for, in one transaction [F7].

        Rows of other origins that were judged by what this origin had not yet shown are asked again.
        """
        with self._db:
            self._db.executemany(
                f"INSERT INTO heads ({_COLUMNS}) VALUES (?{', ?' * 17}) ON CONFLICT DO UPDATE SET "
                + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[3:])
                + ", lie = NULL, root_on = NULL, waits_on = NULL WHERE excluded.seq > heads.seq "
                "OR (excluded.slice, excluded.offset) > (heads.slice, heads.offset)",
                rows,
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO receipts VALUES (?, ?, ?)", ((origin, *receipt) for receipt in receipts)
            )
            self._db.execute(
                "INSERT OR REPLACE INTO origins VALUES (?, ?, ?, ?)", (origin, *position, json.dumps(notes or {}))
            )
            for waiting in ("waits", "root"):
                self._db.execute(
                    f"UPDATE heads SET verdict = NULL WHERE {waiting}_on = ? AND {waiting}_seq <= ?",
                    (origin, position[0]),
                )
            self._db.execute("DELETE FROM counts")

    def forget(self, origin: str) -> None:
        """Drop what was materialized of an origin: its mirror is not the one this was read from."""
        with self._db:
            for table in ("heads", "origins", "marks", "receipts", "counts"):
                self._db.execute(f"DELETE FROM {table} WHERE origin = ?", (origin,))

    def add_withheld(self, origin: str, ranges: Iterable[tuple[int, int]], position: tuple[int, str]) -> None:
        """Remember which seqs our own feed withholds, up to a position in it."""
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO withheld VALUES (?, ?)", ranges)
            self._db.execute("INSERT OR REPLACE INTO origins VALUES (?, ?, ?, '{}')", (origin, *position))

    def is_withheld(self, seq: int) -> bool:
        """Whether our own feed has a skip where this record of ours stands."""
        row = self._db.execute(
            "SELECT last FROM withheld WHERE first <= ? ORDER BY first DESC LIMIT 1", (seq,)
        ).fetchone()
        return row is not None and seq <= row[0]

    def add_marks(self, origin: str, marks: Iterable[State]) -> None:
        """Remember (c, t) at slice ends, so that an older head is compared without walking from the start."""
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", ((origin, *mark) for mark in marks)
            )

    def apply_local(
        self,
        touched: Iterable[tuple[str, str]],
        unnamed: Iterable[Ref],
        decided: Iterable[tuple[Version, str]],
        reopened: Iterable[Version],
        position: Position,
    ) -> None:
        """Take in journal records: what they touch is asked again, decisions are kept; with the position.

        `unnamed` are the causes of decisions about entities whose id our journal cannot hold [J10].
        """
        with self._db:
            self._db.executemany("UPDATE heads SET verdict = NULL WHERE item_type = ? AND item_id = ?", set(touched))
            self._db.executemany("UPDATE heads SET verdict = NULL WHERE origin = ? AND seq = ?", unnamed)
            known, gone = list(decided), list(reopened)
            self._db.executemany(
                "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?)",
                ((*version, action) for version, action in known),
            )
            self._db.executemany("DELETE FROM decisions WHERE origin = ? AND seq = ? AND digest = ?", gone)
            roots = [*(version for version, _ in known), *gone]
            self._db.executemany("UPDATE heads SET verdict = NULL WHERE root = ?", ((str(root),) for root in roots))
            self._db.execute("INSERT OR REPLACE INTO local VALUES (1, ?, ?, ?, ?, ?)", position)
            self._db.execute("DELETE FROM counts")

    def set_verdicts(self, judged: Iterable[tuple[Row, Judgement]]) -> None:
        """Keep verdicts until something they depend on changes."""
        with self._db:
            self._db.executemany(
                "UPDATE heads SET verdict = ?, label = ?, lie = ?, root_on = ?, root_seq = ?, waits_on = ?, "
                "waits_seq = ? WHERE origin = ? AND item_type = ? AND item_id = ?",
                (
                    (
                        str(found.verdict),
                        found.label,
                        None if found.false_entry is None else f"{found.false_entry[0]}@{found.false_entry[1]}",
                        *(found.root_waits_on or (None, None)),
                        *(found.waits_on or (None, None)),
                        row.origin,
                        row.item_type,
                        row.item_id,
                    )
                    for row, found in judged
                ),
            )
            self._db.execute("DELETE FROM counts")

    def ask_flagged_again(self) -> None:
        """After a publish: entries that named what we had not shown may be true now."""
        with self._db:
            self._db.execute("UPDATE heads SET verdict = NULL WHERE lie IS NOT NULL")

    # --- reading ---

    def unjudged(self, limit: int) -> list[Row]:
        """Rows whose verdict must be computed."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM heads WHERE verdict IS NULL ORDER BY origin, seq LIMIT ?", (limit,)
        )
        return [Row(*row) for row in rows]

    def rows(
        self,
        *,
        origin: str | None = None,
        item_type: str | None = None,
        verdict: str | None = None,
        settled_too: bool = False,
    ) -> Iterator[Row]:
        """Rows by origin and seq; only open ones unless `settled_too` or a verdict is named."""
        where, arguments = [], []
        for column, value in (("origin", origin), ("item_type", item_type), ("verdict", verdict)):
            if value is not None:
                where.append(f"{column} = ?")
                arguments.append(value)
        if verdict is None and not settled_too:
            where.append(_OPEN)
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM heads {'WHERE ' + ' AND '.join(where) if where else ''} ORDER BY origin, seq",
            arguments,
        )
        return (Row(*row) for row in found)

    def row(self, origin: str, item_type: str, item_id: str) -> Row | None:
        """The newest record of one foreign entity."""
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM heads WHERE origin = ? AND item_type = ? AND item_id = ?",
            (origin, item_type, item_id),
        ).fetchone()
        return Row(*found) if found else None

    def has_decisions(self) -> bool:
        """Whether anything was decided at all."""
        return self._db.execute("SELECT 1 FROM decisions LIMIT 1").fetchone() is not None

    def is_decided(self, version: Version) -> bool:
        """Whether an accept or reject of ours covers this version, digest included [K3] [K5]."""
        found = self._db.execute(
            "SELECT 1 FROM decisions WHERE origin = ? AND seq = ? AND digest = ?", tuple(version)
        ).fetchone()
        return found is not None

    def counts(self, origin: str) -> tuple[int, int]:
        """(open, settled) rows of an origin; counted once and kept until something changes."""
        found = self._db.execute("SELECT open, settled FROM counts WHERE origin = ?", (origin,)).fetchone()
        if found is None:
            found = self._db.execute(
                f"SELECT count(*) FILTER (WHERE {_OPEN}), count(*) FILTER (WHERE NOT {_OPEN}) "
                "FROM heads WHERE origin = ?",
                (origin,),
            ).fetchone()
            with self._db:
                self._db.execute("INSERT OR REPLACE INTO counts VALUES (?, ?, ?)", (origin, *found))
        return found[0], found[1]

    def open_after(self, origin: str, seq: int) -> tuple[int, int]:
        """(open rows, open tombstones) of an origin whose record came after a seq: what a brake looks at."""
        found = self._db.execute(
            f"SELECT count(*), coalesce(sum(tombstone), 0) FROM heads WHERE origin = ? AND seq > ? AND {_OPEN}",
            (origin, seq),
        ).fetchone()
        return found[0], found[1]

    def receipts(self, origin: str) -> tuple[int, int]:
        """(accepted, rejected) versions of ours, as an origin's feed says."""
        rows = self._db.execute("SELECT action, count(*) FROM receipts WHERE origin = ? GROUP BY action", (origin,))
        found = dict(rows.fetchall())
        return found.get("accept", 0), found.get("reject", 0)

    def flagged_origins(self) -> list[str]:
        """Origins with an entry that cannot be true [K4]."""
        return [
            row[0] for row in self._db.execute("SELECT DISTINCT origin FROM heads WHERE lie IS NOT NULL ORDER BY 1")
        ]


def drop(path: Path) -> None:
    """Delete the cache and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return _open(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise
        drop(path)
        return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=10)
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
                    db.execute(f"PRAGMA user_version = {_LAYOUT}")
        elif layout != _LAYOUT:
            raise sqlite3.DatabaseError(f"layout {layout}")
        db.execute("SELECT count(*) FROM local").fetchone()
    except BaseException:
        db.close()
        raise
    path.chmod(0o600)
    return db
