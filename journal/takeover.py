"""Takeover: what a store reads of its log, and what it makes of store.json, when it takes a new identity [I2].

Writes nothing: the Store does, in the order that makes every crash leave one whole identity. What is decided here is
decided in `renewal`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from journal import identity
from journal.errors import DamagedStore, InvalidInput
from journal.identity import Previous, StoreFile
from journal.index import Position
from journal.log import Log
from journal.model import Draft, LocalHead
from journal.mutation import naming_blob
from journal.renewal import Past, leave, taken_over


class Renewed(NamedTuple):
    """What a new identity left behind, and how many records were written anew under it."""

    left: Previous
    written: int


def left_at(log: Log, end: Position, at: int | None, file: StoreFile, local: Mapping[str, Any]) -> Previous:
    """The origin in force as one that is left at a seq: its c there, and its t where a publish ended there.

    InvalidInput when no record has that seq.
    """
    seq = end.seq if at is None else at
    c = end.c if seq == end.seq else log.c_at(seq)
    if c is None:
        raise InvalidInput(f"no record has seq {seq}, the log ends at {end.seq}", seq=seq, rule="I2")
    published = identity.published_of(local, file) or {}
    t = published.get("t") if published.get("last_seq") == seq else None
    return Previous(file.origin_store_id, seq, c.hex(), t if isinstance(t, str) else "")


def new_file(file: StoreFile, left: Previous, name: str, public_key: bytes) -> StoreFile:
    """store.json under the new key."""
    return msgspec.structs.replace(
        file,
        name=name,
        origin_store_id=identity.origin_of(public_key),
        public_key=base64.b64encode(public_key).decode("ascii"),
        previous=leave(file.previous, left),
    )


def drafts_for(heads: Sequence[LocalHead], previous: Sequence[Previous], log: Log) -> list[Draft]:
    """The records that say anew what was written after the last former origin was left; `heads` are those entities.

    A head whose payload is redacted or damaged stays as it is: there is nothing to say anew.
    """
    if not heads:
        return []
    past = Past(previous, frozenset((head.item_type, head.item_id) for head in heads))
    for gap in log.gaps(log.start()):
        past.add(gap.segment.first_seq, gap.origin, gap.entries)
    drafts = []
    for head in heads:
        try:
            found = None if head.deleted else log.payload_bytes(head)
        except DamagedStore:
            continue
        if head.deleted or found is not None:
            drafts.append(naming_blob(taken_over(head, found, past.kept(head))))
    return drafts


def is_under(log: Log, file: StoreFile) -> bool:
    """Whether the segment that is written to was begun under the origin in force: else it must be taken over first.

    DamagedStore when that segment is of an origin the store never had: then store.json is not the one of this log.
    """
    newest = log.newest()
    origin = log.header(newest)[0].origin_store_id
    if origin not in (file.origin_store_id, *(entry.origin for entry in file.previous)):
        raise DamagedStore(f"is of {origin}, which store.json does not know", path=newest.path, line=1, rule="I1")
    return origin == file.origin_store_id
