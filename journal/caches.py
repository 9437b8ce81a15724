"""Caches: index and entity files of one store, kept up with its log.

A cache is never ahead of the log [P1]; one that does not fit it is dropped and built again, but a log that is shorter
than what anything remembers is data loss, and that is said [J11]. Only what is missing is replayed. A durable record is
never lost to a failing cache; a reader who cannot write folds the log in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from journal.checkpoints import Checkpoints
from journal.database import drop
from journal.disk import Disk, is_temporary
from journal.entity_files import EntityFiles, Watermark
from journal.errors import (
    CacheUnreadable,
    DamagedStore,
    DiskFailed,
    FormatTooNew,
    JournalError,
    LogShorterThanKnown,
    StoreLocked,
)
from journal.folding import fold, heads_in
from journal.index import Index, Position
from journal.log import Gap, Log
from journal.machine import Machine
from journal.model import EXECUTION_TYPES, Decided, LocalHead

INDEX_FILE: Final = "index.sqlite3"
_PAGE: Final = 1_000  # heads of a list that are held at once
BUSY: Final = "another process is writing"
T = TypeVar("T")


class Caches:
    """What can be deleted: every answer is a function of the log."""

    def __init__(self, disk: Disk, folder: Path, log: Log, machine: Machine) -> None:
        self.files = EntityFiles(disk, folder)
        self._disk = disk
        self._log = log
        self._machine = machine
        self.checkpoints = Checkpoints(disk, log)
        self._index_path = folder / INDEX_FILE
        self._index: Index | None = None
        self._is_private = False  # the index is one that nobody else sees: its file cannot be used
        self._tail_known = False  # whether the header of the newest segment was looked at [J12]
        # Both hold from catching up until the lock is free again.
        self._mark = Watermark()
        self._last_seq = 0
        self._problem: str | None = None

    # --- the index ---

    def ask(self, question: Callable[[Index], T]) -> T:
        """Ask the index; when its file cannot be used the log is folded in memory, so an answer is never made up."""
        try:
            return question(self._any_index())
        except CacheUnreadable:
            self._go_private()
            return question(self._any_index())

    def heads(self, item_type: str | None) -> Iterator[LocalHead]:
        """All heads by type and id, a page at a time; what is written meanwhile may be among them."""
        key = ("", "")
        while page := self.ask(partial(Index.heads_behind, item_type=item_type, key=key, most=_PAGE)):
            yield from page
            key = page[-1][:2]

    def close(self) -> None:
        """Close the index; the next question opens it again."""
        if self._index is not None:
            self._index.close()
        self._index, self._is_private = None, False

    def _any_index(self) -> Index:
        if self._index is None:
            try:
                self._index = Index.open(self._disk, self._index_path)
                if self._index.position() is not None:
                    return self._index
            except DiskFailed:
                pass  # a reader needs no file
            self._go_private()  # an index that was never filled has no answers either
        assert self._index is not None
        return self._index

    def _go_private(self) -> None:
        """Take the index as it is when it is up to date, else fold the whole log. Needs no lock, writes nothing."""
        problem = self._fold_privately()
        if problem is not None:
            self.close()
            raise problem

    def _fold_privately(self) -> JournalError | None:
        self.close()
        try:
            found = Index.look(self._disk, self._index_path)
            position = None if found is None else found.position()
            if position is not None and self._log.is_at_end(position) and self._log.fits(position):
                self._index, self._is_private = found, True
                return None
        except (CacheUnreadable, DiskFailed):
            pass  # the log is the truth
        self._index, self._is_private = Index.in_memory(), True
        try:
            start = self._restored(self._index)
            self._replay(self._index, start, self._log.gaps_while_written(start, 0), 0)
        except (DamagedStore, FormatTooNew) as error:
            return error
        return None

    def _open_for_writing(self) -> Index:
        if self._is_private:
            self.close()
        if self._index is None:
            try:
                self._index = Index.open(self._disk, self._index_path)
            except CacheUnreadable:
                self._drop_index()
                self._index = Index.open(self._disk, self._index_path)
            except DiskFailed as error:
                self._problem = str(error)
                self._index, self._is_private = Index.in_memory(), True
        return self._index

    def _drop_index(self) -> None:
        self.close()
        drop(self._disk, self._index_path)

    # --- the writing side: the caller holds the store lock ---

    def catch_up(self, published_seq: int) -> Position:
        """Replay what the caches lack and return the end of the log.

        `published_seq` is what others were told of. LogShorterThanKnown when the log lost records [J11]; DamagedStore
        and FormatTooNew as `Log.gaps`.
        """
        self._problem = None
        try:
            return self._catch_up(self._open_for_writing(), published_seq)
        except CacheUnreadable:
            self._drop_index()
            return self._catch_up(self._open_for_writing(), published_seq)

    def _catch_up(self, index: Index, published_seq: int) -> Position:
        self._mark, position = self.files.watermark(), index.position()
        behind = self._mark.behind(self._machine.boot_id)
        known = max(self._known_seq(position), self._mark.applied_seq, published_seq)
        if position is not None and not self._log.fits(position):
            self._refuse_shorter(self._read_last_seq(known), known)
            self._drop_index()
            index, position, behind = self._open_for_writing(), None, 0
        if position is None or not self._log.is_at_end(position):
            # found, not written by us: durable before anything speaks of it [J7]
            self._log.sync_newest(0 if position is None else position.segment)
            position = position or self._restored(index)
            position = self._replay(index, position, self._log.gaps(position, known), known)
        elif not self._tail_known:
            self._log.header(self._log.newest())  # a later program may have begun it [J12]
        self._tail_known = True
        self._refuse_shorter(position.seq, known)
        self._last_seq = position.seq
        if behind < position.seq:
            self._mark = Watermark(behind, min(self._mark.synced_seq, behind), self._machine.boot_id)
            self._project()
        return position

    def _project(self) -> None:
        """Bring the files from the watermark up to the log; when the disk refuses they stay behind."""
        behind = self._mark.applied_seq
        try:
            damage = self.ask(lambda index: self.files.write(index.heads_after(behind), self._log.payload))
            self._mark = self.files.mark(self._mark, self._last_seq, self._machine.boot_id)
            self._problem = self._problem or (None if damage is None else str(damage))
        except DiskFailed as error:
            self._problem = str(error)

    def _refuse_shorter(self, last_seq: int, known_seq: int) -> None:
        if last_seq < known_seq:
            text = f"the log ends at seq {last_seq}, but seq {known_seq} was written"
            raise LogShorterThanKnown(text, path=self._log.folder, seq=known_seq, rule="J11")

    def _known_seq(self, position: Position | None) -> int:
        """How far the index went, or without one a checkpoint."""
        return self.checkpoints.known_seq() if position is None else position.seq

    def _restored(self, index: Index) -> Position:
        """Fill an empty index as far as a checkpoint goes; the start of the log where there is none [J14]."""
        return self.checkpoints.restore(index) or self._log.start()

    def _read_last_seq(self, known_seq: int) -> int:
        """Where the log ends, read from the newest checkpoint on."""
        whole = next(self.checkpoints.whole(), None)
        end = self._log.start() if whole is None else whole[0].position
        for gap in self._log.gaps(end, known_seq):
            end = gap.position
        return end.seq

    def _replay(self, index: Index, position: Position, gaps: Iterator[Gap], known_seq: int) -> Position:
        """Take in what is behind a position, and return the end.

        Of a log that ends before `known_seq` not all: an index that ends where such a log ends would look as if nothing
        had been lost [J11]. Then who goes on reading gets one in memory.
        """
        held: Gap | None = None
        try:
            for gap in gaps:
                if held is not None:
                    fold(index, held)
                held, position = gap, gap.position
        except (DamagedStore, FormatTooNew):
            if held is not None:
                fold(index, held)
            raise
        if held is not None and position.seq < known_seq:
            self._fold_privately()
        elif held is not None:
            fold(index, held)
        return position

    def absorb(
        self, heads: Sequence[LocalHead], after: Position, decided: Sequence[Decided], payloads: Mapping[int, bytes]
    ) -> str | None:
        """Take in what was just written; the records are safe: a problem is told, not raised [P1].

        `payloads` by seq, of records that have them in their lines.
        """
        files_are_current, self._last_seq = self._mark.applied_seq >= self._last_seq, after.seq
        try:
            self._any_index().apply(heads, after, (), decided)
            if files_are_current:
                newest = {(head.item_type, head.item_id): head for head in heads}
                self.files.write(newest.values(), lambda head: self._payload(head, payloads))
                self._mark = self.files.mark(self._mark, after.seq, self._machine.boot_id)
            else:
                self._project()
        except (DamagedStore, DiskFailed, FormatTooNew) as error:
            self.close()
            return str(error)
        return self._problem

    def _payload(self, head: LocalHead, at_hand: Mapping[int, bytes]) -> dict[str, Any] | None:
        return json.loads(at_hand[head.seq]) if head.seq in at_hand else self._log.payload(head)

    def sync_files(self) -> str | None:
        """Make the files durable, once per roll [P4]; a problem is told: the next roll tries again."""
        try:
            self._mark = self.files.sync(self._mark)
        except DiskFailed as error:
            return str(error)
        return None

    def rebuild(self, published_seq: int) -> str | None:
        """Delete index and files and make them again; what could not be, None when all could.

        LogShorterThanKnown before anything is deleted [J11].
        """
        position = self._open_for_writing().position()
        known = max(self._known_seq(position), self.files.watermark().applied_seq, published_seq)
        self._refuse_shorter(self._read_last_seq(known), known)
        self._drop_index()
        self.files.forget()
        end = self.catch_up(published_seq)
        self.files.remove_strays(self._open_for_writing().head, end.seq)
        for path in self._left_over():
            self._disk.remove(path)
        return self._problem

    def erase(self, keys: Collection[tuple[str, str]], published_seq: int) -> None:
        """Make index and projections of these entities anew, so that no byte of what they held is left [J16].

        Durable on return: nothing of it comes back after a power cut. The log holds only what may be left.
        """
        self._drop_index()
        self._disk.sync_folder(self._index_path.parent)
        for path in self._left_over():
            self._disk.remove(path)
        self.catch_up(published_seq)
        index = self._open_for_writing()
        self.files.erase(keys, index.head, self._log.payload)

    def _left_over(self) -> list[Path]:
        """What interrupted writes left in the folders of the journal."""
        folders = (self._log.folder, self._log.archive, self.checkpoints.folder)
        found = [folder / name for folder in folders for name in self._disk.each_name(folder) if is_temporary(name)]
        return [*found, *self._log.blobs.left_over()]

    # --- the reading side ---

    def refresh(self, lock: Callable[[], AbstractContextManager[None]], published_seq: Callable[[], int]) -> str | None:
        """Bring the caches up to the log before reading; returns why they may lack records, None when they lack none.

        DamagedStore and FormatTooNew are raised only when nothing at all can be read.
        """
        try:
            if not self._is_current(published_seq):
                with lock():
                    self.catch_up(published_seq())
            return self.ask(_broken)
        except StoreLocked:
            return self._without_lock(BUSY, published_seq)
        except DiskFailed as error:
            return self._without_lock(str(error), published_seq)
        except (DamagedStore, FormatTooNew) as error:
            return self._partly(error)

    def _is_current(self, published_seq: Callable[[], int]) -> bool:
        try:
            index = self._index or Index.open(self._disk, self._index_path)
            self._index = index
            position = index.position()
        except (CacheUnreadable, DiskFailed):
            return False
        if position is None or not self._log.is_at_end(position):
            return False
        mark = self.files.watermark()
        if max(mark.applied_seq, published_seq()) > position.seq:
            return False  # the log lost records: catching up says so [J11]
        return self._is_private or mark.behind(self._machine.boot_id) >= position.seq

    def _without_lock(self, reason: str, published_seq: Callable[[], int]) -> str | None:
        """What can be told when the caches cannot be brought up to date."""
        try:
            if self._index is not None and not self._is_private and self._index.position() is not None:
                return reason
            problem = self._fold_privately()
            if problem is not None:
                return self._partly(problem)
            position = self.ask(Index.position) or self._log.start()
            self._refuse_shorter(position.seq, max(self.files.watermark().applied_seq, published_seq()))
            return self.ask(_broken)
        except (DamagedStore, FormatTooNew) as error:
            return self._partly(error)

    def _partly(self, error: JournalError) -> str:
        """Some can be read: say why not all. Nothing can be read: raise, since that is not an empty store [J11]."""
        if self._index is None or self._index.position() is None:
            self.close()
            raise error
        return str(error)

    def newer_execution_heads(self) -> dict[tuple[str, str], LocalHead]:
        """Execution entities that changed behind the index, read through the log while another process writes."""
        position = self.ask(Index.position) or self._log.start()
        return {
            (head.item_type, head.item_id): head
            for gap in self._log.gaps_while_written(position, position.seq)
            for head in heads_in(gap.entries, gap)
            if head.item_type in EXECUTION_TYPES
        }


def _broken(index: Index) -> str | None:
    found = index.first_broken_range()
    if found is None:
        return None
    segment, offset, end = found
    return f"seg-{segment:08d}.jsonl: bytes {offset} to {end} are damaged, records are missing [J7]"
