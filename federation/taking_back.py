"""Taking back: what others redacted, in what we hold of them [F9].

A head lists the seqs whose lines are stubs, and a `redact` record of the same feed lists them with the BLAKE3 of each.
Both are asked for. The stub is built here, from the line we hold: nobody can put another line in its place. Done when a
feed is taken, and whenever the index is not as far as the head: what was interrupted is done then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from blake3 import blake3

from federation import feed
from federation.blobs import ref_in
from federation.errors import DamagedFeed
from federation.folder import FeedFolder, SliceFile
from federation.mirror import BRIDGE_PREFIX
from federation.model import HEAD_FILE, SLICE_NAME, SLICE_SUFFIX, Head, Refusal, Result
from federation.packing import pack
from federation.verification import line_end
from journal import (
    ActionClass,
    DamagedStore,
    Disk,
    FormatTooNew,
    Ref,
    Store,
    Version,
    decode_record,
    listed_in,
    stub,
)

if TYPE_CHECKING:
    from federation.holdings import Holdings

_HINT: Final = b'"action":"redact"'
_ENTITY: Final = (ActionClass.STATE, ActionClass.TOMBSTONE)


class Told:
    """What lines of a feed say of redactions: by seq the digests that records list, and those of the stubs."""

    def __init__(self, redacted: Collection[int] = ()) -> None:
        self.listed: dict[int, str] = {}
        self.stubs: dict[int, str] = {}
        self._redacted = frozenset(redacted)

    def add(self, lines: Iterable[bytes]) -> None:
        """Look at more lines; what a record lists must stand before it. Costs nothing where nothing is redacted."""
        for line in lines if self._redacted else ():
            self.listed.update(listed_by(line))
            seq = line_end(line)
            short = _stub_of(line) if seq in self._redacted and feed.parse_skip(line) is None else None
            if short is not None:
                self.stubs[seq] = blake3(short).hexdigest()


def listed_by(line: bytes) -> dict[int, str]:
    """Seq → BLAKE3 of its stub, as a feed line lists what stands before it; {} when it is no `redact` record."""
    if _HINT not in line:
        return {}
    try:
        record = decode_record(line)
    except (DamagedStore, FormatTooNew):
        return {}
    return {seq: digest for seq, digest in listed_in(record).items() if seq < record.seq}


def check_redactions(held: FeedFolder, head: Head, told: Told) -> Refusal | None:
    """Whether the redactions a head lists are told by its own records, and fit the lines we hold.

    `told` is what the lines say that are not held yet. FORK where a listed digest is not that of the stub, INCOMPLETE
    where no record tells of a stub: its owner may not have published it yet.
    """
    before = held.head()
    known: frozenset[int] = frozenset() if before is None else frozenset(before.redacted)
    asked = [seq for seq in head.redacted if seq not in known]
    if not asked:
        return None
    listed = told.listed
    if before is not None:
        held_told = Told(asked)
        held_told.add(line.data for line in held.lines(0))
        listed, stubs = {**held_told.listed, **listed}, {**held_told.stubs, **told.stubs}
    else:
        stubs = told.stubs
    for seq in asked:
        if seq not in listed:
            text = "is redacted, and no record of the feed tells of it yet"
            return Refusal(Result.INCOMPLETE, text, "F9", path=f"{head.origin}/{HEAD_FILE}", seq=seq)
        if stubs.get(seq) not in (None, listed[seq]):
            bad = Result.REFUSED if before is None else Result.FORK
            text = "is redacted to another stub than its record lists"
            return Refusal(bad, text, "F9", path=f"{head.origin}/{HEAD_FILE}", seq=seq)
    return None


def _stub_of(line: bytes) -> bytes | None:
    try:
        return stub(line)
    except (DamagedStore, FormatTooNew):  # not for us to read, and nothing shows it
        return None


# --- doing it --------------------------------------------------------------------------------------------------------


def take_back_everywhere(holdings: Holdings) -> bool:
    """Follow the redactions that the heads of our mirrors list, durably; whether anything changed. Can be done again.

    The caller holds the lock, and makes the index anew when something did. A mirror that cannot be read is left out.
    What was refused of such an origin may hold the same text, and goes too.
    """
    changed = []
    for origin in holdings.mirror.origins():
        if origin.startswith(BRIDGE_PREFIX) or holdings.trust.is_blocked(origin):
            continue  # of a blocked origin no new head comes; what its last one lists was followed before the block
        with contextlib.suppress(DamagedFeed), holdings.noting_damage(origin):
            changed += [origin] if _take_back(holdings, origin) else []
    for origin in changed:
        holdings.quarantine.drop(origin)
    return bool(changed)


def _take_back(holdings: Holdings, origin: str) -> bool:
    held = holdings.mirror.feed(origin)
    head = held.head()
    if head is None or not head.redacted or holdings.index.position(origin) == (head.last_seq, head.place):
        return False
    disk, changed = holdings.store.disk, False
    for name in disk.names(held.folder):
        found = SLICE_NAME.fullmatch(name.removesuffix(SLICE_SUFFIX)) if name.endswith(SLICE_SUFFIX) else None
        if found is not None:
            file = SliceFile(int(found[1]), int(found[2]), found[3], name.removesuffix(SLICE_SUFFIX))
            changed |= _take_back_in(disk, held, head, file)
    held.forget_cached()
    _remove_blobs(disk, held)
    return changed


def _take_back_in(disk: Disk, held: FeedFolder, head: Head, file: SliceFile) -> bool:
    seqs = {seq for seq in head.redacted if file.first_seq <= seq <= file.last_seq}
    if not seqs:
        return False
    raw = held.raw(file)
    lines = feed.body_of(raw)[:-1].split(b"\n")
    short = [
        (_stub_of(line) if line_end(line) in seqs and feed.parse_skip(line) is None else None) or line for line in lines
    ]
    if short == lines:
        return False
    body = b"".join(line + b"\n" for line in short)
    built = feed.build_slice(head.origin, file.first_seq, file.last_seq, feed.prev_c_of(raw), head.previous, body)
    disk.replace_durably(held.folder / built.slice.file_name, pack(built.raw))
    disk.remove(held.folder / (file.name + SLICE_SUFFIX))
    disk.sync_folder(held.folder)
    return True


def _left_of(line: bytes, seqs: Collection[int]) -> bytes:
    redacted = line_end(line) in seqs and feed.parse_skip(line) is None
    return (_stub_of(line) if redacted else None) or line


def _remove_blobs(disk: Disk, held: FeedFolder) -> None:
    """Remove payloads beside a mirror that no line of it refers to any more."""
    files = set(held.blobs.files())
    if files:
        files -= {held.blobs.path(ref.blake3) for line in held.lines(0) if (ref := ref_in(line.data)) is not None}
    for path in sorted(files):
        disk.remove(path)
        disk.sync_folder(path.parent)


# --- what is left of it here -----------------------------------------------------------------------------------------


class Copy(NamedTuple):
    """A local record that took over what its author has redacted since."""

    seq: int
    item_type: str
    item_id: str | None
    of: Ref


def copies_here(holdings: Holdings) -> list[Copy]:
    """Our own records that still say what others redacted: only we can redact those. Reads no log without need."""
    gone = {Ref(origin, seq) for origin in holdings.mirror.origins() for seq in _redacted_by(holdings, origin)}
    if not gone:
        return []
    copies = [
        Copy(record.seq, record.item_type, record.item_id, ref)
        for record in holdings.store.decisions(holdings.store.position().seq)
        if record.action_class in _ENTITY and (ref := _first(_refs(record.cause, record.root), gone)) is not None
    ]
    return [copy for copy in copies if not _is_redacted(holdings.store, copy.seq)]


def _is_redacted(store: Store, seq: int) -> bool:
    record = next(store.log(since=seq - 1), None)
    return record is not None and record.redacted


def _redacted_by(holdings: Holdings, origin: str) -> Iterable[int]:
    head = None if origin.startswith(BRIDGE_PREFIX) else holdings.head(origin)
    return () if head is None else head.redacted


def _refs(*texts: str | None) -> Iterator[Ref]:
    for text in texts:
        with contextlib.suppress(ValueError):
            yield Ref(*Version.parse(text or "")[:2])


def _first(refs: Iterable[Ref], among: set[Ref]) -> Ref | None:
    return next((ref for ref in refs if ref in among), None)
