"""Receipts: what others read, accepted and rejected of ours, as their own feeds say. No back channel [K5].

A feed names the version it decided about: by `root`, from whomever that version came; by `cause` where a decision goes
over a conflict, and then the record at `cause` may be a third store's copy of ours, which is looked up when asked. The
last word of an origin on a version counts, once. All of it is what they claim of themselves: nothing depends on it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from federation.mirror import BRIDGE_PREFIX
from journal import Database, Ref, Version

if TYPE_CHECKING:
    from federation.holdings import Holdings

RECEIPT_TABLE: Final = """
CREATE TABLE receipts (origin TEXT NOT NULL, whose TEXT NOT NULL, seq INTEGER NOT NULL, digest TEXT NOT NULL,
    action TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (origin, whose, seq)) STRICT, WITHOUT ROWID;
"""
_SELECT: Final = "SELECT whose, seq, digest, action, at FROM receipts"
_NEWEST: Final = 10
_DECISIONS: Final = {"accept": "accepted", "reject": "rejected"}
Bounds = Mapping[str, int]  # origins of ours, and up to which seq each is


class Receipt(NamedTuple):
    """The last word of an origin on a version of ours, or on a record of a third origin that may be a copy of one."""

    whose: str
    seq: int
    digest: str  # "" where only the record is named
    action: str  # accept | reject, or reopen, which undoes either
    at: int  # the seq of their record


class ReceiptTable:
    """The receipts that the index keeps, one row for each origin and version."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of(self, origin: str) -> Iterator[Receipt]:
        """All that an origin says."""
        return (Receipt(*row) for row in self._db.rows(f"{_SELECT} WHERE origin = ?", (origin,)))

    def count(self, origin: str, ours: Bounds) -> Counter[str]:
        """How often which is the last word of an origin on versions of ours."""
        where, arguments = _within(ours)
        statement = f"SELECT action, count(*) FROM receipts WHERE origin = ? AND ({where}) GROUP BY action"
        return Counter(dict(self._db.rows(statement, (origin, *arguments))))

    def on(self, origin: str, whose: str, seq: int) -> Receipt | None:
        """The last word of an origin on one version, None where it says nothing of it by name."""
        row = self._db.one(f"{_SELECT} WHERE origin = ? AND whose = ? AND seq = ?", (origin, whose, seq))
        return None if row is None else Receipt(*row)

    def newest(self, origin: str, ours: Bounds) -> Iterator[Receipt]:
        """The last words of an origin on versions of ours, newest first."""
        where, arguments = _within(ours)
        rows = self._db.rows(f"{_SELECT} WHERE origin = ? AND ({where}) ORDER BY at DESC", (origin, *arguments))
        return (Receipt(*row) for row in rows)

    def of_others(self, origin: str, ours: Bounds) -> list[Receipt]:
        """The last words of an origin on all else, neighbours of one feed together."""
        where, arguments = _within(ours)
        rows = self._db.rows(f"{_SELECT} WHERE origin = ? AND NOT ({where}) ORDER BY whose, seq", (origin, *arguments))
        return [Receipt(*row) for row in rows]


def _within(ours: Bounds) -> tuple[str, list[str | int]]:
    return " OR ".join(["whose = ? AND seq <= ?"] * len(ours)), [part for bound in ours.items() for part in bound]


# --- what they come to -----------------------------------------------------------------------------------------------


class Receipts(NamedTuple):
    """How many versions of ours, former origins included, an origin accepted and rejected."""

    accepted: int
    rejected: int


class TheirDecision(NamedTuple):
    """What an origin decided about one version of ours."""

    version: Version
    item_type: str
    item_id: str
    decision: str  # accepted | rejected
    at: int  # the seq of their record


class Standing(NamedTuple):
    """How far an origin is with what we publish."""

    have_seq: int | None  # up to where it read us; None where it does not say
    receipts: Receipts
    took_back: bool | None  # whether it read our newest redaction; None when there is none, or unknown


def standing(holdings: Holdings, origin: str, redacted: int | None) -> Standing:
    """What an origin says of us; `redacted` is the seq of our newest record that tells of a redaction."""
    have = _read_up_to(holdings, origin)
    took_back = None if have is None or redacted is None else have >= redacted
    return Standing(have, receipts(holdings, origin), took_back)


def receipts(holdings: Holdings, origin: str) -> Receipts:
    """What an origin decided about our versions, in numbers."""
    table = holdings.index.receipts
    count = table.count(origin, _ours(holdings))
    for receipt in _by_copies(holdings, origin):
        before = table.on(origin, receipt.whose, receipt.seq)
        count.subtract([] if before is None else [before.action])
        count.update([receipt.action])
    return Receipts(count["accept"], count["reject"])


def newest_decisions(holdings: Holdings, origin: str, limit: int = _NEWEST) -> list[TheirDecision]:
    """Its newest decisions about our versions, newest first; none that it took back, none about what we do not have."""
    by_copies = sorted(_by_copies(holdings, origin), key=_at, reverse=True)
    overruled = {receipt[:2] for receipt in by_copies}
    named = (found for found in holdings.index.receipts.newest(origin, _ours(holdings)) if found[:2] not in overruled)
    told = (_told(holdings, receipt) for receipt in heapq.merge(by_copies, named, key=_at, reverse=True))
    return list(islice((decision for decision in told if decision is not None), limit))


def _at(receipt: Receipt) -> int:
    return receipt.at


def _ours(holdings: Holdings) -> Bounds:
    """What anybody can have read of us: a receipt beyond it is about another copy of this store, or a lie."""
    own, head = holdings.own_feeds, holdings.own.head()
    return {origin: own.left_at(origin) for origin in own.origins} | {
        holdings.store.origin: 0 if head is None else head.last_seq
    }


def _by_copies(holdings: Holdings, origin: str) -> list[Receipt]:
    """Its decisions over third stores' copies of our versions, where they are its last word on those."""
    from federation.settling import version_of_cause  # reads the index, whose table this is

    table, ours = holdings.index.receipts, _ours(holdings)
    found: dict[tuple[str, int], Receipt] = {}
    for receipt in table.of_others(origin, ours):
        version = version_of_cause(holdings, str(Ref(receipt.whose, receipt.seq)))
        if version is None or version.seq > ours.get(version.origin, 0):
            continue
        latest = found.get(version[:2]) or table.on(origin, *version[:2])
        if latest is None or latest.at < receipt.at:
            found[version[:2]] = receipt._replace(whose=version.origin, seq=version.seq, digest=version.digest)
    return list(found.values())


def _told(holdings: Holdings, receipt: Receipt) -> TheirDecision | None:
    """A receipt with the entity it is about; None for one that was taken back, or is about no record of ours."""
    if receipt.action not in _DECISIONS:
        return None
    record = next(holdings.store.log(since=receipt.seq - 1), None)
    if record is None or record.seq != receipt.seq or record.item_id is None:
        return None
    if not record.c.startswith(receipt.digest):  # of another copy of this store
        return None
    version = Version(receipt.whose, receipt.seq, record.c[:12])
    return TheirDecision(version, record.item_type, record.item_id, _DECISIONS[receipt.action], receipt.at)


def _read_up_to(holdings: Holdings, origin: str) -> int | None:
    """Up to which seq of ours an origin's head says it read us: under the origin in force, or one we had before."""
    head = None if origin.startswith(BRIDGE_PREFIX) else holdings.head(origin)
    own, saw = holdings.own_feeds, {} if head is None else head.saw
    read = [min(saw[ours][0], own.left_at(ours) or saw[ours][0]) for ours in own.origins if ours in saw]
    return max(read, default=None)
