"""The disk refuses, or the process ends, at every write, fsync, rename and removal of a checkpoint and of a gc.

Whatever comes, no record is lost, every segment stands in one of both places or the same in both, and the next run ends
what this one began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from journal import DiskFailed, JournalError, Store
from tests.doubles.disks import CountingDisk, Died, FaultyDisk, PowerCutDisk, Share
from tests.doubles.machines import FixedMachine
from tests.doubles.stores import delete, drop_index, new_store, put, quick_folder, reopened, state

pytestmark = pytest.mark.crash


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


def prepared(folder: Path) -> Store:
    """A store of several segments with two checkpoints, and records after the second."""
    store = new_store(folder)
    store.roll_bytes = 900
    for number in range(2):
        for also in range(3):
            put(store, "p1", f"q{number}{also}", n=number)
        delete(store, f"q{number}1")
        store.checkpoint()
    put(store, "p1", "last", n=9)
    return store


def checkpoint(store: Store) -> None:
    store.checkpoint()


def gc(store: Store) -> None:
    store.gc()


VERBS: list[Callable[[Store], None]] = [checkpoint, gc]


def segments(store: Store) -> dict[str, bytes]:
    """Every segment by name; one that stands in both places is the same there."""
    journal = store.folder / "journal"
    live = {path.name: path.read_bytes() for path in journal.glob("seg-*.jsonl")}
    archived = {path.name: path.read_bytes() for path in (journal / "archive").glob("seg-*.jsonl")}
    assert all(live[name] == archived[name] for name in live.keys() & archived.keys())
    return archived | live


def check(store: Store, before: object, kept: dict[str, bytes], verb: Callable[[Store], None]) -> None:
    """Nothing is lost, with and without caches; the same verb done again ends it."""
    after = segments(store)
    assert {name: after[name][: len(data)] for name, data in kept.items()} == kept
    assert (state(store), store.stale) == (before, None)
    assert [finding for finding in store.verify().findings if finding.severity != "info"] == []
    drop_index(store)
    assert state(reopened(store)) == before
    verb(store)
    gc(store)
    store.rebuild()
    assert [path.name for path in (store.folder / "journal").rglob(".tmp-*")] == []
    assert state(reopened(store)) == before
    put(store, "after")
    assert [finding for finding in reopened(store).verify().findings if finding.severity != "info"] == []


@pytest.mark.parametrize("kills", [True, False])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("share", ["none", "half", "all"])
def test_a_fault_at_any_call_loses_nothing(
    tmp_path: Path, share: Share, verb: Callable[[Store], None], kills: bool
) -> None:
    """[J14] [J15]: failed or killed, at each call, having done none, half or all of it."""
    counting = CountingDisk()
    verb(reopened(prepared(tmp_path / "counted"), disk=counting))
    calls = counting.numbers(share)
    assert len(calls) >= 2
    for at in calls:
        store = prepared(tmp_path / f"at{at}")
        before, kept = state(store), segments(store)
        struck = reopened(store, disk=FaultyDisk(at, share, kills=kills))
        try:
            verb(struck)
        except (Died, DiskFailed):
            pass
        struck.close()
        check(reopened(store), before, kept, verb)


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_done_survives_a_power_cut(tmp_path: Path, verb: Callable[[Store], None]) -> None:
    """[J14] [J15]: of files and names only what was synced is left."""
    project = tmp_path / "project"
    project.mkdir()
    disk = PowerCutDisk(project)
    store = prepared(project)
    before = state(store)
    disk.sync_all()
    verb(reopened(store, disk=disk))
    left = tmp_path / "left"
    disk.cut(left)
    again = Store.open(left, machine=FixedMachine(left, boot_id="boot-2"), data_folder=store.data_folder)
    again.keep_identity()
    wanted = segments(store)
    assert segments(again) == wanted
    names = {path.name for path in (store.folder / "journal" / "checkpoints").glob("cp-*")}
    assert {path.name for path in (again.folder / "journal" / "checkpoints").glob("cp-*")} >= names
    assert state(again) == before
    assert [finding for finding in again.verify().findings if finding.severity != "info"] == []
    disk.close()


def test_a_checkpoint_that_fails_fails_no_put(tmp_path: Path) -> None:
    """[J14]: what was acknowledged stays acknowledged, and the next command tries again."""
    store = new_store(tmp_path / "project")
    store.roll_bytes = 500
    for number in range(4):
        put(store, f"p{number}")
    assert store.checkpoint_is_due()
    for at in range(1, 6):
        failing = reopened(store, disk=FaultyDisk(at))
        with pytest.raises(JournalError):
            failing.checkpoint()
        assert len(state(reopened(store))) == 4
    assert store.checkpoint_is_due()
    assert store.checkpoint().is_new
