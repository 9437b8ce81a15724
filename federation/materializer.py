"""Materializer: mirrored records become foreign heads, once.

Replays what a mirror holds behind the index's position, in order, in chunks; position and effect in one transaction,
so the same (origin, seq) applied twice changes nothing [F7]. Keeps only the newest record of each entity in memory, and
never its payload, flushed every 20,000 entities: memory is bounded, whatever a feed holds. Judges nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from federation.blobs import FeedBlobs
from federation.folder import FeedFolder
from federation.index import Index, Row
from federation.nesting import MAX_NESTING, nests_too_deep
from federation.receipts import Receipt
from federation.verification import line_end
from journal import (
    ACTIONS,
    EXECUTION_TYPES,
    JOURNAL_TYPE,
    MAX_SEQ,
    NEWEST_VERSION,
    RECORD_VERSION,
    VERSION_KEY,
    ActionClass,
    BlobRef,
    Version,
    parse_blob_ref,
    why_wrong,
)

FLUSH_ENTITIES: Final = 20_000
_MAX_NAME: Final = 512  # characters of a foreign item type or id that the index keeps
_MAX_SUMMARY: Final = 1_000
_REDACTED: Final = "redacted"
_USUAL_BYTES: Final = 4 * 1024  # of a line that are kept; what would keep more is looked at and cut at once
_FLUSH_BYTES: Final = (
    32 * 1024 * 1024
)  # of those, and of payloads that wait for a look, before they are flushed as well
_RUN_BYTES: Final = 1024 * 1024  # of lines that are split together: a slice is never in memory twice

_Optional = msgspec.Raw | msgspec.UnsetType
_VERSION_KEY: Final = VERSION_KEY.encode()
# Stand for a payload that was looked at, in the line or by its reference.
_AN_OBJECT: Final = msgspec.Raw(b"{}")
_NO_OBJECT: Final = msgspec.Raw(b"null")


class _FeedRecord(msgspec.Struct, gc=False):
    """A feed line; its payload stays raw and in the mirror. What the journal would not read as a record is none."""

    v: int
    seq: int
    action: str
    item_type: str
    item_id: str | None = None
    entity_rev: int | None = None
    summary: str | None = None
    cause: str | None = None
    root: str | None = None
    context: _Optional = msgspec.UNSET
    claims: _Optional = msgspec.UNSET
    payload: _Optional = msgspec.UNSET
    payload_ref: _Optional = msgspec.UNSET
    redacted: bool = False
    ts: str = ""
    writer: str = ""
    agent: str = ""
    agent_id: str | None = None
    session_id: str | None = None
    batch: tuple[int, int] | None = None
    private: bool = False
    salt: str = ""
    c: str = ""

    @property
    def blob(self) -> BlobRef | None:
        """Where the payload stands when it is not in the line [J13]."""
        return None if self.payload_ref is msgspec.UNSET else parse_blob_ref(self.payload_ref)

    def let_go_of_line(self, *, but_for_payload: bool) -> int:
        """Keep no view of the line's bytes, which would keep the whole line; return how many of them are let go."""
        size = 0
        if self.payload is not msgspec.UNSET:
            is_object = memoryview(self.payload)[0] == ord("{")
            if is_object and but_for_payload:
                self.payload = self.payload.copy()
            else:
                size = len(self.payload)
                self.payload = _AN_OBJECT if is_object else _NO_OBJECT
        if self.payload_ref is not msgspec.UNSET:
            self.payload_ref = self.payload_ref.copy() if self.blob is not None else _NO_OBJECT
        if self.context is not msgspec.UNSET:
            self.context = self.context.copy()
        if self.claims is not msgspec.UNSET:
            self.claims = self.claims.copy()
        return size


class _Known(NamedTuple):
    """What one look at many lines told of all of them."""

    plain: bool = False  # they are UTF-8
    may_declare: bool = True  # a payload among them may declare a schema


def _may_declare_schema(text: bytes) -> bool:
    """Whether a payload may have the key that says so, be it written in escapes."""
    return _VERSION_KEY in text or b"\\u" in text


