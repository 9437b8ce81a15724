"""Copies of a store and what becomes of them: new identities, what others see of them, what is lost to nobody [I2]."""

from __future__ import annotations

import shutil

import pytest

from eventsync import exits
from eventsync.app import Surroundings
from eventsync.renewing import Renewal, renew, show_again, standing_behind
from eventsync.sharing import Sharing
from federation.errors import OtherCopyPublished
from federation.model import Result
from federation.receipts import receipts
from journal import InvalidInput, StoreCopied
from tests.integration.world import (
    World,
    accept,
    accept_all,
    answers,
    by_origin,
    candidates,
    entities,
    feed_lines,
    head_of,
    own_feed,
    payload,
    pull,
    put,
    rebuilt,
    reject,
    remove,
    share,
    tree,
)

ANYBODY = Surroundings(agent="test")


def copied(world: World, store: Sharing, name: str) -> Sharing:
    """The folder of a store, copied by `cp -r`."""
    world.close(store)
    shutil.copytree(store.store.folder, world.folder / name / ".eventsync")
    return world.reopened(store, folder=world.folder / name)


def renewed(world: World, store: Sharing, at: int | None = None) -> tuple[Sharing, Renewal]:
    """The store under a new identity, as the next command sees it."""
    report = renew(store.store, ANYBODY, at, None)
    return world.reopened(store), report


def verdicts(store: Sharing) -> dict[tuple[str, str], str]:
    """The verdict on each entity of each origin; ids alone, for plans."""
    return {(item.origin, item.item_id): str(item.verdict) for item in candidates(store)}


def of(store: Sharing, other: Sharing) -> dict[str, str]:
    """The verdicts of one store on what another one shows."""
    return {item_id: verdict for (origin, item_id), verdict in verdicts(store).items() if origin == other.store.origin}


def same_after_rebuild(*stores: Sharing) -> None:
    """[T1]: what was kept is what a rebuild says."""
    for store in stores:
        before = answers(store)
        assert answers(rebuilt(store)) == before


# --- a copy ----------------------------------------------------------------------------------------------------------


def test_a_copied_store_a_third_one_and_the_original_see_exactly_what_each_did(world: World) -> None:
    """[I2] [K3] [F8]: nothing twice, no edit lost, a conflict where both edited."""
    original, third = world.store("original"), world.store("third")
    put(original, "both", "one", "other", "none")
    share(original)
    pull(third)
    accept_all(third)
    put(original, "late")  # recorded, and in no feed when the copy is made
    copy = copied(world, original, "copy")
    with pytest.raises(StoreCopied):
        put(copy, "other")
    copy, report = renewed(world, copy)
    original = world.reopened(original)
    assert (report.left_origin, report.left_at) == (original.store.origin, 5)

    put(copy, "both", by="copy")
    put(copy, "other", by="copy")
    put(copy, "fresh", by="copy")
    put(original, "both", by="original")
    put(original, "one", by="original")
    share(original)
    share(copy)

    for store in (third, original, copy):
        pull(store)
    assert of(third, original) == {"both": "update", "one": "update", "other": "known", "none": "known", "late": "new"}
    assert of(third, copy) == {"both": "update", "other": "update", "fresh": "new", "late": "new"}
    assert of(original, copy) == {"both": "conflict", "other": "update", "fresh": "new", "late": "known"}
    assert of(copy, original) == {"both": "conflict", "one": "update"}  # what was theirs together makes no candidate
    same_after_rebuild(third, original, copy)

    left = accept_all(third)
    assert [found.item_id for found in left.left] == ["both"]
    assert [key[1] for key, verdict in verdicts(third).items() if verdict != "known"] == ["both"]
    for store in (original, copy):
        accept_all(store)
        share(store)
    for store in (third, original, copy):
        pull(store)
        assert {name: entities(store)[f"plan/{name}"][1] for name in ("one", "other", "none", "late", "fresh")} == {
            "one": {"title": "one", "by": "original"},
            "other": {"title": "other", "by": "copy"},
            "none": {"title": "none"},
            "late": {"title": "late"},
            "fresh": {"title": "fresh", "by": "copy"},
        }
    open_now = {
        item.item_id for store in (third, original, copy) for item in candidates(store) if item.verdict == "conflict"
    }
    assert open_now == {"both"}
    accept(third, *[item.id for item in candidates(third) if item.verdict == "conflict"], theirs=True)
    same_after_rebuild(third, original, copy)


