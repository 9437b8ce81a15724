"""Mutation: the records one caller wants written together, checked and sealed before any byte is on disk.

Knows the limits of [J10], revs [J3], stickiness of `private` [F1] and what an authored record's context is [K2]. Writes
nothing itself: the Store appends what `seal` returns, all or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from journal.codec import blob_ref, encode_record, longest_field
from journal.errors import InvalidInput, NoSuchEntity, SchemaFailed
from journal.machine import Machine
from journal.model import (
    ACTIONS,
    JOURNAL_TYPE,
    MAX_CONTEXT_ENTRIES,
    MAX_INLINE_BYTES,
    MAX_LINE_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_SEQ,
    MAX_SUMMARY_CHARS,
    RECORD_VERSION,
    ActionClass,
    BlobRef,
    Draft,
    LocalHead,
    Record,
    check_item_id,
    check_item_type,
)
from journal.payloads import check_payload, encode_payload
from journal.schemas import VERSION_KEY, why_wrong

Key = tuple[str, str]


class Author(NamedTuple):
    """Who writes, as it stands in the records."""

    agent: str = "unknown"
    agent_id: str | None = None
    session_id: str | None = None


class Mutation:
    """What one `Store.mutate()` block collects. Reads within it see the store as it was when the lock was taken."""

    def __init__(self, head: Callable[[str, str], LocalHead | None], other_case: Callable[[str, str], str | None]):
        self._find = head
        self._other_case = other_case
        self._heads: dict[Key, LocalHead | None] = {}
        self._live: dict[Key, bool] = {}
        self._new_ids: dict[Key, str] = {}
        self.drafts: list[Draft] = []

    def put(
        self,
        item_type: str,
        item_id: str,
        payload: Mapping[str, Any],
        *,
        summary: str | None = None,
        private: bool | None = None,
    ) -> None:
        """Write an entity whole: created when it is not there, updated otherwise.

        InvalidInput names the limit it breaks [J10], SchemaFailed the field that is not what its schema says.
        """
        data = encode_authored(item_type, item_id, payload)
        action = "update" if self._is_live(item_type, item_id) else "create"
        self.add(Draft(action, item_type, item_id, data, summary=summary, private=private))

    def delete(self, item_type: str, item_id: str, *, summary: str | None = None) -> None:
        """Delete an entity: a tombstone that keeps its history. NoSuchEntity when it is not there."""
        if not self._is_live(item_type, item_id):
            raise NoSuchEntity(f"no entity {item_type}/{item_id}")
        self.add(Draft("delete", item_type, item_id, summary=summary))

    def add(self, draft: Draft) -> None:
        """Add any record; InvalidInput when it breaks a limit [J10], and then nothing was added."""
        check_draft(draft)
        if _is_entity(draft) and draft.item_id is not None:
            folded = (draft.item_type, draft.item_id.lower())
            self._refuse_twin(draft.item_type, draft.item_id, self._new_ids.get(folded))
            self._new_ids[folded] = draft.item_id
            self._live[(draft.item_type, draft.item_id)] = ACTIONS[draft.action] is ActionClass.STATE
        self.drafts.append(draft)

    def head(self, item_type: str, item_id: str) -> LocalHead | None:
        """The newest record of an entity before this mutation; asked once."""
        key = (item_type, item_id)
        if key not in self._heads:
            self._heads[key] = self._find(item_type, item_id)
        return self._heads[key]

    def _is_live(self, item_type: str, item_id: str) -> bool:
        check_item_type(item_type)
        check_item_id(item_id)
        key = (item_type, item_id)
        if key not in self._live:
            head = self.head(item_type, item_id)
            self._live[key] = head is not None and not head.deleted
        return self._live[key]

    def _refuse_twin(self, item_type: str, item_id: str, other: str | None) -> None:
        """Two ids that differ only in case are one file on many systems; an entity that exists has no twin."""
        if other is None and self.head(item_type, item_id) is None:
            other = self._other_case(item_type, item_id)
        if other is not None and other != item_id:
            raise InvalidInput(f"item id {item_id!r} differs from {other!r} only in case", rule="J10")


def encode_authored(item_type: str, item_id: str, payload: Mapping[str, Any]) -> bytes:
    """A payload that somebody here wrote, as it goes into a record.

    SchemaFailed when it declares a schema and does not follow it, InvalidInput when it is no JSON.
    """
    data = encode_payload(payload)
    if VERSION_KEY in payload and (reason := why_wrong(item_type, json.loads(data))) is not None:
        raise SchemaFailed(f"payload of {item_type}/{item_id}: {reason}")
    return data


def check_draft(draft: Draft) -> None:
    """Raise InvalidInput when a record would break a limit [J10] or lacks what its class has [J2]. Pure."""
    kind = ACTIONS.get(draft.action)
    if kind is None:
        raise InvalidInput(f"unknown action {draft.action!r}", rule="J2")
    check_item_type(draft.item_type)
    if draft.item_id is not None:
        check_item_id(draft.item_id)
    _check_class(draft, kind)
    if draft.payload is not None:
        check_payload_of(draft.item_type, draft.item_id, draft.payload)
    if draft.summary is not None and len(draft.summary) > MAX_SUMMARY_CHARS:
        raise InvalidInput(f"summary is longer than {MAX_SUMMARY_CHARS} characters", rule="J10")
    for vector in (draft.context, draft.claims):
        _check_vector(vector or {})


def _check_class(draft: Draft, kind: ActionClass) -> None:
    is_entity, is_state = _is_entity(draft), kind is ActionClass.STATE
    has_payload = draft.payload is not None or draft.blob is not None
    if is_entity and draft.item_id is None:
        raise InvalidInput(f"{draft.action} without an item id", rule="J2")
    if is_state and not has_payload:
        raise InvalidInput(f"{draft.action} without a payload", rule="J2")
    if kind in (ActionClass.TOMBSTONE, ActionClass.OBSERVABILITY) and has_payload:
        raise InvalidInput(f"{draft.action} with a payload", rule="J2")
    if kind is ActionClass.DECISION and draft.cause is None:
        raise InvalidInput(f"{draft.action} without a cause", rule="J2")
    if (kind is ActionClass.META) != (draft.item_type == JOURNAL_TYPE):
        raise InvalidInput(f"{draft.action} of item type {draft.item_type!r}", rule="J2")


def check_payload_of(item_type: str, item_id: str | None, payload: bytes) -> None:
    """Raise InvalidInput when a payload would break a limit [J10]."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        what = f"payload of {item_type}/{item_id}"
        raise InvalidInput(f"{what} has {len(payload)} bytes, the limit is {MAX_PAYLOAD_BYTES}", rule="J10")
    check_payload(payload)


