"""Feed folder: a feed as it stands on this disk, our own under feed/ or a verified foreign one under mirror/.

Reads slices by name and seq, never by trust: the raw bytes must hash to the name they carry. Knows no network and no
verdicts; what may enter a mirror is decided in `verification`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from blake3 import blake3

from federation import feed
from federation.blobs import FeedBlobs
from federation.errors import DamagedFeed
from federation.model import HEAD_FILE, MAX_SLICE_BYTES, SLICE_NAME, SLICE_SUFFIX, Head, Pin
from federation.packing import unpack
from federation.verification import State, line_end, start_state
from journal import Disk, JournalError, split_c

_KEPT_SLICES: Final = 2  # raw slices kept in memory for look-ups, at most 16 MiB each
_RECORD_START: Final = re.compile(rb'\n\{"v":[0-9]{1,6},"seq":([1-9][0-9]{0,15}),')


class SliceFile(NamedTuple):
    """A slice on disk."""

    first_seq: int
    last_seq: int
    digest: str  # first 12 hex of the BLAKE3 of its raw bytes
    name: str  # as in heads, without .zst


class MissingSlice(NamedTuple):
    """Seqs of a feed that no slice here holds, and the file that the head lists for them, "" when it lists none."""

    first_seq: int
    last_seq: int
    name: str


class PlacedLine(NamedTuple):
    """A feed line and where it stands: the first seq of its slice, byte offset in the raw slice."""

    data: bytes
    slice_first: int
    offset: int


class FeedFolder:
    """One feed in one folder."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self.folder = folder
        self.blobs = FeedBlobs(disk, folder)
        self._disk = disk
        self._raw: dict[str, bytes] = {}
        self._places: tuple[str, dict[int, int]] = ("", {})  # where the records of the slice last searched begin
        self._slices: list[SliceFile] | None = None
        self._tiled_to: Head | None = None  # the head that the slices were looked for
        self._head: Head | None = None

    def head_bytes(self) -> bytes | None:
        """head.json as it stands, None where there is no feed; DamagedFeed when it cannot be read."""
        try:
            return self._disk.read_if_there(self.folder / HEAD_FILE)
        except JournalError as error:
            raise DamagedFeed(str(error), path=self.folder / HEAD_FILE) from error

    def head(self) -> Head | None:
        """The head, None where there is no feed; DamagedFeed when it is not one: unreadable is never empty."""
        raw = self.head_bytes()
        if raw is None:
            return None
        if self._head is None or self._head.raw != raw:
            try:
                self._head = feed.parse_head(raw)[0]
            except feed.MalformedHead as error:
                raise DamagedFeed(str(error), path=self.folder / HEAD_FILE, rule="F2") from None
        return self._head

    def pin(self) -> Pin | None:
        """What was last verified here: derived from the head [F5]."""
        head = self.head()
        return None if head is None else Pin(head.gen, head.last_seq, head.c, head.t)

    def forget_cached(self) -> None:
        """Look at the folder anew: something was put into it."""
        self._slices = self._head = None

    def slices(self) -> list[SliceFile]:
        """The slices that cover the feed up to its head, in order; of overlapping ones those it lists, or the longest.

        Looked for anew when the head is another: another process may have put it there.
        """
        head = self.head()
        if self._slices is None or self._tiled_to is not head:
            self._slices, self._tiled_to = self._tiled(head), head
        return self._slices

    def _slice_with(self, seq: int) -> SliceFile | None:
        """The slice that holds a seq; the head is read only when none of those known does."""
        return _holding(self._slices or (), seq) or _holding(self.slices(), seq)

    def pieces(self) -> Iterator[SliceFile | MissingSlice]:
        """The same, and in its place what is missing; DamagedFeed when the head cannot be read."""
        head = self.head()
        return iter(()) if head is None else self._pieces(head)

    def _tiled(self, head: Head | None) -> list[SliceFile]:
        tiled: list[SliceFile] = []
        for piece in () if head is None else self._pieces(head):
            if isinstance(piece, MissingSlice):
                text = f"no slice holds seq {piece.first_seq}"
                raise DamagedFeed(text, path=self.folder, seq=piece.first_seq, rule="F3")
            tiled.append(piece)
        return tiled

    def _pieces(self, head: Head) -> Iterator[SliceFile | MissingSlice]:
        there, at = self._longest(head), head.start_seq
        names = {entry.first_seq: entry.file_name for entry in head.slices}
        while at < head.last_seq:
            if at + 1 in there:
                yield there[at + 1]
                at = there[at + 1].last_seq
            else:
                end = min([first for first in there if first > at + 1], default=head.last_seq + 1)
                yield MissingSlice(at + 1, end - 1, names.get(at + 1, ""))
                at = end - 1

    def _longest(self, head: Head) -> dict[int, SliceFile]:
        """First seq → the slice that counts there."""
        listed = {entry.name for entry in head.slices}

        def rank(file: SliceFile) -> tuple[bool, int]:
            return file.name in listed, file.last_seq  # killed publishes may have left others of the same seqs

        longest: dict[int, SliceFile] = {}
        for name in self._disk.names(self.folder):
            found = SLICE_NAME.fullmatch(name.removesuffix(SLICE_SUFFIX)) if name.endswith(SLICE_SUFFIX) else None
            if found is None:
                continue
            file = SliceFile(int(found[1]), int(found[2]), found[3], name.removesuffix(SLICE_SUFFIX))
            other = longest.get(file.first_seq)
            if file.last_seq <= head.last_seq and (other is None or rank(file) > rank(other)):
                longest[file.first_seq] = file
        return longest

    def raw(self, file: SliceFile) -> bytes:
        """The raw bytes of a slice; DamagedFeed when they do not hash to its name."""
        if file.name in self._raw:
            return self._raw[file.name]
        while len(self._raw) >= _KEPT_SLICES:  # before another one is in memory beside them
            del self._raw[next(iter(self._raw))]
        path = self.folder / (file.name + SLICE_SUFFIX)
        packed = self.packed(file.name)
        raw = None if packed is None else unpack(packed, MAX_SLICE_BYTES)
        if raw is None:
            raise DamagedFeed("cannot be unpacked", path=path, rule="F3")
        if blake3(raw).hexdigest()[:12] != file.digest:
            raise DamagedFeed("content does not match its name", path=path, rule="F3")
        self._raw[file.name] = raw
        return raw

    def packed(self, name: str) -> bytes | None:
        """The file of a slice as it stands, not looked into; None where there is none, DamagedFeed when unreadable."""
        path = self.folder / (name + SLICE_SUFFIX)
        try:
            return self._disk.read_if_there(path)
        except JournalError as error:
            raise DamagedFeed(f"cannot be unpacked: {error}", path=path, rule="F3") from error

    def lines(self, after_seq: int) -> Iterator[PlacedLine]:
        """Lines that end after a seq, in order, one slice in memory at a time."""
        for file in self.slices():
            if file.last_seq <= after_seq:
                continue
            raw = self.raw(file)
            at = raw.index(b"\n") + 1
            for data in raw[at:-1].split(b"\n"):
                if file.first_seq > after_seq or line_end(data) > after_seq:
                    yield PlacedLine(data, file.first_seq, at)
                at += len(data) + 1

    def find(self, seq: int) -> bytes | None:
        """The record line (or redact stub) of a seq; None when it is withheld or not held."""
        file = self._slice_with(seq)
        if file is None:
            return None
        raw = self.raw(file)
        if self._places[0] != file.name:
            self._places = (file.name, {int(found[1]): found.start() + 1 for found in _RECORD_START.finditer(raw)})
        at = self._places[1].get(seq)
        return None if at is None else raw[at : raw.index(b"\n", at)]

    def line_at(self, slice_first: int, offset: int, length: int) -> bytes:
        """A line by its place; DamagedFeed when the place is not in the feed."""
        file = self._slice_with(slice_first)
        if file is None or file.first_seq != slice_first:
            raise DamagedFeed(f"no slice begins at seq {slice_first}", path=self.folder, rule="F3")
        around = self.raw(file)[offset - 1 : offset + length + 1]
        if len(around) != length + 2 or around[:1] != b"\n" or around[-1:] != b"\n":
            raise DamagedFeed(f"no line stands at byte {offset}", path=self.folder / file.name, rule="F3")
        return around[1:-1]

    def c_at(self, seq: int) -> str | None:
        """The c of the line that ends at a seq, or before the first; None when no line ends there. Reads one slice."""
        head = self.head()
        if head is not None and seq == head.last_seq:
            return head.c
        following = next((file for file in self.slices() if file.last_seq > seq), None)
        if following is None:
            return None
        if following.first_seq == seq + 1:
            return feed.prev_c_of(self.raw(following)).hex()
        lines = feed.body_of(self.raw(following)).split(b"\n")
        found = next((split_c(line) for line in lines if line and line_end(line) == seq), None)
        return None if found is None else found[1].hex()

    def at(self, seq: int, mark: State | None = None) -> tuple[str, str] | None:
        """(c, t) after the line that ends at a seq; None when no line ends there. `mark` saves the walk up to it."""
        head = self.head()
        if head is None:
            return None
        if seq == head.last_seq:
            return head.c, head.t
        state = mark if mark is not None and head.start_seq <= mark.seq <= seq else start_state(head)
        if state.seq < seq:  # else no slice is opened
            for line in self.lines(state.seq):
                state = _step(state, line.data)
                if state.seq >= seq:
                    break
        return (state.c.hex(), state.t.hex()) if state.seq == seq else None


def _holding(slices: Sequence[SliceFile], seq: int) -> SliceFile | None:
    return next((file for file in slices if file.first_seq <= seq <= file.last_seq), None)


def _step(state: State, line: bytes) -> State:
    """The state after a verified line; nothing is checked again."""
    skip = feed.parse_skip(line)
    if skip is not None:
        first, last, c = skip
        return State(last, c, feed.transcript_step(state.t, feed.SKIP_KIND, first, last, c))
    parts, seq = split_c(line), line_end(line)
    c = parts[1] if parts else state.c
    return State(seq, c, feed.transcript_step(state.t, feed.RECORD_KIND, seq, seq, c))
