"""Donors: whoever may still have lines and payloads of ours: our own feed, mirrors of us, backups of this store.

Nothing here is believed: a line is `vouched` for only when it stands in a slice that a head signed by us lists with its
hash [F2]; of all others the chain decides. What a signed head calls redacted is offered as a stub or not at all [F9].
Reads only, and passes over what cannot be read: another donor may have it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from blake3 import blake3

from federation.blobs import FeedBlobs
from federation.errors import BlobUnreadable
from federation.feed import body_of
from federation.model import (
    HEAD_FILE,
    MAX_HEAD_BYTES,
    MAX_SLICE_BYTES,
    MAX_SLICE_FILE_BYTES,
    SLICE_NAME,
    SLICE_SUFFIX,
    Head,
)
from federation.packing import unpack
from federation.verification import line_end, read_head
from journal import BlobRef, DamagedStore, Disk, FormatTooNew, JournalError, NotAStore, Offered, Store, is_temporary

_STORE: Final = ".eventsync"
# Where in a place the feed of an origin may stand: on a bus, in another store that pulls us, in a copy of this one.
_ROOMS: Final = ("", "feed", "federation/mirror", f"{_STORE}/feed", f"{_STORE}/federation/mirror")


class FeedDonor:
    """A feed of ours, wherever it stands and whatever became of it."""

    def __init__(self, disk: Disk, folder: Path, origin: str) -> None:
        self.folder, self.origin = folder, origin
        self._disk = disk

    @cached_property
    def head(self) -> Head | None:
        """Its head, if we signed it."""
        raw = self._read(HEAD_FILE, MAX_HEAD_BYTES)
        found = None if raw is None else read_head(raw, self.origin, lambda *_: None)
        return found if isinstance(found, Head) else None

    @property
    def redacted(self) -> Sequence[int]:
        """What it says was taken back [F9]."""
        return () if self.head is None else self.head.redacted

    def lines(self, first_seq: int, last_seq: int) -> Iterator[Offered]:
        """The lines of some seqs, as far as their slices are whole."""
        for name, raw in self.slices(first_seq, last_seq):
            is_vouched = self._lists(name, raw)
            for line in body_of(raw).split(b"\n"):
                if line and first_seq <= line_end(line) <= last_seq:
                    yield Offered(line, is_vouched)

    def slices(self, first_seq: int, last_seq: int) -> Iterator[tuple[str, bytes]]:
        """Name and raw bytes of the slices that hold some of these seqs, and match their names."""
        for name in sorted(self.names()):
            found = SLICE_NAME.fullmatch(name)
            if found is None or int(found[1]) > last_seq or int(found[2]) < first_seq:
                continue
            packed = self._read(name + SLICE_SUFFIX, MAX_SLICE_FILE_BYTES)
            raw = None if packed is None else unpack(packed, MAX_SLICE_BYTES)
            if raw is not None and b"\n" in raw and blake3(raw).hexdigest()[:12] == found[3]:
                yield name, raw

    def names(self) -> list[str]:
        """The names of the files here, without what says that they are packed."""
        with contextlib.suppress(DamagedStore, NotAStore):
            return [name.removesuffix(SLICE_SUFFIX) for name in self._disk.names(self.folder) if not is_temporary(name)]
        return []

    def blob(self, ref: BlobRef) -> bytes | None:
        """A payload, if it is here and whole."""
        with contextlib.suppress(BlobUnreadable, JournalError):
            return FeedBlobs(self._disk, self.folder).read(ref)
        return None

    def _lists(self, name: str, raw: bytes) -> bool:
        entries = () if self.head is None else self.head.slices
        return any(entry.name == name and entry.blake3 == blake3(raw).hexdigest() for entry in entries)

    def _read(self, name: str, most_bytes: int) -> bytes | None:
        with contextlib.suppress(DamagedStore):
            data = self._disk.read_if_there(self.folder / name, 0, most_bytes + 1)
            return None if data is None or len(data) > most_bytes else data
        return None


class BackupDonor:
    """A copy of this store: its journal has what no feed ever showed."""

    def __init__(self, store: Store) -> None:
        self._log = store.segments

    def lines(self, origin: str, first_seq: int, last_seq: int) -> Iterator[Offered]:
        """The lines of some seqs, as far as that journal is whole."""
        with contextlib.suppress(DamagedStore, FormatTooNew):
            for gap in self._log.gaps(self._log.position_at(first_seq - 1)):
                if gap.segment.first_seq > last_seq:
                    return
                if gap.origin == origin:
                    seqs = range(first_seq, last_seq + 1)
                    yield from (Offered(entry.line.data) for entry in gap.entries if entry.record.seq in seqs)

    def blob(self, ref: BlobRef) -> bytes | None:
        """A payload, if it is here and whole."""
        with contextlib.suppress(DamagedStore):
            return self._log.blobs.read(ref)
        return None


class Donors:
    """All that may have something of ours, the nearest first."""

    def __init__(self, store: Store, places: Iterable[Path] = ()) -> None:
        origins = (store.origin, *(entry.origin for entry in store.previous))
        self._disk, self._places = store.disk, (store.folder, *places)
        self.feeds = [found for origin in origins for found in self.feeds_of(origin)]
        self.backups = [found for place in places for found in _backups(store, place)]

    def feeds_of(self, origin: str) -> list[FeedDonor]:
        """The feeds of an origin, ours or foreign, wherever one stands."""
        return [found for place in self._places for found in _feeds(self._disk, place, origin)]

    def lines(self, origin: str, first_seq: int, last_seq: int) -> Iterator[Offered]:
        """Lines of one of our origins; those that a signed head of ours calls redacted only as stubs."""
        redacted = {seq for feed in self.feeds for seq in feed.redacted}
        feeds = (feed.lines(first_seq, last_seq) for feed in self.feeds if feed.origin == origin)
        backups = (backup.lines(origin, first_seq, last_seq) for backup in self.backups)
        for found in (*feeds, *backups):
            for offered in found:
                if line_end(offered.line) not in redacted or b'"redacted":true' in offered.line[:80]:
                    yield offered

    def blob(self, ref: BlobRef) -> bytes | None:
        """A payload of ours, if anybody has it whole."""
        donors: list[FeedDonor | BackupDonor] = [*self.feeds, *self.backups]
        found = (donor.blob(ref) for donor in donors)
        return next((data for data in found if data is not None), None)


def _feeds(disk: Disk, place: Path, origin: str) -> Iterator[FeedDonor]:
    """The feeds of an origin in a place; one feed may be the place itself."""
    for folder in (place, *(place / room / origin for room in _ROOMS)):
        found = FeedDonor(disk, folder, origin)
        if disk.size(folder / HEAD_FILE) is not None and (folder != place or found.head is not None):
            yield found


def _backups(store: Store, place: Path) -> Iterator[BackupDonor]:
    """The store in a place, if it is one, and another than ours."""
    with contextlib.suppress(JournalError):
        found = Store.open(place, disk=store.disk, machine=store.machine, data_folder=store.data_folder)
        if found.folder.resolve() != store.folder.resolve():
            yield BackupDonor(found)
