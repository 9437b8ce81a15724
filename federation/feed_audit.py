"""Feed audit: is one feed as it stands on this disk still what was signed?

Reads all of it, own feed or mirror, and changes nothing: signature, slice hashes, chain, transcript, redactions and
payloads (F2, F3, F5, F9). Behind a slice that is damaged or missing it goes on from what the next one says: each
finding names the file, and line and seq where these can be told.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from federation import feed
from federation.blobs import ref_in
from federation.errors import BlobUnreadable, DamagedFeed
from federation.folder import FeedFolder, MissingSlice, SliceFile
from federation.lone_slice import LoneSlice
from federation.model import HEAD_FILE, MAX_SLICE_BYTES, MAX_SLICE_FILE_BYTES, SLICE_SUFFIX, Head, Refusal, Slice
from federation.packing import unpack
from federation.taking_back import Told
from federation.verification import Broken, State, line_end, read_head, split_slice, start_state, walk
from journal import BlobRef, Disk, Finding, JournalError

OWN: Final = "feed-damaged"
MIRROR: Final = "mirror-damaged"


def audit_feed(disk: Disk, folder: FeedFolder, origin: str, kind: str) -> Iterator[Finding]:
    """What is wrong with a feed; `kind` is the id of such findings, OWN or MIRROR. Nothing where there is no head."""
    try:
        raw = folder.head_bytes()
        if raw is None:
            return
        head = read_head(raw, origin, lambda *_: None)
        if isinstance(head, Refusal):
            yield wrong(kind, f"{head.message} [{head.rule}]", folder.folder / HEAD_FILE, seq=head.seq)
            return
        yield from _Audit(disk, folder, head, kind).findings()
    except (DamagedFeed, JournalError) as error:
        yield wrong(kind, error.message, error.path or folder.folder, seq=error.seq)


def wrong(
    kind: str, message: str, path: Path | str | None, *, line: int | None = None, seq: int | None = None
) -> Finding:
    """A finding that is an error."""
    return Finding(kind, "error", message, None if path is None else str(path), line, seq, False)


class _Place(NamedTuple):
    """The first thing that is wrong in a slice."""

    message: str
    line: int | None
    seq: int | None


class _Audit:
    """One walk through a feed whose head is good."""

    def __init__(self, disk: Disk, folder: FeedFolder, head: Head, kind: str) -> None:
        self._disk = disk
        self._feed = folder
        self._head = head
        self._kind = kind
        self._redacted = frozenset(head.redacted)
        self._told = Told(head.redacted)
        self._seen: set[BlobRef] = set()

    def findings(self) -> Iterator[Finding]:
        """What is wrong, in the order of the feed."""
        state: State | None = start_state(self._head)
        is_whole = True
        for piece in self._feed.pieces():
            if isinstance(piece, MissingSlice):
                message = f"no slice holds {_seqs(piece.first_seq, piece.last_seq)} [F3]"
                yield wrong(self._kind, message, self._feed.folder / piece.name, seq=piece.first_seq)
                state = None
            else:
                state = yield from self._slice(piece, state)
            is_whole = is_whole and state is not None
        if is_whole and state is not None and (state.c.hex(), state.t.hex()) != (self._head.c, self._head.t):
            message = "the lines do not recompute to the head's c and t [F5]"
            yield wrong(self._kind, message, self._feed.folder / HEAD_FILE, seq=self._head.last_seq)
        yield from self._redactions()

    def _slice(self, file: SliceFile, before: State | None) -> Generator[Finding, None, State | None]:
        """One slice, from a state, or where that was lost from what its header says; gives the state behind it."""
        path = self._feed.folder / (file.name + SLICE_SUFFIX)
        try:
            raw = self._feed.raw(file)
        except DamagedFeed as error:
            message, line, seq = self._look_into(path, file, before)
            yield wrong(self._kind, f"{error.message}: {message}", error.path or path, line=line, seq=seq)
            return None
        state = before or State(file.first_seq - 1, feed.prev_c_of(raw), bytes(32))
        entry = Slice(file.name, file.first_seq, file.last_seq, len(raw), file.digest)
        lines = split_slice(raw, entry, self._head.origin, state.c, self._head.previous)
        after = lines if isinstance(lines, Broken) else walk(lines, state, self._redacted)
        if isinstance(after, Broken):
            yield wrong(self._kind, f"{after.message} [F5]", path, line=after.line, seq=after.seq)
            return None
        self._told.add([] if isinstance(lines, Broken) else lines)
        yield from self._blobs([] if isinstance(lines, Broken) else lines)
        return after

    def _look_into(self, path: Path, file: SliceFile, before: State | None) -> _Place:
        """What is wrong first in a slice that is not the one its name says."""
        try:
            raw = unpack(self._disk.read(path, 0, MAX_SLICE_FILE_BYTES), MAX_SLICE_BYTES) or b""
        except JournalError:
            raw = b""
        alone = LoneSlice(raw, before)
        if alone.header is None:
            return _Place(f"{_seqs(file.first_seq, file.last_seq)} cannot be read [F3]", None, file.first_seq)
        for line in alone.lines(self._redacted):
            if line.fault is not None:
                seq = line.first_seq or alone.state.seq
                return _Place(line.fault, line.line_number, seq)
        return _Place(f"of {_seqs(file.first_seq, file.last_seq)} the header is another [F3]", 1, file.first_seq)

    def _redactions(self) -> Iterator[Finding]:
        """A stub is the one that a record of the same feed lists; of our own feed that may be published yet [F9]."""
        told, path = self._told, self._feed.folder / HEAD_FILE
        for seq in self._head.redacted:
            listed = told.listed.get(seq)
            if seq in told.stubs and listed != told.stubs[seq] and (listed is not None or self._kind != OWN):
                yield wrong(self._kind, "is redacted to a stub that no record of its feed lists [F9]", path, seq=seq)

    def _blobs(self, lines: Sequence[bytes]) -> Iterator[Finding]:
        """The payloads that lines refer to, each once [J13]. What a mirror lacks was never had."""
        for line in lines:
            ref = ref_in(line)
            if ref is None or ref in self._seen:
                continue
            self._seen.add(ref)
            try:
                self._feed.blobs.read(ref)
            except BlobUnreadable as error:
                message, seq = f"{error.message} [{error.rule}]", line_end(line)
                if self._kind == OWN:
                    yield wrong("feed-blob-damaged", message, error.path, seq=seq)
                elif self._feed.blobs.is_there(ref.blake3):
                    yield wrong("mirror-blob-damaged", message, error.path, seq=seq)
                else:
                    yield Finding("mirror-blob-missing", "warning", message, error.path, None, seq, False)


def _seqs(first: int, last: int) -> str:
    return f"seq {first}" if first == last else f"seqs {first} to {last}"
