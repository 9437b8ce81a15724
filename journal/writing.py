"""Writing: what goes behind the end of the log, and in which order. One Writer for one stretch under the store lock.

A torn tail is named first [J7], a full segment is followed by a new one [J8], lines are durable before caches hear of
them [J5] [P1]. Under a new identity the first segment is born with what must be said anew [I2].
"""

from __future__ import annotations

from collections.abc import Sequence

from journal.caches import Caches
from journal.codec import Entry, Line, torn_note
from journal.entity_files import Find
from journal.identity import StoreFile
from journal.index import Position
from journal.log import Log
from journal.machine import Machine
from journal.model import JOURNAL_TYPE, Committed, Draft, Record, Written
from journal.mutation import Author, Sealed, seal
from journal.payloads import encode_payload
from journal.projection import changes_entity, decided_of, head_of
from journal.takeover import drafts_for


class Writer:
    """Where the log ends, under whose name and by whom it goes on, and what went wrong with a cache meanwhile."""

    def __init__(
        self, log: Log, caches: Caches, machine: Machine, file: StoreFile, author: Author, position: Position
    ) -> None:
        self.position = position
        self._log = log
        self._caches = caches
        self._machine = machine
        self._file = file
        self._author = author
        self._problem: str | None = None

    def commit(self, drafts: Sequence[Draft], head: Find, roll_bytes: int) -> Committed:
        """Write one batch, durably. Raises DiskFailed with the log as it was [J5]; a failing cache is only told."""
        self.note_torn_tail(head)
        self._roll_when_full(roll_bytes)
        records = self._append(drafts, head)
        written = [Written(r.seq, r.action, r.item_type, r.item_id, r.entity_rev, r.c) for r in records]
        return Committed(written, self._problem)

    def note_torn_tail(self, head: Find) -> None:
        """Name what a crash left behind the last good record, in one record of its own, before anything else [J7].

        Its own write and fsync: so the unsynced end of a log is always one batch, which tells tails from damage.
        """
        at = self.position
        torn = self._log.tail_bytes(at).lstrip(b"\n") if at.offset < at.size else b""
        if torn:
            note, top_seq = torn_note(torn, self._log.path(at.segment).name, at.size, at.seq)
            draft = Draft("journal_note", JOURNAL_TYPE, payload=encode_payload(note), summary="torn tail")
            self._append([draft], head, skipped=top_seq - at.seq)

    def take_over(self, head: Find) -> None:
        """Begin the first segment under a new origin, born with what must be said anew [I2] [J8]."""
        self.note_torn_tail(head)
        left = self._file.previous[-1].last_seq
        heads = self._caches.ask(lambda index: list(index.heads_after(left)))
        drafts = drafts_for(heads, self._file.previous, self._log)
        sealed = self._seal(drafts, head, self.position.seq)
        self._log.blobs.settle(drafts)
        self._roll([item.line for item in sealed])
        self.position = self._caches.catch_up(self.position.seq)

    def _roll_when_full(self, roll_bytes: int) -> None:
        is_empty = self.position.segment > self.position.seq
        if not is_empty and self.position.size >= roll_bytes:
            self._roll(())
            self._tell(self._caches.sync_files())

    def _roll(self, lines: Sequence[bytes]) -> None:
        self._log.sync(self.position)  # nothing may stand behind a tail that is not on disk [J7]
        self.position = self._log.roll(self.position, self._file.origin_store_id, self._file.previous, lines)

    def _append(self, drafts: Sequence[Draft], head: Find, *, skipped: int = 0) -> list[Record]:
        """Write one batch at the end, durably, and then let the caches know."""
        sealed = self._seal(drafts, head, self.position.seq + skipped)
        self._log.blobs.settle(drafts)  # before the lines that refer to them [J13]
        places = self._log.append(self.position, [item.line for item in sealed])
        end = places[-1].offset + places[-1].length + 1
        self.position = Position(sealed[-1].record.seq, sealed[-1].c, self.position.segment, end, end)
        origin = self._file.origin_store_id
        heads = [
            head_of(Entry(Line(place.offset, item.line, item.c), item.record, False), place.segment, origin)
            for item, place in zip(sealed, places, strict=True)
            if changes_entity(item.record)
        ]
        records = [item.record for item in sealed]
        inline = {record.seq: data for record in records if (data := record.payload_bytes) is not None}
        decided = [found for record in records if (found := decided_of(record)) is not None]
        self._tell(self._caches.absorb(heads, self.position, decided, inline))
        return records

    def _seal(self, drafts: Sequence[Draft], head: Find, last_seq: int) -> list[Sealed]:
        return seal(
            drafts,
            origin=self._file.origin_store_id,
            last_seq=last_seq,
            last_c=self.position.c,
            author=self._author,
            machine=self._machine,
            head=head,
        )

    def _tell(self, problem: str | None) -> None:
        self._problem = problem or self._problem
