"""Bridge: another program's store, mirrored and read as an unsigned origin.

Its segments are copied verbatim as far as they are settled; a grown tail is picked up, a rewritten prefix is refused.
`brainclaw` says what the bytes mean; this room keeps the copies and turns them into foreign heads. It never touches
that program's files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import msgspec
from blake3 import blake3

from federation import brainclaw
from federation.brainclaw import BridgedLine, BridgedRecord
from federation.errors import DamagedFeed
from federation.index import Index, Row
from federation.model import Refusal, Result
from journal import MAX_SEQ, RECORD_VERSION, Disk, JournalError, Record

MAX_SEGMENT_BYTES: Final = 64 * 1024 * 1024  # they roll at 10 MiB and may pass that by one batch
_STATE_FILE: Final = "bridge.json"
_MOST_NAMED: Final = 100  # duplicate seqs that are named one by one
_MAX_TEXT: Final = 512


class SourceSegment(NamedTuple):
    """A segment as it stands at the source; `stamp` changes when the file does."""

    name: str
    size: int
    stamp: str


@runtime_checkable
class BridgeSource(Protocol):
    """A `.brainclaw` directory that can be read."""

    def config(self) -> bytes:
        """config.yaml; SourceUnavailable when it cannot be read."""
        ...

    def label(self) -> str:
        """What people call the project."""
        ...

    def segments(self) -> list[SourceSegment]:
        """All regular files of the journal folder; none where the journal was never on."""
        ...

    def read(self, name: str, max_bytes: int) -> bytes:
        """The bytes of one segment; SourceUnavailable when it cannot be read."""
        ...


class _Copied(msgspec.Struct):
    name: str
    bytes: int
    blake3: str
    stamp: str


class _State(msgspec.Struct):
    name: str = ""
    segments: list[_Copied] = []


class BridgedVersion(NamedTuple):
    """What one record of theirs made of an entity."""

    seq: int
    deleted: bool
    payload: bytes | None


class BridgeFolder:
    """The mirror of one bridged store."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self.folder = folder
        self._disk = disk
        self._raw: tuple[str, bytes] = ("", b"")

    @property
    def name(self) -> str:
        """What people call the project; foreign text."""
        return self.state().name

    def state(self) -> _State:
        """What was copied so far; DamagedFeed when that cannot be read."""
        path = self.folder / _STATE_FILE
        data = self._disk.read_if_there(path)
        try:
            return _State() if data is None else msgspec.json.decode(data, type=_State)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise DamagedFeed("not a bridge file", path=path) from None

    def is_new(self) -> bool:
        """Whether nothing was copied yet."""
        return not self.state().segments

    def raw(self, copied: _Copied) -> bytes:
        """The verified bytes of one copied segment."""
        if self._raw[0] != copied.blake3:
            path = self.folder / copied.name
            try:
                data = self._disk.read(path)[: copied.bytes]
            except JournalError as error:
                raise DamagedFeed(f"cannot be read: {error}", path=path, rule="T1") from error
            if blake3(data).hexdigest() != copied.blake3:
                raise DamagedFeed("content is not what was copied", path=path, rule="T1")
            self._raw = (copied.blake3, data)
        return self._raw[1]

    def payload_at(self, segment: int, offset: int, length: int) -> bytes | None:
        """The payload of the line at a place."""
        for copied in self.state().segments:
            if brainclaw_number(copied.name) == segment:
                lines = brainclaw.read_lines(self.raw(copied)[: offset + length], offset)
                record = next((line.record for line in lines), None)
                return None if record is None else record.payload
        raise DamagedFeed(f"no segment {segment}", path=self.folder)

    def records(self) -> Iterator[Record]:
        """All records, with the seqs they are known by here."""
        return (_as_record(record, seq) for record, seq in self._numbered())

    def version_at(self, item_type: str, item_id: str, seq: int) -> BridgedVersion | None:
        """What an entity was at a seq; None where it was not there yet."""
        found = None
        for record, at in self._numbered():
            if at <= seq and (record.item_type, record.item_id) == (item_type, item_id):
                effect = brainclaw.effect(record)
                found = found if effect is None else BridgedVersion(at, effect == "tombstone", record.payload)
        return found

    def _numbered(self) -> Iterator[tuple[BridgedRecord, int]]:
        seq, notes = 0, dict[str, Any]()
        for copied in self.state().segments:
            for line in brainclaw.read_lines(self.raw(copied)):
                if line.record is not None:
                    seq = effective_seq(line.record, seq, notes)
                    if seq <= MAX_SEQ:
                        yield line.record, seq

    def store(self, state: _State, changed: Sequence[tuple[str, bytes]]) -> None:
        """Put grown segments in place, durably, then the state that speaks of them."""
        self._disk.make_folder_durably(self.folder)
        for name, data in changed:
            self._disk.replace_durably(self.folder / name, data)
        self._disk.replace_durably(self.folder / _STATE_FILE, msgspec.json.encode(state) + b"\n")


