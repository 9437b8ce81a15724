"""Mutation: the records one caller wants written together, checked and sealed before any byte is on disk.

Knows the limits of [J10], revs [J3], stickiness of `private` [F1] and what an authored record's context is [K2]. Writes
nothing itself: the Store appends what `seal` returns, all or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from journal.codec import check_payload, encode_payload, encode_record
from journal.errors import InvalidInput, NoSuchEntity
from journal.machine import Machine
from journal.model import (
    ACTIONS,
    MAX_CONTEXT_ENTRIES,
    MAX_LINE_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_SEQ,
    MAX_SUMMARY_CHARS,
    RECORD_VERSION,
    ActionClass,
    Draft,
    LocalHead,
    Record,
    check_item_id,
    check_item_type,
)

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
        """Write an entity whole: created when it is not there, updated otherwise. InvalidInput names a broken limit."""
        self.add(
            Draft(
                "update" if self._is_live(item_type, item_id) else "create",
                item_type,
                item_id,
                encode_payload(payload),
                summary=summary,
                private=private,
            )
        )

    def delete(self, item_type: str, item_id: str, *, summary: str | None = None) -> None:
        """Delete an entity: a tombstone that keeps its history. NoSuchEntity when it is not there."""
        if not self._is_live(item_type, item_id):
            raise NoSuchEntity(f"no entity {item_type}/{item_id}")
        self.add(Draft("delete", item_type, item_id, summary=summary))

    def add(self, draft: Draft) -> None:
        """Add any record; InvalidInput when it breaks a limit [J10], and then the caller's block ends unwritten."""
        kind = ACTIONS.get(draft.action)
        if kind is None:
            raise InvalidInput(f"unknown action {draft.action!r}", rule="J2")
        check_item_type(draft.item_type)
        if draft.item_id is not None:
            self._check_id(draft.item_type, draft.item_id)
        if draft.payload is not None:
            self._check_payload(draft)
        if draft.summary is not None and len(draft.summary) > MAX_SUMMARY_CHARS:
            raise InvalidInput(f"summary is longer than {MAX_SUMMARY_CHARS} characters", rule="J10")
        for vector in (draft.context, draft.claims):
            if vector is not None and len(vector) > MAX_CONTEXT_ENTRIES:
                raise InvalidInput(f"context has more than {MAX_CONTEXT_ENTRIES} entries", rule="J10")
        self.drafts.append(draft)
        if draft.item_id is not None and kind in (ActionClass.STATE, ActionClass.TOMBSTONE):
            self._live[(draft.item_type, draft.item_id)] = kind is ActionClass.STATE

    def _is_live(self, item_type: str, item_id: str) -> bool:
        key = (item_type, item_id)
        if key not in self._live:
            head = self._find(item_type, item_id)
            self._live[key] = head is not None and not head.deleted
        return self._live[key]

    def _check_id(self, item_type: str, item_id: str) -> None:
        check_item_id(item_id)
        folded = (item_type, item_id.lower())
        other = self._new_ids.setdefault(folded, item_id)
        other = other if other != item_id else self._other_case(item_type, item_id) or item_id
        if other != item_id:
            raise InvalidInput(f"item id {item_id!r} differs from {other!r} only in case", rule="J10")

    def _check_payload(self, draft: Draft) -> None:
        data = draft.payload or b""
        if len(data) > MAX_PAYLOAD_BYTES:
            raise InvalidInput(
                f"payload of {draft.item_type}/{draft.item_id} has {len(data)} bytes, the limit is {MAX_PAYLOAD_BYTES}",
                rule="J10",
            )
        check_payload(data)


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
    """Give drafts their seqs, revs, contexts and chain, as one batch [J6].

    RecordTooLarge cases raise InvalidInput [J10]; nothing is written here.
    """
    sealed: list[Sealed] = []
    known: dict[Key, _Entity] = {}
    now, count = machine.now(), len(drafts)
    for number, draft in enumerate(drafts, 1):
        seq = last_seq + number
        if seq > MAX_SEQ:
            raise InvalidInput("the journal is full", seq=seq, rule="J10")
        entity = _entity_before(draft, known, head)
        record = Record(
            v=RECORD_VERSION,
            seq=seq,
            ts=now,
            writer=machine.writer,
            agent=author.agent,
            agent_id=author.agent_id,
            session_id=author.session_id,
            action=draft.action,
            item_type=draft.item_type,
            item_id=draft.item_id,
            summary=draft.summary,
            batch=(number, count) if count > 1 else None,
            private=entity.private if draft.private is None else draft.private,
            cause=draft.cause,
            root=draft.root,
            payload=msgspec.UNSET if draft.payload is None else msgspec.Raw(draft.payload),
            salt=machine.salt(),
        )
        if draft.item_id is not None and _is_entity(draft):
            record = _with_causality(record, draft, entity, origin)
            known[(draft.item_type, draft.item_id)] = _Entity(
                record.entity_rev or 0, _context(record, origin), record.claims or {}, record.private
            )
        line, last_c = encode_record(record, last_c)
        if len(line) > MAX_LINE_BYTES:
            raise InvalidInput(f"record has {len(line)} bytes, the limit is {MAX_LINE_BYTES}", seq=seq, rule="J10")
        sealed.append(Sealed(msgspec.structs.replace(record, c=last_c.hex()), line, last_c))
    return sealed


class _Entity(NamedTuple):
    rev: int = 0
    context: Mapping[str, int] = {}
    claims: Mapping[str, int] = {}
    private: bool = False


def _entity_before(
    draft: Draft, known: Mapping[Key, _Entity], head: Callable[[str, str], LocalHead | None]
) -> _Entity:
    if draft.item_id is None:
        return _Entity()
    key = (draft.item_type, draft.item_id)
    if key in known:
        return known[key]
    found = head(*key)
    return _Entity() if found is None else _Entity(found.entity_rev, found.context, found.claims, found.private)


def _is_entity(draft: Draft) -> bool:
    return ACTIONS[draft.action] in (ActionClass.STATE, ActionClass.TOMBSTONE)


def _with_causality(record: Record, draft: Draft, entity: _Entity, origin: str) -> Record:
    """Add rev [J3], context and claims [K2]: a copy brings its own, an authored record adds itself."""
    context = dict(entity.context if draft.context is None else draft.context)
    claims = dict(entity.claims if draft.claims is None else draft.claims)
    if draft.root is None:
        context[origin] = record.seq
    if len(context) > MAX_CONTEXT_ENTRIES or len(claims) > MAX_CONTEXT_ENTRIES:
        raise InvalidInput(f"context has more than {MAX_CONTEXT_ENTRIES} entries", seq=record.seq, rule="J10")
    return msgspec.structs.replace(
        record,
        entity_rev=entity.rev + 1,
        context=None if context == {origin: record.seq} else dict(sorted(context.items())),
        claims=dict(sorted(claims.items())) or None,
    )


def _context(record: Record, origin: str) -> Mapping[str, int]:
    return {origin: record.seq} if record.context is None else record.context
