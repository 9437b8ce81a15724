"""Fetching: one feed, from a place into staging, verified from our pin.

    fetch head → verify → fetch missing slices → hash against the signed list → recompute c and t

What comes out is either a feed that may enter the mirror, or a Refusal. Nothing leaves staging here [F5].
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Final, NamedTuple

from federation.abreast import away
from federation.blobs import is_payload, refs_in, unpacked, wanted
from federation.divergence import agreed
from federation.errors import SourceUnavailable
from federation.feed import build_slice
from federation.holdings import Holdings
from federation.model import (
    HEAD_FILE,
    MAX_HEAD_BYTES,
    MAX_SLICE_FILE_BYTES,
    Head,
    Pin,
    Refusal,
    Result,
    Slice,
)
from federation.packing import pack
from federation.taking_back import Told, check_redactions
from federation.transports import Transport, Wanted
from federation.verification import (
    Broken,
    State,
    compare,
    line_end,
    read_head,
    same_lines,
    split_slice,
    start_state,
    unpack_slice,
    walk,
)
from journal import BlobRef

_BLOBS_TOGETHER: Final = 64  # asked for at once
SKIP_START: Final = b'{"v":2,"skip":'


class Checked(NamedTuple):
    """A feed that may enter the mirror: its head, and slice files in staging in the order they continue ours."""

    head: Head
    pin: Pin | None
    slices: tuple[Path, ...]
    marks: tuple[State, ...]
    records: int
    blobs: frozenset[BlobRef] = frozenset()  # that the new lines refer to; of very many only some


async def fetch_feed(holdings: Holdings, place: Transport, origin: str, staging: Path) -> Checked | Refusal:
    """Fetch an origin's feed into staging and verify it from our pin; nothing leaves staging [F5].

    Raises SourceUnavailable when the place fails, DamagedFeed when our mirror cannot be read.
    """
    feed = holdings.mirror.feed(origin)
    if holdings.trust.is_frozen(origin):
        return Refusal(Result.FORK, "frozen since its feed contradicted itself", "F5", path=f"{origin}/fork")
    wanted = [Wanted(HEAD_FILE, MAX_HEAD_BYTES)]
    if HEAD_FILE not in await away(lambda: place.fetch(origin, wanted, staging)):
        return Refusal(Result.INCOMPLETE, "no head.json, or not a regular file of a size we take", "F5", path=origin)
    raw = holdings.store.disk.read(staging / HEAD_FILE)
    pin = feed.pin()
    held = feed.head()
    if held is not None and raw == held.raw:
        return Checked(held, pin, (), (), 0)
    head = read_head(raw, origin, lambda other, seq: start_known(holdings, other, seq))
    if isinstance(head, Refusal):
        return head
    choice = holdings.trust.choice(origin) if pin is None else None
    if choice is not None and (older := _older_than_chosen(head, choice.pin)) is not None:
        return older
    row = compare(head, pin, MarkedFeed(holdings, origin) if pin is not None else None)
    if isinstance(row, Refusal):
        return row
    if row is Result.UP_TO_DATE:
        newest = head if held is None or head.gen > held.gen else held
        return check_redactions(feed, newest, Told()) or Checked(newest, pin, (), (), 0)
    return await _check_slices(holdings, place, head, pin, staging, None if choice is None else choice.pin)


def _older_than_chosen(head: Head, chosen: Pin) -> Refusal | None:
    """Whether a feed does not yet reach the history that a person chose instead of the one we held."""
    if head.last_seq >= chosen.seq and head.gen >= chosen.gen:
        return None
    text = f"published {head.published_at}, older than the history you chose (gen {chosen.gen})"
    return Refusal(Result.STALE, text, "F5", path=f"{head.origin}/{HEAD_FILE}", seq=head.last_seq)


class MarkedFeed:
    """Our mirror of an origin, with remembered places for comparing older heads."""

    def __init__(self, holdings: Holdings, origin: str) -> None:
        self._holdings, self._origin = holdings, origin

    @property
    def start_seq(self) -> int:
        """The seq before the first line of the mirror."""
        head = self._holdings.mirror.feed(self._origin).head()
        return 0 if head is None else head.start_seq

    def at(self, seq: int) -> tuple[str, str] | None:
        """(c, t) after the line that ends at a seq."""
        mark = self._holdings.index.mark_before(self._origin, seq)
        return self._holdings.mirror.feed(self._origin).at(seq, mark)


def start_known(holdings: Holdings, origin: str, seq: int) -> str | None:
    """The c that an origin has at a seq, as far as we know: by our mirror of it, or because it is ours."""
    if holdings.is_self(origin, seq):
        c = holdings.store.segments.c_at(seq)
        return None if c is None else c.hex()
    return holdings.mirror.feed(origin).c_at(seq) if origin in holdings.mirror.origins() else None


def wanted_slice(entry: Slice) -> Wanted:
    """How the file of a slice is asked for."""
    return Wanted(entry.file_name, min(MAX_SLICE_FILE_BYTES, entry.raw_bytes + 64 * 1024))


async def _check_slices(
    holdings: Holdings, place: Transport, head: Head, pin: Pin | None, staging: Path, chosen: Pin | None
) -> Checked | Refusal:
    """Fetch and verify the slices behind a pin; without one, `chosen` is what the feed must show at its seq."""
    state = start_state(head) if pin is None else State(pin.seq, bytes.fromhex(pin.c), bytes.fromhex(pin.t))
    if chosen is not None and chosen.seq <= state.seq and (state.seq, state.c.hex(), state.t.hex()) != chosen[1:]:
        return _not_chosen(head, chosen)
    wanted = [entry for entry in head.slices if entry.last_seq > state.seq]
    asked = [wanted_slice(entry) for entry in wanted]
    had = await away(lambda: frozenset(place.fetch(head.origin, asked, staging)))
    files: list[Path] = []
    marks: list[State] = []
    blobs: set[BlobRef] = set()
    told = Told(head.redacted)
    records = 0
    for entry in wanted:
        if entry.file_name not in had:
            return _incomplete(head, entry)
        found = _check_slice(holdings, head, entry, state, staging, told, chosen)
        if isinstance(found, Refusal):
            ours = pin is None or found.result is Result.INCOMPLETE or found.rule == "I2"
            return found if ours else found._replace(result=Result.FORK)
        state = found.state
        files.append(found.file)
        marks.append(state)
        records += found.records
        blobs.update(islice(found.blobs, max(holdings.blobs_at_once - len(blobs), 0)))
    if (state.c.hex(), state.t.hex()) != (head.c, head.t):
        bad = Result.REFUSED if pin is None else Result.FORK
        return Refusal(bad, "lines do not recompute to the head's c and t", "F5", path=f"{head.origin}/{HEAD_FILE}")
    wrong = check_redactions(holdings.mirror.feed(head.origin), head, told)
    return wrong or Checked(head, pin, tuple(files), tuple(marks), records, frozenset(blobs))


class _Good(NamedTuple):
    """A slice that continues what is held: the file to keep, the state after it, its record lines and their blobs."""

    file: Path
    state: State
    records: int
    blobs: frozenset[BlobRef]


def _check_slice(
    holdings: Holdings, head: Head, entry: Slice, state: State, staging: Path, told: Told, chosen: Pin | None
) -> _Good | Refusal:
    """Verify one fetched slice. Its bytes are let go of before the next one is looked at: memory stays bounded."""
    raw = unpack_slice(holdings.store.disk.read(staging / entry.file_name), entry)
    if raw is None:
        return _incomplete(head, entry)
    new = _new_lines(holdings, head, entry, raw, state)
    after = new if isinstance(new, Broken) else walk(new.lines, state, frozenset(head.redacted), new.first_line)
    if not isinstance(after, Broken) and after.seq != entry.last_seq:
        after = Broken(f"slice ends at seq {after.seq}, its name says {entry.last_seq}", None, entry.last_seq)
    if isinstance(new, Broken) or isinstance(after, Broken):
        broken = new if isinstance(new, Broken) else after
        assert isinstance(broken, Broken)
        where = f"{head.origin}/{entry.file_name}"
        return Refusal(Result.REFUSED, broken.message, "F5", path=where, line=broken.line, seq=broken.seq)
    if chosen is not None and entry.first_seq <= chosen.seq <= entry.last_seq and not _shows(head, new, state, chosen):
        return _not_chosen(head, chosen)
    left = holdings.own_feeds.left_at(head.origin)
    same, whole = agreed(holdings.store, new.lines, state.seq, left) if state.seq < left else (0, True)
    if not whole:
        text = f"is not what our own journal says behind seq {same}, and was left at seq {left}"
        return Refusal(Result.REFUSED, text, "I2", path=f"{head.origin}/{entry.file_name}", seq=same)
    told.add(new.lines)
    records = sum(not line.startswith(SKIP_START) for line in new.lines)
    blobs = refs_in(raw, new.lines)
    return _Good(_file_to_keep(holdings, head, entry, new, state, staging), after, records, blobs)


def _shows(head: Head, new: _New, state: State, chosen: Pin) -> bool:
    """Whether verified lines behind a state come by what a person chose."""
    upto = walk([line for line in new.lines if line_end(line) <= chosen.seq], state, frozenset(head.redacted))
    return not isinstance(upto, Broken) and (upto.seq, upto.c.hex(), upto.t.hex()) == chosen[1:]


def _not_chosen(head: Head, chosen: Pin) -> Refusal:
    text = "is not the history that you chose"
    return Refusal(Result.REFUSED, text, "F5", path=f"{head.origin}/{HEAD_FILE}", seq=chosen.seq)


def _incomplete(head: Head, entry: Slice) -> Refusal:
    where = f"{head.origin}/{entry.file_name}"
    return Refusal(Result.INCOMPLETE, "slice is missing or does not match the head", "F5", path=where)


class _New(NamedTuple):
    """The lines of a slice behind our pin, and the number of the first of them in its file."""

    lines: list[bytes]
    first_line: int


def _new_lines(holdings: Holdings, head: Head, entry: Slice, raw: bytes, state: State) -> _New | Broken:
    """What a slice holds behind our pin; of one that reaches below it (merged since) the rest must be what we hold."""
    straddles = entry.first_seq <= state.seq
    prev_c = _c_before(holdings, head, entry.first_seq) if straddles else state.c
    lines = split_slice(raw, entry, head.origin, prev_c, head.previous)
    if isinstance(lines, Broken) or not straddles:
        return lines if isinstance(lines, Broken) else _New(lines, 2)
    held = [line.data for line in holdings.mirror.feed(head.origin).lines(entry.first_seq - 1)]
    wrong = same_lines(held, lines[: len(held)], frozenset(head.redacted))
    return _New(lines[len(held) :], 2 + len(held)) if wrong is None else wrong


def _c_before(holdings: Holdings, head: Head, first_seq: int) -> bytes:
    at = MarkedFeed(holdings, head.origin).at(first_seq - 1)
    return b"" if at is None else bytes.fromhex(at[0])


def _file_to_keep(holdings: Holdings, head: Head, entry: Slice, new: _New, state: State, staging: Path) -> Path:
    """The slice as fetched; of one that reaches below our pin only what is new, cut as a slice of its own [F3]."""
    if entry.first_seq == state.seq + 1:
        return staging / entry.file_name
    lines = b"".join(line + b"\n" for line in new.lines)
    built = build_slice(head.origin, state.seq + 1, entry.last_seq, state.c, head.previous, lines)
    path = staging / built.slice.file_name
    holdings.store.disk.replace(path, pack(built.raw))
    return path


# --- blobs -----------------------------------------------------------------------------------------------------------


async def fetch_blobs(
    holdings: Holdings, place: Transport, origin: str, refs: Collection[BlobRef], staging: Path
) -> dict[BlobRef, Path]:
    """Fetch the payloads that new lines refer to, and those that are still missing; what is good, in staging [J13].

    What is missing there, or wrong, is left out, and so is the rest where the place breaks down or there is very much:
    each is asked for again at the next pull. Raises DiskFailed only.
    """
    blobs = holdings.mirror.feed(origin).blobs
    asked = {*refs, *holdings.index.missing_blobs(origin, holdings.blobs_at_once)}
    good: dict[BlobRef, Path] = {}
    left, room = sorted(ref for ref in asked if not blobs.is_good(ref)), holdings.blob_bytes_at_once
    while left and room > 0:
        some = _that_fit(left[:_BLOBS_TOGETHER], room)
        files = {wanted(ref): ref for ref in some}
        try:
            had = await away(partial(place.fetch, origin, list(files), staging))
        except SourceUnavailable:
            break
        for item, ref in files.items():
            if item.name in had and _is_good(holdings, staging / item.name, ref):
                good[ref] = staging / item.name
        left, room = left[len(some) :], room - sum(ref.size_bytes for ref in some if ref in good)
    return good


def _that_fit(refs: Sequence[BlobRef], room: int) -> Sequence[BlobRef]:
    """The first of these that have no more bytes together than that, but at least one."""
    sizes = accumulate(ref.size_bytes for ref in refs)
    return refs[: max(sum(size <= room for size in sizes), 1)]


def _is_good(holdings: Holdings, path: Path, ref: BlobRef) -> bool:
    """Whether a fetched file is what a line refers to, and a payload."""
    data = unpacked(holdings.store.disk.read(path), ref)
    return data is not None and is_payload(data)
