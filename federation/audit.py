"""Audit: is what we publish, and what we hold of others, still what was signed?

Reads own feed and mirrors whole and writes nothing: signatures, slice hashes, chain and transcript (F2, F3, F5).
Findings come in the shape of `Store.verify`, so that one command shows both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from federation.errors import DamagedFeed
from federation.feed_audit import MIRROR, OWN, audit_feed, wrong
from federation.holdings import Holdings
from federation.index_audit import audit_index, position_of
from federation.mirror import BRIDGE_PREFIX
from federation.model import HEAD_FILE, Head
from journal import Finding, JournalError, is_temporary


def audit(
    holdings: Holdings, look_at_index: Callable[[Holdings], Iterator[Finding]] = audit_index
) -> Iterator[Finding]:
    """What is wrong with the own feed, the mirrors and the index over them, one finding each."""
    yield from _own(holdings)
    yield from look_at_index(holdings)
    yield from _strays(holdings)
    for origin in holdings.mirror.origins():
        if origin.startswith(BRIDGE_PREFIX):
            yield from _bridge(holdings, origin)
            yield from _brake(holdings, origin)
            continue
        yield from audit_feed(holdings.store.disk, holdings.mirror.feed(origin), origin, MIRROR)
        yield from _without_head(holdings, origin)
        yield from _brake(holdings, origin)
        yield from _evidence(holdings, origin)


def _own(holdings: Holdings) -> Iterator[Finding]:
    store, own = holdings.store, holdings.own
    try:
        head = own.head()
    except DamagedFeed as error:
        yield wrong(OWN, error.message, error.path, seq=error.seq)
        return
    last = _published(holdings)
    if head is None and last is not None:
        yield wrong("feed-lost", f"the feed published up to seq {last['last_seq']} is gone [T1]", own.folder)
    elif head is not None and last is not None and (head.gen, head.last_seq) < (last["gen"], last["last_seq"]):
        text = f"the feed ends at seq {head.last_seq}, and seq {last['last_seq']} was published [T1]"
        yield wrong("feed-behind", text, own.folder / HEAD_FILE, seq=head.last_seq)
    if head is not None:
        yield from _memory(holdings, head)
    yield from audit_feed(store.disk, own, store.origin, OWN)


def _strays(holdings: Holdings) -> Iterator[Finding]:
    """What stands where only feeds and mirrors should."""
    mirror, disk = holdings.mirror, holdings.store.disk
    known = {mirror.path(origin).name for origin in mirror.origins()}
    for folder, names in ((mirror.folder, known), (holdings.own.folder.parent, set(holdings.own_feeds.origins))):
        for name in sorted(set(disk.each_name(folder)) - names):
            text = "left behind by an interrupted write" if is_temporary(name) else "no feed: it is not read"
            yield Finding("stray-file", "info", text, str(folder / name), fixable=is_temporary(name))


def _bridge(holdings: Holdings, origin: str) -> Iterator[Finding]:
    folder = holdings.bridge(origin)
    try:
        for copied in folder.state().segments:
            folder.raw(copied)
    except (DamagedFeed, JournalError) as error:
        yield wrong(MIRROR, error.message, error.path or folder.folder, seq=error.seq)


def _brake(holdings: Holdings, origin: str) -> Iterator[Finding]:
    """A brake that can be read, and stands where the mirror is: else it would release what it holds [K5]."""
    try:
        brake = holdings.mirror.brake(origin)
        head = None if origin.startswith(BRIDGE_PREFIX) else holdings.mirror.feed(origin).head()
    except DamagedFeed as error:
        if error.path != str(holdings.mirror.path(origin) / HEAD_FILE):  # that was told
            yield wrong(MIRROR, error.message, error.path)
        return
    if brake is not None and head is not None and brake.after_seq > head.last_seq:
        message = f"the brake stands at seq {brake.after_seq}, and the mirror ends at seq {head.last_seq} [K5]"
        yield wrong(MIRROR, message, holdings.mirror.path(origin) / "brake.json", seq=brake.after_seq)


def _without_head(holdings: Holdings, origin: str) -> Iterator[Finding]:
    """A head that is gone: a pull that was stopped leaves slices without one too, but then nobody has read them."""
    folder = holdings.mirror.path(origin)
    if holdings.store.disk.size(folder / HEAD_FILE) is not None:
        return
    seq = position_of(holdings, origin)
    if seq:
        message = f"is gone: this mirror was read up to seq {seq} [F5]"
        yield wrong(MIRROR, message, folder / HEAD_FILE, seq=seq)


def _evidence(holdings: Holdings, origin: str) -> Iterator[Finding]:
    """What froze an origin, and whether that is still what its name says [F5]."""
    for name in holdings.trust.unsettled(origin):
        path = holdings.mirror.path(origin) / "fork" / name
        yield Finding("origin-forked", "warning", f"{origin} signed two contradicting feeds", str(path))
    for name in holdings.mirror.fork_evidence(origin):
        try:
            holdings.mirror.evidence(origin, name)
        except (DamagedFeed, JournalError) as error:
            yield wrong(MIRROR, f"{error.message} [F5]", error.path)


def _published(holdings: Holdings) -> dict[str, Any] | None:
    """What local.json remembers of the last publish; None where it cannot be read, which `Store.verify` tells."""
    try:
        last = holdings.store.published()
    except JournalError:
        return None
    return last if last is not None and all(isinstance(last.get(key), int) for key in ("gen", "last_seq")) else None


def _memory(holdings: Holdings, head: Head) -> Iterator[Finding]:
    """What local.json remembers of the last publish is what the feed is; a killed publish leaves it behind [T1]."""
    path, last = holdings.store.folder / "local.json", _published(holdings)
    if last is None and head.gen > 1:
        message = f"nothing is remembered of the last publish, and the feed ends at seq {head.last_seq} [T1]"
        yield Finding("published-differs", "warning", message, str(path), None, head.last_seq)
    elif last is not None and last["gen"] == head.gen:
        told = [key for key in ("last_seq", "c", "t") if last.get(key) != getattr(head, key)]
        if told:
            message = f"remembers another {', '.join(told)} of the last publish than the feed has [T1]"
            yield wrong("published-differs", message, path, seq=head.last_seq)
