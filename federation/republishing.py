"""Republishing: after a new identity, write again what stands in the feeds of former origins only [I2].

Each record is an unmodified copy, with the root of what it repeats: whoever has that version already is not asked again
[K1] [K3]. Private entities and types that are not published are left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from federation.holdings import Holdings
from journal import DamagedStore, Draft, LocalHead, naming_blob

_AT_ONCE: Final = 500  # entities in one batch, which is one write
_BYTES_AT_ONCE: Final = 8 * 1024 * 1024  # of payloads in one batch


def standing_behind(holdings: Holdings, types: Collection[str]) -> list[LocalHead]:
    """Entities, tombstones too, whose newest record was written under a former origin, in the order of the log."""
    own = holdings.own_feeds
    heads = [
        head
        for head in holdings.store.list(deleted=True)
        if own.owner(head.seq) != holdings.store.origin and not head.private and head.item_type in types
    ]
    return sorted(heads, key=lambda head: head.seq)


def never_shown(holdings: Holdings, types: Collection[str]) -> list[LocalHead]:
    """Those of them that no feed shows, so that nobody can know of them: deletions too."""
    return [head for head in standing_behind(holdings, types) if not holdings.facts.shown(head.seq)]


def live(holdings: Holdings, types: Collection[str]) -> list[LocalHead]:
    """Those of them that are live: what a reader lacks who gets the new feed only."""
    return [head for head in standing_behind(holdings, types) if not head.deleted]


def republish(holdings: Holdings, heads: Sequence[LocalHead], *, agent: str) -> int:
    """Write copies of these heads, and return how many: those that changed meanwhile are left out.

    Batch by batch, each durable; killed between two, the rest is found again by `never_shown` and `live`. The next
    publish shows them.
    """
    written = 0
    for batch in _batches(holdings, heads):
        with holdings.store.mutate(agent=agent) as mutation:
            for head, draft in batch:
                if mutation.head(head.item_type, head.item_id) == head:
                    mutation.add(draft)
        written += len(holdings.store.last_commit.written)
    return written


def _batches(holdings: Holdings, heads: Sequence[LocalHead]) -> Iterator[list[tuple[LocalHead, Draft]]]:
    batch: list[tuple[LocalHead, Draft]] = []
    size = 0
    for head in heads:
        draft = _copy(holdings, head)
        if draft is None:
            continue
        batch.append((head, draft))
        size += len(draft.payload or b"")
        if len(batch) == _AT_ONCE or size > _BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _copy(holdings: Holdings, head: LocalHead) -> Draft | None:
    """An unmodified copy of the version an entity is at; None where its payload is redacted or damaged."""
    try:
        payload = None if head.deleted else holdings.store.payload_bytes(head)
    except DamagedStore:
        return None
    if payload is None and not head.deleted:
        return None
    draft = Draft(
        "delete" if head.deleted else "backfill",
        head.item_type,
        head.item_id,
        payload,
        summary=head.summary,
        root=str(head.version),
        context=head.context,
        claims=head.claims,
    )
    return naming_blob(draft)  # of what is here already
