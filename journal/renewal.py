"""Renewal: how a store takes a new identity, and what of its log stays its own [I2].

Pure. No line is rewritten: a former origin is ours up to the seq at which it was left, and the header that a record
stands under tells who wrote it. What was written under a former origin after that seq is written once more under the
new one, as the first batch of its first segment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence

from journal.codec import Entry
from journal.identity import Previous
from journal.model import MAX_CONTEXT_ENTRIES, Draft, LocalHead
from journal.projection import changes_entity

Key = tuple[str, str]


def leave(previous: Sequence[Previous], left: Previous) -> list[Previous]:
    """The former origins of a store that leaves one more at `left.last_seq`, the newest last.

    One that reached beyond that seq is cut there too: what it wrote later is not ours any more.
    """
    return [
        entry if entry.last_seq <= left.last_seq else Previous(entry.origin, left.last_seq, left.c, "")
        for entry in (*previous, left)
    ]


def is_own(previous: Iterable[Previous], origin: str, seq: int) -> bool:
    """Whether a record under a former origin is ours."""
    return any(entry.origin == origin and seq <= entry.last_seq for entry in previous)


def taken_over(head: LocalHead, payload: bytes | None, kept: Mapping[str, int]) -> Draft:
    """The record that says anew what was written under a former origin after we left it.

    `kept` gives, for each such origin in the context, its newest version of the entity that stays ours, 0 for none: the
    store that goes on under that origin gives the seqs after it to other records. Of an authored version it makes
    another one; a copy stays a copy of the same [K1] [K2].
    """
    context = {origin: seq for origin, seq in head.context.items() if origin not in kept}
    context |= {origin: seq for origin, seq in kept.items() if seq}
    authored = (head.version.seq, head.version.digest) == (head.seq, head.c[:12]) or head.version.origin in kept
    while authored and len(context) >= MAX_CONTEXT_ENTRIES:  # room for itself: fewer entries make at worst a conflict
        del context[max(context)]
    return Draft(
        "delete" if head.deleted else "backfill",
        head.item_type,
        head.item_id,
        payload,
        summary=head.summary,
        private=head.private,
        root=None if authored else str(head.version),
        context=context,
        claims=head.claims,
    )


class Past:
    """Who wrote what in a log, as far as contexts speak of it; filled in segment by segment, from the first on."""

    def __init__(self, previous: Sequence[Previous], keys: Collection[Key]) -> None:
        self._previous = previous
        self._keys = keys
        self._begins: list[int] = []
        self._origins: list[str] = []
        self._newest: dict[tuple[str, Key], int] = {}

    def add(self, first_seq: int, origin: str, entries: Iterable[Entry]) -> None:
        """Take in one segment."""
        self._begins.append(first_seq)
        self._origins.append(origin)
        for entry in entries:
            record = entry.record
            key = (record.item_type, record.item_id or "")
            is_version = record.root is None and not entry.void and changes_entity(record)
            if key in self._keys and is_version and is_own(self._previous, origin, record.seq):
                self._newest[origin, key] = record.seq

    def kept(self, head: LocalHead) -> dict[str, int]:
        """For each origin in the context of a head whose version there is ours no more: the newest that is, or 0."""
        key = (head.item_type, head.item_id)
        return {
            origin: self._newest.get((origin, key), 0)
            for origin, seq in head.context.items()
            if self._wrote(origin, seq) and not is_own(self._previous, origin, seq)
        }

    def _wrote(self, origin: str, seq: int) -> bool:
        """Whether this log has the record of that seq under that origin: else the entry speaks of another store."""
        at = bisect_right(self._begins, seq) - 1
        return at >= 0 and self._origins[at] == origin
