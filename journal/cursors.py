"""Cursors: how far each reader has read, and what it has not seen yet.

One small file per reader, replaced durably. It is no cache: nothing else knows what a reader has seen. A cursor that
cannot be read, or that speaks of another record than the log holds, is damage and is named: never "all unseen" [J11].
Readers do not know of each other. Only what the index has applied is shown: that is on disk and stays [J7].
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from journal.disk import Disk
from journal.errors import (
    CursorUnreadable,
    DamagedStore,
    InvalidInput,
    JournalError,
    LogShorterThanKnown,
    NoSuchRecord,
    NotAStore,
)
from journal.index import Position
from journal.log import Gap, Log
from journal.model import JOURNAL_TYPE, MAX_SEQ, Record, check_reader

_FOLDER: Final = "cursors"
_SUFFIX: Final = ".json"


class Cursor(msgspec.Struct, frozen=True):
    """The last record a reader has seen; segment and offset say where its line ends, and may be wrong."""

    seq: int
    c: str
    segment: int = 0
    offset: int = 0


class Parked(NamedTuple):
    """Records between a cursor and the oldest live segment, which stand in the archive: a summary of them.

    `records` and `types` are None when the archive does not hold all of them.
    """

    first_seq: int
    last_seq: int
    records: int | None
    types: Mapping[str, int] | None


class Unseen(Iterator[Record]):
    """The records a reader has not seen, oldest first; read as they are taken, a segment at a time.

    `seq` is how far they were taken: acknowledge that. What the journal writes for itself is passed over, but for
    redactions.
    """

    def __init__(self, since: int, last_seq: int, parked: Parked | None, gaps: Iterable[Gap]) -> None:
        self.since = since
        self.seq = since
        self.last_seq = last_seq
        self.parked = parked
        self._records = self._taken(gaps)

    def __next__(self) -> Record:
        return next(self._records)

    def _taken(self, gaps: Iterable[Gap]) -> Iterator[Record]:
        for entry in (entry for gap in gaps for entry in gap.entries):
            record = entry.record
            if record.seq > self.last_seq:
                break
            if record.seq > self.since:
                self.seq = record.seq
                if not entry.void and not _is_internal(record):
                    yield record
        self.seq = self.last_seq


def _is_internal(record: Record) -> bool:
    return record.item_type == JOURNAL_TYPE and record.action != "redact"


class Cursors:
    """The cursors of one store."""

    def __init__(self, disk: Disk, store_folder: Path, log: Log) -> None:
        self._disk = disk
        self._folder = store_folder / _FOLDER
        self._log = log

    def path(self, reader: str) -> Path:
        """The file of a reader; names that differ only in case are one reader. InvalidInput when it is no name."""
        return self._folder / (check_reader(reader).lower() + _SUFFIX)

    def all(self) -> Iterator[tuple[Path, Cursor | JournalError]]:
        """Every cursor there is, or what is wrong with it; files that are none are passed over."""
        try:
            names = self._disk.names(self._folder)
        except NotAStore:
            return
        for name in names:
            try:
                path = self.path(name.removesuffix(_SUFFIX))
            except InvalidInput:
                continue
            if path.name == name:
                try:
                    found = self._read(path)
                    yield path, found or Cursor(0, "")
                except DamagedStore as error:
                    yield path, error

    def strays(self) -> Iterator[Path]:
        """What stands in their folder and is nobody's cursor."""
        for name in self._disk.each_name(self._folder):
            try:
                is_cursor = self.path(name.removesuffix(_SUFFIX)).name == name
            except InvalidInput:
                is_cursor = False
            if not is_cursor:
                yield self._folder / name

    def _read(self, path: Path) -> Cursor | None:
        """A cursor, None when there is none; CursorUnreadable when there is one that says nothing."""
        data = self._disk.read_if_there(path)
        if data is None:
            return None
        try:
            found = msgspec.json.decode(data, type=Cursor)
            if 0 <= found.seq <= MAX_SEQ and len(bytes.fromhex(found.c)) == 32:
                return found
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        raise CursorUnreadable("not a cursor", path=path, rule="J11")

    def move(self, reader: str, seq: int, end: Position) -> None:
        """Let a reader's cursor stand at a record, durably; `end` is the end of the log, and the lock is held.

        NoSuchRecord when there is none.
        """
        position = end if seq == end.seq else self._find(seq).found
        if position is None:
            raise NoSuchRecord(f"no record with seq {seq} to acknowledge", seq=seq)
        value = {"seq": seq, "c": position.c.hex(), "segment": position.segment, "offset": position.offset}
        data = (json.dumps(value, sort_keys=True) + "\n").encode("ascii")
        path = self.path(reader)
        if self._disk.read_if_there(path) != data:
            self._disk.make_folder_durably(self._folder)
            self._disk.replace_durably(path, data)

    def unseen(
        self, reader: str, since: int | None, end: Position, gaps: Callable[[Position], Iterator[Gap]]
    ) -> Unseen:
        """What came after a reader's cursor, or after `since`, up to `end`; `gaps` reads the log behind a position.

        Raises CursorUnreadable, and LogShorterThanKnown when the cursor is ahead of the log.
        """
        path = self.path(reader)
        cursor = self._read(path) if since is None else None
        seq = cursor.seq if cursor else since or 0
        oldest = self._log.live()[0].first_seq
        parked = self._parked(seq + 1, oldest - 1) if seq + 1 < oldest else None
        is_checked = cursor is not None and parked is None
        begin = seq if parked is None else oldest - 1
        start = self._behind(cursor, path) if cursor and is_checked else self._log.position_at(begin)
        return Unseen(seq, max(end.seq, seq), parked, gaps(start))

    def _behind(self, cursor: Cursor, path: Path) -> Position:
        """Where to go on behind a cursor, once it is sure that its record is the one in the log."""
        seq, c = cursor.seq, bytes.fromhex(cursor.c)
        hint = Position(seq, c, cursor.segment, cursor.offset, cursor.offset)
        if self._log.fits(hint):
            return hint
        start, found, last_seq = self._find(seq)
        if last_seq < seq:
            text = f"the log ends at seq {last_seq}, but this reader has seen seq {seq}"
            raise LogShorterThanKnown(text, path=path, seq=seq, rule="J11")
        if found is None or found.c != c:
            text = f"the record with seq {seq} is not the one that this reader has seen"
            raise CursorUnreadable(text, path=path, seq=seq, rule="J11")
        return start

    def _find(self, seq: int) -> _Search:
        """Look for the record with a seq. Inside a batch it has no place: reading never begins there [J6]."""
        start = self._log.position_at(seq)
        if start.seq == seq:
            return _Search(start, start, seq)
        gap = next(self._log.gaps(start, seq))
        found = next((entry for entry in gap.entries if entry.record.seq == seq), None)
        if found is None:
            return _Search(start, None, gap.position.seq)
        batch = found.record.batch
        ends = batch is None or batch[0] == batch[1]
        place = (start.segment, found.line.end) if ends else (0, 0)
        return _Search(start, Position(seq, found.line.c, *place, place[1]), gap.position.seq)

    def _parked(self, first_seq: int, last_seq: int) -> Parked:
        """What the archive says of records that no live segment holds any more."""
        types: Counter[str] = Counter()
        start = self._log.position_at(first_seq - 1)
        if start.seq >= first_seq:
            return Parked(first_seq, last_seq, None, None)
        for gap in self._log.gaps(start):
            if gap.segment.first_seq > last_seq:
                break
            if any(bad.broken for bad in gap.bad):
                return Parked(first_seq, last_seq, None, None)
            records = [entry.record for entry in gap.entries if not entry.void and entry.record.seq >= first_seq]
            types.update(record.item_type for record in records if not _is_internal(record))
        return Parked(first_seq, last_seq, types.total(), dict(types))


class _Search(NamedTuple):
    """Where a segment that may hold a record begins, the end of that record's line, and the last seq there."""

    start: Position
    found: Position | None
    last_seq: int
