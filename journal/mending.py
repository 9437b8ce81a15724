"""Mending: what of a store can be put right without losing anything, done on disk.

    keep a copy of the file ─► replace it whole and durably [J8] ─► tell

What may be restored is decided in `restoring`; who still has it, the caller knows. Under the store lock. Killed at any
step, a file is what it was or what it became, and another run goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from journal.checkpoints import Checkpoints
from journal.codec import Line, chain_start, decode_header, decode_record, listed_in, scan, seq_of
from journal.entity_files import WATERMARK_FILE, EntityFiles, Watermark, watermark_bytes
from journal.errors import DamagedStore, FormatTooNew
from journal.findings import Findings
from journal.identity import StoreFile
from journal.log import Log, Segment
from journal.model import BlobRef
from journal.restoring import Known, Offer, Place, Stretch, header_for, mended
from journal.witnesses import WATERMARK, Remembered, remember

if TYPE_CHECKING:
    from journal.store import Store

Keep = Callable[[Path], None]  # puts a durable copy of a file aside


class MendedSegment(NamedTuple):
    """A segment that was replaced: which records came back, and whether its header did."""

    path: Path
    seqs: tuple[int, ...]
    header: bool


class _Before(NamedTuple):
    """What the segments before one end with; None where that is not known."""

    seq: int
    c: bytes


# --- the log ---------------------------------------------------------------------------------------------------------


def mend_log(store: Store, offer: Offer, keep: Keep) -> list[MendedSegment]:
    """Restore damaged headers and lines from what is offered; the caller holds the store lock.

    Each segment that changes is kept aside first, and durable before the next. Raises DiskFailed, with those that were
    told by then mended. What cannot be restored is left as it is.
    """
    log, found = store.segments, list[MendedSegment]()
    remembered = _remembered(store)
    try:
        known = Known(_listed(log), remembered.anchors, offer)
        segments = log.segments()
        before = _begin(segments, store.file)
        for at, segment in enumerate(segments):
            is_tail = at == len(segments) - 1
            until = max(remembered.seqs.values()) if is_tail else segments[at + 1].first_seq - 1
            try:
                data = log.read(segment.first_seq)
                done = _mended(data, segment, before, until, known, store.file, is_tail=is_tail)
            except FormatTooNew:
                break
            except DamagedStore:  # `verify` tells
                before = None
                continue
            if done.data != data:
                keep(segment.path)
                store.disk.replace_durably(segment.path, done.data)
                found.append(MendedSegment(segment.path, done.seqs, done.header))
            before = done.end
    finally:
        remembered.close()
    return found


class _Done(NamedTuple):
    data: bytes
    seqs: tuple[int, ...]
    header: bool
    end: _Before


def _mended(
    data: bytes, segment: Segment, before: _Before | None, until: int, known: Known, file: StoreFile, *, is_tail: bool
) -> _Done:
    """One segment as it must be; DamagedStore when it has no header that could be read."""
    whole = data
    if before is not None:
        header_bytes = header_for(data, Place(segment.first_seq, before.c), _owners(file))
        whole = data if header_bytes is None else header_bytes + data[len(header_bytes) :]
    length = whole.find(b"\n") + 1
    header = decode_header(whole[: max(length - 1, 0)])
    prev_c = bytes.fromhex(header.prev_c)
    stretch = Stretch(header.origin_store_id, length, prev_c, header.first_seq - 1, until, is_tail)
    done = mended(whole, stretch, known)
    lines = [item for item in scan(done.data[length:], length, prev_c) if isinstance(item, Line)]
    end = _Before(seq_of(lines[-1].data) or 0, lines[-1].c) if lines else _Before(header.first_seq - 1, prev_c)
    return _Done(done.data, done.seqs, whole != data, end)


def _begin(segments: Sequence[Segment], file: StoreFile) -> _Before | None:
    first = file.previous[0].origin if file.previous else file.origin_store_id
    return _Before(0, chain_start(first)) if segments and segments[0].first_seq == 1 else None


def _owners(file: StoreFile) -> Iterator[tuple[str, Sequence[Any]]]:
    """Whose a segment may be, and what its header says of those before."""
    origins = [*(entry.origin for entry in file.previous), file.origin_store_id]
    return ((origin, file.previous[:at]) for at, origin in enumerate(origins))


def _listed(log: Log) -> dict[int, str]:
    """What any `redact` record lists, damaged ones too: rather a line less than one that was taken back [J16]."""
    found: dict[int, str] = {}
    for segment in log.segments():
        try:
            for line in log.lines_with(segment.first_seq, b'"action":"redact"', 0):
                found |= listed_in(decode_record(line))
        except (DamagedStore, FormatTooNew):
            continue
    return found


# --- blobs -----------------------------------------------------------------------------------------------------------


def mend_blobs(store: Store, offer: Callable[[BlobRef], bytes | None], keep: Keep) -> list[Path]:
    """Write missing and damaged blobs anew from what is offered [J13]; the caller holds the store lock."""
    found, blobs = dict[BlobRef, Path](), store.segments.blobs
    for ref in _referred(store):
        try:
            blobs.read(ref)
        except DamagedStore:
            data = offer(ref)
            if data is not None and ref not in found:
                path = blobs.path(ref.blake3)
                if store.disk.size(path) is not None:
                    keep(path)
                blobs.write(data)
                found[ref] = path
    return [*found.values()]


def _referred(store: Store) -> Iterator[BlobRef]:
    try:
        for gap in store.segments.gaps(store.segments.position_at(0)):
            yield from (entry.record.blob for entry in gap.entries if entry.record.blob is not None)
    except (DamagedStore, FormatTooNew):  # `verify` tells; up to there each was looked at
        return


# --- the watermark ---------------------------------------------------------------------------------------------------


def watermark_is_wrong(store: Store) -> bool:
    """Whether `projections.json` says what cannot be, while all other witnesses agree with the log [J11].

    Records that were lost would be remembered by more than one: the index takes a record in before the watermark moves,
    and the files of what changed stand there before it too. So the index must be whole, fit the log and end where the
    log ends, to the byte; no file, cursor, checkpoint or publish may speak for more; and one byte that turned over must
    explain it all. Whatever is left open counts as loss.
    """
    remembered = _remembered(store)
    try:
        mark, position = remembered.mark, remembered.position
        if position is None or not store.segments.fits(position) or not store.segments.is_at_end(position):
            return False
        others = [seq for what, seq in remembered.seqs.items() if what != WATERMARK]
        if max(*others, EntityFiles(store.disk, store.folder).last_seq()) > position.seq:
            return False
        if mark.applied_seq <= position.seq:
            return mark.synced_seq > mark.applied_seq
        return mark.synced_seq <= position.seq and _differs_in_one_byte(store, mark, position.seq)
    except (DamagedStore, FormatTooNew):
        return False
    finally:
        remembered.close()


def _differs_in_one_byte(store: Store, mark: Watermark, last_seq: int) -> bool:
    found = store.disk.read(store.folder / WATERMARK_FILE)
    meant = watermark_bytes(Watermark(last_seq, mark.synced_seq, mark.boot_id))
    return len(found) == len(meant) and sum(one != other for one, other in zip(found, meant, strict=True)) == 1


def forget_watermark(store: Store, keep: Keep) -> Path:
    """Drop a watermark that is wrong, so that every projection is looked at again; the caller holds the store lock."""
    files = EntityFiles(store.disk, store.folder)
    keep(files.mark_path)
    files.forget()
    return files.mark_path


def _remembered(store: Store) -> Remembered:
    log = store.segments
    return remember(store.disk, store.folder, log, Checkpoints(store.disk, log), Findings())