def naming_blob(draft: Draft) -> Draft:
    """The same draft, only naming its payload where that becomes a blob, so that many are not held in memory at once.

    Who writes it sees to it that the store keeps that payload. InvalidInput when it breaks a limit [J10]. Pure.
    """
    if draft.payload is None or len(draft.payload) <= MAX_INLINE_BYTES:
        return draft
    check_payload_of(draft.item_type, draft.item_id, draft.payload)
    return draft._replace(payload=None, blob=blob_ref(draft.payload))


def _check_vector(vector: Mapping[str, int]) -> None:
    if len(vector) > MAX_CONTEXT_ENTRIES:
        raise InvalidInput(f"context has more than {MAX_CONTEXT_ENTRIES} entries", rule="J10")
    for origin, seq in vector.items():
        if not 1 <= seq <= MAX_SEQ:
            raise InvalidInput(f"context entry {origin[:120]!r} has seq {seq}", rule="J10")


class Sealed(NamedTuple):
    """A record as it goes to disk."""

    record: Record
    line: bytes
    c: bytes


def seal(
    drafts: Sequence[Draft],
    *,
    origin: str,
    last_seq: int,
    last_c: bytes,
    author: Author,
    machine: Machine,
    head: Callable[[str, str], LocalHead | None],
) -> list[Sealed]:
    """Give drafts their seqs [J1], revs [J3], contexts [K2] and chain [J4], as one batch [J6].

    InvalidInput when a line would be too long or the seqs are used up [J10]; nothing is written here.
    """
    sealed: list[Sealed] = []
    known: dict[Key, _Entity] = {}
    now, count = machine.now(), len(drafts)
    for number, draft in enumerate(drafts, 1):
        seq = last_seq + number
        if seq > MAX_SEQ:
            raise InvalidInput("the journal is full", seq=seq, rule="J10")
        entity = _entity_before(draft, known, head)
        record = _record(draft, seq, now, author, machine)
        private = entity.private if draft.private is None else draft.private
        record = msgspec.structs.replace(record, private=private, batch=(number, count) if count > 1 else None)
        if draft.item_id is not None and _is_entity(draft):
            record, entity = _with_causality(record, draft, entity, origin)
            known[(draft.item_type, draft.item_id)] = entity
        line, last_c = encode_record(record, last_c)
        if len(line) > MAX_LINE_BYTES:
            text = f"record has {len(line)} bytes, the limit is {MAX_LINE_BYTES}; most of it is {longest_field(record)}"
            raise InvalidInput(text, seq=seq, rule="J10")
        sealed.append(Sealed(msgspec.structs.replace(record, c=last_c.hex()), line, last_c))
    return sealed


