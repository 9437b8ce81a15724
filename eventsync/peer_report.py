"""Peer report: what other stores are doing just now, as JSON or text.

Pure, as `report` is. All of it is foreign text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from eventsync.report import Document, key_of, short_origin, table
from eventsync.text import clean
from eventsync.times import ago

if TYPE_CHECKING:
    from federation.peers import Activity, Peer

_COLUMNS = ("FROM", "WHAT", "AGENT", "SINCE", "SUMMARY")


def document(found: Sequence[Peer]) -> Document:
    """All of it."""
    return {"peers": [_peer_value(peer) for peer in found]}


def _peer_value(peer: Peer) -> Document:
    return {
        "origin_store_id": peer.origin,
        "name": peer.name,
        "activities": [{**activity._asdict(), "trust": "foreign"} for activity in peer.activities],
    }


def lines(found: Sequence[Peer], now: str, columns: int | None) -> Iterator[str]:
    """A table, the newest of each store first."""
    rows = [_row(peer, activity, now) for peer in found for activity in peer.activities]
    yield from table(_COLUMNS, rows, columns)


def _row(peer: Peer, activity: Activity, now: str) -> Sequence[str]:
    what = key_of(activity.item_type, activity.item_id)
    return (
        clean(peer.name) or short_origin(peer.origin),
        what,
        clean(activity.agent),
        ago(activity.ts, now) or "-",
        clean(activity.summary or ""),
    )