def test_the_feed_of_a_copy_begins_where_the_original_was_left(world: World) -> None:
    """[F2]: nothing of before is shown anew, and the chain goes on."""
    original = world.store("original")
    put(original, "p1", "p2")
    share(original)
    copy, _ = renewed(world, copied(world, original, "copy"))
    put(copy, "p3")
    share(copy)
    head = head_of(own_feed(copy))
    assert head["start"] == {"seq": 2, "c": head_of(world.bus / original.store.origin)["c"]}
    assert [entry["origin"] for entry in head["previous"]] == [original.store.origin]
    assert head["previous"][0]["t"] == head_of(world.bus / original.store.origin)["t"]
    assert (head["gen"], head["last_seq"], len(feed_lines(own_feed(copy)))) == (1, 3, 1)
    put(copy, "p4")
    share(copy)
    reader = world.store("reader")
    run = by_origin(pull(reader))
    assert {found.result for found in run.values()} == {Result.NEW}
    assert run[copy.store.origin].records == 2
    put(copy, "p5")
    share(copy)
    assert by_origin(pull(reader))[copy.store.origin].result is Result.UPDATED


def test_a_copy_of_a_copy_goes_on_as_well(world: World) -> None:
    """[I2]"""
    first = world.store("first")
    put(first, "x")
    share(first)
    second, _ = renewed(world, copied(world, first, "second"))
    put(second, "x", by="second")
    share(second)
    third, _ = renewed(world, copied(world, second, "third"))
    put(third, "x", by="third")
    share(third)
    first = world.reopened(first)
    reader = world.store("reader")
    pull(first)
    pull(reader)
    assert set(verdicts(first).values()) == {"update"}
    accept(first, *[item.id for item in candidates(first) if item.origin == third.store.origin])
    assert set(verdicts(first).values()) == {"known"}
    assert payload(first, "x")["by"] == "third"
    same_after_rebuild(first, reader)


def test_decisions_of_before_stand_under_the_new_identity(world: World) -> None:
    """[K5]"""
    author, store = world.store("author"), world.store("store")
    put(author, "wanted", "unwanted", "later")
    share(author)
    pull(store)
    accept(store, "plan/wanted")
    reject(store, "plan/unwanted")
    store, _ = renewed(world, store)
    assert of(store, author) == {"wanted": "known", "unwanted": "known", "later": "new"}
    same_after_rebuild(store)


def test_receipts_of_before_are_counted_under_the_new_identity(world: World) -> None:
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1", "p2")
    share(author)
    pull(reader)
    accept(reader, "plan/p1")
    reject(reader, "plan/p2")
    share(reader)
    author, _ = renewed(world, author)
    pull(author)
    assert receipts(author.holdings, reader.store.origin) == (1, 1)
    same_after_rebuild(author)


# --- what no feed has shown ------------------------------------------------------------------------------------------


def test_what_no_feed_has_shown_is_written_again_and_nothing_else(world: World) -> None:
    """[I2] [F1]: the original may be gone for good. Private entities and types that stay here are left alone."""
    store = world.store("store")
    put(store, "shown", "deleted")
    share(store)
    put(store, "unshown")
    put(store, "secret", private=True)
    put(store, "machine", item_type="session")
    remove(store, "deleted")
    old = store.store.origin
    store, report = renewed(world, store)
    assert report.republished == 2
    assert standing_behind(store.store) == 1
    share(store)
    shutil.rmtree(world.bus / old)  # nobody can read the former feed any more
    reader = world.store("reader")
    pull(reader)
    assert verdicts(reader) == {(store.store.origin, "unshown"): "new", (store.store.origin, "deleted"): "known"}
    assert show_again(store.store, ANYBODY) == 1
    assert standing_behind(store.store) == 0
    share(store)
    pull(reader)
    assert {item_id for _, item_id in verdicts(reader)} == {"unshown", "deleted", "shown"}
    accept_all(reader)
    assert payload(reader, "shown") == {"title": "shown"}
    same_after_rebuild(store, reader)


