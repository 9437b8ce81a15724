"""Peers: what others are doing just now: their claims, assignments, runs and sessions, as their feeds show it.

Reads mirrors and writes nothing. The types are those that are never candidates: whoever reads of a claim of another
machine knows of it, and that is all there is to do about it. Nothing of this is kept: slices that hold no such record
are passed over unread, but for their bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from federation.brainclaw import ACTION_CLASSES
from federation.errors import BlobUnreadable, DamagedFeed
from federation.holdings import Holdings
from federation.mirror import BRIDGE_PREFIX
from federation.mirrored import payload_of, shown_value
from journal import EXECUTION_TYPES, DamagedStore, FormatTooNew, Record, decode_record

MOST_OF_AN_ORIGIN: Final = 1_000  # the newest of them: nobody follows more, and a feed may hold any number
MAX_SHOWN_PAYLOAD_BYTES: Final = 16 * 1024
# As every journal writes it, with nothing to escape in these words.
_NAMED: Final = re.compile(rb'"item_type":"(?:%s)"' % "|".join(sorted(EXECUTION_TYPES)).encode())


class Activity(NamedTuple):
    """The newest record of something that another store is doing; all of it is foreign."""

    item_type: str
    item_id: str
    seq: int
    ts: str
    action: str
    agent: str
    summary: str | None
    payload: Any  # None for what has none, is long, or cannot be read


class Peer(NamedTuple):
    """One other store and what it is doing, the newest first."""

    origin: str
    name: str
    activities: tuple[Activity, ...]


def peers(holdings: Holdings, origin: str | None = None) -> list[Peer]:
    """What each origin is doing, or one; those of which nothing is known left out.

    A mirror that cannot be read is left out too, and stands in `Holdings.damaged`; so is an origin that is blocked.
    """
    found = []
    for name in holdings.mirror.origins() if origin is None else [origin]:
        if name in holdings.damaged or holdings.trust.is_blocked(name):
            continue
        try:
            with holdings.noting_damage(name):
                activities = tuple(_activities(holdings, name))
        except DamagedFeed:
            continue
        if activities:
            found.append(Peer(name, holdings.name(name), activities))
    return found


def _activities(holdings: Holdings, origin: str) -> Iterator[Activity]:
    is_bridged = origin.startswith(BRIDGE_PREFIX)
    records = holdings.bridge(origin).records() if is_bridged else _named(holdings, origin)
    for record in reversed(_newest(records).values()):
        yield Activity(
            record.item_type,
            record.item_id or "",
            record.seq,
            record.ts,
            record.action,
            record.agent,
            record.summary,
            None if is_bridged else _payload(holdings, record, origin),
        )


def _named(holdings: Holdings, origin: str) -> Iterator[Record]:
    """The records of a feed that are about what machines do, oldest first; what is our own is passed over [F8]."""
    feed = holdings.mirror.feed(origin)
    for file in feed.slices():
        raw, end = feed.raw(file), 0
        for found in _NAMED.finditer(raw):
            if found.start() < end:  # once more in the same line
                continue
            start, end = raw.rfind(b"\n", 0, found.start()) + 1, raw.find(b"\n", found.end())
            try:
                record = decode_record(raw[start:end])
            except (DamagedStore, FormatTooNew):
                continue  # nothing that could be shown
            if not holdings.is_self(origin, record.seq):
                yield record


def _newest(records: Iterable[Record]) -> dict[tuple[str, str], Record]:
    """The newest record of each thing that goes on, in their order; what has come to its end is left out."""
    newest: dict[tuple[str, str], Record] = {}
    for record in records:
        if record.item_type not in EXECUTION_TYPES or record.item_id is None:
            continue
        key = (record.item_type, record.item_id)
        newest.pop(key, None)
        if ACTION_CLASSES.get(record.action) != "tombstone":
            newest[key] = record
        if len(newest) > MOST_OF_AN_ORIGIN:
            del newest[next(iter(newest))]
    return newest


def _payload(holdings: Holdings, record: Record, origin: str) -> Any:
    try:
        if record.blob is not None and record.blob.size_bytes > MAX_SHOWN_PAYLOAD_BYTES:
            return None
        data = payload_of(holdings, record, origin)
        return None if data is None or len(data) > MAX_SHOWN_PAYLOAD_BYTES else shown_value(data)
    except (BlobUnreadable, DamagedStore):
        return None
