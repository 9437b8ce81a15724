"""Log: the segments of one journal, read forward from a position and appended to at the end.

Keeps J5 (one write, one fsync), J7 (tails), J8 (segments born whole, named by first seq, ordered by number). Reading
never changes a byte; appending needs the store lock, which the Store holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from journal.blobs import Blobs
from journal.codec import (
    C_SUFFIX_BYTES,
    BadRange,
    Entry,
    Line,
    decode_header,
    decode_record,
    encode_header,
    is_stub,
    link,
    mark_void,
    scan,
    settle_tail,
    split_c,
)
from journal.disk import Disk
from journal.errors import DamagedStore, FormatTooNew, JournalError, NotAStore
from journal.index import Position
from journal.model import BLOBS_FOLDER, MAX_LINE_BYTES, Header, LocalHead, Place, Record

# Beyond eight digits no zeros stand before: one number, one name.
_NAME: Final = re.compile(r"seg-([0-9]{8}|[1-9][0-9]{8,15})\.jsonl", re.ASCII)
_HEADER_BYTES: Final = 4 * 1024  # most headers take 200 bytes; a longer one costs more reads
_BEFORE_BYTES: Final = C_SUFFIX_BYTES + 3  # the c of the line before, its newline, a blank line, a newline


class Segment(NamedTuple):
    """A file of the log, and where it stood when it was listed: it may have been archived since."""

    first_seq: int
    path: Path


class Gap(NamedTuple):
    """What one segment holds behind a position: good entries, bad ranges, and the position after them."""

    segment: Segment
    origin: str
    entries: list[Entry]
    bad: list[BadRange]
    position: Position


class _Entrance(NamedTuple):
    """Where the reading of a segment begins."""

    segment: Segment
    origin: str
    position: Position
    bad: list[BadRange]  # the header itself, when it does not follow the segment before


class Log:
    """The segments in one folder, and the older ones in its archive: what asks for a seq need not know where it is."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self.folder = folder
        self.blobs = Blobs(disk, folder / BLOBS_FOLDER)
        self.archive = folder / "archive"

    def segments(self) -> list[Segment]:
        """All segments by number [J8], archived ones included; of one that stands in both places the live one."""
        live = self.live()
        names = {segment.first_seq for segment in live}
        return sorted([*live, *(segment for segment in self.archived() if segment.first_seq not in names)])

    def live(self) -> list[Segment]:
        """The segments that are not archived; DamagedStore when there is none: no store begins at seq 1 again [J11]."""
        try:
            found = self._segments_in(self.folder, self._disk.names(self.folder))
        except NotAStore:
            found = []
        if not found:
            raise DamagedStore("no segment is left", path=self.folder, rule="J11")
        return found

    def archived(self) -> list[Segment]:
        """The segments in the archive."""
        return self._segments_in(self.archive, self._disk.each_name(self.archive))

    def _segments_in(self, folder: Path, names: Iterable[str]) -> list[Segment]:
        return sorted(Segment(int(match[1]), folder / name) for name in names if (match := _NAME.fullmatch(name)))

    def reaching(self, first_seq: int) -> list[Segment]:
        """The segments from the one that begins with a seq; the archive is looked into only for what is not live."""
        live = self.live()
        return live if live[0].first_seq <= first_seq else self.segments()

    def start(self) -> Position:
        """The position before the first record; DamagedStore when the first segment is gone [J11]."""
        first = self.reaching(1)[0]
        if first.first_seq != 1:
            text = f"the log begins at seq {first.first_seq}: older records are gone, from journal/archive too"
            raise DamagedStore(text, path=self.folder, seq=1, rule="J11")
        return self._start_of(first)

    def read(self, first_seq: int, start: int = 0, size: int = -1) -> bytes:
        """Bytes of a segment, live or archived, as `Disk.read`; one that is archived meanwhile is in both places."""
        data = self._disk.read_if_there(self.path(first_seq), start, size)
        if data is None:
            data = self._disk.read_if_there(self.archive_path(first_seq), start, size)
        if data is None:
            text = "cannot be read: it is in neither journal nor journal/archive"
            raise DamagedStore(text, path=self.path(first_seq), rule="J11")
        return data

    def size(self, first_seq: int) -> int | None:
        """Bytes of a segment, live or archived; None when it is in neither place."""
        size = self._disk.size(self.path(first_seq))
        return self._disk.size(self.archive_path(first_seq)) if size is None else size

    def header(self, segment: Segment) -> tuple[Header, int]:
        """A segment's header and the bytes it takes, newline included."""
        data, wanted = b"", _HEADER_BYTES
        while (length := data.find(b"\n") + 1) == 0:
            data = self.read(segment.first_seq, 0, wanted)
            if b"\n" not in data and (len(data) < wanted or wanted > MAX_LINE_BYTES):
                raise DamagedStore("segment without a whole header", path=segment.path, line=1, rule="J8")
            wanted *= 8
        try:
            return decode_header(data[: length - 1]), length
        except JournalError as error:
            error.path = str(segment.path)
            raise

    def newest(self) -> Segment:
        """The segment that is written to."""
        return self.live()[-1]

    def is_at_end(self, position: Position) -> bool:
        """Whether nothing was written since this position was taken; reads names and one size, no bytes."""
        last = self.newest()
        return last.first_seq == position.segment and self._disk.size(last.path) == position.size

    def fits(self, position: Position) -> bool:
        """Whether the line that ends at this position is still there with its c [J11]. Reads 75 bytes."""
        size = self.size(position.segment)
        if size is None or size < max(position.offset, position.size):
            return False
        found = _last_c(self._before(position.segment, position.offset))
        if found is not None:
            return found == position.c
        segment = Segment(position.segment, self.path(position.segment))
        header, length = self.header(segment)
        return length == position.offset and bytes.fromhex(header.prev_c) == position.c

    def gaps(self, position: Position, known_seq: int = 0) -> Iterator[Gap]:
        """What stands behind a position, segment by segment; for those who hold the store lock.

        `known_seq` is the highest seq somebody was told of: a break before it is damage, behind it a torn tail [J7].
        Errors name file, line and rule. What stands before a record that cannot be read comes first, then DamagedStore
        or FormatTooNew is raised [J12].
        """
        segments = self.reaching(position.segment)
        if position.segment > segments[-1].first_seq:
            raise DamagedStore("the newest segment is gone", path=self.path(position.segment), rule="J11")
        for segment in segments:
            if segment.first_seq >= position.segment:
                start = self._enter(segment, position)
                gap, problem = self._gap(start, known_seq if segment is segments[-1] else None)
                if problem is not None:
                    gap = _without_open_batch(gap, start.position, 0)
                    yield gap._replace(position=gap.position._replace(size=gap.position.offset))  # never at the end
                    raise problem
                yield gap
                position = gap.position

    def gaps_while_written(self, position: Position, known_seq: int) -> Iterator[Gap]:
        """The same for those without the lock: a batch behind `known_seq` that is not all there may still be written.

        It is left for the next reading, so that no position ever stands inside a batch.
        """
        newest = self.newest()  # before the rest is listed: whatever is older by then is written to no more
        for gap in self.gaps(position, known_seq):
            yield gap if gap.segment < newest else _without_open_batch(gap, position, known_seq)
            position = gap.position

    def _enter(self, segment: Segment, position: Position) -> _Entrance:
        header, length = self.header(segment)
        bad: list[BadRange] = []
        if segment.first_seq != position.segment:
            prev_c = bytes.fromhex(header.prev_c)
            if prev_c != position.c:  # the end of the segment before is damaged or gone
                bad.append(BadRange(0, length, True, 0))
            position = Position(position.seq, prev_c, segment.first_seq, length, length)
        return _Entrance(segment, header.origin_store_id, position, bad)

    def _gap(self, start: _Entrance, known_seq: int | None) -> tuple[Gap, JournalError | None]:
        """The rest of a segment, and what stopped the reading, if anything did; known_seq: in the tail only."""
        segment, position = start.segment, start.position
        data = self.read(segment.first_seq, position.offset)
        found = scan(data, position.offset, position.c)
        if known_seq is not None:
            found = settle_tail(found, known_seq)
        records, problem = self._decode(segment, found)
        bad = start.bad + [item for item in found if isinstance(item, BadRange)]
        end = position._replace(size=position.offset + len(data))
        if records:
            line, record = records[-1]
            end = end._replace(seq=record.seq, c=line.c, offset=line.end)
        return Gap(segment, start.origin, mark_void(records), bad, end), problem

    def _decode(
        self, segment: Segment, found: Sequence[Line | BadRange]
    ) -> tuple[list[tuple[Line, Record]], JournalError | None]:
        """The records up to the first that cannot be read, and what is wrong with that one."""
        records: list[tuple[Line, Record]] = []
        for line in found:
            if isinstance(line, Line):
                try:
                    records.append((line, decode_record(line.data)))
                except (DamagedStore, FormatTooNew) as error:
                    error.path, error.line = str(segment.path), self.line_number(segment, line.offset)
                    return records, error
        return records, None

    def line_number(self, segment: Segment, offset: int) -> int:
        """The line of a segment, as editors count, that begins at a byte."""
        return self.read(segment.first_seq, 0, offset).count(b"\n") + 1

    def position_at(self, seq: int) -> Position:
        """A position at or before `seq`, at the start of a segment, found by names alone [J8]."""
        segments = self.reaching(seq + 1)
        before = [segment for segment in segments if segment.first_seq <= seq + 1] or segments[:1]
        return self._start_of(before[-1])

    def c_at(self, seq: int) -> bytes | None:
        """The c of the record with a seq, c_0 for 0; None when there is no such record. Reads one segment."""
        if seq == 0:
            return self.start().c
        for gap in self.gaps(self.position_at(seq - 1)):
            for entry in gap.entries:
                if entry.record.seq >= seq:
                    return entry.line.c if entry.record.seq == seq else None
        return None

    def line_at(self, place: Place) -> bytes:
        """The bytes of one line, checked against the line before it; DamagedStore when it is not as it was written."""
        segment = Segment(place.segment, self.path(place.segment))
        start = max(place.offset - _BEFORE_BYTES, 0)
        data = self.read(segment.first_seq, start, place.offset - start + place.length)
        before, line = data[: place.offset - start], data[place.offset - start :]
        if len(line) != place.length:
            raise DamagedStore(f"ends before byte {place.offset + place.length}", path=segment.path, rule="J11")
        line = line.rstrip(b"\n")  # what was redacted leaves a shorter line in the same place [J16]
        if is_stub(line):
            return line
        if start and len(before.rstrip(b"\n")) < C_SUFFIX_BYTES:
            before = self._before(place.segment, place.offset)
        if not self._chains(segment, place, before, line) and not self._stands(segment, place.offset, line):
            at = self.line_number(segment, place.offset)
            raise DamagedStore("the record is damaged", path=segment.path, line=at, rule="J4")
        return line

    def payload_bytes(self, head: LocalHead) -> bytes | None:
        """The payload of a head, wherever it stands; None for a tombstone or a redacted record."""
        path = self.path(head.place.segment)
        try:
            record = decode_record(self.line_at(head.place))
        except JournalError as error:
            error.path = error.path or str(path)
            raise
        if record.seq != head.seq or record.c != head.c:
            raise DamagedStore("not the line the index speaks of", path=path, seq=head.seq, rule="J11")
        return self.payload_of(record)

    def payload_of(self, record: Record) -> bytes | None:
        """The payload of a record, wherever it stands; DamagedStore names the entity and the file that is not good."""
        try:
            blob = record.blob
            return record.payload_bytes if blob is None else self.blobs.read(blob)
        except DamagedStore as error:
            error.message = f"{record.item_type}/{record.item_id}: {error.message}"
            error.seq = record.seq
            raise

    def payload(self, head: LocalHead) -> dict[str, Any] | None:
        """The payload of a head as a value."""
        data = self.payload_bytes(head)
        value: dict[str, Any] | None = None if data is None else json.loads(data)
        return value

    def _before(self, first_seq: int, offset: int) -> bytes:
        """The end of the line before a byte: 75 bytes, or as many as it takes where something was redacted [J16]."""
        wanted = _BEFORE_BYTES
        while True:
            start = max(offset - wanted, 0)
            before = self.read(first_seq, start, offset - start)
            if start == 0 or len(before.rstrip(b"\n")) >= C_SUFFIX_BYTES:
                return before
            wanted *= 8

    def _chains(self, segment: Segment, place: Place, before: bytes, line: bytes) -> bool:
        """Whether a line chains from the line that stands directly before it, or from the header [J4]."""
        parts = split_c(line)
        if parts is None:
            return False
        known = _last_c(before)
        if known is not None:
            return link(known, parts[0]) == parts[1]
        header, length = self.header(segment)
        return place.offset <= length + 1 and link(bytes.fromhex(header.prev_c), parts[0]) == parts[1]

    def _stands(self, segment: Segment, offset: int, line: bytes) -> bool:
        """Whether a line is a good one of its segment: the slow way, for a line behind a fragment."""
        found = self._start_of(segment)
        data = self.read(segment.first_seq, found.offset)
        return any(
            item.offset == offset and item.data == line
            for item in scan(data, found.offset, found.c)
            if isinstance(item, Line)
        )

    def lines_with(self, first_seq: int, text: bytes, start: int) -> list[bytes]:
        """The lines of a segment, from a byte on, that hold some text: nothing about them was checked."""
        data, found, at = self.read(first_seq, start), [], 0
        while (at := data.find(text, at)) >= 0:
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end
            found.append(data[data.rfind(b"\n", 0, at) + 1 : end])
            at = end
        return found

    def tail_bytes(self, position: Position) -> bytes:
        """The bytes behind the last good line [J7]."""
        return self._disk.read(self.path(position.segment), position.offset)

    def sync(self, position: Position) -> None:
        """Make the segment a position is in durable, before others are told of it [J7]."""
        self._disk.sync(self.path(position.segment))

    def sync_newest(self, known_segment: int) -> None:
        """Make the end of the log durable, whoever wrote it: its bytes, and its name when that is news [J7]."""
        newest = self.newest()
        self._disk.sync(newest.path)
        if newest.first_seq != known_segment:
            self._disk.sync_folder(self.folder)

    def append(self, position: Position, lines: Sequence[bytes]) -> list[Place]:
        """Write lines at the end, all in one write and one fsync, and return where they stand [J5].

        Durable on return. Raises DiskFailed with the log as it was, StoreReadOnly when that could not be had.
        """
        places, offset = [], position.size
        for line in lines:
            places.append(Place(position.segment, offset + 1, len(line)))
            offset += len(line) + 2
        self._disk.append(self.path(position.segment), _framed(lines), position.size)
        return places

    def roll(self, position: Position, origin: str, previous: Sequence[Any], lines: Sequence[bytes] = ()) -> Position:
        """Begin the next segment, whole and durable with its first lines, and return the position behind its header.

        The old one must be synced [J8]. Where it holds no record yet, the new one takes its place.
        """
        first_seq = position.seq + 1
        header = encode_header(origin, first_seq, position.c, previous) + b"\n"
        self._disk.replace_durably(self.path(first_seq), header + _framed(lines))
        return Position(position.seq, position.c, first_seq, len(header), len(header))

    def path(self, first_seq: int) -> Path:
        """Where the segment that begins with this seq stands as long as it is live."""
        return self.folder / f"seg-{first_seq:08d}.jsonl"

    def archive_path(self, first_seq: int) -> Path:
        """Where it stands once it is archived."""
        return self.archive / self.path(first_seq).name

    def _start_of(self, segment: Segment) -> Position:
        header, length = self.header(segment)
        return Position(header.first_seq - 1, bytes.fromhex(header.prev_c), segment.first_seq, length, 0)


def _framed(lines: Sequence[bytes]) -> bytes:
    """Lines as they stand in a segment [J5]."""
    return b"".join(b"\n" + line + b"\n" for line in lines)


def _last_c(before: bytes) -> bytes | None:
    """The c that a line ends with, given the last bytes of it; None when it is a header or no line."""
    parts = split_c(b" " + before.rstrip(b"\n")[-C_SUFFIX_BYTES:])
    return None if parts is None else parts[1]


def _without_open_batch(gap: Gap, start: Position, known_seq: int) -> Gap:
    """The same gap without a batch that its end leaves open, unless it is known that nobody goes on with it."""
    kept = list(gap.entries)
    while kept and kept[-1].void and kept[-1].record.seq > known_seq:
        kept.pop()
    if len(kept) == len(gap.entries):
        return gap
    end = start
    if kept:
        last = kept[-1]
        end = start._replace(seq=last.record.seq, c=last.line.c, offset=last.line.end)
    bad = [item for item in gap.bad if item.end <= end.offset]
    return gap._replace(entries=kept, bad=bad, position=end._replace(size=end.offset))
