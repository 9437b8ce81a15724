"""Archive: where old segments are put aside, still read by all who ask for what they hold. Nothing is ever deleted.

A segment goes there only behind the second-newest checkpoint, and only after the log and both checkpoints were read
whole and agree [J15]. It is copied, durably, before it leaves its place: killed at any step it stands in one of both
places, or the same in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from journal.checkpoint_verification import Comparison
from journal.checkpoints import KEPT, Checkpoints, Usable
from journal.disk import Disk
from journal.errors import DamagedStore
from journal.findings import Findings
from journal.log import Log, Segment
from journal.log_verification import Extent, LogWalk

if TYPE_CHECKING:
    from journal.store import Store


class Archived(NamedTuple):
    """What a gc did: which segments it put aside, and behind which checkpoint; None: there are not two of them."""

    moved: tuple[Segment, ...]
    live: int
    archived: int
    behind_seq: int | None


def park(store: Store, log: Log, checkpoints: Checkpoints) -> Archived:
    """Put aside the segments that the second-newest checkpoint covers, durably; they stay part of the log.

    Reads the whole log, without the lock; only the moving holds it. DamagedStore when anything in the log is not as it
    must be, and then nothing was moved; DiskFailed with some moved and the others in their place.
    """
    with store.lock():
        known_seq = store.settle().seq
    confirmed = _confirmed(log, checkpoints, [store.origin, *(entry.origin for entry in store.previous)], known_seq)
    behind = confirmed[KEPT - 1].position.seq if len(confirmed) >= KEPT else None
    moved: list[Segment] = []
    with store.lock():
        store.settle()
        if behind is not None and confirmed[KEPT - 1] in checkpoints.usable():
            for segment in _covered(log.live(), behind):
                _move(store.disk, log, segment)
                moved.append(segment)
        return Archived(tuple(moved), len(log.live()), len(log.archived()), behind)


def _confirmed(log: Log, checkpoints: Checkpoints, origins: Sequence[str], known_seq: int) -> list[Usable]:
    """The checkpoints that agree with the whole log, the newest first; DamagedStore when the log is not sound."""
    found = Findings()
    comparison = Comparison(checkpoints, found)
    walk = LogWalk(log, found, origins, known_seq)
    walk.stops = comparison.stops()
    try:
        walk.walk([Extent(segment, log.size(segment.first_seq) or 0) for segment in log.segments()])
    finally:
        walk.fold.close()
    for finding in found.all():
        if finding.severity == "error":
            raise DamagedStore(finding.message, path=finding.path, line=finding.line, seq=finding.seq, rule="J15")
    return comparison.confirmed


def _covered(live: Sequence[Segment], seq: int) -> list[Segment]:
    """The live segments of which every record stands at or before a seq; never the newest."""
    return [segment for segment, after in pairwise(live) if after.first_seq - 1 <= seq]


def _move(disk: Disk, log: Log, segment: Segment) -> None:
    disk.make_folder_durably(log.archive)
    target, data = log.archive_path(segment.first_seq), disk.read(segment.path)
    there = disk.read_if_there(target)
    if there is None:
        disk.replace_durably(target, data)
    elif there != data:
        raise DamagedStore("another segment stands here in its place", path=target, seq=segment.first_seq, rule="J15")
    else:
        disk.sync(target)
        disk.sync_folder(log.archive)  # who put it there may not have come so far
    disk.remove(segment.path)
    disk.sync_folder(log.folder)
