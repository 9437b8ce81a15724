"""Undoing the last decision between whole stores: what is here again, what is asked again, what others see of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from eventsync.sharing import Sharing
from federation.audit import audit
from federation.errors import UndoStopped
from federation.inbox import Filter
from federation.model import Candidate, Resolution, Verdict
from federation.receipts import receipts
from journal import Record
from tests.integration.world import (
    World,
    accept_all,
    answers,
    candidates,
    entities,
    meet,
    payload,
    pull,
    put,
    rebuilt,
    remove,
    share,
)


def together(world: World, *names: str) -> list[Sharing]:
    """Stores that all have plan/p of the first one, and know it of each other."""
    stores = [world.store(name) for name in names]
    put(stores[0], "p", n=1)
    meet(*stores)
    for store in stores[1:]:
        accept_all(store)
    meet(*stores)
    return stores


def of(store: Sharing, origin: Sharing, item_id: str = "p") -> Candidate:
    """The candidate of an entity from one other store."""
    (found,) = [item for item in candidates(store) if (item.origin, item.item_id) == (origin.store.origin, item_id)]
    return found


def undo(store: Sharing) -> list[str]:
    """inbox undo; what it wrote"""
    return [f"{found.action} {found.item_id}" for found in store.deciding("test").undo().written]


def newest(store: Sharing, count: int = 1) -> list[Record]:
    """The last records of a journal."""
    return list(store.store.log(last=count))


def seen(store: Sharing) -> Any:
    """All that a store says of itself and of others, less revs: an undo is a record, and counts."""
    found = answers(store)
    return {**found, "entities": {key: value for key, (_, value) in found["entities"].items() if value is not None}}


def accept(store: Sharing, origin: Sharing) -> None:
    store.deciding("test").accept([of(store, origin).id], Resolution.MERGE)


def theirs(store: Sharing, origin: Sharing) -> None:
    store.deciding("test").accept([of(store, origin).id], Resolution.THEIRS)


def edited(store: Sharing, origin: Sharing) -> None:
    store.deciding("test").accept_edited(store.inbox.diff(of(store, origin).id), {"title": "by hand"})


def reject(store: Sharing, origin: Sharing) -> None:
    store.deciding("test").reject([of(store, origin).id], reason="no")


# --- every kind of decision ------------------------------------------------------------------------------------------

Prepared = tuple[Sharing, Sharing]


def new(world: World) -> Prepared:
    a, b = world.store("a"), world.store("b")
    put(b, "p", n=1)
    meet(b, a)
    return a, b


def update(world: World) -> Prepared:
    a, b = together(world, "a", "b")
    put(b, "p", n=2)
    meet(b, a)
    return a, b


def gone(world: World) -> Prepared:
    a, b = together(world, "a", "b")
    remove(b, "p")
    meet(b, a)
    return a, b


def identical(world: World) -> Prepared:
    a, b = world.store("a"), world.store("b")
    put(a, "p", n=1)
    put(b, "p", n=1)
    meet(b, a)
    return a, b


def conflict(world: World) -> Prepared:
    a, b = together(world, "a", "b")
    put(a, "p", n=1, here=1)
    put(b, "p", n=1, there=1)
    meet(b, a)
    return a, b


def deleted_here(world: World) -> Prepared:
    a, b = together(world, "a", "b")
    remove(a, "p")
    put(b, "p", n=2)
    meet(b, a)
    return a, b


def anew(world: World) -> Prepared:
    """Accepted once, and undone: nothing was here."""
    a, b = new(world)
    accept(a, b)
    undo(a)
    return a, b


DECISIONS = [
    (new, accept),
    (new, edited),
    (new, reject),
    (anew, accept),
    (anew, reject),
    (update, accept),
    (update, edited),
    (update, reject),
    (gone, accept),
    (gone, edited),
    (identical, accept),
    (conflict, accept),
    (conflict, theirs),
    (conflict, edited),
    (conflict, reject),
    (deleted_here, theirs),
]


@pytest.mark.parametrize(("prepare", "decide"), DECISIONS, ids=lambda verb: getattr(verb, "__name__", ""))
def test_after_an_undo_all_is_as_before_and_after_another_as_decided(
    world: World, prepare: Callable[[World], Prepared], decide: Callable[[Sharing, Sharing], None]
) -> None:
    """[K5] What is here, each verdict, what a rebuild says; and nothing leaves the journal."""
    a, b = prepare(world)
    before = seen(a)
    decide(a, b)
    decided = seen(a)
    assert decided != before
    history = list(a.store.log())
    for wanted in (before, decided, before, decided):
        assert undo(a)
        assert seen(a) == wanted
        assert seen(rebuilt(a)) == wanted
        assert list(a.store.log())[: len(history)] == history
        history = list(a.store.log())
    assert [found for found in a.store.verify().findings if found.severity == "error"] == []
    assert list(audit(a.holdings)) == []


@pytest.mark.parametrize(("prepare", "decide"), DECISIONS, ids=lambda verb: getattr(verb, "__name__", ""))
@pytest.mark.parametrize("published", [True, False])
def test_others_are_asked_nothing_new_by_an_undo(
    world: World, prepare: Callable[[World], Prepared], decide: Callable[[Sharing, Sharing], None], published: bool
) -> None:
    """[K3] [K4] Whoever has the version, and who never heard of it; nobody is called a liar."""
    a, b = prepare(world)
    c = world.store("c")
    share(a)
    pull(b)
    pull(c)
    asked = {
        (item.origin, str(item.version)) for item in [*b.inbox.candidates(Filter()), *c.inbox.candidates(Filter())]
    }
    decide(a, b)
    if published:
        share(a)
    undo(a)
    share(a)
    for store in (b, c):
        pull(store)
        now = {(item.origin, str(item.version)) for item in candidates(store, Filter())}
        assert now <= asked
        assert store.holdings.index.flagged_origins() == []
    pull(a)
    assert a.holdings.index.flagged_origins() == []


# --- the records -----------------------------------------------------------------------------------------------------


def test_an_undone_accept_is_a_copy_of_what_was_here_and_a_reopen(world: World) -> None:
    a, b = update(world)
    accept(a, b)
    accepted = newest(a)[0]
    assert undo(a) == ["rollback p", "reopen p"]
    back, reopened = newest(a, 2)
    assert (back.batch, reopened.batch) == ((1, 2), (2, 2))
    first = next(iter(a.store.log()))
    assert back.root == f"{a.store.origin}@1#{first.c[:12]}"
    assert (back.context, back.cause, back.entity_rev) == (
        None if back.context is None else {a.store.origin: 1},
        None,
        3,
    )
    assert back.payload_bytes == first.payload_bytes
    assert (reopened.cause, reopened.root) == (accepted.cause, accepted.root)
    assert of(a, b).verdict == Verdict.UPDATE
    assert undo(a) == ["accept p"]
    again = newest(a)[0]
    assert (again.cause, again.root, again.context) == (accepted.cause, accepted.root, accepted.context)


def test_what_was_not_here_before_is_gone_and_new_again(world: World) -> None:
    """[K3] The tombstone reaches nothing; a put over it knows nothing of their version."""
    a, b = new(world)
    accept(a, b)
    assert undo(a) == ["delete p", "reopen p"]
    gone_again, _ = newest(a, 2)
    assert (gone_again.context, gone_again.root) == ({}, f"{b.store.origin}@1#{newest(b)[0].c[:12]}")
    assert (of(a, b).verdict, a.store.list()) == (Verdict.NEW, [])
    put(a, "p", mine=1)
    assert newest(a)[0].context is None
    assert of(a, b).verdict == Verdict.CONFLICT


def test_all_that_was_decided_in_one_command_is_undone_together(world: World) -> None:
    a, b = update(world)
    put(b, "q", "r")
    remove(b, "p")
    meet(b, a)
    before = seen(a)
    assert len(accept_all(a).written) == 3
    assert undo(a) == ["delete q", "reopen q", "delete r", "reopen r", "rollback p", "reopen p"]
    assert seen(a) == before
    a.deciding("test").reject([of(a, b, "q").id, of(a, b, "r").id])
    assert undo(a) == ["reopen q", "reopen r"]
    assert undo(a) == ["reject q", "reject r"]


def test_a_later_version_after_an_undo_is_judged_as_if_nothing_had_been_accepted(world: World) -> None:
    a, b, c = together(world, "a", "b", "c")
    put(b, "p", n=2)
    meet(a, b, c)
    accept(a, b)
    undo(a)
    put(b, "p", n=3)
    meet(b, a)
    assert of(a, b).verdict == Verdict.UPDATE
    accept(a, b)
    assert payload(a, "p")["n"] == 3
    meet(a, c)
    accept_all(c)
    assert entities(c)["plan/p"][1] == entities(a)["plan/p"][1] == entities(b)["plan/p"][1]


def test_a_receipt_is_taken_back_with_the_decision(world: World) -> None:
    a, b = update(world)
    accept(a, b)
    share(a)
    pull(b)
    before = receipts(b.holdings, a.store.origin)
    undo(a)
    share(a)
    pull(b)
    assert receipts(b.holdings, a.store.origin) == (before[0] - 1, before[1])
    assert receipts(rebuilt(b).holdings, a.store.origin) == (before[0] - 1, before[1])


# --- what stops it ---------------------------------------------------------------------------------------------------


def test_nothing_decided_is_nothing_to_undo(world: World) -> None:
    a = world.store("a")
    put(a, "p")
    assert undo(a) == []
    assert len(newest(a, 9)) == 1


def test_what_was_changed_since_is_not_taken_back(world: World) -> None:
    a, b = update(world)
    put(b, "q")
    meet(b, a)
    accept_all(a)
    put(a, "p", mine=1)
    before = a.store.position().seq
    with pytest.raises(UndoStopped, match=rf"plan/p was changed since, by seq {before}"):
        undo(a)
    assert a.store.position().seq == before


def test_what_was_here_before_and_cannot_be_read_stops_it(world: World) -> None:
    a, b = update(world)
    put(a, "p", n=7)
    share(a)
    pull(b)
    theirs(b, a)
    put(b, "p", n=8)
    meet(b, a)
    accept(a, b)
    (log,) = (a.store.folder / "journal").glob("seg-*.jsonl")
    log.write_bytes(log.read_bytes().replace(b'"n":7', b'"n":9', 1))
    again = world.again(a)
    with pytest.raises(UndoStopped, match="rev 2 of plan/p cannot be read"):
        undo(again)


def test_an_entry_of_a_version_that_was_undone_is_no_lie(world: World) -> None:
    """[K4] Who had it and went on from it tells the truth."""
    a, b, c = together(world, "a", "b", "c")
    put(a, "p", n=1, here=1)
    put(b, "p", n=1, there=1)
    meet(b, a)
    accept(a, b)
    meet(a, c)
    accept_all(c)
    put(c, "p", n=3)
    undo(a)
    meet(c, a)
    assert of(a, c).verdict == Verdict.UPDATE
    assert a.holdings.index.flagged_origins() == []


def test_an_undo_of_a_decision_that_is_the_last_no_more_stops(world: World) -> None:
    """[K5] Whoever means the own answer takes back nobody else's."""
    a, b = world.store("a"), world.store("b")
    put(a, "p", "q")
    meet(a, b)
    mine = b.deciding("test").accept([of(b, a).id]).written[-1].seq
    world.again(b).deciding("another").accept([of(b, a, "q").id])
    before = entities(b)
    with pytest.raises(UndoStopped, match="somebody decided something else since"):
        b.deciding("test").undo(mine)
    assert entities(b) == before
