"""Bytes and lines: framing, chain, batches, torn tails, stubs.

Pure. A log is a sequence of framed lines; each ends in `,"c":"<64 hex>"}` and its c covers the line and all before it.
Keeps J4 (chain), J5 (framing), J6 (batches), J7 (tails), J8 (headers) of docs/format.md. Checking the chain parses
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from blake3 import blake3

from journal.errors import DamagedStore, FormatTooNew, InvalidInput
from journal.model import (
    JOURNAL_TYPE,
    MAX_SEQ,
    RECORD_VERSION,
    SEGMENT_FORMAT,
    BlobRef,
    Header,
    Record,
)

C_KEY: Final = b',"c":"'
C_SUFFIX_BYTES: Final = len(C_KEY) + 64 + len(b'"}')  # 72: c is last and of fixed width [J4]
_HEX32: Final = re.compile(rb"[0-9a-f]{64}")
_LINE_START: Final = re.compile(rb'\{"v":[0-9]{1,6},"seq":([1-9][0-9]{0,15}),')
_STUB_START: Final = re.compile(rb'\{"v":[0-9]{1,6},"seq":[1-9][0-9]{0,15},"redacted":true,')
_NEWLINES: Final = re.compile(rb"\n+")
_RECORD: Final = msgspec.json.Decoder(Record)
_MOST_BREAKS: Final = 16  # beyond that only notes are tried: each try is one hash of the line
_STUB_KEYS: Final = ("action", "item_type", "item_id", "entity_rev", "batch", "cause", "root", "context", "claims")


# --- chain -----------------------------------------------------------------------------------------------------------


def chain_start(origin: str) -> bytes:
    """c_0 of a store whose first origin this is, 32 raw bytes [J4]."""
    return blake3(b"eventsync/1" + origin.encode("ascii")).digest()


def link(previous: bytes, body: bytes) -> bytes:
    """The c (32 raw bytes) of a line whose bytes before `,"c":"` are `body` [J4]."""
    return blake3(previous + body).digest()


def split_c(line: bytes) -> tuple[bytes, bytes] | None:
    """(body, c as 32 raw bytes) of a line, or None when it does not end as a line must."""
    if len(line) <= C_SUFFIX_BYTES or line[-C_SUFFIX_BYTES:-66] != C_KEY or line[-2:] != b'"}':
        return None
    digits = line[-66:-2]
    return (line[:-C_SUFFIX_BYTES], bytes.fromhex(digits.decode("ascii"))) if _HEX32.fullmatch(digits) else None


def seal(previous: bytes, body: bytes) -> tuple[bytes, bytes]:
    """(line, c) for a line that is `body` so far: an object without its closing brace."""
    c = link(previous, body)
    return body + C_KEY + c.hex().encode("ascii") + b'"}', c


def encode_record(record: Record, previous: bytes) -> tuple[bytes, bytes]:
    """(line, c) of a record in canonical key order; its own c is ignored and made anew."""
    try:
        text = msgspec.json.encode(msgspec.structs.replace(record, c=""))
    except (UnicodeEncodeError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"{_field_without_text(record) or error} is not Unicode text", rule="J10") from None
    return seal(previous, text[:-1])


def _field_without_text(record: Record) -> str | None:
    """The first field that is, or holds, a text with a lone surrogate."""
    for name in record.__struct_fields__:
        value = getattr(record, name)
        try:
            msgspec.json.encode(value)
        except (UnicodeEncodeError, msgspec.MsgspecError):
            return name
    return None


def longest_field(record: Record) -> str:
    """The field that takes most of a line."""
    sizes = {name: len(msgspec.json.encode(getattr(record, name) or None)) for name in record.__struct_fields__}
    return max(sizes, key=lambda name: sizes[name])


def decode_record(line: bytes) -> Record:
    """Read a line whose chain was checked.

    Raises FormatTooNew for a later `v` [J12], DamagedStore for anything else that is not a record.
    """
    try:
        record = _RECORD.decode(line)
        line.decode("utf-8")  # msgspec leaves raw parts unchecked
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        found = re.match(rb'\{"v":([0-9]{1,6}),', line)
        if found and int(found[1]) > RECORD_VERSION:
            raise FormatTooNew(f"record format v{int(found[1])}, known is v{RECORD_VERSION}", rule="J12") from None
        raise DamagedStore(f"not a record: {error}", rule="J2") from None
    if record.v > RECORD_VERSION:
        raise FormatTooNew(f"record format v{record.v}, known is v{RECORD_VERSION}", seq=record.seq, rule="J12")
    if seq_of(line) != record.seq:  # v and seq stand first, once: whoever does not parse must read the same
        raise DamagedStore("not a record: it does not begin with v and seq", seq=record.seq, rule="J2")
    return record


def seq_of(line: bytes) -> int | None:
    """The seq a line starts with, without parsing it; None when it starts otherwise."""
    found = _LINE_START.match(line)
    return int(found[1]) if found else None


def encode_header(origin: str, first_seq: int, prev_c: bytes, previous: Sequence[Any] = ()) -> bytes:
    """The header line of a segment or slice, without newline [J8]. A pure function of its arguments."""
    segment = {
        "format": SEGMENT_FORMAT,
        "origin_store_id": origin,
        "first_seq": first_seq,
        "prev_c": prev_c.hex(),
        "previous": list(previous),
    }
    return msgspec.json.encode({"v": RECORD_VERSION, "segment": segment})


class _HeaderLine(msgspec.Struct, frozen=True):
    v: int
    segment: Header


def decode_header(line: bytes) -> Header:
    """Read a header line; FormatTooNew for a later format [J12], DamagedStore for anything else."""
    try:
        found = msgspec.json.decode(line, type=_HeaderLine)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedStore(f"not a segment header: {error}", line=1, rule="J8") from None
    if found.v > RECORD_VERSION or found.segment.format > SEGMENT_FORMAT:
        raise FormatTooNew(f"segment format {found.segment.format} (v{found.v})", line=1, rule="J12")
    if not _HEX32.fullmatch(found.segment.prev_c.encode()):
        raise DamagedStore("segment header without a chain value", line=1, rule="J8")
    return found.segment


# --- scanning --------------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """A chain-valid line: its bytes and where they stand; `terminated` is False when only the newline is missing."""

    offset: int
    data: bytes
    c: bytes
    terminated: bool = True

    @property
    def end(self) -> int:
        return self.offset + len(self.data) + self.terminated


class BadRange(NamedTuple):
    """Bytes that belong to no good record.

    `broken`: the chain does not go on behind them, records were damaged. Otherwise they are a fragment that lost
    nothing: a torn tail, or one that a later record stepped over [J7].
    """

    offset: int
    end: int
    broken: bool
    top_seq: int  # the highest seq readable in it, 0 when none is


def scan(data: bytes, base: int, previous: bytes) -> list[Line | BadRange]:
    """The lines of `data`, which stands at byte `base` of its segment behind a line with c `previous`; never raises.

    Corruption is a bad line where the chain breaks; reading then goes on from the next line's own c. When a later line
    chains directly from before such a break, its writer stepped over a tail: all between is one fragment [J7]. The c
    of a stub is taken as it stands: nobody can compute it any more, and the next line has to chain from it [J16].
    """
    found: list[Line | BadRange] = []
    breaks: list[_Break] = []
    c, resume, bad_from, top_seq = previous, b"", -1, 0
    for offset, line, terminated in _framed(data, base):
        body, own = split_c(line) or (b"", b"")
        if own and (link(c, body) == own or (bad_from < 0 and is_stub(line))):
            if bad_from >= 0:
                found.append(BadRange(bad_from, offset, False, top_seq))
        elif own and breaks and (stepped := _stepped_over(breaks, body, own)):
            del breaks[breaks.index(stepped) :]
            found[stepped.at :] = [_fragment(found[stepped.at :], offset, top_seq)]
        elif own and resume and link(resume, body) == own:
            breaks.append(_Break(len(found), c))
            found.append(BadRange(bad_from, offset, True, top_seq))
        else:
            resume = own or resume
            bad_from = offset if bad_from < 0 else bad_from
            top_seq = max(top_seq, top_readable_seq(line))
            continue
        found.append(Line(offset, line, own, terminated))
        c, resume, bad_from, top_seq = own, b"", -1, 0
    if bad_from >= 0:
        found.append(BadRange(bad_from, base + len(data), False, top_seq))
    return found


class _Break(NamedTuple):
    """A place where the chain broke: where its range stands among what was found, and the c before it."""

    at: int
    c: bytes


def _framed(data: bytes, base: int) -> Iterator[tuple[int, bytes, bool]]:
    """Offset and bytes of each line that is not blank, and whether its newline is there [J5]."""
    position, size = 0, len(data)
    while position < size:
        newline = data.find(b"\n", position)
        end = size if newline < 0 else newline
        if end > position:
            yield base + position, data[position:end], newline >= 0
        elif data.startswith(b"\n\n\n", position) and (run := _NEWLINES.match(data, position)):
            end = run.end() - 1  # where something was redacted stand thousands
        position = end + 1


def _stepped_over(breaks: Sequence[_Break], body: bytes, own: bytes) -> _Break | None:
    """The break before which this line chains: a writer that names a tail goes on from the last good record [J7]."""
    if len(breaks) > _MOST_BREAKS and b'"action":"journal_note"' not in body:
        return None
    return next((place for place in reversed(breaks) if link(place.c, body) == own), None)


def _fragment(found: Sequence[Line | BadRange], end: int, top_seq: int) -> BadRange:
    """One range that lost nothing, in place of all that was found since a break."""
    seqs = [item.top_seq if isinstance(item, BadRange) else seq_of(item.data) or 0 for item in found]
    return BadRange(found[0].offset, end, False, max(top_seq, *seqs))


def top_readable_seq(data: bytes, most: int = MAX_SEQ) -> int:
    """The highest seq up to `most` that a line in these bytes starts with, 0 when none does: it stays used [J7]."""
    return max((seq for found in _LINE_START.finditer(data) if (seq := int(found[1])) <= most), default=0)


class Entry(NamedTuple):
    """A good line with its record, and whether it counts: a record of an incomplete batch is void [J6]."""

    line: Line
    record: Record
    void: bool


def entries(lines: Sequence[Line]) -> list[Entry]:
    """Decode the lines of one segment and mark the records of incomplete batches; errors as decode_record."""
    return mark_void([(line, decode_record(line.data)) for line in lines])


def mark_void(records: Sequence[tuple[Line, Record]]) -> list[Entry]:
    """Mark the records of batches that are not all there, one after the other [J6]."""
    found: list[Entry] = []
    pending: list[Entry] = []
    for line, record in records:
        if pending and record.batch != _next_of(pending):
            found += [entry._replace(void=True) for entry in pending]
            pending = []
        entry = Entry(line, record, False)
        if record.batch is None or record.batch[1] <= 1:
            found.append(entry)
        elif record.batch[0] != len(pending) + 1:
            found.append(entry._replace(void=True))
        else:
            pending.append(entry)
            if len(pending) == record.batch[1]:
                found += pending
                pending = []
    return found + [entry._replace(void=True) for entry in pending]


def _next_of(pending: Sequence[Entry]) -> tuple[int, int]:
    return (len(pending) + 1, pending[0].record.batch[1] if pending[0].record.batch else 0)


def settle_tail(found: Sequence[Line | BadRange], known_seq: int) -> list[Line | BadRange]:
    """Tell a power cut from damage at the end of the log.

    One mutation is one write, so after a cut that kept later pages and lost earlier ones all that stands behind the
    first break belongs to one unfinished batch. Such an end is tail, not corruption, unless `known_seq` says that
    records behind it were already acknowledged [J7].
    """
    first = len(found)
    for at in range(len(found) - 1, -1, -1):
        item = found[at]
        if isinstance(item, BadRange):
            first = at if item.broken else first
        elif _begins_mutation(item) or (seq_of(item.data) or 0) <= known_seq:
            break
    if first == len(found):
        return list(found)
    return [*found[:first], _fragment(found[first:], found[-1].end, 0)]


def _begins_mutation(line: Line) -> bool:
    """Whether a line is the first of its mutation; one that cannot be read is left for others to report."""
    try:
        batch = decode_record(line.data).batch
    except (DamagedStore, FormatTooNew):
        return True
    return batch is None or batch[0] == 1


def torn_note(torn: bytes, segment_name: str, end: int, last_seq: int) -> tuple[dict[str, Any], int]:
    """What a journal_note says of a torn tail that ends at byte `end`, and the highest seq readable in it [J7]."""
    # No record is shorter than 64 bytes: a number beyond that is part of a payload, and no seq of ours.
    top_seq = max(top_readable_seq(torn, last_seq + 1 + len(torn) // 64), last_seq)
    found = {"segment": segment_name, "start": end - len(torn), "end": end, "blake3": blake3(torn).hexdigest()}
    torn_seqs = [last_seq + 1, top_seq] if top_seq > last_seq else None
    return {"kind": "torn_tail", "ranges": [found], "torn": torn_seqs}, top_seq


# --- blobs and stubs -------------------------------------------------------------------------------------------------


def blob_ref(data: bytes) -> BlobRef:
    """The reference to a payload that stands in a blob."""
    return BlobRef(blake3(data).hexdigest(), len(data))


def is_stub(line: bytes) -> bool:
    """Whether a line begins as a redaction stub does."""
    return _STUB_START.match(line) is not None


def stub(line: bytes) -> bytes:
    """The redaction stub of a line: a pure function of it, so that every reader builds the same [F9]."""
    record = decode_record(line)
    parts: dict[str, Any] = {"v": record.v, "seq": record.seq, "redacted": True}
    for key in _STUB_KEYS:
        value = getattr(record, key)
        if value is not None:
            parts[key] = value
    if record.private:
        parts["private"] = True
    parts["c"] = record.c
    return msgspec.json.encode(parts)


class ListedStub(msgspec.Struct):
    """A line that is redacted, and the BLAKE3 of the stub that stands in its place."""

    seq: int
    blake3: str


class RedactPayload(msgspec.Struct):
    """The payload of a `redact` record [J16]."""

    reason: str
    lines: list[ListedStub]


def listed_in(record: Record) -> dict[int, str]:
    """Seq → BLAKE3 of its stub, as a `redact` record lists them; {} for any other record, or one nobody can read."""
    if record.action != "redact" or record.item_type != JOURNAL_TYPE or record.payload_bytes is None:
        return {}
    try:
        found = msgspec.json.decode(record.payload_bytes, type=RedactPayload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return {line.seq: line.blake3 for line in found.lines}
