"""Sorting: which kind of file is this? What is in it decides; its name only where that tells nothing.

A name decides first for what is named by its content: any JSON object may be a payload.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from eventsync.errors import NotOurFile
from eventsync.inspecting import checkpoints, documents, feeds, lines
from eventsync.inspecting.found import Inspection
from eventsync.inspecting.reading import SQLITE, Source, unpacked
from federation.model import MAX_HEAD_BYTES, SLICE_NAME

Look = Callable[[Source, Inspection], None]

_SEGMENT_NAME: Final = re.compile(r"seg-[0-9]{8,16}\.jsonl", re.ASCII)
_CHECKPOINT_NAME: Final = re.compile(r"cp-[0-9]{8,16}\.jsonl", re.ASCII)
_BLOB_NAME: Final = re.compile(r"[0-9a-f]{64}(\.zst)?", re.ASCII)
_KEY_NAME: Final = re.compile(r"es1[a-z2-7]{32}\.key", re.ASCII)
_EVIDENCE_NAME: Final = re.compile(r"head-[0-9a-f]{12}\.json", re.ASCII)
_HEADER: Final = re.compile(rb'\{\s*"v":[0-9]{1,6},"segment":')
_RECORD: Final = re.compile(rb'(?m)^\{"v":[0-9]{1,6},"s(?:eq|kip)":')
_CHECKPOINT: Final = re.compile(rb'\{"is":"(?:checkpoint|entity|decision|lost|end)"')
_RUN: Final = re.compile(rb'\{"ts": ?"')
_MOST_LOOKED_AT: Final = 1024 * 1024  # bytes of a file that begins with damage, for a line that tells what it is

# Keys that a document of each kind has; the first kind that fits. In no other of our files do they stand together.
_DOCUMENTS: Final[Mapping[str, tuple[frozenset[str], Look]]] = {
    "head": (frozenset(["head", "signature"]), feeds.head),
    "store": (frozenset(["origin_store_id", "public_key", "created_at"]), documents.store),
    "projection": (frozenset(["item_type", "item_id", "entity_rev", "version", "payload"]), documents.projection),
    "projections": (frozenset(["applied_seq", "synced_seq"]), documents.watermark),
    "brake": (frozenset(["after_seq", "pending"]), documents.brake),
    "cursor": (frozenset(["seq", "c"]), documents.cursor),
    "bridge": (frozenset(["name", "segments"]), documents.bridge),
    "local": (frozenset(["machine_id", "path", "folder_id"]), documents.local),
}
# Where the content tells nothing: a file of that name is a damaged one of that kind.
_NAMES: Final[Mapping[str, str]] = {
    "head.json": "head",
    "store.json": "store",
    "projections.json": "projections",
    "brake.json": "brake",
    "bridge.json": "bridge",
    "local.json": "local",
}


def kind_of(source: Source) -> tuple[str, Look]:
    """The kind of a file, and what reads it; NotOurFile when it is none of ours."""
    if source.data.startswith(SQLITE):
        raise NotOurFile(
            "an SQLite database: the indexes of a store are caches, which `verify` compares", path=source.path
        )
    if _KEY_NAME.fullmatch(source.name):
        return "private key", documents.private_key
    if source.is_packed or source.name.endswith(".zst"):
        return _packed(source)
    if _BLOB_NAME.fullmatch(source.name):
        return "blob", feeds.blob
    return _of_lines(source) or _of_document(source) or _of_name(source)


def _packed(source: Source) -> tuple[str, Look]:
    raw = unpacked(source.data).raw
    if SLICE_NAME.fullmatch(source.name.removesuffix(".zst")) or _HEADER.match(raw):
        return "slice", feeds.slice_
    if _BLOB_NAME.fullmatch(source.name) or raw.lstrip()[:1] == b"{":
        return "blob", feeds.blob
    raise NotOurFile("packed, and neither a slice nor a blob", path=source.path)


def _of_lines(source: Source) -> tuple[str, Look] | None:
    data = source.data
    if _CHECKPOINT.match(data):
        return "checkpoint", checkpoints.checkpoint
    if SLICE_NAME.fullmatch(source.name):
        return "slice", feeds.slice_
    if _HEADER.match(data):
        end = data.find(b"\n") + 1
        is_slice = 0 < end < len(data) and data[end : end + 1] != b"\n"  # a segment's lines stand between newlines
        return ("slice", feeds.slice_) if is_slice and _RECORD.match(data, end) else ("segment", lines.segment)
    if _RUN.match(data):
        return "runs", lines.runs
    if _SEGMENT_NAME.fullmatch(source.name):
        is_bridged = _RECORD.match(data) is not None and not _has_chain(data)
        return ("bridged segment", lines.bridged) if is_bridged else ("segment", lines.segment)
    if _CHECKPOINT_NAME.fullmatch(source.name):
        return "checkpoint", checkpoints.checkpoint
    if _RECORD.search(data[:_MOST_LOOKED_AT]) and _has_chain(data):
        return "segment", lines.segment  # its header is damaged
    return None


def _has_chain(data: bytes) -> bool:
    return b',"c":"' in data[:_MOST_LOOKED_AT]


def _of_document(source: Source) -> tuple[str, Look] | None:
    value = documents.parsed(source.data, MAX_HEAD_BYTES * 2).value
    if not isinstance(value, dict):
        return None
    for kind, (keys, look) in _DOCUMENTS.items():
        if keys <= value.keys() and (kind != "cursor" or value.keys() <= {"seq", "c", "segment", "offset"}):
            return ("fork evidence", look) if kind == "head" and _is_evidence(source) else (kind, look)
    return None


def _of_name(source: Source) -> tuple[str, Look]:
    if _is_evidence(source):
        return "fork evidence", feeds.head
    folders = [folder.name for folder in source.path.absolute().parents]
    kind = _NAMES.get(source.name)
    if kind is None and source.name.endswith(".json") and "cursors" in folders[:1]:
        kind = "cursor"
    if kind is None and source.name.endswith(".json") and "entities" in folders[1:2]:
        kind = "projection"
    if kind is None:
        raise NotOurFile("no file of a store or feed", path=source.path)
    return kind, _DOCUMENTS[kind][1]


def _is_evidence(source: Source) -> bool:
    return bool(_EVIDENCE_NAME.fullmatch(source.name))
