"""Checkpoints: what the store holds at one seq, written out of band, so that a rebuild need not read the whole log.

A cache like the index, but one that outlives it and survives the loss of old segments [J14]. A file counts only when
the log vouches for it: a `checkpoint_ref` behind its position names its BLAKE3. One that cannot be used is passed over
for the one before, and in the end for the log itself.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from journal.checkpoint_file import Content, Counts, Reading, Top, Writing, decode_top, reference
from journal.codec import decode_record
from journal.disk import Disk
from journal.errors import CacheUnreadable, DamagedStore, DiskFailed, FormatTooNew, JournalError
from journal.folding import fold
from journal.index import Index, Position
from journal.log import Log
from journal.model import JOURNAL_TYPE, Draft, LocalHead

if TYPE_CHECKING:
    from journal.store import Store

KEPT: Final = 2  # the newest, and the one before it to fall back to
WRITER: Final = "eventsync"  # the agent of records that nobody asked for by name
_NAME: Final = re.compile(r"cp-([0-9]{8}|[1-9][0-9]{8,15})\.jsonl", re.ASCII)
_CHUNK_BYTES: Final = 1024 * 1024
_TOP_BYTES: Final = 4 * 1024  # the first line takes 250
_REF: Final = b'"action":"checkpoint_ref"'
Vouch = Callable[[Writing, str, Position], None]  # writes the record that names a file


class Usable(NamedTuple):
    """A checkpoint that the log vouches for: its file, the position it stands for, and the digest it must have."""

    path: Path
    position: Position
    digest: str


class Taken(NamedTuple):
    """A checkpoint that was made, or was there already for all there is (`is_new` False)."""

    path: Path
    seq: int
    digest: str
    counts: Counts
    is_new: bool


class _Changed(NamedTuple):
    """The digests of a checkpoint file as it stands and as it is to become, and what makes the latter."""

    before: str
    after: str
    writing: Writing


class _Reference(msgspec.Struct):
    """What the payload of a `checkpoint_ref` must have."""

    seq: int
    blake3: str


class Checkpoints:
    """The checkpoints of one store."""

    def __init__(self, disk: Disk, log: Log) -> None:
        self._disk = disk
        self._log = log
        self.folder = log.folder / "checkpoints"

    def files(self) -> list[tuple[int, Path]]:
        """Seq and path of each, the newest first, whether it can be used or not."""
        names = self._disk.each_name(self.folder)
        return sorted(((int(m[1]), self.folder / name) for name in names if (m := _NAME.fullmatch(name))), reverse=True)

    def strays(self) -> list[Path]:
        """What else stands in their folder."""
        return sorted(self.folder / name for name in self._disk.each_name(self.folder) if not _NAME.fullmatch(name))

    # --- using them ---

    def usable(self) -> Iterator[Usable]:
        """Those that fit the log and stand in it, the newest first; their content is still to be read."""
        for seq, path in self.files():
            with contextlib.suppress(DamagedStore, FormatTooNew):
                found = self.examine(seq, path)
                if found is not None:
                    yield found

    def examine(self, seq: int, path: Path) -> Usable | None:
        """One of `files`, if it fits the log; None when no record vouches for it: who made it ended before that.

        DamagedStore or FormatTooNew says why it cannot be used.
        """
        position = self._top(path).position
        if position.seq != seq or not self._log.fits(position):
            raise DamagedStore("does not fit the log", path=path, rule="J14")
        digest = self._vouched(position)
        return None if digest is None else Usable(path, position, digest)

    def restore(self, index: Index) -> Position | None:
        """Fill an empty index from the newest one that is whole, and return its position; None when there is none."""
        for found in self.usable():
            try:
                with self.reading(found) as reading:
                    heads, decided, lost = reading.content()
                    index.apply(heads, found.position, lost, decided)
                return found.position
            except CacheUnreadable:  # not the checkpoint: the index
                raise
            except (DamagedStore, FormatTooNew):
                continue
        return None

    def whole(self) -> Iterator[tuple[Usable, Counts]]:
        """Those of which every line was read just now, the newest first, with what is in them."""
        for found in self.usable():
            with contextlib.suppress(DamagedStore, FormatTooNew):
                yield found, self.count(found)

    def count(self, found: Usable) -> Counts:
        """Read every line and count; DamagedStore where it is not what it must be."""
        with self.reading(found) as reading:
            entities, decisions, lost = (sum(1 for _ in part) for part in reading.content())
        return Counts(entities=entities, decisions=decisions, lost=lost)

    def reading(self, found: Usable) -> contextlib.AbstractContextManager[Reading]:
        """The content of a checkpoint; DamagedStore where it is not what the log speaks of."""
        return self._opened(found.path, found.digest)

    @contextlib.contextmanager
    def _opened(self, path: Path, digest: str | None = None) -> Iterator[Reading]:
        with contextlib.closing(self._disk.chunks(path, _CHUNK_BYTES)) as chunks:
            reading = None
            try:
                reading = Reading(chunks, digest)
                yield reading
            except (DamagedStore, FormatTooNew) as error:
                error.path = error.path or str(path)
                if error.rule == "J14" and reading is not None:
                    error.line = error.line or reading.line_number
                raise

    def _top(self, path: Path) -> Top:
        return decode_top(self._disk.read(path, 0, _TOP_BYTES).partition(b"\n")[0])

    def known_seq(self) -> int:
        """The highest seq that a checkpoint of this log remembers, 0 without any [J11]."""
        for seq, path in self.files():
            with contextlib.suppress(DamagedStore, FormatTooNew):
                top, header = self._top(path), self._log.header(self._log.newest())[0]
                origins = [header.origin_store_id, *(_origin(entry) for entry in header.previous)]
                if top.seq == seq and top.origin_store_id in origins:
                    return seq
        return 0

    def _vouched(self, position: Position) -> str | None:
        """The digest that the newest `checkpoint_ref` for this position names; None when there is none."""
        for segment in reversed(self._log.reaching(position.segment)):
            if segment.first_seq < position.segment:
                break
            start = position.offset if segment.first_seq == position.segment else 0
            for line in reversed(self._log.lines_with(segment.first_seq, _REF, start)):
                with contextlib.suppress(DamagedStore, FormatTooNew, msgspec.MsgspecError):
                    record = decode_record(line)
                    found = msgspec.json.decode(record.payload_bytes or b"", type=_Reference)
                    if record.action == "checkpoint_ref" and found.seq == position.seq:
                        return found.blake3
        return None

    # --- making them ---

    def is_due(self) -> bool:
        """Whether a segment was sealed since the newest one, and the log grew by as much as that one takes.

        So all checkpoints together never take more writing than the log itself. Reads names and sizes only.
        """
        newest, path = next(iter(self.files()), (0, None))
        sealed = [segment for segment, after in pairwise(self._log.live()) if after.first_seq - 1 > newest]
        grown = sum(self._disk.size(segment.path) or 0 for segment in sealed)
        return grown > 0 and grown >= ((self._disk.size(path) if path is not None else 0) or 0)

    def path(self, seq: int) -> Path:
        """Where the checkpoint for a seq stands."""
        return self.folder / f"cp-{seq:08d}.jsonl"

    def write(self, path: Path, origin: str, position: Position) -> Writing:
        """Write what the log says up to a position, durably, and read it back.

        Made of the checkpoint before and the records since, not of the index: what is wrong there stays there. Raises
        DiskFailed, and DamagedStore or FormatTooNew when that cannot be read.
        """
        self._disk.make_folder_durably(self.folder)
        with contextlib.closing(Index.in_memory()) as index:
            self._fold(index, position.seq)
            lost = [bad for bad in index.bad_ranges() if bad.broken]
            writing = Writing(origin, position, Content(index.all_heads(), index.decisions(), lost))
            self._disk.stream_durably(path, writing.parts())
        self.count(Usable(path, position, writing.digest))
        return writing

    def _fold(self, index: Index, up_to: int) -> None:
        start = self.restore(index) or self._log.start()
        for gap in self._log.gaps_while_written(start, up_to):
            if gap.segment.first_seq > up_to:
                break
            fold(index, gap, up_to)

    def redact(self, change: Callable[[LocalHead], LocalHead], vouch: Vouch) -> None:
        """Change heads in every checkpoint, durably, and remove those that cannot be relied on [J16].

        `vouch` writes the record that names the new file, before that is put in the place of the old one: where this
        was interrupted the file is passed over until it is done again.
        """
        for seq, path in self.files():
            try:
                found = self.examine(seq, path)
                changed = self._changed(path, change)
            except (DamagedStore, FormatTooNew):
                found, changed = None, None
            if found is None or changed is None or found.digest not in (changed.before, changed.after):
                self._disk.remove(path)
            elif changed.before != changed.after:
                if found.digest == changed.before:
                    vouch(changed.writing, path.name, found.position)
                with self._opened(path) as reading:
                    self._disk.stream_durably(path, _with(reading, change).parts())
        if self._disk.is_folder(self.folder):
            self._disk.sync_folder(self.folder)

    def _changed(self, path: Path, change: Callable[[LocalHead], LocalHead]) -> _Changed:
        with self._opened(path) as reading:
            writing = _with(reading, change)
            for _ in writing.parts():  # only for its digest
                pass
            return _Changed(reading.digest, writing.digest, writing)

    def drop_old(self) -> None:
        """Remove all before the newest that is whole and the one before that."""
        kept = [found.position.seq for found, _ in islice(self.whole(), KEPT)]
        for seq, path in self.files():
            if len(kept) == KEPT and seq < kept[-1]:
                self._disk.remove(path)


def _with(reading: Reading, change: Callable[[LocalHead], LocalHead]) -> Writing:
    heads, decided, lost = reading.content()
    return Writing(reading.top.origin_store_id, reading.top.position, Content(map(change, heads), decided, lost))


def _origin(entry: msgspec.Raw) -> str:
    value = msgspec.json.decode(entry)
    return str(value.get("origin")) if isinstance(value, dict) else ""


def take(store: Store, checkpoints: Checkpoints) -> Taken:
    """Write a checkpoint of all there is, and vouch for it in the log; durable on return.

    The lock is held to catch up and to write the one record, not while the file is made: others go on meanwhile.
    Writes nothing when all behind the newest one are records that vouch for it. Raises as `Store.mutate`; a file that
    no record vouches for is left out by all who look.
    """
    with store.lock():
        position = store.settle()
        there = _there_already(store, checkpoints)
    if there is not None:
        return there
    path = checkpoints.path(position.seq)
    try:
        writing = checkpoints.write(path, store.origin, position)
        vouch(store, writing, path.name, position)
    except JournalError:
        with contextlib.suppress(DiskFailed):
            store.disk.remove(path)  # else it would be taken for the newest one, and the next not be due
        raise
    checkpoints.drop_old()
    return Taken(path, position.seq, writing.digest, writing.counts, True)


def vouch(store: Store, writing: Writing, name: str, position: Position) -> None:
    """Write the record that names a checkpoint file; raises as `Store.mutate`."""
    payload = msgspec.json.encode(reference(writing, name, position))
    with store.mutate(agent=WRITER) as mutation:
        mutation.add(Draft("checkpoint_ref", JOURNAL_TYPE, payload=payload, summary=name))


def _there_already(store: Store, checkpoints: Checkpoints) -> Taken | None:
    """The newest checkpoint, when nothing was recorded since but what vouches for checkpoints."""
    found = next(checkpoints.usable(), None)
    if found is None or any(
        entry.record.action != "checkpoint_ref" for gap in store.gaps(found.position) for entry in gap.entries
    ):
        return None
    try:
        return Taken(found.path, found.position.seq, found.digest, checkpoints.count(found), False)
    except (DamagedStore, FormatTooNew):
        return None