_decode: Final = msgspec.json.Decoder(_FeedRecord).decode
_decode_vector: Final = msgspec.json.Decoder(dict[str, int]).decode
_SKIP_START: Final = b'{"v":2,"skip":'
_NEVER_CANDIDATES: Final = EXECUTION_TYPES | {JOURNAL_TYPE}
# No text in a line holds this: quotes in it would be escaped.
_NAMES: Final = re.compile(r'"item_type":"[^"\\]*+","item_id":"[^"\\]*+"')
Key = tuple[str, str]
Place = tuple[int, int, int]  # first seq of the slice, offset in it, length


def materialize(
    feed: FeedFolder, origin: str, index: Index, is_self: Callable[[str, int], bool], *, after_seq: int = 0
) -> int:
    """Bring the index up to a mirror and return how many record lines were taken.

    What stands up to `after_seq` is passed over: it is ours, from before another copy of this store went on [F8].
    Raises DamagedFeed when the mirror cannot be read; what was flushed before stays, with its position.
    """
    head = feed.head()
    position, place = index.position(origin)
    if head is None or (position, place) == (head.last_seq, head.place):
        return 0
    # A mirror that this was not read from: a backup was put back, or lines were redacted.
    if position >= head.last_seq or (place and f"{feed.c_at(position)} {len(head.redacted)}" != place):
        index.forget(origin)
        position = 0
    position = max(position, head.start_seq, min(after_seq, head.last_seq))
    batch = _Batch(origin, is_self, dict(index.notes(origin)), feed.blobs)
    taken = 0
    for file in feed.slices():
        if file.last_seq <= position:
            continue
        for at, run in _runs(feed.raw(file)):
            known = _Known(_is_utf8(run), _may_declare_schema(run))
            for line in run.split(b"\n"):
                if not line.startswith(_SKIP_START) and (file.first_seq > position or line_end(line) > position):
                    taken += 1
                    batch.add(line, (file.first_seq, at, len(line)), known)
                at += len(line) + 1
        position = file.last_seq
        if batch.is_full:
            batch.flush(index, (position, ""))
    batch.flush(index, (head.last_seq, head.place))
    return taken


def row_at(feed: FeedFolder, origin: str, seq: int) -> Row | None:
    """The row that a record of a mirror would be if it were the newest; None when it is none of an entity."""
    placed = next(feed.lines(seq - 1), None)
    if placed is None or placed.data.startswith(_SKIP_START) or line_end(placed.data) != seq:
        return None
    batch = _Batch(origin, lambda *_: False, {}, feed.blobs)
    batch.add(placed.data, (placed.slice_first, placed.offset, len(placed.data)), _Known())
    return next(iter(batch.rows()), None)


