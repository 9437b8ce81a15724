"""Disks that count, that fail, and that lose power: the system calls of journal.Disk with a will of their own.

All of them work on real files. None waits for the platter: what fsync promises is kept by the one that cuts the power.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from journal import Disk

Share = Literal["none", "half", "all"]


# Which calls can be done in which share: a write also by half, what has no middle wholly or not at all.
_DONE_IN: dict[Share, frozenset[str]] = {
    "none": frozenset(["write", "fsync", "rename", "truncate", "unlink"]),
    "half": frozenset(["write"]),
    "all": frozenset(["write", "rename", "unlink"]),
}


class QuickDisk(Disk):
    """Does everything but wait for fsync."""

    def _fsync(self, descriptor: int) -> None:
        os.fstat(descriptor)

    def sync_all(self) -> None:
        """Nothing to wait for."""


class CountingDisk(QuickDisk):
    """Counts calls and bytes; `order` has the calls that change something, as they came."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.order: list[str] = []
        self.bytes_read = 0
        self.written: list[Path] = []

    def reset(self) -> None:
        """Begin to count anew."""
        self.calls.clear()
        self.order.clear()
        self.bytes_read = 0
        self.written.clear()

    def numbers(self, share: Share) -> list[int]:
        """The numbers of the calls that can be done in such a share, for a FaultyDisk."""
        return [number for number, call in enumerate(self.order, 1) if call in _DONE_IN[share]]

    def _count(self, call: str) -> None:
        self.calls[call] += 1
        self.order.append(call)

    def _read(self, descriptor: int, size: int, start: int) -> bytes:
        data = super()._read(descriptor, size, start)
        self.calls["read"] += 1
        self.bytes_read += len(data)
        return data

    def _write(self, descriptor: int, data: bytes) -> int:
        self._count("write")
        return super()._write(descriptor, data)

    def _fsync(self, descriptor: int) -> None:
        self._count("fsync")
        super()._fsync(descriptor)

    def _truncate(self, descriptor: int, size: int) -> None:
        self._count("truncate")
        super()._truncate(descriptor, size)

    def _rename(self, source: Path, target: Path) -> None:
        self._count("rename")
        self.written.append(target)
        super()._rename(source, target)

    def _unlink(self, path: Path) -> None:
        self._count("unlink")
        super()._unlink(path)


class Died(BaseException):
    """The process ended here; nothing it would have done after this happens."""


class FaultyDisk(QuickDisk):
    """Refuses system call number `at`, having done none, half or all of it; `kills` ends the process there instead."""

    def __init__(self, at: int, share: Share = "none", *, kills: bool = False, undo_fails: bool = False) -> None:
        super().__init__()
        self.count = 0
        self.at = at
        self.share = share
        self.kills = kills
        self.undo_fails = undo_fails
        self.dead = False

    @property
    def has_struck(self) -> bool:
        """Whether the call came."""
        return self.count >= self.at

    def _strikes(self) -> bool:
        if self.dead:
            raise Died
        self.count += 1
        return self.count == self.at

    def _fail(self) -> None:
        if self.kills:
            self.dead = True
            raise Died
        raise OSError(errno.EIO, "the disk refused")

    def _write(self, descriptor: int, data: bytes) -> int:
        if not self._strikes():
            return super()._write(descriptor, data)
        done = {"none": 0, "half": len(data) // 2, "all": len(data)}[self.share]
        if done:
            super()._write(descriptor, data[:done])
        if self.share == "half" and not self.kills:
            return done  # a short write is no error of the system's
        self._fail()
        return done

    def _fsync(self, descriptor: int) -> None:
        if self._strikes():
            self._fail()
        super()._fsync(descriptor)

    def _truncate(self, descriptor: int, size: int) -> None:
        if self._strikes() or self.undo_fails:
            self._fail()
        super()._truncate(descriptor, size)

    def _rename(self, source: Path, target: Path) -> None:
        strikes = self._strikes()
        if not strikes or self.share == "all":
            super()._rename(source, target)
        if strikes:
            self._fail()

    def _unlink(self, path: Path) -> None:
        strikes = self._strikes()
        if not strikes or self.share == "all":
            super()._unlink(path)
        if strikes:
            self._fail()


class TearingDisk(QuickDisk):
    """Ends the process in the append number `at`: what reaches the disk is what `tear` makes of the bytes."""

    def __init__(self, tear: Callable[[bytes], bytes], at: int = 1) -> None:
        super().__init__()
        self.torn: bytes | None = None  # the bytes that were to be written
        self._tear = tear
        self._appends_left = at
        self._is_append = False

    def append(self, path: Path, data: bytes, at: int) -> None:
        self._appends_left -= 1
        self._is_append = self._appends_left == 0
        super().append(path, data, at)

    def _write(self, descriptor: int, data: bytes) -> int:
        if self._is_append:
            self.torn = data
            super()._write(descriptor, self._tear(data))
            raise Died
        return super()._write(descriptor, data)


class PowerCutDisk(Disk):
    """Remembers what is durable: the bytes of a file at its last fsync, the names in a folder at its last fsync.

    `cut` writes that to another folder: what was never synced is gone, a file whose name alone is durable is empty.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        self._kept: list[int] = []  # open descriptors, so that no inode number is given twice

    def _fsync(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self._kept.append(os.dup(descriptor))
        if stat.S_ISDIR(found.st_mode):
            with os.scandir(descriptor) as names:
                self._names[found.st_ino] = {name.name: (name.inode(), name.is_dir()) for name in names}
        else:
            self._bytes[found.st_ino] = Path(f"/proc/self/fd/{descriptor}").read_bytes()

    def sync_all(self) -> None:
        """Everything is durable now."""
        for path in (self._folder, *self._folder.rglob("*")):
            self.sync(path)

    def cut(self, into: Path) -> None:
        """Write what is durable to another folder."""
        self._restore(self._folder.stat().st_ino, into)

    def close(self) -> None:
        """Give the descriptors back."""
        for descriptor in self._kept:
            os.close(descriptor)
        self._kept.clear()

    def _restore(self, inode: int, target: Path) -> None:
        target.mkdir(mode=0o700, exist_ok=True)
        for name, (child, is_folder) in self._names.get(inode, {}).items():
            if is_folder:
                self._restore(child, target / name)
            else:
                (target / name).write_bytes(self._bytes.get(child, b""))
