"""Mirrored: records of others and their payloads, out of our mirrors.

A payload stands in its line, or beside the feed in a blob [J13]. A mirror that cannot be read is damage of that origin,
a blob that cannot be read is one of the records that refer to it: both are noted for all that come after.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from federation.errors import BlobUnreadable, DamagedFeed
from federation.feed import parse_skip
from federation.mirror import BRIDGE_PREFIX
from federation.verification import line_end
from journal import DamagedStore, FormatTooNew, Record, decode_record

if TYPE_CHECKING:
    from federation.holdings import Holdings
    from federation.index import Row


def shown_value(data: bytes | None) -> Any:
    """A payload of others as a value that JSON can show; None where there is none, or nothing that can be read.

    What is no finite number is the text of it [J10]: `1e999` would make a document of ours one that nobody can read.
    """
    try:
        return None if data is None else _SHOWN.decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _finite(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


_SHOWN: Final = json.JSONDecoder(parse_float=_finite, parse_constant=str)


def payload_bytes(holdings: Holdings, row: Row) -> bytes | None:
    """The payload of a foreign head; None for tombstones and unreadable records.

    DamagedFeed where its mirror cannot be read, BlobUnreadable where its blob is missing or wrong.
    """
    if row.tombstone or row.unreadable is not None:
        return None
    with holdings.noting_damage(row.origin):
        if row.origin.startswith(BRIDGE_PREFIX):
            return holdings.bridge(row.origin).payload_at(row.slice, row.offset, row.length)
        record = decode_record(_line_of(holdings, row))
        if record.seq != row.seq or record.c != row.digest:
            raise DamagedFeed("not the line the index speaks of", path=holdings.mirror.path(row.origin), seq=row.seq)
    return payload_of(holdings, record, row.origin)


def payload_of(holdings: Holdings, record: Record, origin: str) -> bytes | None:
    """The payload of any record in a mirror; BlobUnreadable names the entity and the file that is missing or wrong."""
    blob = record.blob
    if blob is None:
        return record.payload_bytes
    try:
        return holdings.mirror.feed(origin).blobs.read(blob)
    except BlobUnreadable as error:
        error.message, error.seq = f"{record.item_type}/{record.item_id}: {error.message}", record.seq
        holdings.index.set_missing(origin, [blob], missing=True)
        raise


def _line_of(holdings: Holdings, row: Row) -> bytes:
    feed = holdings.mirror.feed(row.origin)
    try:
        return feed.line_at(row.slice, row.offset, row.length)
    except DamagedFeed:
        found = feed.find(row.seq)  # the mirror was cut anew since the row was written
        if found is None:
            raise
        return found


def records(holdings: Holdings, origin: str, since: int) -> Iterator[Record]:
    """What an origin's feed shows after a seq, oldest first; a line nobody can decode is told as such."""
    if origin.startswith(BRIDGE_PREFIX):
        yield from (record for record in holdings.bridge(origin).records() if record.seq > since)
        return
    for line in holdings.mirror.feed(origin).lines(since):
        if parse_skip(line.data) is None:
            yield _told(line.data)


def _told(line: bytes) -> Record:
    try:
        return decode_record(line)
    except (DamagedStore, FormatTooNew):
        seq = line_end(line)
        return Record(v=0, seq=seq, ts="", writer="", agent="", action="unreadable", item_type="unreadable")
