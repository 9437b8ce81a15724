"""Log verification: do the segments hold what J1 to J8 promise?

Walks the log once and folds it anew into an index of its own. Goes on behind whatever it finds, but not behind a format
it does not know. Memory is bounded by one segment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from blake3 import blake3

from journal.codec import (
    BadRange,
    Entry,
    Line,
    chain_start,
    decode_record,
    listed_in,
    mark_void,
    scan,
    seq_of,
    settle_tail,
)
from journal.errors import DamagedStore, FormatTooNew
from journal.findings import Findings, Severity
from journal.index import Index, Position
from journal.log import Segment
from journal.model import JOURNAL_TYPE, ActionClass, BlobRef, Header, LocalHead, Record
from journal.projection import changes_entity, decided_of, head_of


class Extent(NamedTuple):
    """A segment and how many bytes of it are looked at: others may go on writing."""

    segment: Segment
    size: int


class _Numbered(NamedTuple):
    """A record with the line of its file, as editors count."""

    line_number: int
    line: Line
    record: Record


class Stop(NamedTuple):
    """A seq at which somebody wants to look at the fold; each in order, when all records up to it are in.

    The second argument is the first seq of the log that is there.
    """

    seq: int
    look: Callable[[Index, int], None]


class Readable(Protocol):
    """What a walk asks of a log."""

    def header(self, segment: Segment) -> tuple[Header, int]:
        """A segment's header and the bytes it takes, newline included."""
        ...

    def read(self, first_seq: int, start: int = 0, size: int = -1) -> bytes:
        """Bytes of a segment."""
        ...

    def payload_of(self, record: Record) -> bytes | None:
        """The payload of a record, wherever it stands; DamagedStore when it cannot be read."""
        ...


class LooseEnd(NamedTuple):
    """Bytes behind the last good record of a segment: a torn tail, or damage where more is known to have been there."""

    segment: Segment
    line_number: int
    range: BadRange


