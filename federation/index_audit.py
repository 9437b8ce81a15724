"""Index audit: does the cache of what others say still follow from mirrors and journal?

Makes the index anew in memory and compares. Changes nothing: a cache that differs is a finding, and `rebuild` mends it
[T1].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from federation.errors import BlobUnreadable, DamagedFeed
from federation.holdings import Holdings
from federation.index import Index, Row
from journal import CacheUnreadable, DamagedStore, DiskFailed, Finding, JournalError, StoreLocked

_LOCK_SECONDS: Final = 0.05
_MOST: Final = 100  # findings of one index: its file is named, and that is what counts


def audit_index(holdings: Holdings) -> Iterator[Finding]:
    """How the index differs from one made anew; nothing when there is none, or while others write."""
    path, found = holdings.index_path, list[Finding]()
    try:
        with holdings.store.disk.lock(holdings.lock_path, _LOCK_SECONDS):
            found = [*audit_index_held(holdings)]
    except (StoreLocked, DiskFailed) as error:
        yield Finding("index-in-use", "info", f"not checked: {error.message}", str(path))
    yield from found


def audit_index_held(holdings: Holdings) -> Iterator[Finding]:
    """The same for one who holds the lock."""
    path, found = holdings.index_path, list[str]()
    try:
        found = _looked_at(holdings)
    except DamagedFeed:  # our own feed: its own audit tells
        pass
    except DamagedStore as error:
        if error.path not in (None, str(path)):  # the journal, or the index over it: `Store.verify` tells
            return
        found = [error.message]
    for message in found[:_MOST]:
        yield Finding("index-differs", "error", f"{message} [T1]", str(path), fixable=True)


def position_of(holdings: Holdings, origin: str) -> int:
    """How far the index says that an origin was read; 0 where there is no index, or none that can be read."""
    try:
        kept = Index.look(holdings.store.disk, holdings.index_path)
    except (CacheUnreadable, DiskFailed):
        return 0
    if kept is None:
        return 0
    try:
        return kept.position(origin)[0]
    except CacheUnreadable:
        return 0
    finally:
        kept.close()


def _looked_at(holdings: Holdings) -> list[str]:
    kept, fresh = Index.look(holdings.store.disk, holdings.index_path), holdings.with_own_index()
    if kept is None:
        return []
    try:
        kept.check()
        if kept.identity() not in (None, holdings.identity):
            return []  # of another identity of this store: it is begun anew when it is asked next [I2]
        return list(_differences(fresh, kept))
    finally:
        kept.close()
        fresh.close()


def _differences(fresh: Holdings, kept: Index) -> Iterator[str]:
    fresh.take_in_everything()
    if kept.local_position() != fresh.index.local_position():
        return  # behind: the next look catches up
    fresh.judge_all()
    known = [origin for origin in (*fresh.mirror.origins(), fresh.store.origin) if origin not in fresh.damaged]
    for origin in known:
        if kept.position(origin) == fresh.index.position(origin):
            yield from _of_origin(fresh, kept, origin)
    if kept.position(fresh.store.origin) == fresh.index.position(fresh.store.origin):  # else it is behind our feed
        yield from _compared("what we decided or withheld", kept.local_contents(), fresh.index.local_contents())


def _of_origin(fresh: Holdings, kept: Index, origin: str) -> Iterator[str]:
    before, after = kept.contents(origin), fresh.index.contents(origin)
    yield from _compared(f"receipts and notes of {origin}", before[1:], after[1:])
    for key in before.rows.keys() | after.rows.keys():
        one, other = before.rows.get(key), after.rows.get(key)
        if one is not None and one.blob is not None and _came_or_went(fresh, kept, origin, one.blob):
            continue  # the mirror is told by its own audit
        if one is None or other is None or not _same_row(fresh, one, other):
            yield f"it is wrong about {'/'.join(key)} of {origin}"
    feed = fresh.own if origin == fresh.store.origin else fresh.mirror.feed(origin)
    for mark in kept.marks(origin):
        try:
            at = feed.at(mark.seq)
        except (DamagedFeed, JournalError):
            return  # the mirror is told by its own audit
        if at != (mark.c.hex(), mark.t.hex()):
            yield f"it is wrong about seq {mark.seq} of {origin}"


def _came_or_went(fresh: Holdings, kept: Index, origin: str, blob: str) -> bool:
    """Whether a payload is in the mirror now and was not when the index looked, or the other way round."""
    return fresh.index.is_missing(origin, blob) != kept.is_missing(origin, blob)


def _same_row(fresh: Holdings, one: Row, other: Row) -> bool:
    moved = one._replace(slice=other.slice, offset=other.offset, length=other.length)
    if one.verdict is None:  # to be asked: then it may have been asked for, and what is known is not said
        moved = moved._replace(verdict=other.verdict, label=other.label, lie=other.lie)
    stands_there = (one.slice, one.offset, one.length) == (other.slice, other.offset, other.length)
    return moved == other and (stands_there or _stands(fresh, one))


def _stands(fresh: Holdings, row: Row) -> bool:
    """Whether another place is a place of the same record: the mirror was cut anew since."""
    try:
        fresh.payload_bytes(row)
    except (BlobUnreadable, DamagedFeed, JournalError):
        return False
    return True


def _compared(what: str, one: object, other: object) -> Iterator[str]:
    if one != other:
        yield f"it is wrong about {what}"
