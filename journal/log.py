"""Log: the segments of one journal, read forward from a position and appended to at the end.

Keeps J5 (one write, one fsync), J7 (tails), J8 (segments born whole, named by first seq, ordered by number). Reading never
changes a byte; appending needs the store lock, which the Store holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from journal.codec import (
    BadRange,
    Entry,
    Line,
    decode_header,
    encode_header,
    entries,
    scan,
    settle_tail,
    split_c,
)
from journal.disk import Disk
from journal.errors import DamagedStore, JournalError
from journal.index import Position
from journal.model import Header, Place

_NAME: Final = re.compile(r"seg-([0-9]{8,16})\.jsonl", re.ASCII)
_HEADER_BYTES: Final = 64 * 1024  # a header with a thousand previous origins still fits


class Segment(NamedTuple):
    """A file of the log."""

    first_seq: int
    path: Path


class Gap(NamedTuple):
    """What one segment holds behind a position: good entries, bad ranges, and the position after them."""

    segment: Segment
    origin: str
    entries: list[Entry]
    bad: list[BadRange]
    position: Position


class Log:
    """The segments in one folder."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self.folder = folder

    def segments(self) -> list[Segment]:
        """All segments by number [J8]; DamagedStore when there is none: a store never starts again at seq 1 [J11]."""
        found = [
            Segment(int(match[1]), self.folder / name)
            for name in self._disk.names(self.folder)
            if (match := _NAME.fullmatch(name))
        ]
        if not found:
            raise DamagedStore("no segment is left", path=self.folder, rule="J11")
        return sorted(found)

    def start(self) -> Position:
        """The position before the first record."""
        first = self.segments()[0]
        header, length = self.header(first)
        return Position(header.first_seq - 1, bytes.fromhex(header.prev_c), first.first_seq, length, 0)

    def header(self, segment: Segment) -> tuple[Header, int]:
        """A segment's header and the bytes it takes, newline included."""
        data = self._disk.read(segment.path, 0, _HEADER_BYTES)
        length = data.find(b"\n") + 1
        if length == 0:
            raise DamagedStore("segment without a whole header", path=segment.path, line=1, rule="J8")
        try:
            return decode_header(data[: length - 1]), length
        except JournalError as error:
            error.path = str(segment.path)
            raise

    def is_at_end(self, position: Position) -> bool:
        """Whether nothing was written since this position was taken; reads names and one size, no bytes."""
        last = self.segments()[-1]
        return last.first_seq == position.segment and self._disk.size(last.path) == position.size

    def fits(self, position: Position) -> bool:
        """Whether the line that ends at this position is still there with its c [J11]. Reads 73 bytes."""
        path = self._path(position.segment)
        size = self._disk.size(path)
        if size is None or size < max(position.offset, position.size):
            return False
        before = self._disk.read(path, max(position.offset - 73, 0), min(73, position.offset)).rstrip(b"\n")
        found = split_c(b" " * 80 + before[-72:])
        if found is not None:
            return found[1] == position.c
        segment = Segment(position.segment, path)
        header, length = self.header(segment)
        return length == position.offset and bytes.fromhex(header.prev_c) == position.c

    def gaps(self, position: Position, known_seq: int = 0) -> Iterator[Gap]:
        """What stands behind a position, segment by segment; errors name file, line and rule.

        `known_seq` is the highest seq somebody was told of: a break before it is damage, behind it a torn tail [J7].
        """
        segments = [segment for segment in self.segments() if segment.first_seq >= position.segment]
        for number, segment in enumerate(segments):
            header, length = self.header(segment)
            bad: list[BadRange] = []
            if segment.first_seq != position.segment:
                prev_c = bytes.fromhex(header.prev_c)
                if prev_c != position.c:  # the end of the segment before is damaged or gone
                    bad.append(BadRange(0, length, True, 0))
                position = Position(position.seq, prev_c, segment.first_seq, length, length)
            data = self._disk.read(segment.path, position.offset)
            found = list(scan(data, position.offset, position.c))
            if number == len(segments) - 1:
                found = settle_tail(found, known_seq)
            gap = self._gap(segment, header.origin_store_id, found, position, len(data))
            yield gap._replace(bad=bad + gap.bad)
            position = gap.position

    def _gap(
        self, segment: Segment, origin: str, found: Sequence[Line | BadRange], position: Position, size: int
    ) -> Gap:
        lines = [item for item in found if isinstance(item, Line)]
        try:
            good = entries(lines)
        except JournalError as error:
            error.path = str(segment.path)
            raise
        end = Position(position.seq, position.c, segment.first_seq, position.offset, position.offset + size)
        if good:
            end = end._replace(seq=good[-1].record.seq, c=lines[-1].c, offset=lines[-1].end)
        return Gap(segment, origin, good, [item for item in found if isinstance(item, BadRange)], end)

    def position_at(self, seq: int) -> Position:
        """A position at or before `seq`, at the start of a segment, found by names alone [J8]."""
        segments = self.segments()
        before = [segment for segment in segments if segment.first_seq <= seq + 1] or segments[:1]
        header, length = self.header(before[-1])
        first = before[-1].first_seq
        return Position(header.first_seq - 1, bytes.fromhex(header.prev_c), first, length, 0)

    def line_at(self, place: Place) -> bytes:
        """The bytes of one line; DamagedStore when the file is shorter."""
        path = self._path(place.segment)
        line = self._disk.read(path, place.offset, place.length)
        if len(line) != place.length:
            raise DamagedStore(f"ends before byte {place.offset + place.length}", path=path, rule="J11")
        return line

    def tail_bytes(self, position: Position) -> bytes:
        """The bytes behind the last good line [J7]."""
        return self._disk.read(self._path(position.segment), position.offset)

    def sync(self, position: Position) -> None:
        """Make the segment a position is in durable, before others are told of it [J7]."""
        self._disk.sync(self._path(position.segment))

    def append(self, position: Position, lines: Sequence[bytes]) -> list[Place]:
        """Write lines at the end, all in one write and one fsync, and return where they stand [J5].

        Durable on return. Raises DiskFailed with the log as it was, StoreReadOnly when that could not be had.
        """
        data, places, offset = bytearray(), [], position.size
        for line in lines:
            data += b"\n" + line + b"\n"
            places.append(Place(position.segment, offset + 1, len(line)))
            offset += len(line) + 2
        self._disk.append(self._path(position.segment), bytes(data), position.size)
        return places

    def roll(self, position: Position, origin: str, previous: Sequence[Any]) -> Position:
        """Begin the next segment, whole and durable, and return the position in it [J8]. The old one must be synced."""
        first_seq = position.seq + 1
        header = encode_header(origin, first_seq, position.c, previous) + b"\n"
        self._disk.replace_durably(self._path(first_seq), header)
        return Position(position.seq, position.c, first_seq, len(header), len(header))

    def _path(self, first_seq: int) -> Path:
        return self.folder / f"seg-{first_seq:08d}.jsonl"
