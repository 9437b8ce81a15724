"""A disk that is full, has no inodes left, or may only be read; a newest segment that is gone or cannot be read.

The right exit code, nothing lost, and reading goes on. With real file systems, where this user may mount one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventsync import exits
from tests.crash.killing import answer, spoken

pytestmark = pytest.mark.crash

READING = [["show", "plan", "p1"], ["ls"], ["log"], ["inbox"], ["status"], ["verify"], ["unseen", "me"], ["diff", ""]]
WRITING = [
    ["put", "plan", "p1", "--set", f"text={'y' * 60_000}"],
    ["put", "plan", "big", "--set", f"text={'z' * 200_000}"],
    ["edit", "plan", "p1", "--set", "a=1"],
    ["rm", "plan", "p2"],
    ["publish"],
    ["sync"],
    ["pull", "bus", "--confirm"],
    ["accept", "--all"],
    ["reject", ""],
    ["checkpoint"],
    ["unseen", "me", "--ack"],
    ["remote", "add", "other", "elsewhere", "--no-probe"],
]


# Nobody can take rights from root; the other kinds go the same way.
UNREADABLE = ["gone", "a folder", "a loop of links", *(["rights"] if os.geteuid() != 0 else [])]


@contextlib.contextmanager
def small_drive(folder: Path) -> Iterator[Path]:
    """A file system of its own, of 8 MiB and 400 files."""
    drive = folder / "drive"
    drive.mkdir()
    options = "size=8m,nr_inodes=400"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(drive)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a file system")
    try:
        yield drive
    finally:
        subprocess.run(["umount", "--lazy", str(drive)], check=True)


def fill_blocks(drive: Path) -> Callable[[], None]:
    with contextlib.suppress(OSError), (drive / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    return (drive / "filler").unlink


def fill_inodes(drive: Path) -> Callable[[], None]:
    folder = drive / "many"
    folder.mkdir()
    try:
        for number in range(1_000):
            (folder / str(number)).touch()
    except OSError as error:
        assert error.errno == errno.ENOSPC

    def undo() -> None:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    return undo


def only_reading(drive: Path) -> Callable[[], None]:
    def remount(mode: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", str(drive)], check=True)

    remount("ro")
    return lambda: remount("rw")


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """A store on a small drive with things of its own, things pulled and more to pull; and the drive."""
    monkeypatch.setenv("EVENTSYNC_LOCK_TIMEOUT", "5")
    peer, bus = tmp_path / "peer", tmp_path / "bus"
    bus.mkdir()
    with small_drive(tmp_path) as drive:
        store = drive / "store"
        answer(peer, "init", str(peer))
        answer(drive, "init", str(store))
        for folder in (store, peer):
            answer(folder, "remote", "add", "bus", str(bus))
        for number in range(4):
            answer(store, "put", "plan", f"p{number}", "--set", f"text={'x' * 1000}")
            answer(peer, "put", "trap", f"t{number}", "--set", "text=mind the gap")
        answer(peer, "sync")
        answer(store, "sync")
        answer(peer, "put", "trap", "later", "--set", "text=more")
        answer(peer, "sync")
        yield store, drive


def filled_in(store: Path, line: list[str]) -> list[str]:
    """A command with the id of an open candidate where it needs one."""
    found = answer(store, "inbox")["candidates"]
    return [found[0]["id"] if word == "" else word for word in line]


def without_infos(document: Any) -> Any:
    """What could not be locked was not checked, and `verify` says so."""
    if "findings" not in document:
        return document
    return document | {"findings": [found for found in document["findings"] if found["severity"] != "info"]}


def seen(store: Path) -> Any:
    """Every record with its bytes, and all that is open."""
    return answer(store, "log")["records"], answer(store, "inbox")["candidates"]


@pytest.mark.parametrize("breaking", [fill_blocks, fill_inodes, only_reading])
@pytest.mark.parametrize("line", WRITING, ids=lambda line: "-".join(line)[:24])
def test_a_command_that_cannot_write_says_so_and_loses_nothing(
    stores: tuple[Path, Path], breaking: Callable[[Path], Callable[[], None]], line: list[str]
) -> None:
    store, drive = stores
    line = filled_in(store, line)
    before = seen(store)
    undo = breaking(drive)
    told = spoken(store, *line)
    undo()
    assert told.code in (exits.DISK, exits.DONE, exits.PARTLY), told
    if breaking is only_reading:
        assert told.code in (exits.DISK, exits.PARTLY), told
    records, open_ones = seen(store)
    assert records[: len(before[0])] == before[0]
    if told.code == exits.DISK:
        own = [record for record in records[len(before[0]) :] if record["item_type"] != "journal"]
        assert own == []
        assert [found["id"] for found in open_ones][: len(before[1])] == [found["id"] for found in before[1]]
    assert answer(store, "verify")["ok"]
    assert spoken(store, *line).code in (exits.DONE, exits.USAGE if told.code == exits.DONE else exits.DONE)


@pytest.mark.parametrize("breaking", [fill_blocks, fill_inodes, only_reading])
def test_reading_goes_on_where_nothing_can_be_written(
    stores: tuple[Path, Path], breaking: Callable[[Path], Callable[[], None]]
) -> None:
    store, drive = stores
    lines = [filled_in(store, line) for line in READING]
    expected = [answer(store, *line) for line in lines]
    for caches in ("kept", "deleted"):
        if caches == "deleted":
            for path in (*store.glob(".eventsync/index.*"), *store.glob(".eventsync/federation/index.*")):
                path.unlink()
        undo = breaking(drive)
        found = [spoken(store, *line) for line in lines]
        undo()
        assert [told.code for told in found] == [exits.DONE] * len(lines), (caches, found)
        if caches == "kept":
            assert [without_infos(told.document) for told in found] == expected
        assert [answer(store, *line) for line in lines] == expected


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("line", [*WRITING[:5], *READING[:3]], ids=lambda line: line[0])
def test_a_newest_segment_that_cannot_be_read_is_damage_and_never_an_empty_log(
    tmp_path: Path, kind: str, line: list[str]
) -> None:
    """[J11]: unreadable is not empty, and nothing is written beside it."""
    store = tmp_path / "store"
    answer(tmp_path, "init", str(store))
    answer(store, "put", "plan", "p1", "--set", "text=one")
    answer(store, "put", "plan", "p2", "--set", "text=two")
    (segment,) = (store / ".eventsync" / "journal").glob("seg-*.jsonl")
    kept = segment.read_bytes()
    for cache in (store / ".eventsync").glob("index.*"):
        cache.unlink()
    if kind == "rights":
        segment.chmod(0)
    else:
        segment.unlink()
    if kind == "a folder":
        segment.mkdir()
    elif kind == "a loop of links":
        segment.symlink_to(segment.name)
    told = spoken(store, *line)
    assert told.code in (exits.DAMAGED, exits.DISK), told
    assert "journal" in told.error["path"]
    if kind == "a folder":
        segment.rmdir()
    elif kind != "rights":
        segment.unlink(missing_ok=True)
    if kind == "rights":
        segment.chmod(0o600)
    else:
        segment.write_bytes(kept)
    assert len(answer(store, "log")["records"]) == 2
    assert answer(store, "verify")["ok"]
