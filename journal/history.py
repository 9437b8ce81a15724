"""History: what was recorded, asked from both ends: the records of one entity, the newest ones, the store as it was.

Reads the log segment by segment and changes nothing. Who asks for one entity has only those segments checked, and only
those lines decoded, that name it: our own lines spell a type and an id in one way. Void records are left out [J6].
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from journal.codec import Entry, Line, decode_record, mark_void, scan
from journal.errors import DamagedStore, FormatTooNew, NoSuchEntity, NoSuchRecord
from journal.index import Index, Position
from journal.log import Gap, Log, Segment
from journal.model import MAX_SEQ, LocalHead, Record
from journal.projection import changes_entity, head_of

Key = tuple[str, str]


class Query(NamedTuple):
    """Which records are asked for: those after one seq, up to another, of one entity, written under one origin."""

    since: int = 0
    until: int = MAX_SEQ
    entity: Key | None = None
    origin: str | None = None

    def wants(self, record: Record) -> bool:
        """Whether a record is one of them; the origin is that of its segment."""
        return self.since < record.seq <= self.until and self.entity in (None, (record.item_type, record.item_id))


_EVERYTHING: Final = Query()
_FEW_NAMES: Final = 8  # so many are looked for one by one
_SPELLED: Final = re.compile(rb'"item_type":"[^"\\]*","item_id":"[^"\\]*"')


class Told(NamedTuple):
    """A record, where it stands, and the origin it was written under."""

    record: Record
    origin: str
    entry: Entry
    segment: int

    def head(self) -> LocalHead:
        """What the entity was after this record."""
        return head_of(self.entry, self.segment, self.origin)


class History:
    """The log of one store, as others ask about it.

    `end` brings the caches up to the log and returns where they are; `gaps` reads the log behind a position for one who
    wants what came after a seq, and tells the store of damage.
    """

    def __init__(self, log: Log, end: Callable[[], Position], gaps: Callable[[Position, int], Iterator[Gap]]) -> None:
        self._log = log
        self._end = end
        self._gaps = gaps

    def records(self, query: Query = _EVERYTHING, *, last: int | None = None) -> Iterator[Record]:
        """The records asked for, oldest first; with `last` only that many of the newest.

        NoSuchRecord when the log ends before the seq up to which they are asked for. DamagedStore and FormatTooNew
        name file and line of what cannot be read; what stands before it comes first.
        """
        self._refuse_future(query.until)
        if last is not None:
            return iter([told.record for told in islice(self.newest_first(query), last)][::-1])
        if query.entity is not None:
            return (told.record for told in self._oldest_first(query))
        return self._filtered(query)

    def rev(self, item_type: str, item_id: str, entity_rev: int) -> Told:
        """The record that made one rev of an entity; NoSuchEntity otherwise."""
        for told in self._oldest_first(Query(entity=(item_type, item_id))):
            if told.record.entity_rev == entity_rev:
                return told
        raise NoSuchEntity(f"no rev {entity_rev} of {item_type}/{item_id}")

    def entity_at(self, item_type: str, item_id: str, seq: int) -> Told:
        """The record that made an entity what it was at a seq; NoSuchEntity when it was not there then.

        NoSuchRecord when the log ends before.
        """
        self._refuse_future(seq)
        query = Query(until=seq, entity=(item_type, item_id))
        told = next((told for told in self.newest_first(query) if changes_entity(told.record)), None)
        if told is None or told.head().deleted:
            raise NoSuchEntity(f"no entity {item_type}/{item_id} at seq {seq}")
        return told

    @contextlib.contextmanager
    def entities_at(self, seq: int, item_type: str | None = None) -> Iterator[Iterator[LocalHead]]:
        """The heads of all entities as they were at a seq, deleted ones too, by type and id.

        NoSuchRecord when the log ends before.
        """
        self._refuse_future(seq)
        with contextlib.closing(Index.in_memory()) as index:
            segments = self._segments(Query(until=seq))
            self._refuse_without_beginning(segments, Query())
            for segment in segments:
                told = self._told(segment, Query(until=seq))
                heads = (one.head() for one in told if changes_entity(one.record))
                index.apply(heads, Position(seq, b"", segment.first_seq, 0, 0), ())
            yield index.all_heads(item_type)

    def follow(self) -> Follower:
        """Tells what is written from here on, whoever writes it."""
        return Follower(self._log, self._gaps, self._end())

    # --- inside ---

    def _refuse_future(self, seq: int) -> None:
        last_seq = self._end().seq
        if last_seq < seq < MAX_SEQ:
            for gap in self._gaps(self._end(), last_seq):  # the caches may be behind
                last_seq = max(last_seq, gap.position.seq)
            if last_seq < seq:
                raise NoSuchRecord(f"the log ends at seq {last_seq}, before seq {seq}", seq=seq)

    def _filtered(self, query: Query) -> Iterator[Record]:
        for gap in self._gaps(self._log.position_at(query.since), query.since):
            if query.origin in (None, gap.origin):
                yield from (found for _, found, void in gap.entries if not void and query.wants(found))
            if gap.position.seq >= query.until:
                return

    def _oldest_first(self, query: Query) -> Iterator[Told]:
        segments = self._segments(query)
        self._refuse_without_beginning(segments, query)
        for segment in segments:
            yield from self._told(segment, query)

    def newest_first(self, query: Query) -> Iterator[Told]:
        """The records asked for from the other end: who wants only a few reads only the newest segments."""
        segments = self._segments(query)
        for segment in reversed(segments):
            yield from reversed([*self._told(segment, query)])
        self._refuse_without_beginning(segments, query)

    def newest_of(self, keys: Collection[Key], until: int) -> dict[Key, Record]:
        """The newest record up to a seq that changed each of some entities, in one walk from that end.

        Stubs of redacted records are passed over; entities that have no other are left out. DamagedStore when older
        segments are gone, and may hold what was not found.
        """
        left, found = set(keys), dict[Key, Record]()
        segments = self._segments(Query(until=until))
        for segment in reversed(segments):
            if not left:
                return found
            for told in reversed([*self._told(segment, Query(until=until), left)]):
                key = (told.record.item_type, told.record.item_id or "")
                if key in left and changes_entity(told.record) and not told.record.redacted:
                    found[key] = told.record
                    left.remove(key)
        if left:
            self._refuse_without_beginning(segments, Query(until=until))
        return found

    def _segments(self, query: Query) -> Sequence[Segment]:
        """The segments that may hold what is asked for, by their names [J8]."""
        segments = [segment for segment in self._log.segments() if segment.first_seq <= query.until]
        behind = [segment for segment in segments if segment.first_seq <= query.since + 1][1:]
        return segments[len(behind) :]

    def _refuse_without_beginning(self, segments: Sequence[Segment], query: Query) -> None:
        """DamagedStore when older segments are gone, from the archive too, and may hold what is asked for [J11]."""
        if not segments or segments[0].first_seq > query.since + 1:
            self._log.start()

    def _told(self, segment: Segment, query: Query, keys: Collection[Key] | None = None) -> Iterator[Told]:
        """The records of a segment that are asked for; with `keys` at least those about these entities."""
        header, start = self._log.header(segment)
        if query.origin not in (None, header.origin_store_id):
            return
        data = self._log.read(segment.first_seq, start)
        keys = keys if query.entity is None else [query.entity]
        named = None if keys is None else _naming(map(_as_it_is_spelled, keys), data)
        if named is not None and named(data) is None:
            return
        lines = [line for line in scan(data, start, bytes.fromhex(header.prev_c)) if isinstance(line, Line)]

        def decode(line: Line) -> Record:
            try:
                return decode_record(line.data)
            except (DamagedStore, FormatTooNew) as error:
                error.path, error.line = str(segment.path), self._log.line_number(segment, line.offset)
                raise

        for entry in _entries(lines, named, decode):
            if not entry.void and query.wants(entry.record):
                yield Told(entry.record, header.origin_store_id, entry, segment.first_seq)


def _naming(names: Iterable[bytes], data: bytes) -> Callable[[bytes], object]:
    """What finds one of the names in bytes of a segment; of many, only those in `data` are looked for."""
    wanted = list(names)
    if len(wanted) > _FEW_NAMES:
        there = set(_SPELLED.findall(data))
        wanted = [name for name in wanted if name in there]
    return re.compile(b"|".join(map(re.escape, wanted)) if wanted else b"(?!)").search


def _as_it_is_spelled(key: Key) -> bytes:
    """How every line of our own names an entity; what is no id of ours is in no line [J10]."""
    return f'"item_type":"{key[0]}","item_id":"{key[1]}"'.encode("utf-8", "backslashreplace")


def _entries(
    lines: Sequence[Line], named: Callable[[bytes], object] | None, decode: Callable[[Line], Record]
) -> Iterator[Entry]:
    """The entries of lines in which `named` finds something.

    A batch is decoded as a whole: it counts when all of it is there.
    """
    at = 0
    while at < len(lines):
        if named is not None and named(lines[at].data) is None:
            at += 1
            continue
        record = decode(lines[at])
        number, count = record.batch if record.batch and record.batch[1] > 1 else (1, 1)
        first = min(max(at + 1 - number, 0), at)
        batch = lines[first : max(at + 1 + count - number, at + 1)]
        entries = mark_void([(line, record if line is lines[at] else decode(line)) for line in batch])
        if entries[at - first].void:  # a crash was here: no batch tells any more where the next begins
            first, batch = 0, lines
            entries = mark_void([(line, decode(line)) for line in lines])
        yield from (entry for entry in entries[at - first :] if named is None or named(entry.line.data) is not None)
        at = first + len(batch)


class Follower:
    """What is new in a log since it was last looked at. Looking costs names and one size while nothing is new.

    A failed write that another process took back is forgotten again, and what stands there instead is told; but for one
    that has the same number of bytes.
    """

    def __init__(self, log: Log, gaps: Callable[[Position, int], Iterator[Gap]], position: Position) -> None:
        self._log = log
        self._gaps = gaps
        self._position = position

    @property
    def seq(self) -> int:
        """How far the log was looked at."""
        return self._position.seq

    def new(self, query: Query) -> Iterator[Record]:
        """The records that are new and asked for, oldest first; whatever is left untaken comes again."""
        seen = self._position
        if self._log.is_at_end(seen):
            return
        start = seen if self._log.fits(seen) else self._log.position_at(seen.seq)
        for gap in self._gaps(start, seen.seq):
            for line, record, void in gap.entries:
                is_new = record.seq > seen.seq or (record.seq == seen.seq and line.c != seen.c)
                if is_new and not void and query.wants(record) and query.origin in (None, gap.origin):
                    yield record
            self._position = gap.position
