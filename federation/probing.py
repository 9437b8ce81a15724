"""Probing: whose feeds stand at a place, before anything is taken from it.

Reads the heads, each believed as far as its own signature goes, and keeps nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from federation.brainclaw import project_id
from federation.bridge import BridgeSource
from federation.errors import FederationError
from federation.holdings import Holdings
from federation.mirror import BRIDGE_PREFIX
from federation.model import HEAD_FILE, MAX_HEAD_BYTES, Refusal
from federation.puller import Remote
from federation.transports import Transport, Wanted
from federation.verification import read_head
from journal import LocatedError


class FeedSeen(NamedTuple):
    """A feed at a place. `name` is foreign text; `refusal` says why nobody would take this feed."""

    origin: str
    name: str = ""
    last_seq: int | None = None  # of its newest record, shown or withheld; None where that cannot be told
    is_own: bool = False
    refusal: str | None = None


class Probe(NamedTuple):
    """What was found. With an `error` the place could not be reached, or not be read to its end."""

    feeds: tuple[FeedSeen, ...] = ()
    ignored: int = 0
    error: LocatedError | None = None


def probe(holdings: Holdings, remote: Remote) -> Probe:
    """Look who publishes there. Faults of the place are in the answer; faults of our own are raised."""
    feeds: list[FeedSeen] = []
    try:
        with holdings.staging() as area:
            place = remote.connect()
            if isinstance(place, BridgeSource):
                return Probe((_bridged(place),))
            listing = place.origins()
            for origin in listing.origins:
                feeds.append(_seen(holdings, place, origin, area))
    except FederationError as error:
        return Probe(tuple(feeds), error=error)
    return Probe(tuple(feeds), listing.ignored)


def _seen(holdings: Holdings, place: Transport, origin: str, area: Path) -> FeedSeen:
    is_own = origin == holdings.store.origin
    if HEAD_FILE not in place.fetch(origin, [Wanted(HEAD_FILE, MAX_HEAD_BYTES)], area):
        return FeedSeen(origin, is_own=is_own, refusal="its head.json cannot be had")
    head = read_head(holdings.store.disk.read(area / HEAD_FILE), origin, lambda *_: None)
    if isinstance(head, Refusal):
        return FeedSeen(origin, is_own=is_own, refusal=head.message)
    return FeedSeen(origin, head.name, head.last_seq, is_own)


def _bridged(source: BridgeSource) -> FeedSeen:
    project = project_id(source.config())
    if project is None:
        return FeedSeen(BRIDGE_PREFIX, source.label(), refusal="config.yaml names no project_id")
    return FeedSeen(BRIDGE_PREFIX + project, source.label())
