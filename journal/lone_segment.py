"""Lone segment: what a segment of the log says when it is all there is, such as a copy of one in a bug report.

Pure: bytes in, values out. Nothing here raises, whatever the bytes are. Judged is as `verify` does [J4] [J7]; what only
other segments could tell (where the chain comes from, who redacted a stub) is taken as the segment says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from journal.codec import (
    BadRange,
    Line,
    decode_header,
    decode_record,
    is_stub,
    mark_void,
    scan,
    split_c,
)
from journal.errors import DamagedStore, FormatTooNew, JournalError
from journal.findings import Finding, Findings
from journal.log import Segment
from journal.log_verification import Extent, LogWalk
from journal.model import MAX_LINE_BYTES, Header, Record

_MOST_PREVIOUS: Final = 10_000  # origins in a header: more are never decoded one by one
Chain = Literal["follows", "taken", "broken"]


class SeenLine(NamedTuple):
    """One line of a segment: where it stands, what it says, and how it hangs in the chain.

    chain: it `follows` from the line before, is `taken` as it stands (a stub, or the first line behind a header that
    cannot be read), or is `broken`. `record` is None for what cannot be read, and then `why` says why.
    """

    line_number: int
    offset: int
    data: bytes
    chain: Chain
    record: Record | None
    why: str | None
    void: bool


class LoneSegment:
    """A segment in memory: its header, its lines, and what is wrong with it."""

    def __init__(self, data: bytes, path: Path) -> None:
        self._data = data
        self._path = path
        self._found = Findings()
        self.header, self.header_bytes = self._read_header()

    def findings(self) -> list[Finding]:
        """All that is wrong, in the words of `verify`; read once, whole."""
        if self.header is not None:
            self._walk(self.header)
        return self._found.all()

    def _read_header(self) -> tuple[Header | None, int]:
        length = self._data.find(b"\n") + 1 or len(self._data)
        try:
            if length > MAX_LINE_BYTES:
                raise DamagedStore("not a segment header: the first line is too long", line=1, rule="J8")
            header = decode_header(self._data[: length - 1])
            if len(header.previous) > _MOST_PREVIOUS or not header.origin_store_id.isascii() or header.first_seq < 1:
                raise DamagedStore("a segment header that cannot be", line=1, rule="J8")
        except JournalError as error:
            error.path = str(self._path)
            self._found.add_error("format-too-new" if isinstance(error, FormatTooNew) else "segment-header", error)
            return None, length
        return header, length

    def _walk(self, header: Header) -> None:
        origins = [*filter(None, map(_origin_in, header.previous)), header.origin_store_id]
        walk = LogWalk(_InMemory(header, self.header_bytes, self._data), self._found, origins, 0)
        try:
            walk.walk_alone(Extent(Segment(header.first_seq, self._path), len(self._data)), header)
            end = walk.loose_end
            if end is not None and _has_whole_line(self._data[end.range.offset : end.range.end]):
                walk.tell_loose_end()
        except (OverflowError, ValueError) as error:  # numbers that no store of ours would take
            self._found.add("record-unreadable", "error", f"cannot be judged further: {error}", path=self._path)
        finally:
            walk.fold.close()

    def lines(self) -> Iterator[SeenLine]:
        """Every line but the header and blank ones, in order, good and bad."""
        if self.header is not None:
            yield from self._seen(self.header_bytes, bytes.fromhex(self.header.prev_c))
            return
        end, line = _first_line(self._data, self.header_bytes)
        parts = split_c(line)
        if parts is None:  # no chain to go on from
            yield from self._seen(self.header_bytes, b"")
            return
        begins = end - len(line)
        number = self._data.count(b"\n", 0, begins) + 1
        yield SeenLine(number, begins, line, "taken", *_decoded(line), False)
        yield from self._seen(end, parts[1])

    def _seen(self, start: int, c: bytes) -> Iterator[SeenLine]:
        found = scan(self._data[start:], start, c)
        good = [(item, *_decoded(item.data)) for item in found if isinstance(item, Line)]
        entries = mark_void([(line, record) for line, record, _ in good if record is not None])
        void = {entry.line.offset for entry in entries if entry.void}
        known = {line.offset: (record, why) for line, record, why in good}
        number, counted = 1, 0
        for offset, data, is_good in self._each(found):
            number += self._data.count(b"\n", counted, offset)
            counted = offset
            record, why = known[offset] if is_good else _decoded(data)
            chain: Chain = "broken" if not is_good else "taken" if is_stub(data) else "follows"
            yield SeenLine(number, offset, data, chain, record, why, offset in void)

    def _each(self, found: Sequence[Line | BadRange]) -> Iterator[tuple[int, bytes, bool]]:
        """Offset, bytes and goodness of each line, those in bad ranges one by one."""
        for item in found:
            if isinstance(item, Line):
                yield item.offset, item.data, True
                continue
            at = item.offset
            while at < item.end:
                end = self._data.find(b"\n", at, item.end)
                end = item.end if end < 0 else end
                if end > at:
                    yield at, self._data[at:end], False
                at = end + 1


class _InMemory:
    """A log that is one segment."""

    def __init__(self, header: Header, length: int, data: bytes) -> None:
        self._header = header
        self._length = length
        self._data = data

    def header(self, _: Segment) -> tuple[Header, int]:
        return self._header, self._length

    def read(self, _: int, start: int = 0, size: int = -1) -> bytes:
        return self._data[start:] if size < 0 else self._data[start : start + size]

    def payload_of(self, record: Record) -> bytes | None:
        return record.payload_bytes


def _origin_in(entry: msgspec.Raw) -> str | None:
    """The origin that an entry of `previous` names."""
    try:
        value = msgspec.json.decode(entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    origin = value.get("origin") if isinstance(value, dict) else None
    return origin if isinstance(origin, str) and origin.isascii() else None


def _decoded(line: bytes) -> tuple[Record | None, str | None]:
    if len(line) > 2 * MAX_LINE_BYTES:
        return None, f"{len(line)} bytes are no record"
    try:
        return decode_record(line), None
    except JournalError as error:
        return None, error.message


def _first_line(data: bytes, start: int) -> tuple[int, bytes]:
    """The first line behind a byte that is not blank, and where it ends."""
    while data[start : start + 1] == b"\n":
        start += 1
    end = data.find(b"\n", start)
    end = len(data) if end < 0 else end
    return end, data[start:end]


def _has_whole_line(data: bytes) -> bool:
    """Whether a line that something was written behind is among these bytes: no write that was cut short ends so."""
    return any(line.strip(b"\0") for line in data.split(b"\n")[:-1])
