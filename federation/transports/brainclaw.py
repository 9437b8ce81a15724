"""A `.brainclaw` directory as a source: config, segments, documents, nothing else, and never a write.

Below the folder the person named nothing is opened through a symlink; regular files only, of names that program uses,
capped in size. What the bytes mean is no concern of this room.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from federation.bridge import MAX_SEGMENT_BYTES, SourceSegment
from federation.errors import SourceUnavailable

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_EVENTS: Final = "events"
_DOCUMENT: Final = re.compile(r"[^.].*\.json", re.DOTALL)  # not the temporary files of that program
_SEGMENT: Final = re.compile(r"seg-[0-9]{1,16}\.jsonl", re.ASCII)
_MAX_CONFIG_BYTES: Final = 1024 * 1024
_IDENTITY: Final = "project.identity.json"


class BrainclawSource:
    """One `.brainclaw` folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def config(self) -> bytes:
        """config.yaml; SourceUnavailable when it is not there or cannot be read."""
        with _unavailable(self._path / "config.yaml"), ExitStack() as opened:
            return _read(self._open_root(opened), "config.yaml", _MAX_CONFIG_BYTES, opened)

    def label(self) -> str:
        """The name of the project's folder."""
        return self._path.resolve().parent.name

    def segments(self) -> list[SourceSegment]:
        """Regular files of the journal folder with a segment's name; none where the journal was never on."""
        with _unavailable(self._path / _EVENTS), ExitStack() as opened:
            folder = self._open_events(opened)
            if folder is None:
                return []
            found = []
            for name in sorted(filter(_SEGMENT.fullmatch, os.listdir(folder))):
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    stamp = f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
                    found.append(SourceSegment(name, status.st_size, stamp))
            return found

    def read(self, name: str, max_bytes: int = MAX_SEGMENT_BYTES) -> bytes:
        """The bytes of one segment; SourceUnavailable when it is gone, no regular file, or larger than asked for."""
        with _unavailable(self._path / _EVENTS / name), ExitStack() as opened:
            folder = self._open_events(opened)
            if folder is None or not _SEGMENT.fullmatch(name):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return _read(folder, name, max_bytes, opened)

    def identity(self) -> bytes | None:
        """project.identity.json, which says who the store is where config.yaml does not; None when there is none."""
        with _unavailable(self._path / _IDENTITY), ExitStack() as opened:
            try:
                return _read(self._open_root(opened), _IDENTITY, _MAX_CONFIG_BYTES, opened)
            except FileNotFoundError:
                return None

    def documents(self, places: Sequence[str], max_bytes: int) -> Iterator[tuple[str, bytes | None]]:
        """Path and content of each document of a family, in order of their names.

        It is in the first of these folders that holds anything. None for a document that is no regular file, cannot be
        read, or is larger than asked for.
        """
        for place in places:
            with ExitStack() as opened, _unavailable(self._path / place):
                folder = self._open_place(place, opened)
                names = [] if folder is None else sorted(os.listdir(folder))
                for name in filter(_DOCUMENT.fullmatch, names):
                    yield f"{place}/{name}", _read_document(folder, name, max_bytes)
                if names:
                    return

    def count(self, place: str) -> int:
        """How many documents there are in a folder and below it; no link is followed."""
        with ExitStack() as opened, _unavailable(self._path / place):
            folder = self._open_place(place, opened)
            if folder is None:
                return 0
            return sum(len([*filter(_DOCUMENT.fullmatch, names)]) for _, _, names, _ in os.fwalk(".", dir_fd=folder))

    def _open_place(self, place: str, opened: ExitStack) -> int | None:
        """A folder below the root, opened part by part; None when it is not there."""
        folder = self._open_root(opened)
        try:
            for part in place.split("/"):
                folder = _open(part, _FOLDER, folder, opened)
        except FileNotFoundError:
            return None
        return folder

    def _open_root(self, opened: ExitStack) -> int:
        return _open(self._path, _FOLDER, None, opened)

    def _open_events(self, opened: ExitStack) -> int | None:
        root = self._open_root(opened)
        try:
            return _open(_EVENTS, _FOLDER, root, opened)
        except FileNotFoundError:
            return None


def _open(name: str | Path, flags: int, within: int | None, opened: ExitStack) -> int:
    descriptor = os.open(name, flags, dir_fd=within)
    opened.callback(os.close, descriptor)
    return descriptor


def _read_document(folder: int | None, name: str, max_bytes: int) -> bytes | None:
    with ExitStack() as opened:
        try:
            return None if folder is None else _read(folder, name, max_bytes, opened)
        except OSError:
            return None  # told as a document that was not taken


def _read(folder: int, name: str, max_bytes: int, opened: ExitStack) -> bytes:
    descriptor = _open(name, _READ, folder, opened)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data


@contextlib.contextmanager
def _unavailable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceUnavailable(f"cannot be read: {error.strerror}", path=path) from error
