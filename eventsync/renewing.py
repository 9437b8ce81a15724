"""Renewing: the use cases around a new identity [I2]. Prints nothing.

A copy of a store, a store restored from a backup, or one whose key is lost goes on under an origin of its own. What it
wrote before stays its own; what nobody was shown so far is written again, so that it is not lost to others.
"""

from __future__ import annotations

from typing import NamedTuple

from eventsync.app import Surroundings
from eventsync.sharing import sharing
from federation.republishing import live, never_shown, republish
from journal import Store


class Renewal(NamedTuple):
    """A new identity: what was left and where, and what was written because of it."""

    origin: str
    left_origin: str
    left_at: int
    rewritten: int  # records said anew: those that were written after that seq under the origin that was left
    republished: int  # copies of what no feed has shown


class Prospect(NamedTuple):
    """What a renewal would do."""

    origin: str
    left_at: int
    last_seq: int
    published_seq: int


def prospect(store: Store, at: int | None) -> Prospect:
    """What a renewal would leave and where; writes nothing."""
    store.refresh()
    last_seq = store.position().seq
    published = store.published() or {}
    return Prospect(store.origin, last_seq if at is None else at, last_seq, int(published.get("last_seq", 0)))


def renew(store: Store, around: Surroundings, at: int | None, name: str | None) -> Renewal:
    """Take a new identity, and a new name if one is given; then write again what no feed has shown.

    Durable step by step; a crash leaves the old identity or the new one, whole, and `show_again` makes up for the rest.
    Raises as `Store.renew`, and what reading config.toml raises; then nothing was changed.
    """
    with sharing(store) as found:
        types, left_origin = found.published_types, store.origin
        with found.holdings.lock():
            renewed = store.renew(at=at, name=name)
    with sharing(store) as found, found.holdings.lock():
        found.holdings.refresh()
        count = republish(found.holdings, never_shown(found.holdings, types), agent=around.agent)
    return Renewal(store.origin, left_origin, renewed.left.last_seq, renewed.written, count)


def show_again(store: Store, around: Surroundings) -> int:
    """Write copies of what stands in former feeds only: live entities, and deletions that no feed has shown.

    Returns how many. Killed in between, it can be run again: what was written stands in the new feed.
    """
    with sharing(store) as found, found.holdings.lock():
        found.holdings.refresh()
        types = found.published_types
        deleted = [head for head in never_shown(found.holdings, types) if head.deleted]
        return republish(found.holdings, [*live(found.holdings, types), *deleted], agent=around.agent)


def standing_behind(store: Store) -> int:
    """How many live entities stand in former feeds only."""
    with sharing(store) as found:
        return len(live(found.holdings, found.published_types)) if store.previous else 0
