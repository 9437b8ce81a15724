"""Mounts: may looking at a path hang? Told without looking at it.

A file system on this machine answers, be it with an error. One over a network, or one that a program provides, answers
when somebody else does. Which one a path leads to stands in the table of the kernel, and a symlink is read only where
everything on the way to it is local.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

_TABLE: Final = "/proc/self/mountinfo"
# fmt: off
_LOCAL: Final = frozenset([
    "apfs", "bcachefs", "btrfs", "devtmpfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfsplus", "iso9660",
    "jfs", "msdos", "nilfs2", "ntfs3", "overlay", "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "udf", "vfat",
    "xfs", "zfs",
])
# fmt: on
_MAX_LINKS: Final = 40  # as in Linux: a circle of symlinks leads nowhere, and that is found out when it is opened
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def may_hang(path: Path) -> bool:
    """Whether a path, or the way to it, is on a file system that is not known to be local."""
    try:
        with open(_TABLE, encoding="utf-8", errors="surrogateescape") as table:
            mounts = read_mounts(table.read())
    except OSError:
        return True  # a system without such a table
    return leaves_local(path, mounts, _link_at)


def is_local(kind: str) -> bool:
    """Whether a file system of this type is known to be on this machine."""
    return kind in _LOCAL


def type_at(path: Path) -> str | None:
    """The type of the file system that an absolute path without symlinks is on; None where there is no such table."""
    try:
        with open(_TABLE, encoding="utf-8", errors="surrogateescape") as table:
            mounts = read_mounts(table.read())
    except OSError:
        return None
    return next((mounts[str(above)] for above in (path, *path.parents) if str(above) in mounts), None)


def read_mounts(table: str) -> dict[str, str]:
    """Mount points and their types, from the text of mountinfo; of several at one point the last, which is on top."""
    found = {}
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        if len(before.split(" ")) > 4 and after:
            point = _ESCAPED.sub(lambda digits: chr(int(digits[1], 8)), before.split(" ")[4])
            found[point] = after.split(" ")[0]
    return found


def leaves_local(path: Path, mounts: Mapping[str, str], link_at: Callable[[str], str | None]) -> bool:
    """Whether an absolute path leads through a mount of another type. `link_at` gives the target of a symlink."""
    if mounts.get("/") not in _LOCAL:
        return True
    at, ahead, links = "/", [*reversed(path.parts)], 0
    while ahead:
        name = ahead.pop()
        at = os.path.dirname(at) if name == ".." else "/" if name == "/" else os.path.join(at, name)
        if at in mounts and mounts[at] not in _LOCAL:
            return True
        target = None if name in ("/", "..") else link_at(at)
        if target is not None and links < _MAX_LINKS:
            at, links = os.path.dirname(at), links + 1
            ahead += reversed(Path(target).parts)
    return False


def _link_at(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:  # nothing there, or no symlink
        return None