def test_who_has_it_already_is_not_asked_again(world: World) -> None:
    """[K1]: it is a copy, with the version that it shows."""
    store, reader, other = world.store("store"), world.store("reader"), world.store("other")
    put(store, "p1", "p2")
    share(store)
    pull(reader)
    accept(reader, "plan/p1")
    reject(reader, "plan/p2")
    store, _ = renewed(world, store)
    show_again(store.store, ANYBODY)
    share(store)
    pull(reader)
    assert of(reader, store) == {"p1": "known", "p2": "known"}
    pull(other)
    accept_all(other)
    assert set(verdicts(other).values()) == {"known"}
    assert len(entities(other)) == 2


def test_what_was_taken_over_from_others_goes_out_again_as_theirs(world: World) -> None:
    """[K1]"""
    author, store = world.store("author"), world.store("store")
    put(author, "p1")
    share(author)
    pull(store)
    accept_all(store)
    store, _ = renewed(world, store)
    share(store)
    pull(author)
    assert of(author, store) == {"p1": "known"}


@pytest.mark.parametrize("shown_by", ["the copy", "the original"])
def test_an_edit_that_no_feed_has_shown_is_not_gone_over_on_anybodys_word(world: World, shown_by: str) -> None:
    """[K4]: until it is known that others can have seen it."""
    original, editor = world.store("original"), world.store("editor")
    put(original, "x")
    copy, _ = renewed(world, copied(world, original, "copy"))
    original = world.reopened(original)
    share(original)
    pull(editor)
    accept_all(editor)
    put(editor, "x", by="editor")
    share(editor)
    aside = shutil.move(world.bus / original.store.origin, world.folder / "aside")
    pull(copy)
    assert of(copy, editor) == {"x": "conflict"}  # the renewal wrote a copy of x, which is in no feed yet
    same_after_rebuild(copy)
    if shown_by == "the copy":
        copy.publish()
        pull(copy)
    else:
        shutil.move(aside, world.bus / original.store.origin)
        pull(copy)
    assert of(copy, editor) == {"x": "update"}
    same_after_rebuild(copy)


# --- restored from a backup ------------------------------------------------------------------------------------------


def restored(world: World, store: Sharing, backup: str) -> Sharing:
    """The store as the backup has it, in its own place: nothing tells that it was away but what others hold."""
    world.close(store)
    shutil.rmtree(store.store.folder)
    shutil.copytree(world.folder / backup, store.store.folder)
    found = world.reopened(store)
    found.store.keep_identity()
    return found


def backed_up(world: World, store: Sharing, name: str = "backup") -> Sharing:
    world.close(store)
    shutil.copytree(store.store.folder, world.folder / name)
    return world.reopened(store)


