"""Checkpoint file: the newest record of every entity at one seq, and all decisions up to there, as lines of JSON.

Pure. A line says what it is: heads come first, then decisions, then ranges of the log where records were lost, and the
last line counts them, so that a file cut short is known. Whether a file is the one that was made is told by its BLAKE3,
which stands in the log [J14].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
from blake3 import blake3

from journal.errors import DamagedStore, FormatTooNew
from journal.index import Position, Torn
from journal.model import Decided, LocalHead, Place, Version

CHECKPOINT_FORMAT: Final = 1
_MAX_LINE_BYTES: Final = 1024 * 1024  # a context of 256 entries, twice, takes a twentieth
_PART_BYTES: Final = 1024 * 1024  # written and read at once


class Top(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", tag="checkpoint"):
    """The first line: of which store, and up to which record [J14]."""

    format: int
    origin_store_id: str
    seq: int
    c: str
    segment: int
    offset: int

    @property
    def position(self) -> Position:
        """Where reading goes on behind the checkpoint."""
        return Position(self.seq, bytes.fromhex(self.c), self.segment, self.offset, self.offset)


class _Entity(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", tag="entity", omit_defaults=True):
    item_type: str
    item_id: str
    entity_rev: int
    seq: int
    c: str
    version: str
    context: dict[str, int]
    claims: dict[str, int] = {}
    deleted: bool = False
    private: bool = False
    summary: str | None = None
    place: tuple[int, int, int]


class _Decision(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", tag="decision", omit_defaults=True):
    seq: int
    action: str
    item_type: str
    item_id: str | None = None
    cause: str
    root: str | None = None


class _Lost(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", tag="lost"):
    segment: int
    offset: int
    end: int


class Counts(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", tag="end"):
    """The last line: how many lines of each kind there must be."""

    entities: int = 0
    decisions: int = 0
    lost: int = 0


_Line = Top | _Entity | _Decision | _Lost | Counts
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Line).decode


class Content(NamedTuple):
    """What a checkpoint holds, each part taken up once and in this order."""

    heads: Iterable[LocalHead]
    decided: Iterable[Decided]
    lost: Iterable[Torn]


# --- writing ---------------------------------------------------------------------------------------------------------


class Writing:
    """A checkpoint as bytes, made as they are asked for; afterwards it knows their digest and what was counted."""

    def __init__(self, origin: str, position: Position, content: Content) -> None:
        self._top = Top(
            format=CHECKPOINT_FORMAT,
            origin_store_id=origin,
            seq=position.seq,
            c=position.c.hex(),
            segment=position.segment,
            offset=position.offset,
        )
        self._content = content
        self._hash = blake3()
        self.counts = Counts()
        self.size_bytes = 0

    @property
    def digest(self) -> str:
        """BLAKE3 of all bytes given out so far."""
        return self._hash.hexdigest()

    def parts(self) -> Iterator[bytes]:
        """The bytes, some at a time: memory is bounded, whatever the store holds."""
        part = bytearray()
        for line in self._lines():
            part += _encode(line) + b"\n"
            if len(part) >= _PART_BYTES:
                yield self._given(part)
                part = bytearray()
        yield self._given(part)

    def _given(self, part: bytearray) -> bytes:
        data = bytes(part)
        self._hash.update(data)
        self.size_bytes += len(data)
        return data

    def _lines(self) -> Iterator[_Line]:
        yield self._top
        found: Counter[type] = Counter()
        for line in self._of_content():
            found[type(line)] += 1
            yield line
        self.counts = Counts(entities=found[_Entity], decisions=found[_Decision], lost=found[_Lost])
        yield self.counts

    def _of_content(self) -> Iterator[_Line]:
        heads, decided, lost = self._content
        yield from map(_entity, heads)
        yield from (_Decision(**record._asdict()) for record in decided)
        yield from (_Lost(segment=bad.segment, offset=bad.offset, end=bad.end) for bad in lost)


def _entity(head: LocalHead) -> _Entity:
    return _Entity(
        item_type=head.item_type,
        item_id=head.item_id,
        entity_rev=head.entity_rev,
        seq=head.seq,
        c=head.c,
        version=str(head.version),
        context=dict(head.context),
        claims=dict(head.claims),
        deleted=head.deleted,
        private=head.private,
        summary=head.summary,
        place=head.place,
    )


# --- reading ---------------------------------------------------------------------------------------------------------


class Reading:
    """A checkpoint read part by part and checked; DamagedStore or FormatTooNew at whatever is not as it must be.

    `heads`, `decided` and `lost` are taken up in this order, each to its end; after the last one all of the file was
    read, counted and hashed, and is what `digest` says.
    """

    def __init__(self, chunks: Iterable[bytes], digest: str | None = None) -> None:
        self._lines = self._split(iter(chunks))
        self._hash = blake3()
        self._wanted = digest
        self._next: _Line | None = None
        self._counted: Counter[type] = Counter()
        self.line_number = 1  # the one that is looked at
        self.top = decode_top(next(self._lines, b""))
        self._step()

    @property
    def digest(self) -> str:
        """BLAKE3 of all that was read so far."""
        return self._hash.hexdigest()

    def content(self) -> Content:
        """All parts, still to be taken up."""
        return Content(self.heads(), self.decided(), self.lost())

    def heads(self) -> Iterator[LocalHead]:
        """The newest records of all entities, by type and id."""
        for line in self._of(_Entity):
            assert isinstance(line, _Entity)
            yield _head(line)

    def decided(self) -> Iterator[Decided]:
        """All decisions, in log order."""
        for line in self._of(_Decision):
            assert isinstance(line, _Decision)
            yield Decided(line.seq, line.action, line.item_type, line.item_id, line.cause, line.root)

    def lost(self) -> Iterator[Torn]:
        """Where records were lost; behind the last range stands the end of the file, which is checked."""
        for line in self._of(_Lost):
            assert isinstance(line, _Lost)
            yield Torn(line.segment, line.offset, line.end, True)
        self._finish()

    def _of(self, kind: type) -> Iterator[_Line]:
        while (line := self._next) is not None and isinstance(line, kind):
            self._counted[kind] += 1
            yield line
            self._step()

    def _step(self) -> None:
        self.line_number += 1
        line = next(self._lines, None)
        self._next = None if line is None else decode_checkpoint_line(line)

    def _finish(self) -> None:
        found = self._counted
        counts = Counts(entities=found[_Entity], decisions=found[_Decision], lost=found[_Lost])
        if self._next != counts or next(self._lines, None) is not None:
            raise DamagedStore("a checkpoint that does not end as it must", rule="J14")
        if self._wanted is not None and self.digest != self._wanted:
            raise DamagedStore("not the checkpoint that the log speaks of", rule="J14")

    def _split(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        rest = b""
        for chunk in chunks:
            self._hash.update(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            if len(rest) > _MAX_LINE_BYTES:
                break
        if rest:
            raise DamagedStore("a checkpoint that ends within a line", rule="J14")


def decode_top(line: bytes) -> Top:
    """The first line of a checkpoint; FormatTooNew for a later format [J12], DamagedStore for anything else."""
    top = decode_checkpoint_line(line)
    if not isinstance(top, Top):
        raise DamagedStore("not a checkpoint", rule="J14")
    if top.format > CHECKPOINT_FORMAT:
        raise FormatTooNew(f"checkpoint format {top.format}, known is {CHECKPOINT_FORMAT}", rule="J12")
    try:
        bytes.fromhex(top.c)
    except ValueError:
        raise DamagedStore("a checkpoint without a chain value", rule="J14") from None
    return top


def decode_checkpoint_line(line: bytes) -> _Line:
    """What one line says; DamagedStore when it is none of a checkpoint."""
    try:
        found: _Line = _decode(line)
        line.decode("utf-8")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedStore(f"not a checkpoint: {error}", rule="J14") from None
    return found


def _head(line: _Entity) -> LocalHead:
    try:
        version = Version.parse(line.version)
    except ValueError as error:
        raise DamagedStore(f"not a checkpoint: {error}", rule="J14") from None
    return LocalHead(
        item_type=line.item_type,
        item_id=line.item_id,
        entity_rev=line.entity_rev,
        seq=line.seq,
        c=line.c,
        version=version,
        context=line.context,
        claims=line.claims,
        deleted=line.deleted,
        private=line.private,
        summary=line.summary,
        place=Place(*line.place),
    )


def reference(writing: Writing, name: str, position: Position) -> Mapping[str, object]:
    """The payload of the `checkpoint_ref` that vouches for a file [J14]."""
    return {
        "file": name,
        "seq": position.seq,
        "c": position.c.hex(),
        "bytes": writing.size_bytes,
        "blake3": writing.digest,
        "entities": writing.counts.entities,
        "decisions": writing.counts.decisions,
    }