def _runs(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines of a slice in runs, each with the byte it stands at and without its last newline."""
    at = raw.index(b"\n") + 1
    while at < len(raw):
        end = raw.find(b"\n", at + _RUN_BYTES)
        end = len(raw) - 1 if end < 0 else end
        yield at, raw[at:end]
        at = end + 1


def _is_utf8(run: bytes) -> bool:
    """One check for many lines: msgspec leaves raw payloads unchecked."""
    if run.isascii():
        return True
    try:
        run.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class _Batch:
    """The newest record of each entity since the last flush."""

    def __init__(
        self, origin: str, is_self: Callable[[str, int], bool], notes: dict[str, Any], blobs: FeedBlobs
    ) -> None:
        self._newest: dict[Key, tuple[_FeedRecord, Place]] = {}
        self._rows: dict[Key, Row] = {}  # made at once, of lines that cannot be decoded or are long
        self._receipts: dict[tuple[str, int], Receipt] = {}  # by version: the last word on it
        self._refs: set[BlobRef] = set()
        self._blobs = blobs
        self._long_bytes = 0
        self._origin = origin
        self._is_self = is_self
        self._notes = notes

    @property
    def is_full(self) -> bool:
        """Whether it is time to flush."""
        kept = len(self._newest) + len(self._rows) + len(self._receipts) + len(self._refs)
        return kept >= FLUSH_ENTITIES or self._long_bytes >= _FLUSH_BYTES

    def add(self, line: bytes, place: Place, known: _Known) -> None:
        try:
            record = _decode(line)
            if not known.plain:
                line.decode("utf-8")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._add_odd(line, place)
            return
        if not _says_it_once(record, line) or _nests_too_deep(line):
            self._add_odd(line, place)
            return
        item_type, item_id = record.item_type, record.item_id
        kind = ACTIONS.get(record.action)
        if record.payload_ref is not msgspec.UNSET and (ref := record.blob) is not None:
            self._refs.add(ref)
        if record.root is not None or record.cause is not None:
            self._add_receipt(record, kind)
        if item_id is None or item_type in _NEVER_CANDIDATES:
            return
        if kind is ActionClass.STATE or kind is ActionClass.TOMBSTONE or kind is None or record.v != RECORD_VERSION:
            key = (item_type[:_MAX_NAME], item_id[:_MAX_NAME])
            declares = known.may_declare and item_type in NEWEST_VERSION and _may_declare_schema(line)
            kept = len(line) - record.let_go_of_line(but_for_payload=declares)
            if kept > _USUAL_BYTES:
                self._add_row(key, _row(self._origin, key, record, place), kept)
            else:
                self._newest[key] = (record, place)
                self._rows.pop(key, None)
                self._long_bytes += kept if declares else 0

    def _add_row(self, key: Key, row: Row, size: int) -> None:
        self._newest.pop(key, None)
        self._rows[key] = row
        self._long_bytes += size

    def _add_odd(self, line: bytes, place: Place) -> None:
        """A line no reader of ours can decode: shown as unreadable where it names an entity, counted otherwise."""
        key = _entity_named(line)
        if key is None:
            self._notes["unreadable_lines"] = self._notes.get("unreadable_lines", 0) + 1
            return
        seq = line_end(line)
        digest = line[-66:-2].decode("ascii", "replace")
        row = Row(self._origin, *key, seq, None, "?", digest, None, None, None, 0, "cannot be decoded", None, *place)
        self._add_row(key, row, 0)

    def _add_receipt(self, record: _FeedRecord, kind: ActionClass | None) -> None:
        action = record.action if record.action in ("reject", "reopen") else "accept"
        if kind not in (ActionClass.STATE, ActionClass.TOMBSTONE) and action == "accept":
            return
        try:
            version = Version.parse(record.root or record.cause or "")
        except ValueError:
            return
        # What goes over a third store's record names no root: that record may be a copy of ours.
        by_copy = record.root is None and version.origin != self._origin
        if by_copy or self._is_self(version.origin, version.seq):
            self._receipts[version[:2]] = Receipt(*version, action, record.seq)

    def rows(self) -> list[Row]:
        return [*(_row(self._origin, key, *found) for key, found in self._newest.items()), *self._rows.values()]

    def flush(self, index: Index, position: tuple[int, str]) -> None:
        rows = self.rows()
        blobs = {ref: not self._blobs.is_good(ref) for ref in self._refs}
        index.flush(self._origin, rows, position, receipts=self._receipts.values(), notes=self._notes, blobs=blobs)
        self._newest.clear()
        self._rows.clear()
        self._receipts.clear()
        self._refs.clear()
        self._long_bytes = 0


def _says_it_once(record: _FeedRecord, line: bytes) -> bool:
    """Whether v, seq and redacted are those the line begins with and was verified by, and not said anew further on."""
    start = b'{"v":%d,"seq":%d,' % (record.v, record.seq)
    return line.startswith(start) and line.startswith(b'"redacted":true,', len(start)) == record.redacted


def _nests_too_deep(line: bytes) -> bool:
    if line.count(b"{") + line.count(b"[") <= MAX_NESTING:  # nearly every line: it is not even decoded
        return False
    return nests_too_deep(line.decode("utf-8", "replace"))


def _row(origin: str, key: Key, record: _FeedRecord, place: Place) -> Row:
    context, claims = _vector(record.context), _vector(record.claims)
    kind = ACTIONS.get(record.action)
    unreadable = _why_unreadable(record, kind, context, claims)
    fails = _fails_schema(record) if kind is ActionClass.STATE and unreadable is None else None
    # What a redaction leaves, or who fails a schema, still says what the version was: it is known to who has it [K2].
    readable = unreadable in (None, _REDACTED) and "" not in (context, claims) and _is_root(record.root)
    return Row(
        origin,
        *key,
        record.seq,
        record.entity_rev if _is_rev(record.entity_rev) else None,
        record.action[:64],
        record.c,
        record.root if readable else None,
        context if readable else None,
        claims if readable else None,
        int(kind is ActionClass.TOMBSTONE),
        unreadable or fails,
        record.summary[:_MAX_SUMMARY] if record.summary else None,
        *place,
        blob=str(record.blob) if record.blob is not None and unreadable is None else None,
    )


def _why_unreadable(
    record: _FeedRecord, kind: ActionClass | None, context: str | None, claims: str | None
) -> str | None:
    """Why a decoded record cannot be shown or accepted [K3], or None."""
    if record.v != RECORD_VERSION:
        return f"record format v{record.v}"
    if record.redacted:
        return _REDACTED
    if kind is None:
        return "unknown action"
    if not _is_rev(record.entity_rev):
        return "entity_rev is no revision"
    if len(record.item_type) > _MAX_NAME or len(record.item_id or "") > _MAX_NAME:
        return "item type or id too long"
    if context == "" or claims == "":
        return "context is not a map of origins to seqs"
    if not _is_root(record.root):
        return "root is not a version"
    return _why_no_payload(record) if kind is ActionClass.STATE else None


def _why_no_payload(record: _FeedRecord) -> str | None:
    if record.payload_ref is msgspec.UNSET:
        return "no payload" if record.payload is msgspec.UNSET or record.payload is _NO_OBJECT else None
    if record.payload is not msgspec.UNSET:
        return "two payloads"
    return None if record.blob is not None else "payload_ref is no reference to a payload"


def _fails_schema(record: _FeedRecord) -> str | None:
    if record.payload is msgspec.UNSET or record.payload is _AN_OBJECT:
        return None
    return fails_schema(record.item_type, bytes(record.payload))


def fails_schema(item_type: str, payload: bytes) -> str | None:
    """Why a payload is not what the schema it declares says, or None [K3]."""
    if item_type not in NEWEST_VERSION or not _may_declare_schema(payload):
        return None
    try:
        reason = why_wrong(item_type, json.loads(payload))
    except (ValueError, RecursionError):
        return None  # nothing that could be accepted [J10], which is told then
    if reason is None or reason.startswith("newer format"):
        return reason
    return f"fails its schema: {reason}"[:_MAX_SUMMARY]


def _is_rev(rev: int | None) -> bool:
    return rev is None or 1 <= rev <= MAX_SEQ


def _vector(raw: _Optional) -> str | None:
    """A context as JSON text, None when absent, "" when it is no map of origins to seqs."""
    if raw is msgspec.UNSET:
        return None
    try:
        vector = _decode_vector(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    good = len(vector) <= 4096 and all(
        1 <= seq <= MAX_SEQ and _is_version(f"{origin}@1") for origin, seq in vector.items()
    )
    return json.dumps(vector, separators=(",", ":")) if good else ""


def _is_root(text: str | None) -> bool:
    return text is None or _is_version(text)


def _is_version(text: str) -> bool:
    try:
        Version.parse(text)
    except ValueError:
        return False
    return True


def _entity_named(line: bytes) -> Key | None:
    """The entity that a line nobody can decode speaks of, as far as that can be told."""
    text = line.decode("utf-8", "replace")
    if nests_too_deep(text):
        found = _NAMES.search(text)
        text = f"{{{found[0]}}}" if found else "{}"
    try:
        value: Any = json.loads(text)
        key = (value["item_type"], value["item_id"])
        if not all(isinstance(part, str) and 0 < len(part) <= _MAX_NAME for part in key):
            return None
        "".join(key).encode("utf-8")
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return None if key[0] in _NEVER_CANDIDATES else key
