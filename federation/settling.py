"""Settling: which of our decisions covers a foreign record?

A decision is about a version of one entity, and was taken on one record that showed it [K5]. Whether another record of
that version is covered too is seen when somebody asks: it must show the same. So a decision on a false copy, which
nobody could look through when it was taken, settles that copy and never what it says it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from federation.causality import covers, same_payload
from federation.errors import BlobUnreadable
from federation.index import Decision, Row
from journal import ActionClass, DamagedStore, Decided, FormatTooNew, Record, Ref, Version, decode_record, split_c

if TYPE_CHECKING:
    from federation.holdings import Holdings

# By version and entity: the seqs of our records about it, by the foreign record they were taken on.
DecidedOn = Callable[[Version, str, str], Mapping[Ref, int]]


# --- what we decided -------------------------------------------------------------------------------------------------


def decided_by(holdings: Holdings, record: Record | Decided) -> Iterator[Decision]:
    """What a record of ours decides: every accept of any kind, every reject, what delays and what undoes one [K5]."""
    version = version_decided(holdings, record)
    if version is not None:
        entity = ("", "") if record.item_id is None else (record.item_type, record.item_id)
        action = record.action if record.action_class is ActionClass.DECISION else "accept"
        cause = version_named(record.cause) or version
        yield Decision(*version, *entity, *cause[:2], action, record.seq)


def version_decided(holdings: Holdings, record: Record | Decided) -> Version | None:
    """The authored version that a record of ours decides about; None for what decides nothing."""
    accepts = record.action_class in (ActionClass.STATE, ActionClass.TOMBSTONE)
    if record.cause is None or not (accepts or record.action_class is ActionClass.DECISION):
        return None
    root = None if record.root is None else version_named(record.root)
    is_ours = root is not None and accepts and holdings.is_self(*root[:2])  # an accept that was undone twice
    return version_of_cause(holdings, record.cause) if record.root is None or is_ours else root


def version_named(text: str | None) -> Version | None:
    """The version a text names; None for what names nothing, and then nothing is decided about it."""
    try:
        return Version.parse(text or "")
    except ValueError:
        return None


def version_of_cause(holdings: Holdings, cause: str) -> Version | None:
    """The authored version behind a record that was accepted over a conflict: our record names only its cause.

    Of a record that cannot be read it is the record alone.
    """
    version = version_named(cause)
    line = None if version is None else holdings.mirrored_line(*version[:2])
    parts = None if line is None else split_c(line)
    if version is None or line is None or parts is None:
        return version
    record = _decoded(line)
    root = None if record is None else version_named(record.root)
    return root or Version(version.origin, version.seq, parts[1].hex()[:12])


# --- what that covers ------------------------------------------------------------------------------------------------


class Decisions:
    """Decisions in memory, found as `Index.decided_on` finds those that are in force."""

    def __init__(self, found: Iterable[Decision] = ()) -> None:
        self._found: dict[tuple[Version, str, str], dict[Ref, int]] = {}
        for decision in found:
            self.add(decision)

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, found: Decision) -> None:
        """Take a decision in; the last one about a version, taken on the same record, counts."""
        on = self._found.setdefault((Version(*found[:3]), found.item_type, found.item_id), {})
        on[Ref(found.cause_origin, found.cause_seq)] = found.at

    def discard(self, found: Decision) -> None:
        """Take one out that was undone."""
        on = self._found.get((Version(*found[:3]), found.item_type, found.item_id), {})
        on.pop(Ref(found.cause_origin, found.cause_seq), None)

    def on(self, version: Version, item_type: str, item_id: str) -> Mapping[Ref, int]:
        """The seqs of our records about a version of an entity, by the foreign record they were taken on."""
        unnamed = self._found.get((version, "", ""), {})
        return self._found.get((version, item_type, item_id), {}) | unnamed


def covering(holdings: Holdings, row: Row, decided_on: DecidedOn) -> int | None:
    """The seq of our record that decides what a row shows, be it on its version or on this very record; or None."""
    foreign = row.foreign_head()
    own = Version(row.origin, row.seq, row.digest[:12])
    for version in dict.fromkeys((foreign.version, own)):
        for cause, at in decided_on(version, row.item_type, row.item_id).items():
            if covers(cause, foreign, partial(_shows_the_same, holdings, row, cause)):
                return at
    return None


def _shows_the_same(holdings: Holdings, row: Row, cause: Ref) -> bool:
    """Whether a row shows what the record showed that was decided on; what was redacted shows nothing new."""
    record, shown = _mirrored(holdings, Ref(row.origin, row.seq)), _mirrored(holdings, cause)
    if record is None or record.redacted:
        return record is not None
    if shown is None or shown.redacted or shown.action_class is not record.action_class:
        return False
    if (shown.item_type, shown.item_id) != (record.item_type, record.item_id):
        return False
    if record.action_class is ActionClass.TOMBSTONE or (record.blob is not None and record.blob == shown.blob):
        return True
    try:
        payload = holdings.payload_of(record, row.origin)
        return same_payload(payload, holdings.payload_of(shown, cause.origin))
    except BlobUnreadable:
        holdings.missed = True
        return False


def _mirrored(holdings: Holdings, ref: Ref) -> Record | None:
    """A record in a mirror; None where it is not shown, or cannot be read."""
    line = holdings.mirrored_line(*ref)
    return None if line is None else _decoded(line)


def _decoded(line: bytes) -> Record | None:
    try:
        return decode_record(line)
    except (DamagedStore, FormatTooNew):
        return None