def _record(draft: Draft, seq: int, now: str, author: Author, machine: Machine) -> Record:
    payload, blob = draft.payload, draft.blob
    if payload is not None and len(payload) > MAX_INLINE_BYTES:
        blob, payload = blob_ref(payload), None
    return Record(
        v=RECORD_VERSION,
        seq=seq,
        ts=now,
        writer=machine.writer,
        agent=draft.agent or author.agent,
        agent_id=author.agent_id,
        session_id=author.session_id,
        action=draft.action,
        item_type=draft.item_type,
        item_id=draft.item_id,
        summary=draft.summary,
        cause=draft.cause,
        root=draft.root,
        payload=msgspec.UNSET if payload is None else msgspec.Raw(payload),
        payload_ref=msgspec.UNSET if blob is None else _encoded(blob),
        salt=machine.salt(),
    )


def _encoded(blob: BlobRef) -> msgspec.Raw:
    return msgspec.Raw(b'{"blake3":"%s","bytes":%d}' % (blob.blake3.encode("ascii"), blob.size_bytes))


class _Entity(NamedTuple):
    """What the next record of an entity builds on."""

    rev: int = 0
    context: Mapping[str, int] = {}
    claims: Mapping[str, int] = {}
    private: bool = False


def _entity_before(draft: Draft, known: Mapping[Key, _Entity], head: Callable[[str, str], LocalHead | None]) -> _Entity:
    if draft.item_id is None:
        return _Entity()
    key = (draft.item_type, draft.item_id)
    if key in known:
        return known[key]
    found = head(*key)
    return _Entity() if found is None else _Entity(found.entity_rev, found.context, found.claims, found.private)


def _is_entity(draft: Draft) -> bool:
    return ACTIONS[draft.action] in (ActionClass.STATE, ActionClass.TOMBSTONE)


def _with_causality(record: Record, draft: Draft, entity: _Entity, origin: str) -> tuple[Record, _Entity]:
    """Add rev [J3], context and claims [K2]: a copy brings its own, an authored record adds itself."""
    context = dict(entity.context if draft.context is None else draft.context)
    claims = dict(entity.claims if draft.claims is None else draft.claims)
    if draft.root is None:
        context[origin] = record.seq
    if len(context) > MAX_CONTEXT_ENTRIES or len(claims) > MAX_CONTEXT_ENTRIES:
        raise InvalidInput(f"context has more than {MAX_CONTEXT_ENTRIES} entries", seq=record.seq, rule="J10")
    record = msgspec.structs.replace(
        record,
        entity_rev=entity.rev + 1,
        context=None if context == {origin: record.seq} else dict(sorted(context.items())),
        claims=dict(sorted(claims.items())) or None,
    )
    return record, _Entity(entity.rev + 1, context, claims, record.private)
