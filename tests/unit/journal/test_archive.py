"""The archive: old segments put aside by gc, read by everything that needs them, and missed when they are gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from journal import DamagedStore, DiskFailed, Finding, NoSuchEntity, Store
from tests.doubles.disks import CountingDisk, FaultyDisk, QuickDisk
from tests.doubles.stores import delete, drop_index, put, reopened, state, tree


def grown(store: Store, *, checkpoints: int = 2) -> Store:
    """A store of several segments, with checkpoints between them."""
    store.roll_bytes = 900
    for number in range(checkpoints):
        for also in range(4):
            put(store, "p1", f"q{number}{also}", n=number)
        delete(store, f"q{number}1")
        store.checkpoint()
    put(store, "last")
    return store


def archive(store: Store) -> Path:
    return store.folder / "journal" / "archive"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("seg-*.jsonl"))


def answers(store: Store) -> object:
    return (
        state(store),
        list(store.log()),
        [store.history.rev("plan", "p1", rev) for rev in (1, 5, 8)],
        store.position(),
    )


def errors(store: Store) -> list[Finding]:
    return [finding for finding in store.verify().findings if finding.severity == "error"]


def test_gc_moves_what_the_second_newest_checkpoint_covers(store: Store) -> None:
    """[J15]: and not a byte of it changes."""
    grown(store)
    before, segments = answers(store), names(store.folder / "journal")
    content = tree(store.folder / "journal")
    done = store.gc()
    assert [segment.path.name for segment in done.moved] == names(archive(store))
    assert len(done.moved) >= 2
    assert names(archive(store)) + names(store.folder / "journal") == segments
    assert (done.live, done.archived) == (len(segments) - len(done.moved), len(done.moved))
    assert done.behind_seq == 9
    first_left = int(names(store.folder / "journal")[0][4:12])
    assert first_left <= 10
    assert {name.removeprefix("archive/"): data for name, data in tree(store.folder / "journal").items()} == content
    assert answers(store) == before
    assert answers(reopened(store)) == before
    assert reopened(store).verify().findings == []


def test_gc_twice_moves_nothing_more(store: Store) -> None:
    """[J15]"""
    grown(store).gc()
    before = tree(store.folder / "journal")
    assert store.gc().moved == ()
    assert tree(store.folder / "journal") == before


def test_gc_goes_on_behind_the_next_checkpoint(store: Store) -> None:
    """[J15]"""
    grown(store, checkpoints=3).gc()
    before = answers(store)
    few = names(archive(store))
    for number in range(5):
        put(store, f"r{number}")
    store.checkpoint()
    assert store.gc().moved
    assert len(names(archive(store))) > len(few)
    assert state(store).keys() >= {("plan", "r4")}
    assert answers(store) != before
    assert reopened(store).verify().findings == []


@pytest.mark.parametrize("checkpoints", [0, 1])
def test_without_two_checkpoints_nothing_moves(store: Store, checkpoints: int) -> None:
    """[J15]: one to use, one to fall back to."""
    grown(store, checkpoints=checkpoints)
    before = tree(store.folder / "journal")
    done = store.gc()
    assert (done.moved, done.behind_seq) == ((), None)
    assert tree(store.folder / "journal") == before


def test_a_checkpoint_that_is_not_whole_does_not_count(store: Store) -> None:
    """[J15]"""
    grown(store)
    newest = max((store.folder / "journal" / "checkpoints").glob("cp-*"))
    newest.write_bytes(newest.read_bytes()[:-9])
    assert store.gc().behind_seq is None


def test_a_log_that_is_not_sound_is_left_as_it_is(store: Store) -> None:
    """[J15]: nothing is moved before the whole of it was read."""
    grown(store)
    first = store.folder / "journal" / "seg-00000001.jsonl"
    first.write_bytes(first.read_bytes().replace(b'"title":"p1"', b'"title":"p9"', 1))
    before = tree(store.folder / "journal")
    with pytest.raises(DamagedStore, match="are damaged"):
        store.gc()
    assert tree(store.folder / "journal") == before


def test_the_newest_segment_is_never_moved(store: Store) -> None:
    """[J15] [J8]: also when two checkpoints cover all of it."""
    put(store, "p1")
    store.checkpoint()
    put(store, "p1", n=1)
    store.checkpoint()
    assert store.gc().moved == ()


def test_a_segment_of_another_content_in_the_archive_is_not_overwritten(store: Store) -> None:
    """[J15]: and `verify` names it."""
    grown(store)
    archive(store).mkdir()
    stray = archive(store) / "seg-00000001.jsonl"
    stray.write_bytes(b"what is this")
    with pytest.raises(DamagedStore, match="another segment stands here"):
        store.gc()
    assert stray.read_bytes() == b"what is this"
    assert [(finding.id, finding.path) for finding in errors(store)] == [("archive-differs", str(stray))]


def test_an_interrupted_gc_is_told_and_ended_by_the_next(store: Store) -> None:
    """[J15]: the segment stands in both places, the same."""
    grown(store)
    archive(store).mkdir()
    shutil.copy(store.folder / "journal" / "seg-00000001.jsonl", archive(store))
    before = answers(store)
    (found,) = store.verify().findings
    assert (found.id, found.severity, found.fixable) == ("archived-twice", "info", True)
    store.gc()
    assert "seg-00000001.jsonl" not in names(store.folder / "journal")
    assert answers(reopened(store)) == before
    assert reopened(store).verify().findings == []


def test_a_reader_that_listed_a_segment_before_it_was_moved_finds_it(store: Store) -> None:
    """[J15]: who began to read does not notice."""
    grown(store)
    reader = reopened(store)
    reading = iter(reader.gaps())
    seqs = [entry.record.seq for entry in next(reading).entries]
    assert reopened(store).gc().moved
    seqs += [entry.record.seq for gap in reading for entry in gap.entries]
    assert seqs == list(range(1, reader.position().seq + 1))


def test_the_archive_costs_a_put_and_a_get_nothing(store: Store) -> None:
    """[J8] [J15]: places and positions are found as before."""
    grown(store)

    def costs() -> object:
        disk = CountingDisk()
        again = reopened(store, disk=disk)
        put(again, "last", n=1)
        disk.reset()
        put(again, "last", n=2)
        again.get("plan", "last")
        again.position_at(again.position().seq)
        return disk.calls

    before = costs()
    store.gc()
    assert costs() == before


def test_a_full_disk_leaves_every_segment_in_its_place(store: Store) -> None:
    """[J15]"""
    grown(store)
    before = names(store.folder / "journal")
    failing = reopened(store, disk=FaultyDisk(1))
    with pytest.raises(DiskFailed):
        failing.gc()
    assert names(store.folder / "journal") == before


# --- an archive that somebody removed [J11] --------------------------------------------------------------------------


@pytest.fixture
def lost(store: Store) -> Store:
    """A store whose archive is gone."""
    grown(store).gc()
    shutil.rmtree(archive(store))
    return reopened(store)


def test_a_lost_archive_is_an_error_and_named(lost: Store) -> None:
    """[J11] [J15]: once, with what is missing, and not once for each entity that was in it."""
    (found,) = lost.verify().findings
    first = int(names(lost.folder / "journal")[0][4:12])
    assert (found.id, found.severity, found.seq) == ("segment-header", "error", first)
    assert f"the log begins at seq {first}: older records are gone [J11], from journal/archive too" in found.message


def test_without_its_archive_a_store_does_what_does_not_need_it(lost: Store) -> None:
    """[J11]: writing, listing, and what live segments hold; the rest says why it cannot."""
    put(lost, "new")
    assert lost.get("plan", "new").payload == {"title": "new"}
    assert lost.get("plan", "p1").head.entity_rev == 8
    assert len(lost.list(deleted=True)) == 11
    with pytest.raises(DamagedStore, match="it is in neither journal nor journal/archive"):
        lost.get("plan", "q00")
    with pytest.raises(DamagedStore, match="older records are gone"):
        lost.history.rev("plan", "p1", 1)
    first = int(names(lost.folder / "journal")[0][4:12])
    assert next(lost.log(since=first - 1)).seq == first
    assert lost.stale is None
    assert next(lost.log()).seq == first
    assert lost.stale == f"records before seq {first} are gone [J11]"


def test_without_archive_and_index_the_checkpoint_knows_what_there_was(lost: Store) -> None:
    """[J11] [J14]: rev, tombstones and contexts go on; a projection whose record is gone stays as it is."""
    before = lost.list(deleted=True)
    projections = tree(lost.folder / "entities")
    drop_index(lost)
    again = reopened(lost)
    assert again.list(deleted=True) == before
    again.rebuild()
    assert again.list(deleted=True) == before
    assert tree(again.folder / "entities") == projections
    put(again, "q00")
    assert again.get("plan", "q00").head.entity_rev == 2


def test_without_archive_and_checkpoints_nothing_is_made_up(lost: Store) -> None:
    """[J11]: a store never begins again at a later seq."""
    drop_index(lost)
    shutil.rmtree(lost.folder / "journal" / "checkpoints")
    again = reopened(lost)
    with pytest.raises(DamagedStore, match="older records are gone"):
        put(again, "p1")
    with pytest.raises(DamagedStore, match="older records are gone"):
        again.list()


def test_without_its_archive_a_store_is_not_archived_further(lost: Store) -> None:
    """[J15]: what cannot be read whole is not moved."""
    with pytest.raises(DamagedStore, match="older records are gone"):
        lost.gc()


def test_an_archive_with_a_hole_is_damage(store: Store) -> None:
    """[J11]: what is left must follow without a gap."""
    grown(store, checkpoints=3).gc()
    hole = archive(store) / names(archive(store))[1]
    hole.unlink()
    again = reopened(store)
    assert "segment-header" in {finding.id for finding in errors(again)}
    list(again.log())
    assert again.stale is not None
    with pytest.raises(NoSuchEntity):
        again.history.rev("plan", "nothing", 1)


def test_a_lost_archive_that_is_put_back_is_as_if_it_had_never_gone(store: Store, tmp_path: Path) -> None:
    """[J15]"""
    grown(store).gc()
    before = answers(store)
    archive(store).rename(tmp_path / "kept")
    assert errors(reopened(store))
    (tmp_path / "kept").rename(archive(store))
    again = reopened(store, disk=QuickDisk())
    assert answers(again) == before
    assert again.verify().findings == []
