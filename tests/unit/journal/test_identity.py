"""Who a store is, where its key lies, when it must not write, and who may read its files."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal import DamagedStore, Disk, Machine, Store, StoreCopied, default_data_folder, moved_words, origin_of
from tests.doubles.machines import FixedMachine
from tests.doubles.stores import SEED, delete, new_store, put, reopened, state

# --- keys [I1] -------------------------------------------------------------------------------------------------------


def test_the_origin_of_a_store_is_a_hash_of_its_key(store: Store) -> None:
    """[I1]"""
    public_key = base64.b64decode(json.loads((store.folder / "store.json").read_bytes())["public_key"])
    assert store.origin == origin_of(public_key) == "es1tc5ikmckyy47b5k5vkybvvwvsk7ejijf"
    assert store.private_key() == SEED


def test_each_store_has_a_key_of_its_own(tmp_path: Path) -> None:
    """[I1]"""
    origins = {Store.init(tmp_path / name, data_folder=tmp_path / "data").origin for name in ("one", "two")}
    assert len(origins) == 2


def test_the_key_lies_outside_the_store_for_its_owner_alone(store: Store) -> None:
    """[I1]: copying or sharing a store never shares it."""
    key = store.data_folder / "keys" / f"{store.origin}.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    secret = base64.b64encode(SEED)
    assert not [path for path in store.folder.rglob("*") if path.is_file() and secret in path.read_bytes()]


@pytest.mark.parametrize("content", [None, b"", b"short", base64.b64encode(b"x" * 31), b"\xff" * 44])
def test_a_lost_or_unreadable_key_is_said_to_be_so(store: Store, content: bytes | None) -> None:
    """[I1]"""
    key = store.data_folder / "keys" / f"{store.origin}.key"
    key.unlink()
    if content is not None:
        key.write_bytes(content)
    with pytest.raises(DamagedStore, match="key"):
        store.private_key()


def test_keys_are_kept_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[I1]"""
    monkeypatch.setenv("EVENTSYNC_DATA_DIR", str(tmp_path / "here"))
    assert default_data_folder() == tmp_path / "here"
    monkeypatch.delenv("EVENTSYNC_DATA_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "there"))
    assert default_data_folder().name == "eventsync"


# --- copies [I2] -----------------------------------------------------------------------------------------------------


def test_a_copied_store_reads_but_does_not_write(store: Store, tmp_path: Path) -> None:
    """[I2]"""
    put(store, "p1")
    store.close()
    shutil.copytree(store.folder, tmp_path / "copy" / ".eventsync")
    copy = Store.open(tmp_path / "copy", machine=store.machine, data_folder=store.data_folder)
    assert [head.item_id for head in copy.list()] == ["p1"]
    assert copy.moved() == ["path", "folder_id"]
    with pytest.raises(StoreCopied, match=r"copied, moved or restored: its path and folder differ \[I2\]"):
        put(copy, "p2")
    with pytest.raises(StoreCopied), copy.lock():
        copy.settle()
    assert [record.seq for record in copy.log()] == [1]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (["path"], "its path differs"),
        (["path", "folder_id"], "its path and folder differ"),
        (["machine_id", "path", "folder_id"], "its machine, path and folder differ"),
    ],
)
def test_what_differs_is_told_in_words(facts: list[str], words: str) -> None:
    assert moved_words(facts) == words


def test_a_moved_store_asks_once_and_then_goes_on(store: Store, tmp_path: Path) -> None:
    """[I2]"""
    put(store, "p1")
    store.update_local(published={"last_seq": 1})
    store.close()
    (tmp_path / "new").mkdir()
    store.folder.rename(tmp_path / "new" / ".eventsync")
    moved = Store.open(tmp_path / "new", machine=store.machine, data_folder=store.data_folder)
    assert moved.moved() == ["path"]
    with pytest.raises(StoreCopied, match=r"path differ"):
        put(moved, "p2")
    moved.keep_identity()
    put(moved, "p2")
    assert moved.moved() == []
    assert moved.local()["published"] == {"last_seq": 1}
    assert [record.seq for record in moved.log()] == [1, 2]


