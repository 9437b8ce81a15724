"""Verification: may these bytes enter our mirror?

Pure. A pin, a signed head and slice bytes in; the next state or a Refusal out. Keeps F2 and the table of F5 of
docs/format.md. Knows nothing of what events mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple, Protocol

from blake3 import blake3

from federation import feed
from federation.model import Head, Pin, Refusal, Result, Slice
from federation.packing import unpack
from federation.signing import is_signed
from journal import (
    C_SUFFIX_BYTES,
    MAX_LINE_BYTES,
    DamagedStore,
    FormatTooNew,
    chain_start,
    encode_header,
    split_c,
    stub,
)

_LINE_START: Final = re.compile(rb'\{"v":[0-9]{1,6},"seq":([1-9][0-9]{0,15}),("redacted":true,)?')
_MAX_FOREIGN_LINE: Final = MAX_LINE_BYTES + 64 * 1024  # room for what later versions may add


class Held(Protocol):
    """What our mirror of an origin can answer, for comparing a head with it."""

    @property
    def start_seq(self) -> int:
        """The seq before the first line we hold."""
        ...

    def at(self, seq: int) -> tuple[str, str] | None:
        """(c, t) after the line that ends at seq; None when no line of ours ends there."""
        ...


def read_head(raw: bytes, origin: str, start_known: Callable[[str, int], str | None]) -> Head | Refusal:
    """The head in these bytes, when it is signed by the key its origin is made from; else why not [F5].

    `start_known(origin, seq)` gives the c that our mirror has of a previous origin, None where it has none.
    """
    try:
        head, signed, signature = feed.parse_head(raw)
    except feed.MalformedHead as error:
        return Refusal(Result.REFUSED, str(error), "F2", path=f"{origin}/head.json", too_new=error.too_new)
    where = f"{origin}/head.json"
    if head.origin != origin:
        return Refusal(Result.REFUSED, f"is the head of another origin, {head.origin[:80]}", "F5", path=where)
    if not is_signed(head.public_key, origin, signed, signature):
        return Refusal(Result.REFUSED, "bad signature", "F5", path=where)
    wrong = _wrong_start(head, start_known)
    return Refusal(Result.REFUSED, wrong, "F5", path=where) if wrong else head


def _wrong_start(head: Head, start_known: Callable[[str, int], str | None]) -> str | None:
    origins = [str(entry.get("origin")) for entry in head.previous]
    if head.start_seq == 0:
        first = origins[0] if origins else head.origin
        c_0 = chain_start(first).hex() if first.isascii() else ""
        return None if head.start_c == c_0 else "start.c is not c_0 of the first origin"
    if not origins:
        return "starts above seq 0 and names no previous origin"
    left = {str(entry.get("origin")) for entry in head.previous if entry.get("last_seq") == head.start_seq}
    wrong = [
        origin
        for origin in sorted(left | {origins[-1]})
        if start_known(origin, head.start_seq) not in (None, head.start_c)
    ]
    return f"start.c is not what the previous origin {wrong[0][:80]} has there" if wrong else None


def compare(head: Head, pin: Pin | None, held: Held | None) -> Refusal | Result:
    """The rows of [F5] that a head and our mirror decide: FORK and STALE as refusals, UP_TO_DATE, or NEW / UPDATED."""
    if pin is None or held is None:
        return Result.NEW
    where = f"{head.origin}/head.json"
    if head.last_seq <= pin.seq:
        at = held.at(head.last_seq)
        if at is None:
            return Refusal(Result.FORK, "ends inside a line we hold", "F5", path=where, seq=head.last_seq)
        if at != (head.c, head.t):
            return Refusal(Result.FORK, "signed other content than we hold", "F5", path=where, seq=head.last_seq)
    start = held.at(head.start_seq) if head.start_seq == held.start_seq else None  # our mirror has all from there on
    if start is None or start[0] != head.start_c:
        return Refusal(Result.FORK, "starts elsewhere than the feed we hold", "F5", path=where, seq=head.start_seq)
    if head.last_seq < pin.seq or head.gen < pin.gen:
        text = f"published {head.published_at}, older than what we hold (gen {head.gen}, we hold {pin.gen})"
        return Refusal(Result.STALE, text, "F5", path=where, seq=head.last_seq)
    return Result.UP_TO_DATE if head.last_seq == pin.seq else Result.UPDATED


def unpack_slice(packed: bytes, entry: Slice) -> bytes | None:
    """The raw bytes of a slice, when they are what the head signed; None when they are not [F3]. Memory is capped."""
    raw = unpack(packed, entry.raw_bytes)
    if raw is None or len(raw) != entry.raw_bytes or blake3(raw).hexdigest() != entry.blake3:
        return None
    return raw


class State(NamedTuple):
    """How far a walk over feed lines has come."""

    seq: int
    c: bytes
    t: bytes


def start_state(head: Head) -> State:
    """The state before the first line of a feed [F2]."""
    c = bytes.fromhex(head.start_c)
    return State(head.start_seq, c, feed.transcript_start(head.origin, head.start_seq, c))


class Broken(NamedTuple):
    """Where and why lines do not follow; the caller decides between refusal and fork [F5]."""

    message: str
    line: int | None
    seq: int | None


def split_slice(raw: bytes, entry: Slice, origin: str, prev_c: bytes, previous: Sequence[Any]) -> list[bytes] | Broken:
    """The lines of a slice, when header and framing are exactly what they must be [F3]."""
    header = encode_header(origin, entry.first_seq, prev_c, previous) + b"\n"
    if not raw.startswith(header):
        return Broken("slice header is not what its place in the feed asks for", 1, entry.first_seq)
    if not raw.endswith(b"\n") or len(raw) == len(header):
        return Broken("slice does not end with a whole line", None, entry.last_seq)
    _, *lines, _ = raw.split(b"\n")
    if b"" in lines:
        return Broken("blank line", lines.index(b"") + 2, None)
    return lines


def walk(lines: Sequence[bytes], state: State, redacted: Collection[int], first_line: int = 2) -> State | Broken:
    """Recompute c and t over feed lines, from a state; Broken at the first line that does not follow [J4] [F2]."""
    seq, c, t = state
    starts, hashed = _LINE_START.match, blake3  # the loop runs for every line ever pulled
    for number, line in enumerate(lines, first_line):
        found = starts(line)
        if found is None:
            skip = feed.parse_skip(line)
            if skip is None or skip[0] != seq + 1 or skip[1] < skip[0]:
                return Broken("malformed line, or a skip that does not follow", number, seq + 1)
            first, seq, c = skip
            t = feed.transcript_step(t, feed.SKIP_KIND, first, seq, c)
            continue
        seq += 1
        if int(found[1]) != seq or len(line) > _MAX_FOREIGN_LINE:
            return Broken(f"malformed line or seq {int(found[1])}, expected {seq}", number, seq)
        if found[2] is None:
            c = hashed(c + line[:-C_SUFFIX_BYTES]).digest()
            if line[-C_SUFFIX_BYTES:] != b',"c":"%b"}' % c.hex().encode("ascii"):
                return Broken("c does not follow from the line before", number, seq)
        else:
            parts = split_c(line)
            if parts is None or seq not in redacted:
                return Broken("redaction stub that the head does not list", number, seq)
            c = parts[1]
        place = seq.to_bytes(8, "big")
        t = hashed(t + b"L" + place + place + c).digest()
    return State(seq, c, t)


def line_end(line: bytes) -> int:
    """The last seq a verified feed line stands for."""
    found = _LINE_START.match(line)
    if found is not None:
        return int(found[1])
    skip = feed.parse_skip(line)
    return skip[1] if skip else 0


def same_lines(ours: Sequence[bytes], theirs: Sequence[bytes], redacted: Collection[int]) -> Broken | None:
    """Whether lines up to our pin are those we hold, but for redactions the head lists [F5]."""
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=False), 2):
        if mine == other:
            continue
        seq = line_end(other)
        if seq not in redacted or not _is_stub_of(other, mine):
            return Broken("differs from the line we hold", number, seq)
    return Broken("has other lines than we hold", None, None) if len(ours) != len(theirs) else None


def _is_stub_of(line: bytes, held: bytes) -> bool:
    """Whether a line is the stub that we would build of the one we hold [F9]."""
    try:
        return line == stub(held)
    except (DamagedStore, FormatTooNew):  # not for us to read: its c must be enough
        start, parts, own = _LINE_START.match(line), split_c(line), split_c(held)
        return bool(start and start[2] and parts and own and parts[1] == own[1])
