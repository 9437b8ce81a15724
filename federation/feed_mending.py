"""Feed mending: put back what is damaged of a feed that stands here, our own or a mirror, from where it stands too.

    slices and blobs, each durable ─► the head, if that was damaged [F4]

A slice is a pure function of its lines [F3]: it comes back under the name it had, or it does not come back. A head
comes back only if it is signed, and goes on exactly from what is held here. Under the lock of sharing; whoever calls
audits the feed afterwards, which walks it anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from federation.blobs import ref_in
from federation.donors import FeedDonor
from federation.errors import BlobUnreadable, DamagedFeed
from federation.feed import body_of, build_slice, parse_skip, prev_c_of
from federation.folder import FeedFolder, SliceFile
from federation.model import HEAD_FILE, SLICE_NAME, SLICE_SUFFIX, Head
from federation.packing import pack
from federation.verification import line_end
from journal import BlobRef, Disk, JournalError, split_c

Keep = Callable[[Path], None]  # puts a durable copy of a file aside
Fits = Callable[[Head], bool]


class Heads(NamedTuple):
    """Whether the head that is here may stay, and which one may come where it may not."""

    stays: Fits
    comes: Fits


def mend_feed(disk: Disk, feed: FeedFolder, donors: Sequence[FeedDonor], heads: Heads, keep: Keep) -> Iterator[Path]:
    """Restore slices and head of a feed; the files that came back."""
    others = [donor for donor in donors if donor.folder.resolve() != feed.folder.resolve()]
    if not others:
        return
    own = FeedDonor(disk, feed.folder, others[0].origin)
    head = own.head if own.head is not None and heads.stays(own.head) else None
    wanted = head or next((donor.head for donor in others if donor.head is not None and heads.comes(donor.head)), None)
    if wanted is None:
        return
    for entry in _lacking(own, wanted):
        raw = _slice(entry, wanted, others)
        if raw is not None:
            path = feed.folder / (entry.name + SLICE_SUFFIX)
            keep(path)
            disk.make_folder_durably(feed.folder)
            disk.replace_durably(path, pack(raw))
            yield path
    if head is None:
        keep(feed.folder / HEAD_FILE)
        disk.make_folder_durably(feed.folder)
        disk.replace_durably(feed.folder / HEAD_FILE, wanted.raw)
        yield feed.folder / HEAD_FILE
    feed.forget_cached()


def _lacking(own: FeedDonor, head: Head) -> list[SliceFile]:
    """The slices that do not stand here whole: damaged ones, and those of the head whose seqs no file holds."""
    files = [file for file in _files(own) if file.last_seq <= head.last_seq]
    good = {name for name, _ in own.slices(1, head.last_seq)}
    listed = [_file(entry.name) for entry in head.slices]
    return [file for file in files if file.name not in good] + [
        file for file in listed if file not in files and not _is_covered(file, files)
    ]


def _files(feed: FeedDonor) -> list[SliceFile]:
    return [_file(name) for name in feed.names() if SLICE_NAME.fullmatch(name)]


def _is_covered(file: SliceFile, others: Iterable[SliceFile]) -> bool:
    """Whether other slices hold all of its seqs."""
    at = file.first_seq
    for other in sorted(others):
        if other.first_seq <= at <= other.last_seq:
            at = other.last_seq + 1
    return at > file.last_seq


def _file(name: str) -> SliceFile:
    found = SLICE_NAME.fullmatch(name)
    assert found is not None
    return SliceFile(int(found[1]), int(found[2]), found[3], name)


def _slice(file: SliceFile, head: Head, donors: Sequence[FeedDonor]) -> bytes | None:
    """The raw bytes of a slice, as somebody has it or as its lines make it."""
    digests = {entry.name: entry.blake3 for entry in head.slices}
    for donor in donors:
        for name, raw in donor.slices(file.first_seq, file.last_seq):
            if name == file.name and digests.get(name) in (None, blake3(raw).hexdigest()):
                return raw
    made = (_made(file, head, donor) for donor in donors)
    return next((raw for raw in made if raw is not None), None)


def _made(file: SliceFile, head: Head, donor: FeedDonor) -> bytes | None:
    """A slice out of the lines that a donor has in others."""
    prev_c, lines, at = b"", list[bytes](), file.first_seq
    for _, raw in donor.slices(file.first_seq, file.last_seq):
        c = prev_c_of(raw)
        for line in body_of(raw).split(b"\n")[:-1]:
            skip, parts = parse_skip(line), split_c(line)
            first = skip[0] if skip is not None else line_end(line)
            if first == at and at <= file.last_seq:
                prev_c = prev_c or c
                lines.append(line)
                at = line_end(line) + 1
            c = skip[2] if skip is not None else parts[1] if parts is not None else c
    if not lines:
        return None
    body = b"".join(line + b"\n" for line in lines)
    built = build_slice(head.origin, file.first_seq, file.last_seq, prev_c, head.previous, body)
    return built.raw if built.slice.name == file.name else None


def heads_of_mirror(disk: Disk, feed: FeedFolder, origin: str, donors: Sequence[FeedDonor]) -> Heads:
    """Which head a mirror may get that has none any more: one over a feed that shows the very lines held here."""
    own = FeedDonor(disk, feed.folder, origin)
    last = max((file.last_seq for file in _files(own)), default=0)

    def fits(head: Head) -> bool:
        if head.last_seq < last:
            return False
        there = {line.line for donor in donors if donor.head == head for line in donor.lines(1, last)}
        here = [line.line for line in own.lines(1, last)]
        return bool(here) and all(line in there for line in here)

    return Heads(lambda _: True, fits)


def mend_feed_blobs(
    feed: FeedFolder, offer: Callable[[BlobRef], bytes | None], keep: Keep, remove: Callable[[str], None] | None
) -> Iterator[tuple[Path, bool]]:
    """Restore the payloads beside a feed, and tell of each whether it is here now [J13].

    `remove`, if given, takes away a damaged one that nobody has: the next pull asks for it again.
    """
    for ref in _refs(feed):
        try:
            feed.blobs.read(ref)
        except BlobUnreadable:
            data, path = offer(ref), feed.blobs.path(ref.blake3)
            if data is not None:
                keep(path)
                feed.blobs.write(data)
                yield path, True
            elif remove is not None and feed.blobs.is_there(ref.blake3):
                keep(path)
                remove(ref.blake3)
                yield path, False


def _refs(feed: FeedFolder) -> Iterator[BlobRef]:
    seen = set[BlobRef]()
    with contextlib.suppress(DamagedFeed, JournalError):  # up to there each was looked at
        for line in feed.lines(0):
            ref = ref_in(line.data)
            if ref is not None and ref not in seen:
                seen.add(ref)
                yield ref
