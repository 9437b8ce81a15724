"""Projection: what a record makes of an entity, and the entity as a readable JSON document.

Pure. Entities are snapshots, so folding is taking the newest record that counts; the document is pretty and key-sorted
and the same bytes for the same record, so an unchanged projection is never written again [P1] [P2].
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from blake3 import blake3

from journal.codec import Entry
from journal.errors import DamagedStore
from journal.model import ActionClass, Decided, LocalHead, Place, Record, Version

ENTITY_CLASSES: Final = frozenset([ActionClass.STATE, ActionClass.TOMBSTONE])


def changes_entity(record: Record) -> bool:
    """Whether the record is a new head of an entity: live (a snapshot, or its redacted stub) or a tombstone [J2]."""
    if record.item_id is None or record.entity_rev is None:
        return False
    if record.action_class is ActionClass.TOMBSTONE:
        return True
    return record.action_class is ActionClass.STATE and (record.has_payload or record.redacted)


def head_of(entry: Entry, segment: int, origin: str) -> LocalHead:
    """The head an entity has after this record of the store `origin`."""
    record = entry.record
    if record.item_id is None or record.entity_rev is None:
        raise DamagedStore("entity record without item_id or entity_rev", seq=record.seq, rule="J2")
    try:
        version = Version.parse(record.root) if record.root else Version(origin, record.seq, record.c[:12])
    except ValueError as error:
        raise DamagedStore(f"root: {error}", seq=record.seq, rule="K1") from None
    return LocalHead(
        item_type=record.item_type,
        item_id=record.item_id,
        entity_rev=record.entity_rev,
        seq=record.seq,
        c=record.c,
        version=version,
        context={origin: record.seq} if record.context is None else record.context,
        claims=record.claims or {},
        deleted=record.action_class is ActionClass.TOMBSTONE,
        private=record.private,
        summary=record.summary,
        place=Place(segment, entry.line.offset, len(entry.line.data)),
    )


def decided_of(record: Record) -> Decided | None:
    """What a record says about a foreign one; None when it names no cause."""
    if record.cause is None:
        return None
    return Decided(record.seq, record.action, record.item_type, record.item_id, record.cause, record.root)


def document(head: LocalHead, payload: Mapping[str, Any] | None) -> bytes:
    """The projection file of a live entity. Its digest tells whether somebody changed the payload by hand."""
    value = {
        "item_type": head.item_type,
        "item_id": head.item_id,
        "entity_rev": head.entity_rev,
        "seq": head.seq,
        "version": str(head.version),
        "context": dict(head.context),
        "claims": dict(head.claims),
        "payload": payload,
        "payload_digest": payload_digest(payload),
    }
    if head.private:
        value["private"] = True
    return (json.dumps(value, ensure_ascii=False, sort_keys=True, indent=2) + "\n").encode("utf-8")


def payload_digest(payload: Any) -> str:
    """12 hex of the BLAKE3 of a payload as JSON with sorted keys and no spaces."""
    text = json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return blake3(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def parse_document(data: bytes) -> dict[str, Any] | None:
    """Read a projection file back; None when it is no such document [P3]."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("seq"), int) else None
