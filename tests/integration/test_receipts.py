"""Receipts: what others decided about ours is told by their feeds alone, each version once, whoever brought it."""

from __future__ import annotations

from eventsync.sharing import Sharing
from federation.receipts import newest_decisions, receipts, standing
from tests.integration.forger import Forger
from tests.integration.test_new_identity import renewed
from tests.integration.world import World, accept, candidates, meet, pull, put, rebuilt, reject, share


def told(store: Sharing, origin: str) -> list[tuple[str, str, int]]:
    return [(found.item_id, found.decision, found.at) for found in newest_decisions(store.holdings, origin)]


def test_a_decision_over_a_third_stores_copy_of_ours_is_about_ours(world: World) -> None:
    """[K5] It names no root: the copy says whose version it was, in whatever order both feeds come."""
    a, b, c = world.store("a"), world.store("b"), world.store("c")
    put(c, "p1", side="c")
    put(a, "p1", side="a")
    put(a, "p2", side="a")
    meet(a, b)
    accept(b, *[item.id for item in candidates(b) if item.origin_name == "a"])
    share(b)
    pull(c)
    (copy,) = [item.id for item in candidates(c) if item.origin_name == "b" and item.item_id == "p1"]
    accept(c, copy, theirs=True)
    share(c)
    (world.bus / b.store.origin).rename(world.folder / "aside")
    pull(a)
    assert receipts(a.holdings, c.store.origin) == (0, 0)  # nobody can know yet whose version that was
    (world.folder / "aside").rename(world.bus / b.store.origin)
    pull(a)
    assert receipts(a.holdings, b.store.origin) == (2, 0)
    assert receipts(a.holdings, c.store.origin) == (1, 0)
    assert told(a, c.store.origin) == [("p1", "accepted", 2)]
    assert receipts(rebuilt(a).holdings, c.store.origin) == (1, 0)


def test_the_last_word_on_a_version_counts_whoever_brought_it(world: World) -> None:
    """[K5] A version is one version, by name or by a copy of it."""
    a, b, c = world.store("a"), world.store("b"), world.store("c")
    put(a, "p1", side="a")
    meet(a, b)
    accept(b, "plan/p1")
    put(c, "p1", side="c")
    for store in (b, c):
        share(store)
    pull(c)
    by_name = {item.origin_name: item.id for item in candidates(c)}
    reject(c, by_name["a"])
    share(c)
    pull(a)
    assert receipts(a.holdings, c.store.origin) == (0, 1)
    c.deciding("test").undo()
    accept(c, by_name["b"], theirs=True)
    share(c)
    pull(a)
    assert receipts(a.holdings, c.store.origin) == (1, 0)
    assert [found[:2] for found in told(a, c.store.origin)] == [("p1", "accepted")]
    assert receipts(rebuilt(a).holdings, c.store.origin) == (1, 0)


def test_the_newest_decisions_come_first_and_what_was_taken_back_is_none(world: World) -> None:
    a, b = world.store("a"), world.store("b")
    put(a, "p1", "p2", "p3", "p4")
    meet(a, b)
    accept(b, "plan/p2")
    reject(b, "plan/p1")
    accept(b, "plan/p3")
    accept(b, "plan/p4")
    b.deciding("test").undo()
    share(b)
    pull(a)
    assert told(a, b.store.origin) == [("p3", "accepted", 3), ("p1", "rejected", 2), ("p2", "accepted", 1)]
    assert [found.item_id for found in newest_decisions(a.holdings, b.store.origin, 1)] == ["p3"]
    assert receipts(a.holdings, b.store.origin) == (2, 1)


def test_nothing_is_counted_that_nobody_can_have_read(world: World) -> None:
    """[K4] A receipt is a claim: of what we never published, of another copy of this store, of nonsense."""
    a, forger = world.store("a"), Forger()
    put(a, "p1", "p2")
    share(a)
    own = a.store.origin
    put(a, "p3")  # not published yet
    forger.record("p1", action="accept", cause=f"{own}@1", root=f"{own}@1#{'0' * 12}", context={own: 1})
    forger.record("p3", action="accept", cause=f"{own}@3", root=f"{own}@3#{'0' * 12}", context={own: 3})
    forger.record("p9", action="accept", cause=f"{own}@9000", context={forger.origin: 3, own: 9})
    forger.record("p2", action="reject", payload=None, cause=f"{own}@2", root="nonsense")
    forger.record("q", action="accept", cause=f"{forger.origin}@1", context={forger.origin: 5})
    forger.feed().put_into(world.bus)
    pull(a)
    assert receipts(a.holdings, forger.origin) == (1, 0)
    assert newest_decisions(a.holdings, forger.origin) == []  # seq 1 of ours has another digest
    assert receipts(rebuilt(a).holdings, forger.origin) == (1, 0)


def test_what_they_read_of_a_former_identity_counts_up_to_where_it_was_left(world: World) -> None:
    """[I2] Seqs go on over identities, and so does what others have read."""
    a, b = world.store("a"), world.store("b")
    put(a, "p1", "p2")
    share(a)
    pull(b)
    accept(b, "plan/p1")
    share(b)
    a, _ = renewed(world, a)
    pull(a)
    before = standing(a.holdings, b.store.origin, None)
    assert (before.have_seq, before.receipts) == (2, (1, 0))
    put(a, "p3")
    share(a)
    pull(b)
    share(b)
    pull(a)
    after = standing(a.holdings, b.store.origin, None)
    assert (after.have_seq, after.receipts) == (a.store.position().seq, (1, 0))
    assert [found.version.origin for found in newest_decisions(a.holdings, b.store.origin)] != [a.store.origin]
