"""Feed: heads and slices as bytes, the transcript, and which slices to merge.

Pure. Keeps F2 (what is signed), F3 (slices are a pure function of their lines, merged in tiers). The bytes of every
function here are fixed by vectors in the tests.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from blake3 import blake3

from federation.model import MAX_REDACTED, MAX_SLICE_BYTES, SLICE_NAME, Head, Slice
from journal import MAX_SEQ, Ref, encode_header

HEAD_FORMAT: Final = 1
MERGE_COUNT: Final = 16  # slices of one tier that become one of the next [F3]
TOP_TIER: Final = 3
_SIGNED_PREFIX: Final = b"eventsync.head/1\n"
_SKIP: Final = re.compile(rb'\{"v":2,"skip":\[([1-9][0-9]{0,15}),([1-9][0-9]{0,15})\],"c":"([0-9a-f]{64})"\}')
_HEX32: Final = re.compile(r"[0-9a-f]{64}")
RECORD_KIND: Final = b"L"
SKIP_KIND: Final = b"S"
ROOM: Final = MAX_SLICE_BYTES - 4096  # bytes of lines in one slice; the rest is for its header


class MalformedHead(ValueError):
    """Bytes that are no head; the text says why. `too_new` when a later program wrote them."""

    def __init__(self, message: str, *, too_new: bool = False) -> None:
        super().__init__(message)
        self.too_new = too_new


# --- transcript ------------------------------------------------------------------------------------------------------


def transcript_start(origin: str, start_seq: int, start_c: bytes) -> bytes:
    """t before the first line of a feed, 32 raw bytes [F2]."""
    return blake3(b"eventsync/t1" + origin.encode("ascii") + start_seq.to_bytes(8, "big") + start_c).digest()


def transcript_step(t: bytes, kind: bytes, first: int, last: int, c: bytes) -> bytes:
    """t after one more line: kind L (record or redact stub, first = last = seq) or S (skip) [F2]."""
    return blake3(t + kind + first.to_bytes(8, "big") + last.to_bytes(8, "big") + c).digest()


# --- lines and slices ------------------------------------------------------------------------------------------------


def skip_line(first: int, last: int, c: bytes) -> bytes:
    """The stub that stands for withheld records first..last, c being that of the last [F1]."""
    return b'{"v":2,"skip":[%d,%d],"c":"%s"}' % (first, last, c.hex().encode("ascii"))


def parse_skip(line: bytes) -> tuple[int, int, bytes] | None:
    """(first, last, c) of a skip stub, or None when the line is none."""
    found = _SKIP.fullmatch(line)
    if found is None:
        return None
    return int(found[1]), int(found[2]), bytes.fromhex(found[3].decode("ascii"))


class FeedLine(NamedTuple):
    """One line of a feed: its kind, the seqs it stands for, its c, and its bytes without newline."""

    kind: bytes
    first: int
    last: int
    c: bytes
    data: bytes
    has_blob: bool = False  # its payload stands beside the slices [J13]


class Built(NamedTuple):
    """A slice with its raw bytes."""

    slice: Slice
    raw: bytes


def build_slice(origin: str, first: int, last: int, prev_c: bytes, previous: Sequence[Any], lines: bytes) -> Built:
    """A slice of framed lines ("line\\n" each): a pure function of them [F3]."""
    raw = encode_header(origin, first, prev_c, previous) + b"\n" + lines
    digest = blake3(raw).hexdigest()
    name = f"seg-{first:08d}-{last:08d}-{digest[:12]}.jsonl"
    return Built(Slice(name, first, last, len(raw), digest), raw)


def body_of(raw: bytes) -> bytes:
    """The lines of a slice without its header."""
    return raw[raw.index(b"\n") + 1 :]


def prev_c_of(raw: bytes) -> bytes:
    """The c before the first line of a slice, as its header says."""
    return bytes.fromhex(msgspec.json.decode(raw[: raw.index(b"\n")])["segment"]["prev_c"])


def cut(lines: Iterable[FeedLine], room: int = ROOM) -> Iterator[list[FeedLine]]:
    """Divide lines into runs that fit one slice each."""
    run: list[FeedLine] = []
    size = 0
    for line in lines:
        if run and size + len(line.data) + 1 > room:
            yield run
            run, size = [], 0
        run.append(line)
        size += len(line.data) + 1
    if run:
        yield run


def plan_merge(sizes: Sequence[int], tiers: Sequence[int], room: int = ROOM) -> tuple[int, int] | None:
    """Which slices to merge next, as a range of positions, or None: the oldest 16 neighbours of one tier [F3].

    A slice that fills more than half a slice is never rewritten; so any merge takes at least two, and fits.
    """
    for tier in range(TOP_TIER + 1):
        run: list[int] = []
        for at, size in enumerate(sizes):
            run = [*run, at] if tiers[at] == tier and size <= room // 2 else []
            if len(run) == MERGE_COUNT:
                end, total = run[0], 0
                while end <= at and total + sizes[end] <= room:
                    total += sizes[end]
                    end += 1
                return run[0], end
    return None


# --- head ------------------------------------------------------------------------------------------------------------


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, raw UTF-8, integers only [F2]."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("utf-8")


def signed_bytes(head: Mapping[str, Any]) -> bytes:
    """What the signature of a head covers [F2]."""
    return _SIGNED_PREFIX + canonical(head)


def head_value(head: Head) -> dict[str, Any]:
    """The `head` object of head.json."""
    return {
        "format": HEAD_FORMAT,
        "gen": head.gen,
        "origin_store_id": head.origin,
        "public_key": head.public_key,
        "name": head.name,
        "start": {"seq": head.start_seq, "c": head.start_c},
        "previous": list(head.previous),
        "last_seq": head.last_seq,
        "c": head.c,
        "t": head.t,
        "slices": [{"name": s.name, "raw_bytes": s.raw_bytes, "blake3": s.blake3} for s in head.slices],
        "redacted": list(head.redacted),
        "published_at": head.published_at,
        "saw": {origin: {"seq": seq, "c": c, "t": t} for origin, (seq, c, t) in head.saw.items()},
    }


def head_file(head: Mapping[str, Any], signature: bytes) -> bytes:
    """head.json for a head object and its signature."""
    return canonical({"head": head, "signature": base64.b64encode(signature).decode("ascii")}) + b"\n"


class _Start(msgspec.Struct):
    seq: int
    c: str


class _SliceEntry(msgspec.Struct):
    name: str
    raw_bytes: int
    blake3: str


class _Saw(msgspec.Struct):
    seq: int
    c: str
    t: str


class _Previous(msgspec.Struct, forbid_unknown_fields=True):
    """In the order of the journal, which slice headers have too [J8]; the keys of a head are sorted."""

    origin: str
    last_seq: int
    c: str
    t: str


class _HeadDocument(msgspec.Struct):
    format: int
    gen: int
    origin_store_id: str
    public_key: str
    name: str
    start: _Start
    previous: list[_Previous]
    last_seq: int
    c: str
    t: str
    slices: list[_SliceEntry]
    redacted: list[int]
    published_at: str
    saw: dict[str, _Saw]


def parse_head(raw: bytes) -> tuple[Head, bytes, bytes]:
    """(head, signed bytes, signature) of a head.json; MalformedHead says what is wrong. Verifies no signature."""
    try:
        value = _HEAD.decode(raw.decode("utf-8"))
        body, signature = value["head"], base64.b64decode(value["signature"], validate=True)
        form = body["format"]
        if isinstance(form, int) and form > HEAD_FORMAT:
            raise MalformedHead(f"head format {form}, known is {HEAD_FORMAT}", too_new=True)
        document = msgspec.convert(body, _HeadDocument)
        signed = signed_bytes(body)
    except MalformedHead:
        raise
    except (ValueError, KeyError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        raise MalformedHead(f"not a head: {type(error).__name__}: {str(error)[:200]}") from None
    return _checked(document, raw), signed, signature


def _checked(document: _HeadDocument, raw: bytes) -> Head:
    if document.format != HEAD_FORMAT:
        raise MalformedHead(f"head format {document.format}, known is {HEAD_FORMAT}")
    if document.gen < 1 or not 0 <= document.start.seq <= document.last_seq:
        raise MalformedHead("gen, start or last_seq out of range")
    digests = [document.c, document.t, document.start.c, *(entry.blake3 for entry in document.slices)]
    digests += [part for saw in document.saw.values() for part in (saw.c, saw.t)]
    if any(not _HEX32.fullmatch(digest) for digest in digests):
        raise MalformedHead("a digest is not 64 lower-case hex digits")
    if len(document.name) > 200 or len(document.published_at) > 40:
        raise MalformedHead("name or time too long")
    if document.redacted != sorted(set(document.redacted)) or any(seq < 1 for seq in document.redacted):
        raise MalformedHead("redacted is not a sorted list of seqs")
    if len(document.redacted) > MAX_REDACTED:
        raise MalformedHead(f"more than {MAX_REDACTED} redacted seqs")
    for origin, saw in document.saw.items():
        _check_saw(origin, saw.seq)
    return Head(
        gen=document.gen,
        origin=document.origin_store_id,
        public_key=document.public_key,
        name=document.name,
        start_seq=document.start.seq,
        start_c=document.start.c,
        previous=tuple(msgspec.to_builtins(entry) for entry in document.previous),
        last_seq=document.last_seq,
        c=document.c,
        t=document.t,
        slices=_tiled(document),
        redacted=tuple(document.redacted),
        published_at=document.published_at,
        saw={origin: (saw.seq, saw.c, saw.t) for origin, saw in document.saw.items()},
        raw=raw,
    )


def _tiled(document: _HeadDocument) -> tuple[Slice, ...]:
    """The slices, which must follow each other without gap or overlap from start to last_seq."""
    slices, at = [], document.start.seq
    for entry in document.slices:
        found = SLICE_NAME.fullmatch(entry.name)
        if found is None or found[3] != entry.blake3[:12]:
            raise MalformedHead(f"not a slice name: {entry.name[:80]!r}")
        first, last = int(found[1]), int(found[2])
        if first != at + 1 or last < first:
            raise MalformedHead(f"slices do not follow each other at seq {at + 1}")
        if not 0 < entry.raw_bytes <= MAX_SLICE_BYTES:
            raise MalformedHead(f"slice {entry.name} of {entry.raw_bytes} bytes")
        slices.append(Slice(entry.name, first, last, entry.raw_bytes, entry.blake3))
        at = last
    if at != document.last_seq:
        raise MalformedHead(f"slices end at seq {at}, the head at {document.last_seq}")
    return tuple(slices)


def _check_saw(origin: str, seq: int) -> None:
    try:
        Ref.parse(f"{origin}@1")
    except ValueError:
        raise MalformedHead("saw names what is no origin") from None
    if seq < 0:
        raise MalformedHead("saw names what is no seq")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedHead("a key stands twice")
    return found


def _no_float(text: str) -> float:
    raise MalformedHead(f"number {text[:40]} is not an integer")


def _integer(text: str) -> int:
    """No number in a head is above the highest seq; larger ones would not even survive their own encoding."""
    if len(text) > 17 or abs(int(text)) > MAX_SEQ:
        raise MalformedHead(f"number {text[:40]} is out of range")
    return int(text)


_HEAD: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_no_float, parse_constant=_no_float
)
