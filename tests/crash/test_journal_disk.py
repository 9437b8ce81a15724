"""The disk refuses, or the process ends, at every write, fsync, rename and truncate of a store's life.

After each: what was acknowledged is there, what was not is there wholly or not at all, and the store goes on.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from journal import DiskFailed, JournalError, NotAStore, Store, StoreReadOnly
from tests.doubles.disks import CountingDisk, Died, FaultyDisk, PowerCutDisk, QuickDisk, Share
from tests.doubles.machines import FixedMachine
from tests.doubles.stores import (
    chain_lines,
    delete,
    drop_index,
    new_store,
    put,
    quick_folder,
    reopened,
    seqs,
    state,
    tail,
)

pytestmark = pytest.mark.crash

State = dict[tuple[str, str], tuple[int, Mapping[str, Any] | None]]
ROLL_BYTES = 1_500
BLOB = "x" * 66_000  # too long for a line

# The life of a store: put, batch, delete, and a roll between (the segment is full after the fourth).
STEPS: list[Callable[[Store], None]] = [
    lambda store: put(store, "p1"),
    lambda store: put(store, "p1", "p2", "p3", n=1),
    lambda store: delete(store, "p2"),
    lambda store: put(store, "p2", "p4", n=2),
    lambda store: put(store, "p1", n=3),
    lambda store: delete(store, "p4"),
    lambda store: put(store, "p5", "p6", text=BLOB),  # blobs
    lambda store: put(store, "p5", n=4),
]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def states() -> list[State]:
    """What the store holds after each step of a life without faults."""
    with quick_folder() as folder:
        store = new_store(folder / "project")
        store.roll_bytes = ROLL_BYTES
        found = [state(store)]
        for step in STEPS:
            step(store)
            found.append(state(store))
        assert len(store.segments.segments()) == 3
        return found


def faults(tmp_path: Path, share: Share) -> list[int]:
    """The numbers of the calls of a life that can be done in such a share."""
    disk = CountingDisk()
    store = new_store(tmp_path / "counted", disk=disk)
    store.roll_bytes = ROLL_BYTES
    for step in STEPS:
        step(store)
    return disk.numbers(share)


def live(folder: Path, disk: FaultyDisk) -> tuple[list[int], int | None]:
    """Live through all steps; returns those that were acknowledged, and the one at which the process died."""
    done: list[int] = []
    at = -1
    try:
        store = new_store(folder, disk=disk)
        store.roll_bytes = ROLL_BYTES
        for at, step in enumerate(STEPS):
            try:
                step(store)
                done.append(at)
            except DiskFailed:
                pass
            except JournalError:
                if at in done or all(earlier in done for earlier in range(at)):
                    raise  # only a step that a failed one should have gone before may find nothing to do
        store.close()
    except DiskFailed:
        assert at == -1
    except Died:
        return done, at
    return done, None


def replayed(folder: Path, steps: list[int]) -> State:
    """What a sound store holds after some of the steps."""
    store = new_store(folder)
    for at in steps:
        try:
            STEPS[at](store)
        except JournalError:
            assert steps != list(range(len(steps)))
    return state(store)


def check(store: Store, *allowed: State) -> None:
    """The store holds one of these states, is sound, and goes on; whatever caches are deleted."""
    found = state(store)
    assert found in allowed
    assert store.stale is None
    assert [finding for finding in store.verify().findings if finding.severity == "error"] == []
    put(store, "after", text=BLOB)
    found = found | {("plan", "after"): (1, {"title": "after", "text": BLOB})}
    assert state(store) == found
    drop_index(store)
    again = reopened(store)
    assert state(again) == found
    assert seqs(again) == sorted(set(seqs(again)))
    assert [finding for finding in again.verify().findings if finding.severity != "info"] == []


@pytest.mark.parametrize("share", ["none", "half", "all"])
def test_a_process_that_dies_at_any_call_leaves_whole_mutations(
    tmp_path: Path, states: list[State], share: Share
) -> None:
    """[J5] [J6] [J7] [J8] [P1]: acknowledged is there, the one it died in is there wholly or not at all."""
    calls = faults(tmp_path, share)
    assert len(calls) > 20
    for at in calls:
        folder = tmp_path / f"{share}{at}"
        done, died_at = live(folder, FaultyDisk(at, share, kills=True))
        assert died_at is not None
        assert done == list(range(died_at))[: len(done)]
        try:
            store = Store.open(
                folder, disk=QuickDisk(), machine=FixedMachine(folder), data_folder=tmp_path / f"{share}{at}-data"
            )
        except NotAStore:
            assert died_at == -1
            check(new_store(folder), {})
            continue
        check(store, states[len(done)], states[min(max(died_at, 0) + 1, len(STEPS))] if died_at >= 0 else {})


@pytest.mark.parametrize("share", ["none", "half", "all"])
def test_a_disk_that_refuses_at_any_call_leaves_what_was_acknowledged(tmp_path: Path, share: Share) -> None:
    """[J5]: DiskFailed means that the log is as it was; a cache that fails makes no mutation fail."""
    calls, failed = faults(tmp_path, share), 0
    assert len(calls) > 20
    sound: dict[tuple[int, ...], State] = {}
    for at in calls:
        folder = tmp_path / f"{share}{at}"
        done, _ = live(folder, FaultyDisk(at, share))
        failed += len(done) < len(STEPS)
        try:
            store = Store.open(
                folder, disk=QuickDisk(), machine=FixedMachine(folder), data_folder=tmp_path / f"{share}{at}-data"
            )
        except NotAStore:
            assert done == []
            check(new_store(folder), {})
            continue
        if tuple(done) not in sound:
            sound[tuple(done)] = replayed(tmp_path / f"{share}{at}-again", done)
        check(store, sound[tuple(done)])
    assert 0 < failed < len(calls)


def problem_of(store: Store) -> str | None:
    return store.last_commit.cache_problem


def test_every_cache_write_that_fails_is_told_and_made_good(tmp_path: Path) -> None:
    """[P1]: after the fsync of the log nothing fails the mutation any more."""
    for at in range(3, 7):  # write and fsync of the log come first
        store = new_store(tmp_path / f"p{at}")
        put(store, "p1")
        failing = reopened(store, disk=FaultyDisk(at))
        put(failing, "p1", n=2)
        assert failing.last_commit.written[0].entity_rev == 2
        assert problem_of(failing)
        put(failing, "p1", n=3)
        assert problem_of(failing) is None
        assert failing.verify().findings == []


# --- the write that fails [J5] ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "share"), [(1, "none"), (1, "half"), (1, "all"), (2, "none")])
def test_a_failed_append_gives_the_log_its_former_length(tmp_path: Path, at: int, share: Share) -> None:
    """[J5]: short write, failed write, failed fsync."""
    store = new_store(tmp_path / "project")
    put(store, "p1")
    before = tail(store).read_bytes()
    failing = reopened(store, disk=FaultyDisk(at, share))
    with pytest.raises(DiskFailed, match=r"write failed: .* \[J5\]"):
        put(failing, "p1", "p2", n=2)
    assert tail(store).read_bytes() == before
    assert state(failing) == {("plan", "p1"): (1, {"title": "p1"})}
    put(failing, "p2")
    assert [record.seq for record in failing.log()] == [1, 2]


@pytest.mark.parametrize(("at", "share"), [(1, "half"), (2, "none")])
def test_a_failed_append_that_cannot_be_taken_back_makes_the_store_read_only(
    tmp_path: Path, at: int, share: Share
) -> None:
    """[J5]: for this process; the next one finds a tail."""
    store = new_store(tmp_path / "project")
    put(store, "p1")
    failing = reopened(store, disk=FaultyDisk(at, share, undo_fails=True))
    with pytest.raises(StoreReadOnly, match="could not be taken back"):
        put(failing, "p2")
    with pytest.raises(StoreReadOnly, match="read-only since a failed write"):
        put(failing, "p2")
    assert failing.get("plan", "p1").payload == {"title": "p1"}
    assert failing.stale is not None
    check(reopened(store), state(store), state(store) | {("plan", "p2"): (1, {"title": "p2"})})


def test_a_failed_fsync_is_not_tried_again_as_if_it_could_succeed(tmp_path: Path) -> None:
    """[J5]: what the system forgot after the first failure it would not report twice."""
    store = new_store(tmp_path / "project")

    class Failing(QuickDisk):
        fsyncs = 0

        def _fsync(self, descriptor: int) -> None:
            self.fsyncs += 1
            raise OSError(errno.EIO, "Input/output error")

    disk = Failing()
    with pytest.raises(DiskFailed):
        put(reopened(store, disk=disk), "p1")
    assert disk.fsyncs == 1


def test_a_roll_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """[J8]: a segment is born whole, or it is not there."""
    for at in range(1, 8):
        store = new_store(tmp_path / f"p{at}")
        put(store, "p1")
        failing = reopened(store, disk=FaultyDisk(at))
        failing.roll_bytes = 1
        try:
            put(failing, "p2")
        except DiskFailed:
            assert state(failing).keys() == {("plan", "p1")}
        first = store.folder / "journal" / "seg-00000001.jsonl"
        assert first.read_bytes().count(b"\n") == 3, "the header, a blank line, one record"
        put(failing, "p2")
        assert state(failing)[("plan", "p2")][1] == {"title": "p2"}
        assert [finding.severity for finding in reopened(failing).verify().findings] == []


# --- power cuts ------------------------------------------------------------------------------------------------------


def test_what_was_acknowledged_survives_a_power_cut(tmp_path: Path, states: list[State]) -> None:
    """[J5] [J8] [P4]: of files and names only what was synced is left, and that after every step."""
    project = tmp_path / "project"
    project.mkdir()
    disk = PowerCutDisk(project)
    store = new_store(project, disk=disk)
    store.roll_bytes = ROLL_BYTES
    for at, step in enumerate([lambda _: None, *STEPS]):
        step(store)
        left = tmp_path / f"after{at}"
        disk.cut(left)
        again = Store.open(
            left, disk=QuickDisk(), machine=FixedMachine(left, boot_id="boot-2"), data_folder=store.data_folder
        )
        again.keep_identity()
        check(again, states[at])
    disk.close()


def test_a_segment_found_but_not_synced_is_synced_before_it_is_written_to(tmp_path: Path) -> None:
    """[J7] [J8]: another process may have died between the rename and the fsync of the folder."""
    project = tmp_path / "project"
    project.mkdir()
    disk = PowerCutDisk(project)
    store = new_store(project, disk=disk)
    put(store, "p1")
    position = store.position()
    unsynced = reopened(store, disk=QuickDisk())
    unsynced.segments.roll(position, store.origin, [])
    put(reopened(unsynced, disk=disk), "p2")
    left = tmp_path / "left"
    disk.cut(left)
    again = Store.open(left, disk=QuickDisk(), machine=FixedMachine(left), data_folder=store.data_folder)
    assert state(again).keys() == {("plan", "p1"), ("plan", "p2")}
    disk.close()


def test_a_record_found_but_not_synced_is_synced_before_anything_speaks_of_it(tmp_path: Path) -> None:
    """[J7]: applied_seq must not tell of a record that a power cut takes away."""
    project = tmp_path / "project"
    project.mkdir()
    disk = PowerCutDisk(project)
    store = new_store(project, disk=disk)
    put(store, "p1")
    with pytest.raises(Died):
        put(reopened(store, disk=FaultyDisk(2, kills=True)), "p2")  # written, not synced
    reader = reopened(store, disk=disk)
    assert state(reader).keys() == {("plan", "p1"), ("plan", "p2")}
    left = tmp_path / "left"
    disk.cut(left)
    assert chain_lines(Store.open(left, data_folder=store.data_folder)) == chain_lines(reader)
    disk.close()
