"""Own head: the head of the feed this store publishes, made, signed, and noted down in local.json.

A head that others could not read is never written, and what was published last is never taken from anything but
local.json: from it `publisher` knows whether the feed here is the one that others know [T1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from federation import feed
from federation.mirror import BRIDGE_PREFIX
from federation.model import Head, Slice
from federation.signing import sign
from federation.verification import State
from journal import InvalidInput, Position, Store, chain_start

if TYPE_CHECKING:
    from federation.holdings import Holdings

Saw = Mapping[str, tuple[int, str, str]]


def start_of(store: Store) -> State:
    """Where a feed of this origin begins: {0, c_0}, or the newest previous origin after a renew [F2]."""
    if store.previous:
        newest = store.previous[-1]
        c = bytes.fromhex(newest.c)
        return State(newest.last_seq, c, feed.transcript_start(store.origin, newest.last_seq, c))
    c = chain_start(store.origin)
    return State(0, c, feed.transcript_start(store.origin, 0, c))


def previous_of(store: Store) -> list[dict[str, Any]]:
    """The origins this store had before, as heads and slices name them."""
    return [msgspec.to_builtins(entry) for entry in store.previous]


def next_head(store: Store, before: Head | None, state: State, slices: Sequence[Slice], saw: Saw) -> Head:
    """The head that follows `before` and speaks of these slices; InvalidInput when nobody could read it."""
    start = start_of(store)
    head = Head(
        gen=1,
        origin=store.origin,
        public_key=store.file.public_key,
        name=store.name,
        start_seq=start.seq,
        start_c=start.c.hex(),
        previous=tuple(previous_of(store)),
        last_seq=state.seq,
        c=state.c.hex(),
        t=state.t.hex(),
        slices=tuple(slices),
        redacted=(),
        published_at=store.machine.now(),
        saw=saw,
        raw=b"",
    )
    return signed(head if before is None else head._replace(gen=before.gen + 1, redacted=before.redacted), store)


def signed(head: Head, store: Store) -> Head:
    """A head with its signature by the key in force; InvalidInput when nobody could read it: this feed must go on."""
    value = feed.head_value(head)
    raw = feed.head_file(value, sign(store.private_key(), feed.signed_bytes(value)))
    try:
        feed.parse_head(raw)
    except feed.MalformedHead as error:
        raise InvalidInput(
            f"store.json makes a head nobody could read: {error}", path=store.folder, rule="F2"
        ) from None
    return head._replace(raw=raw)


def seen_of_others(holdings: Holdings) -> Saw:
    """How far we have read others, as our head tells them [F2]; nothing of a damaged mirror or a blocked origin."""
    found = {}
    for origin in holdings.mirror.origins():
        silent = origin.startswith(BRIDGE_PREFIX) or holdings.trust.is_blocked(origin)
        head = None if silent else holdings.head(origin)
        if head is not None:
            found[origin] = (head.last_seq, head.c, head.t)
    return found


def remember(store: Store, head: Head, tiers: Sequence[int], position: Position) -> None:
    """Note down what was published last, durably."""
    store.update_local(
        published={
            "origin": head.origin,
            "gen": head.gen,
            "last_seq": head.last_seq,
            "c": head.c,
            "t": head.t,
            "tiers": list(tiers),
            "position": [position.seq, position.c.hex(), *position[2:]],
        }
    )


def tiers_of(store: Store, slices: Sequence[Slice]) -> list[int]:
    """How often each slice was merged: kept in local.json, guessed from the size where that is lost."""
    kept = (store.published() or {}).get("tiers")
    if isinstance(kept, list) and len(kept) == len(slices):
        return [int(tier) for tier in kept]
    bounds = (64 * 1024, 1024 * 1024, 8 * 1024 * 1024)
    return [sum(entry.raw_bytes > bound for bound in bounds) for entry in slices]
