"""Pulling and materializing between whole stores: once, in one transaction, in any order, and rebuilt to the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventsync import exits
from eventsync.sharing import Sharing
from federation.inbox import Filter
from federation.index import Index
from federation.model import BRAKE_CHANGES, BRAKE_DELETIONS, OPEN_CAP, Result, Verdict
from tests.doubles.disks import CountingDisk, Died, FaultyDisk
from tests.doubles.memory import MemoryPlace, MemoryTransport
from tests.integration.forger import Forger
from tests.integration.world import (
    World,
    accept,
    accept_all,
    answers,
    by_origin,
    candidates,
    entities,
    folder_remote,
    gone,
    only,
    place_remote,
    pull,
    put,
    rebuilt,
    reject,
    remove,
    share,
    tree,
    verdicts,
)

QUIET = ("runs.jsonl", "federation.lock", "journal.lock")


# --- once ------------------------------------------------------------------------------------------------------------


def test_pulling_twice_changes_nothing(world: World) -> None:
    """[F7] Not a byte of the store, but for the run log."""
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1", "p2")
    put(author, "s1", item_type="session")
    remove(author, "p2")
    share(author)
    assert only(pull(reader)).result is Result.NEW
    pull(reader)
    before = tree(reader.store.folder, without=QUIET)
    for _ in range(3):
        run = pull(reader)
        assert (only(run).result, only(run).records, run.exit_code) == (Result.UP_TO_DATE, 0, exits.DONE)
        assert tree(reader.store.folder, without=QUIET) == before


def test_a_pull_never_writes_a_record(world: World) -> None:
    """[K1] Nothing foreign changes anything by itself."""
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1")
    put(reader, "own")
    share(author)
    before = tree(reader.store.folder / "journal"), entities(reader)
    pull(reader)
    assert (tree(reader.store.folder / "journal"), entities(reader)) == before


def test_a_dry_run_reports_and_keeps_nothing(world: World) -> None:
    from federation.puller import Settings

    author, reader = world.store("author"), world.store("reader")
    put(author, "p1", "p2")
    share(author)
    pull(reader, [])
    before = tree(reader.store.folder, without=(*QUIET, "index.sqlite3-wal"))
    run = reader.pull(reader.remotes(None), Settings(dry_run=True))
    assert (only(run).result, only(run).records, run.exit_code) == (Result.NEW, 2, exits.DONE)
    assert tree(reader.store.folder, without=(*QUIET, "index.sqlite3-wal")) == before
    assert only(pull(reader)).result is Result.NEW


def test_the_own_origin_is_no_foreign_one(world: World) -> None:
    """[F8]"""
    author = world.store("author")
    put(author, "p1")
    share(author)
    run = pull(author)
    assert [list(remote.origins) for remote in run.remotes] == [[]]
    assert run.exit_code == exits.DONE
    assert author.holdings.mirror.origins() == []


def test_a_place_without_feeds_is_fine_and_one_that_lost_them_is_not(world: World) -> None:
    """(DESIGN 5): never "everything was deleted"."""
    author, reader = world.store("author"), world.store("reader")
    assert pull(reader).exit_code == exits.DONE
    put(author, "p1")
    share(author)
    pull(reader)
    shown = candidates(reader)
    away = world.folder / "away"
    world.bus.rename(away)
    for is_there in (False, True):
        if is_there:
            world.bus.mkdir()  # an empty mount point
        run = pull(reader)
        assert run.exit_code == exits.UNAVAILABLE
        assert run.remotes[0].error is not None
        assert candidates(reader) == shown
    world.bus.rmdir()
    away.rename(world.bus)
    assert only(pull(reader)).result is Result.UP_TO_DATE


def test_one_remote_that_is_gone_stops_no_other(world: World) -> None:
    """[F6]"""
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1")
    share(author)
    run = pull(reader, [place_remote(gone), *reader.remotes(None), place_remote(gone)])
    assert [remote.error is None for remote in run.remotes] == [False, True, False]
    assert run.exit_code == exits.PARTLY
    assert verdicts(reader) == {"plan/p1": "new"}


# --- in one transaction ----------------------------------------------------------------------------------------------


class FragileIndex(Index):
    """Dies in the middle of its nth flush."""

    def die_at(self, flush: int, rows: int) -> None:
        self._left, self._rows = flush, rows

    def flush(self, origin: str, rows: Any, position: tuple[int, str], **more: Any) -> None:
        self._left -= 1
        super().flush(origin, self._some(rows) if self._left == 0 else rows, position, **more)

    def _some(self, rows: Any) -> Iterator[Any]:
        yield from list(rows)[: self._rows]
        raise Died


@pytest.mark.parametrize("flush", [1, 2])
@pytest.mark.parametrize("rows", [0, 2])
def test_a_pull_killed_while_it_materializes_is_made_good_by_whatever_comes_next(
    world: World, flush: int, rows: int
) -> None:
    """[F7] Position and effect are one; the mirror is whole, and the next look finds all of it."""
    authors = [world.store(f"author{number}") for number in range(2)]
    for author in authors:
        put(author, "p1", "p2", "p3")
        share(author)
    reader, undisturbed = world.store("reader"), world.store("undisturbed")
    index = FragileIndex.open(reader.store.disk, reader.store.folder / "federation" / "index.sqlite3")
    index.die_at(flush, rows)
    reader.holdings.__dict__["index"] = index
    with pytest.raises(Died):
        pull(reader)
    reader = world.reopened(reader)
    positions = [reader.holdings.index.position(author.store.origin)[0] for author in authors]
    assert sorted(positions) == [0, 0] if flush == 1 else [0, 3]
    pull(undisturbed)
    pull(reader)
    assert answers(reader) == answers(undisturbed)


def test_a_pull_killed_at_any_write_to_disk_comes_to_the_same_in_the_end(world: World) -> None:
    """[F4] [F7] Nothing is half taken, and what was killed leaves no litter."""
    author = world.store("author")
    for number in range(3):
        put(author, f"p{number}", f"q{number}")
        share(author)
    undisturbed = world.store("undisturbed")
    pull(undisturbed)
    expected = answers(undisturbed)
    kills = 0
    for at in range(1, 100):
        reader = world.store(f"reader{at}")
        disk = FaultyDisk(10**9, kills=True)
        reader = world.reopened(reader, disk=disk)
        pull(reader, [])
        disk.at = disk.count + at
        try:
            pull(reader)
        except Died:
            kills += 1
        else:
            break
        reader = world.reopened(reader)
        mirrored = [line.data for line in reader.holdings.mirror.feed(author.store.origin).lines(0)]
        assert len(mirrored) in (0, 6)
        pull(reader)
        assert answers(reader) == expected
        assert not list((reader.store.folder / "federation" / "staging").iterdir())
        assert not list((reader.store.folder / "federation").rglob(".tmp-*"))
        world.close(reader)
    assert kills >= 6


# --- in any order ----------------------------------------------------------------------------------------------------


def test_the_same_feed_from_two_folders_gives_one_candidate_per_entity(world: World) -> None:
    """(DESIGN 8) Whichever comes first, and whichever is older."""
    author = world.store("author")
    old, new = world.folder / "old", world.folder / "new"
    put(author, "p1", "p2")
    share(author)
    shutil.copytree(world.bus, old)
    put(author, "p1", title="later")
    put(author, "p3")
    share(author)
    shutil.copytree(world.bus, new)

    found = []
    for name, order in (("one", [old, new]), ("two", [new, old]), ("three", [new]), ("four", [old, new, old, new])):
        reader = world.store(name)
        run = pull(reader, [folder_remote(path, reader) for path in order])
        assert run.exit_code == exits.DONE
        found.append(answers(reader))
        assert verdicts(reader) == {"plan/p1": "new", "plan/p2": "new", "plan/p3": "new"}
    assert found[0] == found[1] == found[2] == found[3]


def test_two_pulls_with_a_store_each_open_see_what_the_other_took(world: World) -> None:
    """[F7] What one process took in, another that has looked before must not step over."""
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1")
    share(author)
    pull(reader)
    twin = world.again(reader)
    assert verdicts(twin) == {"plan/p1": "new"}
    list(twin.holdings.mirror.feed(author.store.origin).lines(0))  # it has looked at the slices
    put(author, "p2")
    put(author, "p3")
    share(author)
    # The reader takes the feed into the mirror and is killed before its index learns of it.
    index = FragileIndex.open(reader.store.disk, reader.store.folder / "federation" / "index.sqlite3")
    index.die_at(1, 0)
    reader.holdings.close()
    reader.holdings.__dict__["index"] = index
    with pytest.raises(Died):
        pull(reader)
    reader.holdings.close()
    assert verdicts(twin) == {"plan/p1": "new", "plan/p2": "new", "plan/p3": "new"}
    assert [item.payload for item in candidates(twin)] == [{"title": "p1"}, {"title": "p2"}, {"title": "p3"}]
    put(author, "p4")
    share(author)
    pull(reader)
    assert [item.payload for item in candidates(twin)][-1] == {"title": "p4"}


# --- what cannot be read, from whole stores --------------------------------------------------------------------------


def test_unreadable_records_are_shown_and_stop_nobody(world: World) -> None:
    """[K3] [F6] Neither their own origin nor another; a person can say that they are not wanted."""
    forger, author, reader = Forger(), world.store("author"), world.store("reader")
    put(reader, "local", "deep")
    forger.record("fine")
    forger.record("later", v=3)
    forger.record("action", action="mystery")
    forger.record("list", payload=[1])
    forger.record("map", context=["no map"])
    forger.record("many", context={forger.origin: 7} | {f"brainclaw:p{number}": 1 for number in range(256)})
    seq = forger.state.seq + 1
    forger.chained(
        b'{"v":2,"seq":%d,"action":"create","item_type":"plan","item_id":"bytes","payload":{"a":"\xff"}' % seq
    )
    head = b'{"v":2,"seq":%d,"action":"create","item_type":"plan","item_id":"deep","payload":' % (seq + 1)
    forger.chained(head + b'{"a":' * 3000 + b"1" + b"}" * 3000)
    forger.record("local", salt=5)
    forger.record("rev", entity_rev=10**30)
    forger.feed().put_into(world.bus)
    put(author, "p1")
    share(author)
    run = pull(reader)
    assert run.exit_code == exits.DONE
    found = verdicts(reader)
    assert {key for key, verdict in found.items() if verdict == "new"} == {"plan/fine", "plan/p1"}
    unreadable = {key for key, verdict in found.items() if verdict == "unreadable"}
    assert unreadable == {
        f"plan/{name}" for name in ["later", "action", "list", "map", "many", "bytes", "deep", "local", "rev"]
    }
    assert all(item.label for item in candidates(reader) if item.verdict == "unreadable")

    report = accept_all(reader)
    assert {written.item_id for written in report.written} == {"fine", "p1"}
    assert {left.verdict for left in report.left} == {"unreadable"}
    assert len(report.left) == 9
    reject(reader, *sorted(unreadable))
    assert set(verdicts(reader).values()) == {"known"}
    before = answers(reader)
    assert answers(rebuilt(reader)) == before


def test_a_line_that_names_nothing_is_told_in_the_report(world: World) -> None:
    """[F6] Nothing is lost silently."""
    forger, reader = Forger(), world.store("reader")
    forger.chained(b'{"v":2,"seq":1,"what":')
    forger.record("p1")
    forger.feed().put_into(world.bus)
    found = only(pull(reader))
    assert (found.result, found.records) == (Result.NEW, 2)
    assert "1 lines could not be decoded" in found.warnings[0]


def test_what_a_machine_is_doing_is_never_a_candidate(world: World) -> None:
    """(DESIGN 8) Also when its store publishes it."""
    author, reader = world.store("author"), world.store("reader")
    for item_type in ("claim", "session", "agent_run", "runtime_note"):
        put(author, "x", item_type=item_type)
    put(author, "p1")
    from federation.publisher import publish
    from federation.withholding import PublishSettings

    publish(author.holdings, PublishSettings(frozenset(["plan", "claim", "session", "agent_run", "runtime_note"])))
    author.push(author.remotes(None))
    assert only(pull(reader)).records == 5
    assert verdicts(reader) == {"plan/p1": "new"}
    assert only(pull(reader)).candidates == (1, 0, 0)


def test_what_others_say_they_saw_of_us_is_checked_and_freezes_nothing(world: World) -> None:
    """[F2] Anyone can claim it: it is reported with both names."""
    author, reader, liar = world.store("author"), world.store("reader"), Forger()
    put(author, "p1", "p2")
    share(author)
    pull(reader)
    put(reader, "own")
    share(reader)
    liar.record("x")
    zero = {"c": "0" * 64, "t": "0" * 64}
    saw = {author.store.origin: {"seq": 2} | zero, reader.store.origin: {"seq": 9} | zero}
    liar.feed(saw=saw).put_into(world.bus)
    found = by_origin(pull(reader))[liar.origin]
    assert found.result is Result.NEW
    assert any(liar.origin in text and author.store.origin in text for text in found.warnings)
    assert any("up to seq 9" in text for text in found.warnings)
    assert by_origin(pull(reader))[author.store.origin].result is Result.UP_TO_DATE


# --- rebuilding ------------------------------------------------------------------------------------------------------


def busy(world: World) -> Sharing:
    """A store with candidates of every verdict, receipts, a brake and a note."""
    reader, author, third = world.store("reader"), world.store("author"), world.store("third")
    put(reader, "mine", "ours", "both")
    put(reader, "gone")
    share(reader)
    pull(author)
    accept_all(author)
    put(author, "ours", title="edited there")
    remove(author, "gone")
    put(author, "new1", "new2", "new3")
    put(reader, "both", title="here")
    put(author, "both", title="there")
    share(author)
    pull(third)
    accept(third, "plan/new1")
    put(third, "same")
    put(reader, "same")
    share(third)
    share(reader)
    pull(reader)
    reject(reader, "plan/new2")
    forger = Forger()
    forger.record("odd", v=3)
    forger.chained(b'{"v":2,"seq":2,"what":')
    forger.feed().put_into(world.bus)
    pull(reader)
    for number in range(BRAKE_DELETIONS + 1):
        forger.record(f"d{number}")
    forger.feed(gen=2).put_into(world.bus)
    pull(reader)
    accept(reader, *(f"plan/d{number}" for number in range(BRAKE_DELETIONS + 1)))
    for number in range(BRAKE_DELETIONS + 1):
        forger.record(f"d{number}", action="delete")
    forger.feed(gen=3).put_into(world.bus)
    pull(reader)
    return reader


def test_all_caches_deleted_and_rebuilt_give_the_same_answers(world: World) -> None:
    """[T1] Inbox, counts, receipts, brakes, notes, entities: a function of journal, mirrors and feed."""
    reader = busy(world)
    before = answers(reader)
    found = {item["verdict"] for item in before["candidates"]}
    assert found >= {Verdict.KNOWN, Verdict.UNREADABLE, Verdict.NEW, Verdict.UPDATE, Verdict.GONE, Verdict.CONFLICT}
    assert any(brake is not None for brake in before["brakes"].values())
    assert any(sum(receipts) for receipts in before["receipts"].values())
    for _ in range(2):
        assert answers(rebuilt(reader)) == before
    assert pull(reader).exit_code in (exits.DONE, exits.DECISION)
    assert answers(reader) == before


@pytest.mark.parametrize("damage", [b"", b"not a database" * 100])
def test_an_index_that_cannot_be_read_is_begun_anew(world: World, damage: bytes) -> None:
    """[T1] A cache is no reason to fail."""
    reader = busy(world)
    before = answers(reader)
    world.close(reader)
    for path in (reader.store.folder / "federation").glob("index.sqlite3*"):
        path.unlink()
    (reader.store.folder / "federation" / "index.sqlite3").write_bytes(damage)
    assert answers(world.reopened(reader)) == before


def test_a_journal_restored_from_before_a_decision_has_not_taken_it(world: World) -> None:
    """[J11] [T1] The index remembers nothing that the journal does not say."""
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1", "p2", "p3")
    put(reader, "own")
    share(author)
    pull(reader)
    world.close(reader)
    backup = world.folder / "backup"
    shutil.copytree(reader.store.folder, backup, ignore=shutil.ignore_patterns("federation"))
    reader = world.reopened(reader)
    open_before = verdicts(reader)
    accept(reader, "plan/p1")
    reject(reader, "plan/p2")
    world.close(reader)
    federation = world.folder / "federation"
    (reader.store.folder / "federation").rename(federation)
    shutil.rmtree(reader.store.folder)
    shutil.copytree(backup, reader.store.folder)
    federation.rename(reader.store.folder / "federation")
    reader = world.reopened(reader)
    reader.store.keep_identity()
    assert verdicts(reader) == open_before
    put(reader, "other", "another")
    assert verdicts(reader) == open_before
    before = answers(reader)
    assert answers(rebuilt(reader)) == before


# --- the brake -------------------------------------------------------------------------------------------------------


def many(count: int, *, deletions: int = 0) -> Forger:
    forger = Forger()
    for number in range(count):
        forger.record(f"p{number}")
    for number in range(deletions):
        forger.record(f"p{number}", action="delete")
    return forger


def grown(forger: Forger, world: World, count: int, *, gen: int) -> None:
    start = len(forger.lines)
    for number in range(count):
        forger.record(f"more{start + number}")
    forger.feed(gen=gen).put_into(world.bus)


def test_a_first_pull_is_not_braked_but_capped(world: World) -> None:
    """[K5] The first thousand by seq count, the rest is held and counted."""
    reader, forger = world.store("reader"), many(OPEN_CAP + 30)
    forger.feed().put_into(world.bus)
    run = pull(reader)
    assert (only(run).braked, run.exit_code) == (False, exits.DONE)
    assert only(run).candidates == (OPEN_CAP, 0, 30)
    held = [item.item_id for item in candidates(reader, Filter()) if item.held]
    assert held == [f"p{number}" for number in range(OPEN_CAP, OPEN_CAP + 30)]
    assert reader.inbox.held(Filter()) == 30
    assert len(accept_all(reader).written) == OPEN_CAP
    assert only(pull(reader)).candidates == (30, OPEN_CAP, 0)
    assert len(accept_all(reader).written) == 30
    assert accept_all(reader).written == ()


@pytest.mark.parametrize(("changes", "braked"), [(BRAKE_CHANGES, False), (BRAKE_CHANGES + 1, True)])
def test_more_than_a_thousand_changes_from_a_known_origin_wait_for_a_person(
    world: World, changes: int, braked: bool
) -> None:
    """[K5] Exit 22; all of them are held, what was there before is not."""
    reader, forger = world.store("reader"), many(3)
    forger.feed().put_into(world.bus)
    pull(reader)
    grown(forger, world, changes, gen=2)
    run = pull(reader)
    assert (only(run).braked, run.exit_code) == (braked, exits.DECISION if braked else exits.DONE)
    assert only(run).candidates == ((3, 0, changes) if braked else (OPEN_CAP, 0, 3))
    if not braked:
        return
    assert pull(reader).exit_code == exits.DECISION  # said until somebody looks
    assert len(accept_all(reader).written) == 3
    assert accept_all(reader).written == ()
    before = answers(reader)
    assert answers(rebuilt(reader)) == before

    run = pull(reader, confirm=True)
    assert (only(run).braked, run.exit_code) == (False, exits.DONE)
    assert only(run).candidates == (OPEN_CAP, 3, changes - OPEN_CAP)
    assert len(accept_all(reader).written) == OPEN_CAP


@pytest.mark.parametrize(("deletions", "braked"), [(BRAKE_DELETIONS, False), (BRAKE_DELETIONS + 1, True)])
def test_more_than_twenty_deletions_wait_for_a_person(world: World, deletions: int, braked: bool) -> None:
    """[K5] Counted as they would act here: a deletion of what we do not have is nothing."""
    reader, forger = world.store("reader"), many(60)
    forger.feed().put_into(world.bus)
    pull(reader)
    for number in range(40, 60):
        forger.record(f"p{number}", action="delete")  # never accepted here
    accept(reader, *(f"plan/p{number}" for number in range(40)))
    for number in range(deletions):
        forger.record(f"p{number}", action="delete")
    forger.feed(gen=2).put_into(world.bus)
    run = pull(reader)
    assert (only(run).braked, run.exit_code) == (braked, exits.DECISION if braked else exits.DONE)
    assert len(accept_all(reader).written) == (0 if braked else deletions)
    if braked:
        accept(reader, *(f"plan/p{number}" for number in range(deletions)))  # one by one a person may
        assert pull(reader).exit_code == exits.DONE
        assert reader.holdings.mirror.brake(forger.origin) is None  # nothing is open under it any more


def test_a_brake_holds_what_comes_after_it_too(world: World) -> None:
    """[K5]"""
    reader, forger = world.store("reader"), many(1)
    forger.feed().put_into(world.bus)
    pull(reader)
    grown(forger, world, BRAKE_CHANGES + 1, gen=2)
    assert pull(reader).exit_code == exits.DECISION
    grown(forger, world, 1, gen=3)
    run = pull(reader)
    assert (only(run).candidates.held, run.exit_code) == (BRAKE_CHANGES + 2, exits.DECISION)


@pytest.mark.parametrize("before", ["look", "pull", "accept", "rebuild"])
def test_a_kill_between_taking_and_counting_releases_no_brake(world: World, before: str) -> None:
    """[K5] Whatever command comes next decides it first."""
    reader, forger = world.store("reader"), many(1)
    forger.feed().put_into(world.bus)
    pull(reader)
    grown(forger, world, BRAKE_CHANGES + 1, gen=2)
    index = FragileIndex.open(reader.store.disk, reader.store.folder / "federation" / "index.sqlite3")
    index.die_at(1, 500)
    reader.holdings.close()
    reader.holdings.__dict__["index"] = index
    with pytest.raises(Died):
        pull(reader)
    reader = world.reopened(reader)
    match before:
        case "look":
            assert candidates(reader)
        case "pull":
            assert pull(reader).exit_code == exits.DECISION
        case "rebuild":
            rebuilt(reader)
        case "accept":
            assert len(accept_all(reader).written) == 1
    assert len(accept_all(reader).written) == (0 if before == "accept" else 1)
    assert pull(reader).exit_code == exits.DECISION
    assert only(pull(reader)).candidates == (0, 1, BRAKE_CHANGES + 1)


def test_one_braked_origin_holds_no_other(world: World) -> None:
    """[F6] [K5]"""
    reader, forger, author = world.store("reader"), many(1), world.store("author")
    forger.feed().put_into(world.bus)
    put(author, "q1")
    share(author)
    pull(reader)
    grown(forger, world, BRAKE_CHANGES + 1, gen=2)
    put(author, "q2")
    share(author)
    run = pull(reader)
    found = by_origin(run)
    assert (found[forger.origin].braked, found[author.store.origin].braked) == (True, False)
    assert run.exit_code == exits.DECISION
    assert {written.item_id for written in accept_all(reader).written} == {"p0", "q1", "q2"}


# --- cost ------------------------------------------------------------------------------------------------------------


def test_a_pull_of_nothing_new_costs_the_same_after_10_records_and_after_5000(world: World) -> None:
    """[F7] (DESIGN 11)"""
    costs = []
    for count in (10, 5_000):
        disk = CountingDisk()
        reader, forger = world.store(f"reader{count}", disk=disk), many(count)
        bus = world.folder / f"bus{count}"
        forger.feed().put_into(bus)
        remote = folder_remote(bus, reader)
        for _ in range(2):
            pull(reader, [remote])
        disk.reset()
        assert only(pull(reader, [remote])).result is Result.UP_TO_DATE
        costs.append((disk.calls["read"], disk.calls["write"], disk.calls["fsync"]))
        assert disk.bytes_read < 40_000
    assert costs[0] == costs[1]


def test_a_transport_that_brings_more_than_it_was_asked_for_is_not_listened_to(world: World) -> None:
    """[R1] Names come from the signed head, not from the place."""
    reader, forger = world.store("reader"), many(2)
    found = forger.feed()
    place = MemoryPlace({f"{forger.origin}/{name}": data for name, data in found.files.items()})
    place.files[f"{forger.origin}/../../journal/seg-00000001.jsonl"] = b"x"
    place.files[f"{forger.origin}/seg-00000001-00000002-000000000000.jsonl.zst"] = b"x"
    before = tree(reader.store.folder / "journal")
    assert only(pull(reader, [place_remote(lambda: MemoryTransport(place))])).result is Result.NEW
    mirror = reader.store.folder / "federation" / "mirror" / forger.origin
    assert set(tree(mirror)) == set(found.files)
    assert tree(reader.store.folder / "journal") == before


def test_a_mirror_survives_the_removal_of_its_remote(world: World, quick_folder: Path) -> None:
    """[F10]"""
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1")
    share(author)
    pull(reader)
    before = answers(reader)
    reader.remove_remote("bus")
    assert pull(reader).remotes == []
    assert answers(reader) == before
    assert world.folder == quick_folder
