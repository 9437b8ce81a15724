"""Two stores that lie about what they read and what they decided: each speaks for itself only, and nothing freezes."""

from __future__ import annotations

from federation.model import Result
from federation.receipts import receipts
from tests.integration.forger import Forger
from tests.integration.world import World, by_origin, meet, pull, put, rebuilt, share

ZERO = {"c": "0" * 64, "t": "0" * 64}


def test_who_lies_about_what_it_read_is_told_with_both_names_and_freezes_nothing(world: World) -> None:
    """[F2] Also when two bear each other out."""
    author, reader, liars = world.store("author"), world.store("reader"), (Forger(8), Forger(9))
    put(author, "p1")
    put(reader, "own")
    meet(author, reader)
    saw = {author.store.origin: {"seq": 1} | ZERO, reader.store.origin: {"seq": 99} | ZERO}
    for liar in liars:
        liar.record("x")
        liar.feed(saw=saw).put_into(world.bus)
    found = by_origin(pull(reader))
    for liar in liars:
        assert found[liar.origin].result is Result.NEW
        about = [text for text in found[liar.origin].warnings if liar.origin in text]
        assert any(author.store.origin in text for text in about)
        assert any("up to seq 99, which we never published" in text for text in about)
    put(author, "p2")
    share(author)
    for liar in liars:
        liar.record("y")
        liar.feed(gen=2, saw=saw).put_into(world.bus)
    again = by_origin(pull(reader))
    assert {item.result for item in again.values()} == {Result.UPDATED}
    assert all(not reader.holdings.mirror.fork_evidence(origin) for origin in again)


def test_a_forged_decision_counts_for_its_own_origin_only(world: World) -> None:
    """[K4] [K5] Whoever it names as its source; and no more often than there are versions."""
    author, honest = world.store("author"), world.store("honest")
    put(author, "p1", "p2")
    put(honest, "h1")
    meet(author, honest)
    own = author.store.origin
    liar, other = Forger(8), Forger(9)
    for seq in (1, 2, 1, 2):
        item_id = f"p{seq}"
        liar.record(item_id, action="accept", cause=f"{own}@{seq}", root=f"{own}@{seq}#{'0' * 12}", context={own: seq})
        liar.record(item_id, action="reject", payload=None, cause=f"{other.origin}@{seq}", root=f"{own}@{seq}")
        liar.record(item_id, action="reject", payload=None, cause=f"{honest.store.origin}@{seq}")
    other.record("p1", action="reject", payload=None, cause=f"{liar.origin}@1")
    for forger in (liar, other):
        forger.feed().put_into(world.bus)
    pull(author)
    counts = {origin: receipts(author.holdings, origin) for origin in author.holdings.mirror.origins()}
    assert counts[honest.store.origin] == (0, 0)
    assert sum(counts[liar.origin]) == 2
    assert sum(counts[other.origin]) <= 1
    again = rebuilt(author)
    assert {origin: receipts(again.holdings, origin) for origin in counts} == counts
