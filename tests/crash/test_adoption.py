"""The disk refuses, or the process ends, at every call of an adoption: there are the files, or a whole store [I2]."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal import DiskFailed, JournalError, OnlyEntityFiles, Store, adopt
from tests.doubles.disks import CountingDisk, Died, FaultyDisk, QuickDisk, Share
from tests.doubles.machines import FixedMachine
from tests.doubles.stores import new_store, put, quick_folder, state

pytestmark = pytest.mark.crash


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


def bare(original: Store, folder: Path) -> Path:
    shutil.copytree(original.folder / "entities", folder / ".eventsync" / "entities")
    return folder / ".eventsync"


def run(folder: Path, disk: QuickDisk) -> None:
    data = folder.parent.with_name(folder.parent.name + "-data")
    adopt(folder, name="clone", disk=disk, machine=FixedMachine(data), data_folder=data, title=lambda _: None)


def opened(folder: Path) -> Store:
    data = folder.parent.with_name(folder.parent.name + "-data")
    return Store.open(folder, disk=QuickDisk(), machine=FixedMachine(data), data_folder=data)


@pytest.mark.parametrize("kills", [True, False], ids=["dies", "fails"])
@pytest.mark.parametrize("share", ["none", "half", "all"])
def test_whatever_call_is_the_last_nothing_is_lost_and_it_can_be_done_again(
    tmp_path: Path, share: Share, kills: bool
) -> None:
    original = new_store(tmp_path / "original")
    put(original, "p1", "p2")
    put(original, "n1", item_type="note", text="x" * 100_000)
    wanted = {key: found[1] for key, found in state(original).items()}
    counting = CountingDisk()
    run(bare(original, tmp_path / "counted"), counting)
    numbers = counting.numbers(share)
    assert len(numbers) >= 4
    outcomes = set()
    for number in numbers:
        folder = bare(original, tmp_path / f"{number}")
        disk = FaultyDisk(number, share, kills=kills)
        with contextlib.suppress(Died, DiskFailed):
            run(folder, disk)
        assert disk.has_struck
        try:
            store = opened(folder)
            if store.moved():
                store.keep_identity()  # killed before local.json was written for the last time
            outcomes.add("store")
        except OnlyEntityFiles:
            run(folder, QuickDisk())
            store = opened(folder)
            outcomes.add("files")
        assert {key: found[1] for key, found in state(store).items()} == wanted
        put(store, "p9")
        assert [finding for finding in store.verify().findings if finding.severity != "info"] == []
        assert len(store.private_key()) == 32
        assert [path.name for path in folder.glob("journal.tmp-*")] == []
        store.close()
    assert "files" in outcomes


def test_two_at_once_make_one_store(tmp_path: Path) -> None:
    original = new_store(tmp_path / "original")
    put(original, "p1")
    folder = bare(original, tmp_path / "clone")
    disk = QuickDisk()
    with disk.lock(folder / "journal.lock", 0), pytest.raises(JournalError):
        run(folder, QuickDisk())
    run(folder, QuickDisk())
    with pytest.raises(JournalError, match="there is a store already"):
        run(folder, QuickDisk())
    assert len(state(opened(folder))) == 1