class LogWalk:
    """The state of one walk: where it stands, and what it folded so far."""

    def __init__(self, log: Readable, found: Findings, origins: Sequence[str], known_seq: int) -> None:
        self.fold = Index.in_memory()
        self.position = Position(0, b"", 0, 0, 0)
        self.records = 0
        self.first_seq = 1  # the first that is there: above 1, older segments are gone [J11]
        self.stops: list[Stop] = []
        self._stubs: dict[int, tuple[Segment, int, str]] = {}  # seq → where a stub stands, and its BLAKE3
        self._listed: dict[int, str] = {}  # seq → BLAKE3 of the stub that `redact` records ask for
        self.is_broken = False  # records were damaged: what builds on them is told less loudly
        self.damaged: set[tuple[int, int, int]] = set()  # segment, first byte and end of what was lost
        self.is_complete = True  # False: the rest cannot be read by this program
        self.loose_end: LooseEnd | None = None  # of the segment that was looked at last
        self.c_of: dict[int, str | None] = {}  # filled in for the seqs that are keys when the walk begins
        self.blobs: set[BlobRef] = set()  # those that records refer to
        self._segments: Sequence[Segment] = ()
        self._log = log
        self._found = found
        self._origins = origins  # the oldest first
        self._known_seq = known_seq

    def walk(self, extents: Sequence[Extent]) -> None:
        """Look at all segments in order."""
        self._segments = [extent.segment for extent in extents]
        for number, extent in enumerate(extents):
            if not self.is_complete:
                return
            self._look_at(extent, is_first=number == 0, is_last=number == len(extents) - 1)
        self._check_redactions()

    def walk_alone(self, extent: Extent, header: Header) -> None:
        """Look at one segment where the others are not there: what only they could tell is taken as its header says."""
        self.first_seq = header.first_seq
        self.position = Position(header.first_seq - 1, bytes.fromhex(header.prev_c), 0, 0, 0)
        self._look_at(extent, is_first=header.first_seq == 1, is_last=True)

    def _look_at(self, extent: Extent, *, is_first: bool, is_last: bool) -> None:
        try:
            self._segment(extent, is_first=is_first, is_last=is_last)
        except FormatTooNew as error:
            error.seq = error.seq or extent.segment.first_seq
            self._found.add_error("format-too-new", error)
            self.is_complete = False
        except DamagedStore as error:
            error.seq = error.seq or extent.segment.first_seq
            self._found.add_error("segment-unreadable", error)
            self.is_broken = True

    def _segment(self, extent: Extent, *, is_first: bool, is_last: bool) -> None:
        segment = extent.segment
        header, length = self._log.header(segment)
        before = bytes.fromhex(header.prev_c)
        self._check_header(segment, header, is_first=is_first)
        data = self._log.read(segment.first_seq, length, max(extent.size - length, 0))
        found = scan(data, length, before)
        if is_last:
            found = settle_tail(found, self._known_seq)
        self.position = Position(self.position.seq, before, segment.first_seq, length, length + len(data))
        records = list(self._records(segment, data, length, found))
        self._check_entities(segment, header, records)

    # --- headers ---

    def _check_header(self, segment: Segment, header: Header, *, is_first: bool) -> None:
        wrong: list[str] = []
        if header.first_seq != segment.first_seq:
            wrong.append(f"first_seq {header.first_seq} in {segment.path.name} [J8]")
        if header.origin_store_id not in self._origins:
            wrong.append(f"origin {header.origin_store_id}, which this store never had [I1]")
        if is_first:
            self.first_seq = header.first_seq
            if header.first_seq != 1:
                what = f"the log begins at seq {header.first_seq}"
                wrong.append(f"{what}: older records are gone [J11], from journal/archive too")
            elif bytes.fromhex(header.prev_c) != chain_start(self._origins[0]):
                wrong.append("the chain does not begin with the first origin [J4]")
        elif bytes.fromhex(header.prev_c) != self.position.c:
            lost = _named_seqs(self.position.seq + 1, header.first_seq - 1)
            wrong.append(f"does not go on from seq {self.position.seq}: {lost} damaged or gone [J8]")
            self.tell_loose_end()
            self.is_broken = True
        elif header.first_seq != self.position.seq + 1:
            wrong.append(f"first_seq {header.first_seq}, expected {self.position.seq + 1} [J1]")
        for message in wrong:
            self._found.add("segment-header", "error", message, path=segment.path, line=1, seq=header.first_seq)
        if is_first or self.is_broken:
            self.position = self.position._replace(seq=header.first_seq - 1)

    # --- lines ---

    def _records(
        self, segment: Segment, data: bytes, base: int, found: Sequence[Line | BadRange]
    ) -> Iterator[_Numbered]:
        """The records of a segment, checked one by one [J1] [J2] [J7]."""
        line_number, counted = 2, 0  # the header is line 1
        fragment: tuple[BadRange, int] | None = None
        self.loose_end = None
        after_break = False
        for item in found:
            line_number += data.count(b"\n", counted, item.offset - base)
            counted = item.offset - base
            if isinstance(item, BadRange):
                after_break = item.broken
                self._check_range(segment, item, line_number)
                fragment = None if item.broken else (item, line_number)
                continue
            record = self._record(segment, item, line_number)
            if record is None:
                if not self.is_complete:
                    break
                continue
            self._check_seq(segment, record, line_number, after_break=after_break)
            if fragment is not None:
                self._tell_fragment(segment, *fragment, record)
            fragment, after_break = None, False
            self.position = self.position._replace(seq=record.seq, c=item.c, offset=item.end)
            self.records += 1
            self._check_blob(segment, record, line_number)
            if record.seq in self.c_of:
                self.c_of[record.seq] = record.c
            yield _Numbered(line_number, item, record)
        if fragment is not None:
            self._tell_fragment(segment, *fragment, None)
            self.loose_end = LooseEnd(segment, fragment[1], fragment[0])

    def tell_loose_end(self) -> None:
        """Something knows of records that stood where the last segment has only bytes: they are damaged [J7] [J11]."""
        if self.loose_end is not None:
            segment, line_number, item = self.loose_end
            self._found.withdraw("torn-tail", segment.path, line_number)
            self._check_range(segment, item._replace(broken=True), line_number)
            self.loose_end = None

    def _record(self, segment: Segment, line: Line, line_number: int) -> Record | None:
        try:
            return decode_record(line.data)
        except FormatTooNew as error:
            self.is_complete = False
            error.path, error.line = str(segment.path), line_number
            self._found.add_error("format-too-new", error)
        except DamagedStore as error:
            error.path, error.line, error.seq = str(segment.path), line_number, seq_of(line.data)
            self._found.add_error("record-unreadable", error)
            self.position = self.position._replace(seq=error.seq or self.position.seq, c=line.c, offset=line.end)
            self.is_broken = True
        return None

    def _check_range(self, segment: Segment, item: BadRange, line_number: int) -> None:
        if item.broken:
            self.is_broken = True
            self.damaged.add((segment.first_seq, item.offset, item.end))
            where = f"bytes {item.offset} to {item.end}"
            message = f"{where} are damaged: records behind seq {self.position.seq} are lost [J7]"
            self._found.add(
                "corruption", "error", message, path=segment.path, line=line_number, seq=self.position.seq + 1
            )

    def _tell_fragment(self, segment: Segment, item: BadRange, line_number: int, behind: Record | None) -> None:
        """A tail that a crash left: it lost nothing; the record behind it should have named it [J7]."""
        named = behind is not None and _names(behind, segment, item)
        by = f"named by seq {behind.seq}" if behind and named else "not named yet"
        message = f"bytes {item.offset} to {item.end} are a torn tail, {by} [J7]"
        self._found.add("torn-tail", "info", message, path=segment.path, line=line_number, seq=self.position.seq)

    def _check_seq(self, segment: Segment, record: Record, line_number: int, *, after_break: bool) -> None:
        expected = self.position.seq + 1
        if record.seq == expected or _torn_seqs(record) == [expected, record.seq - 1]:
            return
        if after_break and record.seq > expected:  # told already, as damage
            return
        message = f"seq {record.seq}, expected {expected} [J1]"
        self._found.add("seq-not-dense", "error", message, path=segment.path, line=line_number, seq=record.seq)

    def _check_blob(self, segment: Segment, record: Record, line_number: int) -> None:
        """The payload that stands elsewhere, each once however many records refer to it [J13]."""
        try:
            if record.blob is not None and record.blob not in self.blobs:
                self.blobs.add(record.blob)
                self._log.payload_of(record)
        except DamagedStore as error:
            if error.path is None:  # not the blob: the record does not say which it is
                error.path, error.line = str(segment.path), line_number
            self._found.add_error("blob-damaged", error)

    # --- what the records say together ---

    def _check_entities(self, segment: Segment, header: Header, records: Sequence[_Numbered]) -> None:
        """Batches [J6] and revs [J3]; then the fold goes on."""
        line_numbers = {item.line.offset: item.line_number for item in records}
        entries = mark_void([(item.line, item.record) for item in records])
        self._tell_void(segment, entries, line_numbers)
        counting = [entry for entry in entries if not entry.void]
        revs = self._revs_before(counting)
        heads: list[LocalHead] = []
        decided = [found for entry in counting if (found := decided_of(entry.record)) is not None]
        for entry in entries:
            if entry.record.redacted:
                stands = line_numbers[entry.line.offset]
                self._stubs[entry.record.seq] = (segment, stands, blake3(entry.line.data).hexdigest())
        for entry in counting:
            self._listed |= listed_in(entry.record)
            record, line_number = entry.record, line_numbers[entry.line.offset]
            try:
                head = head_of(entry, segment.first_seq, header.origin_store_id) if changes_entity(record) else None
            except DamagedStore as error:
                error.path, error.line = str(segment.path), line_number
                self._found.add_error("record-unreadable", error)
                continue
            if head is not None:
                self._check_rev(segment, head, line_number, revs)
                heads.append(head)
            elif record.action_class in (ActionClass.STATE, ActionClass.TOMBSTONE):
                message = f"{record.action} without entity_rev, item_id or payload [J2]"
                self._found.add(
                    "record-incomplete", "error", message, path=segment.path, line=line_number, seq=record.seq
                )
        while self.stops and self.stops[0].seq <= self.position.seq:
            stop = self.stops.pop(0)
            up_to = [head for head in heads if head.seq <= stop.seq]
            self.fold.apply(up_to, self.position, (), [found for found in decided if found.seq <= stop.seq])
            stop.look(self.fold, self.first_seq)
        self.fold.apply(heads, self.position, (), decided)

    def _check_redactions(self) -> None:
        """A stub stands where a `redact` record lists it, as it lists it, and nothing else stands there [J16]."""
        for seq, (segment, line_number, digest) in self._stubs.items():
            if self._listed.get(seq) != digest:
                what = "another stub than the one that is" if seq in self._listed else "a stub that is not"
                message = f"{what} listed by a redact record [J16]"
                self._found.add("stub-unlisted", "error", message, path=segment.path, line=line_number, seq=seq)
        for seq in sorted(self._listed.keys() - self._stubs.keys()) if self.is_complete and not self.is_broken else ():
            if seq >= self.first_seq:
                message = "is listed by a redact record and still there: the next command that writes ends it [J16]"
                path, line = self._place_of(seq)
                self._found.add("redaction-unfinished", "error", message, path=path, line=line, seq=seq, fixable=True)

    def _place_of(self, seq: int) -> tuple[Path, int | None]:
        """The file and line of a record: looked for only when something is wrong with it."""
        segment = max(found for found in self._segments if found.first_seq <= seq)
        data = self._log.read(segment.first_seq)
        found = re.search(rb'(?m)^\{"v":[0-9]{1,6},"seq":%d,' % seq, data)
        return segment.path, None if found is None else data.count(b"\n", 0, found.start()) + 1

    def _revs_before(self, entries: Sequence[Entry]) -> dict[tuple[str, str], int]:
        keys = {(entry.record.item_type, entry.record.item_id or "") for entry in entries}
        return {key: head.entity_rev for key, head in self.fold.heads(sorted(keys)).items()}

    def _check_rev(self, segment: Segment, head: LocalHead, line_number: int, revs: dict[tuple[str, str], int]) -> None:
        key = (head.item_type, head.item_id)
        expected = revs.get(key, 0) + 1
        is_known = key in revs or self.first_seq == 1  # else its older revs may stand in what is gone
        if head.entity_rev != expected and is_known:
            message = f"rev {head.entity_rev} of {head.item_type}/{head.item_id}, expected {expected} [J3]"
            severity: Severity = "warning" if self.is_broken else "error"
            self._found.add("rev-jump", severity, message, path=segment.path, line=line_number, seq=head.seq)
        revs[key] = head.entity_rev

    def _tell_void(self, segment: Segment, entries: Sequence[Entry], line_numbers: dict[int, int]) -> None:
        begins: Entry | None = None
        for entry, after in zip(entries, [*entries, None][1:], strict=True):
            if not entry.void:
                continue
            begins = begins or entry
            if after is None or not after.void or after.record.batch is None or after.record.batch[0] == 1:
                seqs = f"{begins.record.seq} to {entry.record.seq}"
                self._found.add(
                    "void-batch",
                    "info",
                    f"records {seqs} are part of a batch that is not all there, and do not count [J6]",
                    path=segment.path,
                    line=line_numbers[begins.line.offset],
                    seq=begins.record.seq,
                )
                begins = None


def _named_seqs(first: int, last: int) -> str:
    """Which seqs stand before a segment that does not go on; only the chain tells it when none is missing."""
    if last < first:
        return "records before it are"
    return f"seq {first} is" if first == last else f"seqs {first} to {last} are"


def _note(record: Record) -> dict[str, Any]:
    """The payload of a note on a torn tail, {} for any other record."""
    if record.item_type != JOURNAL_TYPE or record.action != "journal_note" or record.payload_bytes is None:
        return {}
    try:
        value = json.loads(record.payload_bytes)
    except (ValueError, RecursionError):  # of no writer that we know
        return {}
    return value if isinstance(value, dict) and value.get("kind") == "torn_tail" else {}


def _torn_seqs(record: Record) -> object:
    return _note(record).get("torn")


def _names(record: Record, segment: Segment, item: BadRange) -> bool:
    """Whether a note speaks of all bytes of a fragment."""
    ranges = _note(record).get("ranges")
    return any(
        isinstance(named, dict)
        and named.get("segment") == segment.path.name
        and named.get("start") == item.offset
        and isinstance(named.get("end"), int)
        and named["end"] >= item.end - 1  # the range ends where the next line begins, behind a blank
        for named in (ranges if isinstance(ranges, list) else [])
    )
