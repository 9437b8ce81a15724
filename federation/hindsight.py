"""Hindsight: the inbox as the local journal stood at a seq.

What is held of others has no time of ours: a pull writes nothing into the journal. So the candidates of today are
judged against the entities and decisions of then; and where one was decided later, it is shown as the record that was
decided about. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from federation.causality import judge
from federation.errors import DamagedFeed
from federation.inbox import Filter, Inbox
from federation.index import Row
from federation.materializer import row_at
from federation.mirror import BRIDGE_PREFIX
from federation.model import OPEN_VERDICTS, Candidate
from federation.settling import Decisions, covering, decided_by
from journal import LocalHead, Ref

_Key = tuple[str, str]


def candidates_at(inbox: Inbox, seq: int, wanted: Filter, *, payloads: bool = False) -> Iterator[Candidate]:
    """Candidates by origin and seq, as they were when the journal ended at `seq`; what was held then is not known.

    NoSuchRecord when the journal ends before.
    """
    with inbox.holdings.store.history.entities_at(seq) as found:
        heads = {(head.item_type, head.item_id): head for head in found}
    settled, decided_later = _decisions(inbox, seq)
    rows = inbox.holdings.index.rows(origin=wanted.origin, item_type=wanted.item_type, settled_too=True)

    def judged() -> Iterator[Candidate]:
        for newest in list(rows):
            if newest.origin in inbox.holdings.damaged:
                continue
            try:
                row = _judged(inbox, _then(inbox, newest, decided_later), heads, settled)
                yield inbox.candidate(row, held=False, payloads=payloads)
            except DamagedFeed:
                continue  # its origin stands in `damaged` now

    return (candidate for candidate in judged() if _is_wanted(candidate, wanted))


def _is_wanted(candidate: Candidate, wanted: Filter) -> bool:
    if wanted.verdict is not None:
        return candidate.verdict == wanted.verdict
    return wanted.settled_too or candidate.verdict in OPEN_VERDICTS


def _decisions(inbox: Inbox, seq: int) -> tuple[Decisions, Mapping[tuple[str, _Key], int]]:
    """What was settled up to a seq, and after it the foreign record that was decided about first, by candidate."""
    holdings, store = inbox.holdings, inbox.holdings.store
    settled = Decisions()
    for record in store.decisions(seq):
        for found in decided_by(holdings, record):
            (settled.add if found.action in ("accept", "reject") else settled.discard)(found)
    later: dict[tuple[str, _Key], int] = {}
    for record in store.decisions(store.position().seq, since=seq):
        if record.item_id is not None:
            cause = Ref.parse(record.cause)
            later.setdefault((cause.origin, (record.item_type, record.item_id)), cause.seq)
    return settled, later


def _then(inbox: Inbox, newest: Row, decided_later: Mapping[tuple[str, _Key], int]) -> Row:
    """The record that a candidate was: no newer one than what was decided about later."""
    shown = decided_later.get((newest.origin, (newest.item_type, newest.item_id)), newest.seq)
    if shown >= newest.seq or newest.origin.startswith(BRIDGE_PREFIX):
        return newest
    return row_at(inbox.holdings.mirror.feed(newest.origin), newest.origin, shown) or newest


def _judged(inbox: Inbox, row: Row, heads: Mapping[_Key, LocalHead], settled: Decisions) -> Row:
    """The row with the verdict of then [K3]."""
    holdings, foreign = inbox.holdings, row.foreign_head()
    local = heads.get((row.item_type, row.item_id))
    found = judge(
        foreign,
        local,
        decided=covering(holdings, row, settled.on) is not None,
        same_payload=lambda: local is not None and holdings.is_same_payload(row, local),
        facts=holdings.facts,
    )
    lie = None if found.false_entry is None else str(Ref(*found.false_entry))
    return row._replace(verdict=str(found.verdict), label=found.label, lie=lie)