def brainclaw_number(name: str) -> int:
    """The number in a segment name."""
    return int(name[4:-6])


class Copy(NamedTuple):
    """What a copy would change: the result it comes to, the state after it, and segments with their new bytes."""

    result: Result
    state: _State
    changed: tuple[tuple[str, bytes], ...]
    touched: bool  # something is to be written, be it only a time stamp


def plan_copy(folder: BridgeFolder, source: BridgeSource) -> Copy | Refusal:
    """Look for what is new and settled at a source; nothing is written.

    Segments that did not change since the last time are not opened.
    """
    before = {copied.name: copied for copied in folder.state().segments}
    at_source = {segment.name: segment for segment in source.segments()}
    for name, copied in before.items():
        if name not in at_source or at_source[name].size < copied.bytes:
            return Refusal(Result.STALE, "holds less than what was copied before", "F5", path=name)
    state, changed = _State(_text(source.label())[:200]), []
    for name in brainclaw.segment_order(at_source):
        known, segment = before.get(name), at_source[name]
        if known is not None and known.stamp == segment.stamp:
            state.segments.append(known)
            continue
        if segment.size > MAX_SEGMENT_BYTES:
            return Refusal(Result.REFUSED, f"segment of {segment.size} bytes", "F5", path=name)
        raw = source.read(name, MAX_SEGMENT_BYTES)
        raw = raw[: brainclaw.stable_length(raw)]
        wrong = _rewritten(folder, known, raw)
        if wrong is not None:
            return Refusal(Result.REFUSED, wrong, "F5", path=name)
        state.segments.append(_Copied(name, len(raw), blake3(raw).hexdigest(), segment.stamp))
        if known is None or len(raw) > known.bytes:
            changed.append((name, raw))
    result = (Result.UPDATED if before else Result.NEW) if changed else Result.UP_TO_DATE
    return Copy(result, state, tuple(changed), bool(changed) or state.segments != list(before.values()))


def _rewritten(folder: BridgeFolder, known: _Copied | None, raw: bytes) -> str | None:
    if known is None:
        return None
    if len(raw) < known.bytes or blake3(raw[: known.bytes]).hexdigest() != known.blake3:
        return "was rewritten below what was copied before"
    grown = raw[known.bytes :]
    if grown and known.bytes and not folder.raw(known).endswith(b"\n") and not grown.startswith((b"\n", b"\r")):
        return "a record that was copied before went on"
    return None


