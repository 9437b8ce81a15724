"""Migration: a brainclaw store becomes records of ours, once.

Reads that program's journal, or the documents of a store that never had one, and writes one note and one backfill for
each entity that lives there, all in one batch. What comes from a journal is a copy of the record it comes from (K1), so
that a later pull of the same store knows it. Nothing that is here already is overwritten, and the source is never
touched. What cannot be taken is parked: named with its reason, in the report and in the note.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from blake3 import blake3

from federation import brainclaw
from federation.bridge import MAX_SEGMENT_BYTES, BridgeSource, brainclaw_number, effective_seq
from federation.causality import same_payload
from federation.errors import NoProject
from federation.mirror import BRIDGE_PREFIX
from journal import (
    JOURNAL_TYPE,
    MAX_SEQ,
    Draft,
    InvalidInput,
    Mutation,
    Query,
    Ref,
    Store,
    Version,
    Written,
    check_payload,
    encode_payload,
)

_MAX_DOCUMENT_BYTES: Final = 32 * 1024 * 1024  # more than any payload of ours, with the blanks in it
_MOST_NAMED: Final = 100  # parked entities that the note names one by one; the report names all
_MAX_SUMMARY: Final = 1_000

# item type → where its documents are: the folder of today, and that of older stores.
_MEMORY: Final[Mapping[str, tuple[str, str]]] = {
    "plan": ("coordination/plans", "plans"),
    "decision": ("memory/decisions", "decisions"),
    "constraint": ("memory/constraints", "constraints"),
    "trap": ("memory/traps", "traps"),
    "handoff": ("coordination/handoffs", "handoffs"),
    "instruction": ("memory/instructions", "instructions"),
}
# What is no memory, by where its documents are; counted only where no journal tells.
_EXECUTION: Final[Mapping[str, str]] = {
    "claim": "coordination/claims",
    "assignment": "coordination/assignments",
    "agent_run": "coordination/runs",
    "action": "coordination/actions",
    "sequence": "coordination/sequences",
    "session": "coordination/sessions",
    "candidate": "coordination/inbox",
    "runtime_note": "coordination/runtime",
}
_OF_A_HOST: Final = ("memory/traps-hosts", "memory/traps-private")

Title = Callable[[Mapping[str, Any]], str | None]
Key = tuple[str, str]


class MigrationSource(BridgeSource, Protocol):
    """A `.brainclaw` directory of which the documents can be read too."""

    def identity(self) -> bytes | None:
        """project.identity.json, None when there is none."""
        ...

    def documents(self, places: Sequence[str], max_bytes: int) -> Iterator[tuple[str, bytes | None]]:
        """Path and content of each document in the first of these folders that holds anything."""
        ...

    def count(self, place: str) -> int:
        """How many documents there are in a folder and below it."""
        ...


class Parked(NamedTuple):
    """An entity that was not taken, and why; the id is that of its file where the document has none. Foreign text."""

    item_type: str
    item_id: str
    reason: str


class Left(NamedTuple):
    """What is no entity of ours and stays where it is."""

    item_type: str
    entities: int
    reason: str


class Entity(NamedTuple):
    """An entity that lives at the source; `version` is the record it comes from, None where there is no journal."""

    item_type: str
    item_id: str
    payload: bytes
    version: Version | None = None
    summary: str | None = None


class Found(NamedTuple):
    """All that a source holds; `digest` tells it from what it held at another time."""

    project: str
    format: str  # v2: with a journal; v1: without
    entities: Sequence[Entity]
    parked: Sequence[Parked]
    left: Sequence[Left]
    last_seq: int
    digest: str

    @property
    def origin(self) -> str:
        """The id that a pull of this store knows it by."""
        return BRIDGE_PREFIX + self.project


class Migrated(NamedTuple):
    """What a migration did, or would do.

    `before` is the seq of the note when it was done before: then nothing is written, and `has_changed` says whether the
    source is another now. `here` counts entities that are here already, with the same payload.
    """

    found: Found
    written: Sequence[Written]
    taken: Mapping[str, int]
    parked: Sequence[Parked]
    here: int
    before: int | None = None
    has_changed: bool = False
    cache_problem: str | None = None


# --- reading the source ----------------------------------------------------------------------------------------------


def read_source(source: MigrationSource) -> Found:
    """Everything there is at a source; NoProject when it does not say who it is, SourceUnavailable as the source."""
    project = brainclaw.project_id(source.config()) or _project_of(source.identity())
    if project is None:
        raise NoProject("neither config.yaml nor project.identity.json says which project this is")
    journal = _Journal(BRIDGE_PREFIX + project)
    for segment in brainclaw.segment_order(segment.name for segment in source.segments()):
        raw = source.read(segment, MAX_SEGMENT_BYTES)
        journal.take(segment, raw[: brainclaw.stable_length(raw)])
    documents = _read_documents(source, journal.mentioned)
    others = journal.others() if journal.records else {name: source.count(place) for name, place in _EXECUTION.items()}
    left = [Left(item_type, count, "no memory") for item_type, count in sorted(others.items()) if count]
    if count := sum(map(source.count, _OF_A_HOST)):
        left.append(Left("trap", count, "kept for one host"))
    return Found(
        project,
        "v2" if journal.records else "v1",
        [*journal.memory(), *documents.entities],
        documents.parked,
        left,
        journal.last_seq,
        blake3(journal.digest.digest() + documents.digest).hexdigest(),
    )


def _project_of(identity: bytes | None) -> str | None:
    try:
        value = json.loads(identity or b"null")
    except (ValueError, RecursionError):
        return None
    found = value.get("project_id") if isinstance(value, dict) else None
    return brainclaw.project_id(f"project_id: {found}".encode()) if isinstance(found, str) else None


class _Journal:
    """The journal of a source, folded as its own reader does, with the seqs by which a pull knows its records."""

    def __init__(self, origin: str) -> None:
        self.records = 0
        self.last_seq = 0
        self.digest = blake3()
        self.mentioned: set[Key] = set()
        self._origin = origin
        self._notes: dict[str, Any] = {}
        self._live: dict[Key, Entity] = {}

    def take(self, segment: str, raw: bytes) -> None:
        """Go on with the next segment."""
        self.digest.update(f"{brainclaw_number(segment)}:{len(raw)}\n".encode() + raw)
        for line in brainclaw.read_lines(raw):
            if line.record is not None:
                self.records += 1
                self.last_seq = effective_seq(line.record, self.last_seq, self._notes)
                self._apply(line.record)

    def _apply(self, record: brainclaw.BridgedRecord) -> None:
        effect = brainclaw.effect(record)
        if effect is None or not record.item_id:
            return
        key = (record.item_type, record.item_id)
        self.mentioned.add(key)
        self._live.pop(key, None)
        if effect == "state":
            seq = self.last_seq
            version = Version(self._origin, seq, record.digest[:12]) if seq <= MAX_SEQ else None
            self._live[key] = Entity(*key, record.payload or b"", version, record.summary)

    def memory(self) -> list[Entity]:
        """What lives in the memory of the source."""
        return [entity for entity in self._live.values() if entity.item_type in brainclaw.MEMORY_FAMILIES]

    def others(self) -> Mapping[str, int]:
        """How much lives there of other types."""
        types = (entity.item_type for entity in self._live.values())
        return Counter(item_type for item_type in types if item_type not in brainclaw.MEMORY_FAMILIES)


class _DocumentsFound(NamedTuple):
    entities: Sequence[Entity]
    parked: Sequence[Parked]
    digest: bytes


def _read_documents(source: MigrationSource, mentioned: Collection[Key]) -> _DocumentsFound:
    """The documents of memory that the journal never spoke of: all of them where there is none."""
    entities: dict[Key, Entity] = {}
    parked: list[Parked] = []
    digest = blake3()
    for item_type, places in _MEMORY.items():
        for name, data in source.documents(places, _MAX_DOCUMENT_BYTES):
            stem = name.rpartition("/")[2].removesuffix(".json")
            if (item_type, stem) in mentioned:
                continue
            digest.update(f"{name}\n".encode("utf-8", "backslashreplace") + blake3(data or b"").digest())
            read = _entity(item_type, data)
            if isinstance(read, str):
                parked.append(Parked(item_type, stem, read))
            elif read[:2] in entities:
                parked.append(Parked(item_type, stem, f"another document has the id {read.item_id!r} too"))
            elif read[:2] not in mentioned:
                entities[read[:2]] = read
    return _DocumentsFound([*entities.values()], parked, digest.digest())


def _entity(item_type: str, data: bytes | None) -> Entity | str:
    """The entity that a document is, or why it is none."""
    if data is None:
        return "its file cannot be read, or is too large"
    try:
        value = check_payload(data)
    except InvalidInput as error:
        return error.message
    item_id = value.get("id")
    return Entity(item_type, item_id, data) if isinstance(item_id, str) else "it has no id"


# --- taking it over --------------------------------------------------------------------------------------------------


def migrate(store: Store, found: Found, *, title: Title, agent: str) -> Migrated:
    """Write what a source holds as one batch, with the note that says so; nothing when that was done before.

    Durable on return. Raises as `Store.mutate`, and then nothing was written.
    """
    with store.mutate(agent=agent) as mutation:
        report = _collect(store, mutation, found, title)
    committed = store.last_commit
    return report._replace(written=committed.written, cache_problem=committed.cache_problem)


def preview(store: Store, found: Found, *, title: Title) -> Migrated:
    """What `migrate` would do now; writes nothing."""
    with store.mutate() as mutation:
        report = _collect(store, mutation, found, title)
        mutation.drafts.clear()
    return report


def _collect(store: Store, mutation: Mutation, found: Found, title: Title) -> Migrated:
    """Put into a mutation what is to be written."""
    report = Migrated(found, (), {}, (), 0)
    for record in store.history.records(Query(entity=(JOURNAL_TYPE, found.project))):
        note = json.loads(store.payload_of(record) or b"{}")
        if record.action == "genesis":
            has_changed = note.get("digest") != found.digest
            return report._replace(before=record.seq, has_changed=has_changed)
    parked, here, taken = [*found.parked], 0, Counter[str]()
    for entity in found.entities:
        answer = _compared(store, found.origin, entity)
        if answer is None:
            try:
                mutation.add(_draft(found.origin, entity, title))
                taken[entity.item_type] += 1
                continue
            except InvalidInput as error:
                answer = error.message
        here += answer is _HERE
        if answer is not _HERE:
            parked.append(Parked(entity.item_type, _text(entity.item_id), answer))
    report = report._replace(taken=taken, parked=parked, here=here)
    if taken:
        mutation.drafts.insert(0, _note(report))
    return report


_HERE: Final = "it is here already"


def _compared(store: Store, origin: str, entity: Entity) -> str | None:
    """Whether an entity is here already, or why it cannot be taken; None when it never was here."""
    local = store.head(entity.item_type, entity.item_id)
    if local is None:
        return None
    if entity.version is not None and local.context.get(origin, 0) >= entity.version.seq:
        return _HERE
    if local.deleted:
        return "it was deleted here"
    if same_payload(store.payload_bytes(local), entity.payload):
        return _HERE
    return "another version of it is here"


def _draft(origin: str, entity: Entity, title: Title) -> Draft:
    """The record that takes an entity over; InvalidInput when its payload breaks our limits [J10]."""
    payload = check_payload(entity.payload)
    version = entity.version
    return Draft(
        "backfill",
        entity.item_type,
        entity.item_id,
        encode_payload(payload),
        summary=(title(payload) or _text(entity.summary or ""))[:_MAX_SUMMARY] or None,
        private=True if payload.get("visibility") not in (None, "shared") else None,
        cause=None if version is None else str(Ref(*version[:2])),
        root=None if version is None else str(version),
        context=None if version is None else {origin: version.seq},
    )


def _note(report: Migrated) -> Draft:
    """The record that remembers a migration: where from, how far, and what was not taken."""
    found = report.found
    note = {
        "kind": "migration",
        "source": found.origin,
        "format": found.format,
        "last_seq": found.last_seq,
        "digest": found.digest,
        "taken": dict(report.taken),
        "parked": [entry._asdict() for entry in report.parked[:_MOST_NAMED]],
        "parked_count": len(report.parked),
        "left": [entry._asdict() for entry in found.left],
    }
    summary = f"{sum(report.taken.values())} entities from {found.origin}"
    return Draft("genesis", JOURNAL_TYPE, found.project, encode_payload(note), summary=summary)


def _text(text: str) -> str:
    """Their text as something that can be kept: lone surrogates become visible escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
