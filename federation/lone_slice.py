"""Lone slice: what a slice of a feed says when it is all there is, or when its feed stands beside it.

Pure: bytes in, values out. Nothing here raises, whatever the bytes are. The chain is followed from the c that the
header claims, the transcript from a state that somebody else verified [F2] [F3] [J4]; behind what is wrong it goes on
from what the next line claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import msgspec
from blake3 import blake3

from federation import feed
from federation.model import MAX_SLICE_BYTES
from federation.verification import Broken, State, line_end, walk
from journal import (
    MAX_LINE_BYTES,
    SEGMENT_FORMAT,
    DamagedStore,
    FormatTooNew,
    Header,
    Record,
    decode_record,
    split_c,
)

_MAX_HEADER_BYTES: Final = MAX_SLICE_BYTES
_NOTHING: Final = bytes(32)
Kind = Literal["record", "stub", "skip", "unreadable"]


class SeenFeedLine(NamedTuple):
    """One line of a slice: where it stands, the seqs it speaks of, and what is wrong with it, if anything is."""

    line_number: int
    offset: int
    data: bytes
    kind: Kind
    first_seq: int | None
    last_seq: int | None
    record: Record | None
    fault: str | None


class _HeaderLine(msgspec.Struct):
    v: int
    segment: Header


class LoneSlice:
    """A slice in memory. `state` is where the lines that were taken so far lead; its t counts only with a `before`."""

    def __init__(self, raw: bytes, before: State | None = None) -> None:
        self._raw = raw
        self.header, self.why = _read_header(raw)
        c = _NOTHING if self.header is None else bytes.fromhex(self.header.prev_c)
        seq = 0 if self.header is None else self.header.first_seq - 1
        self.follows = before is None or (before.seq, before.c) == (seq, c)
        self._knows_c = self.header is not None
        self.has_transcript = before is not None and self.follows
        self.state = before if before is not None and self.follows else State(seq, c, _NOTHING)

    @property
    def digest(self) -> str:
        """BLAKE3 of the raw bytes: what a head signs, and the beginning of which stands in the name."""
        return blake3(self._raw).hexdigest()

    def lines(self, redacted: frozenset[int] | None = None) -> Iterator[SeenFeedLine]:
        """Every line but the header; `redacted` are the seqs that the head lists, None where there is no head."""
        at = self._raw.find(b"\n") + 1
        number = 2
        while 0 < at < len(self._raw):
            end = self._raw.find(b"\n", at)
            data = self._raw[at:] if end < 0 else self._raw[at:end]
            yield self._seen(number, at, data, redacted, ends=end >= 0)
            number, at = number + 1, at + len(data) + 1

    def _seen(self, number: int, at: int, data: bytes, redacted: frozenset[int] | None, *, ends: bool) -> SeenFeedLine:
        skip, last = feed.parse_skip(data), line_end(data)
        first = skip[0] if skip is not None else last
        record, why = _record_in(data) if last and skip is None else (None, None)
        kind: Kind = "skip" if skip else "unreadable" if record is None else "stub" if record.redacted else "record"
        fault = self._step(data, first, last, redacted, number) or why
        if not ends:
            fault = fault or "the slice ends within this line"
        elif not data:
            fault = "blank line"
        return SeenFeedLine(number, at, data, kind, first or None, last or None, record, fault)

    def _step(self, data: bytes, first: int, last: int, redacted: frozenset[int] | None, number: int) -> str | None:
        """Follow one line; why it does not follow, and then the next one is asked to follow from what this one says."""
        before = self.state
        listed = frozenset([last]) if redacted is None else redacted
        after = walk([data], before, listed, number)
        parts = split_c(data)
        if isinstance(after, State):
            self.state = after
            return None
        self.has_transcript = False
        c = parts[1] if parts is not None else before.c
        self.state = State(last or before.seq, c, _NOTHING)
        if not self._knows_c and parts is not None and last:
            self._knows_c = True  # the header cannot be read: the first line's c is taken as it stands
            return None
        return _why(after, data, before, first, last)


def _why(broken: Broken, data: bytes, before: State, first: int, last: int) -> str:
    if not last:
        return f"is neither a record nor a skip: {len(data)} bytes"
    if first != before.seq + 1 and before.c != _NOTHING:
        return f"seq {first}, expected {before.seq + 1} [J1]"
    return f"{broken.message} [F5]"


def _read_header(raw: bytes) -> tuple[Header | None, str | None]:
    """The header of a slice as it stands; else why it is none."""
    line = raw[: raw.find(b"\n") + 1][:-1]
    try:
        if not line or len(line) > _MAX_HEADER_BYTES:
            raise ValueError("no header line")
        found = msgspec.json.decode(line, type=_HeaderLine)
        if len(bytes.fromhex(found.segment.prev_c)) != 32 or found.segment.first_seq < 1:
            raise ValueError("no place in a feed")
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return None, f"not a slice header: {error} [F3]"
    if found.segment.format > SEGMENT_FORMAT:
        return None, f"slice format {found.segment.format}, known is {SEGMENT_FORMAT} [J12]"
    return found.segment, None


def _record_in(line: bytes) -> tuple[Record | None, str | None]:
    if len(line) > 2 * MAX_LINE_BYTES:
        return None, f"{len(line)} bytes are no record [J10]"
    try:
        return decode_record(line), None
    except FormatTooNew:
        return None, None  # kept and shown by nobody, and no fault of the feed [J12]
    except DamagedStore as error:
        return None, f"{error.message} [{error.rule}]"
