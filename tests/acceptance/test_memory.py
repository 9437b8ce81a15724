"""Memory stays bounded, whatever a feed holds: long payloads, lines nobody can read, decisions without end [F7]."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from benchmarks.feeds import SEED, public_key, write_feed
from federation import feed
from federation.feed import FeedLine
from federation.folder import FeedFolder
from federation.index import Index, Row, database_at
from federation.materializer import FLUSH_ENTITIES, materialize
from federation.model import MAX_SLICE_BYTES
from federation.receipts import Receipt
from journal import BlobRef, Disk, chain_start, origin_of
from journal.codec import seal

ORIGIN = origin_of(public_key(SEED))
SELF = "es1" + "a" * 32


class WatchedIndex(Index):
    """Notes how much is handed over at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(database_at(Disk(), path))
        self.flushes: list[int] = []

    def flush(
        self,
        origin: str,
        rows: Iterable[Row],
        position: tuple[int, str],
        *,
        receipts: Iterable[Receipt] = (),
        notes: Mapping[str, Any] | None = None,
        blobs: Mapping[BlobRef, bool] = MappingProxyType({}),
    ) -> None:
        found, decided = list(rows), list(receipts)
        self.flushes.append(len(found) + len(decided))
        super().flush(origin, found, position, receipts=decided, notes=notes, blobs=blobs)


def materialized(tmp_path: Path) -> WatchedIndex:
    index = WatchedIndex(tmp_path / "index.sqlite3")
    materialize(FeedFolder(Disk(), tmp_path / "bus" / ORIGIN), ORIGIN, index, lambda origin, _: origin == SELF)
    index.close()
    return index


def slices_of(body: Callable[[int], str], lines: Sequence[int]) -> Iterator[list[FeedLine]]:
    """Slices with so many lines each, given what a line says after `v` and `seq`."""
    c, seqs = chain_start(ORIGIN), itertools.count(1)
    for count in lines:
        run = []
        for seq in itertools.islice(seqs, count):
            data, c = seal(c, f'{{"v":2,"seq":{seq},{body(seq)}'.encode())
            run.append(FeedLine(feed.RECORD_KIND, seq, seq, c, data))
        yield run


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            lambda seq: f'"action":"create","item_type":"plan","item_id":"p{seq}","payload":{{}}', id="entities"
        ),
        pytest.param(lambda seq: f'"action":7,"item_type":"plan","item_id":"p{seq}"', id="lines-nobody-can-read"),
        pytest.param(
            lambda seq: f'"action":"reject","item_type":"plan","item_id":"p","root":"{SELF}@{seq}#0123456789ab"',
            id="decisions-about-records-of-ours",
        ),
    ],
)
def test_what_is_kept_of_many_records_is_flushed_in_time(tmp_path: Path, body: Callable[[int], str]) -> None:
    per_slice = FLUSH_ENTITIES * 3 // 4  # what two slices bring is more than may be kept
    write_feed(tmp_path / "bus", slices_of(body, [per_slice] * 4))
    flushes = materialized(tmp_path).flushes
    assert sum(flushes) == 4 * per_slice
    assert max(flushes) <= 2 * per_slice


LONG = "x" * 200_000


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(f'"payload":{{"text":"{LONG}"}}', id="payload"),
        pytest.param(f'"payload":"{LONG}"', id="payload-that-is-none"),
        pytest.param(f'"summary":"{LONG}","payload":{{}}', id="summary"),
        pytest.param(f'"context":{{"{LONG}":1}},"payload":{{}}', id="context"),
        pytest.param(f'"agent":"{LONG}","payload":{{}}', id="what-is-not-read"),
    ],
)
def test_no_long_line_is_kept_in_memory_for_what_is_read_of_it(tmp_path: Path, members: str) -> None:
    per_slice = MAX_SLICE_BYTES // (len(members) + 500)
    lines = slices_of(
        lambda seq: f'"action":"create","item_type":"plan","item_id":"p{seq}",{members}', [per_slice] * 12
    )
    write_feed(tmp_path / "bus", lines)
    tracemalloc.start()
    try:
        materialized(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * MAX_SLICE_BYTES  # of twelve
