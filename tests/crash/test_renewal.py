"""The disk refuses, or the process ends, at every call of a renewal: one identity or the other is left, whole [I2]."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from journal import DiskFailed, KeyMissing, NotAStore, Store, StoreCopied
from journal.machine import Machine
from tests.doubles.disks import CountingDisk, Died, FaultyDisk, PowerCutDisk, QuickDisk, Share
from tests.doubles.machines import FixedMachine
from tests.doubles.stores import chain_lines, new_store, put, quick_folder, state

pytestmark = pytest.mark.crash

SEED = bytes(range(1, 33))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


def made(folder: Path) -> Store:
    store = new_store(folder)
    put(store, "p1", "p2")
    put(store, "p1", n=2)
    put(store, "p3")
    return store


def opened(folder: Path, data_folder: Path, disk: QuickDisk) -> Store:
    return Store.open(folder, disk=disk, machine=FixedMachine(data_folder), data_folder=data_folder)


def copied(original: Store, name: Path) -> Path:
    """A copy of the store and of the keys, as one backup of a machine brings both to another place."""
    shutil.copytree(original.folder, name / ".eventsync")
    shutil.copytree(original.data_folder, name.with_name(name.name + "-data"))
    return name


def calls(original: Store, folder: Path, share: Share, at: int | None) -> list[int]:
    """The numbers of the calls of a renewal that can be done in such a share."""
    disk = CountingDisk()
    store = opened(copied(original, folder), folder.with_name(folder.name + "-data"), disk)
    disk.reset()
    store.renew(at=at, seed=SEED)
    store.close()
    return disk.numbers(share)


def check(store: Store, former: str, before: Mapping[tuple[str, str], object]) -> bool:
    """The store has one identity, with its key, and all that was in it; whether that is the new one."""
    renewed = store.origin != former
    assert len(store.private_key()) == 32
    assert [entry.origin for entry in store.previous] == ([former] if renewed else [])
    assert {key: found[1] for key, found in state(store).items()} == before
    assert [finding for finding in store.verify().findings if finding.severity == "error"] == []
    return renewed


@pytest.mark.parametrize("kills", [True, False], ids=["dies", "fails"])
@pytest.mark.parametrize("share", ["none", "half", "all"])
@pytest.mark.parametrize("at", [None, 2], ids=["at the end", "at seq 2"])
def test_whatever_call_is_the_last_one_identity_is_left_whole(
    tmp_path: Path, at: int | None, share: Share, kills: bool
) -> None:
    original = made(tmp_path / "original")
    before = {key: found[1] for key, found in state(original).items()}
    lines = chain_lines(original)
    original.close()
    numbers = calls(original, tmp_path / "counted", share, at)
    assert len(numbers) >= 4
    seen = set()
    for number in numbers:
        folder = copied(original, tmp_path / f"copy{number}")
        data = folder.with_name(folder.name + "-data")
        disk = FaultyDisk(number, share, kills=kills)
        store = opened(folder, data, disk)
        with contextlib.suppress(Died, DiskFailed):  # a failing cache fails nothing
            store.renew(at=at, seed=SEED)
        assert disk.has_struck
        store.close()
        again = opened(folder, data, QuickDisk())
        renewed = check(again, original.origin, before)
        seen.add(renewed)
        if again.moved():
            with pytest.raises(StoreCopied):
                put(again, "p9")
            again.renew(seed=bytes([number]) * 32)
        put(again, "p9")
        assert again.segments.header(again.segments.newest())[0].origin_store_id == again.origin
        check_end(again, original.origin, before, lines)
        again.close()
    assert seen == {True, False}


def check_end(store: Store, former: str, before: Mapping[tuple[str, str], object], lines: list[bytes]) -> None:
    """All is there, the log only grew, and what is written now is under the new identity."""
    assert {key: found[1] for key, found in state(store).items()} == dict(before) | {("plan", "p9"): {"title": "p9"}}
    assert chain_lines(store)[: len(lines)] == lines
    assert store.previous[0].origin == former
    head = store.head("plan", "p9")
    assert head is not None
    assert head.version.origin == store.origin
    assert [finding for finding in store.verify().findings if finding.severity != "info"] == []


def test_what_was_due_after_the_seq_is_said_anew_by_the_next_write(tmp_path: Path) -> None:
    """[I2]: store.json says who the store is; the segment is begun by whoever writes next."""
    original = made(tmp_path / "original")
    original.close()
    store = opened(original.folder, original.data_folder, FaultyDisk(10, kills=True))
    with pytest.raises(Died):
        store.renew(at=2, seed=SEED)
    store.close()
    again = opened(original.folder, original.data_folder, QuickDisk())
    assert again.origin != original.origin
    assert len(again.segments.segments()) == 1
    put(again, "p9")
    contexts = {head.item_id: dict(head.context) for head in again.list()}
    assert contexts["p1"] == {original.origin: 1, again.origin: 5}
    assert contexts["p3"] == {again.origin: 6}
    assert again.verify().findings == []


def test_the_key_is_durable_before_anything_speaks_of_it(tmp_path: Path) -> None:
    """[I1]: after a power cut at any moment the identity in store.json has its key."""
    original = made(tmp_path / "machine" / "project")
    original.close()
    folder = tmp_path / "machine"

    class CutDisk(PowerCutDisk):
        """Cuts the power before a call that would make something durable or visible."""

        left = 0

        def _fsync(self, descriptor: int) -> None:
            self._count()
            super()._fsync(descriptor)

        def _rename(self, source: Path, target: Path) -> None:
            self._count()
            super()._rename(source, target)

        def _count(self) -> None:
            self.left -= 1
            if self.left == 0:
                raise Died

    for moment in range(1, 40):
        disk = CutDisk(folder)
        disk.sync_all()
        disk.left = moment
        cut = tmp_path / f"cut{moment}"
        shutil.rmtree(tmp_path / "before", ignore_errors=True)
        shutil.copytree(folder, tmp_path / "before")
        store = Store.open(
            folder / "project", disk=disk, machine=Machine(original.data_folder), data_folder=original.data_folder
        )
        try:
            store.renew(at=2, seed=SEED)
            ended = True
        except Died:
            ended = False
        store.close()
        disk.left = 0
        disk.cut(cut)
        disk.close()
        found = opened(cut / "project", cut / "project-data", QuickDisk())
        try:
            assert len(found.private_key()) == 32
        except KeyMissing as error:
            raise AssertionError(f"cut before call {moment}: {error}") from None
        found.close()
        shutil.rmtree(folder)
        shutil.move(tmp_path / "before", folder)
        if ended:
            return
    raise NotAStore("the renewal never came to its end")
