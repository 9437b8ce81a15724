"""Folding: what a piece of the log makes of an index.

Pure but for the index it fills. The newest record of each entity counts, and every record about a foreign one; void
records change nothing [J6].
"""

from __future__ import annotations

from journal.codec import Entry
from journal.index import Index, Torn
from journal.log import Gap
from journal.model import MAX_SEQ, Decided, LocalHead
from journal.projection import changes_entity, decided_of, head_of


def fold(index: Index, gap: Gap, up_to: int = MAX_SEQ) -> None:
    """Take in a piece of the log with its position, or of it the records up to a seq."""
    entries = [entry for entry in gap.entries if entry.record.seq <= up_to]
    torn = [Torn(gap.segment.first_seq, bad.offset, bad.end, bad.broken) for bad in gap.bad]
    index.apply(heads_in(entries, gap), gap.position, torn, decided_in(entries))


def heads_in(entries: list[Entry], gap: Gap) -> list[LocalHead]:
    """What entities are after these records, in log order."""
    return [
        head_of(entry, gap.segment.first_seq, gap.origin)
        for entry in entries
        if not entry.void and changes_entity(entry.record)
    ]


def decided_in(entries: list[Entry]) -> list[Decided]:
    """What these records say about foreign ones."""
    return [found for entry in entries if not entry.void and (found := decided_of(entry.record)) is not None]
