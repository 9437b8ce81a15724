"""Erasure: take the text of redacted records out of every file of the journal and its caches [J16].

Each step can be done again and then changes nothing, so one that was interrupted is simply begun anew. A redacted line
becomes its stub in the same place, and the rest of its bytes newlines: no other line moves, and every position that
anybody keeps stays true. Nothing here decides what is redacted: the `redact` records do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from blake3 import blake3

from journal.caches import Caches
from journal.checkpoints import Vouch
from journal.codec import Line, is_stub, scan, seq_of, stub
from journal.disk import Disk
from journal.errors import DamagedStore
from journal.log import Gap, Log, Segment
from journal.model import LocalHead

Key = tuple[str, str]
Listed = Mapping[int, str]  # seq → BLAKE3 of the stub that must stand there


class Wanted(NamedTuple):
    """What is to be erased: lines, and the blobs that they referred to."""

    lines: Listed
    blobs: Collection[str]


class Erasure:
    """What erases; the caller holds the store lock."""

    def __init__(self, disk: Disk, log: Log, caches: Caches) -> None:
        self._disk = disk
        self._log = log
        self._caches = caches

    def erase(self, wanted: Wanted, known_seq: int, published_seq: int, vouch: Vouch) -> None:
        """Take out all that is wanted, from segments, blobs, checkpoints, index and projections; durable on return.

        Raises DiskFailed and DamagedStore with some of it done; done again it goes on.
        """
        listed = wanted.lines
        for segment in self._log.segments():
            self._erase_lines(segment, listed)
        seen = _Seen(self._log.gaps(self._log.position_at(0), known_seq), listed)
        self._erase_blobs(seen, wanted.blobs)
        self._caches.checkpoints.redact(lambda head: self._left_of(head) if head.seq in listed else head, vouch)
        self._caches.erase(seen.keys, published_seq)

    def _left_of(self, head: LocalHead) -> LocalHead:
        """The head that a stub makes, when its line is one already."""
        line = self._log.line_at(head.place)
        return head._replace(summary=None, place=head.place._replace(length=len(line)))

    def _erase_blobs(self, seen: _Seen, wanted: Collection[str]) -> None:
        """Remove these blobs; and where every record could be read, all that none refers to."""
        blobs = self._log.blobs
        for digest in sorted({*wanted, *(blobs.names() if seen.is_whole else ())} - seen.blobs):
            blobs.remove(digest)

    def _erase_lines(self, segment: Segment, listed: Listed) -> None:
        """Put stubs in the place of the listed lines of a segment, and newlines in that of torn fragments."""
        header, length = self._log.header(segment)
        data = self._log.read(segment.first_seq)
        found = scan(data[length:], length, bytes.fromhex(header.prev_c))
        erased = bytearray(data)
        for item in found:
            if isinstance(item, Line):
                short = _stub_of(item, listed, segment)
                erased[item.offset : item.offset + len(item.data)] = short.ljust(len(item.data), b"\n")
            elif not item.broken and item.end < len(data):  # named already, or it would be the tail
                erased[item.offset : item.end] = b"\n" * (item.end - item.offset)
        if erased != data:
            for path in (self._log.path(segment.first_seq), self._log.archive_path(segment.first_seq)):
                if self._disk.size(path) is not None:
                    self._disk.replace_durably(path, bytes(erased))


def _stub_of(line: Line, listed: Listed, segment: Segment) -> bytes:
    """What stands in the place of a line: its stub when it is listed, else the line itself."""
    seq = seq_of(line.data)
    if seq is None or seq not in listed or is_stub(line.data):
        return line.data
    short = stub(line.data)
    if blake3(short).hexdigest() != listed[seq] or len(short) > len(line.data):
        raise DamagedStore("its stub is not the one that is listed", path=segment.path, seq=seq, rule="J16")
    return short


class _Seen:
    """What one reading of the log tells: the entities of the listed records, and the blobs of all."""

    def __init__(self, gaps: Iterator[Gap], listed: Listed) -> None:
        self.keys: set[Key] = set()
        self.blobs: set[str] = set()
        self.is_whole = True  # every record from the first one on could be read
        next_seq = 1
        for gap in gaps:
            self.is_whole &= gap.segment.first_seq == next_seq and not any(bad.broken for bad in gap.bad)
            next_seq = gap.position.seq + 1
            for record in [entry.record for entry in gap.entries]:
                if record.seq in listed and record.item_id is not None:
                    self.keys.add((record.item_type, record.item_id))
                if record.blob is not None:
                    self.blobs.add(record.blob.blake3)
