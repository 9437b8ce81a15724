"""The disk: the only room that opens a store's files. Every fsync lives here, each with its reason.

A Disk does few things: read, append, create, replace, lock. All of them either happen or raise DiskFailed and leave
what was there; a failed fsync is a failure and is never retried as success [J5]. Tests put a faulty Disk in its place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Final

from journal.errors import DamagedStore, DiskFailed, JournalError, NotAStore, StoreLocked, StoreReadOnly

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_NO_LINK: Final = os.O_NOFOLLOW | os.O_CLOEXEC  # whoever made the folder must not choose what we write to
_TEMPORARY: Final = ".tmp-"
_NOT_THERE: Final = frozenset([errno.ENOENT, errno.ENOTDIR])
_LOCK_POLL_SECONDS: Final = 0.005  # about as long as one mutation holds the lock


class Disk:
    """The real disk. Paths are absolute or relative to the working directory; modes are 0700 and 0600."""

    def __init__(self) -> None:
        self._poisoned: Path | None = None

    # --- reading ---

    def read(self, path: Path, start: int = 0, size: int = -1) -> bytes:
        """Bytes of a regular file from `start`, all of them or `size`; fewer when it ends before.

        DamagedStore when it is missing or unreadable: that is never empty [J11].
        """
        try:
            return self._read_file(path, start, size)
        except OSError as error:
            raise DamagedStore(f"cannot be read: {error.strerror}", path=path, rule="J11") from error

    def read_if_there(self, path: Path, start: int = 0, size: int = -1) -> bytes | None:
        """Bytes of a file as `read`, or None when there is none; DamagedStore when it cannot be read."""
        try:
            return self._read_file(path, start, size)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise DamagedStore(f"cannot be read: {error.strerror}", path=path, rule="J11") from error

    def chunks(self, path: Path, size: int) -> Generator[bytes]:
        """A file piece by piece, as it stood when the first was asked for; DamagedStore as `read`."""
        try:
            with self._opened(path) as (descriptor, _):
                start = 0
                while part := self._read(descriptor, size, start):
                    start += len(part)
                    yield part
        except OSError as error:
            raise DamagedStore(f"cannot be read: {error.strerror}", path=path, rule="J11") from error

    def size(self, path: Path) -> int | None:
        """Bytes of a file, or None when it is not there."""
        try:
            return os.stat(path).st_size
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise DamagedStore(f"cannot be examined: {error.strerror}", path=path, rule="J11") from error

    def names(self, folder: Path) -> list[str]:
        """Sorted names in a folder; NotAStore when it is missing, DamagedStore when it cannot be listed."""
        try:
            return sorted(os.listdir(folder))
        except OSError as error:
            if error.errno in _NOT_THERE:
                raise NotAStore("no such folder", path=folder) from None
            raise DamagedStore(f"cannot be listed: {error.strerror}", path=folder, rule="J11") from error

    def each_name(self, folder: Path) -> Iterator[str]:
        """Names in a folder in no order, without holding them all; none when the folder is missing."""
        try:
            with os.scandir(folder) as found:
                for item in found:
                    yield item.name
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise DamagedStore(f"cannot be listed: {error.strerror}", path=folder, rule="J11") from error

    def is_folder(self, path: Path) -> bool:
        """Whether a folder is there."""
        return os.path.isdir(path)

    # --- writing ---

    def append(self, path: Path, data: bytes, at: int) -> None:
        """Add bytes at the end of a log, whose length is `at`, in one write, and make them durable.

        On a short write or a failed fsync the file gets its former length back and DiskFailed is raised; when that
        fails too StoreReadOnly is raised now and at every later write of this process [J5].
        """
        self._refuse_when_poisoned()
        descriptor = self._open_for_append(path, at)
        try:
            try:
                written = self._write(descriptor, data)
                if written != len(data):
                    raise OSError(errno.ENOSPC, f"short write, {written} of {len(data)} bytes")
                self._fsync(descriptor)  # the promise of every acknowledged record [J5]
            except OSError as error:
                self._undo(descriptor, path, at)
                raise DiskFailed(f"write failed: {error.strerror}", path=path, rule="J5") from error
        finally:
            os.close(descriptor)

    def sync(self, path: Path) -> None:
        """Make a file's bytes durable before others are told of them [J7]."""
        self._refuse_when_poisoned()
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DiskFailed(f"cannot be opened: {error.strerror}", path=path, rule="J7") from error
        try:
            self._fsync(descriptor)
        except OSError as error:
            raise DiskFailed(f"fsync failed: {error.strerror}", path=path, rule="J7") from error
        finally:
            os.close(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Make names in a folder durable: a rename is on disk only after this [J8]."""
        self.sync(folder)

    def sync_all(self) -> None:
        """Make every file written so far durable: one call for thousands of small caches, once per roll [P4]."""
        os.sync()

    def replace_durably(self, path: Path, data: bytes) -> None:
        """Create or replace a file whole and durable: temp file, fsync, rename, fsync of the folder [J8] [F4]."""
        self.stream_durably(path, [data])

    def stream_durably(self, path: Path, parts: Iterable[bytes]) -> None:
        """The same for bytes that come piece by piece; whatever stops them leaves the former file."""
        temporary = self._write_temporary(path, parts, durable=True)
        self._put_in_place(temporary, path)
        self.sync_folder(path.parent)

    def replace(self, path: Path, data: bytes) -> None:
        """Create or replace a file atomically but not durably: for caches, which a reboot may lose [P4]."""
        temporary = self._write_temporary(path, [data], durable=False)
        self._put_in_place(temporary, path)

    def move_durably(self, source: Path, target: Path) -> None:
        """Move a file that is durable already to its place, and make the new name durable [F4]."""
        self._move(source, target)
        self.sync_folder(target.parent)

    def add_line(self, path: Path, line: bytes) -> None:
        """Append to a run log: one write, no fsync, nothing depends on it."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_LINK, FILE_MODE)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DiskFailed(f"write failed: {error.strerror}", path=path) from error

    def make_folder(self, path: Path) -> None:
        """Make a folder and those missing above it, mode 0700 whatever the umask; fine when it is there."""
        if os.path.isdir(path):
            return
        if path.parent != path:
            self.make_folder(path.parent)
        try:
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.mkdir(path, FOLDER_MODE)
                os.chmod(path, FOLDER_MODE)
            if not os.path.isdir(path):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        except OSError as error:
            raise DiskFailed(f"cannot make folder: {error.strerror}", path=path) from error

    def make_folder_durably(self, path: Path) -> None:
        """The same, and each folder that was missing has its name on disk: what is durable in it can be found."""
        if not os.path.isdir(path):
            self.make_folder_durably(path.parent)
            self.make_folder(path)
            self.sync_folder(path.parent)

    def make_file(self, path: Path) -> None:
        """Make an empty file, mode 0600 whatever the umask; fine when it is there. For files others will open."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        except FileExistsError:
            return
        except OSError as error:
            raise DiskFailed(f"cannot be made: {error.strerror}", path=path) from error
        try:
            os.fchmod(descriptor, FILE_MODE)
        finally:
            os.close(descriptor)

    def make_private(self, path: Path) -> None:
        """Give a file or folder of ours the mode it must have: 0600, folders 0700."""
        try:
            os.chmod(path, FOLDER_MODE if os.path.isdir(path) else FILE_MODE)
        except OSError as error:
            raise DiskFailed(f"its mode cannot be changed: {error.strerror}", path=path) from error

    def set_aside(self, path: Path, target: Path) -> None:
        """Give a file another name beside it, not durably; what had that name is replaced."""
        self._move(path, target)

    def remove(self, path: Path) -> None:
        """Remove a file; fine when it is gone."""
        try:
            self._unlink(path)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise DiskFailed(f"cannot be removed: {error.strerror}", path=path) from error

    def remove_tree(self, folder: Path) -> None:
        """Remove a folder of ours and all in it; fine when it is gone."""
        try:
            shutil.rmtree(folder)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise DiskFailed(f"cannot be removed: {error.strerror}", path=folder) from error

    def rename_folder(self, source: Path, target: Path) -> None:
        """Put a folder made under another name in its place, durably."""
        self._move(source, target)
        self.sync_folder(target.parent)

    # --- locking ---

    @contextlib.contextmanager
    def lock(self, path: Path, timeout_seconds: float) -> Iterator[None]:
        """Hold an OS lock that dies with this process [J9]; StoreLocked after the timeout, DiskFailed otherwise.

        No pid files and no stealing: on a file system without locks this fails instead of pretending.
        """
        from filelock import FileLock, Timeout  # only writers pay for it

        held = FileLock(path, mode=FILE_MODE, thread_local=False, fallback_to_soft=False)
        try:
            held.acquire(timeout=timeout_seconds, poll_interval=_LOCK_POLL_SECONDS)
        except Timeout:
            text = f"another process has held the lock for {timeout_seconds:g} s"
            raise StoreLocked(text, path=path, rule="J9") from None
        except OSError as error:
            raise DiskFailed(f"cannot lock: {error.strerror}", path=path, rule="J9") from error
        try:
            yield
        finally:
            held.release()

    # --- the system calls, each where a test can make it fail ---

    def _read(self, descriptor: int, size: int, start: int) -> bytes:
        return os.pread(descriptor, size, start)

    def _write(self, descriptor: int, data: bytes) -> int:
        return os.write(descriptor, data)

    def _fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def _truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def _rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def _unlink(self, path: Path) -> None:
        os.unlink(path)

    # --- inside ---

    @contextlib.contextmanager
    def _opened(self, path: Path) -> Iterator[tuple[int, int]]:
        """A regular file open for reading, and its size."""
        # O_NONBLOCK: a pipe by that name must not hang the reader
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise DamagedStore("not a regular file", path=path)
            yield descriptor, found.st_size
        finally:
            os.close(descriptor)

    def _read_file(self, path: Path, start: int, size: int) -> bytes:
        with self._opened(path) as (descriptor, length):
            wanted = max(length - start, 0)
            wanted = wanted if size < 0 else min(wanted, size)
            parts: list[bytes] = []
            while wanted > 0 and (part := self._read(descriptor, wanted, start)):
                parts.append(part)
                start += len(part)
                wanted -= len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)

    def _put_in_place(self, temporary: Path, path: Path) -> None:
        try:
            self._move(temporary, path)
        except DiskFailed:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _move(self, source: Path, target: Path) -> None:
        try:
            self._rename(source, target)
        except OSError as error:
            raise DiskFailed(f"cannot be renamed: {error.strerror}", path=target) from error

    def _open_for_append(self, path: Path, at: int) -> int:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | _NO_LINK)
        except OSError as error:
            raise DiskFailed(f"cannot be opened: {error.strerror}", path=path, rule="J5") from error
        found = os.fstat(descriptor).st_size
        if found != at:
            os.close(descriptor)
            raise DamagedStore(f"has {found} bytes, expected {at}: written without the lock", path=path, rule="J9")
        return descriptor

    def _undo(self, descriptor: int, path: Path, size: int) -> None:
        try:
            self._truncate(descriptor, size)
        except OSError as error:
            self._poisoned = path
            raise StoreReadOnly(
                f"a failed write could not be taken back: {error.strerror}", path=path, rule="J5"
            ) from error

    def _refuse_when_poisoned(self) -> None:
        if self._poisoned is not None:
            raise StoreReadOnly("read-only since a failed write", path=self._poisoned, rule="J5")

    def _write_temporary(self, path: Path, parts: Iterable[bytes], *, durable: bool) -> Path:
        temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_LINK, FILE_MODE)
            try:
                os.fchmod(descriptor, FILE_MODE)  # the umask may have taken bits away
                for data in parts:
                    if self._write(descriptor, data) != len(data):
                        raise OSError(errno.ENOSPC, "short write")
                if durable:
                    self._fsync(descriptor)  # content before name: a rename must never show a torn file
            finally:
                os.close(descriptor)
        except (OSError, JournalError) as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            if isinstance(error, JournalError):  # whoever makes the parts could not go on
                raise
            raise DiskFailed(f"write failed: {error.strerror}", path=path) from error
        return temporary


def is_temporary(name: str) -> bool:
    """Whether a name is one that an interrupted write left behind."""
    return name.startswith(_TEMPORARY)
