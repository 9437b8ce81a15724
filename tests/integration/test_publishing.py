"""What a store shows of itself: the filter, its memory, its order, its cost, and what a kill leaves."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventsync.sharing import Sharing
from federation.audit import audit
from federation.errors import DamagedFeed, SecretFound
from federation.feed import parse_skip
from federation.model import HEAD_FILE, Result
from federation.publisher import publish
from federation.withholding import PublishSettings
from journal import Draft
from tests.doubles.disks import CountingDisk, Died, FaultyDisk
from tests.integration.world import (
    World,
    accept,
    candidates,
    each_slice,
    entities,
    feed_lines,
    folder_remote,
    head_of,
    only,
    own_feed,
    pull,
    put,
    reject,
    remove,
    share,
    tree,
    verdicts,
)


def shown(store: Sharing) -> list[str]:
    """What the feed of a store shows: `type/id` of records, `[a,b]` of skips."""
    found = []
    for line in feed_lines(own_feed(store)):
        skip = parse_skip(line)
        value = json.loads(line)
        found.append(f"[{skip[0]},{skip[1]}]" if skip else f"{value['item_type']}/{value.get('item_id')}")
    return found


# --- the filter ------------------------------------------------------------------------------------------------------


def test_lines_are_copied_to_the_byte(world: World) -> None:
    """[F1] [J4]"""
    store = world.store("a")
    put(store, "p1", note="grüße ✓")
    put(store, "p2", "p3")
    remove(store, "p1")
    store.publish()
    journal = (store.store.folder / "journal" / "seg-00000001.jsonl").read_bytes()
    assert feed_lines(own_feed(store)) == [line for line in journal.split(b"\n")[1:] if line]


def test_types_that_are_not_listed_are_withheld_for_good(world: World) -> None:
    """[F1] Publishing later takes a new record."""
    store = world.store("a")
    put(store, "p1")
    put(store, "s1", item_type="session")
    put(store, "i1", item_type="idea")
    report = store.publish()
    assert shown(store) == ["plan/p1", "[2,3]"]
    assert report.withheld == {("session", "type"): 1, ("idea", "type"): 1}
    assert report.published == 1

    wide = PublishSettings(frozenset(["plan", "idea"]))
    assert not publish(store.holdings, wide).changed
    put(store, "i1", item_type="idea", title="again")
    publish(store.holdings, wide)
    assert shown(store) == ["plan/p1", "[2,3]", "idea/i1"]


def test_private_is_sticky_for_the_entity_its_tombstone_and_its_decisions(world: World) -> None:
    """[F1] Until `put --public`."""
    store, other = world.store("a"), world.store("b")
    put(store, "p1")
    store.publish()
    put(store, "p1", title="secret", private=True)
    put(store, "p1", title="still secret")
    remove(store, "p1")
    put(other, "p1", title="other")
    share(other)
    pull(store)
    reject(store, "plan/p1")
    report = store.publish()
    assert shown(store) == ["plan/p1", "[2,5]"]
    assert report.withheld == {("plan", "private"): 4}
    put(store, "p1", title="shown again", private=False)
    put(store, "p1", title="and again")
    assert store.publish().published == 2
    assert shown(store) == ["plan/p1", "[2,5]", "plan/p1", "plan/p1"]


def test_what_became_private_before_it_was_published_is_kept_back_from_its_beginning(world: World) -> None:
    """[F1] Nothing unpublished of an entity goes out that is private by now."""
    store = world.store("a")
    put(store, "p1", title="draft")
    put(store, "p2")
    put(store, "p1", title="secret", private=True)
    assert store.publish().withheld == {("plan", "private"): 2}
    assert shown(store) == ["[1,1]", "plan/p2", "[3,3]"]


def test_what_became_public_before_it_was_published_goes_out_from_there(world: World) -> None:
    """[F1]"""
    store = world.store("a")
    put(store, "p1", title="secret", private=True)
    put(store, "p1", title="shown", private=False)
    store.publish()
    assert shown(store) == ["[1,1]", "plan/p1"]


def test_an_accept_of_something_private_here_stays_here(world: World) -> None:
    """[F1] An accept is a record of the entity like any other."""
    store, other = world.store("a"), world.store("b")
    put(store, "p1", private=True)
    put(other, "p1", title="other")
    share(other)
    pull(store)
    accept(store, "plan/p1", theirs=True)
    store.publish()
    assert shown(store) == ["[1,2]"]


def test_void_batches_and_torn_seqs_and_internals_become_skips(world: World) -> None:
    """[F1] [J6] [J7] A crash in the middle of a batch loses the batch, and the feed says that something was there."""
    store = world.store("a")
    put(store, "p1")
    put(store, "p2", "p3", "p4")
    tail = store.store.folder / "journal" / "seg-00000001.jsonl"
    data = tail.read_bytes()
    tail.write_bytes(data[: data.index(b'"seq":4') + 30])  # whole p2 and p3, a piece of p4
    for path in store.store.folder.glob("index.sqlite3*"):
        path.unlink()
    (store.store.folder / "projections.json").unlink()
    store = world.reopened(store)
    put(store, "p5")
    report = store.publish()
    assert shown(store) == ["plan/p1", "[2,5]", "plan/p5"]
    assert report.withheld == {("plan", "void"): 2, ("journal", "torn"): 1, ("journal", "internal"): 1}
    assert report.published == 2

    reader = world.store("reader")
    store.push(store.remotes(None))
    assert only(pull(reader)).result is Result.NEW
    assert verdicts(reader) == {"plan/p1": "new", "plan/p5": "new"}


def test_skips_are_cut_where_a_publish_ended_and_never_joined(world: World) -> None:
    """[F1] A skip that grew would contradict what others hold."""
    store, reader = world.store("a"), world.store("reader")
    ends = []
    for count in (1, 2, 3):
        for number in range(count):
            put(store, f"s{number}", item_type="session", round=count)
        share(store)
        ends.append(store.store.position().seq)
        assert only(pull(reader)).last_seq == ends[-1]
    assert shown(store) == ["[1,1]", "[2,3]", "[4,6]"]
    put(store, "s1", item_type="session", round=4)
    put(store, "p1")
    share(store)
    assert shown(store) == ["[1,1]", "[2,3]", "[4,6]", "[7,7]", "plan/p1"]
    assert only(pull(reader)).result is Result.UPDATED


def test_explaining_says_what_a_publish_withholds_and_writes_nothing(world: World) -> None:
    """[F1]"""
    store = world.store("a")
    put(store, "p1")
    put(store, "s1", item_type="session")
    store.explain()
    before = tree(store.store.folder)
    plan = store.explain()
    assert tree(store.store.folder) == before
    assert not own_feed(store).exists()
    assert plan.published == 1
    assert [(found.seq, found.item_type, found.item_id, found.reason) for found in plan.withheld] == [
        (2, "session", "s1", "type")
    ]
    assert store.publish().withheld == {("session", "type"): 1}


# --- secrets ---------------------------------------------------------------------------------------------------------

SECRET = "ghp_" + "a1B2" * 9


def test_a_secret_stops_the_publish_and_is_never_shown(world: World) -> None:
    """[F1] The first finding is named by its seq; nothing of what is new goes out."""
    store = world.store("a")
    put(store, "p1")
    store.publish()
    before = tree(own_feed(store))
    put(store, "p2")
    put(store, "p3", token=SECRET)
    put(store, "p4", token=SECRET)
    with pytest.raises(SecretFound, match="a GitHub token") as caught:
        store.publish()
    assert caught.value.seq == 3
    assert SECRET not in str(caught.value)
    assert SECRET[4:] not in repr(vars(caught.value))
    assert tree(own_feed(store)) == before


def test_a_person_may_publish_what_looks_like_a_secret(world: World) -> None:
    """[F1]"""
    store = world.store("a")
    put(store, "p1", token=SECRET)
    assert store.publish(allow_findings=True).published == 1
    assert shown(store) == ["plan/p1"]
    put(store, "p2")
    assert store.publish().published == 1  # what is published already is not looked at again


def test_a_secret_that_is_withheld_stops_nothing(world: World) -> None:
    """[F1]"""
    store = world.store("a")
    put(store, "s1", item_type="session", token=SECRET)
    put(store, "p1", private=True, token=SECRET)
    assert store.publish().published == 0
    assert SECRET.encode() not in b"".join(tree(own_feed(store)).values())


# --- nothing new, and `saw` ------------------------------------------------------------------------------------------


def test_nothing_new_writes_nothing(world: World) -> None:
    """[F1]"""
    store = world.store("a")
    put(store, "p1")
    assert store.publish().changed
    folder = store.store.folder
    before = tree(folder), {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    for _ in range(3):
        report = store.publish()
        assert (report.changed, report.published, report.gen, report.last_seq) == (False, 0, 1, 1)
    after = tree(folder), {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert after == before


def test_an_empty_store_has_nothing_to_publish(world: World) -> None:
    """[F1]"""
    store = world.store("a")
    assert not store.publish().changed
    assert not own_feed(store).exists()
    assert [report.result for report in store.push(store.remotes(None)).remotes] == ["nothing_to_publish"]


def test_how_far_others_were_read_is_published_by_itself(world: World) -> None:
    """[F2] A change of `saw` alone makes a new gen, without a slice."""
    store, other = world.store("a"), world.store("b")
    put(store, "p1")
    share(store)
    put(other, "q1")
    share(other)
    pull(store)
    report = store.publish()
    assert (report.changed, report.gen, report.published, report.slices) == (True, 2, 0, 1)
    head, theirs = head_of(own_feed(store)), head_of(own_feed(other))
    assert head["saw"] == {other.store.origin: {"seq": 1, "c": theirs["c"], "t": theirs["t"]}}
    assert not store.publish().changed
    store.push(store.remotes(None))
    assert only(pull(other)).result is Result.NEW
    (status,) = other.status().origins
    assert status.they_have_seq == 1


def test_a_store_that_only_reads_can_say_so(world: World) -> None:
    """[F2] A feed of nothing but `saw`."""
    store, reader = world.store("a"), world.store("reader")
    put(store, "p1")
    share(store)
    pull(reader)
    assert share(reader).slices == 0
    assert only(pull(store)).result is Result.NEW
    put(reader, "own")
    share(reader)
    assert only(pull(store)).result is Result.UPDATED
    assert verdicts(store) == {"plan/own": "new"}


def test_what_was_read_can_be_hidden(world: World) -> None:
    """[F2] `[publish].saw=false`"""
    store, other = world.store("a"), world.store("b")
    put(other, "q1")
    share(other)
    pull(store)
    put(store, "p1")
    settings = PublishSettings(saw=False)
    publish(store.holdings, settings)
    assert head_of(own_feed(store))["saw"] == {}
    assert not publish(store.holdings, settings).changed
    assert publish(store.holdings, PublishSettings()).changed


def test_each_publish_has_the_next_gen(world: World) -> None:
    """[F2]"""
    store = world.store("a")
    for number in range(1, 5):
        put(store, f"p{number}")
        assert store.publish().gen == number == head_of(own_feed(store))["gen"]


# --- cost ------------------------------------------------------------------------------------------------------------


def cost(store: Sharing, disk: CountingDisk) -> int:
    """Bytes read by a publish of ten records."""
    for number in range(10):
        put(store, f"new{number}", text="x" * 100)
    disk.reset()
    assert store.publish().published == 10
    return disk.bytes_read


def test_the_cost_of_a_publish_is_that_of_what_is_new(world: World) -> None:
    """[F1] O(new): ten records after 20,000 read no more than ten after 100."""
    costs = []
    for name, count in (("small", 100), ("large", 20_000)):
        disk = CountingDisk()
        store = world.store(name, disk=disk)
        with store.store.mutate(agent="test") as mutation:
            for number in range(count):
                mutation.put("plan", f"p{number % 100}", {"text": "x" * 100})
        store.publish()
        costs.append(cost(store, disk))
    assert costs[1] < costs[0] * 1.2
    assert costs[1] < 60_000


# --- a feed that is lost ---------------------------------------------------------------------------------------------


def lose_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def lose_head(folder: Path) -> None:
    (folder / HEAD_FILE).unlink()


def spoil_head(folder: Path) -> None:
    (folder / HEAD_FILE).write_bytes(b"{}")


@pytest.mark.parametrize("lose", [lose_folder, lose_head, spoil_head])
def test_a_lost_feed_is_never_made_again_from_the_filter_of_today(world: World, lose: Callable[[Path], None]) -> None:
    """[T1] It alone knows what was withheld."""
    store = world.store("a")
    put(store, "p1")
    put(store, "s1", item_type="session")
    share(store)
    lose(own_feed(store))
    put(store, "p2")
    before = tree(store.store.folder / "feed"), tree(world.bus)
    for settings in (PublishSettings(), PublishSettings(frozenset(["plan", "session"]))):
        with pytest.raises(DamagedFeed):
            publish(store.holdings, settings)
    assert (tree(store.store.folder / "feed"), tree(world.bus)) == before


def test_an_older_feed_put_back_is_not_published_onto(world: World) -> None:
    """[T1] Two continuations of one seq would be a fork to everybody."""
    store = world.store("a")
    put(store, "p1")
    store.publish()
    old = tree(own_feed(store))
    put(store, "s1", item_type="session")
    store.publish()
    shutil.rmtree(own_feed(store))
    own_feed(store).mkdir()
    for name, data in old.items():
        (own_feed(store) / name).write_bytes(data)
    put(store, "p2")
    with pytest.raises(DamagedFeed, match="T1"):
        store.publish()
    assert tree(own_feed(store)) == old


def test_a_lost_slice_of_our_own_is_said_and_not_made_up(world: World) -> None:
    """[T1] The head still lists it: verify tells, and a push says what it cannot read."""
    from journal import JournalError

    store = world.store("a")
    for number in range(3):
        put(store, f"p{number}")
        store.publish()
    assert list(audit(store.holdings)) == []
    next(each_slice(own_feed(store))).unlink()
    store = world.reopened(store)
    assert [(found.id, found.severity) for found in audit(store.holdings)] == [("feed-damaged", "error")]
    with pytest.raises((DamagedFeed, JournalError)):
        store.push(store.remotes(None))
    assert not list(world.bus.rglob(HEAD_FILE))


# --- killed ----------------------------------------------------------------------------------------------------------


def test_a_publish_killed_anywhere_is_healed_by_the_next_and_no_reader_sees_half_of_it(world: World) -> None:
    """[F4] [T1] Slices, then the head: every write of Disk is the last one once."""
    base = world.store("base")
    for number in range(17):  # with a merge, and with what was withheld
        put(base, f"p{number}")
        put(base, f"s{number}", item_type="session")
        if number < 16:
            base.publish()
    expected = world.copied(base, "whole")
    expected.publish()
    lines = feed_lines(own_feed(expected))
    old_lines = feed_lines(own_feed(base))

    kills = 0
    for at in range(1, 200):
        disk = FaultyDisk(at, kills=True)
        store = world.copied(base, f"k{at}")
        store = world.reopened(store, disk=disk)
        disk.count = 0
        try:
            store.publish()
        except Died:
            kills += 1
        else:
            break
        finally:
            world.close(store)
        assert feed_lines(own_feed(store)) in (old_lines, lines)
        for types in (TODAY, WIDER):
            again = world.copied(store, f"k{at}-{len(types)}")
            publish(again.holdings, PublishSettings(types))
            healed = head_of(own_feed(again))
            found = feed_lines(own_feed(again))
            assert found[: len(old_lines)] == old_lines
            assert found == lines or (types == WIDER and len(found) == len(lines))
            put(again, "more")
            publish(again.holdings, PublishSettings(types))
            assert tree(own_feed(again)).keys() == listed(healed) | listed(head_of(own_feed(again)))
            reader = world.store(f"r{at}-{len(types)}")
            assert only(pull(reader, [folder_remote(again.store.folder, reader)])).result is Result.NEW
            assert {"plan/more", *(f"plan/p{number}" for number in range(17))} <= verdicts(reader).keys()
            world.close(again)
            world.close(reader)
    assert kills > 10


TODAY, WIDER = PublishSettings().types, frozenset(["plan", "session"])


def listed(head: dict[str, Any]) -> set[str]:
    """The files of a feed, as its head lists them."""
    return {HEAD_FILE, *(entry["name"] + ".zst" for entry in head["slices"])}


def test_a_publish_whose_disk_refuses_leaves_the_former_head(world: World) -> None:
    """[F4]"""
    from journal import DiskFailed

    base = world.store("base")
    put(base, "p1")
    base.publish()
    put(base, "p2")
    for at in range(1, 60):
        disk = FaultyDisk(at)
        store = world.reopened(world.copied(base, f"f{at}"), disk=disk)
        disk.count = 0
        try:
            store.publish()
        except DiskFailed:
            assert head_of(own_feed(store))["gen"] in (1, 2)
            assert store.publish().last_seq == 2
            assert len(feed_lines(own_feed(store))) == 2
        else:
            break
        world.close(store)
    assert at > 5


# --- merged slices ---------------------------------------------------------------------------------------------------


def test_forty_publishes_and_readers_that_come_at_any_time_hold_the_same_lines(world: World) -> None:
    """[F3] Slices are merged on the way; what left the feed stays for one publish more."""
    rng = random.Random(4)
    store = world.store("a")
    readers = [world.store(f"r{number}") for number in range(3)]
    before: set[str] = set()
    for number in range(40):
        put(store, f"p{number}", item_type=rng.choice(["plan", "plan", "session"]))
        share(store)
        names = {path.name for path in each_slice(own_feed(store))}
        now = listed(head_of(own_feed(store))) - {HEAD_FILE}
        assert names == now | before
        before = now
        for reader in readers:
            if rng.random() < 0.2:
                assert only(pull(reader)).result in (Result.NEW, Result.UPDATED)
    assert len(head_of(own_feed(store))["slices"]) <= 16
    lines = feed_lines(own_feed(store))
    assert len(lines) == 40
    late = world.store("late")
    shown_late = None
    for reader in (late, *readers):
        pull(reader)
        mirror = reader.holdings.mirror.feed(store.store.origin)
        assert [line.data for line in mirror.lines(0)] == lines
        shown_late = shown_late or candidates(reader)
        assert candidates(reader) == shown_late
    assert entities(late) == {}


def test_a_reader_that_pulls_between_two_publishes_finds_every_slice_its_head_lists(world: World) -> None:
    """[F4] Old files go one publish later: also from the bus."""
    store = world.store("a")
    for number in range(15):
        put(store, f"p{number}")
        share(store)
    folder = world.bus / store.store.origin
    heads = [head_of(folder)]
    for name in ("p15", "p16", "p17"):
        put(store, name)
        share(store)
        heads.append(head_of(folder))
        assert {path.name for path in folder.iterdir()} == listed(heads[-2]) | listed(heads[-1])
    assert [len(head["slices"]) for head in heads] == [15, 1, 2, 3]


# --- other records ---------------------------------------------------------------------------------------------------


def test_a_decision_about_something_published_is_published_with_it(world: World) -> None:
    """[K5] A receipt needs no back channel."""
    store, other = world.store("a"), world.store("b")
    put(other, "p1", "p2")
    share(other)
    pull(store)
    accept(store, "plan/p1")
    reject(store, "plan/p2")
    share(store)
    pull(other)
    (status,) = other.status().origins
    assert (status.they_accepted, status.they_rejected) == (1, 1)


def test_an_internal_note_of_the_journal_stays_in_the_journal(world: World) -> None:
    """[F1] Only `redact` travels."""
    store = world.store("a")
    with store.store.mutate(agent="test") as mutation:
        mutation.add(Draft("journal_note", "journal", payload=b'{"kind":"x"}'))
        mutation.add(Draft("redact", "journal", payload=b'{"seqs":[]}'))
        mutation.add(Draft("redact", "journal", payload=b'{"seqs":[]}', private=True))
    store.publish()
    skip, redact, withheld = shown(store)
    assert (skip, withheld) == ("[1,1]", "[3,3]")
    assert redact == "journal/None"


def test_a_feed_is_what_its_head_lists_whatever_two_killed_publishes_left_beside_it(world: World) -> None:
    """[F3] [T1] One was killed before its head, the next, under another filter, before it could tidy up."""
    base = world.store("base")
    put(base, "p1")
    base.publish()
    put(base, "p2")
    put(base, "s1", item_type="session")
    found = []
    for types in (TODAY, WIDER):
        store = world.copied(base, f"as-{len(types)}")
        publish(store.holdings, PublishSettings(types))
        found.append((store, tree(own_feed(store))))
    for store, _ in found:
        for _, files in found:
            for name in files.keys() - {HEAD_FILE}:
                (own_feed(store) / name).write_bytes(files[name])
        again = world.reopened(store)
        assert [line.data for line in again.holdings.own.lines(0)] == feed_lines(own_feed(again))
        assert list(audit(again.holdings)) == []
