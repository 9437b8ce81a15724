"""Mending: what `doctor --fix` does, step by step, under both locks: the order in which one thing needs another.

    rights → log → blobs → feeds and mirrors → watermark → what was left behind → caches

A copy of whatever changes is kept first. Each step may be the last one, when the process is killed: then another run
goes on. Nothing is done that could lose something: what is not sure is left, and told by the examination that follows.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from eventsync import health
from eventsync.backups import Backup
from eventsync.doctor import Deed
from federation.audit import audit
from federation.donors import Donors, FeedDonor
from federation.feed_mending import Heads, heads_of_mirror, mend_feed, mend_feed_blobs
from federation.holdings import Holdings
from federation.index_audit import audit_index_held
from federation.mirror import BRIDGE_PREFIX
from federation.model import Head
from journal import (
    BlobRef,
    DamagedStore,
    Finding,
    Store,
    drop,
    forget_watermark,
    is_left,
    is_temporary,
    mend_blobs,
    mend_log,
    watermark_is_wrong,
)

# While any of these stays, the caches may know what nobody else does: they are not made anew [J11].
_LOG: Final = frozenset(
    [
        "corruption",
        "segment-unreadable",
        "segment-header",
        "record-unreadable",
        "record-incomplete",
        "seq-not-dense",
        "log-too-short",
        "published-differs",
        "format-too-new",
        "archive-differs",
        "stub-unlisted",
        "blob-damaged",
        "check-failed",
    ]
)
_CACHES: Final = frozenset(
    [
        "index-unreadable",
        "index-differs",
        "index-behind",
        "projections-behind",
        "projection-differs",
        "checkpoint-differs",
    ]
)


def mend(store: Store, places: Sequence[Path]) -> tuple[Sequence[Deed], Path | None]:
    """Put right what can be; what was done, and where copies of what changed stand.

    StoreLocked with nothing done; DiskFailed and DamagedStore with some of it done.
    """
    backup, holdings = Backup(store), Holdings(store)
    with holdings.lock(), store.lock():
        try:
            deeds = [*Mending(store, holdings, backup, places).steps()]
        finally:
            holdings.close()
    return deeds, backup.folder if backup.is_used else None


class Mending:
    """One run over one store; the caller holds both locks."""

    def __init__(self, store: Store, holdings: Holdings, backup: Backup, places: Sequence[Path]) -> None:
        self._store, self._holdings, self._backup = store, holdings, backup
        self._donors = Donors(store, places)
        self._log_changed = False

    def steps(self) -> Iterator[Deed]:
        """All that is to be done, each told when it is."""
        yield from self._rights()
        yield from self._log()
        yield from self._blobs()
        yield from self._own_feed()
        yield from self._mirrors()
        yield from self._watermark()
        yield from self._redaction()
        yield from self._left_behind()
        yield from self._caches()

    def _rights(self) -> Iterator[Deed]:
        for found in [*health.wrong_rights(self._store), *health.key(self._store)]:
            if found.id in ("permissions", "key-permissions") and found.path is not None:
                self._store.disk.make_private(Path(found.path))
                yield Deed(found.id, "now only its owner may read and write it", str(found.path))

    def _log(self) -> Iterator[Deed]:
        for done in mend_log(self._store, self._donors.lines, self._backup.keep):
            self._log_changed = True
            if done.header:
                yield Deed("segment-header", "its first line is what it was", str(done.path))
            if done.seqs:
                text = f"restored, byte for byte as the chain proves: {_ranges(done.seqs)}"
                yield Deed("corruption", text, str(done.path))

    def _blobs(self) -> Iterator[Deed]:
        for path in mend_blobs(self._store, self._donors.blob, self._backup.keep):
            yield Deed("blob-damaged", "the payload is here again", str(path))

    # --- feeds ---

    def _own_feed(self) -> Iterator[Deed]:
        """The feed that we publish, exactly as it was published last [T1]."""
        store, feed = self._store, self._holdings.own
        last = store.published()

        def reaches_last(head: Head) -> bool:
            return last is None or (head.gen, head.last_seq) >= (last["gen"], last["last_seq"])

        def is_last(head: Head) -> bool:
            known = [head.gen, head.last_seq, head.c, head.t]
            return last is not None and known == [last["gen"], last["last_seq"], last["c"], last["t"]]

        donors = self._donors.feeds_of(store.origin)
        for path in mend_feed(store.disk, feed, donors, Heads(reaches_last, is_last), self._backup.keep):
            yield Deed("feed-damaged", "is here again, as it was published", str(path))
        for path, _ in mend_feed_blobs(feed, self._payload, self._backup.keep, None):
            yield Deed("feed-blob-damaged", "the payload is here again", str(path))

    def _payload(self, ref: BlobRef) -> bytes | None:
        try:
            return self._store.segments.blobs.read(ref)
        except DamagedStore:
            return self._donors.blob(ref)

    def _mirrors(self) -> Iterator[Deed]:
        """What we hold of others, from where it was pulled."""
        disk, keep = self._store.disk, self._backup.keep
        for origin in self._holdings.mirror.origins():
            if origin.startswith(BRIDGE_PREFIX):
                continue
            feed, donors = self._holdings.mirror.feed(origin), self._donors.feeds_of(origin)
            for path in mend_feed(disk, feed, donors, heads_of_mirror(disk, feed, origin, donors), keep):
                yield Deed("mirror-damaged", "is here again, as it was pulled", str(path))
            offer = partial(_offered, donors)
            for path, is_here in mend_feed_blobs(feed, offer, keep, feed.blobs.remove):
                what = "the payload is here again" if is_here else "the damaged payload is gone: pull brings it again"
                yield Deed("mirror-blob-damaged", what, str(path))

    # --- the rest of the store ---

    def _watermark(self) -> Iterator[Deed]:
        if watermark_is_wrong(self._store):
            path = forget_watermark(self._store, self._backup.keep)
            yield Deed("watermark-wrong", "dropped: every entity file is looked at again", str(path))

    def _redaction(self) -> Iterator[Deed]:
        if is_left(self._store.local(), "store"):
            with contextlib.suppress(DamagedStore):  # not while records are damaged: what is redacted may stand there
                self._store.refresh()
                if self._store.redaction.finish():
                    yield Deed("redaction-unfinished", "ended")

    # --- what was left behind ---

    def _left_behind(self) -> Iterator[Deed]:
        """Remove what is read by nobody: we hold both locks, so nobody is writing it."""
        disk, folder = self._store.disk, self._store.folder
        for path, found in [*health.each_file(folder)]:
            if is_temporary(path.name) and stat.S_ISREG(found.st_mode):
                disk.remove(path)
                yield Deed("leftover", "removed: an interrupted write left it", str(path))
        for path in health.left_in_staging(self._holdings):
            disk.remove_tree(path)
            yield Deed("leftover", "removed: fetched by a command that was interrupted", str(path))
        yield from self._archived_twice()

    def _archived_twice(self) -> Iterator[Deed]:
        """End an interrupted gc backwards: the live segment is the one that is read [J15]."""
        disk, log = self._store.disk, self._store.segments
        for segment in log.archived():
            live = disk.read_if_there(log.path(segment.first_seq))
            if live is not None and live == disk.read(segment.path):
                disk.remove(segment.path)
                disk.sync_folder(log.archive)
                yield Deed(
                    "archived-twice", "the copy in the archive is removed, the live one stays", str(segment.path)
                )

    # --- caches ---

    def _caches(self) -> Iterator[Deed]:
        """Make index, entity files and the index of others anew, when they are wrong and the log is not."""
        findings = [*self._store.verify().findings, *audit(self._holdings, audit_index_held)]
        damage = [found for found in findings if found.severity == "error" and found.id in _LOG]
        wrong = [found for found in findings if found.id in _CACHES and found.fixable]
        if damage:
            if self._was_log_mended() and not any(found.id == "log-too-short" for found in damage):
                yield from self._index_anew()
            return
        if not wrong and not self._was_log_mended():
            return
        for found in wrong:
            yield from self._out_of_the_way(found)
        problem = self._store.rebuild()
        self._holdings.rebuild()
        kinds = sorted({found.id for found in wrong}) or ["index-differs"]
        for kind in kinds:
            yield Deed(kind, "index and entity files are made anew from the log" + (f"; {problem}" if problem else ""))

    def _out_of_the_way(self, found: Finding) -> Iterator[Deed]:
        """Keep what somebody may have worked on, and remove a checkpoint that is passed over anyway [J14]."""
        if found.path is None:
            return
        path = Path(found.path)
        if found.id == "projection-differs":
            self._backup.keep(path)
        elif found.id == "checkpoint-differs":
            self._backup.keep(path)
            self._store.disk.remove(path)
            self._store.disk.sync_folder(path.parent)
            yield Deed("checkpoint-differs", "removed; `eventsync checkpoint` makes a new one", str(path))

    def _was_log_mended(self) -> bool:
        """Whether the index still speaks of damage, or may: places in the log may have moved."""
        return self._log_changed or any(torn.broken for torn in self._store.bad_ranges())

    def _index_anew(self) -> Iterator[Deed]:
        """The index alone: the entity files may be all that is left of what is still damaged."""
        self._store.close()
        path = self._store.folder / "index.sqlite3"
        drop(self._store.disk, path)
        self._store.refresh()
        yield Deed("index-differs", "the index is made anew; entity files stay as they are", str(path))


def _offered(donors: Sequence[FeedDonor], ref: BlobRef) -> bytes | None:
    """A payload of another store, if anybody has it whole."""
    return next((data for donor in donors if (data := donor.blob(ref)) is not None), None)


def _ranges(seqs: Sequence[int]) -> str:
    """Seqs for people: `seqs 3 to 5, 9`."""
    runs: list[list[int]] = []
    for seq in seqs:
        if runs and seq == runs[-1][1] + 1:
            runs[-1][1] = seq
        else:
            runs.append([seq, seq])
    texts = [str(first) if first == last else f"{first} to {last}" for first, last in runs]
    return f"seq{'s' if len(seqs) > 1 else ''} {', '.join(texts)}"
