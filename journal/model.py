"""The words of the journal as values: records, headers, refs, versions, and the tables of limits and actions.

Pure. One table per fact: every limit of [J10] and every action class of [J2] stands here and nowhere else.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from journal.errors import DamagedStore, InvalidInput

RECORD_VERSION: Final = 2
SEGMENT_FORMAT: Final = 1
STORE_FORMAT: Final = 1

# Limits, checked at write [J10].
MAX_LINE_BYTES: Final = 256 * 1024
MAX_INLINE_BYTES: Final = 64 * 1024  # of a payload in its line; a longer one is a blob
MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
MAX_VALUES: Final = 1_000_000  # in one payload: what it takes in memory is bounded by these, not by its bytes
BLOBS_FOLDER: Final = "blobs"
BACKUPS_FOLDER: Final = "backups"  # in the store: copies of what was mended, for people
MAX_DEPTH: Final = 64
MAX_SEQ: Final = 2**53 - 1
MAX_CONTEXT_ENTRIES: Final = 256
MAX_SUMMARY_CHARS: Final = 1_000
MAX_NAME_CHARS: Final = 100  # of a store: others show it
ROLL_BYTES: Final = 10 * 1024 * 1024  # a segment is sealed once it is at least this long [J8]

_ITEM_TYPE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_ITEM_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}", re.ASCII)
_READER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DEVICE_NAMES: Final = frozenset(
    ["con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))]
)
_HEX32: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
ORIGIN: Final = re.compile(r"es1[a-z2-7]{32}", re.ASCII)
_ANY_ORIGIN: Final = re.compile(r"es1[a-z2-7]{32}|brainclaw:[A-Za-z0-9_]{1,80}", re.ASCII)
_VERSION: Final = re.compile(r"(?P<origin>[a-z0-9:_A-Z]{1,96})@(?P<seq>[1-9][0-9]{0,15})(?:#(?P<digest>[0-9a-f]{12}))?")


class ActionClass(enum.Enum):
    """What a record does: change an entity, end it, decide about a foreign one, or only tell."""

    STATE = "entity-state"
    TOMBSTONE = "tombstone"
    DECISION = "decision"
    META = "journal-meta"
    OBSERVABILITY = "observability"


ACTIONS: Final[Mapping[str, ActionClass]] = {
    **dict.fromkeys(["create", "update", "accept", "backfill", "upgrade", "rollback"], ActionClass.STATE),
    "delete": ActionClass.TOMBSTONE,
    **dict.fromkeys(["reject", "reopen", "snooze"], ActionClass.DECISION),
    **dict.fromkeys(
        ["genesis", "journal_note", "checkpoint_ref", "redact", "origin_trust", "origin_block", "origin_forget"],
        ActionClass.META,
    ),
    **dict.fromkeys(["session_start", "session_end", "run_progress", "assignment_progress"], ActionClass.OBSERVABILITY),
}

# What a person decided about a whole origin, not about one of its records.
ORIGIN_ACTIONS: Final = ("origin_trust", "origin_block", "origin_forget")

# Never candidates, private by default: what a machine is doing, not what it learned.
EXECUTION_TYPES: Final = frozenset(
    ["claim", "assignment", "agent_run", "session", "runtime_note", "candidate", "sequence", "state", "action"]
)
JOURNAL_TYPE: Final = "journal"  # item_type of journal-meta records


class Ref(NamedTuple):
    """One record of one origin, `origin@seq`."""

    origin: str
    seq: int

    def __str__(self) -> str:
        return f"{self.origin}@{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Read `origin@seq`; ValueError when it is anything else."""
        version = Version.parse(text)
        return cls(version.origin, version.seq)


class Version(NamedTuple):
    """One authored version of an entity, `origin@seq#digest`; digest = first 12 hex of the record's `c` [K1]."""

    origin: str
    seq: int
    digest: str

    def __str__(self) -> str:
        return f"{self.origin}@{self.seq}#{self.digest}" if self.digest else f"{self.origin}@{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read `origin@seq#digest` (digest may be absent: ""); ValueError when it is anything else."""
        found = _VERSION.fullmatch(text)
        if found is None or not _ANY_ORIGIN.fullmatch(found["origin"]) or int(found["seq"]) > MAX_SEQ:
            raise ValueError(f"not a version: {text[:120]!r}")
        return cls(found["origin"], int(found["seq"]), found["digest"] or "")


class BlobRef(NamedTuple):
    """Where a payload stands that is no part of its line: the BLAKE3 of its bytes (64 hex), and how many they are."""

    blake3: str
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.blake3}/{self.size_bytes}"

    @classmethod
    def parse(cls, text: str) -> BlobRef:
        """Read what `str` gives."""
        digest, _, size = text.partition("/")
        return cls(digest, int(size))


class _PayloadRef(msgspec.Struct):
    blake3: str
    bytes: int


