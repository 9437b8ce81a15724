"""Restoring: put damaged lines of the log back in their place, byte for byte, from whoever still has them.

    a segment with holes + lines that others hold ─► the segment as it was

Pure. What belongs into a hole is proved by the chain: it goes on from the last good line, and what is known behind the
hole goes on from it [J4] [J7]. A line that nothing proves stays out, and a redacted one comes back as its stub [J16].
No good line is ever lost by it. `mending` does it on disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from blake3 import blake3

from journal.codec import (
    C_SUFFIX_BYTES,
    BadRange,
    Line,
    decode_header,
    decode_record,
    encode_header,
    is_stub,
    link,
    scan,
    seq_of,
    settle_tail,
    split_c,
    stub,
)
from journal.errors import DamagedStore, FormatTooNew

_BEGINS: Final = re.compile(rb'\{"v":[0-9]{1,6},"seq":[1-9][0-9]{0,15},')
_ENDS: Final = re.compile(rb',"c":"[0-9a-f]{64}"\}')


class Offered(NamedTuple):
    """A line that somebody has. `vouched`: a signature says that it is ours; else only the chain can."""

    line: bytes
    vouched: bool = False


# What there is of an origin, from the first of these seqs to the last.
Offer = Callable[[str, int, int], Iterable[Offered]]


class Known(NamedTuple):
    """What is known of the log from outside a segment."""

    listed: Mapping[int, str]  # seq → BLAKE3 of the stub that must stand there [J16]
    anchors: Mapping[int, str]  # seq → c, where somebody remembers both
    offer: Offer


class Stretch(NamedTuple):
    """The lines of one segment: whose, where they begin, what comes before, and up to which seq there must be some."""

    origin: str
    offset: int
    c: bytes
    seq: int
    until: int
    is_tail: bool


class Mended(NamedTuple):
    """A segment after the attempt: its bytes, and the seqs that came back; none when nothing could be done."""

    data: bytes
    seqs: tuple[int, ...]


class _Hole(NamedTuple):
    """Bytes between two good lines, or behind the last one."""

    origin: str
    window: bytes
    c: bytes
    first_seq: int
    last_seq: int
    behind: Line | None


class _Piece(NamedTuple):
    """A line that may belong into a hole; `own` when it stands there already."""

    seq: int
    line: bytes
    c: bytes
    own: bool
    vouched: bool


# --- a segment -------------------------------------------------------------------------------------------------------


def mended(data: bytes, lines: Stretch, known: Known) -> Mended:
    """The segment with its holes filled as far as that can be proved; good lines and torn tails stay as they are."""
    found = scan(data[lines.offset :], lines.offset, lines.c)
    if lines.is_tail:
        found = settle_tail(found, lines.until)
    good = [item for item in found if isinstance(item, Line)]
    parts, seqs, at = [data[: lines.offset]], list[int](), lines.offset
    for before, behind in zip([None, *good], [*good, None], strict=True):
        end = len(data) if behind is None else behind.offset
        window = data[at:end]
        hole = _Hole(
            lines.origin,
            window,
            lines.c if before is None else before.c,
            (lines.seq if before is None else seq_of(before.data) or 0) + 1,
            (lines.until if behind is None else (seq_of(behind.data) or 0) - 1),
            behind,
        )
        if _is_hole(hole, found, at, end):
            window, came = _filled(hole, known)
            seqs += came
        parts.append(window)
        if behind is not None:
            parts.append(data[behind.offset : behind.end])
            at = behind.end
    return Mended(b"".join(parts), tuple(seqs))


def _is_hole(hole: _Hole, found: Sequence[Line | BadRange], start: int, end: int) -> bool:
    """Whether lines are missing there, and not only a torn tail that lost nothing [J7]."""
    if hole.first_seq > hole.last_seq:
        return False
    if hole.behind is None:
        return True
    return any(isinstance(item, BadRange) and item.broken and start <= item.offset < end for item in found)


# --- a hole ----------------------------------------------------------------------------------------------------------


def _filled(hole: _Hole, known: Known) -> tuple[bytes, list[int]]:
    """What belongs into a hole, and the seqs that are good by it and were not."""
    pieces = _chosen(hole, known)
    before = _good(hole.window, hole)
    for window in _proposals(hole, pieces):
        after = _good(window, hole)
        came = sorted(seq for seq in after.keys() - before.keys() if seq <= hole.last_seq)
        if came and all(after.get(seq) == line for seq, line in before.items()):
            return window, came
    return hole.window, []


def _good(window: bytes, hole: _Hole) -> dict[int, bytes]:
    """The good lines of a hole and of the line behind it, as a reader of the segment would find them."""
    behind = b"" if hole.behind is None else hole.behind.data + b"\n"
    found = scan(window + behind, 0, hole.c)
    return {seq_of(item.data) or 0: item.data for item in found if isinstance(item, Line)}


def _proposals(hole: _Hole, pieces: Sequence[_Piece]) -> Iterator[bytes]:
    """Ways to put pieces into a hole, the likeliest first: what changes no length cannot have moved anything."""
    framed = b"".join(b"\n" + piece.line + b"\n" for piece in pieces)
    plain = framed if hole.behind is None else framed + b"\n"
    laid = _laid_over(hole.window, pieces)
    if len(plain) == len(hole.window):
        yield plain
    if laid is not None:
        yield laid
    if _is_whole(hole, pieces):
        yield plain


def _is_whole(hole: _Hole, pieces: Sequence[_Piece]) -> bool:
    """Whether the pieces lead from the line before the hole to what is behind it."""
    c = hole.c
    for piece in pieces:
        if not _follows(c, piece):
            return False
        c = piece.c
    if hole.behind is None:
        return True
    parts = split_c(hole.behind.data)
    return is_stub(hole.behind.data) or (parts is not None and link(c, parts[0]) == parts[1])


def _laid_over(window: bytes, pieces: Sequence[_Piece]) -> bytes | None:
    """The pieces where their beginnings or ends still stand, and around them all as it is; None if one has no place."""
    found, at = bytearray(window), 0
    for piece in pieces:
        line = piece.line
        start = window.find(_beginning(line), at)
        if start < 0 and not is_stub(line):
            start = window.find(line[-C_SUFFIX_BYTES:], at) - len(line) + C_SUFFIX_BYTES
        end = start + len(line)
        if start < at or end > len(window):
            return None
        found[start:end] = line
        if start > 0:
            found[start - 1 : start] = b"\n"
        found[end : end + 1] = b"\n"
        at = end
    return bytes(found)


def _beginning(line: bytes) -> bytes:
    """A line up to its seq, which no other has."""
    found = _BEGINS.match(line)
    return line if found is None else found[0]


# --- pieces ----------------------------------------------------------------------------------------------------------


def _chosen(hole: _Hole, known: Known) -> list[_Piece]:
    """One piece for each seq that there is one of, in order: what follows the piece before, else what is vouched for.

    At the end of the log nothing proves the last ones but what somebody remembers.
    """
    by_seq: dict[int, list[_Piece]] = {}
    for piece in _all_pieces(hole, known):
        by_seq.setdefault(piece.seq, []).append(piece)
    chosen, c = list[_Piece](), hole.c
    for seq in sorted(by_seq):
        pieces = by_seq[seq]
        best = next((piece for piece in pieces if _follows(c, piece)), None)
        best = best or next((piece for piece in pieces if piece.vouched or piece.own), None)
        if best is not None:
            chosen.append(best)
            c = best.c
    return _proved(chosen, hole, known)


def _proved(pieces: list[_Piece], hole: _Hole, known: Known) -> list[_Piece]:
    """Those that are proved from behind: by the line behind the hole, by what is remembered, or by a signature."""
    behind = None if hole.behind is None else split_c(hole.behind.data)
    found = list[_Piece]()
    for piece in reversed(pieces):
        is_proved = piece.own or piece.vouched or known.anchors.get(piece.seq) == piece.c.hex()
        if is_proved or (behind is not None and link(piece.c, behind[0]) == behind[1]):
            found.insert(0, piece)
            behind = None if is_stub(piece.line) else split_c(piece.line)  # the c of a stub proves nothing before it
    return found


def _follows(c: bytes, piece: _Piece) -> bool:
    return is_stub(piece.line) or link(c, piece.line[:-C_SUFFIX_BYTES]) == piece.c


def _all_pieces(hole: _Hole, known: Known) -> Iterator[_Piece]:
    """What stands in the hole itself, and what others offer, as far as it may stand there at all."""
    for line in _standing(hole.window):
        yield from _pieces(hole, known, Offered(line), own=True)
    for offered in known.offer(hole.origin, hole.first_seq, hole.last_seq):
        yield from _pieces(hole, known, offered, own=False)


def _pieces(hole: _Hole, known: Known, offered: Offered, *, own: bool) -> Iterator[_Piece]:
    seq = seq_of(offered.line)
    if seq is None or not hole.first_seq <= seq <= hole.last_seq:
        return
    line = _as_listed(offered.line, known.listed.get(seq))
    parts = None if line is None else split_c(line)
    if line is not None and parts is not None:
        yield _Piece(seq, line, parts[1], own and line == offered.line, offered.vouched)


def _as_listed(line: bytes, digest: str | None) -> bytes | None:
    """A record as it must stand in the log: its stub when it was redacted [J16]. None for what cannot stand there."""
    try:
        decode_record(line)
        if digest is None:
            return None if is_stub(line) else line
        short = line if is_stub(line) else stub(line)
    except (DamagedStore, FormatTooNew):
        return None
    return short if blake3(short).hexdigest() == digest else None


def _standing(window: bytes) -> Iterator[bytes]:
    """What looks like a line in damaged bytes, wherever newlines are."""
    for begin in _BEGINS.finditer(window):
        end = _ENDS.search(window, begin.end())
        if end is not None:
            yield window[begin.start() : end.end()]


# --- headers ---------------------------------------------------------------------------------------------------------


Owner = tuple[str, Sequence[Any]]  # an origin, and the origins before it as headers name them
_FEW: Final = 8  # bytes: a header that is good and says something else differs in a digest, so in more


class Place(NamedTuple):
    """Where a segment stands in the log: what its header has to say."""

    first_seq: int
    prev_c: bytes


def header_for(data: bytes, place: Place, owners: Iterable[Owner]) -> bytes | None:
    """The header that a segment must have had, newline included, where the one it has is damaged.

    None where it is good, or of a later format; where no header leads to the first line; where several are as near.
    """
    if _is_too_new(data):
        return None
    near: list[tuple[int, bytes]] = []
    for origin, previous in owners:
        header = encode_header(origin, place.first_seq, place.prev_c, previous) + b"\n"
        if header not in {other for _, other in near} and _leads_to(data, len(header), place):
            near.append((sum(one != other for one, other in zip(header, data, strict=False)), header))
    near.sort()
    if not near or near[0][0] == 0 or (len(near) > 1 and near[0][0] == near[1][0]):
        return None
    return None if near[0][0] > _FEW and _says(data, place) else near[0][1]


def _says(data: bytes, place: Place) -> bool:
    """Whether a segment begins with a header for this place."""
    try:
        header = decode_header(data[: data.find(b"\n")])
    except (DamagedStore, FormatTooNew):
        return False
    return (header.first_seq, header.prev_c) == (place.first_seq, place.prev_c.hex())


def _is_too_new(data: bytes) -> bool:
    """Whether a later program may have written this: then it is not for us to judge [J12]."""
    try:
        decode_header(data[: data.find(b"\n")])
    except FormatTooNew:
        return True
    except DamagedStore:
        pass
    return False


def _leads_to(data: bytes, length: int, place: Place) -> bool:
    """Whether what stands behind so many bytes goes on from there, or is nothing at all."""
    first = next(iter(scan(data[length:], length, place.prev_c)), None)
    if first is None:
        return len(data) == length
    return isinstance(first, Line) and first.offset == length + 1
