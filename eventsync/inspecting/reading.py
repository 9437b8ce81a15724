"""Reading: the bytes of one file, and of what stands beside it. Regular files only, and never more than a limit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import zstandard

from eventsync.errors import InputUnreadable
from federation.model import MAX_HEAD_BYTES, MAX_SLICE_BYTES, MAX_SLICE_FILE_BYTES
from federation.packing import unpack
from journal import Disk, JournalError

MOST_BYTES: Final = 64 * 1024 * 1024  # held in memory at once: a segment has 10 MiB, and may pass that by one batch
ZSTD: Final = b"\x28\xb5\x2f\xfd"
SQLITE: Final = b"SQLite format 3\0"
_CHUNK_BYTES: Final = 1024 * 1024
_WINDOW_BYTES: Final = 32 * 1024 * 1024  # what a frame may ask for in memory, where it is read piece by piece
_TEMPORARY: Final = re.compile(r"^\.tmp-[0-9]+-")


class Source(NamedTuple):
    """A file: where it stands, how long it is, and its first bytes, which are all of them up to the limit."""

    path: Path
    size_bytes: int
    data: bytes

    @property
    def name(self) -> str:
        """Its name, as it was meant to be where an interrupted write left it."""
        return _TEMPORARY.sub("", self.path.name)

    @property
    def is_packed(self) -> bool:
        """Whether it begins as zstd does."""
        return self.data.startswith(ZSTD)

    def chunks(self) -> Iterator[bytes]:
        """All of the file, piece by piece, whatever its length."""
        return Disk().chunks(self.path, _CHUNK_BYTES)


class Unpacked(NamedTuple):
    """What came out of a packed file; `why` says what stopped it before its end."""

    raw: bytes
    why: str | None


def read(path: Path) -> Source:
    """A file to be inspected; InputUnreadable when it is not there, no regular file, or not to be read."""
    disk = Disk()
    try:
        size = disk.size(path)
        data = None if size is None else disk.read_if_there(path, 0, MOST_BYTES)
    except (JournalError, ValueError) as error:  # ValueError: a path with a NUL
        raise InputUnreadable(getattr(error, "message", "cannot be read"), path=path) from None
    if size is None or data is None:
        raise InputUnreadable("no such file", path=path)
    return Source(path, max(size, len(data)), data)


def read_beside(path: Path, name: str, most_bytes: int) -> bytes | None:
    """A file in the same folder; None when it is not there, cannot be read, or is longer than that."""
    try:
        data = Disk().read_if_there(path.with_name(name), 0, most_bytes + 1)
    except (JournalError, ValueError):
        return None
    return data if data is not None and len(data) <= most_bytes else None


def names_beside(path: Path) -> list[str]:
    """What else stands in the same folder."""
    try:
        return sorted(Disk().each_name(path.parent))
    except JournalError:
        return []


def head_beside(path: Path) -> bytes | None:
    """The head.json in the same folder."""
    return read_beside(path, "head.json", MAX_HEAD_BYTES)


def unpacked(data: bytes) -> Unpacked:
    """The content of a packed slice or blob, as far as it can be had, and no more than one may hold [F3]."""
    if len(data) > MAX_SLICE_FILE_BYTES:
        return Unpacked(b"", f"longer than any slice or blob: more than {MAX_SLICE_FILE_BYTES} bytes")
    raw = unpack(data, MAX_SLICE_BYTES)
    if raw is not None:
        return Unpacked(raw, None)
    parts, size, why = [], 0, "it is cut short, or something stands behind its end"
    try:
        with zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).stream_reader(data) as reader:
            while part := reader.read(_CHUNK_BYTES):
                size += len(part)
                if size > MAX_SLICE_BYTES:
                    why = f"more than {MAX_SLICE_BYTES} bytes come out, and no slice or blob holds so many"
                    break
                parts.append(part)
    except zstandard.ZstdError as error:
        why = str(error)
    return Unpacked(b"".join(parts), f"cannot be unpacked: {why} [F3]")
