"""The local store: an append-only, chained journal and the entities it describes. Re-exports, nothing else.

Rooms that few commands enter are opened when one of their names is asked for: a short command must start fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from journal.birth import find_store
from journal.checkpoint_file import CHECKPOINT_FORMAT, decode_checkpoint_line
from journal.checkpoints import Taken
from journal.codec import (
    C_SUFFIX_BYTES,
    BadRange,
    Entry,
    Line,
    blob_ref,
    chain_start,
    decode_record,
    encode_header,
    link,
    listed_in,
    seq_of,
    split_c,
    stub,
)
from journal.cursors import Parked, Unseen
from journal.database import Database, Schema, drop
from journal.disk import Disk, is_temporary
from journal.errors import (
    CacheUnreadable,
    CursorUnreadable,
    DamagedStore,
    DiskFailed,
    EntityRedacted,
    FormatTooNew,
    InvalidInput,
    JournalError,
    KeyMissing,
    LocatedError,
    LogShorterThanKnown,
    NoSuchEntity,
    NoSuchRecord,
    NotAStore,
    OnlyEntityFiles,
    SchemaFailed,
    StoreCopied,
    StoreExists,
    StoreLocked,
    StoreReadOnly,
)
from journal.findings import Finding, Report
from journal.history import Follower, Query, Told
from journal.identity import Previous, is_bare, moved_words, origin_of, public_key_of
from journal.index import Position
from journal.log import Gap
from journal.machine import Machine, default_data_folder
from journal.model import (
    ACTIONS,
    BACKUPS_FOLDER,
    EXECUTION_TYPES,
    JOURNAL_TYPE,
    MAX_CONTEXT_ENTRIES,
    MAX_LINE_BYTES,
    MAX_NAME_CHARS,
    MAX_PAYLOAD_BYTES,
    MAX_SEQ,
    ORIGIN,
    RECORD_VERSION,
    SEGMENT_FORMAT,
    STORE_FORMAT,
    ActionClass,
    BlobRef,
    Committed,
    Decided,
    Draft,
    Entity,
    Header,
    LocalHead,
    Record,
    Ref,
    Version,
    Written,
    check_item_id,
    check_item_type,
    parse_blob_ref,
)
from journal.mutation import Mutation, check_draft, encode_authored, naming_blob
from journal.payloads import check_payload, encode_payload, has_too_many_values
from journal.projection import changes_entity, payload_digest
from journal.redaction import Plan, RedactedLine, is_left
from journal.schemas import NEWEST_VERSION, SCHEMAS_EDITION, VERSION_KEY, json_schema, lifted, why_wrong
from journal.store import Store
from journal.takeover import Renewed

if TYPE_CHECKING:
    from journal.adoption import Adopted, LeftOut, adopt
    from journal.archive import Archived
    from journal.lone_segment import LoneSegment, SeenLine
    from journal.mending import MendedSegment, forget_watermark, mend_blobs, mend_log, watermark_is_wrong
    from journal.restoring import Offered

__all__ = [
    "ACTIONS",
    "BACKUPS_FOLDER",
    "CHECKPOINT_FORMAT",
    "C_SUFFIX_BYTES",
    "EXECUTION_TYPES",
    "JOURNAL_TYPE",
    "MAX_CONTEXT_ENTRIES",
    "MAX_LINE_BYTES",
    "MAX_NAME_CHARS",
    "MAX_PAYLOAD_BYTES",
    "MAX_SEQ",
    "NEWEST_VERSION",
    "ORIGIN",
    "RECORD_VERSION",
    "SCHEMAS_EDITION",
    "SEGMENT_FORMAT",
    "STORE_FORMAT",
    "VERSION_KEY",
    "ActionClass",
    "Adopted",
    "Archived",
    "BadRange",
    "BlobRef",
    "CacheUnreadable",
    "Committed",
    "CursorUnreadable",
    "DamagedStore",
    "Database",
    "Decided",
    "Disk",
    "DiskFailed",
    "Draft",
    "Entity",
    "EntityRedacted",
    "Entry",
    "Finding",
    "Follower",
    "FormatTooNew",
    "Gap",
    "Header",
    "InvalidInput",
    "JournalError",
    "KeyMissing",
    "LeftOut",
    "Line",
    "LocalHead",
    "LocatedError",
    "LogShorterThanKnown",
    "LoneSegment",
    "Machine",
    "MendedSegment",
    "Mutation",
    "NoSuchEntity",
    "NoSuchRecord",
    "NotAStore",
    "Offered",
    "OnlyEntityFiles",
    "Parked",
    "Plan",
    "Position",
    "Previous",
    "Query",
    "Record",
    "RedactedLine",
    "Ref",
    "Renewed",
    "Report",
    "Schema",
    "SchemaFailed",
    "SeenLine",
    "Store",
    "StoreCopied",
    "StoreExists",
    "StoreLocked",
    "StoreReadOnly",
    "Taken",
    "Told",
    "Unseen",
    "Version",
    "Written",
    "adopt",
    "blob_ref",
    "chain_start",
    "changes_entity",
    "check_draft",
    "check_item_id",
    "check_item_type",
    "check_payload",
    "decode_checkpoint_line",
    "decode_record",
    "default_data_folder",
    "drop",
    "encode_authored",
    "encode_header",
    "encode_payload",
    "find_store",
    "forget_watermark",
    "has_too_many_values",
    "is_bare",
    "is_left",
    "is_temporary",
    "json_schema",
    "lifted",
    "link",
    "listed_in",
    "mend_blobs",
    "mend_log",
    "moved_words",
    "naming_blob",
    "origin_of",
    "parse_blob_ref",
    "payload_digest",
    "public_key_of",
    "seq_of",
    "split_c",
    "stub",
    "watermark_is_wrong",
    "why_wrong",
]

_LATER = {
    "Adopted": "journal.adoption",
    "LeftOut": "journal.adoption",
    "adopt": "journal.adoption",
    "Archived": "journal.archive",
    "LoneSegment": "journal.lone_segment",
    "SeenLine": "journal.lone_segment",
    "MendedSegment": "journal.mending",
    "forget_watermark": "journal.mending",
    "mend_blobs": "journal.mending",
    "mend_log": "journal.mending",
    "watermark_is_wrong": "journal.mending",
    "Offered": "journal.restoring",
}


def __getattr__(name: str) -> Any:
    """One of the names whose room is opened late."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