def test_a_restored_store_pushes_nothing_and_is_healed_by_a_new_identity(world: World) -> None:
    """[R3] [I2]: push is refused and names the seq; what was lost comes back as candidates."""
    store, reader = world.store("store"), world.store("reader")
    put(store, "x", "y")
    share(store)
    store = backed_up(world, store)
    put(store, "x", lost=1)
    put(store, "z", lost=2)
    share(store)
    pull(reader)
    accept_all(reader)
    old = store.store.origin

    store = restored(world, store, "backup")
    put(store, "x", since=1)
    put(store, "new", since=2)
    remove(store, "y")
    store.publish()
    before = tree(world.bus)
    run = store.push(store.remotes(None))
    (refused,) = run.remotes
    assert run.exit_code == exits.FOREIGN_REFUSED
    assert isinstance(refused.error, OtherCopyPublished)
    assert (refused.error.seq, refused.error.rule) == (2, "R3")
    assert "both agree up to seq 2" in str(refused.error)
    assert tree(world.bus) == before

    store, report = renewed(world, store, at=2)
    assert (report.left_at, report.rewritten, report.republished) == (2, 3, 0)
    share(store)
    assert tree(world.bus / old) == {
        name.removeprefix(f"{old}/"): data
        for name, data in before.items()
        if name.startswith(f"{old}/") and name != f"{old}/"
    }
    pull(store)
    assert {item_id: verdict for (_, item_id), verdict in verdicts(store).items()} == {"x": "conflict", "z": "new"}
    pull(reader)
    assert of(reader, store) == {"x": "conflict", "y": "gone", "new": "new"}
    accept_all(store)
    assert payload(store, "z") == {"title": "z", "lost": 2}
    accept(store, "plan/x", theirs=True)
    share(store)
    pull(reader)
    assert of(reader, store)["x"] == "identical"
    same_after_rebuild(store, reader)


def test_a_restored_store_that_wrote_nothing_since_is_told_where_it_stands(world: World) -> None:
    """[R3]"""
    store = world.store("store")
    put(store, "x")
    share(store)
    store = backed_up(world, store)
    for number in range(20):
        put(store, "x", n=number)
        share(store)
    store = restored(world, store, "backup")
    (refused,) = store.push(store.remotes(None)).remotes
    assert isinstance(refused.error, OtherCopyPublished)
    assert refused.error.seq == 1
    store, report = renewed(world, store, at=1)
    assert report.rewritten == 0
    pull(store)
    accept_all(store)
    assert payload(store, "x")["n"] == 19


def test_an_identity_left_too_late_is_told_and_can_be_left_again(world: World) -> None:
    """[I2]: nobody takes the feed, ours says where both part, and nothing is frozen."""
    store, reader = world.store("store"), world.store("reader")
    put(store, "x")
    share(store)
    store = backed_up(world, store)
    put(store, "x", lost=1)
    put(store, "x", lost=2)
    share(store)
    pull(reader)
    store = restored(world, store, "backup")
    put(store, "x", since=1)
    old = store.store.origin
    store, _ = renewed(world, store)  # at the end: the record of since=1 is said to be of the old identity
    share(store)
    wrong = store.store.origin
    run = by_origin(pull(reader))
    assert run[wrong].result in (Result.REFUSED, Result.NEW)
    found = by_origin(pull(store))[old]
    assert (found.result, found.refusal and found.refusal.seq) == (Result.REFUSED, 1)
    assert store.holdings.mirror.fork_evidence(old) == []
    store, report = renewed(world, store, at=1)
    assert report.rewritten == 1
    share(store)
    assert by_origin(pull(store))[old].result is Result.NEW
    assert of(reader, store) == {}
    pull(reader)
    assert of(reader, store)["x"] in ("new", "conflict")
    same_after_rebuild(store, reader)


def test_a_seq_that_no_record_has_changes_nothing(world: World) -> None:
    store = world.store("store")
    put(store, "x")
    with pytest.raises(InvalidInput):
        renew(store.store, ANYBODY, 7, None)
    assert store.store.previous == []


def test_a_feed_of_a_copy_whose_beginning_contradicts_ours_is_refused_by_the_original(world: World) -> None:
    """[F2] [F5]: a copy that wrote under our name, and left it too late."""
    store = world.store("store")
    put(store, "x")
    copy = copied(world, store, "copy")
    copy.store.keep_identity()
    put(copy, "x", by="copy")
    store = world.reopened(store)
    put(store, "x", by="store")
    copy, _ = renewed(world, copy)
    put(copy, "y")
    share(copy)
    found = by_origin(pull(store))[copy.store.origin]
    assert found.result is Result.REFUSED
    assert found.refusal is not None
    assert "start.c" in found.refusal.message
    copy, _ = renewed(world, copy, at=1)
    share(copy)
    assert by_origin(pull(store))[copy.store.origin].result is Result.NEW
    assert of(store, copy) == {"x": "conflict", "y": "new"}
