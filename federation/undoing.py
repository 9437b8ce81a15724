"""Undoing: the records that take back what was decided last.

Nothing is removed: undoing is deciding again [K5]. What was here before an accept is here once more, as a copy of that
version with what it included; the candidate is judged as if nobody had ever decided. Undoing is the last decision then,
and can be undone in its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from federation.causality import put_back
from federation.errors import UndoStopped
from federation.holdings import Holdings
from federation.settling import version_decided
from journal import ActionClass, Draft, Query, Record, Told, Version, changes_entity


def drafts_of_undo(holdings: Holdings) -> list[Draft]:
    """The records that undo the newest decision, with all that was decided together with it; none without a decision.

    UndoStopped when an entity was changed since, or what it was before cannot be read.
    """
    batch = _last_batch(holdings)
    undone = {(told.record.item_type, told.record.item_id) for told in batch if _puts_back(told.record)}
    drafts: list[Draft] = []
    for told in batch:
        if changes_entity(told.record):
            drafts += _put_back(holdings, told, batch[0].record.seq)
        elif told.record.action == "reopen":
            is_beside_its_entity = (told.record.item_type, told.record.item_id) in undone
            drafts += [] if is_beside_its_entity else _decided_again(holdings, told.record, batch[0].record.seq)
        elif told.record.action_class is ActionClass.DECISION:
            drafts.append(_reopen(told.record, told.record.root))
    return drafts


def _last_batch(holdings: Holdings) -> Sequence[Told]:
    """The newest decision and all records written in one batch with it [J6], oldest first."""
    store = holdings.store
    decided = (found for found in store.decisions(store.position().seq) if found.action_class is not ActionClass.META)
    newest = deque(decided, maxlen=1)
    if not newest:
        return ()
    seq = newest[0].seq
    (told,) = store.history.newest_first(Query(since=seq - 1, until=seq))
    number, count = told.record.batch or (1, 1)
    return [*store.history.newest_first(Query(since=seq - number, until=seq - number + count))][::-1]


def _puts_back(record: Record) -> bool:
    """Whether an entity record is not an accept but undoes one."""
    return changes_entity(record) and record.cause is None


# --- entities --------------------------------------------------------------------------------------------------------


def _put_back(holdings: Holdings, taken: Told, first_seq: int) -> Iterator[Draft]:
    """The entity as it was before a batch; and where that was an accept, the candidate reopened.

    What undid an accept is undone by that accept: it is one again, and so a decision.
    """
    record = taken.record
    former = _former(holdings, taken, first_seq)
    declined = version_decided(holdings, record)
    cause = former.record.cause if former is not None and _puts_back(record) else None
    if declined is None and former is None:
        raise UndoStopped(f"{_name(record)}: what was accepted cannot be told", seq=record.seq, rule="K5")
    found = put_back(None if former is None else former.head(), declined or Version("", 0, ""))
    payload = None if former is None else _payload(holdings, former)
    yield Draft(
        "delete" if payload is None else "rollback" if cause is None else "accept",
        record.item_type,
        record.item_id,
        payload,
        summary=None if former is None else former.record.summary,
        cause=cause,
        root=str(found.root),
        context=found.context,
        claims=found.claims,
    )
    if declined is not None:
        yield _reopen(record, str(declined))


def _former(holdings: Holdings, taken: Told, first_seq: int) -> Told | None:
    """The record that made the entity what it was before; None where it was not here."""
    record = taken.record
    item_type, item_id = record.item_type, record.item_id or ""
    head = holdings.store.head(item_type, item_id)
    if head is None or head.seq != record.seq:
        later = "" if head is None else f", by seq {head.seq}"
        raise UndoStopped(f"{_name(record)} was changed since{later}", seq=record.seq, rule="K5")
    query = Query(until=first_seq - 1, entity=(item_type, item_id))
    found = next((told for told in holdings.store.history.newest_first(query) if changes_entity(told.record)), None)
    rev = 0 if found is None else found.record.entity_rev
    if rev != head.entity_rev - 1:
        raise UndoStopped(f"rev {head.entity_rev - 1} of {_name(record)} cannot be read", seq=record.seq, rule="K5")
    return found


def _payload(holdings: Holdings, former: Told) -> bytes | None:
    if former.record.action_class is ActionClass.TOMBSTONE:
        return None
    payload = holdings.store.payload_of(former.record)
    if payload is None:
        text = f"rev {former.record.entity_rev} of {_name(former.record)} was redacted"
        raise UndoStopped(text, seq=former.record.seq, rule="K5")
    return payload


# --- decisions -------------------------------------------------------------------------------------------------------


def _reopen(record: Record, root: str | None) -> Draft:
    return Draft("reopen", record.item_type, record.item_id, cause=record.cause, root=root)


def _decided_again(holdings: Holdings, reopened: Record, first_seq: int) -> Iterator[Draft]:
    """What a lone reopen had undone: the decision before it about the same version."""
    about = (reopened.item_type, reopened.item_id, reopened.cause, reopened.root)
    before = [found for found in holdings.store.decisions(first_seq - 1) if found[2:] == about]
    if before and before[-1].action in ("reject", "snooze"):
        seq = before[-1].seq
        (told,) = holdings.store.history.newest_first(Query(since=seq - 1, until=seq))
        record = told.record
        yield Draft(
            record.action,
            record.item_type,
            record.item_id,
            holdings.store.payload_of(record),
            summary=record.summary,
            cause=record.cause,
            root=record.root,
        )


def _name(record: Record) -> str:
    return f"{record.item_type}/{record.item_id}"