def parse_blob_ref(data: bytes | msgspec.Raw) -> BlobRef | None:
    """The reference in a `payload_ref`; None when it is none, or means more than a payload may have [J10]."""
    try:
        found = msgspec.json.decode(data, type=_PayloadRef)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    good = _HEX32.fullmatch(found.blake3) and 1 <= found.bytes <= MAX_PAYLOAD_BYTES
    return BlobRef(found.blake3, found.bytes) if good else None


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One line of a journal or feed. Field order is the key order on disk; unknown keys are read over, and kept.

    A redacted stub has neither ts nor writer nor agent [F9].
    """

    v: int
    seq: int
    ts: str = ""
    writer: str = ""
    agent: str = ""
    agent_id: str | None = None
    session_id: str | None = None
    action: str
    item_type: str
    item_id: str | None = None
    entity_rev: int | None = None
    summary: str | None = None
    batch: tuple[int, int] | None = None
    private: bool = False
    cause: str | None = None
    root: str | None = None
    context: dict[str, int] | None = None
    claims: dict[str, int] | None = None
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    payload_ref: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    redacted: bool = False
    salt: str = ""
    c: str = ""

    @property
    def action_class(self) -> ActionClass | None:
        """The class of [J2], or None for an action this program does not know."""
        return ACTIONS.get(self.action)

    @property
    def payload_bytes(self) -> bytes | None:
        """The payload as it stands in the line, or None."""
        return None if self.payload is msgspec.UNSET else bytes(self.payload)

    @property
    def has_payload(self) -> bool:
        """Whether it brings a payload, in the line or in a blob."""
        return self.payload is not msgspec.UNSET or self.payload_ref is not msgspec.UNSET

    @property
    def blob(self) -> BlobRef | None:
        """Where the payload stands when it is not in the line; DamagedStore when that cannot be told [J13]."""
        if self.payload_ref is msgspec.UNSET:
            return None
        found = parse_blob_ref(self.payload_ref)
        if found is None or self.payload is not msgspec.UNSET:
            raise DamagedStore("payload_ref is no reference to a payload", seq=self.seq, rule="J13")
        return found


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a segment or slice, without its wrapping [J8]."""

    format: int
    origin_store_id: str
    first_seq: int
    prev_c: str
    previous: list[msgspec.Raw]


class Draft(NamedTuple):
    """What a caller wants recorded; the store adds seq, rev, time, salt and chain."""

    action: str
    item_type: str
    item_id: str | None = None
    payload: bytes | None = None  # of any size: whether it goes into the line is for the store to decide
    summary: str | None = None
    private: bool | None = None  # None: as the entity was before (sticky, [F1])
    cause: str | None = None
    root: str | None = None
    context: Mapping[str, int] | None = None  # None: authored here, on top of the local head [K2]
    claims: Mapping[str, int] | None = None
    blob: BlobRef | None = None  # instead of a payload: one that `Store.keep_payload` keeps already
    agent: str | None = None  # who says so, where that is not who writes the batch


class Place(NamedTuple):
    """Where a line stands: segment (its first seq), byte offset and length there."""

    segment: int
    offset: int
    length: int


class LocalHead(NamedTuple):
    """The newest local record of one entity, live or tombstone, with what causality needs of it [K2]."""

    item_type: str
    item_id: str
    entity_rev: int
    seq: int
    c: str
    version: Version
    context: Mapping[str, int]
    claims: Mapping[str, int]
    deleted: bool
    private: bool
    summary: str | None
    place: Place


class Decided(NamedTuple):
    """A record about a foreign one: an accept of any kind, a reject, and what undoes or delays one [J2]."""

    seq: int
    action: str
    item_type: str
    item_id: str | None
    cause: str
    root: str | None

    @property
    def action_class(self) -> ActionClass | None:
        """The class of [J2], or None for an action this program does not know."""
        return ACTIONS.get(self.action)


class Written(NamedTuple):
    """A record that is on disk now, as callers report it."""

    seq: int
    action: str
    item_type: str
    item_id: str | None
    entity_rev: int | None
    c: str


class Entity(NamedTuple):
    """A live entity: its head and its payload as a value."""

    head: LocalHead
    payload: dict[str, Any]


class Committed(NamedTuple):
    """What a mutation left on disk."""

    written: list[Written]
    cache_problem: str | None  # the records are safe; index or files will be caught up by the next command


def check_item_type(item_type: str) -> str:
    """Return the item type; InvalidInput when it breaks [J10]."""
    if not _ITEM_TYPE.fullmatch(item_type):
        raise InvalidInput(f"item type {item_type[:80]!r} is not [a-z][a-z0-9_]{{0,63}}", rule="J10")
    return item_type


def check_item_id(item_id: str) -> str:
    """Return the item id; InvalidInput when it breaks [J10]. Safe as a file name on every system."""
    if not _ITEM_ID.fullmatch(item_id):
        raise InvalidInput(f"item id {item_id[:140]!r} is not [A-Za-z0-9][A-Za-z0-9._-]{{0,126}}", rule="J10")
    return _check_file_name("item id", item_id)


def check_reader(reader: str) -> str:
    """Return the name of a reader; InvalidInput when it breaks [J10]. Safe as a file name on every system."""
    if not _READER.fullmatch(reader):
        raise InvalidInput(f"reader {reader[:80]!r} is not [A-Za-z0-9][A-Za-z0-9._-]{{0,63}}", rule="J10")
    return _check_file_name("reader", reader)


def _check_file_name(what: str, name: str) -> str:
    if name.endswith("."):
        raise InvalidInput(f"{what} {name!r} ends in a dot", rule="J10")
    if name.split(".", 1)[0].lower() in _DEVICE_NAMES:
        raise InvalidInput(f"{what} {name!r} is a device name on Windows", rule="J10")
    return name
