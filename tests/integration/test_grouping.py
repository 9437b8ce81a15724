"""What several origins offer alike: one line, one decision, and a record that includes no more than is so."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eventsync.sharing import Sharing
from federation.inbox import Filter
from federation.mirror import Brake
from federation.model import Candidate, Resolution
from tests.doubles.disks import CountingDisk
from tests.integration.forger import Forger
from tests.integration.world import (
    World,
    accept_all,
    answers,
    candidates,
    meet,
    payload,
    pull,
    put,
    rebuilt,
    remove,
    share,
)


def those_open(store: Sharing, item_id: str = "p") -> dict[str, Candidate]:
    """The open candidates of an entity, by the name of their origin."""
    return {item.origin_name: item for item in candidates(store, Filter()) if item.item_id == item_id}


def lines(store: Sharing) -> list[set[str]]:
    """Whom each offer of plan/p comes from."""
    assert store.holdings.look() is None
    found = {offer for offer in store.inbox.offers().values() if offer.lead.item_id == "p"}
    return sorted(({one.origin_name for one in offer.candidates} for offer in found), key=len)


def same_again(store: Sharing) -> None:
    """[T1] A rebuild knows it too."""
    before = answers(store)
    assert answers(rebuilt(store)) == before


@pytest.fixture
def team(world: World) -> Sequence[Sharing]:
    """Three stores that came to the same by themselves, and a fourth that pulled from all."""
    stores = [world.store(name) for name in ("a", "b", "c", "reader")]
    for store in stores[:3]:
        put(store, "other")  # so that seqs differ nowhere by chance
        put(store, "p", n=1)
        share(store)
    pull(stores[3])
    return stores


def test_the_same_finding_of_three_stores_is_one_offer_and_one_accept(team: Sequence[Sharing]) -> None:
    """[K2] One record, which includes all three versions; nobody is asked again, whatever is written here later."""
    a, b, c, reader = team
    assert lines(reader) == [{"a", "b", "c"}]
    report = reader.deciding("test").accept([those_open(reader)["b"].id])
    assert len(report.written) == 1
    assert (len(report.together), report.left) == (2, ())
    (record,) = reader.store.log(last=1)
    assert record.root is not None
    assert record.root.startswith(f"{b.store.origin}@2#")
    assert record.context == {store.store.origin: 2 for store in (a, b, c)}
    put(reader, "p", n=2)
    assert those_open(reader) == {}
    same_again(reader)


def test_an_edit_after_that_is_an_update_for_each_of_them(team: Sequence[Sharing]) -> None:
    """[K3] None of them has to resolve a conflict that was none."""
    reader = team[3]
    accept_all(reader)
    put(reader, "p", n=2)
    share(reader)
    for store in team[:3]:
        pull(store)
        assert those_open(store)["reader"].verdict == "update"


def test_a_reject_declines_every_version_it_stands_for_and_undo_asks_again(team: Sequence[Sharing]) -> None:
    """[K5] One record per version, in one batch."""
    reader = team[3]
    report = reader.deciding("test").reject([those_open(reader)["b"].id])
    assert [record.action for record in report.written] == ["reject"] * 3
    assert len(report.together) == 2
    assert those_open(reader) == {}
    assert {record.batch for record in reader.store.log(last=3)} == {(1, 3), (2, 3), (3, 3)}
    reader.deciding("test").undo()
    assert lines(reader) == [{"a", "b", "c"}]
    same_again(reader)


def test_undoing_an_accept_brings_all_of_them_back(team: Sequence[Sharing]) -> None:
    """[K5]"""
    reader = team[3]
    before = those_open(reader)
    reader.deciding("test").accept([before["a"].id])
    reader.deciding("test").undo()
    assert those_open(reader) == before


def test_a_snooze_puts_all_of_them_out_of_sight(team: Sequence[Sharing]) -> None:
    reader = team[3]
    reader.deciding("test").snooze([those_open(reader)["a"].id], None)
    assert all(item.snoozed is not None for item in those_open(reader).values())


def test_copies_of_one_version_are_rejected_by_one_record(world: World) -> None:
    """[K5] From whomever they come."""
    a, b, reader = world.store("a"), world.store("b"), world.store("reader")
    put(a, "p")
    meet(a, b)
    accept_all(b)
    meet(b, reader)
    assert lines(reader) == [{"a", "b"}]
    report = reader.deciding("test").reject([those_open(reader)["b"].id])
    assert (len(report.written), len(report.together)) == (1, 1)
    assert those_open(reader) == {}


def test_other_content_is_another_offer_and_is_not_settled_along(team: Sequence[Sharing]) -> None:
    reader = team[3]
    put(team[2], "p", n=7)
    share(team[2])
    pull(reader)
    assert lines(reader) == [{"c"}, {"a", "b"}]
    reader.deciding("test").accept([those_open(reader)["a"].id])
    assert {name: item.verdict for name, item in those_open(reader).items()} == {"c": "conflict"}


def test_of_those_alike_the_one_that_has_seen_what_is_here_is_accepted(world: World) -> None:
    """[K3] b changed what is here; c came to the same by itself: no conflict, whichever of the two is named."""
    a, b, c = (world.store(name) for name in "abc")
    put(a, "p")
    meet(a, b)
    accept_all(b)
    put(b, "p", n=2)
    put(c, "p", n=2)
    meet(b, c, a)
    assert {name: str(item.verdict) for name, item in those_open(a).items()} == {"b": "update", "c": "conflict"}
    report = a.deciding("test").accept([those_open(a)["c"].id])
    assert len(report.written) == 1
    (record,) = a.store.log(last=1)
    assert record.cause == f"{b.store.origin}@2"
    assert those_open(a) == {}


@pytest.mark.parametrize("resolution", [Resolution.THEIRS, Resolution.MERGE])
def test_a_conflict_with_those_alike_is_resolved_once(world: World, resolution: Resolution) -> None:
    """[K2] What is merged with one of them is merged with all."""
    a, b, c = (world.store(name) for name in "abc")
    put(a, "p", one=1, two=1)
    meet(a, b, c)
    for store in (b, c):
        accept_all(store)
        put(store, "p", one=1, two=2)
    put(a, "p", one=2, two=1)
    meet(b, c, a)
    assert lines(a) == [{"b", "c"}]
    report = accept_all(a)
    assert [(entry.verdict, entry.lead == entry.id) for entry in report.left] == [
        ("conflict", True),
        ("conflict", False),
    ]
    report = a.deciding("test").accept([those_open(a)["b"].id], resolution)
    assert (len(report.written), len(report.together), report.left) == (1, 1, ())
    assert payload(a, "p")["two"] == 2
    assert those_open(a) == {}


def test_named_together_they_are_one(team: Sequence[Sharing]) -> None:
    reader = team[3]
    report = reader.deciding("test").accept([item.id for item in those_open(reader).values()])
    assert len(report.written) == 1


def test_deletions_are_one_offer_too(world: World) -> None:
    a, b, c = (world.store(name) for name in "abc")
    put(a, "p")
    meet(a, b, c)
    for store in (b, c):
        accept_all(store)
        remove(store, "p")
    meet(b, c, a)
    assert lines(a) == [{"b", "c"}]
    assert (len(accept_all(a).written), those_open(a)) == (1, {})


# --- what is held ----------------------------------------------------------------------------------------------------


def test_what_one_origin_offers_freely_is_accepted_from_there_and_what_is_held_waits_for_nobody(
    team: Sequence[Sharing],
) -> None:
    """[K5] The brake holds what b and c brought; the same comes from a."""
    a, b, c, reader = team
    for store in (b, c):
        reader.holdings.mirror.set_brake(store.store.origin, Brake(0, pending=False))
    assert {name: item.held for name, item in those_open(reader).items()} == {"a": False, "b": True, "c": True}
    report = accept_all(reader)
    assert {record.item_id for record in report.written} == {"other", "p"}
    (record,) = [record for record in reader.store.log() if record.item_id == "p"]
    assert record.context == {a.store.origin: 2}  # what is held is not taken in with it
    assert those_open(reader) == {}  # it is identical


def test_what_all_origins_have_held_is_left(team: Sequence[Sharing]) -> None:
    reader = team[3]
    for store in team[:3]:
        reader.holdings.mirror.set_brake(store.store.origin, Brake(0, pending=False))
    report = accept_all(reader)
    assert (report.written, report.braked) == ((), 6)


# --- lies and limits -------------------------------------------------------------------------------------------------


def test_who_repeats_an_honest_offer_hides_nothing_by_it(world: World) -> None:
    """[K4] The liar says that its copy includes what another store wrote; only its own version is taken in."""
    a, c, reader, liar = world.store("a"), world.store("c"), world.store("reader"), Forger()
    put(a, "p", n=1)
    put(c, "p", n=3)
    for store in (a, c):
        share(store)
    same = dict(payload(a, "p"))
    liar.record("p", payload=same, context={liar.origin: 1, c.store.origin: 1})
    liar.feed().put_into(world.bus)
    pull(reader)
    assert sorted(map(len, lines(reader))) == [1, 2]
    reader.deciding("test").accept([those_open(reader)["a"].id])
    (record,) = reader.store.log(last=1)
    assert record.context == {a.store.origin: 1, liar.origin: 1}
    assert those_open(reader)["c"].verdict == "conflict"


def test_a_copy_of_what_nobody_can_look_up_is_settled_and_not_taken_in(world: World) -> None:
    """[K4] We have it only from the copy that there is such a version."""
    a, reader, liar = world.store("a"), world.store("reader"), Forger()
    put(a, "p", n=1)
    share(a)
    unknown = Forger(9).origin
    root = f"{unknown}@5#{'0' * 12}"
    liar.record("p", action="accept", payload=dict(payload(a, "p")), root=root, context={unknown: 5})
    liar.feed().put_into(world.bus)
    pull(reader)
    report = reader.deciding("test").accept([those_open(reader)["a"].id])
    assert (len(report.together), report.left) == (1, ())
    (record,) = reader.store.log(last=1)
    assert (record.context, record.claims) == ({a.store.origin: 1}, None)


def test_many_who_say_the_same_do_not_fill_the_context(world: World) -> None:
    """[J10] A crowd of origins costs its maker nothing; the others are identical, and nobody is asked."""
    reader = world.store("reader")
    for seed in range(1, 31):
        forger = Forger(seed)
        forger.record("p", payload={"title": "p"})
        forger.feed().put_into(world.bus)
    pull(reader)
    report = accept_all(reader)
    assert (len(report.written), len(report.together), report.left) == (1, 29, ())
    (record,) = reader.store.log(last=1)
    assert len(record.context or {}) == 17


def test_a_long_inbox_is_grouped_without_reading_a_payload(world: World) -> None:
    """Only rows of the index, unless an entity comes twice."""
    author, other = world.store("author"), world.store("other")
    put(author, *(f"p{number}" for number in range(3_000)), text="x" * 100)
    put(other, "q")
    share(author)
    share(other)
    reader, disk = world.store("reader"), CountingDisk()
    pull(reader)
    reader = world.reopened(reader, disk=disk)  # and has no slice in memory
    assert reader.holdings.look() is None
    mirrored = sum(path.stat().st_size for path in (reader.holdings.folder / "mirror").rglob("*.zst"))
    disk.reset()
    assert reader.inbox.offers() == {}
    assert disk.bytes_read < mirrored
