"""Evidence: what our feed and our mirrors show of a version, so that what a context claims can be checked [K4].

The facts that causality asks for, over the holdings of one store. Reads only. Where something cannot be read now, the
answer is that nothing is known, and `Holdings.missed` says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from federation.causality import ForeignHead, same_payload
from federation.errors import BlobUnreadable, DamagedFeed
from federation.mirror import BRIDGE_PREFIX
from journal import ActionClass, DamagedStore, FormatTooNew, Record, decode_record

if TYPE_CHECKING:
    from federation.holdings import Holdings


class Evidence:
    """What one store can check a claim against."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def is_self(self, origin: str, seq: int) -> bool:
        """Whether a record is ours; previous origins up to their last seq [F8]."""
        return self._holdings.is_self(origin, seq)

    def pin(self, origin: str) -> int:
        """The seq up to which we verified an origin; 0 for one whose mirror cannot be read."""
        return self._holdings.pin(origin)

    def shown(self, seq: int) -> bool:
        """Whether a feed of ours ever showed that record, or that of another copy of this store, which we mirror."""
        holdings = self._holdings
        origin = holdings.own_feeds.owner(seq)
        if origin == holdings.store.origin:
            return seq <= holdings.index.position(origin)[0] and not holdings.index.is_withheld(origin, seq)
        return holdings.own_feeds.has_line(origin, seq) or holdings.mirrored_line(origin, seq) is not None

    def undone(self, origin: str, seq: int, item_type: str, item_id: str) -> bool:
        """Whether an accept of ours made that version of the entity: if our head does not include it, it was undone."""
        holdings = self._holdings
        if not holdings.is_self(origin, seq) or holdings.own_feeds.owner(seq) != origin:
            return False
        return any(
            found.root is None and (found.item_type, found.item_id) == (item_type, item_id)
            for found in holdings.store.decisions(seq, since=seq - 1)
            if found.action_class in (ActionClass.STATE, ActionClass.TOMBSTONE)
        )

    def newest_version(self, origin: str, item_type: str, item_id: str) -> int:
        """The newest version of an entity that an origin authored, as far as we hold it."""
        row = self._holdings.index.row(origin, item_type, item_id)
        newest = 0 if row is None else row.foreign_head().full_context.get(origin, 0)
        if row is None or newest > row.seq:
            return 0
        if row.root is None and newest == row.seq:
            return newest
        return 0 if self.is_version(origin, newest, item_type, item_id) is False else newest

    def is_copy(self, foreign: ForeignHead) -> bool | None:
        """Whether a copy is the mirrored record it names, digest and payload included; None where that is not shown."""
        root = foreign.version
        line = self._holdings.mirrored_line(root.origin, root.seq)
        row = self._holdings.index.row(foreign.origin, foreign.item_type, foreign.item_id)
        if line is None or row is None:
            return None
        try:
            record = decode_record(line)
        except (DamagedStore, FormatTooNew):
            return None
        if record.c[:12] != root.digest or not self._is_version_of(record, foreign.item_type, foreign.item_id):
            return False
        if record.redacted or row.unreadable is not None:
            return None
        if row.blob is not None and row.blob == str(record.blob):
            return True  # it says so itself
        try:
            payload, other = self._holdings.payload_bytes(row), self._holdings.payload_of(record, root.origin)
        except BlobUnreadable:
            self._holdings.missed = True
            return None
        return payload == other or same_payload(payload, other)

    def is_version(self, origin: str, seq: int, item_type: str, item_id: str) -> bool | None:
        """Whether a mirrored record is an authored version of that entity; None where the feed does not show it."""
        if origin.startswith(BRIDGE_PREFIX):
            return self._is_bridged_version(origin, seq, item_type, item_id)
        line = self._holdings.mirrored_line(origin, seq)
        if line is None:
            return None
        try:
            record = decode_record(line)
        except (DamagedStore, FormatTooNew):
            return None
        return self._is_version_of(record, item_type, item_id)

    def _is_bridged_version(self, origin: str, seq: int, item_type: str, item_id: str) -> bool | None:
        """The same of a bridged store: all its records are versions, and none is withheld."""
        try:
            found = self._holdings.bridge(origin).version_at(item_type, item_id, seq)
        except DamagedFeed:
            self._holdings.missed = True
            return None
        return found is not None and found.seq == seq

    def _is_version_of(self, record: Record, item_type: str, item_id: str) -> bool:
        is_entity = record.action_class in (ActionClass.STATE, ActionClass.TOMBSTONE)
        return is_entity and record.root is None and (record.item_type, record.item_id) == (item_type, item_id)