def materialize_bridge(folder: BridgeFolder, origin: str, index: Index) -> int:
    """Bring the index up to a bridged mirror and return how many records were taken.

    Records count in file order. Their seq is used; where one stands again it is raised above the last, and reported.
    All is read anew when something came before what was read: a copy program may bring files in any order.
    """
    state = folder.state()
    last = state.segments[-1] if state.segments else None
    if last is None:
        return 0
    seq, place = index.position(origin)
    done_segment, done_offset, done_bytes = (int(part) for part in place.split(":")) if place else (-1, 0, 0)
    if done_bytes != sum(copied.bytes for copied in state.segments if brainclaw_number(copied.name) < done_segment):
        index.forget(origin)
        seq, done_segment, done_offset = 0, -1, 0
    if (done_segment, done_offset) >= (brainclaw_number(last.name), last.bytes):
        return 0
    notes = index.notes(origin)
    newest: dict[tuple[str, str], Row] = {}
    taken = 0
    for copied in state.segments:
        number = brainclaw_number(copied.name)
        if number < done_segment or (number == done_segment and done_offset >= copied.bytes):
            continue
        start = done_offset if number == done_segment else 0
        for line in brainclaw.read_lines(folder.raw(copied), start):
            if line.record is None:
                notes["skipped_lines"] = notes.get("skipped_lines", 0) + 1
                continue
            taken += 1
            seq = effective_seq(line.record, seq, notes)
            row = _row(origin, line.record, line, number, seq) if seq <= MAX_SEQ else None
            if seq > MAX_SEQ:
                notes["beyond_seqs"] = notes.get("beyond_seqs", 0) + 1
            if row is not None:
                newest[(row.item_type, row.item_id)] = row
    end = f"{brainclaw_number(last.name)}:{last.bytes}:{sum(copied.bytes for copied in state.segments[:-1])}"
    index.flush(origin, newest.values(), (seq, end), notes=notes)
    return taken


def effective_seq(record: BridgedRecord, before: int, notes: dict[str, Any]) -> int:
    """The seq a record is known by here: its own, or the next above the last where it was used before."""
    if record.seq <= notes.get("top_seq", 0):
        named = notes.setdefault("duplicate_seqs", [])
        notes["duplicates"] = notes.get("duplicates", 0) + 1
        if len(named) < _MOST_NAMED:
            named.append(record.seq)
    notes["top_seq"] = max(record.seq, notes.get("top_seq", 0))
    return max(record.seq, before + 1)


def _row(origin: str, record: BridgedRecord, line: BridgedLine, segment: int, seq: int) -> Row | None:
    effect = brainclaw.effect(record)
    if effect is None or not record.item_id or record.item_type not in brainclaw.MEMORY_FAMILIES:
        return None
    return Row(
        origin,
        record.item_type,
        _text(record.item_id)[:_MAX_TEXT],
        seq,
        record.entity_rev,
        record.action,
        record.digest,
        None,
        None,
        None,
        int(effect == "tombstone"),
        None,
        _text(record.summary)[:1000] if record.summary else None,
        segment,
        line.offset,
        line.length,
    )


def _as_record(record: BridgedRecord, seq: int) -> Record:
    return Record(
        v=RECORD_VERSION,
        seq=seq,
        ts=_text(record.ts),
        writer=_text(record.writer),
        agent=_text(record.agent),
        action=record.action,
        item_type=_text(record.item_type),
        item_id=None if record.item_id is None else _text(record.item_id),
        entity_rev=record.entity_rev,
        summary=None if record.summary is None else _text(record.summary),
    )


def _text(text: str) -> str:
    """Their text as something that can be kept: lone surrogates become visible escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def describe(notes: dict[str, Any]) -> tuple[str, ...]:
    """What materializing found worth telling."""
    found = []
    if notes.get("duplicates"):
        seqs = ", ".join(str(seq) for seq in notes["duplicate_seqs"][:10])
        found.append(f"{notes['duplicates']} records with a seq used before ({seqs}), applied in file order")
    if notes.get("skipped_lines"):
        found.append(f"{notes['skipped_lines']} lines that are no records were passed over")
    if notes.get("beyond_seqs"):
        found.append(f"{notes['beyond_seqs']} records behind the highest seq there is, which no decision could name")
    if notes.get("unreadable_lines"):
        found.append(f"{notes['unreadable_lines']} lines could not be decoded")
    return tuple(found)
