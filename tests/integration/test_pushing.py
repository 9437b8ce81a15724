"""Making a feed visible: never over another copy's, slices before the head, and no place that was not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from eventsync import exits
from eventsync.sharing import PushRun, Sharing
from federation.model import HEAD_FILE, PushReport, Result
from tests.doubles.memory import MemoryPlace, MemoryTransport
from tests.integration.forger import Forger
from tests.integration.world import (
    World,
    feed_lines,
    folder_remote,
    head_of,
    only,
    own_feed,
    place_remote,
    pull,
    put,
    share,
    tree,
    verdicts,
)


def push(store: Sharing, *, confirmed: bool = False) -> tuple[PushReport, int]:
    """Push to the bus; the report and the exit code."""
    run = store.push(store.remotes(None), confirmed=confirmed)
    (report,) = run.remotes
    return report, run.exit_code


def published(world: World, name: str = "a", *ids: str) -> Sharing:
    store = world.store(name)
    put(store, *(ids or ("p1",)))
    store.publish()
    return store


def test_a_feed_stands_on_the_bus_as_it_was_published(world: World) -> None:
    """[F4]"""
    store = published(world)
    report, code = push(store)
    assert (report.result, report.last_seq, code) == ("pushed", 1, exits.DONE)
    assert tree(world.bus / store.store.origin) == tree(own_feed(store))


def test_pushing_again_writes_nothing(world: World) -> None:
    store = published(world)
    push(store)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in world.bus.rglob("*") if path.is_file()}
    report, code = push(store)
    assert (report.result, code) == ("up_to_date", exits.DONE)
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in world.bus.rglob("*") if path.is_file()}
    assert after == before


def test_slices_go_before_the_head_and_what_is_there_is_not_sent_again(world: World) -> None:
    """[F4]"""
    store = world.store("a")
    place = MemoryPlace()
    remote = place_remote(lambda: MemoryTransport(place, is_local=True))
    for number in range(3):
        put(store, f"p{number}")
        store.publish()
        place.written.clear()
        store.push([remote])
        names = [path.partition("/")[2] for path in place.written]
        assert names[-1] == HEAD_FILE
        assert len(names) == 2  # one new slice
    assert {path.partition("/")[2] for path in place.files} == set(tree(own_feed(store)))


@pytest.mark.parametrize("after", range(4))
def test_a_push_that_breaks_down_shows_the_former_feed_and_is_made_good_by_the_next(world: World, after: int) -> None:
    """[F4] Readers never see half of it."""
    store, reader = world.store("a"), world.store("reader")
    place = MemoryPlace()
    good = place_remote(lambda: MemoryTransport(place, is_local=True))
    put(store, "p1")
    store.publish()
    store.push([good])
    for number in range(2, 5):
        put(store, f"p{number}")
        store.publish()
    (report,) = store.push([place_remote(lambda: MemoryTransport(place, is_local=True, fails_after=after))]).remotes
    assert report.result == "unavailable"
    assert only(pull(reader, [good])).last_seq == 1
    store.push([good])
    assert only(pull(reader, [good])).last_seq == 4


# --- another copy of this store [R3] ---------------------------------------------------------------------------------


def copies(world: World) -> tuple[Sharing, Sharing]:
    """A store that pushed, and a copy of its folder; both think that they are it."""
    store = published(world, "a", "p1", "p2")
    push(store)
    copy = world.copied(store, "copy")
    store = world.reopened(store)
    return store, copy


def test_a_copy_that_published_more_is_not_overwritten(world: World) -> None:
    """[R3] Exit 5, and the remote is not touched: a person has to say which one goes on."""
    store, copy = copies(world)
    put(copy, "copied")
    copy.publish()
    assert push(copy)[0].result == "pushed"
    before = tree(world.bus)
    put(store, "original")
    put(store, "original2")
    store.publish()
    report, code = push(store)
    assert (report.result, code) == ("refused", exits.FOREIGN_REFUSED)
    assert "R3" in str(report.error)
    assert tree(world.bus) == before


def test_a_copy_that_stayed_behind_is_told_and_does_not_take_the_remote_back(world: World) -> None:
    """[R3] What is there reaches further than ours: another copy went on."""
    store, copy = copies(world)
    put(copy, "copied")
    copy.publish()
    push(copy)
    before = tree(world.bus)
    report, code = push(store)
    assert (report.result, code) == ("refused", exits.FOREIGN_REFUSED)
    assert tree(world.bus) == before


def test_a_copy_that_only_told_what_it_saw_is_another_copy_too(world: World) -> None:
    """[R3] A gen beyond ours was never published by us."""
    store, copy = copies(world)
    other = published(world, "other", "q1")
    push(other)
    pull(copy)
    copy.publish()
    push(copy)
    assert push(store)[0].result == "refused"


def test_a_remote_that_is_behind_is_a_prefix_of_ours(world: World) -> None:
    """[R3] An older state that somebody put back is pushed over."""
    store = published(world)
    push(store)
    old = tree(world.bus / store.store.origin)
    for number in range(20):
        put(store, f"p{number}")
        store.publish()
    push(store)
    folder = world.bus / store.store.origin
    shutil.rmtree(folder)
    folder.mkdir()
    for name, data in old.items():
        (folder / name).write_bytes(data)
    report, code = push(store)
    assert (report.result, code) == ("pushed", exits.DONE)
    assert head_of(folder) == head_of(own_feed(store))
    reader = world.store("reader")
    assert only(pull(reader)).last_seq == 21


def test_a_head_of_ours_that_we_did_not_sign_is_not_overwritten(world: World) -> None:
    """[R3] Whoever wrote it, it is for a person to look at."""
    store = published(world)
    folder = world.bus / store.store.origin
    folder.mkdir()
    forged = Forger().feed(origin_store_id=store.store.origin).files[HEAD_FILE]
    for data in (b"{}", forged):
        (folder / HEAD_FILE).write_bytes(data)
        report, code = push(store)
        assert (report.result, code) == ("refused", exits.FOREIGN_REFUSED)
        assert tree(folder) == {HEAD_FILE: data}


def test_a_feed_that_was_removed_from_the_bus_is_published_again_and_told(world: World) -> None:
    store = published(world)
    push(store)
    shutil.rmtree(world.bus / store.store.origin)
    put(store, "p2")
    store.publish()
    report, _ = push(store)
    assert report.result == "pushed"
    assert "not there any more" in report.warnings[0]
    assert feed_lines(world.bus / store.store.origin) == feed_lines(own_feed(store))


def test_a_slice_that_was_lost_on_the_bus_is_published_again_and_told(world: World) -> None:
    """Its head is ours already, yet nobody could read it."""
    store, reader = published(world, "a", "p1", "p2"), world.store("reader")
    push(store)
    (path,) = (world.bus / store.store.origin).glob("seg-*")
    whole = path.read_bytes()
    for left in (None, whole[:-1]):
        path.unlink()
        if left is not None:
            path.write_bytes(left)
        assert only(pull(reader)).result is Result.INCOMPLETE
        report, code = push(store)
        assert (report.result, code) == ("pushed", exits.DONE)
        assert report.warnings == ("files of our feed were lost there; they were published again",)
        assert tree(world.bus / store.store.origin) == tree(own_feed(store))
        assert push(store)[0] == report._replace(result="up_to_date", warnings=())
    assert only(pull(reader)).result is Result.NEW


def test_what_is_published_while_a_push_goes_on_is_pushed_with_its_slices(world: World) -> None:
    """[F4]: another process may publish between the slices and the head; no head stands there without its slices."""
    store = published(world)

    class Meanwhile(MemoryTransport):
        def publish(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> None:
            if news:
                other = world.reopened(store)
                put(other, news.pop())
                other.publish()
            super().publish(origin, folder, names, keep)

    place, news = MemoryPlace(), ["p2", "p3"]
    (report,) = store.push([place_remote(lambda: Meanwhile(place, is_local=True))]).remotes
    assert (report.result, report.last_seq) == ("pushed", 3)
    reader = world.store("reader")
    pulled = only(pull(reader, [place_remote(lambda: MemoryTransport(place, is_local=True))]))
    assert (pulled.result, pulled.records) == (Result.NEW, 3)


def test_a_place_that_goes_away_between_two_looks_is_unavailable(world: World) -> None:
    store = published(world)
    push(store)

    class Going(MemoryTransport):
        def missing(self, origin: str, folder: Path, names: Sequence[str]) -> tuple[str, ...]:
            place.reachable = False
            return super().missing(origin, folder, names)

    place = MemoryPlace()
    store.push([place_remote(lambda: MemoryTransport(place, is_local=True))])
    (report,) = store.push([place_remote(lambda: Going(place, is_local=True))]).remotes
    assert report.result == "unavailable"


# --- places ----------------------------------------------------------------------------------------------------------


def test_a_first_push_makes_the_folder_of_the_bus_and_nothing_above_it(world: World) -> None:
    bus, nowhere = world.folder / "new bus", world.folder / "no such folder" / "bus"
    store = world.store("a", bus=bus)
    put(store, "p1")
    store.publish()
    assert push(store)[0].result == "pushed"
    assert (bus / store.store.origin / HEAD_FILE).is_file()

    other = world.store("b", bus=nowhere)
    put(other, "p1")
    other.publish()
    report, code = push(other)
    assert (report.result, code) == ("unavailable", exits.UNAVAILABLE)
    assert not nowhere.parent.exists()


def test_a_bus_that_is_not_mounted_is_not_made_up(world: World) -> None:
    """A drive that is away leaves an empty mount point, or none: 75, and nothing is written there."""
    store = published(world)
    push(store)
    away = world.folder / "away"
    world.bus.rename(away)
    put(store, "p2")
    store.publish()
    for _ in range(2):
        report, code = push(store)
        assert (report.result, code) == ("unavailable", exits.UNAVAILABLE)
        assert not world.bus.exists()
    away.rename(world.bus)
    assert push(store)[0].result == "pushed"


@pytest.mark.parametrize("inside", ["", ".eventsync", ".eventsync/feed"])
def test_another_store_is_only_read(world: World, inside: str) -> None:
    """A directory remote may be a store: its feed is its own."""
    store, other = published(world), published(world, "other", "q1")
    path = other.store.folder.parent / inside
    before = tree(other.store.folder)
    remote = folder_remote(path, store)
    run = store.push([remote])
    assert [report.result for report in run.remotes] == ["read_only"]
    assert run.exit_code == exits.DONE
    assert store.push([remote], named=True).exit_code == exits.USAGE
    assert tree(other.store.folder) == before
    assert only(pull(store, [remote])).result is Result.NEW


def test_one_feed_is_only_read(world: World) -> None:
    store, other = published(world), published(world, "other", "q1")
    push(other)
    remote = folder_remote(world.bus / other.store.origin, store)
    assert [report.result for report in store.push([remote]).remotes] == ["read_only"]
    assert only(pull(store, [remote])).result is Result.NEW


def results(run: PushRun) -> Sequence[str]:
    return [report.result for report in run.remotes]


def test_the_first_push_to_a_place_that_is_not_local_needs_a_person(world: World) -> None:
    """[F1] Exit 22, and nothing goes out; later pushes ask nobody."""
    store = published(world)
    place = MemoryPlace()
    remote = place_remote(lambda: MemoryTransport(place, is_local=False))
    run = store.push([remote])
    assert (results(run), run.exit_code) == (["needs_decision"], exits.DECISION)
    assert place.files == {}
    assert results(store.push([remote], confirmed=True)) == ["pushed"]
    put(store, "p2")
    store.publish()
    assert results(store.push([remote])) == ["pushed"]
    place.files.clear()
    assert results(store.push([remote])) == ["needs_decision"]


def test_one_remote_that_fails_stops_no_other(world: World) -> None:
    """[F6]"""
    store = published(world)
    place = MemoryPlace(reachable=False)
    run = store.push([place_remote(lambda: MemoryTransport(place)), *store.remotes(None)])
    assert (results(run), run.exit_code) == (["unavailable", "pushed"], exits.PARTLY)


def test_a_place_of_strange_files_is_left_as_it_is(world: World) -> None:
    """Only our own feed files are ours to remove."""
    store = published(world)
    push(store)
    folder = world.bus / store.store.origin
    for name in ("notes.txt", "head.sync-conflict-20260610-140322-ABCDEFG.json", ".stfolder"):
        (folder / name).write_text("x")
    for number in range(3):
        put(store, f"q{number}")
        share(store)
    assert {"notes.txt", ".stfolder", "head.sync-conflict-20260610-140322-ABCDEFG.json"} <= set(tree(folder))
    reader = world.store("reader")
    run = pull(reader)
    assert run.remotes[0].ignored == 3
    assert len(verdicts(reader)) == 4


def test_a_push_of_a_copied_store_is_refused_before_anything_is_read(world: World) -> None:
    """[I2] Until a person says what it is."""
    from journal import StoreCopied

    store = published(world)
    push(store)
    world.close(store)
    shutil.copytree(store.store.folder, world.folder / "copy" / ".eventsync")
    copy = world.reopened(store, folder=world.folder / "copy" / ".eventsync")
    before = tree(world.bus)
    with pytest.raises(StoreCopied):
        copy.push(copy.remotes(None))
    with pytest.raises(StoreCopied):
        copy.publish()
    with pytest.raises(StoreCopied):
        pull(copy)
    assert tree(world.bus) == before


def test_the_run_log_tells_of_every_push(world: World) -> None:
    store = published(world)
    push(store)
    world.bus.rename(world.folder / "away")
    put(store, "p2")
    store.publish()
    push(store)
    runs = [json.loads(line) for line in (store.store.folder / "federation" / "runs.jsonl").read_bytes().splitlines()]
    assert [(run["verb"], run["result"], run["error"] is None) for run in runs] == [
        ("push", "pushed", True),
        ("push", "unavailable", False),
    ]
    assert isinstance(store.remote_status("bus").last_error, str)
