"""Ancestry: the version that a candidate and the local entity both build on, if one is here.

Reads journal and mirrors, and writes nothing. What a record includes is told by its context [K2], as far as that can be
true [K4]; the base is the newest record that both include:

    the newest local record whose version the foreign record includes, else
    the newest record of the foreign origin whose version the local one includes, else none.

A base that is older than the true one would lose what was undone since, so a gap in the history is no base at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from federation.causality import ForeignHead, includes
from federation.errors import BlobUnreadable, DamagedFeed
from federation.feed import parse_skip
from federation.holdings import Holdings
from federation.index import Row
from federation.mirror import BRIDGE_PREFIX
from journal import (
    ActionClass,
    DamagedStore,
    FormatTooNew,
    InvalidInput,
    LocalHead,
    Query,
    Record,
    Version,
    changes_entity,
    check_payload,
    decode_record,
)


class Base(NamedTuple):
    """The record that both sides build on; `payload` is None when it is a tombstone."""

    origin: str
    seq: int
    entity_rev: int | None
    payload: dict[str, Any] | None


class NoBase(NamedTuple):
    """Why there is none."""

    reason: str


def base_of(holdings: Holdings, row: Row, local: LocalHead | None) -> Base | NoBase:
    """The base of a candidate and the local entity [K5]."""
    if local is None:
        return NoBase("it was never here")
    if row.unreadable is not None:
        return NoBase(f"the candidate is unreadable: {row.unreadable}")
    found = _local_base(holdings, row.foreign_head(), local) or _mirrored_base(holdings, row, local)
    return found or NoBase("neither side has seen a version of the other")


# --- here ------------------------------------------------------------------------------------------------------------


def _local_base(holdings: Holdings, foreign: ForeignHead, local: LocalHead) -> Base | NoBase | None:
    """The newest local record that the other side includes; None where it includes none of them."""
    rev = local.entity_rev
    for told in holdings.store.history.newest_first(Query(entity=(local.item_type, local.item_id))):
        if not changes_entity(told.record):
            continue
        if told.record.entity_rev != rev:
            break
        if includes(foreign, local, told.head().version, holdings.facts):
            return _base(told.record, told.origin, holdings.store.payload_of(told.record))
        rev -= 1
    return None if rev == 0 else NoBase(f"rev {rev} of its history cannot be read here")


def _version(record: Record, origin: str) -> Version | None:
    """The authored version a record is, or is a copy of [K1]; None where its root names none."""
    try:
        return Version.parse(record.root) if record.root else Version(origin, record.seq, record.c[:12])
    except ValueError:
        return None


def _base(record: Record, origin: str, payload: bytes | None) -> Base | NoBase:
    """A record as base; NoBase where its payload is gone."""
    if record.action_class is ActionClass.TOMBSTONE:
        return Base(origin, record.seq, record.entity_rev, None)
    return _with_payload(Base(origin, record.seq, record.entity_rev, None), payload)


def _with_payload(base: Base, payload: bytes | None) -> Base | NoBase:
    name = f"the version both sides build on, {base.origin}@{base.seq},"
    if payload is None:
        return NoBase(f"{name} was redacted")
    try:
        return base._replace(payload=check_payload(payload))
    except InvalidInput as error:
        return NoBase(f"{name} cannot be read: {error.message}")


# --- there -----------------------------------------------------------------------------------------------------------


def _mirrored_base(holdings: Holdings, row: Row, local: LocalHead) -> Base | NoBase | None:
    """The newest record of the foreign origin that the local one includes; None where the mirror shows none."""
    try:
        if row.origin.startswith(BRIDGE_PREFIX):
            return _bridged_base(holdings, row, local)
        for record in _newest_first(holdings, row):
            version = _version(record, row.origin)
            if version is not None and local.context.get(version.origin, 0) >= version.seq:
                return _base(record, row.origin, holdings.payload_of(record, row.origin))
    except (BlobUnreadable, DamagedFeed) as error:
        return NoBase(f"our mirror of it cannot be read: {error.message}")
    return None


def _newest_first(holdings: Holdings, row: Row) -> Iterator[Record]:
    """The records of the foreign entity in the mirror, one slice in memory at a time."""
    feed = holdings.mirror.feed(row.origin)
    for file in reversed(feed.slices()):
        for line in reversed(feed.raw(file).split(b"\n")[1:-1]):
            record = _record_in(line)
            if record is not None and (record.item_type, record.item_id) == (row.item_type, row.item_id):
                yield record


def _record_in(line: bytes) -> Record | None:
    """The entity record that a feed line is; None for skips, other records, and what cannot be decoded."""
    try:
        record = None if parse_skip(line) is not None else decode_record(line)
    except (DamagedStore, FormatTooNew):
        return None
    kinds = (ActionClass.STATE, ActionClass.TOMBSTONE)
    return record if record is not None and record.action_class in kinds else None


def _bridged_base(holdings: Holdings, row: Row, local: LocalHead) -> Base | NoBase | None:
    """The same for a bridged store, whose records are versions of their own."""
    seen = local.context.get(row.origin, 0)
    found = holdings.bridge(row.origin).version_at(row.item_type, row.item_id, seen) if seen else None
    if found is None:
        return None
    base = Base(row.origin, found.seq, None, None)
    return base if found.deleted else _with_payload(base, found.payload)