def test_a_store_on_another_machine_is_a_copy(store: Store) -> None:
    """[I2]"""
    machine = FixedMachine(store.data_folder)
    machine.machine_id = "machine-b"
    other = Store.open(store.folder, machine=machine, data_folder=store.data_folder)
    assert other.moved() == ["machine_id"]
    with pytest.raises(StoreCopied):
        put(other, "p1")


def test_a_store_that_does_not_know_where_it_was_counts_as_copied(store: Store) -> None:
    """[I2]"""
    (store.folder / "local.json").unlink()
    with pytest.raises(StoreCopied):
        put(store, "p1")
    store.keep_identity()
    put(store, "p1")
    assert [record.seq for record in store.log()] == [1]


@pytest.mark.parametrize("content", ["", "{", "[]", "\0\0\0"])
def test_an_unreadable_memory_of_the_place_is_damage(store: Store, content: str) -> None:
    """[I2]: missing and unreadable are different answers."""
    (store.folder / "local.json").write_text(content)
    with pytest.raises(DamagedStore, match="I2"):
        put(store, "p1")


def test_the_real_machine_knows_itself_again(tmp_path: Path) -> None:
    """[I2] [P4]"""
    one, two = Machine(tmp_path), Machine(tmp_path)
    assert one.machine_id == two.machine_id != ""
    assert one.boot_id == two.boot_id != ""
    assert one.folder_id(tmp_path) == two.folder_id(tmp_path) != one.folder_id(tmp_path.parent)
    assert one.writer != two.writer


def test_the_real_clock_tells_utc_in_milliseconds(tmp_path: Path) -> None:
    """[J1]: for people."""
    import re

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", Machine(tmp_path).now())


# --- modes -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o277], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Folders 0700, files 0600; those that SQLite keeps beside the index too."""
    store = Store.init(tmp_path / "project", disk=Disk(), data_folder=tmp_path / "data")
    store.roll_bytes = 500
    put(store, "p1", "p2")
    put(store, "p1")
    delete(store, "p2")
    store.update_local(published={"last_seq": 1})
    assert (store.folder / "index.sqlite3-wal").exists()
    assert (store.folder / "index.sqlite3-shm").exists()
    modes = {
        path.relative_to(tmp_path).as_posix(): (path.is_dir(), oct(stat.S_IMODE(path.stat().st_mode)))
        for base in (store.folder, tmp_path / "data")
        for path in [base, *base.rglob("*")]
    }
    assert {name: mode for name, mode in modes.items() if mode not in ((True, "0o700"), (False, "0o600"))} == {}
    assert len(modes) > 15
    store.close()


def test_what_git_is_told_of_a_store(tmp_path: Path) -> None:
    """To see nothing, or the entities of some types; never store.json, or who pulls it would be somebody else [I1]."""
    quiet = new_store(tmp_path / "quiet")
    tracked = Store.init(tmp_path / "tracked", tracked=["plan", "note"], data_folder=tmp_path / "data")
    assert (quiet.folder / ".gitignore").read_text() == "*\n"
    assert (tracked.folder / ".gitignore").read_text().splitlines() == [
        "*",
        "!.gitignore",
        "!entities/",
        "!entities/note/",
        "!entities/note/*.json",
        "!entities/plan/",
        "!entities/plan/*.json",
    ]


def test_a_store_has_the_name_it_was_given_or_that_of_its_folder(tmp_path: Path) -> None:
    assert Store.init(tmp_path / "one", name="mine", data_folder=tmp_path / "data").name == "mine"
    assert Store.init(tmp_path / "two", data_folder=tmp_path / "data").name == "two"


def test_nothing_of_a_store_is_left_when_it_cannot_be_made(tmp_path: Path) -> None:
    """Whole or not at all."""
    from journal import DiskFailed
    from tests.doubles.disks import CountingDisk, FaultyDisk

    counting = CountingDisk()
    new_store(tmp_path / "counted", disk=counting)
    calls = len(counting.order)
    for at in range(1, calls):
        project = tmp_path / f"p{at}"
        with pytest.raises(DiskFailed):
            new_store(project, disk=FaultyDisk(at))
        assert not project.exists() or [path.name for path in project.iterdir()] == [], at
        again = new_store(project)
        put(again, "p1")
        assert state(reopened(again)) == {("plan", "p1"): (1, {"title": "p1"})}
    assert calls > 20
