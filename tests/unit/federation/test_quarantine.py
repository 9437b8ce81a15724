"""Quarantine: what is kept of refused feeds, and how much at most."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from federation.model import Refusal, Result
from federation.quarantine import REASON_FILE, Quarantine, Room
from journal import Disk

A, B = "es1" + "a" * 32, "es1" + "b" * 32
SLICE = "seg-00000001-00000002-0123456789ab.jsonl.zst"
OTHER = "seg-00000003-00000004-0123456789ab.jsonl.zst"
BAD = Refusal(Result.REFUSED, "bad signature", "F5", path=f"{A}/head.json")


class Yard:
    """A quarantine, and a staging folder to keep things from; each keeping is a second later."""

    def __init__(self, folder: Path, **room: int) -> None:
        self.folder, self.staging = folder / "federation", folder / "staging"
        self.staging.mkdir()
        self.room = Room(**room)
        self.seconds = 0

    @property
    def found(self) -> Quarantine:
        """As the next command sees it."""
        return Quarantine(Disk(), self.folder, self.room)

    def keep(self, origin: str, refusal: Refusal = BAD, **files: bytes) -> None:
        for path in self.staging.iterdir():
            path.unlink()
        for name, data in files.items():
            (self.staging / {"head": "head.json", "slice": SLICE, "other": OTHER}.get(name, name)).write_bytes(data)
        self.seconds += 1
        now = f"2026-11-22T12:00:{self.seconds:02}.000Z"
        self.found.keep(origin, self.staging, refusal, remote="bus", now=now)

    def heads(self, origin: str | None = None) -> list[bytes]:
        return [(entry.path / "head.json").read_bytes() for entry in self.found.entries(origin)]


def test_what_was_refused_is_kept_byte_for_byte_with_the_reason(tmp_path: Path) -> None:
    """[F5]"""
    yard = Yard(tmp_path)
    refusal = Refusal(Result.REFUSED, "c does not follow\x1b[1m", "F5", path=f"{A}/{SLICE}", line=3, seq=2)
    yard.keep(A, refusal, head=b"a head", slice=b"\x00\xff", lock=b"not of a feed")
    (entry,) = yard.found.entries()
    assert {path.name: path.read_bytes() for path in entry.path.iterdir() if path.name != REASON_FILE} == {
        "head.json": b"a head",
        SLICE: b"\x00\xff",
    }
    assert (entry.origin, entry.remote, entry.result, entry.rule, entry.times) == (A, "bus", "refused", "F5", 1)
    assert entry.message == str(refusal)
    assert entry.size_bytes == 8
    reason = json.loads((entry.path / REASON_FILE).read_bytes())
    assert (reason["path"], reason["line"], reason["seq"]) == (f"{A}/{SLICE}", 3, 2)
    assert (entry.path / REASON_FILE).read_bytes().isascii()
    assert entry.path.stat().st_mode & 0o777 == 0o700
    assert (entry.path / "head.json").stat().st_mode & 0o777 == 0o600


def test_the_same_bytes_again_are_counted_and_take_no_more_room(tmp_path: Path) -> None:
    """[F5]"""
    yard = Yard(tmp_path)
    for _ in range(3):
        yard.keep(A, head=b"same", slice=b"same")
    (entry,) = yard.found.entries()
    assert (entry.times, entry.first_at, entry.last_at) == (3, "2026-11-22T12:00:01.000Z", "2026-11-22T12:00:03.000Z")
    yard.keep(A, head=b"another", slice=b"same")
    assert [found.times for found in yard.found.entries(A)] == [3, 1]


@pytest.mark.parametrize("result", [Result.STALE, Result.INCOMPLETE])
def test_what_is_only_old_or_incomplete_is_not_kept(tmp_path: Path, result: Result) -> None:
    """[F5] A feed that is still being copied is no evidence of anything."""
    yard = Yard(tmp_path)
    yard.keep(A, BAD._replace(result=result), head=b"x")
    yard.keep("../elsewhere", head=b"x")
    yard.keep(A)
    assert not yard.folder.exists()


def test_the_oldest_go_first_when_an_origin_has_too_many_and_others_keep_theirs(tmp_path: Path) -> None:
    """[F5] [F6]"""
    yard = Yard(tmp_path, origin_entries=3)
    yard.keep(B, head=b"b")
    for number in range(5):
        yard.keep(A, head=b"%d" % number)
    assert yard.heads(A) == [b"2", b"3", b"4"]
    assert yard.heads(B) == [b"b"]
    yard.keep(A, head=b"2")  # met again: not the oldest any more
    yard.keep(A, head=b"5")
    assert yard.heads(A) == [b"4", b"2", b"5"]


def test_what_is_kept_never_has_more_bytes_than_there_is_room_for(tmp_path: Path) -> None:
    """[F5]"""
    yard = Yard(tmp_path, entry_bytes=100, origin_bytes=150, total_bytes=220, total_entries=9)
    for number in range(12):
        yard.keep((A, B)[number % 2], head=b"%03d" % number, slice=bytes(60))
        entries = yard.found.entries()
        for origin in (A, B):
            assert sum(entry.size_bytes for entry in entries if entry.origin == origin) <= 150
        assert sum(entry.size_bytes for entry in entries) <= 220
        assert entries[-1].last_at.endswith(f"{number + 1:02}.000Z")
    assert sum(1 for path in yard.folder.rglob("head.json")) == len(yard.found.entries()) == 3


def test_the_head_and_what_the_refusal_is_about_come_before_the_rest(tmp_path: Path) -> None:
    """[F5]"""
    yard = Yard(tmp_path, entry_bytes=100)
    yard.keep(A, BAD._replace(path=f"{A}/{OTHER}"), head=bytes(30), slice=bytes(60), other=bytes(50))
    (entry,) = yard.found.entries()
    assert sorted(entry.files) == ["head.json", OTHER]


def test_an_entry_whose_reason_is_lost_is_told_and_goes_first(tmp_path: Path) -> None:
    """[T1] Unreadable is not empty."""
    yard = Yard(tmp_path, origin_entries=2)
    yard.keep(A, head=b"1")
    yard.keep(A, head=b"2")
    lost = yard.found.entries()[1].path
    (lost / REASON_FILE).write_bytes(b"\x00" * 10)
    assert "cannot be read" in yard.found.entries()[0].message
    assert yard.found.entries()[0].path == lost
    yard.keep(A, head=b"3")
    assert yard.heads() == [b"1", b"3"]
    assert not lost.exists()


def test_what_is_kept_of_an_origin_can_be_dropped(tmp_path: Path) -> None:
    """[F9]"""
    yard = Yard(tmp_path)
    yard.keep(A, head=b"a")
    yard.keep(B, head=b"b")
    yard.found.drop(A)
    assert [entry.origin for entry in yard.found.entries()] == [B]
    assert [path.name for path in (yard.folder / "quarantine").iterdir()] == [B]
