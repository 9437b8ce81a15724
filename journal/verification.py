"""Verification: does a store hold what its rules promise?

Checks identity and log, and compares what the caches say with a fresh fold. Changes nothing and heals nothing: what it
finds are values. Other processes may go on writing; what they write meanwhile is not looked at.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from journal import identity
from journal.caches import INDEX_FILE
from journal.checkpoint_verification import Comparison
from journal.checkpoints import Checkpoints
from journal.disk import Disk, is_temporary
from journal.entity_files import Drift, EntityFiles
from journal.errors import CacheUnreadable, DamagedStore, DiskFailed, FormatTooNew
from journal.findings import Findings, Report, Severity
from journal.identity import StoreFile
from journal.index import Index, Position
from journal.log import Log
from journal.log_verification import Extent, LogWalk
from journal.machine import Machine
from journal.model import Decided, LocalHead
from journal.projection import changes_entity
from journal.witnesses import PUBLISH, Remembered, remember

T = TypeVar("T", LocalHead, Decided)
_FOLDERS = frozenset(["archive", "blobs", "checkpoints"])


def verify(disk: Disk, folder: Path, log: Log, file: StoreFile, machine: Machine) -> Report:
    """Check identity, log, index and projections of a store; writes nothing."""
    found = Findings()
    _check_identity(folder, file, found)
    _check_local(disk, folder, found)
    checkpoints = Checkpoints(disk, log)
    remembered = remember(disk, folder, log, checkpoints, found)  # before the log is: so the log holds all of it
    origins = [*(previous.origin for previous in file.previous), file.origin_store_id]
    walk = LogWalk(log, found, origins, max(remembered.seqs.values()))
    walk.c_of = dict.fromkeys(remembered.seqs.values())
    walk.stops = Comparison(checkpoints, found).stops()
    try:
        walk.walk(_extents(disk, log, found))
        _check_blobs(log, walk, found)
        if walk.is_complete:
            _check_remembered(folder, remembered, walk, found)
            _check_index(folder, remembered, walk, found)
            _check_files(disk, folder, log, remembered, walk, found, machine)
        return Report(found.all(), walk.records, walk.position.seq)
    finally:
        walk.fold.close()
        remembered.close()


def _check_identity(folder: Path, file: StoreFile, found: Findings) -> None:
    try:
        origin = identity.origin_of(base64.b64decode(file.public_key, validate=True))
    except binascii.Error:
        origin = ""
    if origin != file.origin_store_id:
        message = f"origin {file.origin_store_id} is not the one of the public key [I1]"
        found.add("identity", "error", message, path=folder / identity.STORE_FILE)


def _check_local(disk: Disk, folder: Path, found: Findings) -> None:
    """Whether local.json is there and says what it must; one that cannot be read is told where it is needed [I2]."""
    path = folder / identity.LOCAL_FILE
    try:
        local = identity.read_local(disk, folder)
    except DamagedStore:
        return
    wrong = identity.what_is_wrong(local)
    if wrong is not None:
        found.add("identity", "error", wrong, path=path)


def _extents(disk: Disk, log: Log, found: Findings) -> list[Extent]:
    try:
        segments = log.segments()
        extents = [Extent(segment, log.size(segment.first_seq) or 0) for segment in segments]
        names = set(disk.names(log.folder)) - {segment.path.name for segment in segments} - _FOLDERS
    except DamagedStore as error:
        found.add_error("segment-unreadable", error)
        return []
    for name in sorted(names):
        _tell_stray(log.folder / name, found)
    _check_archive(disk, log, found)
    return extents


def _check_blobs(log: Log, walk: LogWalk, found: Findings) -> None:
    """Blobs that no record refers to; where records cannot be read, that cannot be told."""
    digests = {ref.blake3 for ref in walk.blobs}
    for path in log.blobs.left_over():
        found.add("stray-file", "info", "left behind by an interrupted write", path=path, fixable=True)
    for digest in log.blobs.names() if walk.is_complete and not walk.is_broken else ():
        if digest not in digests:
            found.add("blob-unreferenced", "info", "no record refers to this blob [J13]", path=log.blobs.path(digest))


def _tell_stray(path: Path, found: Findings) -> None:
    what = "left behind by an interrupted write" if is_temporary(path.name) else "no segment: it is not read"
    found.add("stray-file", "info", what, path=path, fixable=is_temporary(path.name))


def _check_archive(disk: Disk, log: Log, found: Findings) -> None:
    """What stands in the archive; a segment in both places must be the same there [J15]."""
    archived = log.archived()
    for name in sorted(set(disk.each_name(log.archive)) - {segment.path.name for segment in archived}):
        _tell_stray(log.archive / name, found)
    for segment in archived:
        live = disk.read_if_there(log.path(segment.first_seq))
        if live is None:
            continue
        there = disk.read(segment.path)
        if live == there:
            message = "is archived and live: an interrupted gc, which the next one ends [J15]"
            found.add("archived-twice", "info", message, path=segment.path, seq=segment.first_seq, fixable=True)
        else:
            message = f"is not what {log.path(segment.first_seq)} is, which is the one that is read [J15]"
            line = _first_other_line(there, live)
            found.add("archive-differs", "error", message, path=segment.path, line=line, seq=segment.first_seq)


def _first_other_line(data: bytes, other: bytes) -> int:
    """The first line, as editors count, that two files have not in common."""
    pairs = zip_longest(data.split(b"\n"), other.split(b"\n"))
    return next(number for number, (one, another) in enumerate(pairs, 1) if one != another)


def _check_remembered(folder: Path, remembered: Remembered, walk: LogWalk, found: Findings) -> None:
    """The log must hold all that anything remembers [J11]."""
    for what, seq in remembered.seqs.items():
        if seq > walk.position.seq:
            walk.tell_loose_end()
            message = f"the log ends at seq {walk.position.seq}, but {what} remembers seq {seq} [J11]"
            found.add("log-too-short", "error", message, path=remembered.paths[what], seq=seq)
    seq, c = remembered.seqs[PUBLISH], remembered.published.get("c")
    if seq and isinstance(c, str) and walk.c_of.get(seq) not in (None, c):
        message = f"seq {seq} is not the record that was published [J11]"
        found.add("published-differs", "error", message, path=folder / "journal", seq=seq)
    for path, cursor in remembered.cursors.items():
        if cursor.seq and walk.c_of.get(cursor.seq) not in (None, cursor.c):
            message = f"seq {cursor.seq} is not the record that this reader has seen [J11]"
            found.add("cursor-differs", "error", message, path=path, seq=cursor.seq)


def _check_index(folder: Path, remembered: Remembered, walk: LogWalk, found: Findings) -> None:
    """The index against the fold, as far as it goes [P1]."""
    index, position, path = remembered.cache, remembered.position, folder / INDEX_FILE
    if index is None or position is None or position.seq > walk.position.seq:
        return
    if position.seq and walk.c_of.get(position.seq) not in (None, position.c.hex()):
        message = f"the index does not fit the log at seq {position.seq} [J11]"
        found.add("index-differs", "warning", message, path=path, seq=position.seq, fixable=True)
        return
    if position.seq < walk.position.seq:
        message = f"the index is at seq {position.seq}, the log at seq {walk.position.seq} [P1]"
        found.add("index-behind", "info", message, path=path, seq=position.seq, fixable=True)
    severity: Severity = "warning" if walk.is_broken else "error"
    try:
        for kept, folded in _paired(index.all_heads(), walk.fold.all_heads(), _order_of_heads):
            if kept is not None and kept.seq < walk.first_seq:  # its record is gone with old segments, which was told
                continue
            if kept != folded and (folded is None or folded.seq <= position.seq):
                message = f"{_told_apart(kept, folded)} [P1]"
                seq = None if (head := folded or kept) is None else head.seq
                found.add("index-differs", severity, message, path=path, seq=seq, fixable=True)
        _check_rest_of_index(index, position, path, walk, found)
    except (CacheUnreadable, DiskFailed) as error:
        found.add("index-unreadable", "warning", error.message, path=path, fixable=True)


def _paired(
    left: Iterator[T], right: Iterator[T], order_of: Callable[[T, T], int]
) -> Iterator[tuple[T | None, T | None]]:
    """Two lists in the same order, paired by what stands for the same thing; None where one has it not."""
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        order = order_of(one, other) if one is not None and other is not None else 1 if one is None else -1
        yield (one if order <= 0 else None, other if order >= 0 else None)
        one = next(left, None) if order <= 0 else one
        other = next(right, None) if order >= 0 else other


def _order_of_heads(one: LocalHead, other: LocalHead) -> int:
    return (one[:2] > other[:2]) - (one[:2] < other[:2])


def _order_of_decisions(one: Decided, other: Decided) -> int:
    return one.seq - other.seq


def _told_apart(kept: LocalHead | None, folded: LocalHead | None) -> str:
    """What the index has and what the log says, of one entity."""
    if kept is not None and folded is not None and _named(kept) == _named(folded):
        fields = [name for name in kept._fields if getattr(kept, name) != getattr(folded, name)]
        return f"the index has another {', '.join(fields)} of {_named(kept)} than the log"
    return f"the index has {_named(kept)}, the log {_named(folded)}"


def _named(head: LocalHead | None) -> str:
    return (
        "no such entity" if head is None else f"{head.item_type}/{head.item_id} rev {head.entity_rev} at seq {head.seq}"
    )


def _check_rest_of_index(index: Index, position: Position, path: Path, walk: LogWalk, found: Findings) -> None:
    """Decisions, and the ranges where records were lost, as the index has them [P1]."""
    kept = index.decisions(position.seq, walk.first_seq - 1)
    folded = walk.fold.decisions(position.seq, walk.first_seq - 1)
    for one, other in _paired(kept, folded, _order_of_decisions):
        if one != other and not (walk.is_broken and other is None):
            seq = min(record.seq for record in (one, other) if record is not None)
            message = f"the index and the log differ in the decision at seq {seq} [P1]"
            found.add("index-differs", "error", message, path=path, seq=seq, fixable=True)
    for bad in index.bad_ranges():
        if bad.broken and (bad.segment, bad.offset, bad.end) not in walk.damaged and not walk.is_broken:
            message = (
                f"the index has damage at bytes {bad.offset} to {bad.end} of segment {bad.segment}, the log none [P1]"
            )
            found.add("index-differs", "error", message, path=path, seq=bad.segment, fixable=True)


class _Touched:
    """The entities that other processes wrote to since the walk: their files are not looked at."""

    def __init__(self, log: Log, position: Position) -> None:
        self._log = log
        self._position = position
        self._keys: set[tuple[str, str | None]] = set()
        self._is_readable = True

    def holds(self, key: tuple[str, str]) -> bool:
        """Whether an entity was written to; the log knows it before the files do."""
        try:
            if self._is_readable and not self._log.is_at_end(self._position):
                for gap in self._log.gaps_while_written(self._position, self._position.seq):
                    records = [entry.record for entry in gap.entries if changes_entity(entry.record)]
                    self._keys.update((record.item_type, record.item_id) for record in records)
                    self._position = gap.position
        except (DamagedStore, FormatTooNew):  # the walk told it
            self._is_readable = False
        return key in self._keys


def _check_files(
    disk: Disk, folder: Path, log: Log, remembered: Remembered, walk: LogWalk, found: Findings, machine: Machine
) -> None:
    """The projections against the fold, as far as their watermark goes [P1] [P2] [P3] [P4]."""
    files, behind = EntityFiles(disk, folder), remembered.mark.behind(machine.boot_id)
    if behind < walk.position.seq:
        is_known = behind > 0 or disk.size(files.mark_path) is None
        where = f"the projections are at seq {behind}" if is_known else "how far the projections go cannot be read"
        message = f"{where}, the log is at seq {walk.position.seq} [P1]"
        found.add("projections-behind", "info", message, path=files.mark_path, seq=behind, fixable=True)
    touched = _Touched(log, walk.position)
    heads = (head for head in walk.fold.all_heads() if head.seq <= behind)
    for drift in files.drift(heads, log.payload, walk.fold.head):
        head = walk.fold.head(*drift.key)
        if head is None and 0 < drift.found_seq < walk.first_seq:  # as above
            continue
        if (head is None or head.seq <= behind) and not touched.holds(drift.key):
            _tell_drift(drift, walk.position.seq, found)


def _tell_drift(drift: Drift, last_seq: int, found: Findings) -> None:
    if drift.found_seq > last_seq:
        message = f"the log ends at seq {last_seq}, but this projection speaks of seq {drift.found_seq} [J11]"
        found.add("log-too-short", "error", message, path=drift.path, seq=drift.found_seq)
        return
    rule = "P3" if drift.cannot_be_parsed else "P1"
    found.add(
        "projection-differs",
        "warning",
        f"{drift.message} [{rule}]",
        path=drift.path,
        seq=drift.seq or drift.found_seq or None,
        fixable=drift.seq is not None or not drift.cannot_be_parsed,
    )
